"""F1 of spans found in documents, for tasks that extract: a function of counts by document.

A span is right where its begin, end and label all are (Tjong Kim Sang & De Meulder 2003). The
documents are what was drawn independently, not the spans in them, so the interval is that of the
share of right spans among those wanted or found, on as many spans as they are worth (Korn &
Graubard 1998).
"""

from collections.abc import Sequence, Set
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from milepost.metrics.scoring.label_measures import Folded, f1_share
from milepost.metrics.scoring.measures import design_effect

Span = tuple[int, int, str]
"""Begin and end (characters or tokens, end excluded), and label."""


def span_counts(wanted: Sequence[Set[Span]], found: Sequence[Set[Span]]) -> NDArray[np.int64]:
    """Spans of each document: right, and wanted or found.

    Args:
        wanted: Spans that each of ``d`` documents has.
        found: Those that were found.

    Returns:
        ``(d, 2)``.

    Raises:
        ValueError: If the documents are not as many.
    """
    rows = [(len(a & b), len(a | b)) for a, b in zip(wanted, found, strict=True)]
    return np.array(rows, np.int64).reshape(-1, 2)


def span_f1(counts: NDArray[np.int64]) -> Folded:
    """Micro-averaged F1 of spans and its bounds.

    Args:
        counts: ``(d, 2)`` as of ``span_counts``; ``d`` at least 1.

    Returns:
        The F1, 1 with nothing known where no document has a span and none was found; ``n`` is the
        number of spans wanted or found.
    """
    right, either = (int(each) for each in counts.sum(axis=0))
    if not either:
        return Folded(value=1.0, size=1e-9, chance=0.0, n=0, method="clopper_pearson")
    # One row a span; their documents are the units.
    units = np.repeat(np.arange(len(counts)), counts[:, 1])
    starts = np.repeat(np.cumsum(counts[:, 1]) - counts[:, 1], counts[:, 1])
    place = np.arange(either) - starts
    hits = (place < np.repeat(counts[:, 0], counts[:, 1])).astype(np.float64)
    share = f1_share(right, either, either)
    effect = design_effect(hits, units)
    return replace(share, size=max(share.size / effect, 1.0)) if effect > 1.0 else share
