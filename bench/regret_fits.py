"""Contests on small draws of real sets: what every strategy came to, fitted once and kept."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from bench.common import RESULTS, data_folder

SHOTS = (4, 16, 64)
"""Examples per label; a label that has fewer gives all."""
TOTAL = 300
"""Examples of the draw that keeps the labels' shares."""
MOST_TRAIN = 1300
"""Larger draws are left out: their fits would take most of the time."""
MOST_TEST = 2000
MOST_CHARS = 300
SEEDS = 3
PARTS = RESULTS / "regret.parts"
SETS: Mapping[str, tuple[str, str]] = {
    **dict.fromkeys(
        [
            *("amazon_counterfactual", "atis", "banking77", "clinc150", "cr", "emotion"),
            *("fdu_mtl_16domains", "frugalgpt_headlines", "hate_offensive_davidson", "hwu64"),
            *("mr", "sms_spam", "snips", "sst2", "sst5", "subj", "trec", "tweeteval_emotion"),
            *("tweeteval_hate", "tweeteval_irony", "tweeteval_offensive", "tweeteval_stance"),
            *("ws_hausa_news", "ws_tos_claudette9", "ws_youtube"),
        ],
        ("train", "test"),
    ),
    "ag_news_test_split": ("train_pool", "test"),
    "humaid_crisis_tweets": ("valid", "test"),
    "tweeteval_sentiment": ("valid", "test"),
}
"""Files of each set: what is drawn from, and what is measured on."""


@dataclass(frozen=True, slots=True, eq=False)
class Fits:
    """What all strategies came to on one draw.

    Attributes:
        set: Name of the set.
        shots: Examples per label, as text; ``total`` for the draw that keeps the labels' shares.
        seed: Of the draw and of the contest.
        labels: Label names.
        texts: The drawn inputs.
        groups: Near-duplicate group of each.
        y: ``(n,) int64``.
        out_of_fold: ``(n, k) float32`` by strategy.
        test_y: ``(t,) int64``, labels of the test part.
        answers: ``(t,) int64``, answers to it by strategy.
    """

    set: str
    shots: str
    seed: int
    labels: tuple[str, ...]
    texts: tuple[str, ...]
    groups: tuple[str, ...]
    y: NDArray[np.int64]
    out_of_fold: Mapping[str, NDArray[np.float32]]
    test_y: NDArray[np.int64]
    answers: Mapping[str, NDArray[np.int64]]


def fits_of(name: str, seeds: int, *, keep: bool) -> Iterator[Fits]:
    """The set's draws, each fitted once."""
    material: DrawnSet | None = None
    for seed in range(seeds):
        for shots in (*map(str, SHOTS), "total"):
            path = PARTS / f"{name}-{shots}-{seed}.npz"
            if keep and path.exists():
                yield _load(path)
                continue
            material = material or DrawnSet.read(name, seeds)
            rows = material.draw(shots, seed)
            if rows is None:
                continue
            fits = material.fit(rows, shots, seed)
            if keep:
                _save(path, fits)
            yield fits


@dataclass(frozen=True, slots=True, eq=False)
class DrawnSet:
    """A set with its encoder: what can be drawn, and the test part."""

    name: str
    labels: tuple[str, ...]
    pool: tuple[str, ...]
    pool_y: NDArray[np.int64]
    test: tuple[str, ...]
    test_y: NDArray[np.int64]
    encoder: Any

    @classmethod
    def read(cls, name: str, seeds: int) -> "DrawnSet":
        from milepost.contests.held import HeldVectors
        from milepost.data.duplicates import text_keys
        from milepost.models.catalog import open_encoder
        from milepost.workflows.opening import cache_folder

        (pool, pool_labels), (test, test_labels) = (_read(name, stem) for stem in SETS[name])
        keep = np.random.default_rng(1).permutation(len(test))[:MOST_TEST]
        test, test_labels = [test[i] for i in keep], [test_labels[i] for i in keep]
        # What also occurs in the test part is never drawn.
        seen = set(text_keys(test))
        new: dict[str, int] = {}
        for row, key in enumerate(text_keys(pool)):
            if key not in seen:
                new.setdefault(key, row)
        rows = list(new.values())
        labels = tuple(sorted({pool_labels[i] for i in rows} - {"oos"}))
        rows = [i for i in rows if pool_labels[i] in labels]
        tested = [i for i, label in enumerate(test_labels) if label in labels]
        position = {label: i for i, label in enumerate(labels)}
        made = cls(
            name=name,
            labels=labels,
            pool=tuple(pool[i] for i in rows),
            pool_y=np.array([position[pool_labels[i]] for i in rows], np.int64),
            test=tuple(test[i] for i in tested),
            test_y=np.array([position[test_labels[i]] for i in tested], np.int64),
            encoder=None,
        )
        draws = [made.draw(s, seed) for seed in range(seeds) for s in (*map(str, SHOTS), "total")]
        drawn = sorted({int(i) for rows in draws if rows is not None for i in rows})
        texts = [*made.test, *(made.pool[i] for i in drawn), *labels]
        held = HeldVectors(open_encoder("embedded", cache_folder()), texts)
        return cls(name, labels, made.pool, made.pool_y, made.test, made.test_y, held)

    def draw(self, shots: str, seed: int) -> NDArray[np.int64] | None:
        """Rows of the pool; smaller draws are part of larger ones. ``None`` where too many."""
        order = np.random.default_rng(seed).permutation(len(self.pool_y))
        if shots == "total":
            rows = order[:TOTAL]
            return rows if len(np.unique(self.pool_y[rows])) == len(self.labels) else None
        by_label = order[np.argsort(self.pool_y[order], kind="stable")]
        _, counts = np.unique(self.pool_y, return_counts=True)
        rank = np.concatenate([np.arange(count) for count in counts])
        rows = np.sort(by_label[rank < int(shots)])
        return rows if len(rows) <= MOST_TRAIN else None

    def fit(self, rows: NDArray[np.int64], shots: str, seed: int) -> Fits:
        from milepost._base.settings import Settings
        from milepost.contests.runner import predict
        from milepost.contests.runner import run as contest
        from milepost.data.duplicates import group_texts
        from milepost.data.splitting.folding import fold_groups
        from milepost.strategies.registry import STRATEGIES, strategy_named
        from milepost.strategy import Problem

        settings = Settings()
        problem = Problem(
            labels=self.labels,
            descriptions=("",) * len(self.labels),
            instruction="",
            texts=tuple(self.pool[i] for i in rows),
            y=self.pool_y[rows],
            encoder=self.encoder,
            seed=seed,
        )
        groups = group_texts(problem.texts, settings.near_duplicate).groups
        strategies = [strategy_named(each) for each in STRATEGIES]
        entries = contest(problem, fold_groups(groups, problem.y, settings.folds, seed), strategies)
        fitted = {e.strategy: e.fitted for e in entries if e.fitted is not None}
        return Fits(
            set=self.name,
            shots=shots,
            seed=seed,
            labels=self.labels,
            texts=problem.texts,
            groups=groups,
            y=problem.y,
            out_of_fold={name: each.out_of_fold for name, each in fitted.items()},
            test_y=self.test_y,
            answers={
                name: predict(each.predictor, self.test, self.encoder).argmax(axis=1)
                for name, each in fitted.items()
            },
        )


def _read(name: str, stem: str) -> tuple[list[str], list[str]]:
    import pyarrow.parquet as pq

    table = pq.read_table(data_folder() / name / f"{stem}.parquet", columns=["text", "label"])
    found = zip(table["text"].to_pylist(), table["label"].to_pylist(), strict=True)
    pairs = [(text[:MOST_CHARS].strip(), label) for text, label in found if text and label]
    pairs = [(text, label) for text, label in pairs if text]
    return [text for text, _ in pairs], [label for _, label in pairs]


def _save(path: Path, fits: Fits) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    facts = {
        "set": fits.set,
        "shots": fits.shots,
        "seed": fits.seed,
        "labels": fits.labels,
        "texts": fits.texts,
        "groups": fits.groups,
    }
    half = path.with_suffix(".part")
    arrays = {
        "y": fits.y,
        "test_y": fits.test_y,
        "facts": np.array(json.dumps(facts)),
        **{f"fold {name}": each for name, each in fits.out_of_fold.items()},
        **{f"test {name}": each.astype(np.int16) for name, each in fits.answers.items()},
    }
    with half.open("wb") as file:
        np.savez_compressed(file, **cast("Any", arrays))
    half.replace(path)


def _load(path: Path) -> Fits:
    with np.load(path) as kept:
        facts = json.loads(str(kept["facts"]))
        for name in ("labels", "texts", "groups"):
            facts[name] = tuple(facts[name])
        parts = {
            kind: {n.removeprefix(kind): kept[n] for n in kept.files if n.startswith(kind)}
            for kind in ("fold ", "test ")
        }
        return Fits(
            **facts,
            y=kept["y"],
            test_y=kept["test_y"],
            out_of_fold=parts["fold "],
            answers={name: each.astype(np.int64) for name, each in parts["test "].items()},
        )
