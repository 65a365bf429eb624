"""Simulations behind the statistics: coverage, false releases, optimism, size of a holdout.

Usage: python bench/simulate_statistics.py [--quick] [--output bench/results/statistics.json]
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
from scipy.special import ndtri

from milepost.entities.estimate import Estimate
from milepost.entities.scorecard import Scorecard
from milepost.entities.task import Objective
from milepost.metrics.classification import METRICS
from milepost.metrics.comparison import mcnemar, paired_difference, randomisation
from milepost.metrics.confusion import Cells, Counts
from milepost.metrics.intervals import Sampling, estimate
from milepost.metrics.selection import best_of
from milepost.releases.gate import decide

SHAPES = (
    ("balanced", 2),
    ("balanced", 3),
    ("balanced", 10),
    ("skewed", 2),
    ("skewed", 3),
    ("uneven", 3),
)
QUALITY = ("accuracy", "balanced_accuracy", "macro_f1", "mcc")


def population(shape: str, k: int, rate: float) -> np.ndarray:
    """Joint probabilities (k, k) of actual and answered label."""
    share = np.full(k, 1.0 / k)
    recall = np.full(k, rate)
    if shape == "skewed":
        share = np.array([0.8, 0.2]) if k == 2 else np.array([0.7, 0.2, 0.1])
    if shape == "uneven":
        recall = np.clip(rate + (1.0 - rate) * np.linspace(-0.9, 0.9, k), 0.0, 1.0)
    joint = np.repeat(((1.0 - recall) / (k - 1))[:, None], k, axis=1)
    joint[np.diag_indices(k)] = recall
    return joint * share[:, None]


def true_value(metric: str, joint: np.ndarray) -> float:
    return float(
        METRICS[metric](Counts(np.diag(joint), joint.sum(0), joint.sum(1), np.float64(1.0)))
    )


def sample(joint: np.ndarray, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    k = len(joint)
    code = np.repeat(np.arange(k * k), rng.multinomial(n, joint.ravel()))
    return code // k, code % k


def verdict(metric: str, floor: float, found: Estimate, regime: str) -> str:
    card = Scorecard(regime=regime, metric=metric, metrics={metric: found})
    return decide(Objective(metric=metric, at_least=floor), card, None, None).verdict


def holdout_study(runs: int, rng: np.random.Generator) -> list[dict[str, object]]:
    """Coverage of 95 % intervals, and releases at a true quality equal to the floor."""
    rows = []
    for n in (30, 100, 1000):
        for shape, k in SHAPES:
            for rate in (0.5, 0.9, 0.99):
                joint = population(shape, k, rate)
                for metric in QUALITY:
                    truth = true_value(metric, joint)
                    covered = released = width = 0.0
                    for _ in range(runs):
                        found = estimate(metric, *sample(joint, n, rng), k)
                        covered += found.low <= truth <= found.high
                        width += found.high - found.low
                        if 0.0 <= truth <= 1.0:
                            released += verdict(metric, truth, found, "holdout") == "released"
                    rows.append(
                        {
                            "n": n,
                            "shape": shape,
                            "labels": k,
                            "rate": rate,
                            "metric": metric,
                            "coverage": covered / runs,
                            "width": width / runs,
                            "false_release": released / runs,
                        }
                    )
    return rows


def correlated(
    n: int, k: int, rates: np.ndarray, correlation: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Labels and answers of candidates that tend to be right on the same rows."""
    y = rng.integers(0, k, n)
    common = rng.standard_normal(n)
    answers = np.empty((len(rates), n), np.int64)
    for i, rate in enumerate(rates):
        own = rng.standard_normal(n)
        mixed = np.sqrt(correlation) * common + np.sqrt(1.0 - correlation) * own
        wrong = (y + rng.integers(1, k, n)) % k
        answers[i] = np.where(mixed < ndtri(rate), y, wrong)
    return y, answers


def bbc_cv(y: np.ndarray, answers: np.ndarray, times: int, rng: np.random.Generator) -> np.ndarray:
    """Out-of-bag accuracies of the published method (Tsamardinos et al. 2018)."""
    right = answers == y
    n = len(y)
    found = []
    for _ in range(times):
        rows = rng.integers(0, n, n)
        out = np.ones(n, bool)
        out[rows] = False
        if out.any():
            found.append(right[right[:, rows].mean(axis=1).argmax()][out].mean())
    return np.array(found)


def selection_study(runs: int, rng: np.random.Generator) -> list[dict[str, object]]:
    """Six candidates in the cross-fitted regime; the floor is the chosen one's true quality."""
    rows = []
    for n in (30, 100, 300, 1000):
        for rate in (0.7, 0.9):
            for correlation in (0.8, 0.95):
                for spread in (0.0, 1.0):
                    error = np.sqrt(rate * (1.0 - rate) / n)
                    rates = rate - spread * error * np.linspace(0.0, 1.0, 6)
                    sums = np.zeros(9)
                    for run in range(runs):
                        y, answers = correlated(n, 3, rates, correlation, rng)
                        best = best_of("accuracy", y, answers, 3, Sampling(resamples=300, seed=run))
                        truth = float(rates[best.chosen])
                        found = best.estimate
                        plain = estimate("accuracy", y, answers[best.chosen], 3)
                        drawn = bbc_cv(y, answers, 60, rng)
                        low, high = np.quantile(drawn, [0.025, 0.975])
                        sums += [
                            best.naive - truth,
                            found.value - truth,
                            drawn.mean() - truth,
                            found.low <= truth <= found.high,
                            low <= truth <= high,
                            found.high - found.low,
                            high - low,
                            verdict("accuracy", truth, found, "cross_fitted") == "released",
                            verdict("accuracy", truth, plain, "cross_fitted") == "released",
                        ]
                    names = (
                        "bias_naive bias bias_bbc_cv coverage coverage_bbc_cv width width_bbc_cv "
                        "false_release false_release_uncorrected"
                    )
                    rows.append(
                        {
                            "n": n,
                            "rate": rate,
                            "correlation": correlation,
                            "spread_in_standard_errors": spread,
                            **dict(zip(names.split(), (sums / runs).tolist(), strict=True)),
                        }
                    )
    return rows


def ridge(x: np.ndarray, y: np.ndarray, penalty: float) -> np.ndarray:
    wide = np.hstack([x, np.ones((len(x), 1))])
    target = np.where(y == 1, 1.0, -1.0)
    return np.linalg.solve(wide.T @ wide + penalty * np.eye(wide.shape[1]), wide.T @ target)


def answer(weights: np.ndarray, x: np.ndarray) -> np.ndarray:
    return (x @ weights[:-1] + weights[-1] > 0).astype(np.int64)


def learned_study(runs: int, rng: np.random.Generator) -> list[dict[str, object]]:
    """Real learning: five folds, six penalties, refit on everything; two Gaussian classes.

    The true accuracy of the refit model is known in closed form.
    """
    from scipy.special import ndtr

    rows = []
    d, penalties = 20, (0.1, 1.0, 10.0, 30.0, 100.0, 1000.0)
    mean = np.zeros(d)
    mean[:5] = 0.6
    for n in (60, 150, 400):
        sums = np.zeros(4)
        for run in range(runs):
            y = rng.integers(0, 2, n)
            x = rng.standard_normal((n, d)) + np.where(y[:, None] == 1, mean, -mean)
            fold = rng.permutation(n) % 5
            out = np.empty((len(penalties), n), np.int64)
            for i, penalty in enumerate(penalties):
                for f in range(5):
                    out[i, fold == f] = answer(
                        ridge(x[fold != f], y[fold != f], penalty), x[fold == f]
                    )
            best = best_of("accuracy", y, out, 2, Sampling(resamples=300, seed=run))
            weights = ridge(x, y, penalties[best.chosen])
            size = np.linalg.norm(weights[:-1])
            truth = float(
                (
                    ndtr((weights[:-1] @ mean + weights[-1]) / size)
                    + ndtr((weights[:-1] @ mean - weights[-1]) / size)
                )
                / 2.0
            )
            found = best.estimate
            sums += [
                found.value - truth,
                best.naive - truth,
                found.low <= truth <= found.high,
                verdict("accuracy", truth, found, "cross_fitted") == "released",
            ]
        names = ("bias", "bias_naive", "coverage", "false_release")
        rows.append({"n": n, **dict(zip(names, (sums / runs).tolist(), strict=True))})
    return rows


def paired_study(runs: int, rng: np.random.Generator) -> list[dict[str, object]]:
    """Size of the paired tests at 5 %, and coverage of the interval of the difference."""
    rows = []
    for n in (30, 100, 300):
        for rate in (0.7, 0.9, 0.99):
            for metric in ("accuracy", "macro_f1"):
                rejected = covered = 0
                for run in range(runs):
                    y, both = correlated(n, 3, np.array([rate, rate]), 0.8, rng)
                    cells = Cells.of(y, both, 3)
                    if metric == "accuracy":
                        test = mcnemar(y, both[0], both[1])
                    else:
                        test = randomisation(metric, cells, Sampling(resamples=200, seed=run))
                    rejected += test.p_better < 0.05
                    _, low, high = paired_difference(metric, cells, 0.95)
                    covered += low <= 0.0 <= high
                rows.append(
                    {
                        "n": n,
                        "rate": rate,
                        "metric": metric,
                        "false_better": rejected / runs,
                        "coverage": covered / runs,
                    }
                )
    return rows


def regime_study(runs: int, rng: np.random.Generator) -> list[dict[str, object]]:
    """How often a model that beats the floor by 3 or 5 points is released, by regime.

    Quality follows a learning curve: ``top - 0.6 / sqrt(labels)`` per label of training data. The
    holdout regime trains on what is left and judges on the holdout; the cross-fitted one
    trains on everything, is judged on everything by models of four fifths, and pays for choosing.
    """
    rows = []
    for per_label in (10, 20, 30, 50, 100, 200):
        for k in (2, 10, 77):
            n = per_label * k
            if not 60 <= n <= 6000:
                continue

            def quality(trained: float, k: int = k) -> float:
                return 0.97 - 0.25 / np.sqrt(max(trained / k, 1.0))

            row: dict[str, object] = {"labels": k, "per_label": per_label, "n": n}
            full = quality(n)
            for margin in (0.03, 0.05):
                floor = full - margin
                for share in (0.1, 0.2, 0.3):
                    held = round(n * share)
                    rate = quality(n - held)
                    passed = 0
                    for _ in range(runs):
                        right = rng.random(held) < rate
                        found = estimate("accuracy", np.zeros(held, np.int64), 1 - right, 2)
                        passed += verdict("accuracy", floor, found, "holdout") == "released"
                    row[f"holdout_{share}_margin_{margin}"] = passed / runs
                passed = 0
                for run in range(runs // 4):
                    rates = np.full(6, quality(n * 0.8)) - np.linspace(0, 0.02, 6)
                    y, answers = correlated(n, 3, rates, 0.9, rng)
                    found = best_of("accuracy", y, answers, 3, Sampling(resamples=100, seed=run))
                    passed += (
                        verdict("accuracy", floor, found.estimate, "cross_fitted") == "released"
                    )
                row[f"cross_fitted_margin_{margin}"] = passed / (runs // 4)
            row["quality_lost_to_a_fifth"] = full - quality(n * 0.8)
            rows.append(row)
    return rows


def summary(results: dict[str, object]) -> list[str]:
    """The numbers that are promised, in a few lines."""
    intervals = results["intervals"]
    covered = [row["coverage"] for row in intervals]
    released = [row["false_release"] for row in intervals]
    chosen = results["selection"]
    return [
        f"intervals: coverage min {min(covered):.3f}, mean {np.mean(covered):.3f}",
        f"gate, holdout: false release max {max(released):.3f}, mean {np.mean(released):.3f}",
        "gate, cross-fitted, best of six: false release "
        f"mean {np.mean([row['false_release'] for row in chosen]):.3f}, "
        f"max {max(row['false_release'] for row in chosen):.3f}; without correction "
        f"mean {np.mean([row['false_release_uncorrected'] for row in chosen]):.3f}, "
        f"max {max(row['false_release_uncorrected'] for row in chosen):.3f}",
        "selection: mean width against BBC-CV "
        f"{np.mean([row['width'] / row['width_bbc_cv'] for row in chosen]):.2f}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the runs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path("bench/results/statistics.json"))
    arguments = parser.parse_args()
    scale = 0.1 if arguments.quick else 1.0
    rng = np.random.default_rng(arguments.seed)
    studies = (
        ("intervals", holdout_study, 400),
        ("selection", selection_study, 180),
        ("learned", learned_study, 600),
        ("paired", paired_study, 600),
        ("regimes", regime_study, 200),
    )
    results: dict[str, object] = {"seed": arguments.seed}
    for name, study, runs in studies:
        start = time.perf_counter()
        results[name] = study(max(8, int(runs * scale)), rng)
        print(f"{name}: {time.perf_counter() - start:.1f} s")
    for line in summary(results):
        print(line)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
