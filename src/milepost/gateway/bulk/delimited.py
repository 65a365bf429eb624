"""CSV as it arrives to rows, and answered rows to CSV."""

import csv
import io
import re
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any

from milepost.data.delimited import sniff_delimiter
from milepost.gateway.bulk.rows import Column, Row, Rows, checked, field_row, lines
from milepost.gateway.errors import RefusedError

MOST_RECORD_BYTES = 256 * 1024
"""Longest record of a CSV file. A quote that is never closed would else swallow the file."""

CHARSETS = ("utf-8", "us-ascii", "iso-8859-1", "iso-8859-15", "windows-1252", "cp1252", "latin-1")
"""Encodings in which a line's end and a quote are the same single bytes everywhere."""

_BOM = b"\xef\xbb\xbf"


class CsvSource:
    """Rows of a CSV file with a header; used by one coroutine.

    Args:
        chunks: Its bytes.
        charset: Its encoding, one of ``CHARSETS``.
        most_chars: Longest text, in characters.
    """

    def __init__(self, chunks: AsyncIterator[bytes], charset: str, most_chars: int) -> None:
        if charset not in CHARSETS:
            raise RefusedError(
                415,
                "wrong_charset",
                f"files in {charset[:40]!r} are not read.",
                param="Content-Type",
                advice="Send UTF-8.",
            )
        self._records = _records(lines(chunks, MOST_RECORD_BYTES))
        self._charset = charset
        self._most_chars = most_chars
        self._pending: list[bytes] = []
        self.delimiter = ","
        self.names: tuple[str, ...] = ()

    async def open(self, expect: Sequence[str]) -> tuple[str, ...]:
        """Read the header.

        Args:
            expect: Names one of which should be there; they help to find the delimiter.

        Returns:
            The names of the columns.

        Raises:
            RefusedError: 422 if there is none, or a name stands twice.
        """
        async for some in self._records:
            self._pending = [record for record in some if record.strip()]
            if self._pending:
                break
        if not self._pending:
            raise RefusedError(422, "no_inputs", "the file is empty.")
        head = self._pending.pop(0).removeprefix(_BOM)
        sample = b"\n".join((head, *self._pending[:50])).decode(self._charset, "replace")
        self.delimiter = sniff_delimiter(sample, expect)
        self.names = tuple(name.strip() for name in self._cells(head.decode(self._charset)))
        twice = sorted({name for name in self.names if self.names.count(name) > 1})
        if twice:
            raise RefusedError(
                422, "duplicate_column", f"the column {twice[0][:100]!r} stands twice."
            )
        return self.names

    async def rows(self, column: Column) -> Rows:
        """The rows, asked about one column or several; a short one is filled with empty cells."""
        number = 1
        some: list[bytes] = self._pending
        while True:
            found: list[Row] = []
            for record in some:
                number += 1
                if record.strip():
                    found.append(checked(self._row(number, record, column), self._most_chars))
            if found:
                yield found
            try:
                some = await anext(self._records)
            except StopAsyncIteration:
                return

    def _row(self, number: int, record: bytes, column: Column) -> Row:
        try:
            cells = self._cells(record.decode(self._charset))
        except UnicodeDecodeError:
            cells = self._cells(record.decode(self._charset, "replace"))
            error = RefusedError(422, "wrong_charset", f"this row is not {self._charset}.")
            return Row(number=number, data=self._named(cells), error=error)
        if len(cells) > len(self.names) and any(cells[len(self.names) :]):
            what = f"{len(cells)} cells stand under {len(self.names)} columns."
            error = RefusedError(422, "wrong_row", what, advice="Is a quote missing?")
            return Row(number=number, data=self._named(cells), error=error)
        return field_row(number, self._named(cells), column)

    def _named(self, cells: Sequence[str]) -> dict[str, Any]:
        filled = [*cells, *([""] * (len(self.names) - len(cells)))]
        return dict(zip(self.names, filled, strict=False))

    def _cells(self, record: str) -> list[str]:
        return next(csv.reader([record], delimiter=self.delimiter), [])


async def _records(
    some_lines: AsyncIterator[list[bytes | None]],
) -> AsyncIterator[list[bytes]]:
    """Records, of which one in quotes may go over several lines.

    Raises:
        RefusedError: 422 if one is longer than ``MOST_RECORD_BYTES``.
    """
    held: list[bytes] = []
    size = 0
    async for some in some_lines:
        found: list[bytes] = []
        for line in some:
            size += MOST_RECORD_BYTES if line is None else len(line) + 1
            if line is None or size > MOST_RECORD_BYTES:
                raise RefusedError(
                    422,
                    "record_too_long",
                    f"a record may have at most {MOST_RECORD_BYTES:,} bytes.",
                    advice="Is a quote missing?",
                )
            # Each line is looked at once, whatever the length of the record.
            if (held or b'"' in line) and _ends_quoted(line, quoted=bool(held)):
                held.append(line)
                continue
            record = b"\n".join((*held, line)) if held else line
            found.append(record.removesuffix(b"\r"))
            held, size = [], 0
        if found:
            yield found
    if held:
        yield [b"\n".join(held)]


_DELIMITER = re.compile(rb"[,;\t|]")


def _ends_quoted(line: bytes, *, quoted: bool) -> bool:
    """Whether a line ends within a quoted cell, given whether it begins in one.

    A quote opens a cell only at its beginning, which is the line's or follows a delimiter.
    """
    at = 0
    while True:
        if not quoted:
            if line[at : at + 1] != b'"':
                following = _DELIMITER.search(line, at)
                if following is None:
                    return False
                at = following.end()
                continue
            at += 1
        at = line.find(b'"', at)
        while at >= 0 and line[at + 1 : at + 2] == b'"':
            at = line.find(b'"', at + 2)
        if at < 0:
            return True
        quoted = False
        at += 1


def csv_line(cells: Iterable[object], delimiter: str) -> str:
    """One record with its line's end."""
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter, lineterminator="\n").writerow(cells)
    return out.getvalue()
