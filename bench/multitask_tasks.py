"""Small tasks drawn from public sets, as a team might have them side by side."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.common import data_folder

SHOTS = 16
"""Examples per label of a task of few labels."""
MANY_SHOTS = 5
"""Examples per label of a task of more than ``FEW_LABELS``."""
FEW_LABELS = 12
DOMAIN_SHOTS = 100
"""Examples per label of each domain of ``fdu_mtl_16domains``."""
MOST_CHARS = 400
MOST_JUDGED = 600
"""Rows that a task is measured on, drawn from its test file."""

FILES = {
    **dict.fromkeys(
        [
            *("sst2", "sst5", "cr", "mr", "subj", "trec", "emotion", "sms_spam", "snips"),
            *("tweeteval_emotion", "tweeteval_hate", "tweeteval_irony", "tweeteval_offensive"),
            *("hate_offensive_davidson", "ws_youtube", "frugalgpt_headlines", "banking77"),
            *("clinc150", "hwu64"),
        ],
        ("train", "test"),
    ),
    "ag_news_test_split": ("train_pool", "test"),
    "tweeteval_sentiment": ("valid", "test"),
    "humaid_crisis_tweets": ("valid", "test"),
}
"""Training and test file of each set."""
TARGETS = ("abortion", "atheism", "climate", "feminist", "hillary")
"""Subjects of ``tweeteval_stance``: a task of each."""


@dataclass(frozen=True, slots=True, eq=False)
class SmallTask:
    """A drawn task.

    Attributes:
        name: Of the set, and of the part of it.
        labels: The ``k`` label names.
        texts: ``n`` training inputs.
        y: ``(n,) int64``.
        judged: ``m`` inputs to measure on.
        judged_y: ``(m,) int64``.
    """

    name: str
    labels: tuple[str, ...]
    texts: tuple[str, ...]
    y: NDArray[np.int64]
    judged: tuple[str, ...]
    judged_y: NDArray[np.int64]


Rows = Sequence[tuple[str, str]]


def small_tasks(seed: int, *, validate: bool = False) -> Iterator[SmallTask]:
    """The tasks of a draw.

    Args:
        seed: Of the draw.
        validate: Whether to measure on further training rows, and not on the test files.
    """
    for name, (train, test) in FILES.items():
        yield _drawn(name, _rows(name, train), _rows(name, test), seed, validate=validate)
    for target in TARGETS:
        train, test = (_rows("tweeteval_stance", part, target) for part in ("train", "test"))
        yield _drawn(f"stance_{target}", train, test, seed, validate=validate)


def domain_tasks(seed: int) -> Iterator[SmallTask]:
    """The domains of ``fdu_mtl_16domains``, a task of each: is a review positive or negative."""
    for domain in sorted(set(_columns("fdu_mtl_16domains", "train")["domain"])):
        train, test = (_rows("fdu_mtl_16domains", part, domain) for part in ("train", "test"))
        yield _drawn(
            f"domain_{domain}".lower(), train, test, seed, validate=False, shots=DOMAIN_SHOTS
        )


def _columns(name: str, part: str) -> dict[str, list[str]]:
    import pyarrow.parquet as pq

    return pq.read_table(data_folder() / name / f"{part}.parquet").to_pydict()


def _rows(name: str, part: str, target: str | None = None) -> Rows:
    table = _columns(name, part)
    column = table.get("target") or table.get("domain") or table["label"]
    keep = [target is None or each == target for each in column]
    return [
        (text[:MOST_CHARS], label)
        for text, label, kept in zip(table["text"], table["label"], keep, strict=True)
        if kept and text.strip() and label and label != "oos"
    ]


def _drawn(
    name: str, train: Rows, test: Rows, seed: int, *, validate: bool, shots: int | None = None
) -> SmallTask:
    labels = tuple(sorted({label for _, label in train}))
    index = {label: at for at, label in enumerate(labels)}
    rng = np.random.default_rng([seed, len(name)])
    shots = shots or (SHOTS if len(labels) <= FEW_LABELS else MANY_SHOTS)
    order = rng.permutation(len(train)).tolist()
    taken: list[int] = []
    left: list[int] = []
    counts = dict.fromkeys(labels, 0)
    for row in order:
        label = train[row][1]
        counts[label] += 1
        (taken if counts[label] <= shots else left).append(row)
    drawn = [train[row] for row in sorted(taken)]
    pool = [train[row] for row in left] if validate else list(test)
    seen = {text for text, _ in drawn}
    pool = [row for row in pool if row[1] in index and row[0] not in seen]
    judged = [pool[at] for at in rng.permutation(len(pool))[:MOST_JUDGED].tolist()]
    return SmallTask(
        name,
        labels,
        tuple(text for text, _ in drawn),
        np.array([index[label] for _, label in drawn], np.int64),
        tuple(text for text, _ in judged),
        np.array([index[label] for _, label in judged], np.int64),
    )
