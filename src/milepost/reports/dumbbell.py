"""Two values per row on a common axis, joined by a line: one open dot, one filled."""

from collections.abc import Sequence
from dataclasses import dataclass

from milepost.reports import theme
from milepost.reports.axes import Axis, finish, fit, row_scale, value_axis
from milepost.reports.forest import NAMES, NUMBERS, ROW


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One row; a value that is not known has no dot.

    Attributes:
        name: Stands at the left.
        hollow: The open dot.
        filled: The filled dot.
        n: Examples, at the right.
    """

    name: str
    hollow: float | None
    filled: float | None
    n: int


def dumbbell(
    pairs: Sequence[Pair],
    measured: str,
    title: str,
    subtitle: str,
    limits: tuple[float, float] = (0.0, 1.0),
) -> dict[str, object]:
    """Specification of the chart.

    Args:
        pairs: Rows from top to bottom; at least one value is known.
        measured: Title of the axis.
        title: Of the chart.
        subtitle: Says which dot is which.
        limits: What a value can be; infinite where nothing bounds it.
    """
    import altair as alt

    rows: list[dict[str, object]] = [
        {
            "row": i,
            "name": fit(pair.name, NAMES - 16),
            "hollow": pair.hollow,
            "filled": pair.filled,
            "n": f"n {pair.n:,}",
        }
        for i, pair in enumerate(pairs)
    ]
    values = [value for pair in pairs for value in (pair.hollow, pair.filled) if value is not None]
    domain, ticks = value_axis(min(values), max(values), limits)
    axis = Axis(measured, domain, ticks, range=(NAMES, theme.WIDTH - NUMBERS))
    base = alt.Chart(alt.Data(values=rows)).encode(y=row_scale(len(rows)))
    return finish(
        [
            base.mark_rule(color=theme.OTHER).encode(x=axis.x("hollow"), x2="filled:Q"),
            base.mark_point(
                size=70, filled=False, strokeWidth=2, color=theme.WARM, opacity=1
            ).encode(x=axis.x("hollow")),
            base.mark_circle(size=75, color=theme.ACCENT, opacity=1).encode(x=axis.x("filled")),
            base.mark_text(align="right").encode(x=alt.value(NAMES - 16), text="name:N"),
            base.mark_text(align="right", color=theme.MUTED, fontSize=theme.SMALL_SIZE).encode(
                x=alt.value(theme.WIDTH), text="n:N"
            ),
        ],
        height=ROW * len(rows),
        title=title,
        subtitle=[subtitle],
    )
