"""Large CSV files and their relatives, in parts."""

from collections.abc import Iterator, Sequence
from typing import BinaryIO

from milepost.data.delimited import (
    Ragged,
    checked_header,
    quotes_are_bare,
    records_of,
    sniff_delimiter,
)
from milepost.data.streaming.parts import PART_CHARACTERS, Part, Read
from milepost.data.streaming.texts import Encoded, encoded, text_of
from milepost.entities.errors import DataError
from milepost.entities.example import Finding

_SNIFFED = (1 << 20) + 1


def delimited_file(file: BinaryIO, name: str, expect: Sequence[str], rows: int) -> Read:
    """A CSV in parts, as ``parse_delimited`` reads it.

    Args:
        file: Its bytes; can be read again.
        name: What to call it in messages.
        expect: Columns that are looked for.
        rows: Most rows of a part.
    """
    how = encoded(file)
    with text_of(file, how, "") as text:
        delimiter = sniff_delimiter(text.read(_SNIFFED), expect)
    reader = _Reader(file, name, how, delimiter)
    return Read(
        typed=False,
        parts=lambda: reader.parts(rows),
        findings=lambda: (*how.findings, *reader.findings()),
        total=lambda: reader.total,
    )


class _Reader:
    def __init__(self, file: BinaryIO, name: str, how: Encoded, delimiter: str) -> None:
        self._file = file
        self._name = name
        self._how = how
        self._delimiter = delimiter
        self._bare = quotes_are_bare(delimiter, self._quotes() if delimiter == "\t" else 0)
        self._ragged = Ragged(delimiter, 0)

    @property
    def total(self) -> int:
        return self._ragged.total

    def findings(self) -> tuple[Finding, ...]:
        return self._ragged.findings()

    def _quotes(self) -> int:
        with text_of(self._file, self._how, "") as text:
            return sum(block.count('"') for block in iter(lambda: text.read(1 << 20), ""))

    def parts(self, rows: int) -> Iterator[Part]:
        with text_of(self._file, self._how, "") as text:
            # By its method: what reads the lines must not close the file when it is let go.
            lines_of = iter(text.readline, "")
            records = records_of(lines_of, self._delimiter, bare=self._bare, name=self._name)
            first = next(records, None)
            if first is None:
                raise DataError(
                    "the file is empty.",
                    where=self._name,
                    advice="It needs a header line and rows of data.",
                )
            header = checked_header(first[1], self._name)
            self._ragged = ragged = Ragged(self._delimiter, len(header))
            kept: list[list[str]] = []
            lines: list[int] = []
            size = 0
            for line, cells in records:
                fitting = ragged.fit(line, cells)
                if fitting is None:
                    continue
                kept.append(fitting)
                lines.append(line)
                size += sum(map(len, fitting))
                if len(kept) >= rows or size >= PART_CHARACTERS:
                    yield _part(header, kept, lines)
                    kept, lines, size = [], [], 0
            ragged.check(self._name)
            yield _part(header, kept, lines)


def _part(header: Sequence[str], kept: Sequence[list[str]], lines: Sequence[int]) -> Part:
    columns = {
        column: [cells[i] if i < len(cells) else None for cells in kept]
        for i, column in enumerate(header)
    }
    return Part(columns, lines)
