"""Published test files that repeat their training files: what leaks, and what it is worth.

For each set: the training rows that the test file holds the like of, found and left out, and the
same strategy (TF-IDF and a linear head) on the whole test file without them (corrected), with them
(naive), and with them in place of as many other rows (naive_same_size), which tells the leak from
the mere number of rows. Pairs are read as one text.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from bench.common import Options, data_folder

SEPARATOR = " ||| "
"""Between the two texts of a pair."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A training file and its test file in a folder of the benchmark data."""

    name: str
    train: str = "train"
    test: str = "test"


SETS = (
    *(Pair(name=name) for name in (
        "tweeteval_hate", "fdu_mtl_16domains", "er_abt_buy", "er_amazon_google", "er_dblp_acm",
        "er_fodors_zagats", "er_itunes_amazon", "er_itunes_amazon_dirty", "er_beer", "nli_sick",
        "banking77", "atis", "snips", "trec", "emotion", "tweeteval_offensive",
        "hate_offensive_davidson", "ws_tos_claudette9", "ws_youtube",
    )),
    Pair(name="amazon_counterfactual"),
    Pair(name="amazon_counterfactual", train="en_ext_train", test="en_ext_test"),
)  # fmt: skip


def run(options: Options) -> dict[str, object]:
    """Every set, or the two smallest when quick."""
    data = data_folder()
    chosen = SETS[5:7] if options.quick else SETS
    if options.only:
        chosen = tuple(pair for pair in SETS if pair.name in options.only)
    rows = [_measured(pair, data) for pair in chosen]
    for row in rows:
        print(row["set"], row["leaks"], row["accuracy"], row["macro_f1"])
    return {"strategy": "tfidf_linear", "sets": rows}


def _measured(pair: Pair, data: Path) -> dict[str, object]:
    """Leaks of one set, and both numbers."""
    from milepost._base.settings import Settings
    from milepost.data.duplicates import regroup
    from milepost.data.examples import gather_examples
    from milepost.data.load import load_table
    from milepost.data.splitting.leaks import against_test
    from milepost.entities.task import Task

    settings = Settings()
    draft = Task(name="leaks")
    tables = [
        load_table(_columns(data / pair.name / f"{part}.parquet"), name=part)
        for part in (pair.train, pair.test)
    ]
    given = gather_examples(tables[:1], draft, settings).examples
    labels = sorted({label for label in given.labels if label is not None})
    kept = gather_examples(tables[1:], draft, settings, unknown_labels="keep").examples
    given, kept = given.take(given.labelled_rows), kept.take(kept.labelled_rows)
    train, test = regroup([given, kept], settings.near_duplicate)
    sides = against_test(train, test)
    leaks, clean = sides.rows("leak"), sides.rows("train")
    texts = set(test.texts)
    groups = {train.duplicates[i] for i in leaks}
    touched = np.asarray([group in groups for group in test.duplicates])
    position = {label: i for i, label in enumerate(labels)}
    y = np.asarray([position[str(label)] for label in train.labels])
    actual = np.asarray([position.get(str(label), -1) for label in test.labels])
    corrected = _answers(labels, [train.texts[i] for i in clean], y[clean], test.texts)
    naive = same_size = corrected
    if leaks:
        naive = _answers(labels, list(train.texts), y, test.texts)
        same_size = _answers(labels, *_as_many(train.texts, y, leaks, clean), test.texts)
    answers = {"corrected": corrected, "naive": naive, "naive_same_size": same_size}
    return {
        "set": pair.name if pair.train == "train" else f"{pair.name} {pair.train}",
        "train": len(train), "test": len(test),
        "leaks": len(leaks), "word_for_word": sum(train.texts[i] in texts for i in leaks),
        "test_rows_concerned": int(touched.sum()),
        "said": [finding.summary for finding in sides.findings],
        "accuracy": _each("accuracy", actual, answers, len(labels)),
        "macro_f1": _each("macro_f1", actual, answers, len(labels)),
        "accuracy_on_leaked_test_rows": None if not touched.any() else {
            name: float((each == actual)[touched].mean()) for name, each in answers.items()
        },
    }  # fmt: skip


def _columns(path: Path) -> Mapping[str, list[object]]:
    import pyarrow.parquet as pq

    table = cast("Any", pq.read_table(path)).to_pydict()
    if "text" in table:
        texts = table["text"]
    else:
        pairs = zip(table["text_a"], table["text_b"], strict=True)
        texts = [f"{a}{SEPARATOR}{b}" for a, b in pairs]
    return {"text": texts, "label": [None if v is None else str(v) for v in table["label"]]}


def _answers(labels: list[str], texts: list[str], y: Any, asked: Any) -> Any:
    from milepost.contests.runner import predict
    from milepost.strategies.tfidf_linear import TfidfLinear
    from milepost.strategy import Problem
    from milepost.testing.encoders import HashedEncoder

    problem = Problem(
        labels=tuple(labels),
        descriptions=("",) * len(labels),
        instruction="",
        texts=tuple(texts),
        y=y,
        encoder=HashedEncoder(),
        seed=0,
    )
    predictor = TfidfLinear().fit(problem)
    return predict(predictor, asked, problem.encoder).argmax(axis=1)


def _as_many(texts: Any, y: Any, leaks: list[int], clean: list[int]) -> tuple[list[str], Any]:
    """The leaking rows, and so many of the others that they are as many as without leaks."""
    fewer = max(len(clean) - len(leaks), 0)
    drawn = np.random.default_rng(0).permutation(clean)[:fewer]
    rows = np.sort(np.concatenate([np.asarray(leaks, np.int64), drawn.astype(np.int64)]))
    return [texts[i] for i in rows.tolist()], y[rows]


def _each(metric: Any, y: Any, answers: Mapping[str, Any], k: int) -> dict[str, object]:
    from milepost.metrics.inference.intervals import Sampling, estimate

    found: dict[str, object] = {}
    for name, given in answers.items():
        each = estimate(metric, y, given, k, Sampling())
        found[name] = {"value": each.value, "low": each.low, "high": each.high}
    return found
