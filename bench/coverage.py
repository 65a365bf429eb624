"""Coverage of every estimator's interval by simulation, beside the best known method.

A population of 100,000 rows is drawn once for each shape and rate, so that the truth of every
measure is known exactly; samples are drawn from it with replacement.
"""

import numpy as np
from scipy.special import softmax

from bench.coverage_peers import PEERS, Drawn, Row
from milepost.entities.estimate import Estimate
from milepost.entities.scorecard import Scorecard
from milepost.entities.task import Objective
from milepost.metrics.calibration_error import ece
from milepost.metrics.curves import auprc, auroc
from milepost.metrics.intervals import estimate_of
from milepost.metrics.label_measures import f1, precision, recall
from milepost.metrics.mean_measures import brier, hit_rate, log_loss, utility
from milepost.metrics.measures import Measure, Sample, counted, own
from milepost.metrics.ordinal import kendall, mae, spearman
from milepost.releases.gate import decide

POPULATION = 100_000
SIZES = (30, 100, 1000)
RATES = (0.5, 0.9, 0.99)
SHAPES = {
    "balanced": np.full(2, 0.5),
    "skewed": np.array([0.7, 0.2, 0.1]),
    # A tenth of the labels of one row in two hundred, which a small sample does not hold.
    "rare": np.array([0.4, 0.2, 0.13, 0.09, 0.06, 0.045, 0.035, 0.02, 0.015, 0.005]),
}
MARGIN = 0.05
ASKED = 20
ONLY_SKEWED = ("micro_f1", "hit_rate@2", "mae", "spearman", "kendall")
ONLY_RARE = ("balanced_accuracy", "macro_f1", "weighted_f1", "mcc", "auroc", "auprc")


def f_half(y: np.ndarray, answers: np.ndarray, probabilities: np.ndarray) -> float:
    """A function of one's own: F0.5 of label 0, which is no mean of rows."""
    both = ((y == 0) & (answers == 0)).sum()
    return 1.25 * both / max(0.25 * (y == 0).sum() + (answers == 0).sum(), 1.0)


def estimators(k: int) -> list[Measure]:
    """All of them; those of one label take the rarest."""
    last, values = k - 1, np.arange(float(k))
    costs = 1.0 - np.eye(k)
    costs[-1, :-1] = 10.0
    names = ("accuracy", "balanced_accuracy", "macro_f1", "micro_f1", "weighted_f1", "mcc")
    return [
        *(counted(name) for name in names),
        precision(last, "precision:rarest"),
        recall(last, "recall:rarest"),
        f1(last, "f1:rarest"),
        auroc(),
        auprc(),
        log_loss(),
        brier(),
        ece(),
        utility(costs),
        hit_rate(2),
        own("own", f_half, higher=True),
        mae(values),
        spearman(values),
        kendall(values),
    ]


def population(share: np.ndarray, rate: float, rng: np.random.Generator) -> Sample:
    """Normal scores, as strong as it takes to be right at this rate, and their softmax."""
    k = len(share)
    y = rng.choice(k, POPULATION, p=share)
    noise = rng.standard_normal((POPULATION, k))
    low, high = 0.0, 20.0
    for _ in range(40):
        strength = (low + high) / 2.0
        logits = noise.copy()
        logits[np.arange(POPULATION), y] += strength
        right = (logits.argmax(axis=1) == y).mean()
        low, high = (strength, high) if right < rate else (low, strength)
    return Sample(y, softmax(logits * max(strength, 1.0), axis=1).astype(np.float32))


def released(measure: Measure, bar: float, found: Estimate) -> bool:
    """Whether the gate releases at this floor, or ceiling: its first rule."""
    return found.at_least >= bar if measure.higher else found.at_most <= bar


def check_rule(measure: Measure, bar: float, found: Estimate) -> None:
    """Ask the gate itself, which writes reasons and is too slow to be asked a million times."""
    card = Scorecard(regime="holdout", metric="own:x.py:f", metrics={"own:x.py:f": found})
    side = "at_least" if measure.higher else "at_most"
    objective = Objective(metric="own:x.py:f", **{side: bar})
    verdict = decide(objective, card, None, None).verdict == "released"
    if verdict != released(measure, bar, found):
        raise AssertionError(f"the gate decides otherwise: {found}, {bar}")


def cell(
    whole: Sample, measures: list[Measure], n: int, runs: int, rng: np.random.Generator
) -> list[dict[str, object]]:
    """Every measure on the same ``runs`` samples of ``n`` rows."""
    truths = [measure.value(whole) for measure in measures]
    sums = np.zeros((len(measures), 7))
    for run in range(runs):
        sample = whole.take(rng.integers(0, POPULATION, n))
        drawn = Drawn(sample, rng)
        for i, (measure, truth) in enumerate(zip(measures, truths, strict=True)):
            found = estimate_of(measure.found(sample), 0.95)
            low, high = PEERS[measure.name.partition(":")[0]](Row(measure, drawn))
            easier = truth - measure.sign * MARGIN
            if run < ASKED:
                check_rule(measure, truth, found)
            sums[i] += [
                found.value - truth,
                found.low <= truth <= found.high,
                found.high - found.low,
                released(measure, truth, found),
                released(measure, easier, found),
                low <= truth <= high,
                high - low,
            ]
    names = (
        "bias", "coverage", "width", "false_release", "power_at_margin", "peer_coverage",
        "peer_width",
    )  # fmt: skip
    return [
        {"measure": measure.name, "truth": truth, **dict(zip(names, row.tolist(), strict=True))}
        for measure, truth, row in zip(measures, truths, sums / runs, strict=True)
    ]


def coverage_study(runs: int, rng: np.random.Generator) -> list[dict[str, object]]:
    """All estimators at all sizes and rates; rare labels for measures that average over labels."""
    rows: list[dict[str, object]] = []
    for shape, share in SHAPES.items():
        for rate in RATES:
            whole = population(share, rate, rng)
            measures = estimators(len(share))
            if shape == "rare":
                measures = [each for each in measures if each.name in ONLY_RARE]
            if shape == "balanced":
                measures = [each for each in measures if each.name not in ONLY_SKEWED]
            for n in SIZES:
                found = cell(whole, measures, n, runs, rng)
                rows += [{"shape": shape, "rate": rate, "n": n, **each} for each in found]
    return rows
