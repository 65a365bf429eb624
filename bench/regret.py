"""Choice regret: what the contest chooses against the best candidate in hindsight, on real sets.

For each public set, number of labels and draw, all strategies fit the same few examples as in
``milepost improve`` (``contests.runner.run`` on near-duplicate groups), ``judge`` chooses one out
of fold, and all of them are measured on a test part that nobody has seen. The regret is the metric
of the best candidate in hindsight minus that of the chosen one. Hindsight knows the noise of the
test part, so that its best is partly luck: a perfect rule would show some regret, too. So it is
told twice. ``regret`` is with that luck, an upper bound; for ``regret_without_luck`` hindsight
chooses on one half of the test part, and both are measured on the other half, ten times both ways,
which is a lower bound, as half the rows may mislead hindsight. Rows of the test part are weighted
so that its labels have the shares that they have among the drawn examples: with four examples of
each label nobody can know that one of them is rare.

Beside it, on the same contests, other rules: the best out-of-fold metric alone, the lowest
out-of-fold log loss alone, the rule of milepost without its order of trust, the best on a single
split (one fold of five), and always the same strategy. That order of trust is the order of what
always taking the same strategy costs here; ``orders`` says how often it comes out the same with one
set left out, so that no set decides about itself.

How to read it: points are hundredths of the metric; the interval of a mean is a 95 % percentile
bootstrap over sets, because the contests of one set resemble each other. Fitting is kept in
``bench/results/regret.parts``, so that a run that was broken off goes on, and another rule can be
tried in a minute; ``--only SET ...`` takes only these sets.
"""

import time
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from bench.common import Options
from bench.regret_fits import SEEDS, SETS, SHOTS, Fits, fits_of

TARGET = 0.5
"""Largest allowed mean regret, in points."""
HALVINGS = 10
METRICS = ("accuracy", "macro_f1")
KINDS = ("regret", "regret_without_luck")
QUICK = ("cr", "snips")

Row = dict[str, Any]


def run(options: Options) -> dict[str, object]:
    """Every set, every draw; two sets and one seed when quick."""
    names = options.only or (QUICK if options.quick else tuple(sorted(SETS)))
    seeds = 1 if options.quick else SEEDS
    rows: list[Row] = []
    for name in names:
        started = time.process_time()
        here = [
            row for fits in fits_of(name, seeds, keep=not options.quick) for row in _chosen(fits)
        ]
        rows += here
        regret = float(np.mean([row["regret"]["milepost"] for row in here]))
        print(
            f"{name:<24}{len(here) // len(METRICS):>4} contests, mean regret {regret:>5.2f} "
            f"points, {time.process_time() - started:>4.0f} s CPU",
            flush=True,
        )
    from milepost.strategies.registry import TRUSTED

    results = _summary(rows)
    for metric, found in results.items():
        print(f"\n{metric}, mean regret in points, without the luck of hindsight in brackets")
        for rule, shots in found["rules"].items():
            print(f"  {rule:<28}" + "  ".join(_shown(name, each) for name, each in shots.items()))
    return {
        "target_points": TARGET,
        "sets": len(names),
        "contests": len(rows) // len(METRICS),
        "trusted": list(TRUSTED),
        "orders": _orders(rows),
        "metrics": results,
        "rows": [_short(row) for row in rows],
    }


def _shown(shots: str, found: Row) -> str:
    regret, fair = found["regret"], found["regret_without_luck"]
    return f"{shots}: {regret['mean']:.2f} ({fair['mean']:.2f})"


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

    The code of the contest chooses; there is no limit on time, so that no time is asked for.
    """
    from milepost._base.settings import Settings
    from milepost.contests.runner import Fitted
    from milepost.data.splitting.folding import Folding
    from milepost.entities.example import Examples
    from milepost.entities.scorecard import Latency
    from milepost.entities.task import Task, make_objective
    from milepost.metrics.scoring.measures import counted as measure_named
    from milepost.predictors.constant import ConstantPredictor
    from milepost.workflows.contest.datasets import once_per_message
    from milepost.workflows.contest.judge import Bench, choose

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
        folding=Folding(np.zeros(len(train), np.int64), np.ones(len(train), np.bool_)),
        counted=counted,
        own=len(train),
        judged=train.take(counted.tolist()),
        judged_y=fits.y[counted],
        encoder=encoder,
        bare_encoder=encoder,
        settings=Settings(),
        seed=fits.seed,
        looks=1,
        provenance={},
        measure=measure_named(metric),
    )
    fitted = {name: Fitted(stand_in, each) for name, each in fits.out_of_fold.items()}
    instant = Latency(p50_ms=0.0, p95_ms=0.0, n=1, cpu_seconds_per_1k=0.0, cost_per_1k_usd=0.0)
    selection, eligible = choose(bench, fitted, dict.fromkeys(fitted, instant))
    assert selection is not None
    return eligible[selection.chosen]


def _chosen(fits: Fits) -> list[Row]:
    """What each rule picks, and its regret in points; a row per metric."""
    from milepost.metrics.inference.intervals import Sampling
    from milepost.metrics.inference.selection import Ties, best_of
    from milepost.metrics.scoring.classification import log_loss_rows, score

    k = len(fits.labels)
    competing = [name for name in fits.out_of_fold if name != "majority"]
    losses = np.stack([log_loss_rows(fits.y, fits.out_of_fold[name]) for name in competing])
    out = np.stack([fits.out_of_fold[name].argmax(axis=1) for name in competing])
    once = _one_fold(fits)
    shares = np.bincount(fits.y, minlength=k) / len(fits.y)
    rows: list[Row] = []
    for metric in METRICS:
        test = _tested(fits, competing, metric, np.arange(len(fits.test_y)), shares)
        found = [score(metric, fits.y, each, k) for each in out]
        split = [score(metric, fits.y[once], each[once], k) for each in out]
        untrusting = best_of(metric, fits.y, out, k, Sampling(resamples=500), Ties(losses=losses))
        picked = {
            "milepost": competing.index(_judged(fits, metric)),
            "without trust": untrusting.chosen,
            "best out of fold": int(np.argmax(found)),
            "lowest log loss": int(losses.mean(axis=1).argmin()),
            "best on a single split": int(np.argmax(split)),
            **{f"always {name}": i for i, name in enumerate(competing)},
        }
        fair = _without_luck(fits, competing, metric, shares)
        best = int(test.argmax())
        rows.append(
            {
                "set": fits.set,
                "shots": fits.shots,
                "seed": fits.seed,
                "metric": metric,
                "n": len(fits.texts),
                "k": k,
                "tested": len(fits.test_y),
                "chosen": competing[picked["milepost"]],
                "best": competing[best],
                "best_value": float(test[best]),
                "regret": {rule: 100 * float(test[best] - test[i]) for rule, i in picked.items()},
                "regret_without_luck": {rule: 100 * float(fair[i]) for rule, i in picked.items()},
            }
        )
    return rows


def _one_fold(fits: Fits) -> NDArray[np.int64]:
    """Rows of the first fold: a split that trains on the others and measures on these."""
    from milepost._base.settings import Settings
    from milepost.data.splitting.folding import fold_groups

    folding = fold_groups(fits.groups, fits.y, Settings().folds, fits.seed)
    return folding.inside(0)


def _tested(
    fits: Fits,
    competing: Sequence[str],
    metric: str,
    rows: NDArray[np.int64],
    shares: NDArray[np.float64],
) -> NDArray[np.float64]:
    """The metric of each on these rows of the test part, ``(m,)``."""
    y = fits.test_y[rows]
    return np.array([weighted(metric, y, fits.answers[name][rows], shares) for name in competing])


def _without_luck(
    fits: Fits, competing: Sequence[str], metric: str, shares: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Regret of each when hindsight chooses on one half of the test part, ``(m,)``."""
    rng = np.random.default_rng(0)
    found: list[NDArray[np.float64]] = []
    for _ in range(HALVINGS):
        order = rng.permutation(len(fits.test_y))
        halves = [
            _tested(fits, competing, metric, rows, shares) for rows in np.array_split(order, 2)
        ]
        for one, other in (halves, halves[::-1]):
            found.append(other[one.argmax()] - other)
    return np.mean(found, axis=0)


def _orders(rows: Sequence[Row]) -> dict[str, int]:
    """Strategies by what always taking each costs, with one set left out, and how often."""
    prefix = "always "
    counts: dict[str, int] = {}
    for name in sorted({row["set"] for row in rows}) if len({r["set"] for r in rows}) > 1 else ():
        others = [row["regret_without_luck"] for row in rows if row["set"] != name]
        rules = [rule for rule in others[0] if rule.startswith(prefix)]
        costs = {rule: float(np.mean([each[rule] for each in others])) for rule in rules}
        order = ", ".join(
            rule.removeprefix(prefix) for rule in sorted(costs, key=costs.__getitem__)
        )
        counts[order] = counts.get(order, 0) + 1
    return counts


def _summary(rows: Sequence[Row]) -> dict[str, Row]:
    """Mean regret of each rule with its interval, its distribution, and the worst cases."""
    found: dict[str, Row] = {}
    for metric in METRICS:
        here = [row for row in rows if row["metric"] == metric]
        rules = [rule for rule in here[0]["regret"] if all(rule in row["regret"] for row in here)]
        mine = np.array([row["regret"]["milepost"] for row in here])
        worst = sorted(here, key=lambda row: -row["regret"]["milepost"])[:10]
        found[metric] = {
            "contests": len(here),
            "rules": {rule: _by_shots(here, rule) for rule in rules},
            "by_set": {
                name: float(np.mean([r["regret"]["milepost"] for r in here if r["set"] == name]))
                for name in sorted({row["set"] for row in here})
            },
            "distribution": {
                "none": float((mine <= 1e-9).mean()),
                "at_most_1_point": float((mine <= 1.0).mean()),
                **{f"p{q}": float(np.percentile(mine, q)) for q in (50, 75, 90, 95, 100)},
            },
            "worst": [_short(row) for row in worst],
            "within_target": bool(mine.mean() <= TARGET),
        }
    return found


def _short(row: Row) -> Row:
    """A contest without what other rules came to."""
    return {**row, **{kind: row[kind]["milepost"] for kind in KINDS}}


def _by_shots(rows: Sequence[Row], rule: str) -> Row:
    """What a rule costs over all contests and by size of the draw, with and without luck."""
    found: Row = {}
    for shots in ("all", *map(str, SHOTS), "total"):
        here = [row for row in rows if shots in ("all", row["shots"])]
        if here:
            found[shots] = {kind: _mean_by_set(here, rule, kind) for kind in KINDS}
    return found


def _mean_by_set(rows: Sequence[Row], rule: str, kind: str) -> Row:
    """Mean over contests, and its 95 % interval by drawing sets."""
    sets = sorted({row["set"] for row in rows})
    sums = np.array([sum(r[kind][rule] for r in rows if r["set"] == name) for name in sets])
    counts = np.array([sum(row["set"] == name for row in rows) for name in sets])
    drawn = np.random.default_rng(0).integers(0, len(sets), size=(2000, len(sets)))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return {
        "mean": float(sums.sum() / counts.sum()),
        "low": float(low),
        "high": float(high),
        "worst": float(max(row[kind][rule] for row in rows)),
        "n": int(counts.sum()),
    }
