"""Slices that fail, planted in real texts: how often the search finds them, and finds none.

Answers are simulated on real texts with the encoder's real vectors: 10 % are wrong, and 35 to 50 %
within a planted slice of 2 to 10 % of the rows. A planted slice counts as found when one of the at
most ten listed slices shares half of its rows with it (Dice coefficient of at least 0.5). A listed
slice that is truly no worse than the rest is a false finding; so is every one where nothing was
planted. Planted ranges of length and topics are cut otherwise than those of the search; languages
are those of a column that the search is not shown.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow.parquet as pq

from bench.common import Options, data_folder
from bench.vectors import frozen_vectors
from milepost.entities.example import Examples
from milepost.entities.task import Task
from milepost.evaluation.examination.discovery import Search
from milepost.evaluation.examination.subject import Subject
from milepost.evaluation.slicing.condition import Condition
from milepost.evaluation.slicing.pool import Material, pool
from milepost.metrics.inference.intervals import Sampling, proportion
from milepost.metrics.inference.search import more_mistakes, search

SETS = (
    ("banking77/test", 1500),
    ("fdu_mtl_16domains/test", 1500),
    ("humaid_crisis_tweets/valid", 1500),
    ("hwu64/test", 1076),
    ("tweeteval_hate/test", 1500),
    ("amazon_counterfactual/test", 2538),
)
"""Files and how many of their rows, at even distances."""

HIDDEN = {"amazon_counterfactual/test": ("lang", {"de": 60, "ja": 60})}
"""A column that the search is not shown, and the most rows that some of its values may have."""

KINDS = ("metadata", "conjunction", "label", "language", "word", "rare words", "length", "topic")
TRAIN = 3000
"""Texts of the training file that tell which words are rare; the rest of the file without one."""

BASE = 0.10
DRAWS = 50
CONFIDENCE = 0.95
SHARES = (0.02, 0.10)
RATES = (0.35, 0.50)
HALF = 0.5
WORDS = 400
"""Characters of a text that are encoded: the slices' truth does not hang on the rest."""

_WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """Texts with all slices of the search, formed once."""

    examples: Examples
    labels: tuple[str, ...]
    y: np.ndarray
    vectors: np.ndarray
    conditions: list[Condition]
    train: tuple[str, ...]
    hidden: np.ndarray | None

    def searched(self, wrong: np.ndarray, seed: int) -> Search:
        """The search with simulated answers, of which some are wrong."""
        answers = np.where(wrong, (self.y + 1) % len(self.labels), self.y)
        probabilities = np.zeros((len(answers), len(self.labels)), np.float32)
        probabilities[np.arange(len(answers)), answers] = 1.0
        return Search(_subject(self, probabilities, seed), self.conditions)


def run(options: Options) -> dict[str, object]:
    """Planted slices and none, on every set."""
    planted, searches = (3, 2) if options.quick else (20, 20)
    rows: list[dict] = []
    nothing: list[dict] = []
    for number, (name, size) in enumerate(SETS):
        if options.only and name.split("/")[0] not in options.only:
            continue
        ground = _ground(name, size)
        rng = np.random.default_rng(number)
        for kind, masks in _planted(ground, rng).items():
            rows.append({"set": name, **_find(ground, kind, masks, planted, rng)})
            print("  ".join(f"{k} {v}" for k, v in rows[-1].items()), flush=True)
        nothing.append({"set": name, **_empty(ground, searches, rng)})
        print("  ".join(f"{k} {v}" for k, v in nothing[-1].items()), flush=True)
    return {"planted": rows, "nothing_planted": nothing, "summary": _summary(rows, nothing)}


def _summary(rows: list[dict], nothing: list[dict]) -> dict[str, object]:
    runs = sum(row["runs"] for row in rows)
    empty = sum(row["runs"] for row in nothing)
    false = proportion(sum(row["with_a_finding"] for row in nothing), empty, CONFIDENCE)
    by_kind = {
        kind: sum(row["found"] for row in rows if row["kind"] == kind)
        / sum(row["runs"] for row in rows if row["kind"] == kind)
        for kind in dict.fromkeys(row["kind"] for row in rows)
    }
    return {
        "planted_runs": runs,
        "found_in_top_10": sum(row["found"] for row in rows) / runs,
        "listed_first": sum(row["first"] for row in rows) / runs,
        "found_by_kind": by_kind,
        "planted_runs_with_a_false_finding": sum(row["false"] for row in rows) / runs,
        "planted_runs_with_a_bound_too_high": sum(row["bound_too_high"] for row in rows) / runs,
        "empty_runs": empty,
        "empty_runs_with_a_finding": false.value,
        "empty_runs_interval": [false.low, false.high],
    }


def _find(
    ground: Ground, kind: str, masks: Iterator[np.ndarray], times: int, rng: np.random.Generator
) -> dict[str, object]:
    """Plant a slice ``times`` times and look for it."""
    found = first = false = high = listed = 0
    for seed in range(times):
        mask = next(masks)
        rate = np.where(mask, rng.uniform(*RATES), BASE)
        made = ground.searched(rng.random(len(mask)) < rate, seed)
        places = made.listed()[0]
        slices = [ground.conditions[at].mask for at in places]
        hits = [_dice(each, mask) >= HALF for each in slices]
        truth = [float(rate[each].mean() - rate[~each].mean()) for each in slices]
        bounds = [made.gap(at, proven=True)[1] for at in places]
        found += any(hits)
        first += bool(hits and hits[0])
        false += any(gap <= 0.0 for gap in truth)
        high += any(low > gap for low, gap in zip(bounds, truth, strict=True))
        listed += len(places)
    return {"kind": kind, "runs": times, "found": found, "first": first, "listed": listed,
            "false": false, "bound_too_high": high}  # fmt: skip


def _empty(ground: Ground, searches: int, rng: np.random.Generator) -> dict[str, object]:
    """Mistakes that come in any order, searched again and again.

    What a search holds slices against depends on the number of mistakes and the seed alone; so
    each search serves ``DRAWS`` draws of as many mistakes, of which it makes the first itself.
    """
    slices = np.stack([each.mask for each in ground.conditions], axis=1)
    n = len(slices)
    every, units = np.ones(n, np.bool_), np.arange(n)
    false = 0
    for seed in range(searches):
        wrong = rng.random(n) < BASE
        found = search(slices, wrong, units, seed=seed)
        first = bool((found.corrected <= 1.0 - CONFIDENCE).any())
        assert first == (found.raw.min() * (1.0 + 1e-9) < found.level)
        false += first
        for _ in range(DRAWS - 1):
            raw = more_mistakes(rng.permutation(wrong), slices, every)
            false += bool(raw.min() * (1.0 + 1e-9) < found.level)
    return {"rows": n, "slices": slices.shape[1], "runs": searches * DRAWS,
            "with_a_finding": false}  # fmt: skip


def _dice(one: np.ndarray, other: np.ndarray) -> float:
    return 2.0 * float((one & other).sum()) / float(one.sum() + other.sum())


def _planted(ground: Ground, rng: np.random.Generator) -> dict[str, Iterator[np.ndarray]]:
    """Endless draws of slices of each kind; not those of the search, which are cut otherwise."""
    n = len(ground.y)
    texts = ground.examples.texts

    def fits(mask: np.ndarray) -> bool:
        return SHARES[0] * n <= mask.sum() <= SHARES[1] * n

    def drawn(make: Callable[[], np.ndarray]) -> Iterator[np.ndarray]:
        while True:
            mask = make()
            if fits(mask):
                yield mask

    lengths = np.argsort(np.argsort([len(text) for text in texts], kind="stable"))
    words = [set(_WORD.findall(text.lower())) for text in texts]
    every = sorted({word for each in words for word in each if word.isalpha()})
    frequent = [m for w in every if fits(m := np.array([w in each for each in words]))]
    values = _value_masks(ground)
    both = [a & b for i, (one, a) in enumerate(values) for two, b in values[:i]
            if one != two and fits(a & b)]  # fmt: skip

    def by_length() -> np.ndarray:
        size = int(rng.uniform(*SHARES) * n)
        start = int(rng.integers(0, n - size))
        return (lengths >= start) & (lengths < start + size)

    def topic() -> np.ndarray:
        size = int(rng.uniform(*SHARES) * n)
        near = ground.vectors @ ground.vectors[int(rng.integers(n))]
        return near >= np.sort(near)[-size]

    found = {"length": drawn(by_length), "topic": drawn(topic)}
    hidden = [] if ground.hidden is None else [ground.hidden == v for v in set(ground.hidden)]
    for name, masks in (
        ("metadata", [mask for _, mask in values if fits(mask)]),
        ("conjunction", both),
        ("label", [mask for at in range(len(ground.labels)) if fits(mask := ground.y == at)]),
        ("language", [mask for mask in hidden if fits(mask)]),
        ("word", frequent),
        ("rare words", [mask for mask in _rare(texts, ground.train) if fits(mask)]),
    ):
        if masks:
            found[name] = drawn(lambda masks=masks: masks[int(rng.integers(len(masks)))])
    return {kind: found[kind] for kind in KINDS if kind in found}


def _value_masks(ground: Ground) -> list[tuple[str, np.ndarray]]:
    """Rows of every value of the columns with few values."""
    found: list[tuple[str, np.ndarray]] = []
    for name, values in ground.examples.metadata.items():
        distinct = sorted(set(map(str, values)))
        if len(distinct) <= 40:
            found += [(name, np.array([str(v) == value for v in values])) for value in distinct]
    return found


def _rare(texts: Sequence[str], train: Sequence[str]) -> list[np.ndarray]:
    """Texts with at least some number of words that no training text has."""
    known = {word for text in train for word in _WORD.findall(text.lower())}
    unseen = np.array([len(set(_WORD.findall(text.lower())) - known) for text in texts])
    return [unseen >= times for times in range(1, 9)]


def _ground(name: str, size: int) -> Ground:
    path = data_folder() / f"{name}.parquet"
    table = pq.read_table(path).to_pylist()
    column, most = HIDDEN.get(name, ("", {}))
    taken: Counter[str] = Counter()
    rows: list[dict] = []
    for row in (table[i * len(table) // size] for i in range(size)):
        value = row.pop(column, None)
        taken[value] += 1
        if taken[value] <= most.get(value, size):
            rows.append({**row, "hidden": value})
    hidden = np.array([row.pop("hidden") for row in rows]) if column else None
    texts = tuple(row["text"] for row in rows)
    size = len(rows)
    file = path.with_name("train.parquet")
    rest = pq.read_table(file, columns=["text"]).to_pylist() if file.exists() else table
    own_texts = set(texts)
    train = tuple(row["text"] for row in rest if row["text"] not in own_texts)[:TRAIN]
    ids = tuple(str(i) for i in range(size))
    labels = tuple(sorted({row["label"] for row in rows}))
    # A column of two values beside the file's own, so that conjunctions can be planted everywhere.
    half = tuple("web" if i % 2 else "phone" for i in range(size))
    own = {k: tuple(row[k] for row in rows) for k in rows[0] if k not in ("text", "label")}
    examples = Examples(
        ids=ids, texts=texts, labels=tuple(row["label"] for row in rows), groups=ids,
        sources=ids, metadata={**own, "channel": half},
    )  # fmt: skip
    y = np.array([labels.index(row["label"]) for row in rows])
    vectors = frozen_vectors(f"slices-{path.parent.name}", [text[:WORDS] for text in texts])
    conditions = pool(
        Material(examples=examples, input_name="text", labels=labels, y=y, answers=y,
                 vectors=vectors, train=train)
    )  # fmt: skip
    return Ground(examples=examples, labels=labels, y=y, vectors=vectors, conditions=conditions,
                  train=train, hidden=hidden)  # fmt: skip


def _subject(ground: Ground, probabilities: np.ndarray, seed: int) -> Subject:
    return Subject(
        task=Task(name="planted"), labels=ground.labels, regime="holdout",
        examples=ground.examples, y=ground.y, probabilities=probabilities,
        predict=_nothing, encode=_nothing, train=ground.examples, train_y=ground.y,
        out_of_fold=probabilities, refit=_nothing, sampling=Sampling(seed=seed),
    )  # fmt: skip


def _nothing(*_: object) -> np.ndarray:
    raise AssertionError("the search asks nobody anything")
