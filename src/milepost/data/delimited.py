"""Delimited text (CSV and relatives) to columns of text. Knows nothing of files or encodings."""

import csv
import io
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from milepost.data.wording import SHOWN, number_of, quote, verb
from milepost.entities.errors import DataError
from milepost.entities.example import Finding

_CANDIDATES = (",", ";", "\t", "|")
_SAMPLED_RECORDS = 200
_SAMPLED_CHARS = 1 << 20
_NO_DELIMITER = "\x1f"
"""Unit separator: does not occur in tables, so the whole line is one cell."""
_MOST_BROKEN = 0.1
"""Share of rows with too many cells above which the file as a whole is refused."""


@dataclass(frozen=True, slots=True, eq=False)
class Delimited:
    """Parsed delimited text.

    Attributes:
        columns: Cells by column name, in file order; ``None`` where a row was too short.
        lines: 1-based line on which each kept row begins.
        total: Data rows in the text, including those left out.
        findings: Rows padded or left out.
    """

    columns: dict[str, list[str | None]]
    lines: list[int]
    total: int
    findings: tuple[Finding, ...]


def sniff_delimiter(text: str, expect: Sequence[str] = ()) -> str:
    """The delimiter of ``text``: comma, semicolon, tab or pipe.

    Each candidate parses the first records; the best is the one whose header holds most of the
    ``expect``-ed columns, then the one under which most records have as many cells as the header,
    then the one with most cells. A header without any candidate means one column: then nothing
    splits a line.
    """
    sample = text[:_SAMPLED_CHARS]
    best: tuple[int, float, int] | None = None
    chosen = _NO_DELIMITER
    for delimiter in _CANDIDATES:
        records = [r for r, _ in zip(_records(sample, delimiter), range(_SAMPLED_RECORDS))]  # noqa: B905
        header = [name.strip() for name in records[0][1]] if records else []
        # The last record may have been cut by the end of the sample.
        body = [cells for _, cells in records[1:]]
        body = body[:-1] if len(sample) < len(text) and len(body) > 1 else body
        if len(header) < 2:
            continue
        agreeing = sum(len(cells) == len(header) for cells in body) / len(body) if body else 1.0
        score = (len(set(expect) & set(header)), round(agreeing, 2), len(header))
        if best is None or score > best:
            best, chosen = score, delimiter
    header_is_expected = next(iter(_records(sample, _NO_DELIMITER)), (0, [""]))[1][0].strip()
    return _NO_DELIMITER if header_is_expected in expect else chosen


def parse_delimited(text: str, name: str, expect: Sequence[str] = ()) -> Delimited:
    """Columns of a CSV-like text with a header.

    Quoted cells may hold delimiters, quotes (doubled) and line breaks; blank lines are skipped.
    A row with too few cells is padded with ``None`` and reported; one with too many is left out
    and reported, because its cells cannot be told apart (empty extra cells at its end are
    dropped instead).

    Args:
        text: The decoded text, without a byte-order mark.
        name: What to call it in messages.
        expect: Column names that are looked for; they help to find the delimiter.

    Raises:
        DataError: If there is no header, a column name is empty or occurs twice, a quotation mark
            is never closed, or more than a tenth of the rows have too many cells.
    """
    delimiter = sniff_delimiter(text, expect)
    records = _records(text, delimiter, name)
    first = next(records, None)
    if first is None:
        raise DataError(
            "the file is empty.", where=name, advice="It needs a header line and rows of data."
        )
    header = checked_header(first[1], name)
    width = len(header)
    kept: list[list[str]] = []
    lines: list[int] = []
    ragged = Ragged(delimiter, width)
    for line, cells in records:
        fitting = ragged.fit(line, cells)
        if fitting is not None:
            kept.append(fitting)
            lines.append(line)
    ragged.check(name)
    columns: dict[str, list[str | None]] = {
        column: [cells[i] if i < len(cells) else None for cells in kept]
        for i, column in enumerate(header)
    }
    return Delimited(columns, lines, ragged.total, ragged.findings())


def checked_header(cells: Sequence[str], name: str) -> list[str]:
    """Column names without surrounding space; unnamed trailing columns are numbered.

    Raises:
        DataError: If a name occurs twice.
    """
    header = [
        cell.replace("\x00", "").strip() or f"column_{i}" for i, cell in enumerate(cells, start=1)
    ]
    twice = [column for column, n in Counter(header).items() if n > 1]
    if twice:
        raise DataError(
            f"the column name {twice[0]!r} occurs {header.count(twice[0])} times in the header.",
            where=name,
            advice="Give each column its own name.",
        )
    return header


def _records(text: str, delimiter: str, name: str | None = None) -> Iterator[tuple[int, list[str]]]:
    """The records of a text in memory; see :func:`records_of`."""
    bare = quotes_are_bare(delimiter, text.count('"'))
    return records_of(io.StringIO(text, newline=""), delimiter, bare=bare, name=name)


def quotes_are_bare(delimiter: str, quotes: int) -> bool:
    """Whether quotation marks are characters like any other.

    Tab-separated files often hold bare quotation marks; an odd number of them cannot be quoting.
    """
    return delimiter == "\t" and quotes % 2 == 1


def records_of(
    lines: Iterable[str], delimiter: str, *, bare: bool, name: str | None = None
) -> Iterator[tuple[int, list[str]]]:
    """First line (1-based) and cells of each record that is not blank.

    With a ``name`` an unclosed quotation mark is an error; without, it ends the iteration.

    Args:
        lines: The lines of the text with their ends, as ``newline=""`` gives them.
        delimiter: What separates cells.
        bare: See :func:`quotes_are_bare`.
        name: What to call the text in messages.

    Raises:
        DataError: If a quotation mark is never closed.
    """
    # The standard limit of 128 KiB a cell is below a long text; the limit is process-wide and only
    # ever raised.
    csv.field_size_limit(max(csv.field_size_limit(), min(sys.maxsize, 2**31 - 1)))
    end = "\x1d\x1e end of text"
    reader = csv.reader(
        _followed_by(lines, end),
        delimiter=delimiter,
        quoting=csv.QUOTE_NONE if bare else csv.QUOTE_MINIMAL,
    )
    begins = 1
    for cells in reader:
        if len(cells) == 1 and cells[0] == end:
            return
        if reader.line_num > begins and cells and cells[-1].endswith(end):
            break
        if cells and cells != [""]:
            yield begins, cells
        begins = reader.line_num + 1
    if name is not None:
        raise DataError(
            f"a quotation mark opened at line {begins} is never closed.",
            where=name,
            advice='Close it, or write a quotation mark inside a quoted cell twice ("").',
        )


def _followed_by(lines: Iterable[str], end: str) -> Iterator[str]:
    yield from lines
    # A record of its own, unless the text ended inside quotation marks: then the reader has
    # swallowed it, which is how an unclosed quotation mark is noticed.
    yield end


class Ragged:
    """Counts the rows that have not as many cells as the header; keeps the first few to show.

    Args:
        delimiter: What separates cells.
        width: Cells of the header.
    """

    def __init__(self, delimiter: str, width: int) -> None:
        self.total = 0
        self._delimiter = delimiter
        self._width = width
        self._counts = {"long": 0, "short": 0}
        self._shown: dict[str, list[str]] = {"long": [], "short": []}

    def fit(self, line: int, cells: list[str]) -> list[str] | None:
        """The cells of a row, without empty ones beyond the header; ``None`` to leave it out."""
        width = self._width
        self.total += 1
        if len(cells) == width:
            return cells
        if len(cells) > width and not any(cell.strip() for cell in cells[width:]):
            return cells[:width]
        if len(cells) > width:
            self._note("long", f"line {line}: {len(cells)} cells", self._delimiter.join(cells))
            return None
        self._note("short", f"line {line}: {len(cells)} of {width} cells", " ".join(cells))
        return cells

    def _note(self, which: str, what: str, cells: str) -> None:
        self._counts[which] += 1
        if len(self._shown[which]) < SHOWN:
            self._shown[which].append(f"{what}, {quote(cells)}")

    def check(self, name: str) -> None:
        """Refuse a file of which more than a tenth of the rows have too many cells.

        Raises:
            DataError: Naming the first.
        """
        long = self._counts["long"]
        if long > _MOST_BROKEN * self.total:
            raise DataError(
                f"{number_of(long, 'row')} of {self.total:,} {verb(long, 'has', 'have')} more "
                f"cells than the header's {self._width} ({self._shown['long'][0]}).",
                where=name,
                advice="Put quotation marks around cells that contain the delimiter "
                f"({self._delimiter!r}).",
            )

    def findings(self) -> tuple[Finding, ...]:
        """Rows left out and rows padded."""
        found: list[Finding] = []
        long, short = self._counts["long"], self._counts["short"]
        if long:
            found.append(
                Finding(
                    check="rows_too_long",
                    severity="error",
                    count=long,
                    summary=f"{number_of(long, 'row')} {verb(long, 'has', 'have')} more "
                    f"cells than the header's {self._width} and {verb(long, 'was', 'were')} left "
                    "out; probably a cell with the delimiter in it lacks quotation marks.",
                    examples=tuple(self._shown["long"]),
                )
            )
        if short:
            found.append(
                Finding(
                    check="rows_too_short",
                    severity="warning",
                    count=short,
                    summary=f"{number_of(short, 'row')} {verb(short, 'has', 'have')} fewer "
                    f"cells than the header's {self._width}; the missing cells were taken as "
                    "empty.",
                    examples=tuple(self._shown["short"]),
                )
            )
        return tuple(found)
