"""Coverage of every estimator's interval by simulation, beside the best known method.

A population of 100,000 rows is drawn once for each shape and rate, so that the truth of every
measure is known exactly; samples are drawn from it with replacement.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import softmax

from bench.coverage_peers import PEERS, Drawn, Row
from milepost.entities.scorecard import Scorecard
from milepost.entities.task import Objective
from milepost.metrics.inference.intervals import Bounded, estimate_of
from milepost.metrics.scoring.calibration_error import ece
from milepost.metrics.scoring.curves import auprc, auroc
from milepost.metrics.scoring.label_measures import f1, precision, recall
from milepost.metrics.scoring.mean_measures import brier, hit_rate, log_loss, utility
from milepost.metrics.scoring.measures import Found, Measure, Sample, counted, own
from milepost.metrics.scoring.ordinal import kendall, mae, spearman
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
ASKED = 3
WIDTHS = 5
"""The width is measured on one run in so many; it varies little."""
ONLY = {
    "balanced": ("accuracy", "auroc", "log_loss"),
    "rare": ("balanced_accuracy", "macro_f1", "auprc"),
}
"""Measures that are looked at in shapes other than the skewed one."""


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


@dataclass(frozen=True, slots=True)
class Told:
    """What an interval and the gate make of one sample, against the truth."""

    value: float
    covered: bool
    width: float
    released: bool
    released_easier: bool


def told(measure: Measure, found: Bounded, truth: float, *, wide: bool) -> Told:
    """Bounds of draws are asked by their p-value, which is the same and ten times as fast.

    Args:
        measure: The measure.
        found: What it found.
        truth: The truth.
        wide: Whether to measure the width, which takes the bounds themselves.
    """
    easier = truth - measure.sign * MARGIN
    if not isinstance(found, Found):
        (low, high), (least, most) = found.bounds(0.025), found.bounds(0.05)
        passed = (least >= truth, least >= easier)
        if not measure.higher:
            passed = (most <= truth, most <= easier)
        return Told(found.value, low <= truth <= high, high - low, *passed)

    def p_values(bar: float) -> tuple[float, float]:
        at = bar - found.centre + found.draws.mean
        return found.draws.p_above(at + found.excess), found.draws.p_below(at)

    above, below = p_values(truth)
    side = 0 if measure.higher else 1
    low, high = found.bounds(0.025) if wide else (0.0, 0.0)
    return Told(
        value=found.value,
        covered=min(above, below) >= 0.025,
        width=high - low,
        released=(above, below)[side] <= 0.05,
        released_easier=p_values(easier)[side] <= 0.05,
    )


def check_gate(measure: Measure, found: Bounded, bar: float, said: Told) -> None:
    """Ask the gate itself, which writes reasons and is too slow to be asked a million times."""
    estimate = estimate_of(found, 0.95)
    card = Scorecard(regime="holdout", metric="own:x.py:f", metrics={"own:x.py:f": estimate})
    side = "at_least" if measure.higher else "at_most"
    objective = Objective(metric="own:x.py:f", **{side: bar})
    verdict = decide(objective, card, None, None).verdict == "released"
    if (verdict, estimate.low <= bar <= estimate.high) != (said.released, said.covered):
        raise AssertionError(f"the gate decides otherwise: {measure.name}, {estimate}, {said}")


def cell(
    whole: Sample, measures: list[Measure], n: int, runs: int, rng: np.random.Generator
) -> list[dict[str, object]]:
    """Every measure on the same ``runs`` samples of ``n`` rows."""
    truths = [measure.value(whole) for measure in measures]
    sums, widths = np.zeros((len(measures), 6)), np.zeros(len(measures))
    measured = max(1, runs // WIDTHS)
    for run in range(runs):
        sample = whole.take(rng.integers(0, POPULATION, n))
        drawn = Drawn(sample, rng)
        for i, (measure, truth) in enumerate(zip(measures, truths, strict=True)):
            row = Row(measure, drawn)
            said = told(measure, row.found, truth, wide=run < measured)
            low, high = PEERS[measure.name.partition(":")[0]](row)
            if run < ASKED:
                check_gate(measure, row.found, truth, said)
            widths[i] += said.width if run < measured else 0.0
            sums[i] += [
                said.value - truth,
                said.covered,
                said.released,
                said.released_easier,
                low <= truth <= high,
                high - low,
            ]
    names = ("bias", "coverage", "false_release", "power_at_margin", "peer_coverage", "peer_width")
    return [
        {
            "measure": measure.name,
            "peer": PEERS[measure.name.partition(":")[0]].__name__,
            "truth": truth,
            "width": width / measured,
            **dict(zip(names, row.tolist(), strict=True)),
        }
        for measure, truth, width, row in zip(measures, truths, widths, sums / runs, strict=True)
    ]


def coverage_study(
    runs: int, rng: np.random.Generator, only: Sequence[str] = ()
) -> list[dict[str, object]]:
    """All estimators, or only some, at all sizes and rates.

    Rare labels are for measures that average over labels.
    """
    rows: list[dict[str, object]] = []
    for shape, share in SHAPES.items():
        for rate in RATES:
            whole = population(share, rate, rng)
            measures = estimators(len(share))
            kept = ONLY.get(shape)
            if kept is not None:
                measures = [each for each in measures if each.name.partition(":")[0] in kept]
            if only:
                measures = [each for each in measures if each.name in only]
            for n in SIZES if measures else ():
                found = cell(whole, measures, n, runs, rng)
                rows += [{"shape": shape, "rate": rate, "n": n, **each} for each in found]
    return rows
