"""Simulations behind the statistics: coverage, false releases, optimism, size of a holdout.

Usage: python bench/simulate_statistics.py [--quick] [--output bench/results/statistics.json]
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
from scipy.special import ndtri

from bench.coverage import coverage_study
from milepost.entities.estimate import Estimate
from milepost.metrics.inference.comparison import (
    independent_p_value,
    mcnemar,
    paired_difference,
    randomisation,
)
from milepost.metrics.inference.intervals import Sampling, estimate
from milepost.metrics.inference.multiplicity import holm
from milepost.metrics.inference.selection import best_of
from milepost.metrics.scoring.confusion import Cells
from milepost.metrics.scoring.measures import Sample, counted


def passes(floor: float, found: Estimate) -> bool:
    """The gate's first rule; ``bench.coverage`` checks that the gate follows it."""
    return found.at_least >= floor


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
    for n in (30, 100, 1000):
        for rate in (0.9,):
            for correlation in (0.8,):
                for spread in (0.0, 1.0):
                    error = np.sqrt(rate * (1.0 - rate) / n)
                    rates = rate - spread * error * np.linspace(0.0, 1.0, 6)
                    sums = np.zeros(10)
                    for run in range(runs):
                        # The last is no candidate but what runs now, as good as the best of them.
                        every = np.append(rates, rates[0])
                        y, (*found_answers, rival) = correlated(n, 3, every, correlation, rng)
                        answers = np.stack(found_answers)
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
                            passes(truth, found),
                            passes(truth, plain),
                            len(rates) * mcnemar(y, answers[best.chosen], rival).p_better < 0.05,
                        ]
                    names = (
                        "bias_naive bias bias_bbc_cv coverage coverage_bbc_cv width width_bbc_cv "
                        "false_release false_release_uncorrected false_better"
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
                passes(truth, found),
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


def slice_study(runs: int, rng: np.random.Generator) -> list[dict[str, object]]:
    """Ten overlapping slices of which none is worse: how often Holm's p-values name any."""
    rows = []
    for n in (100, 1000):
        for rate in (0.9,):
            for name in ("accuracy", "macro_f1"):
                measure, any_found = counted(name), 0
                for _ in range(runs):
                    y, (answers,) = correlated(n, 3, np.array([rate]), 0.5, rng)
                    sample = Sample(y, np.eye(3, dtype=np.float32)[answers])
                    masks = rng.random((10, n)) < 0.2
                    raw = [
                        independent_p_value(
                            measure.found(sample.take(~mask)), measure.found(sample.take(mask))
                        )
                        for mask in masks
                    ]
                    any_found += bool((holm(np.array(raw)) < 0.05).any())
                rows.append({"n": n, "rate": rate, "metric": name, "any_found": any_found / runs})
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
                        passed += passes(floor, found)
                    row[f"holdout_{share}_margin_{margin}"] = passed / runs
                passed = 0
                for run in range(runs // 4):
                    rates = np.full(6, quality(n * 0.8)) - np.linspace(0, 0.02, 6)
                    y, answers = correlated(n, 3, rates, 0.9, rng)
                    found = best_of("accuracy", y, answers, 3, Sampling(resamples=100, seed=run))
                    passed += passes(floor, found.estimate)
                row[f"cross_fitted_margin_{margin}"] = passed / (runs // 4)
            row["quality_lost_to_a_fifth"] = full - quality(n * 0.8)
            rows.append(row)
    return rows


def summary(results: dict[str, object]) -> list[str]:
    """The numbers that are promised, in a few lines."""
    intervals, chosen = results["intervals"], results["selection"]
    by_measure: dict[str, list[dict[str, float]]] = {}
    for row in intervals:
        by_measure.setdefault(row["measure"], []).append(row)
    lines = [
        f"{name:<18} coverage min {min(r['coverage'] for r in rows):.3f} "
        f"mean {np.mean([r['coverage'] for r in rows]):.3f}, width "
        f"{np.mean([r['width'] for r in rows]):.3f}; {rows[0]['peer']} min "
        f"{min(r['peer_coverage'] for r in rows):.3f} mean "
        f"{np.mean([r['peer_coverage'] for r in rows]):.3f}, width "
        f"{np.mean([r['peer_width'] for r in rows]):.3f}; false release max "
        f"{max(r['false_release'] for r in rows):.3f}"
        for name, rows in by_measure.items()
    ]
    worst = {key: max(row[key] for row in chosen) for key in ("false_release", "false_better")}
    plain = max(row["false_release_uncorrected"] for row in chosen)
    return [
        *lines,
        f"best of six: false release max {worst['false_release']:.3f} (uncorrected {plain:.3f}), "
        f"false 'better than what runs' max {worst['false_better']:.3f}",
        f"ten slices: any found max {max(row['any_found'] for row in results['slices']):.3f}",
        f"paired tests: size max {max(row['false_better'] for row in results['paired']):.3f}, "
        f"coverage min {min(row['coverage'] for row in results['paired']):.3f}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few runs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", default=[], help="measures, or studies, to run anew")
    parser.add_argument("--output", type=Path, default=Path("bench/results/statistics.json"))
    arguments = parser.parse_args()
    rng = np.random.default_rng(arguments.seed)
    studies = (
        ("intervals", coverage_study, 1000),
        ("slices", slice_study, 1000),
        ("paired", paired_study, 1000),
        ("selection", selection_study, 1000),
        ("learned", learned_study, 1000),
        ("regimes", regime_study, 200),
    )
    only, names = arguments.only, [name for name, _, _ in studies]
    results: dict[str, object] = {"seed": arguments.seed}
    if only:
        results = json.loads(arguments.output.read_text())
        measures = [each for each in only if each not in names]
        kept = [row for row in results["intervals"] if row["measure"] not in measures]
        if measures:
            results["intervals"] = kept + coverage_study(results["intervals_runs"], rng, measures)
            arguments.output.write_text(json.dumps(results, indent=1) + "\n")
    for name, study, runs in studies:
        if only and name not in only:
            continue
        start = time.process_time()
        made = max(8, runs // 100) if arguments.quick else runs
        results[name] = study(made, rng)
        results[f"{name}_runs"] = made
        print(f"{name}: {made} runs, {time.process_time() - start:.1f} s cpu", flush=True)
        arguments.output.write_text(json.dumps(results, indent=1) + "\n")
    for line in summary(results):
        print(line)


if __name__ == "__main__":
    main()
