"""Which tasks help which, as a table, a picture and a page."""

from collections.abc import Sequence

from milepost.entities.together import Affinity, Effect
from milepost.reports import theme, words
from milepost.reports.axes import finish, fit
from milepost.reports.document import (
    BLANK,
    NOTEBOOK_CSS,
    Bar,
    Cell,
    Column,
    Document,
    Grid,
    Line,
    Part,
    Row,
    sentence,
)
from milepost.reports.theme import Chart, dark_css

SHOWN = 12
"""Effects that a terminal shows, the strongest helps and harms first."""
NAMES = 150
CELL = 30
ROOM = 26
"""Width of a cell, in pixels, from which it has room for a number."""
MOST_CELLS = 60
"""Tasks that a picture has room for; of more it shows the first."""

MEANS = (
    "What a task would make of the space of all vectors, tried on another's examples: by how much "
    "the log loss of the second falls. Told of vectors as they are: a tuning may do otherwise."
)


def affinity_table(found: Affinity, *, full: bool = False) -> Document:
    """The strongest effects, and the groups.

    Args:
        found: The estimate.
        full: Whether to show every pair.
    """
    pairs = sorted(found.effects, key=lambda each: -abs(each.gain))
    told = [each for each in pairs if each.verdict != "unclear"]
    rows = pairs if full else [*told, *(p for p in pairs if p.verdict == "unclear")][:SHOWN]
    rows = sorted(rows, key=lambda each: -each.gain)
    facts = f"{len(found.tasks)} tasks, {sum(found.examples):,} examples, encoder {found.encoder}"
    parts: list[Part] = [Line((("affinity", "accent"), (f"  {facts}", "dim")))]
    parts += [sentence(MEANS, "dim"), BLANK, _grid(rows), BLANK]
    parts.append(sentence(_counted(found, len(rows)), "dim"))
    parts += _groups(found)
    for each in found.left_out:
        parts.append(Line(((f"{each.task} was left out. {each.why}", ""),), mark=("!", "warn")))
    return Document(tuple(parts))


def affinity_chart(found: Affinity) -> Chart:
    """A cell for each pair: rows help, columns are helped; framed where that is significant."""
    import altair as alt

    names = found.tasks[:MOST_CELLS]
    place = {name: at for at, name in enumerate(names)}
    kept = [e for e in found.effects if e.source in place and e.target in place]
    most = max((abs(each.gain) for each in kept), default=0.0) or 1.0
    rows = [_cell(each, place, most) for each in kept]
    size = min(CELL, (theme.WIDTH - NAMES) / len(names))
    axis = [
        {"at": at, "name": fit(name, NAMES - 16), "above": fit(name, 110)}
        for at, name in enumerate(names)
    ]
    end = len(names) - 0.5
    across = alt.Scale(domain=[-0.5, end], range=[NAMES, NAMES + size * len(names)], nice=False)
    down = alt.Scale(domain=[-0.5, end], range=[0, size * len(names)], nice=False)
    cells = alt.Chart(alt.Data(values=rows)).encode(
        x=alt.X("left:Q", axis=None, scale=across),
        x2="right:Q",
        y=alt.Y("top:Q", axis=None, scale=down),
        y2="bottom:Q",
    )
    strength = alt.Opacity(
        "strength:Q", scale=alt.Scale(domain=[0, 1], range=[0.04, 0.9]), legend=None
    )
    label = alt.Chart(alt.Data(values=axis))
    layers = [
        cells.transform_filter("datum.gain > 0")
        .mark_rect(color=theme.ACCENT)
        .encode(opacity=strength),
        cells.transform_filter("datum.gain <= 0")
        .mark_rect(color=theme.WARM)
        .encode(opacity=strength),
        cells.transform_filter("datum.shown == 1").mark_rect(
            fillOpacity=0, stroke=theme.INK, strokeWidth=1.2
        ),
        label.mark_text(align="right", fontSize=theme.SMALL_SIZE).encode(
            x=alt.value(NAMES - 10), y=alt.Y("at:Q", axis=None, scale=down), text="name:N"
        ),
        label.mark_text(align="left", angle=300, fontSize=theme.SMALL_SIZE).encode(
            x=alt.X("at:Q", axis=None, scale=across), y=alt.value(-8), text="above:N"
        ),
    ]
    if size >= ROOM:
        layers.append(
            alt.Chart(alt.Data(values=rows))
            .mark_text(fontSize=9, color=theme.INK)
            .encode(
                x=alt.X("x:Q", axis=None, scale=across),
                y=alt.Y("y:Q", axis=None, scale=down),
                text="told:N",
            )
        )
    title = "Which tasks help which"
    spec = finish(
        layers,
        height=size * len(names),
        title=title,
        subtitle=[
            "Row: whose examples are learned. Column: whose log loss falls (blue) or rises (red),",
            "in percent. Framed: significant after correction for the number of pairs.",
        ],
    )
    helped = [e for e in kept if e.verdict == "helps"]
    said = "; ".join(f"{e.source} helps {e.target} by {100 * e.gain:.1f} %" for e in helped[:10])
    return Chart("affinity", title, said or "No effect is shown.", spec)


def affinity_page(found: Affinity) -> str:
    """One self-contained HTML page: the picture and every pair, light and dark."""
    chart = affinity_chart(found)
    dark = f"@media (prefers-color-scheme:dark){{{dark_css('svg')}}}"
    page = (
        "body{margin:2rem auto;max-width:60rem;padding:0 1rem;color-scheme:light dark}"
        "svg{max-width:100%;height:auto}"
    )
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{chart.title}</title>"
        f"<meta name=viewport content='width=device-width'><style>{page}{dark}</style>"
        f"{NOTEBOOK_CSS}<body class='mp-doc'><h1>{chart.title}</h1>{chart.svg()}"
        f"{affinity_table(found, full=True).html()}</body></html>\n"
    )


def _grid(rows: Sequence[Effect]) -> Grid:
    most = max((abs(v) for each in rows for v in (each.low, each.high)), default=0.0) or 1.0
    columns = (
        Column("task", wraps=True),
        Column("helps or harms", wraps=True),
        Column("log loss falls", "right"),
        Column("", width=14),
        Column(""),
    )
    marks = {"helps": Cell("helps", "good"), "harms": Cell("harms", "bad"), "unclear": Cell("")}
    return Grid(
        columns,
        tuple(
            Row(
                (
                    Cell(each.source, "strong"),
                    Cell(each.target),
                    Cell(f"{_percent(each.gain)} [{_percent(each.low)}, {_percent(each.high)}]"),
                    Cell(bar=Bar(each.low, each.gain, each.high, -most, most)),
                    marks[each.verdict],
                )
            )
            for each in rows
        ),
    )


def _counted(found: Affinity, told: int) -> str:
    helps = sum(each.verdict == "helps" for each in found.effects)
    harms = sum(each.verdict == "harms" for each in found.effects)
    said = (
        f"Of {words.count(len(found.effects), 'pair', 'pairs')}, {helps} are shown to help and "
        f"{harms} to harm; p-values are corrected for all of them."
    )
    if told < len(found.effects):
        said += f" The {told} strongest stand above; --all shows every pair."
    return said


def _groups(found: Affinity) -> list[Part]:
    together = [group for group in found.groups if len(group) > 1]
    alone = [group[0] for group in found.groups if len(group) == 1]
    parts: list[Part] = []
    for group in together:
        said = f"milepost improve --together {' '.join(group)}"
        shown = any(
            each.verdict == "helps" and {each.source, each.target} <= set(group)
            for each in found.effects
        )
        what = "Suggested group" if shown else "Suggested group (no effect shown)"
        parts.append(Line(((f"{what}: ", ""), (said, "code")), mark=("•", "accent")))
    if alone:
        said = f"Alone, as nobody is expected to help: {', '.join(alone)}."
        parts.append(Line(((said, ""),), mark=("•", "dim")))
    return parts


def _percent(value: float) -> str:
    return f"{round(100 * value, 1) + 0.0:+.1f} %"  # + 0.0, so that none is "-0.0"


def _cell(each: Effect, place: dict[str, int], most: float) -> dict[str, object]:
    x, y = place[each.target], place[each.source]
    return {
        "x": x, "y": y, "left": x - 0.46, "right": x + 0.46, "top": y - 0.46, "bottom": y + 0.46,
        "gain": each.gain, "strength": min(1.0, abs(each.gain) / most) ** 0.7,
        "shown": int(each.verdict != "unclear"), "told": f"{round(100 * each.gain, 1) + 0.0:.1f}",
    }  # fmt: skip
