"""Learning curves of real sets with what came true at two and five times the labels; JSON."""

import json

import numpy as np

from bench.common import request
from bench.vectors import Held, load, problem


def cases(name: str, sizes: list[int], seeds: int) -> list[dict[str, object]]:
    """One case per size and seed; the truth is measured on rows that no fit has seen."""
    from milepost.contests.curve import learning_curve
    from milepost.contests.runner import predict
    from milepost.metrics.classification import score
    from milepost.metrics.intervals import estimate
    from milepost.strategies.head_closed_form import HeadClosedForm

    whole = load(name)
    encoder, k = Held(whole), len(whole.labels)
    found: list[dict[str, object]] = []
    for n in [size for size in sizes if size >= 4 * k and 5 * size + 400 <= len(whole.y)]:
        for seed in range(seeds):
            order = np.random.default_rng([seed, n]).permutation(len(whole.y))
            given = order[:n]
            rest = order[5 * n :]
            points = learning_curve(
                problem(whole, given, whole.y[given], encoder),
                [whole.groups[i] for i in given.tolist()],
                HeadClosedForm(),
            )
            case: dict[str, object] = {"set": name, "n": n, "seed": seed, "k": k}
            truths: dict[int, np.ndarray] = {}
            for times in (2, 5):
                rows = order[: times * n]
                fitted = HeadClosedForm().fit(problem(whole, rows, whole.y[rows], encoder))
                texts = [whole.texts[i] for i in rest.tolist()]
                truths[times] = predict(fitted, texts, encoder).argmax(axis=1)
            for metric in ("accuracy", "macro_f1"):
                now = estimate(metric, whole.y[given], points[-1].answers[0], k)
                case[metric] = {
                    "sizes": [point.examples for point in points],
                    "values": [
                        float(np.mean([score(metric, whole.y[given], a, k) for a in point.answers]))
                        for point in points
                    ],
                    "half": (now.high - now.low) / 2.0,
                    "truth": {
                        times: score(metric, whole.y[rest], answers, k)
                        for times, answers in truths.items()
                    },
                }
            found.append(case)
    return found


def main() -> None:
    asked = request()
    print(json.dumps([c for s in asked["sets"] for c in cases(s, asked["sizes"], asked["seeds"])]))


if __name__ == "__main__":
    main()
