"""A lineage as a tree in the terminal: what it came from, what came of it, who moved it and why."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from rich.cells import cell_len

from milepost.entities.lineage import Edge, Lineage, Move, Node
from milepost.reports import words
from milepost.reports.document import (
    BLANK,
    WIDTH,
    Cell,
    Column,
    Document,
    Grid,
    Line,
    Part,
    Role,
    Row,
    sentence,
)

Piece = tuple[str, Role]
DIGITS = 10
"""Digits of a digest that are shown; six are enough to look one up."""
MANY = 100
"""From so many releases on, there may be older ones that were not followed."""
MOVES_SHOWN = 8
REASON = 120
"""Characters of a reason that are shown; all of it is in the audit log."""
STAR = "★"


def lineage_document(lineage: Lineage) -> Document:
    """The lineage for people: one tree for few things, a table for all releases of a task."""
    focus = [node for node in lineage.nodes if node.id in lineage.focus]
    parts: list[Part] = []
    if len(focus) > 1 and focus[0].kind == "release":
        parts += [Line(((lineage.subject, "accent"), (f"  {_many(focus)}", ""))), BLANK]
        parts.append(_releases_grid(lineage, focus))
        parts += _warnings(lineage)
    else:
        for node in focus:
            parts += [*_trees(lineage, node), BLANK]
        parts = parts[:-1]
    return Document((*parts, *_moves(lineage)))


def _many(focus: list[Node]) -> str:
    newest = "the newest " if len(focus) >= MANY else ""
    return f"{newest}{words.count(len(focus), 'release')}" + ("" if newest else ", newest first")


def _trees(lineage: Lineage, focus: Node) -> list[Part]:
    """The focus, then what it came from and what came of it; each only where there is something."""
    asked = lineage.subject if "@" in lineage.subject and focus.kind == "release" else ""
    parts: list[Part] = [_head(focus, asked)]
    told = _about(focus)
    if told:
        parts.append(sentence(words.shorten(told, WIDTH - 2), "dim", indent=2))
    if focus.warning:
        parts.append(Line(((focus.warning, "warn"),), indent=2, mark=("!", "warn")))
    for title, forwards in (("came from", False), ("went into", True)):
        lines = _Tree(lineage, forwards).lines(focus)
        if lines:
            parts += [sentence(title, "dim"), *lines]
    return parts


def _head(node: Node, asked: str) -> Line:
    pieces: list[Piece] = []
    if asked:
        pieces.append((f"{asked} → ", "accent"))
    if in_production(node):
        pieces.append((f"{STAR} ", "good"))
    pieces.append((full_name(node), "accent"))
    if node.digest and not node.name.startswith(node.digest[:DIGITS]):
        pieces.append((f"  {words.digest(node.digest, DIGITS)}", "dim"))
    return Line(tuple(pieces))


def _about(node: Node) -> str:
    when = words.day(node.at) if node.at else ""
    made = f"{when} by {node.actor}".strip() if node.actor else when
    return ", ".join(each for each in (node.words, made) if each)


def full_name(node: Node) -> str:
    """A node's name with the task that it belongs to, as it can be asked for."""
    if node.kind == "release":
        return f"{node.facts['task']}#{node.facts['number']}"
    return f"upstream {node.name}" if node.kind == "upstream" else node.name


def in_production(node: Node) -> bool:
    """Whether this is the release that production points at now."""
    channels = node.facts.get("channels")
    return isinstance(channels, list) and "production" in channels


@dataclass(slots=True, eq=False)
class _Tree:
    """Lines from one node on, in one direction; what was shown before is only named again."""

    lineage: Lineage
    forwards: bool
    shown: set[str] = field(default_factory=set[str])

    def lines(self, focus: Node) -> list[Line]:
        """One line per node below the focus."""
        nodes = {node.id: node for node in self.lineage.nodes}
        steps = self._steps(nodes, self.lineage.edges)
        return self._below(focus.id, "", nodes, steps)

    def _steps(
        self, nodes: Mapping[str, Node], edges: Iterable[Edge]
    ) -> dict[str, list[tuple[str, str]]]:
        """From each node, the next ones with the relation, nearest in the flow of data first."""
        rank = {identity: place for place, identity in enumerate(nodes)}
        steps: dict[str, list[tuple[str, str]]] = {}
        for edge in edges:
            ends = (edge.source, edge.target)
            here, there = ends if self.forwards else ends[::-1]
            steps.setdefault(here, []).append((there, edge.relation))
        kinds = {
            kind: place
            for place, kind in enumerate(dict.fromkeys(node.kind for node in nodes.values()))
        }
        sign = 1 if self.forwards else -1
        for following in steps.values():
            # Several of one kind, such as the rungs of a cascade, stay in their order.
            following.sort(key=lambda step: (sign * kinds[nodes[step[0]].kind], rank[step[0]]))
        return steps

    def _below(
        self,
        identity: str,
        prefix: str,
        nodes: Mapping[str, Node],
        steps: Mapping[str, list[tuple[str, str]]],
    ) -> list[Line]:
        following = steps.get(identity, [])
        lines: list[Line] = []
        for place, (there, relation) in enumerate(following):
            last = place == len(following) - 1
            known = there in self.shown
            self.shown.add(there)
            branch = f"{prefix}{'└─ ' if last else '├─ '}"
            lines.append(_node_line(nodes[there], relation, branch, known=known))
            if not known:
                below = f"{prefix}{'   ' if last else '│  '}"
                lines += self._below(there, below, nodes, steps)
        return lines


def _node_line(node: Node, relation: str, branch: str, *, known: bool) -> Line:
    """One line of at most 80 columns: name, digest, then as much of the words as fits."""
    pieces: list[Piece] = [(branch, "dim")]
    if in_production(node):
        pieces.append((f"{STAR} ", "good"))
    pieces.append((_short_name(node, WIDTH - cell_len(branch) - 2), "strong"))
    if node.digest:
        pieces.append((f"  {words.digest(node.digest, DIGITS)}", "dim"))
    if known:
        return Line((*pieces, ("  as above", "dim")))
    said = node.words
    if node.kind == "approval" and node.actor:
        said = f"{node.actor}: {node.words}"
    elif node.kind == "channel" and relation == "ran in":
        said = f"ran here; now {node.words}"
    room = WIDTH - sum(cell_len(piece) for piece, _ in pieces) - 2
    if node.warning:
        pieces.append((f"  ! {words.shorten(node.warning, max(room - 2, 8))}", "warn"))
    elif said and room > 10:
        pieces.append((f"  {words.shorten(said, room)}", ""))
    return Line(tuple(pieces))


def _short_name(node: Node, room: int) -> str:
    name = full_name(node)
    if node.kind == "candidate":
        name = f"candidate {node.name}"
    elif node.kind == "encoder":
        name = f"encoder {node.name}"
    return words.middle(name, max(room - (DIGITS + 2 if node.digest else 0), 12))


def _releases_grid(lineage: Lineage, releases: list[Node]) -> Grid:
    """All releases of a task with what each came from, newest first."""
    came_from = _upwards(lineage)
    metrics = {str(node.facts["metric"]) for node in lineage.of_kind("candidate")}
    metric = words.metric_name(metrics.pop()) if len(metrics) == 1 else ""
    columns = (
        Column("", width=1),
        Column("", "right"),
        Column("strategy", wraps=True),
        Column(metric or "quality"),
        Column("contest"),
        Column("examples"),
        Column("made"),
        Column("by", wraps=True),
    )
    rows: list[Row] = []
    for node in sorted(releases, key=lambda each: -_number(each)):
        before = came_from(node.id)
        candidate = next((each for each in before if each.kind == "candidate"), None)
        snapshot = next(
            (n for n in before if n.kind == "snapshot" and n.facts.get("role") == "examples"), None
        )
        runs = in_production(node)
        cells = (
            Cell(STAR if runs else "", "good"),
            Cell(str(node.facts["number"])),
            Cell(str(node.facts["strategy"])),
            Cell(candidate.words.removeprefix(f"{metric} ") if candidate else ""),
            Cell(str(node.facts["contest"])[:8], "dim"),
            Cell(words.digest(snapshot.digest or "", 8) if snapshot else "", "dim"),
            Cell(f"{node.at:%Y-%m-%d}" if node.at else ""),
            Cell(node.actor or ""),
        )
        rows.append(Row(cells, "strong" if runs else ""))
    return Grid(columns, tuple(rows))


def _upwards(lineage: Lineage) -> Callable[[str], list[Node]]:
    """A function that gives all that a node came from."""
    nodes = {node.id: node for node in lineage.nodes}
    sources: dict[str, list[str]] = {}
    for edge in lineage.edges:
        sources.setdefault(edge.target, []).append(edge.source)

    def before(identity: str) -> list[Node]:
        found: dict[str, Node] = {}
        waiting = [identity]
        while waiting:
            for source in sources.get(waiting.pop(), ()):
                if source not in found:
                    found[source] = nodes[source]
                    waiting.append(source)
        return list(found.values())

    return before


def _warnings(lineage: Lineage) -> list[Part]:
    warned = [node for node in lineage.nodes if node.warning]
    lines: list[Part] = [
        Line(((node.name, "strong"), (f"  {node.warning}", "warn")), mark=("!", "warn"))
        for node in warned
    ]
    return [BLANK, *lines] if lines else []


def _moves(lineage: Lineage) -> list[Part]:
    """Who moved the channels and why, the newest move last."""
    if not lineage.moves:
        return []
    shown = lineage.moves[-MOVES_SHOWN:]
    parts: list[Part] = [BLANK]
    left_out = len(lineage.moves) - len(shown)
    earlier = f", {words.count(left_out, 'earlier one')} left out" if left_out else ""
    channels = {f"{move.task}@{move.channel}" for move in lineage.moves}
    of_one = f" of {channels.pop()}" if len(channels) == 1 else ""
    parts.append(sentence(f"moves{of_one}{earlier}", "dim"))
    columns = (
        Column("", width=1),
        Column("when"),
        *(() if of_one else (Column("channel"),)),
        Column("release", "right"),
        Column("by", wraps=True),
        Column("why", wraps=True),
    )
    rows = (_move_row(m, last=_is_last(m, lineage.moves), several=not of_one) for m in shown)
    return [*parts, Grid(columns, tuple(rows))]


def _is_last(move: Move, moves: tuple[Move, ...]) -> bool:
    same = [m for m in moves if (m.task, m.channel) == (move.task, move.channel)]
    return move is same[-1]


def _move_row(move: Move, *, last: bool, several: bool) -> Row:
    way = f"{move.before or '–'} → {move.after}"
    return Row(
        (
            Cell(STAR if last and move.channel == "production" else "", "good"),
            Cell(f"{move.at:%Y-%m-%d %H:%M}"),
            *((Cell(f"{move.task}@{move.channel}"),) if several else ()),
            Cell(way),
            Cell(move.actor),
            Cell(words.shorten(move.reason, REASON)),
        ),
        "strong" if last else "",
    )


def _number(node: Node) -> int:
    number = node.facts["number"]
    return number if isinstance(number, int) else 0
