"""Axes, rows and the frame that all charts share."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from milepost.reports import theme, words
from milepost.reports.placing import text_width

if TYPE_CHECKING:
    import altair as alt


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
    """

    title: str
    domain: Sequence[float]
    ticks: Sequence[float]
    range: tuple[float, float] | None = None
    log: bool = False
    format: str | None = None
    grid: bool = True

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

        fine = len(self.ticks) > 1 and abs(self.ticks[1] - self.ticks[0]) < 0.095
        return alt.Axis(
            values=list(self.ticks),
            format=self.format or (".2f" if fine else ".1f"),
            grid=self.grid,
        )


def fit(text: str, width: float, size: float = theme.LABEL_SIZE) -> str:
    """A name with its middle left out until it fits ``width`` pixels."""
    text = " ".join(words.clean(text).split()) or "–"
    length = len(text)
    while length > 4 and text_width(words.middle(text, length), size) > width:
        length -= 1
    return words.middle(text, length)


def share_axis(low: float, high: float) -> tuple[list[float], list[float]]:
    """Domain and ticks of a quality axis: round steps, never beyond what a metric can be."""
    span = max(high - low, 0.02)
    step = next((s for s in (0.01, 0.02, 0.05, 0.1, 0.2) if span / s <= 5), 0.5)
    first = round(max(-1.0 if low < 0 else 0.0, step * math.floor((low - 0.04 * span) / step)), 4)
    last = max(min(1.0, high + 0.06 * span), first + step)
    count = math.floor((last - first) / step + 1e-6)
    return [first, last], [round(first + step * i, 4) for i in range(count + 1)]


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
