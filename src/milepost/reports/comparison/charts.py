"""Charts of a comparison: what was won and lost, and how the share of right answers moved."""

from collections.abc import Sequence

from milepost.entities.difference import Difference, Part
from milepost.reports import theme, words
from milepost.reports.axes import finish, fit, row_scale
from milepost.reports.dumbbell import Pair, dumbbell
from milepost.reports.theme import Chart

ROW = 26
NAMES = 176
NUMBERS = 62
SHOWN = 12


def difference_charts(found: Difference) -> tuple[Chart, ...]:
    """Every chart that there is something to draw for."""
    drawn = (
        won_and_lost(found.labels, found.second.name),
        shares(found.labels, "label", found),
        shares(found.slices, "slice", found),
    )
    return tuple(chart for chart in drawn if chart is not None)


def won_and_lost(labels: Sequence[Part], name: str) -> Chart | None:
    """Examples won and lost by label; ``None`` where nothing changed."""
    changed = [part for part in labels if part.wins or part.losses]
    if not changed:
        return None
    import altair as alt

    shown = sorted(changed, key=lambda part: (part.losses - part.wins, -part.wins))
    if len(shown) > SHOWN:
        shown = [*shown[: SHOWN // 2], *shown[-SHOWN // 2 :]]
    most = max(max(part.wins, part.losses) for part in shown)
    middle = (NAMES + theme.WIDTH) / 2
    room = (theme.WIDTH - NAMES) / 2 - 34
    rows: list[dict[str, object]] = [
        {
            "row": i,
            "name": fit(part.name, NAMES - 16),
            "zero": 0,
            "won": part.wins,
            "lost": -part.losses,
            "won_shown": f"{part.wins:,}",
            "lost_shown": f"{part.losses:,}",
        }
        for i, part in enumerate(shown)
    ]
    base = alt.Chart(alt.Data(values=rows)).encode(y=row_scale(len(rows)))
    scale = alt.Scale(domain=[-most, most], range=[middle - room, middle + room], nice=False)
    zero, won, lost = (
        alt.X(f"{field}:Q", axis=None, scale=scale) for field in ("zero", "won", "lost")
    )
    title = "Won and lost by label"
    spec = finish(
        [
            base.mark_rule(strokeWidth=12, color=theme.ACCENT).encode(x=zero, x2="won:Q"),
            base.mark_rule(strokeWidth=12, color=theme.WARM).encode(x=lost, x2="zero:Q"),
            base.mark_text(align="left", dx=6, color=theme.MUTED, fontSize=theme.SMALL_SIZE).encode(
                x=won, text="won_shown:N"
            ),
            base.mark_text(
                align="right", dx=-6, color=theme.MUTED, fontSize=theme.SMALL_SIZE
            ).encode(x=lost, text="lost_shown:N"),
            base.mark_text(align="right").encode(x=alt.value(NAMES - 16), text="name:N"),
        ],
        height=ROW * len(rows),
        title=title,
        subtitle=[
            f"Right: only {name} is right. Left: only the other is."
            + (f" {len(shown)} of {len(changed):,} labels." if len(shown) < len(changed) else "")
        ],
    )
    said = "; ".join(
        f"{words.clean(part.name)}: {part.wins:,} won, {part.losses:,} lost" for part in shown
    )
    return Chart("won-and-lost", title, f"Diverging bars. {said}.", spec)


def shares(parts: Sequence[Part], kind: str, found: Difference) -> Chart | None:
    """Share of right answers before and after, as a dumbbell per part; ``None`` without parts."""
    if not parts:
        return None
    shown = sorted(parts, key=lambda part: -abs(part.second - part.first))[:SHOWN]
    shown.sort(key=lambda part: part.second - part.first)
    title = f"Right answers by {kind}"
    spec = dumbbell(
        [Pair(name=p.name, hollow=p.first, filled=p.second, n=p.n) for p in shown],
        "share right",
        title,
        f"Open: {found.first.name}. Filled: {found.second.name}.",
    )
    said = "; ".join(
        f"{words.clean(part.name)} from {part.first:.2f} to {part.second:.2f}" for part in shown
    )
    return Chart(f"right-by-{kind}", title, f"Dumbbell plot. {said}.", spec)
