"""Measures for spans: a span is right where its begin, end and label all are.

Documents are what was drawn independently, not the spans in them. Precision, recall and F1 are
ratios of sums over documents, linearised; their bounds are those of a share of as many spans as
they are worth (``spans``). A span of a label that the task does not know counts as missed.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from milepost.entities.estimate import UNDEFINED
from milepost.metrics.inference.intervals import Measured
from milepost.metrics.scoring.links import counts_of
from milepost.metrics.scoring.mean_measures import share_of
from milepost.metrics.scoring.measures import Measure, Reading, Sample, design_effect
from milepost.metrics.scoring.spans import span_f1 as folded

_NOTHING = 1e-9
"""Size of no spans at all: the bounds are as wide as can be."""

Rows = NDArray[np.int64]
_Parts = tuple[Rows, NDArray[np.float64], Measured]
_Part = Callable[[Rows, Rows, Rows], _Parts]


def span_f1() -> Measure:
    """Micro-averaged F1 of spans; 1 where there are none and none was found."""

    def ratio(sample: Sample) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        right, wanted, found = counts_of(sample.y, sample.probabilities)
        return right.astype(np.float64), (wanted + found) / 2.0

    return replace(_measure("span_f1", _of_both), ratio=ratio)


def span_precision() -> Measure:
    """Share of the spans found that are right; 0 where none was found."""
    return _measure("span_precision", lambda right, wanted, found: _of_one(right, found))


def span_recall() -> Measure:
    """Share of the spans wanted that were found; 0 where there is none."""
    return _measure("span_recall", lambda right, wanted, found: _of_one(right, wanted))


def exact_match() -> Measure:
    """Share of documents with exactly their spans; bounds of Clopper & Pearson (1934)."""

    def read(sample: Sample) -> Reading:
        right, wanted, found = counts_of(sample.y, sample.probabilities)
        return share_of(((right == wanted) & (right == found)).astype(np.float64))

    return Measure("exact_match", higher=True, low=0.0, high=1.0, read=read)


def _read(sample: Sample, part: _Part) -> Reading:
    """A ratio of right spans to others, linearised by document."""
    right, size, share = part(*counts_of(sample.y, sample.probabilities))
    n, total = len(right), float(size.sum())
    if total:
        means = share.value + (right - share.value * size) * (n / total)
    else:
        means = np.full(n, share.value)
    reach = n / total * float(size.max()) if total else 1.0
    low, high = float(means.min()), float(means.max())
    # Rows are what was looked at, whatever they hold.
    share = replace(share, n=n)
    return Reading(
        share.value,
        means,
        None,
        min(low, share.value - reach),
        max(high, share.value + reach),
        share,
    )


def _of_both(right: Rows, wanted: Rows, found: Rows) -> _Parts:
    share = folded(np.stack([right, wanted + found - right], axis=1))
    return right, (wanted + found) / 2.0, share


def _of_one(right: Rows, size: Rows) -> _Parts:
    total = int(size.sum())
    if not total:
        nothing = Measured(value=0.0, size=_NOTHING, chance=0.0, n=0, method=UNDEFINED)
        return right, size.astype(np.float64), nothing
    units = np.repeat(np.arange(len(size)), size)
    place = np.arange(total) - np.repeat(np.cumsum(size) - size, size)
    hits = (place < np.repeat(right, size)).astype(np.float64)
    share = Measured(
        value=float(right.sum()) / total,
        size=max(total / design_effect(hits, units), 1.0),
        chance=0.0,
        n=total,
        method="clopper_pearson",
    )
    return right, size.astype(np.float64), share


def _measure(name: str, part: _Part) -> Measure:
    return Measure(name, higher=True, low=0.0, high=1.0, read=lambda sample: _read(sample, part))
