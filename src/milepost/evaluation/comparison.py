"""A paired comparison of two sets of answers as a record."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from milepost.entities.decision import Comparison
from milepost.metrics.inference.comparison import mcnemar, paired_difference, randomisation
from milepost.metrics.inference.intervals import Sampling
from milepost.metrics.inference.ratios import Ratios, difference, swapped
from milepost.metrics.scoring.confusion import Cells
from milepost.metrics.scoring.measures import Measure, Sample


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Pair:
    """Two sets of answers to the same ``n`` rows.

    Attributes:
        against: Name of the other one, such as ``majority`` or ``release 3``.
        metric: A key of ``milepost.metrics.scoring.classification.METRICS``.
        k: Number of labels.
        y: ``(n,) int64`` actual labels in ``[-1, k)``; ``-1`` always counts as wrong.
        answers: ``(n,) int64`` answers of the one under test; ``-1`` for none, which is wrong.
        other: ``(n,) int64`` answers of the other.
        candidates: How many candidates the one under test was chosen from on these same rows;
            p-values and interval pay for it (Bonferroni). 1 on rows never used to choose.
        sampling: Confidence, resamples and seed.
        measure: The measure, where it is no function of confusion counts.
        probabilities: ``(n, k)`` of either, which such a measure needs.
        units: ``(n,)``, equal for rows that are not independent of each other; needs measure and
            probabilities. ``None`` where all rows are.
    """

    against: str
    metric: str
    k: int
    y: NDArray[np.int64]
    answers: NDArray[np.int64]
    other: NDArray[np.int64]
    candidates: int = 1
    sampling: Sampling = field(default_factory=Sampling)
    measure: Measure | None = None
    probabilities: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None
    units: NDArray[np.int64] | None = None


def compare(pair: Pair) -> Comparison:
    """Test whether one set of answers is better or worse than the other.

    ``accuracy`` is tested exactly (McNemar 1947), other metrics of confusion counts and ratios of
    sums, such as the F1 of spans, by paired randomisation, and every other measure, or rows in
    units, by inverting the bound of the mean difference.

    Raises:
        KeyError: If there is no such metric.
        ValueError: If shapes differ, there are no rows or ``candidates`` is below 1.
    """
    if pair.candidates < 1:
        raise ValueError("candidates must be at least 1")
    by_rows = pair.measure is not None and (pair.measure.read is not None or pair.units is not None)
    if pair.measure is not None and pair.measure.ratio is not None and pair.probabilities:
        return compare_ratios(pair, _ratios(pair, pair.measure.ratio, pair.probabilities))
    if pair.measure is not None and by_rows and pair.probabilities:
        return _by_rows(pair, pair.measure, pair.probabilities)
    cells = Cells.of(pair.y, np.stack([pair.answers, pair.other]), pair.k)
    if pair.metric == "accuracy":
        test = mcnemar(pair.y, pair.answers, pair.other)
    else:
        test = randomisation(pair.metric, cells, pair.sampling)
    alpha = (1.0 - pair.sampling.confidence) / pair.candidates
    difference, low, high = paired_difference(pair.metric, cells, 1.0 - alpha)
    return Comparison(
        metric=pair.metric,
        against=pair.against,
        difference=difference,
        low=low,
        high=high,
        p_value=min(1.0, test.p_better * pair.candidates),
        p_worse=min(1.0, test.p_worse * pair.candidates),
        n=cells.n,
        method=test.method + _corrected(pair),
    )


def compare_ratios(pair: Pair, ratios: Ratios) -> Comparison:
    """Test whether a ratio of sums, such as an F1, is better or worse, by swapping units.

    Args:
        pair: Who is compared, and how surely; its answers are not read.
        ratios: Of the one under test, and of the other.
    """
    test = swapped(ratios, pair.sampling)
    alpha = (1.0 - pair.sampling.confidence) / pair.candidates
    apart, low, high = difference(ratios, 1.0 - alpha)
    return Comparison(
        metric=pair.metric,
        against=pair.against,
        difference=apart,
        low=low,
        high=high,
        p_value=min(1.0, test.p_better * pair.candidates),
        p_worse=min(1.0, test.p_worse * pair.candidates),
        n=ratios.parts.shape[1],
        method=f"{test.method} by unit{_corrected(pair)}",
    )


def _ratios(
    pair: Pair,
    ratio: Callable[[Sample], tuple[NDArray[np.float64], NDArray[np.float64]]],
    probabilities: tuple[NDArray[np.float32], NDArray[np.float32]],
) -> Ratios:
    both = [ratio(Sample(pair.y, each, pair.units)) for each in probabilities]
    parts, sizes = (np.stack(each) for each in zip(*both, strict=True))
    units = np.arange(len(pair.y)) if pair.units is None else pair.units
    return Ratios.of(parts, sizes, units)


def _by_rows(
    pair: Pair, measure: Measure, probabilities: tuple[NDArray[np.float32], NDArray[np.float32]]
) -> Comparison:
    first, second = (Sample(pair.y, each, pair.units) for each in probabilities)
    draws = measure.apart(first, second)
    difference = measure.value(first) - measure.value(second)
    # To first order the draws' mean is the difference; what is left is the same for both ends.
    shift = difference - draws.mean
    alpha = (1.0 - pair.sampling.confidence) / pair.candidates
    low, high = draws.bounds(np.array([alpha / 2.0]))
    above, below = draws.p_above(-shift), draws.p_below(-shift)
    better, worse = (above, below) if measure.higher else (below, above)
    return Comparison(
        metric=pair.metric,
        against=pair.against,
        difference=difference,
        low=min(difference, float(low[0]) + shift),
        high=max(difference, float(high[0]) + shift),
        p_value=min(1.0, better * pair.candidates),
        p_worse=min(1.0, worse * pair.candidates),
        n=len(pair.y) if (n := measure.reading(first).n) is None else n,
        method="bound of the paired difference"
        + ("" if pair.units is None else " by unit")
        + _corrected(pair),
    )


def _corrected(pair: Pair) -> str:
    return f", Bonferroni over {pair.candidates} candidates" if pair.candidates > 1 else ""
