"""Axes, rows and the frame that all charts share."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from milepost.entities.scorecard import Scorecard
from milepost.reports import theme, words
from milepost.reports.placing import text_width

if TYPE_CHECKING:
    import altair as alt


FALLBACK = 1.18
"""How much wider than Helvetica the face may be that a reader's machine has instead."""


@dataclass(frozen=True, slots=True)
class Axis:
    """A scale that several fields of a chart share.

    Attributes:
        title: What is on it.
        domain: Values at its ends.
        ticks: Values with a label.
        range: Pixels of its ends; ``None`` takes the whole drawing.
        log: Whether it is logarithmic.
        format: d3 format of the labels; ``None`` picks the decimals that the ticks need.
        grid: Whether lines go through the drawing.
        shares: Whether the labels are in per cent, written as everywhere else.
    """

    title: str
    domain: Sequence[float]
    ticks: Sequence[float]
    range: tuple[float, float] | None = None
    log: bool = False
    format: str | None = None
    grid: bool = True
    shares: bool = False

    def x(self, field: str) -> "alt.X":
        """A numeric field along this axis, horizontally."""
        import altair as alt

        return alt.X(f"{field}:Q", title=self.title, scale=self._scale(), axis=self._axis())

    def y(self, field: str) -> "alt.Y":
        """A numeric field along this axis, vertically."""
        import altair as alt

        return alt.Y(f"{field}:Q", title=self.title, scale=self._scale(), axis=self._axis())

    def _scale(self) -> "alt.Scale":
        import altair as alt

        kind = "log" if self.log else "linear"
        if self.range is None:
            return alt.Scale(type=kind, domain=list(self.domain), nice=False)
        return alt.Scale(type=kind, domain=list(self.domain), range=list(self.range), nice=False)

    def _axis(self) -> "alt.Axis":
        import altair as alt

        step = abs(self.ticks[1] - self.ticks[0]) if len(self.ticks) > 1 else 0.1
        plain = ",.2f" if step < 0.095 else ",.1f" if step < 0.95 else ",.0f"
        if self.shares:
            percent = "format(100 * datum.value, ',.0f') + ' %'"
            return alt.Axis(values=list(self.ticks), labelExpr=percent, grid=self.grid)
        return alt.Axis(values=list(self.ticks), format=self.format or plain, grid=self.grid)


@dataclass(frozen=True, slots=True)
class Quality:
    """The objective's metric on an axis.

    Attributes:
        title: Its name, with what a reader must know.
        limits: What it can be.
        sign: 1 where higher is better, else -1.
    """

    title: str
    limits: tuple[float, float]
    sign: int

    @classmethod
    def of(cls, card: Scorecard | None) -> "Quality":
        """The metric of a scorecard."""
        if card is None:
            return cls("quality", (0.0, 1.0), 1)
        sign = -1 if card.lower_is_better else 1
        return cls(words.metric_in_full(card), words.metric_range(card.metric), sign)

    def axis(self, values: Sequence[float]) -> Axis:
        """An axis that shows the values."""
        return Axis(self.title, *value_axis(min(values), max(values), self.limits))


def fit(text: str, width: float, size: float = theme.LABEL_SIZE) -> str:
    """A name with its middle left out until it fits ``width`` pixels in whatever face is there."""
    width /= FALLBACK
    text = " ".join(words.clean(text).split()) or "–"
    length = len(text)
    while length > 4 and text_width(words.middle(text, length), size) > width:
        length -= 1
    return words.middle(text, length)


def value_axis(
    low: float, high: float, limits: tuple[float, float] = (0.0, 1.0)
) -> tuple[list[float], list[float]]:
    """Domain and ticks of an axis: round steps, never beyond what a metric can be.

    Args:
        low: Smallest value to be shown.
        high: Largest.
        limits: What the metric can be; infinite where nothing bounds it.
    """
    span = max(high - low, 0.02)
    step = _round_step(span / 5)
    first = max(limits[0], step * math.floor((low - 0.04 * span) / step))
    first = round(min(first, low), 9)
    last = max(min(limits[1], high + 0.06 * span), first + step)
    start = math.ceil(first / step - 1e-6)
    count = math.floor(last / step + 1e-6) - start
    return [first, last], [round(step * (start + i), 9) for i in range(count + 1)]


def _round_step(least: float) -> float:
    """The smallest of 1, 2 or 5 times a power of ten that is at least ``least`` and 0.01."""
    power = 10.0 ** math.floor(math.log10(max(least, 0.01)))
    return next(s * power for s in (1, 2, 5, 10) if s * power >= max(least, 0.01) * (1 - 1e-9))


def row_scale(rows: int, field: str = "row") -> "alt.Y":
    """Rows from top to bottom without an axis."""
    import altair as alt

    return alt.Y(f"{field}:Q", axis=None, scale=alt.Scale(domain=[rows - 0.5, -0.5], nice=False))


def finish(
    layers: Sequence["alt.Chart"],
    *,
    height: float,
    title: str,
    subtitle: list[str],
    width: float = theme.WIDTH,
) -> dict[str, object]:
    """Layers as one specification in the common theme."""
    import altair as alt

    chart = alt.layer(*layers).properties(
        width=width,
        height=height,
        title=alt.TitleParams(text=title, subtitle=subtitle),
    )
    return {**chart.to_dict(), "config": theme.config()}
