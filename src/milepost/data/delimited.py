"""Delimited text (CSV and relatives) to columns of text. Knows nothing of files or encodings."""

import csv
import io
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
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
    short: list[str] = []
    long: list[str] = []
    for line, cells in records:
        if len(cells) > width and not any(cell.strip() for cell in cells[width:]):
            cells = cells[:width]  # noqa: PLW2901
        if len(cells) > width:
            long.append(f"line {line}: {len(cells)} cells, {quote(delimiter.join(cells))}")
            continue
        if len(cells) < width:
            short.append(f"line {line}: {len(cells)} of {width} cells, {quote(' '.join(cells))}")
        kept.append(cells)
        lines.append(line)
    total = len(kept) + len(long)
    if len(long) > _MOST_BROKEN * total:
        raise DataError(
            f"{number_of(len(long), 'row')} of {total:,} {verb(len(long), 'has', 'have')} more "
            f"cells than the header's {width} ({long[0]}).",
            where=name,
            advice=f"Put quotation marks around cells that contain the delimiter ({delimiter!r}).",
        )
    columns: dict[str, list[str | None]] = {
        column: [cells[i] if i < len(cells) else None for cells in kept]
        for i, column in enumerate(header)
    }
    return Delimited(columns, lines, total, _ragged(short, long, width))


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
    """First line (1-based) and cells of each record that is not blank.

    With a ``name`` an unclosed quotation mark is an error; without, it ends the iteration.
    """
    # The standard limit of 128 KiB a cell is below a long text; the limit is process-wide and only
    # ever raised.
    csv.field_size_limit(max(csv.field_size_limit(), min(sys.maxsize, 2**31 - 1)))
    end = "\x1d\x1e end of text"
    lines = io.StringIO(text, newline="")
    # Tab-separated files often hold bare quotation marks; an odd number of them cannot be quoting.
    bare = delimiter == "\t" and text.count('"') % 2 == 1
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


def _followed_by(lines: Iterator[str] | io.StringIO, end: str) -> Iterator[str]:
    yield from lines
    # A record of its own, unless the text ended inside quotation marks: then the reader has
    # swallowed it, which is how an unclosed quotation mark is noticed.
    yield end


def _ragged(short: list[str], long: list[str], width: int) -> tuple[Finding, ...]:
    findings: list[Finding] = []
    if long:
        findings.append(
            Finding(
                check="rows_too_long",
                severity="error",
                count=len(long),
                summary=f"{number_of(len(long), 'row')} {verb(len(long), 'has', 'have')} more "
                f"cells than the header's {width} and {verb(len(long), 'was', 'were')} left out; "
                "probably a cell with the delimiter in it lacks quotation marks.",
                examples=tuple(long[:SHOWN]),
            )
        )
    if short:
        findings.append(
            Finding(
                check="rows_too_short",
                severity="warning",
                count=len(short),
                summary=f"{number_of(len(short), 'row')} {verb(len(short), 'has', 'have')} fewer "
                f"cells than the header's {width}; the missing cells were taken as empty.",
                examples=tuple(short[:SHOWN]),
            )
        )
    return tuple(findings)
