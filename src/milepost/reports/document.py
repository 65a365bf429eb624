"""One small document model that is shown as a coloured terminal table, plain text or HTML.

It knows rows, bars and sentences, and nothing of tasks or contests.
"""

import io
import sys
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from html import escape
from typing import Literal

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from milepost.reports.words import clean

Role = Literal["", "strong", "dim", "good", "calm", "bad", "warn", "accent", "code"]

WIDTH = 80
WRAPS_FROM = 18
"""Cells that a column meant to wrap gets at least before bars are given up."""
WORD = 14
"""Longest word, in cells, that is never broken."""
NARROW_BAR = 8
"""Cells of a bar where there is little room."""
STYLES: dict[Role, str] = {
    "": "",
    "strong": "bold",
    "dim": "dim",
    "good": "green",
    "calm": "blue",
    "bad": "red",
    "warn": "yellow",
    "accent": "bold cyan",
    "code": "cyan",
}
ASCII = {
    "✔": "+", "✘": "x", "●": "o", "○": "o", "◂": "<", "▸": ">", "★": "*", "•": "*", "·": ".",
    "…": "~", "↓": "v",
    "–": "-", "—": "-", "─": "-", "━": "-", "╸": "-", "╺": "-", "│": "|", "├": "|", "└": "`",
    "≥": ">", "≤": "<", "→": ">", "×": "x", "’": "'", "‘": "'", "“": '"', "”": '"', "█": "#",
    "░": ".", "±": "+", "↔": "=", "\u00a0": " ",
}  # fmt: skip
NOTEBOOK_CSS = """<style>
.mp-doc{font:14px/1.45 system-ui,sans-serif;max-width:60rem}
.mp-doc p{margin:.4em 0}.mp-doc ul{margin:.3em 0 .6em 1.3em;padding:0}
.mp-doc table{border-collapse:collapse;margin:.5em 0;font-variant-numeric:tabular-nums}
.mp-doc th,.mp-doc td{padding:.25em .7em;text-align:left;vertical-align:top;white-space:normal}
.mp-doc th{border-bottom:1px solid #8888;font-weight:600;opacity:.75}
.mp-doc .right{text-align:right;white-space:nowrap}.mp-doc .strong,.mp-doc .accent{font-weight:650}
.mp-doc .dim{opacity:.65}.mp-doc .good{color:#11845b}.mp-doc .calm{color:#2f7fc2}
.mp-doc .bad{color:#d0483e}.mp-doc .warn{color:#b07a00}
.mp-doc .code{font-family:ui-monospace,monospace;font-size:.92em}
.mp-doc .bar{display:inline-block;position:relative;width:9em;height:.9em;vertical-align:middle}
.mp-doc .bar i{position:absolute;top:42%;height:16%;background:currentColor;opacity:.5}
.mp-doc .bar b{position:absolute;top:8%;width:.7em;height:.7em;margin-left:-.35em;
border-radius:50%;background:currentColor}
</style>"""


@dataclass(frozen=True, slots=True)
class Bar:
    """An interval on a scale, all in the same unit.

    Attributes:
        low: Lower end of the interval.
        value: Where the mark stands.
        high: Upper end of it.
        start: Value at the left end of the scale.
        end: Value at its right end; above ``start``.
    """

    low: float
    value: float
    high: float
    start: float
    end: float

    def share(self, value: float) -> float:
        """Where a value stands on the scale, 0 to 1."""
        return min(1.0, max(0.0, (value - self.start) / (self.end - self.start)))

    @property
    def beyond(self) -> str:
        """A mark that points to where a value beyond the scale lies; empty for one within."""
        return "◂" if self.value < self.start else "▸" if self.value > self.end else ""

    def text(self, width: int) -> Text:
        """The bar in ``width`` terminal cells; the mark is never hidden by the interval."""
        cells = [int(self.share(v) * (width - 1) + 0.5) for v in (self.low, self.value, self.high)]
        line = [" "] * width
        for i in range(cells[0], cells[2] + 1):
            line[i] = "━"
        line[cells[1]] = self.beyond or "●"
        return Text("".join(line), no_wrap=True)

    def html(self) -> str:
        """The bar as positioned elements; it is decoration, the numbers stand beside it."""
        if self.beyond:
            side = ' style="text-align:right"' if self.beyond == "▸" else ""
            return f'<span class="bar" aria-hidden="true"{side}>{self.beyond}</span>'
        left, right = self.share(self.low) * 100, self.share(self.high) * 100
        return (
            f'<span class="bar" aria-hidden="true"><i style="left:{left:.1f}%;'
            f'width:{right - left:.1f}%"></i><b style="left:{self.share(self.value) * 100:.1f}%">'
            "</b></span>"
        )


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell: text, or a bar."""

    text: str = ""
    role: Role = ""
    bar: Bar | None = None


@dataclass(frozen=True, slots=True)
class Column:
    """A column.

    Attributes:
        title: Its heading; may be empty.
        align: Numbers stand right.
        width: Fixed width in terminal cells; ``None`` takes what the content needs.
        wraps: Whether long content may go over several lines.
    """

    title: str
    align: Literal["left", "right"] = "left"
    width: int | None = None
    wraps: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """Cells in the order of the columns, with one role for all that have none of their own.

    ``detail`` is a remark on the row: in HTML it stands below it, in a terminal below the table.
    """

    cells: tuple[Cell, ...]
    role: Role = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Grid:
    """A table."""

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Line:
    """A paragraph of pieces, each with its role; ``mark`` stands before it, in a margin."""

    pieces: tuple[tuple[str, Role], ...]
    indent: int = 0
    mark: tuple[str, Role] | None = None


@dataclass(frozen=True, slots=True)
class Bullets:
    """Sentences as a list."""

    items: tuple[str, ...]


Part = Line | Bullets | Grid


@dataclass(frozen=True, slots=True, repr=False)
class Document:
    """Parts from top to bottom.

    It prints itself: ``str()`` gives plain text in 80 columns, a rich console a coloured table
    in its own width, a notebook an HTML table.
    """

    parts: tuple[Part, ...] = field(default=())

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        shown = Group(*(_renderable(part) for part in self.parts))
        if not options.ascii_only:
            yield shown
            return
        for segment in console.render(shown, options):
            yield Segment(_ascii(segment.text), segment.style, segment.control)

    def plain(self, width: int = WIDTH, *, ascii_only: bool = False) -> str:
        """Plain text in ``width`` columns, without trailing spaces.

        Args:
            width: Columns.
            ascii_only: Whether every other character is replaced by one that resembles it.
        """
        console = Console(
            file=io.StringIO(),
            width=width,
            color_system=None,
            force_terminal=False,
            force_jupyter=False,
            legacy_windows=False,
            highlight=False,
        )
        with console.capture() as captured:
            console.print(self)
        text = _ascii(captured.get()) if ascii_only else captured.get()
        return "\n".join(line.rstrip() for line in text.splitlines())

    def __str__(self) -> str:
        return self.plain(ascii_only=not _encodes(sys.stdout))

    __repr__ = __str__

    def html(self) -> str:
        """The parts as HTML elements without a style sheet; every text is escaped."""
        return "".join(_part_html(part) for part in self.parts)

    def _repr_html_(self) -> str:
        return f'<div class="mp-doc">{NOTEBOOK_CSS}{self.html()}</div>'


def sentence(text: str, role: Role = "", indent: int = 0) -> Line:
    """A paragraph in one role."""
    return Line(((text, role),), indent)


BLANK = Line((("", ""),))


def _encodes(stream: object) -> bool:
    """Whether a stream can show the marks that tables are drawn with."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    try:
        "".join(ASCII).encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _ascii(text: str) -> str:
    """ASCII of the same width in cells."""
    return text if text.isascii() else "".join(map(_ascii_character, text))


def _ascii_character(character: str) -> str:
    if character.isascii():
        return character
    base = unicodedata.normalize("NFKD", character)[0]
    plain = ASCII.get(character) or (base if base.isascii() else "?")
    return (plain + "?" * cell_len(character))[: cell_len(character)]


def _renderable(part: Part) -> RenderableType:
    if isinstance(part, Line):
        return _line(part)
    if isinstance(part, Bullets):
        return Group(*(_hanging(Text("•"), Text(clean(item)), 2) for item in part.items))
    return _GridView(part)


def _line(line: Line) -> RenderableType:
    text = Text.assemble(*((clean(piece), STYLES[role]) for piece, role in line.pieces))
    if line.mark:
        return _hanging(Text(line.mark[0], STYLES[line.mark[1]]), text, line.indent)
    return Padding(text, (0, 0, 0, line.indent)) if line.indent else text


def _hanging(mark: Text, text: Text, indent: int) -> RenderableType:
    """A text whose further lines begin below its first one, not below the mark."""
    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row(mark, text)
    return Padding(table, (0, 0, 0, indent))


@dataclass(frozen=True, slots=True)
class _GridView:
    """A grid that gives up its second space between columns, then its bars, when it is narrow."""

    grid: Grid

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = options.max_width
        grid, gap = self.grid, 2 if _needs(self.grid, 2) <= width else 1
        if _needs(grid, gap) > width:
            grid = _with_bars(self.grid, NARROW_BAR)
        if _needs(grid, gap) > width:
            grid = _with_bars(self.grid, 0)
        yield _rich_table(grid, gap)
        yield from _details(grid)


def _needs(grid: Grid, gap: int) -> int:
    """Cells that a grid needs so that only the columns meant for it wrap."""
    total = gap * (len(grid.columns) - 1)
    for i, column in enumerate(grid.columns):
        texts = [column.title, *(row.cells[i].text for row in grid.rows)]
        longest = max(cell_len(clean(text)) for text in texts)
        total += column.width or (min(longest, WRAPS_FROM) if column.wraps else longest)
    return total


def _with_bars(grid: Grid, width: int) -> Grid:
    """The grid with bars of that width; 0 leaves them out."""
    barred = {i for i in range(len(grid.columns)) if any(row.cells[i].bar for row in grid.rows)}
    kept = [i for i in range(len(grid.columns)) if width or i not in barred]
    columns = tuple(
        replace(grid.columns[i], width=width) if i in barred else grid.columns[i] for i in kept
    )
    rows = tuple(replace(row, cells=tuple(row.cells[i] for i in kept)) for row in grid.rows)
    return Grid(columns, rows)


def _rich_table(grid: Grid, gap: int) -> Table:
    """The grid as a rich table without a frame: one rule below the headings."""
    table = Table(
        box=box.SIMPLE_HEAD if any(c.title for c in grid.columns) else None,
        show_header=any(c.title for c in grid.columns),
        padding=(0, gap - 1, 0, 0),
        pad_edge=False,
        show_edge=False,
        header_style="dim",
    )
    for i, column in enumerate(grid.columns):
        words = [w for row in grid.rows for w in row.cells[i].text.split()]
        longest = max((cell_len(clean(word)) for word in (column.title, *words)), default=1)
        table.add_column(
            Text(column.title, overflow="fold"),
            justify=column.align,
            width=column.width,
            min_width=min(longest, WORD) if column.wraps else None,
            no_wrap=not column.wraps,
            overflow="fold" if column.wraps else "ellipsis",
            vertical="top",
        )
    for row in grid.rows:
        cells = [_rich_cell(c, row.role, k) for c, k in zip(row.cells, grid.columns, strict=True)]
        table.add_row(*cells)
    return table


def _rich_cell(cell: Cell, role: Role, column: Column) -> Text:
    text = cell.bar.text(column.width or 12) if cell.bar else Text(clean(cell.text))
    text.stylize(STYLES[cell.role or role])
    return text


def _details(grid: Grid) -> list[RenderableType]:
    """Remarks on rows, each headed by its first cell that has a heading, as in ``name: remark``."""
    named = next((i for i, column in enumerate(grid.columns) if column.title), 0)
    shown: list[RenderableType] = []
    for row in grid.rows:
        if row.detail:
            name = clean(row.cells[named].text)
            text = Text.assemble((name, "bold"), ": ", clean(row.detail), style="dim")
            shown.append(Padding(text, (0, 0, 0, 2)))
    return [Text(""), *shown] if shown else []


def _part_html(part: Part) -> str:
    if isinstance(part, Line):
        mark = _span(f"{part.mark[0]} ", part.mark[1]) if part.mark else ""
        pieces = mark + "".join(_span(text, role) for text, role in part.pieces)
        return f"<p>{pieces}</p>" if any(text for text, _ in part.pieces) else ""
    if isinstance(part, Bullets):
        items = "".join(f"<li>{escape(clean(item))}</li>" for item in part.items)
        return f"<ul>{items}</ul>" if items else ""
    return grid_html(part)


def _span(text: str, role: Role) -> str:
    shown = escape(clean(text))
    return f'<span class="{role}">{shown}</span>' if role else shown


def grid_html(grid: Grid) -> str:
    """A grid as an HTML table; every text is escaped and brings its own direction."""
    head = "".join(
        f'<th scope="col" class="{column.align}">{escape(column.title)}</th>'
        for column in grid.columns
    )
    body = "".join(_row_html(row, grid.columns) for row in grid.rows)
    return (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _row_html(row: Row, columns: Sequence[Column]) -> str:
    cells: list[str] = []
    for cell, column in zip(row.cells, columns, strict=True):
        inner = cell.bar.html() if cell.bar else f"<bdi>{escape(clean(cell.text))}</bdi>"
        role = cell.role or row.role
        cells.append(f'<td class="{column.align} {role}">{inner}</td>')
    html = f"<tr>{''.join(cells)}</tr>"
    if row.detail:
        html += (
            f'<tr class="detail"><td></td><td colspan="{len(columns) - 1}" class="dim">'
            f"<div>{escape(clean(row.detail))}</div></td></tr>"
        )
    return html
