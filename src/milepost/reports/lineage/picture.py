"""A lineage as a drawing from left to right: raw files, data, contests, candidates, releases.

The same SVG is what a browser shows, what becomes a PNG, and what stands on the page.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from milepost.entities.lineage import Lineage, Node, NodeKind
from milepost.entities.money import usd
from milepost.reports import theme, words
from milepost.reports.axes import fit
from milepost.reports.lineage.layout import Place, Size, place_boxes
from milepost.reports.lineage.tree import full_name, in_production, lineage_document
from milepost.reports.placing import text_width

LAYERS: dict[NodeKind, int] = {
    "file": 0, "snapshot": 1, "task": 1, "contest": 2, "encoder": 2, "upstream": 2, "prompt": 2,
    "candidate": 3, "release": 4, "channel": 5, "answer": 5,
}  # fmt: skip
"""Layer of each kind that gets a box; the others stand as lines within a box."""
HEADINGS = ("raw files", "data and task", "contest and models", "candidate", "release", "channel")
DRAWN = 12
"""The most releases that are drawn; more could not be read."""
MOVES_DRAWN = 5
DIGITS = 10
STAR_WIDTH = 17.0
BOLD = 1.06
"""How much wider bold letters are."""

_LEAST, _MOST = 112.0, 196.0
_PAD, _LINE, _GAP_ACROSS, _GAP_DOWN, _MARGIN = 11.0, 15.5, 46.0, 16.0, 24.0
_HEAD = 76.0


@dataclass(frozen=True, slots=True)
class Box:
    """What stands in a box: a heading and lines, each in a colour."""

    heading: str
    lines: tuple[tuple[str, str], ...]
    star: bool = False
    strong: bool = False
    asked: bool = False

    def size(self, layer: int) -> Size:
        """How large it must be."""
        widths = [text_width(self.heading, theme.LABEL_SIZE) * BOLD + STAR_WIDTH * self.star]
        widths += [text_width(text, theme.SMALL_SIZE) for text, _ in self.lines]
        width = min(max(*widths, _LEAST), _MOST) + 2 * _PAD
        return Size(layer, width, 2 * _PAD + _LINE * (1 + len(self.lines)) - 4)


def lineage_svg(lineage: Lineage) -> str:
    """The drawing as SVG, in the colours for light pages."""
    shown = newest(lineage)
    nodes = {node.id: node for node in shown.nodes if node.kind in LAYERS}
    edges = _edges(shown, nodes)
    path = _in_force(shown, edges)
    # All releases of a task are the whole picture: nothing of it stands out then.
    asked = shown.focus if len(shown.focus) < max(2, len(shown.of_kind("release"))) else ()
    boxes = {
        name: _box(node, shown, strong=name in path, asked=name in asked)
        for name, node in nodes.items()
    }
    present = sorted({LAYERS[node.kind] for node in nodes.values()})
    sizes = {name: boxes[name].size(LAYERS[node.kind]) for name, node in nodes.items()}
    placed = place_boxes(sizes, list(edges), across=_GAP_ACROSS, down=_GAP_DOWN)
    drawn = [_edge(placed[a], placed[b], edges[a, b], strong={a, b} <= path) for a, b in edges]
    # Lines that matter lie over those that do not.
    drawn.sort(key=lambda line: theme.ACCENT in line)
    drawn += [_box_svg(boxes[name], placed[name]) for name in nodes]
    starts = {LAYERS[nodes[name].kind]: place.left for name, place in placed.items()}
    drawn += [
        _text(HEADINGS[layer], starts[layer] + 1, -14, theme.MUTED, theme.SMALL_SIZE)
        for layer in present
    ]
    width = max(place.right for place in placed.values())
    height = max(place.top + place.height for place in placed.values())
    return _page(lineage, shown, drawn, max(width, 560.0), height)


def lineage_png(lineage: Lineage, scale: float = 2.0) -> bytes:
    """The drawing as PNG on white."""
    import vl_convert

    return vl_convert.svg_to_png(lineage_svg(lineage), scale=scale)


def lineage_html(lineage: Lineage) -> str:
    """One self-contained page: the drawing, and the same as text; light and dark."""
    title = escape(words.clean(f"Lineage of {lineage.subject}"))
    body = lineage_document(lineage).html()
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "style-src 'unsafe-inline'\">\n"
        f"<title>{title}</title>\n<style>{_css()}</style>\n</head>\n<body>\n<main>\n"
        f"<figure>{lineage_svg(lineage)}</figure>\n{body}\n</main>\n</body>\n</html>\n"
    )


def _css() -> str:
    dark = theme.DARK
    return (
        f"body{{margin:1.5rem;font:14px/1.5 {theme.FONT};color:{theme.INK};"
        f"background:{theme.PAPER}}}main{{max-width:90rem}}figure{{margin:0 0 1.5rem;"
        "overflow-x:auto}p{margin:.15rem 0;white-space:pre-wrap}table{border-collapse:collapse}"
        "th,td{padding:.2rem .8rem .2rem 0;text-align:left;vertical-align:top}"
        f".dim{{color:{theme.MUTED}}}.accent,.good{{color:{theme.ACCENT}}}.strong,.accent"
        f"{{font-weight:650}}.warn{{color:{theme.WARM}}}.scroll{{overflow-x:auto}}"
        f"@media (prefers-color-scheme:dark){{body{{color:{dark[theme.INK]};"
        f"background:{dark[theme.PAPER]}}}.dim{{color:{dark[theme.MUTED]}}}.accent,.good"
        f"{{color:{dark[theme.ACCENT]}}}.warn{{color:{dark[theme.WARM]}}}"
        f"{theme.dark_css('figure svg')}}}"
    )


def newest(lineage: Lineage) -> Lineage:
    """The lineage with its newest releases only, where there are too many to draw."""
    releases = [node for node in lineage.of_kind("release") if not in_production(node)]
    kept = {node.id for node in lineage.of_kind("release") if in_production(node)}
    kept |= {n.id for n in sorted(releases, key=lambda n: str(n.at))[-(DRAWN - len(kept)) :]}
    dropped = {node.id for node in lineage.of_kind("release")} - kept
    if not dropped:
        return lineage
    # What nothing drawn came of goes too, from the releases back to the files.
    nodes = [node for node in lineage.nodes if node.id not in dropped]
    for _ in range(len(HEADINGS) + 1):
        sources = {e.source for e in lineage.edges if e.target in {node.id for node in nodes}}
        nodes = [n for n in nodes if n.id in sources or n.kind in ("channel", "release")]
    there = {node.id for node in nodes}
    return Lineage(
        subject=lineage.subject,
        focus=tuple(name for name in lineage.focus if name in there),
        nodes=tuple(nodes),
        edges=tuple(e for e in lineage.edges if {e.source, e.target} <= there),
        moves=lineage.moves,
    )


def _edges(lineage: Lineage, nodes: dict[str, Node]) -> dict[tuple[str, str], str]:
    """Edges between boxes by their relation; a bundle is no box, so edges go through it."""
    onwards = {edge.source: edge.target for edge in lineage.edges if edge.source not in nodes}
    edges: dict[tuple[str, str], str] = {}
    for edge in lineage.edges:
        target = edge.target if edge.target in nodes else onwards.get(edge.target, "")
        if edge.source in nodes and target in nodes:
            edges[edge.source, target] = edge.relation
    return edges


def _in_force(lineage: Lineage, edges: dict[tuple[str, str], str]) -> set[str]:
    """What production runs on now: the channel and all that it came from."""
    path = {n.id for n in lineage.nodes if n.kind == "release" and in_production(n)}
    ran = {b for (a, b), relation in edges.items() if a in path and relation == "runs in"}
    for _ in range(len(HEADINGS)):
        path |= {a for a, b in edges if b in path}
    return path | ran


def _box(node: Node, lineage: Lineage, *, strong: bool, asked: bool) -> Box:
    star = in_production(node)
    heading = fit(_heading(node), _MOST / BOLD - STAR_WIDTH * star, theme.LABEL_SIZE)
    lines = [(text, theme.MUTED) for text in _lines(node, lineage) if text]
    if node.warning:
        lines.append((node.warning, theme.WARM))
    fitted = tuple((fit(text, _MOST, theme.SMALL_SIZE), colour) for text, colour in lines)
    return Box(heading, fitted, star=star, strong=strong, asked=asked)


def _heading(node: Node) -> str:
    if node.kind == "answer":
        return words.middle(node.name, DIGITS + 12)
    return full_name(node) if node.kind != "encoder" else f"encoder {node.name}"


def _lines(node: Node, lineage: Lineage) -> list[str]:
    """What is worth a line in a box, by kind."""
    digest = words.digest(node.digest, DIGITS) if node.digest else ""
    when = f"{node.at:%Y-%m-%d %H:%M}" if node.at else ""
    by = f"by {node.actor}" if node.actor else ""
    if node.kind == "contest":
        verdict = str(node.facts["verdict"]).replace("_", " ")
        regime = str(node.facts["regime"]).replace("_", "-")
        return [f"{verdict}, seed {node.facts['seed']}", regime, *_code(node, lineage)]
    if node.kind == "release":
        bundle = words.digest(str(node.facts["bundle"]), DIGITS)
        approvals = _approvals(node, lineage)
        return [when, by, f"bundle {bundle}", *approvals]
    if node.kind == "answer":
        return [*node.words.split(", "), when]
    if node.kind == "channel":
        return [node.words, f"since {when}" if when else "", by]
    if node.kind == "upstream":
        prices = (node.facts["micro_usd_per_million_in"], node.facts["micro_usd_per_million_out"])
        told = [usd(price) for price in prices if isinstance(price, int)]
        return [
            str(node.facts["model"]),
            ", ".join(map(" ".join, zip(told, ("in", "out"), strict=False))),
            digest,
        ]
    if node.kind in ("file", "snapshot", "prompt"):
        return [*node.words.split(", ")[:2], digest]
    if node.kind == "candidate":
        return [*node.words.replace(" [", "\n[").split("\n"), *_rungs(node, lineage)]
    return [node.words if node.kind == "encoder" else "", digest]


def _approvals(release: Node, lineage: Lineage) -> list[str]:
    given = {e.source for e in lineage.edges if e.target == release.id and e.relation == "approved"}
    return [f"approved by {n.actor}" for n in lineage.of_kind("approval") if n.id in given]


def _rungs(candidate: Node, lineage: Lineage) -> list[str]:
    here = {e.source for e in lineage.edges if e.target == candidate.id and e.relation == "rung of"}
    return [
        f"{n.facts['number']}. {n.facts['name']}" for n in lineage.of_kind("rung") if n.id in here
    ]


def _code(contest: Node, lineage: Lineage) -> list[str]:
    ran = {e.source for e in lineage.edges if e.target == contest.id and e.relation == "run by"}
    return [n.name for n in lineage.of_kind("code") if n.id in ran]


def _edge(source: Place, target: Place, relation: str, *, strong: bool) -> str:
    strong = strong and relation != "ran in"
    x0, y0, x1, y1 = source.right, source.middle, target.left, target.middle
    bend = max((x1 - x0) * 0.55, 18)
    dash = ' stroke-dasharray="4 3"' if relation == "ran in" else ""
    colour, width = (theme.ACCENT, 2) if strong else (theme.OTHER, 1.2)
    return (
        f'<path d="M{x0:.1f} {y0:.1f}C{x0 + bend:.1f} {y0:.1f} {x1 - bend:.1f} {y1:.1f} '
        f'{x1:.1f} {y1:.1f}" fill="none" stroke="{colour}" stroke-width="{width}"{dash}/>'
    )


def _box_svg(box: Box, place: Place) -> str:
    border = theme.ACCENT if box.strong or box.asked else theme.OTHER
    fill = theme.BAND if box.asked else theme.PAPER
    width = 2 if box.asked else 1.4 if box.strong else 1
    drawn = [
        f'<rect x="{place.left:.1f}" y="{place.top:.1f}" width="{place.width:.1f}" '
        f'height="{place.height:.1f}" rx="7" fill="{fill}" stroke="{border}" '
        f'stroke-width="{width}"/>'
    ]
    left, y = place.left + _PAD, place.top + _PAD + 10
    if box.star:
        drawn.append(_star(left + 5, y - 4.2))
    start = left + STAR_WIDTH * box.star
    drawn.append(_text(box.heading, start, y, theme.INK, theme.LABEL_SIZE, bold=True))
    for i, (line, colour) in enumerate(box.lines, start=1):
        drawn.append(_text(line, left, y + i * _LINE, colour, theme.SMALL_SIZE))
    return "".join(drawn)


def _star(x: float, y: float) -> str:
    """A star as a shape: not every font has one."""
    radii = (6.0, 2.5)
    corners = [
        (
            x + radii[i % 2] * math.sin(math.pi * i / 5),
            y - radii[i % 2] * math.cos(math.pi * i / 5),
        )
        for i in range(10)
    ]
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in corners)
    return f'<polygon points="{points}" fill="{theme.ACCENT}"/>'


def _page(
    lineage: Lineage, shown: Lineage, drawn: Sequence[str], width: float, height: float
) -> str:
    """The drawing with its title above and the latest moves below."""
    title = fit(f"Lineage of {lineage.subject}", width, theme.TITLE_SIZE * 1.3)
    all_releases, releases = len(lineage.of_kind("release")), len(shown.of_kind("release"))
    said = "Blue: what runs in production now." if any(map(in_production, shown.nodes)) else ""
    said += " Dashed: ran before." if any(e.relation == "ran in" for e in shown.edges) else ""
    if releases < all_releases:
        said += f" {releases} of {all_releases} releases are drawn."
    moves = _move_lines(shown, width)
    bottom = _HEAD + _MARGIN + height + (30 + 17 * len(moves) if moves else 0) + _MARGIN
    whole = width + 2 * _MARGIN
    texts = [
        _text(title, 0, -54, theme.INK, round(theme.TITLE_SIZE * 1.3), bold=True),
        _text(said.strip(), 0, -36, theme.MUTED, theme.LABEL_SIZE),
    ]
    texts += [
        _text(line, 0, height + 36 + 17 * i, theme.INK if i else theme.MUTED, theme.LABEL_SIZE)
        for i, line in enumerate(moves)
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{whole:.0f}" height="{bottom:.0f}" '
        f'viewBox="0 0 {whole:.0f} {bottom:.0f}" font-family="{theme.FONT}" role="img" '
        f'aria-label="{escape(title)}"><rect width="100%" height="100%" fill="{theme.PAPER}"/>'
        f'<g transform="translate({_MARGIN:.0f} {_HEAD + _MARGIN:.0f})">'
        f"{''.join([*drawn, *texts])}</g></svg>"
    )


def _move_lines(lineage: Lineage, width: float) -> list[str]:
    moves = lineage.moves[-MOVES_DRAWN:]
    if not moves:
        return []
    earlier = len(lineage.moves) - len(moves)
    lines = [f"moves{f', {earlier} earlier left out' if earlier else ''}"]
    for move in moves:
        start = f"{move.at:%Y-%m-%d %H:%M}  {move.channel} → release {move.after}  by {move.actor}"
        lines.append(_cut(f"{start}:  {move.reason}", width))
    return lines


def _cut(text: str, width: float) -> str:
    """A line that loses its end where it is too long."""
    length = len(text)
    while length > 20 and text_width(words.shorten(text, length), theme.LABEL_SIZE) > width:
        length -= 2
    return words.shorten(text, length)


def _text(text: str, x: float, y: float, colour: str, size: float, *, bold: bool = False) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}" font-size="{size}"{weight}>'
        f"{escape(words.clean(text))}</text>"
    )
