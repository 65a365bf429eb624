"""Areas under curves: how well a probability ranks the rows of each label before all others.

Both areas are the mean over labels of one against the rest. A label takes part where it has rows
and others have. What each row says of an area is exact: the structural components of DeLong,
DeLong & Clarke-Pearson (1988) for the ROC curve, and each row left out in turn for precision and
recall; both take time ``n log n``. Bounds are those of a share on the effective sample size, which
is at most the number of rows of the rarer side: where a label's rows are all ranked first, that is
all that is known.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from milepost.metrics.scoring.measures import Measure, Reading, Sample, effective_share


@dataclass(frozen=True, slots=True, eq=False)
class Ranked:
    """Rows by falling score, in groups of equal scores.

    Attributes:
        group: ``(n,)`` group of each row, 0 for the highest score.
        hit: ``(n,)`` whether each row has the label.
        ones: ``(g,)`` rows of each group with the label.
        zeros: ``(g,)`` rows without it.
    """

    group: NDArray[np.int64]
    hit: NDArray[np.bool_]
    ones: NDArray[np.float64]
    zeros: NDArray[np.float64]

    @classmethod
    def of(cls, scores: NDArray[np.float32], hit: NDArray[np.bool_]) -> "Ranked":
        """Rank ``(n,)`` scores."""
        order = np.argsort(-scores, kind="stable")
        new = np.ones(len(scores), np.bool_)
        new[1:] = scores[order[1:]] != scores[order[:-1]]
        starts = np.flatnonzero(new)
        group = np.empty(len(scores), np.int64)
        group[order] = np.cumsum(new) - 1
        ones = np.add.reduceat(hit[order].astype(np.float64), starts)
        sizes = np.diff(np.append(starts, len(scores)))
        return cls(group, hit, ones, sizes - ones)


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Area of one label.

    Attributes:
        value: The area.
        means: ``(n,)`` what each row says of it.
        excess: By how much it may be too large on average.
    """

    value: float
    means: NDArray[np.float64]
    excess: float = 0.0


Area = Callable[[Ranked], Part]


def auroc() -> Measure:
    """Area under the ROC curve: a row of a label is ranked before one of another.

    The rows' parts are the structural components of DeLong et al. (1988, equations 3 and 4).
    """
    return _area("auroc", roc_parts)


def auprc() -> Measure:
    """Area under precision and recall: the average precision, without interpolation.

    Precision at each row of the label, averaged (Boyd, Eng & Page 2013). A predictor that knows
    nothing has about the label's share of the rows, not 0.5.
    """
    return _area("auprc", precision_parts)


def roc_parts(ranked: Ranked) -> Part:
    """Area under the ROC curve and what each row says of it, ``(n,)``."""
    ones, zeros, n = ranked.ones.sum(), ranked.zeros.sum(), len(ranked.hit)
    above = (zeros - np.cumsum(ranked.zeros) + ranked.zeros / 2.0) / zeros
    below = (np.cumsum(ranked.ones) - ranked.ones / 2.0) / ones
    value = float(above @ ranked.ones / ones)
    by_hit = (value + (above - value) * n / ones)[ranked.group]
    by_miss = (value + (below - value) * n / zeros)[ranked.group]
    return Part(value, np.where(ranked.hit, by_hit, by_miss))


def precision_parts(ranked: Ranked) -> Part:
    """Average precision and the pseudo-value of each row left out in turn.

    At its own place a row of the label is a right one for certain, so that the precision there is
    too high, and markedly where the label has few rows. It is too low by as much when the row is
    not counted; the truth is between the two, and their distance is the excess.
    """
    ones, n = float(ranked.ones.sum()), len(ranked.hit)
    right, every = np.cumsum(ranked.ones), np.cumsum(ranked.ones + ranked.zeros)
    terms = ranked.ones * right / every
    value = float(terms.sum()) / ones
    less = np.maximum(every - 1.0, 1.0)
    # Without a row of another label: the groups from its own on have one row fewer before them.
    without = ranked.ones * right / less
    by_miss = (np.cumsum(terms) - terms + _from(without)) / ones
    # Without a row of the label: one right row fewer as well, and one row fewer to average over.
    later = ranked.ones * (right - 1.0) / less
    own = (ranked.ones - 1.0) * (right - 1.0) / less
    by_hit = (np.cumsum(terms) - terms + own + _from(later) - later) / max(ones - 1.0, 1.0)
    left = np.where(ranked.hit, by_hit[ranked.group], by_miss[ranked.group])
    if ones == 1.0:
        left = np.where(ranked.hit, value, left)
    alone = float((ranked.ones * np.maximum(right - 1.0, 0.0) / less).sum()) / ones
    return Part(value, value + (n - 1.0) * (value - left), max(0.0, value - alone))


def _from(terms: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums from each one to the last."""
    return np.cumsum(terms[::-1])[::-1]


def _area(name: str, area: Area) -> Measure:
    def read(sample: Sample) -> Reading:
        found: list[Part] = []
        rarer: list[float] = []
        for label in range(sample.probabilities.shape[1]):
            hit = sample.y == label
            fewest = float(min(hit.sum(), (~hit).sum()))
            if fewest:
                found.append(area(Ranked.of(sample.probabilities[:, label], hit)))
                rarer.append(fewest)
        if not found:
            blind = np.full(len(sample.y), 0.5)
            return Reading(0.5, blind, None, 0.0, 1.0, effective_share(0.5, blind, 1.0))
        value = float(np.mean([each.value for each in found]))
        means = np.mean([each.means for each in found], axis=0)
        excess = float(np.mean([each.excess for each in found]))
        most = len(found) ** 2 / sum(1.0 / each for each in rarer)
        # One row at its worst for the rarest label: for the others it is one of very many.
        reach = len(sample.y) / (min(rarer) * len(found))
        return Reading(
            value=value,
            means=means,
            sizes=None,
            worst=value - value * reach,
            best=value + (1.0 - value) * reach,
            share=replace(effective_share(value, means, most), excess=excess),
        )

    return Measure(name, higher=True, low=0.0, high=1.0, read=read)
