"""Search of parameters: what is learned on other sets, and regret against defaults and chance.

All configurations of the strategies that offer a space are fitted on small draws of public sets
(``bench/search_fits.py``). From the losses on test parts that nobody has seen comes the table that
a search begins with, ``contests/searching/prior.json``. Whether it helps is measured with the set
left out of the table. On each draw these rules choose a configuration, by the code of the search:

- ``default``: as the strategy is where no time was given;
- ``prior``: what the table thinks best for such a task; costs nothing;
- ``search``: the table, then a race of at most ``MOST`` configurations over the folds;
- ``race without prior``: the same race among as many drawn at random, with nothing believed;
- ``random search``: configurations drawn at random, each fitted on all folds, as many as can be
  fitted in the time that the search took (the fits' own seconds), and the lowest loss taken;
- ``all``: all configurations on all folds, and the lowest loss taken, whatever it costs.

``excess`` is the log loss on the test part against that of the best configuration in hindsight, in
per cent of it; hindsight knows the noise of the test part, so nobody reaches 0. ``accuracy`` is
in points against the default. Intervals of means are 95 % percentile bootstrap over sets.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.common import ROOT, Options
from bench.search_fits import SEEDS, SETS, Tries, configurations, tries_of

TABLE = ROOT / "src" / "milepost" / "contests" / "searching" / "prior.json"
RULES = ("default", "prior", "search", "race without prior", "random search", "all")
QUICK = ("cr", "snips")
DRAWS = 5
"""Random searches of each draw."""
DIGITS = 3

Array = NDArray[np.float64]


def run(options: Options) -> dict[str, object]:
    """Every set, every draw; two sets and one seed when quick. A full run writes the table."""
    names = options.only or (QUICK if options.quick else SETS)
    seeds = 1 if options.quick else SEEDS
    tries: list[Tries] = []
    for name in names:
        here = list(tries_of(name, seeds, keep=not options.quick))
        print(f"{name:<24}{len(here):>3} draws", flush=True)
        tries += here
    table = table_of(tries)
    if not options.quick and not options.only:
        TABLE.write_text(json.dumps(table, separators=(",", ":")) + "\n")
        print(f"Wrote {TABLE.relative_to(ROOT)}, {TABLE.stat().st_size / 1024:.0f} KiB")
    rows = [row for each in tries for row in _chosen(each, table)]
    found = {
        strategy: _summary([row for row in rows if row["strategy"] == strategy])
        for strategy in table["strategies"]
    }
    found["all strategies"] = _summary(rows)
    for strategy, rules in found.items():
        print(f"\n{strategy}")
        for rule, each in rules.items():
            excess, accuracy = each["excess_percent"], each["accuracy_points"]
            print(
                f"  {rule:<20}excess {_shown(excess)} %   accuracy {_shown(accuracy)}   "
                f"{each['seconds']['median']:.2f} s"
            )
    return {"sets": len(names), "draws": len(tries), "strategies": found, "rows": rows}


def table_of(tries: Sequence[Tries]) -> dict[str, Any]:
    """The table of the package: a row per draw, seeds of a draw as one."""
    draws: dict[tuple[str, str], list[Tries]] = {}
    for each in tries:
        draws.setdefault((each.set, each.shots), []).append(each)
    return {
        "tasks": [
            {
                "set": name,
                "regime": np.mean([each.regime for each in same], axis=0).round(2).tolist(),
            }
            for (name, _), same in draws.items()
        ],
        "strategies": {
            strategy: {
                "configurations": known,
                "excess": [
                    np.mean([_excess(each.test_loss[strategy]) for each in same], axis=0)
                    .round(DIGITS)
                    .tolist()
                    for same in draws.values()
                ],
            }
            for strategy, known in configurations().items()
        },
    }


def _excess(losses: Array) -> Array:
    """By which share of the default's loss each loses more."""
    return losses / losses[0] - 1.0


def _chosen(tries: Tries, table: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What each rule picks on a draw, with its set left out of the table; a row per strategy."""
    from milepost.contests.searching.prior import expected, table_from

    left = table_from(table).without(tries.set)
    if not left.sets:
        left = table_from(table)
    rows: list[dict[str, Any]] = []
    for strategy, known in configurations().items():
        believed = expected(left, strategy, known, {}, tries.regime)
        picked = _picked(tries, strategy, believed)
        best = float(tries.test_loss[strategy].min())
        base = float(tries.test_accuracy[strategy][0])
        rows.append(
            {
                "set": tries.set,
                "shots": tries.shots,
                "seed": tries.seed,
                "strategy": strategy,
                "rules": {
                    rule: {
                        "excess_percent": float(
                            np.mean([100 * (tries.test_loss[strategy][i] / best - 1) for i in each])
                        ),
                        "accuracy_points": float(
                            np.mean([100 * (tries.test_accuracy[strategy][i] - base) for i in each])
                        ),
                        "seconds": seconds,
                    }
                    for rule, (each, seconds) in picked.items()
                },
            }
        )
    return rows


def _picked(tries: Tries, strategy: str, believed: Any) -> dict[str, tuple[list[int], float]]:
    """Configurations that each rule picks, several where it draws, and what it took in seconds."""
    from milepost.contests.searching.halving import Expected, entrants, race
    from milepost.contests.searching.searched import MOST

    folds = [np.flatnonzero(tries.fold_of == f) for f in range(int(tries.fold_of.max()) + 1)]
    rows, seconds = tries.losses[strategy], tries.seconds[strategy]
    m = len(seconds)
    taken: list[int] = []

    def losses(configuration: int, part: int) -> Array:
        taken.append(configuration)
        return rows[configuration, folds[part]].astype(np.float64)

    found = race(losses, believed, entrants(believed, MOST), len(folds))
    took = float(seconds[taken].sum())
    nothing = Expected(np.zeros(m), np.full(m, 1e6))
    rng = np.random.default_rng([tries.seed, len(tries.fold_of), m])
    blind: list[int] = []
    random: list[int] = []
    for _ in range(DRAWS):
        order = rng.permutation(np.arange(1, m))
        entering = [0, *order[: min(MOST, m) - 1].tolist()]
        blind.append(race(losses, nothing, entering, len(folds)).chosen)
        spent, tried = len(folds) * float(seconds[0]), [0]
        for each in order.tolist():
            spent += len(folds) * float(seconds[each])
            if spent > took:
                break
            tried.append(each)
        random.append(min(tried, key=lambda each: float(rows[each].mean())))
    every = float(seconds.sum()) * len(folds)
    return {
        "default": ([0], 0.0),
        "prior": ([int(believed.mean.argmin())], 0.0),
        "search": ([found.chosen], took),
        "race without prior": (blind, took),
        "random search": (random, took),
        "all": ([int(rows.mean(axis=1).argmin())], every),
    }


def _summary(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        rule: {
            **{kind: _mean(rows, rule, kind) for kind in ("excess_percent", "accuracy_points")},
            "seconds": {"median": float(np.median([r["rules"][rule]["seconds"] for r in rows]))},
        }
        for rule in RULES
    }


def _mean(rows: Sequence[Mapping[str, Any]], rule: str, kind: str) -> dict[str, float]:
    """Mean over draws, and its interval by drawing sets."""
    sets = sorted({row["set"] for row in rows})
    values = [[r["rules"][rule][kind] for r in rows if r["set"] == name] for name in sets]
    sums, counts = np.array([sum(v) for v in values]), np.array([len(v) for v in values])
    drawn = np.random.default_rng(0).integers(0, len(sets), size=(2000, len(sets)))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return {
        "mean": float(sums.sum() / counts.sum()),
        "low": float(low),
        "high": float(high),
        "worst": float(max(max(v) for v in values) if kind == "excess_percent" else
                       min(min(v) for v in values)),
        "n": int(counts.sum()),
    }  # fmt: skip


def _shown(found: Mapping[str, float]) -> str:
    return f"{found['mean']:>6.2f} [{found['low']:.2f}, {found['high']:.2f}]"
