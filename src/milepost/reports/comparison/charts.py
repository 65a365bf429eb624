"""Charts of a comparison: what was won and lost, what single answers gained, how shares moved."""

from collections.abc import Sequence

from milepost.entities.difference import Difference, Part
from milepost.evaluation.differences import cases_words
from milepost.reports import theme, words
from milepost.reports.axes import Axis, finish, fit, row_scale, value_axis
from milepost.reports.comparison import phrases
from milepost.reports.dumbbell import Pair, dumbbell
from milepost.reports.theme import Chart

ROW = 26
HEIGHT = 220
NAMES = 176
NUMBERS = 62
SHOWN = 12


def difference_charts(found: Difference) -> tuple[Chart, ...]:
    """Every chart that there is something to draw for."""
    drawn = (
        gains(found),
        won_and_lost(found.labels, found),
        shares(found.labels, "label", found),
        shares(found.slices, "slice", found),
    )
    return tuple(chart for chart in drawn if chart is not None)


def gains(found: Difference) -> Chart | None:
    """What each example or query gained, sorted; ``None`` where answers are right or wrong."""
    if not found.gains or not any(found.gains):
        return None
    import altair as alt

    rows: list[dict[str, object]] = [
        {"share": at / 100, "won": max(gain, 0.0), "lost": min(gain, 0.0), "zero": 0}
        for at, gain in enumerate(reversed(found.gains))
    ]
    limits = (-1.0, 1.0) if max(map(abs, found.gains)) <= 1.0 else (-float("inf"), float("inf"))
    domain, ticks = value_axis(min(0.0, *found.gains), max(0.0, *found.gains), limits)
    name = phrases.value_name(found)
    y = Axis(f"how much nearer than {found.first.name}" if found.kind == "score"
             else f"gain in {name}", domain, ticks)  # fmt: skip
    x = Axis(f"share of {cases_words(found.kind, 2)[2:]}", [0, 1], [0, 0.25, 0.5, 0.75, 1],
             grid=False, shares=True)  # fmt: skip
    base = alt.Chart(alt.Data(values=rows)).encode(x=x.x("share"))
    areas = [
        base.mark_area(color=color, opacity=0.85, line={"color": color}).encode(
            y=y.y(field), y2="zero:Q"
        )
        for field, color in (("won", theme.ACCENT), ("lost", theme.WARM))
    ]
    one, counts = phrases.case(found), found.counts
    title = f"Gain by {one}"
    spec = finish(
        [*areas, base.mark_rule(color=theme.OTHER).encode(y=y.y("zero"))],
        height=HEIGHT,
        title=title,
        subtitle=[
            f"Above: {found.second.name} is better, {counts.wins:,}. "
            f"Below: {found.first.name} is, {counts.losses:,}."
        ],
    )
    said = (
        f"Sorted from the largest gain, {found.gains[-1]:+.2f}, to the largest loss, "
        f"{found.gains[0]:+.2f}; better on {counts.wins:,} of {counts.n:,}, worse on "
        f"{counts.losses:,}"
    )
    return Chart("gains", title, f"Areas. {said}.", spec)


def won_and_lost(labels: Sequence[Part], found: Difference) -> Chart | None:
    """What was won and lost by label; ``None`` where nothing changed."""
    name = found.second.name
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
    """What parts are measured by, before and after, a dumbbell each; ``None`` without parts."""
    if not parts:
        return None
    shown = sorted(parts, key=lambda part: -abs(part.second - part.first))[:SHOWN]
    shown.sort(key=lambda part: part.second - part.first)
    measured, title, limits = "share right", f"Right answers by {kind}", (0.0, 1.0)
    if phrases.graded(found) and kind == "label":
        measured, title = "F1", "F1 by label"
    elif phrases.graded(found):
        measured, limits = words.metric_name(found.metric), words.metric_range(found.metric)
        title = f"{words.capital(measured)} by {kind}"
    spec = dumbbell(
        [Pair(name=p.name, hollow=p.first, filled=p.second, n=p.n) for p in shown],
        measured,
        title,
        f"Open: {found.first.name}. Filled: {found.second.name}.",
        limits,
    )
    said = "; ".join(
        f"{words.clean(part.name)} from {part.first:.2f} to {part.second:.2f}" for part in shown
    )
    return Chart(f"right-by-{kind}", title, f"Dumbbell plot. {said}.", spec)
