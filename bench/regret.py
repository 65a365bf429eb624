"""Choice regret: what the contest chooses against the best candidate in hindsight, on real sets.

For each public set, number of labels and draw, all strategies fit the same few examples as in
``milepost improve`` (``contests.runner.run`` on near-duplicate groups), ``judge`` chooses one out
of fold, and all of them are measured on a test part that nobody has seen. The regret is the metric
of the best candidate in hindsight minus that of the chosen one. Hindsight knows the noise of the
test part, so that its best is partly luck: a perfect rule would show some regret, too. Rows of the
test part are weighted so that its labels have the shares that they have among the drawn examples:
with four examples of each label nobody can know that one of them is rare.

Beside it, on the same contests, naive rules: the best out-of-fold metric alone, the lowest
out-of-fold log loss alone, and always the same strategy.

How to read it: points are hundredths of the metric; the interval of a mean is a 95 % percentile
bootstrap over sets, because the contests of one set resemble each other. Fitting is kept in
``bench/results/regret.parts``, so that a run that was broken off goes on, and another rule can be
tried in a minute; ``--only SET ...`` takes only these sets.
"""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from bench.common import RESULTS, Options, data_folder

TARGET = 0.5
"""Largest allowed mean regret, in points."""
SHOTS = (4, 16, 64)
"""Examples per label; a label that has fewer gives all."""
TOTAL = 300
"""Examples of the draw that keeps the labels' shares."""
MOST_TRAIN = 1300
"""Larger draws are left out: their fits would take most of the time."""
MOST_TEST = 2000
MOST_CHARS = 300
SEEDS = 3
METRICS = ("accuracy", "macro_f1")
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
QUICK = ("cr", "snips")

Row = dict[str, Any]


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


def run(options: Options) -> dict[str, object]:
    """Every set, every draw; two sets and one seed when quick."""
    names = options.only or (QUICK if options.quick else tuple(sorted(SETS)))
    seeds = 1 if options.quick else SEEDS
    rows: list[Row] = []
    for name in names:
        started = time.process_time()
        here = [row for fits in _fits(name, seeds, keep=not options.quick) for row in _chosen(fits)]
        rows += here
        regret = float(np.mean([row["regret"]["milepost"] for row in here]))
        print(
            f"{name:<24}{len(here) // len(METRICS):>4} contests, mean regret {regret:>5.2f} "
            f"points, {time.process_time() - started:>4.0f} s CPU",
            flush=True,
        )
    results = _summary(rows)
    for metric, found in results.items():
        print(f"\n{metric}, mean regret in points")
        for rule, each in found["rules"].items():
            print(
                f"  {rule:<26}{each['mean']:>6.2f} [{each['low']:.2f}, {each['high']:.2f}]"
                f"  worst {each['worst']:.1f}"
            )
    return {
        "target_points": TARGET,
        "sets": len(names),
        "contests": len(rows) // len(METRICS),
        "metrics": results,
        "rows": rows,
    }


def _fits(name: str, seeds: int, *, keep: bool) -> Iterator[Fits]:
    """The set's draws, each fitted once."""
    material: _Set | None = None
    for seed in range(seeds):
        for shots in (*map(str, SHOTS), "total"):
            path = PARTS / f"{name}-{shots}-{seed}.npz"
            if keep and path.exists():
                yield _load(path)
                continue
            material = material or _Set.read(name, seeds)
            rows = material.draw(shots, seed)
            if rows is None:
                continue
            fits = material.fit(rows, shots, seed)
            if keep:
                _save(path, fits)
            yield fits


@dataclass(frozen=True, slots=True, eq=False)
class _Set:
    """A set with its encoder: what can be drawn, and the test part."""

    name: str
    labels: tuple[str, ...]
    pool: tuple[str, ...]
    pool_y: NDArray[np.int64]
    test: tuple[str, ...]
    test_y: NDArray[np.int64]
    encoder: Any

    @classmethod
    def read(cls, name: str, seeds: int) -> "_Set":
        from milepost.contests.runner import HeldVectors
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


def weighted(
    metric: str,
    y: NDArray[np.int64],
    answers: NDArray[np.int64],
    shares: NDArray[np.float64],
) -> float:
    """A metric on test rows that are weighted to have the labels in these shares, ``(k,)``.

    Labels without a test row are left out.
    """
    k = len(shares)
    counts = np.bincount(y, minlength=k)
    weights = np.divide(shares, counts, out=np.zeros(k), where=counts > 0)[y]
    actual = np.bincount(y, weights, minlength=k)
    right = np.bincount(y[answers == y], weights[answers == y], minlength=k)
    if metric == "accuracy":
        return float(right.sum() / actual.sum())
    answered = np.bincount(answers, weights, minlength=k)
    seen = actual > 0
    return float((2 * right[seen] / (actual + answered)[seen]).mean())


def _judged(fits: Fits, metric: str) -> str:
    """The strategy that a contest with this objective chooses.

    The real code chooses; as there is no limit on time, what is timed need not be the predictors.
    """
    from milepost._base.settings import Settings
    from milepost.contests.runner import Entry, Fitted
    from milepost.entities.example import Examples
    from milepost.entities.ids import ContestId
    from milepost.entities.task import Task, make_objective
    from milepost.metrics.measures import counted as measure_named
    from milepost.predictors.constant import ConstantPredictor
    from milepost.workflows.contest.datasets import once_per_message
    from milepost.workflows.contest.judge import Bench, judge

    names = tuple(map(str, range(len(fits.texts))))
    train = Examples(
        ids=names,
        texts=fits.texts,
        labels=tuple(fits.labels[i] for i in fits.y),
        groups=fits.groups,
        sources=names,
    )
    counted = once_per_message(train)
    stand_in = ConstantPredictor(labels=fits.labels, log_prior=np.zeros(len(fits.labels)))
    encoder = cast("Any", None)
    bench = Bench(
        task=Task(name="regret", objective=make_objective(metric)),
        labels=fits.labels,
        regime="cross_fitted",
        train=train,
        train_y=fits.y,
        counted=counted,
        judged=train.take(counted.tolist()),
        judged_y=fits.y[counted],
        encoder=encoder,
        bare_encoder=encoder,
        settings=Settings(latency_samples=5),
        seed=fits.seed,
        looks=1,
        provenance={},
        measure=measure_named(metric),
    )
    entries = [
        Entry(strategy=name, fitted=Fitted(stand_in, probabilities))
        for name, probabilities in fits.out_of_fold.items()
    ]
    chosen = judge(bench, entries, ContestId("c0")).chosen
    assert chosen is not None
    return chosen.strategy


def _chosen(fits: Fits) -> list[Row]:
    """What each rule picks, and its regret in points; a row per metric."""
    from milepost.metrics.classification import log_loss_rows, score

    k = len(fits.labels)
    competing = [name for name in fits.out_of_fold if name != "majority"]
    losses = {
        name: float(log_loss_rows(fits.y, fits.out_of_fold[name]).mean()) for name in competing
    }
    rows: list[Row] = []
    for metric in METRICS:
        shares = np.bincount(fits.y, minlength=k) / len(fits.y)
        test = {
            name: weighted(metric, fits.test_y, fits.answers[name], shares) for name in competing
        }
        found = {
            name: score(metric, fits.y, fits.out_of_fold[name].argmax(axis=1), k)
            for name in competing
        }
        best = max(test, key=test.__getitem__)
        picked = {
            "milepost": _judged(fits, metric),
            "best out of fold": max(found, key=found.__getitem__),
            "lowest log loss": min(losses, key=losses.__getitem__),
            **{f"always {name}": name for name in competing},
        }
        rows.append(
            {
                "set": fits.set,
                "shots": fits.shots,
                "seed": fits.seed,
                "metric": metric,
                "n": len(fits.texts),
                "k": k,
                "tested": len(fits.test_y),
                "chosen": picked["milepost"],
                "best": best,
                "best_value": test[best],
                "regret": {rule: 100 * (test[best] - test[name]) for rule, name in picked.items()},
                "out_of_fold": found,
                "log_loss": losses,
                "test": test,
            }
        )
    return rows


def _summary(rows: Sequence[Row]) -> dict[str, Row]:
    """Mean regret of each rule with its interval, its distribution, and the worst cases."""
    found: dict[str, Row] = {}
    for metric in METRICS:
        here = [row for row in rows if row["metric"] == metric]
        rules = [rule for rule in here[0]["regret"] if all(rule in row["regret"] for row in here)]
        mine = np.array([row["regret"]["milepost"] for row in here])
        worst = sorted(here, key=lambda row: -row["regret"]["milepost"])[:10]
        kept = ("set", "shots", "seed", "n", "tested", "chosen", "best", "best_value")
        found[metric] = {
            "contests": len(here),
            "rules": {rule: _mean_by_set(here, rule) for rule in rules},
            "by_shots": {
                shots: _mean_by_set([row for row in here if row["shots"] == shots], "milepost")
                for shots in (*map(str, SHOTS), "total")
                if any(row["shots"] == shots for row in here)
            },
            "by_set": {
                name: float(np.mean([r["regret"]["milepost"] for r in here if r["set"] == name]))
                for name in sorted({row["set"] for row in here})
            },
            "distribution": {
                "none": float((mine <= 1e-9).mean()),
                "at_most_1_point": float((mine <= 1.0).mean()),
                **{f"p{q}": float(np.percentile(mine, q)) for q in (50, 75, 90, 95, 100)},
            },
            "worst": [
                {**{key: row[key] for key in kept}, "regret": row["regret"]["milepost"]}
                for row in worst
            ],
            "within_target": bool(mine.mean() <= TARGET),
        }
    return found


def _mean_by_set(rows: Sequence[Row], rule: str) -> Row:
    """Mean over contests, and its 95 % interval by drawing sets."""
    sets = sorted({row["set"] for row in rows})
    sums = np.array([sum(r["regret"][rule] for r in rows if r["set"] == name) for name in sets])
    counts = np.array([sum(row["set"] == name for row in rows) for name in sets])
    drawn = np.random.default_rng(0).integers(0, len(sets), size=(2000, len(sets)))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return {
        "mean": float(sums.sum() / counts.sum()),
        "low": float(low),
        "high": float(high),
        "worst": float(max(row["regret"][rule] for row in rows)),
        "n": int(counts.sum()),
    }
