"""Forest plots: one row per thing, each with one or two measured numbers and their intervals.

Rows are drawn on a plain pixel grid with their names as text, so that long names and any script
keep their room.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from milepost.entities.estimate import Estimate
from milepost.reports import theme, words
from milepost.reports.axes import Axis, finish, fit, row_scale, value_axis

if TYPE_CHECKING:
    import altair as alt

ROW = 26
NAMES = 176
NUMBERS = 66
APART = 0.17
"""How far two numbers of a row stand from its middle, in rows."""

Kind = Literal["all", "plain", "worse"]
COLOURS: dict[Kind, str] = {"all": theme.INK, "plain": theme.ACCENT, "worse": theme.WARM}


@dataclass(frozen=True, slots=True)
class Number:
    """A measured number on the scale, with the colour of its kind."""

    value: float
    low: float
    high: float
    kind: Kind = "plain"

    @classmethod
    def of(cls, estimate: Estimate, kind: Kind = "plain") -> "Number":
        """An estimate with its interval."""
        return cls(estimate.value, estimate.low, estimate.high, kind)


@dataclass(frozen=True, slots=True)
class ForestRow:
    """One thing.

    Attributes:
        name: What it is.
        numbers: One or two.
        note: What stands at the right, such as ``n 132``.
        target: Value that the first number is held against; drawn as a tick.
    """

    name: str
    numbers: tuple[Number, ...]
    note: str = ""
    target: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ForestPlot:
    """A forest plot.

    Attributes:
        rows: From top to bottom.
        title: Its heading.
        subtitle: How to read it.
        axis: What is measured.
        reference: Value that a dashed line marks in all rows.
        shares: Whether the numbers are shares, written in per cent.
        limits: What the numbers can be.
    """

    rows: Sequence[ForestRow]
    title: str
    subtitle: Sequence[str]
    axis: str
    reference: float | None = None
    shares: bool = False
    limits: tuple[float, float] = (0.0, 1.0)

    def spoken(self) -> str:
        """The rows in words."""
        return "; ".join(self._spoken(row) for row in self.rows)

    def _spoken(self, row: ForestRow) -> str:
        values = " and ".join(self._written(number.value) for number in row.numbers)
        note = f" ({row.note})" if row.note else ""
        return f"{words.clean(row.name)} {values}{note}"

    def _written(self, value: float) -> str:
        return words.percent(value) if self.shares else words.score(value)

    def spec(self) -> dict[str, object]:
        """Its Vega-Lite specification."""
        import altair as alt

        axis = self._axis()
        names = alt.Chart(alt.Data(values=self._names())).encode(y=row_scale(len(self.rows)))
        numbers = alt.Chart(alt.Data(values=self._numbers())).encode(y=row_scale(len(self.rows)))
        color = alt.Color(
            "kind:N",
            legend=None,
            scale=alt.Scale(domain=list(COLOURS), range=list(COLOURS.values())),
        )
        layers = [
            *self._reference(axis),
            numbers.mark_rule(strokeWidth=2.5).encode(x=axis.x("low"), x2="high:Q", color=color),
            numbers.mark_circle(size=75, opacity=1).encode(x=axis.x("value"), color=color),
            *self._targets(axis),
            names.mark_text(align="right").encode(x=alt.value(NAMES - 20), text="name:N"),
            names.mark_text(align="right", color=theme.MUTED, fontSize=theme.SMALL_SIZE).encode(
                x=alt.value(theme.WIDTH), text="note:N"
            ),
        ]
        height = ROW * len(self.rows)
        return finish(layers, height=height, title=self.title, subtitle=list(self.subtitle))

    def _axis(self) -> Axis:
        values = [end for row in self.rows for n in row.numbers for end in (n.low, n.high)]
        values += [row.target for row in self.rows if row.target is not None]
        values += [self.reference] if self.reference is not None else []
        domain, ticks = value_axis(min(values), max(values), self.limits)
        places = (NAMES, theme.WIDTH - NUMBERS)
        return Axis(self.axis, domain, ticks, range=places, shares=self.shares)

    def _names(self) -> list[dict[str, object]]:
        return [
            {"row": i, "name": fit(row.name, NAMES - 20), "note": row.note}
            for i, row in enumerate(self.rows)
        ]

    def _numbers(self) -> list[dict[str, object]]:
        found: list[dict[str, object]] = []
        for i, row in enumerate(self.rows):
            middle = (len(row.numbers) - 1) / 2
            for j, number in enumerate(row.numbers):
                place = {"row": i + 2 * APART * (j - middle), "kind": number.kind}
                ends = {"value": number.value, "low": number.low, "high": number.high}
                found.append({**place, **ends})
        return found

    def _reference(self, axis: Axis) -> list["alt.Chart"]:
        import altair as alt

        if self.reference is None:
            return []
        line = alt.Chart(alt.Data(values=[{"value": self.reference}]))
        dashed = line.mark_rule(color=theme.OTHER, strokeDash=[4, 3])
        return [dashed.encode(x=axis.x("value"))]

    def _targets(self, axis: Axis) -> list["alt.Chart"]:
        import altair as alt

        held = [
            {"row": i, "value": row.target}
            for i, row in enumerate(self.rows)
            if row.target is not None
        ]
        if not held:
            return []
        ticks = alt.Chart(alt.Data(values=held)).mark_tick(
            color=theme.INK, thickness=2, size=16, opacity=1
        )
        return [ticks.encode(x=axis.x("value"), y=row_scale(len(self.rows)))]
