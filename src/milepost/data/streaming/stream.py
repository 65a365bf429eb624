"""A file in parts: read through once to check and describe it, then again part by part.

Knows rows and columns; which column is the text, and what becomes of it, is decided elsewhere.
"""

import shutil
import sys
import tempfile
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from milepost.data.clean import Kind, Plain, kind_of, kind_of_both, read_as
from milepost.data.encoding import decode
from milepost.data.load import Table, check_readable, format_of, load_table
from milepost.data.streaming.delimited import delimited_file
from milepost.data.streaming.lines import json_lines_file
from milepost.data.streaming.parquet import parquet_file
from milepost.data.streaming.parts import Part, Read
from milepost.entities.example import Finding
from milepost.entities.ids import Digest

PART_ROWS = 2048
"""Rows of a part."""

WHOLE_BYTES = 1 << 20
"""A file up to this size is read at once: it is small, and may be in any format."""

_READERS: Mapping[str, Callable[[BinaryIO, str, Sequence[str], int], Read]] = {
    "csv": delimited_file,
    "jsonl": json_lines_file,
    "parquet": parquet_file,
}


@dataclass(frozen=True, slots=True, eq=False)
class Stream:
    """A source that was read through once.

    Attributes:
        name: How messages call it.
        kinds: What each column is throughout, by its name, in the order of the source.
        total: Data rows, including those that could not be kept.
        typed: Whether the source has types; a CSV has none, all its cells are text.
        findings: What had to be assumed or left out to read it.
        parts: Gives the parts from the beginning; at least one, which may be empty.
    """

    name: str
    kinds: Mapping[str, Kind]
    total: int
    typed: bool
    findings: tuple[Finding, ...]
    parts: Callable[[], Iterator[Table]]


@contextmanager
def open_stream(
    source: object,
    expect: Sequence[str] = (),
    *,
    rows: int = PART_ROWS,
    whole: int = WHOLE_BYTES,
) -> Generator[Stream]:
    """Open a file, standard input (``-``) or a dataframe.

    The memory that is used does not depend on the length of a CSV, JSONL or Parquet file. Standard
    input is put into a temporary file first. A JSON array and a dataframe are read at once.

    Args:
        source: As for ``load_table``.
        expect: Columns that are looked for; they help to recognise a delimiter.
        rows: Most rows of a part, ≥ 1.
        whole: Bytes up to which a file is read at once.

    Raises:
        DataError: As ``load_table``; whatever is wrong with a row is found here, before a part is
            given, and says its line.
    """
    if isinstance(source, str | Path) and (stream := _large(source, whole)) is not None:
        with stream as (file, name):
            yield _described(file, name, expect, rows)
        return
    yield _of_table(load_table(source, expect=expect), rows)


def _large(source: str | Path, whole: int) -> "_Opened | None":
    """The file, where it is to be read in parts."""
    if source == "-":
        return None if sys.stdin.isatty() else _Opened(None)
    path = Path(source)
    try:
        large = path.is_file() and path.stat().st_size > whole
    except (OSError, ValueError):
        return None  # reading it at once says what is wrong
    if not large or format_of(path.name) == "json":
        return None
    return _Opened(path)


class _Opened:
    """A file, or standard input in a temporary one."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._file: BinaryIO | None = None

    def __enter__(self) -> tuple[BinaryIO, str]:
        if self._path is not None:
            self._file = self._path.open("rb")
            return self._file, str(self._path)
        self._file = tempfile.TemporaryFile()
        shutil.copyfileobj(sys.stdin.buffer, self._file)
        return self._file, "standard input"

    def __exit__(self, *error: object) -> None:
        if self._file is not None:
            self._file.close()


def _described(file: BinaryIO, name: str, expect: Sequence[str], rows: int) -> Stream:
    file.seek(0)
    head = file.read(1 << 16)
    check_readable(head, name)
    form = _form(head, name)
    if form is None or not head.strip():
        file.seek(0)
        return _of_table(load_table("-", name=name, expect=expect, stdin=file), rows)
    read = _READERS[form](file, name, expect, rows)
    kinds: dict[str, Kind] = {}
    for part in read.parts():
        for column, values in part.columns.items():
            kinds[column] = kind_of_both(kinds.get(column, "none"), _kind(values, read.typed))
    findings = read.findings()  # now that all of it was read
    columns = list(kinds)

    def parts() -> Iterator[Table]:
        for part in read.parts():
            yield _table(name, part, columns, read.typed)

    return Stream(name, kinds, read.total(), read.typed, findings, parts)


def _form(head: bytes, name: str) -> str | None:
    """Format of a file that can be read in parts; ``None`` for any other."""
    if head.startswith(b"PAR1"):
        return "parquet"
    form = format_of(name)
    start = decode(head[:4096])[0].lstrip()[:1]
    if form is None:
        form = {"[": "json", "{": "jsonl"}.get(start, "csv")
    elif form == "jsonl" and start == "[":
        form = "json"
    return form if form in _READERS else None


def _of_table(table: Table, rows: int) -> Stream:
    """A table in memory as a stream."""
    kinds: dict[str, Kind] = {}
    for name, values in table.columns.items():
        kinds[name] = _kind(values, table.typed)

    def parts() -> Iterator[Table]:
        for start in range(0, max(1, len(table)), rows):
            end = start + rows
            columns = {name: values[start:end] for name, values in table.columns.items()}
            part = Part(columns, table.rows[start:end])
            yield _table(table.name, part, list(columns), table.typed)

    return Stream(table.name, kinds, table.total, table.typed, table.findings, parts)


def _table(name: str, part: Part, columns: Sequence[str], typed: bool) -> Table:  # noqa: FBT001
    missing: list[Plain] = [None] * len(part.rows)
    filled = {column: part.columns.get(column, missing) for column in columns}
    return Table(name, filled, part.rows, len(part.rows), Digest(""), typed=typed)


def _kind(values: Sequence[Plain], typed: bool) -> Kind:  # noqa: FBT001
    if typed:
        return kind_of_values(values)
    return kind_of(value for value in values if isinstance(value, str))


def kind_of_values(values: Sequence[object]) -> Kind:
    """What the values of a typed column are."""
    kinds = {type(value) for value in values} - {type(None)}
    if not kinds:
        return "none"
    if kinds <= {int, float}:
        return "int" if kinds == {int} else "float"
    return "bool" if kinds == {bool} else "text"


def as_kind(values: Sequence[object], kind: Kind, *, typed: bool) -> list[Plain]:
    """Cells of a part as what their column is throughout.

    Args:
        values: Cells of one column of a part.
        kind: That of the column in ``Stream.kinds``.
        typed: Whether the source has types.
    """
    if not typed:
        return read_as(("" if value is None else str(value) for value in values), kind)
    if kind == "float":
        return [None if value is None else float(cast("float", value)) for value in values]
    if kind == "text":
        return [None if value is None else str(value) for value in values]
    return cast("list[Plain]", list(values))
