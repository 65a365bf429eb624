"""A full scorecard of 10,000 predictions with 50 slices, in time and memory, beside a plain one.

Target: at most 3 seconds on two cores. The plain one is what a careful person writes with
scikit-learn and ``scipy.stats.bootstrap``: the same metrics, and a percentile interval of macro F1
on each slice. Its bootstrap takes 100 resamples where 2,000 are customary, so that it ends.
"""

import json
import resource
import sys
import time
import warnings

import numpy as np

from bench.common import ROOT, Options, alternate, child

ROWS, LABELS, SLICES, REPEATS, RESAMPLES = 10_000, 20, 50, 5, 100
MEASURES = ("macro_f1", "log_loss")


def rows(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, probabilities and overlapping slices of about a tenth of the rows each."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, LABELS, n)
    logits = rng.normal(size=(n, LABELS)) * 2.0
    logits[np.arange(n), y] += 5.0
    powers = np.exp(logits)
    found = (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)
    return y, found, rng.random((SLICES, n)) < 0.1


def milepost(n: int, metric: str) -> None:
    """The scorecard as every contest makes it."""
    from pathlib import Path

    from milepost.entities.task import Objective
    from milepost.evaluation.measuring import measure_of
    from milepost.evaluation.scorecard import Evidence, build_scorecard

    y, probabilities, slices = rows(n)
    names = tuple(f"l{i:02}" for i in range(LABELS))
    objective = Objective(
        metric=metric, slices={f"s{i}": "true" for i in range(SLICES)}, max_slice_gap=0.1
    )
    card = build_scorecard(
        Evidence(
            labels=names,
            objective=objective,
            regime="holdout",
            y=y,
            probabilities=probabilities,
            ids=tuple(map(str, range(n))),
            texts=("a text",) * n,
            slice_masks={f"s{i}": mask for i, mask in enumerate(slices)},
            measure=measure_of(objective, names, Path()),
        )
    )
    if len(card.slices) != SLICES or any(each.gap_low is None for each in card.slices):
        raise AssertionError("the scorecard lacks intervals of slices")


def plain(n: int) -> None:
    """Metrics of scikit-learn; a bootstrap of macro F1 on all rows and on each slice."""
    from scipy.stats import bootstrap
    from sklearn import metrics

    y, probabilities, slices = rows(n)
    answers = probabilities.argmax(axis=1)
    exact = probabilities / probabilities.sum(axis=1, keepdims=True)
    metrics.precision_recall_fscore_support(y, answers)
    metrics.roc_auc_score(y, exact, multi_class="ovr")
    metrics.average_precision_score(np.eye(LABELS)[y], exact)
    metrics.log_loss(y, exact)
    metrics.matthews_corrcoef(y, answers)
    metrics.balanced_accuracy_score(y, answers)

    def macro_f1(actual: np.ndarray, answered: np.ndarray) -> float:
        return metrics.f1_score(actual, answered, average="macro")

    for mask in slices:
        bootstrap(
            (y[mask], answers[mask]),
            macro_f1,
            paired=True,
            vectorized=False,
            n_resamples=RESAMPLES,
            method="percentile",
            random_state=0,
        )


def run(options: Options) -> dict[str, object]:
    """Each in a process of its own, in turn; seconds are of the scorecard alone."""
    n, repeats = (1_000, 1) if options.quick else (ROWS, REPEATS)

    def part(who: str):
        def measured() -> dict[str, float]:
            command = [sys.executable, "-m", "bench.scorecard_speed", who, str(n)]
            done = child(command, env={"PYTHONPATH": str(ROOT)})
            return json.loads(done.out)

        return measured

    found = alternate(repeats, {who: part(who) for who in MEASURES})
    peer = alternate(1, {"plain": part("plain")})
    what = {"rows": n, "labels": LABELS, "slices": SLICES, "plain_resamples": RESAMPLES}
    for who, each in {**found, **peer}.items():
        wall, cpu, peak = (each[key]["median"] for key in ("wall_s", "cpu_s", "peak_mib"))
        print(f"{who:<10} {wall:8.2f} s wall {cpu:8.2f} s cpu {peak:8.0f} MiB at most")
    return {**what, "milepost": found, "peer": peer["plain"]}


def main() -> None:
    """In a child: make one, after everything is imported; print its times."""
    who, n = sys.argv[1], int(sys.argv[2])
    warnings.simplefilter("ignore")
    make = plain if who == "plain" else (lambda rows: milepost(rows, who))
    make(200)
    wall, cpu = time.perf_counter(), time.process_time()
    make(n)
    print(
        json.dumps(
            {
                "wall_s": time.perf_counter() - wall,
                "cpu_s": time.process_time() - cpu,
                "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            }
        )
    )


if __name__ == "__main__":
    main()
