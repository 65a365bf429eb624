"""A paired comparison of two sets of answers as a record."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from milepost.entities.decision import Comparison
from milepost.metrics.comparison import mcnemar, paired_difference, randomisation
from milepost.metrics.confusion import Cells
from milepost.metrics.intervals import Sampling


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Pair:
    """Two sets of answers to the same ``n`` rows.

    Attributes:
        against: Name of the other one, such as ``majority`` or ``release 3``.
        metric: A key of ``milepost.metrics.classification.METRICS``.
        k: Number of labels.
        y: ``(n,) int64`` actual labels in ``[-1, k)``; ``-1`` always counts as wrong.
        answers: ``(n,) int64`` answers of the one under test.
        other: ``(n,) int64`` answers of the other.
        candidates: How many candidates the one under test was chosen from on these same rows;
            p-values and interval pay for it (Bonferroni). 1 on rows never used to choose.
        sampling: Confidence, resamples and seed.
    """

    against: str
    metric: str
    k: int
    y: NDArray[np.int64]
    answers: NDArray[np.int64]
    other: NDArray[np.int64]
    candidates: int = 1
    sampling: Sampling = field(default_factory=Sampling)


def compare(pair: Pair) -> Comparison:
    """Test whether one set of answers is better or worse than the other.

    ``accuracy`` is tested exactly (McNemar 1947), every other metric by paired randomisation.

    Raises:
        KeyError: If there is no such metric.
        ValueError: If shapes differ, there are no rows or ``candidates`` is below 1.
    """
    if pair.candidates < 1:
        raise ValueError("candidates must be at least 1")
    cells = Cells.of(pair.y, np.stack([pair.answers, pair.other]), pair.k)
    if pair.metric == "accuracy":
        test = mcnemar(pair.y, pair.answers, pair.other)
    else:
        test = randomisation(pair.metric, cells, pair.sampling)
    alpha = (1.0 - pair.sampling.confidence) / pair.candidates
    difference, low, high = paired_difference(pair.metric, cells, 1.0 - alpha)
    suffix = f", Bonferroni over {pair.candidates} candidates" if pair.candidates > 1 else ""
    return Comparison(
        metric=pair.metric,
        against=pair.against,
        difference=difference,
        low=low,
        high=high,
        p_value=min(1.0, test.p_better * pair.candidates),
        p_worse=min(1.0, test.p_worse * pair.candidates),
        n=cells.n,
        method=test.method + suffix,
    )
