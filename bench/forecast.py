"""Forecasts of the learning curve at 2 and 5 times the labels, held against what came true.

From n labels of a real set the metric with 2 n and 5 n is forecast, and measured with that many on
rows that no fit has seen. Baselines: the last point of the curve, and a plain power law. The width
of the interval is calibrated on every second set (`calibration`) and judged on the others
(`validation`): `covered_90` and `covered_95` are the shares of forecasts whose interval held.
"""

import json

import numpy as np

from bench.common import Options, peer

SETS = (
    "ag_news_test_split", "atis", "banking77", "cr", "emotion", "hwu64", "mr", "sms_spam", "snips",
    "sst2", "subj", "trec", "tweeteval_emotion", "tweeteval_irony", "tweeteval_offensive",
)  # fmt: skip
SIZES, SEEDS = (100, 200, 400), 4
LEVELS = {"covered_90": 1.6448536, "covered_95": 1.959964}


def run(options: Options) -> dict[str, object]:
    """Cases of all sets, then error and coverage by half, metric and factor."""
    sets = SETS[:2] if options.quick else SETS
    asked = {"sets": sets, "sizes": SIZES[:1] if options.quick else SIZES, "seeds": SEEDS}
    cases = json.loads(peer("forecast_cases", asked, env={"OMP_NUM_THREADS": "1"}).out)
    rows = [row for case in cases for row in _rows(case)]
    halves = {"calibration": sets[::2], "validation": sets[1::2]}
    table = {
        f"{half} {metric} x{times}": _summary(
            [
                row
                for row in rows
                if row["set"] in names and row["metric"] == metric and row["times"] == times
            ]
        )
        for half, names in halves.items()
        for metric in ("accuracy", "macro_f1")
        for times in (2, 5)
    }
    for name, each in table.items():
        print(f"{name:<28}" + "".join(f" {k} {v:.3f}" for k, v in each.items()))
    return {"sets": halves, "sizes": SIZES, "seeds": SEEDS, "table": table}


def _rows(case):
    from milepost.metrics.forecast import continued, half_width, power_law

    for metric in ("accuracy", "macro_f1"):
        curve = case[metric]
        sizes, values = np.asarray(curve["sizes"], float), np.asarray(curve["values"])
        for times in (2, 5) if len(sizes) >= 3 else ():
            at, truth = float(times * case["n"]), curve["truth"][str(times)]
            found = continued(sizes, values, at)
            widths = {
                name: half_width(found, curve["half"] * z / LEVELS["covered_95"], z)
                for name, z in LEVELS.items()
            }
            yield {
                "set": case["set"],
                "metric": metric,
                "times": times,
                "error": abs(found.value - truth),
                "last_value": abs(values[-1] - truth),
                "power_law": abs(1.0 - power_law(sizes, 1.0 - values)(at) - truth),
                "half_width_95": widths["covered_95"],
                **{name: abs(found.value - truth) <= width for name, width in widths.items()},
            }


def _summary(rows: list[dict[str, float]]) -> dict[str, float]:
    names = ("error", "last_value", "power_law", "half_width_95", *LEVELS)
    means = {name: float(np.mean([row[name] for row in rows])) for name in names}
    return {"n": len(rows), **means}
