"""Learning curves of real sets with what came true at two and five times the labels; JSON."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.common import request
from bench.vectors import Held, load, problem


def cases(name: str, asked: dict[str, Any]) -> list[dict[str, object]]:
    """One case per size and seed; the truth is measured on rows that no fit has seen."""
    from milepost.contests.curve import learning_curve
    from milepost.contests.runner import predict
    from milepost.strategies.head_closed_form import HeadClosedForm

    whole = load(name)
    encoder, k = Held(whole), len(whole.labels)
    found: list[dict[str, object]] = []
    fitting = [n for n in asked["sizes"] if n >= 4 * k and 5 * n + 400 <= len(whole.y)]
    for n in fitting:
        for seed in range(asked["seeds"]):
            order = np.random.default_rng([seed, n]).permutation(len(whole.y))
            given, rest = order[:n], order[5 * n :]
            points = learning_curve(
                problem(whole, given, whole.y[given], encoder),
                [whole.groups[i] for i in given.tolist()],
                HeadClosedForm(),
            )
            texts = [whole.texts[i] for i in rest.tolist()]
            truths: dict[int, NDArray[np.float32]] = {}
            for times in asked["ahead"]:
                rows = order[: times * n]
                fitted = HeadClosedForm().fit(problem(whole, rows, whole.y[rows], encoder))
                truths[times] = predict(fitted, texts, encoder)
            curves = {
                metric: _curve(metric, whole.y[given], points, whole.y[rest], truths, asked)
                for metric in asked["metrics"]
            }
            found.append({"set": name, "n": n, "seed": seed, "k": k, "curves": curves})
    return found


def _curve(
    metric: str,
    y: NDArray[np.int64],
    points: list[Any],
    later_y: NDArray[np.int64],
    truths: dict[int, NDArray[np.float32]],
    asked: dict[str, Any],
) -> dict[str, object]:
    """Sizes and values, half the last interval by confidence, and the truth by times."""
    from milepost.entities.task import Objective
    from milepost.evaluation.measuring import measure_of
    from milepost.metrics.inference.intervals import estimate_of
    from milepost.metrics.scoring.measures import Sample

    measure = measure_of(Objective(metric=metric), (), Path())
    now = measure.found(Sample(y, points[-1].probabilities[0]))
    bounds = {c: estimate_of(now, c) for c in asked["confidences"]}
    return {
        "sizes": [point.examples for point in points],
        "values": [
            float(np.mean([measure.value(Sample(y, each)) for each in point.probabilities]))
            for point in points
        ],
        "half": {str(c): (each.high - each.low) / 2.0 for c, each in bounds.items()},
        "truth": {
            str(times): measure.value(Sample(later_y, each)) for times, each in truths.items()
        },
    }


def main() -> None:
    asked = request()
    print(json.dumps([case for name in asked["sets"] for case in cases(name, asked)]))


if __name__ == "__main__":
    main()
