"""Anything tabular to columns of plain values: CSV, TSV, JSONL, JSON, Parquet, dataframes.

Reads; does not judge: which column is the text or the label is decided elsewhere.
"""

import io
import json
import stat
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, Literal, cast

from milepost._base.digest import sha256_bytes
from milepost.data.clean import Plain, plain, storable
from milepost.data.delimited import checked_header, parse_delimited
from milepost.data.encoding import decode
from milepost.entities.errors import DataError, UnknownNameError
from milepost.entities.example import Finding, SourceFile
from milepost.entities.ids import Digest

Format = Literal["csv", "jsonl", "json", "parquet"]
"""Formats of files; ``csv`` stands for any delimiter."""

_SUFFIXES: Mapping[str, Format] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".tab": "csv",
    ".txt": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".parquet": "parquet",
    ".pq": "parquet",
}
_UNREADABLE = (
    (b"PK\x03\x04", "a spreadsheet or zip archive", "Save the sheet as CSV (UTF-8)."),
    (b"\xd0\xcf\x11\xe0", "an old spreadsheet", "Save the sheet as CSV (UTF-8)."),
    (b"\x1f\x8b", "compressed with gzip", "Unpack it first."),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd", "Unpack it first."),
    (b"%PDF", "a PDF", "Give a CSV, JSONL or Parquet file."),
)


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Columns of plain values, all of the same length ``n``.

    Attributes:
        name: How messages call it: the path as given, ``standard input`` or ``dataframe``.
        columns: Values by column name, in the order of the source: str, int, float, bool or None.
        rows: Where each row is, from 1: its line in a file of lines (CSV, JSONL), else its number.
        total: Data rows in the source, including those that could not be kept.
        sha256: Digest of the file's bytes, or of a dataframe's values.
        typed: Whether the source has types; a CSV has none, all its cells are text.
        findings: What had to be assumed or left out to read it.
        base: Folder that paths in its cells start from.
    """

    name: str
    columns: Mapping[str, Sequence[Plain]]
    rows: Sequence[int]
    total: int
    sha256: Digest
    typed: bool
    findings: tuple[Finding, ...] = ()
    base: Path = Path()

    def __len__(self) -> int:
        return len(self.rows)

    def column(self, name: str, kind: str = "column") -> Sequence[Plain]:
        """The values of a column.

        Raises:
            UnknownNameError: If there is none of that name; offers the nearest one.
        """
        if name not in self.columns:
            raise UnknownNameError(kind, name, self.columns, where=self.name)
        return self.columns[name]

    @property
    def source(self) -> SourceFile:
        """The record of where this came from."""
        return SourceFile(path=self.name, sha256=self.sha256, rows=self.total)


def load_table(
    source: object,
    *,
    name: str | None = None,
    expect: Sequence[str] = (),
    stdin: BinaryIO | None = None,
) -> Table:
    """Read a table from wherever it is.

    Args:
        source: A path; ``"-"`` for standard input; a :class:`Table` (returned as it is); a pandas,
            polars, pyarrow or other dataframe that narwhals knows; a mapping of columns; or a
            sequence of mappings, one per row.
        name: What to call it in messages; ``None`` takes the path as given.
        expect: Columns that will be asked for; they help to find the delimiter of a CSV.
        stdin: Where ``"-"`` reads; ``None`` for the process's standard input.

    Raises:
        DataError: If the file is missing, empty, unreadable or not of a known format.
    """
    if isinstance(source, Table):
        return source
    if isinstance(source, str) and source == "-":
        data = (stdin or sys.stdin.buffer).read()
        return _from_bytes(data, name or "standard input", None, expect)
    if isinstance(source, str | Path):
        path = Path(source)
        shown = name or str(source)
        table = _from_bytes(_read(path, shown), shown, format_of(path.name), expect)
        return replace(table, base=path.parent)
    return _from_object(source, name or "dataframe")


def _read(path: Path, name: str) -> bytes:
    try:
        mode = path.stat().st_mode
        if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
            # Some have no end, and some wait for somebody to type.
            raise DataError("this is a device.", where=name, advice="Name a file, or - for stdin.")
        return path.read_bytes()
    except FileNotFoundError:
        raise DataError("the file does not exist.", where=name, advice="Check the path.") from None
    except IsADirectoryError:
        raise DataError(
            "this is a folder.", where=name, advice="Name a CSV, JSONL or Parquet file in it."
        ) from None
    except OSError as error:
        raise DataError(
            f"the file cannot be read ({error.strerror or error}).",
            where=name[:500],
            advice="Check its permissions.",
        ) from error
    except ValueError as error:
        raise DataError(
            f"no file has such a name ({error}).", where=repr(name)[:500], advice="Check the path."
        ) from error


def _from_bytes(data: bytes, name: str, form: Format | None, expect: Sequence[str]) -> Table:
    if not data.strip():
        raise DataError(
            "the file is empty.", where=name, advice="It needs a header line and rows of data."
        )
    check_readable(data[:16], name)
    digest = Digest(sha256_bytes(data))
    if form == "parquet" or data.startswith(b"PAR1"):
        return _from_parquet(data, name, digest)
    text, findings = decode(data)
    if form is None or (form == "jsonl" and text.lstrip().startswith("[")):
        form = _guess_format(text)
    if form == "csv":
        parsed = parse_delimited(text, name, expect)
        found = (*findings, *parsed.findings)
        return Table(name, parsed.columns, parsed.lines, parsed.total, digest, typed=False,
                     findings=found)  # fmt: skip
    records = _json_lines(text, name) if form == "jsonl" else _json_array(text, name)
    columns = columns_of(list(records.values()))
    return Table(name, columns, tuple(records), len(records), digest, typed=True, findings=findings)


def check_readable(head: bytes, name: str) -> None:
    """Refuse a file by its first bytes.

    Raises:
        DataError: If it is packed, or a document of another kind.
    """
    for magic, what, advice in _UNREADABLE:
        if head.startswith(magic):
            raise DataError(f"the file is {what}, which is not read.", where=name, advice=advice)


def format_of(name: str) -> Format | None:
    """Format by the suffix of a file's name; ``None`` where it has none that is known."""
    return _SUFFIXES.get(Path(name).suffix.lower())


def _guess_format(text: str) -> Format:
    """Format by the first characters: an array, an object per line, or else delimited text."""
    head = text.lstrip()[:1]
    if head == "[":
        return "json"
    return "jsonl" if head == "{" else "csv"


def _json_lines(text: str, name: str) -> dict[int, Mapping[str, object]]:
    """Records by the line that each is on."""
    records: dict[int, Mapping[str, object]] = {}
    # Only line feeds end a record: JSON strings may hold the other separators unescaped.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        records[number] = json_line(line, f"{name}:{number}")
    return records


def json_line(line: str, where: str) -> Mapping[str, object]:
    """The object of one line.

    Raises:
        DataError: If it is none; says where.
    """
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        reason = error.msg if isinstance(error, json.JSONDecodeError) else "nested too deeply"
        raise DataError(
            f"this line is not JSON ({reason}).",
            where=where,
            advice='A JSONL file holds one object per line, such as {"text": "…"}.',
        ) from None
    return as_record(value, where)


def _json_array(text: str, name: str) -> dict[int, Mapping[str, object]]:
    """Records by their number in the array; by line where it is no array but objects in lines."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        if error.msg == "Extra data":  # one object per line under the wrong suffix
            return _json_lines(text, name)
        raise DataError(
            f"this is not JSON ({error.msg}).",
            where=f"{name}:{error.lineno}",
            advice='It should hold an array of objects, such as [{"text": "…"}].',
        ) from None
    except (ValueError, RecursionError):
        raise DataError("the JSON is nested too deeply or a number is too long.", where=name,
                        advice="It should hold an array of flat objects.") from None  # fmt: skip
    if isinstance(value, dict):
        return _json_lines(text, name) if "\n" not in text.strip() else {1: as_record(value, name)}
    if not isinstance(value, list):
        raise DataError(
            "the JSON is not an array.",
            where=name,
            advice='It should hold an array of objects, such as [{"text": "…"}].',
        )
    elements = enumerate(cast("list[object]", value), start=1)
    return {i: as_record(each, f"{name}, element {i}") for i, each in elements}


def as_record(value: object, where: str) -> Mapping[str, object]:
    """A row that was read as JSON.

    Raises:
        DataError: If it is no object; says where.
    """
    if not isinstance(value, dict):
        raise DataError(
            "this is not an object with column names.",
            where=where,
            advice='Each row should look like {"text": "…", "label": "…"}.',
        )
    return cast("Mapping[str, object]", value)


def columns_of(records: Sequence[Mapping[str, object]]) -> dict[str, list[Plain]]:
    """Columns of rows: all names in the order in which they come, ``None`` where one is missing."""
    names: dict[str, None] = {}
    previous: object = None
    for record in records:
        keys = record.keys()
        if keys != previous:
            names.update(dict.fromkeys(keys))
            previous = keys
    return {storable(key): [plain(record.get(key)) for record in records] for key in names}


def _from_parquet(data: bytes, name: str, digest: Digest) -> Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.ParquetFile(io.BytesIO(data)).read()
        header = checked_header(table.column_names, name)
        columns = {
            column: [plain(value) for value in table.column(i).to_pylist()]
            for i, column in enumerate(header)
        }
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        reason = (str(error).splitlines() or ["no details"])[0]
        raise DataError(
            f"this is not a readable Parquet file ({reason}).",
            where=name,
            advice="Write it again, or give a CSV.",
        ) from error
    count = table.num_rows
    return Table(name, columns, range(1, count + 1), count, digest, typed=True)


def _from_object(source: object, name: str) -> Table:
    if isinstance(source, Mapping):
        given = cast("Mapping[str, Iterable[object]]", source)
        columns = {storable(str(key)): [plain(v) for v in column] for key, column in given.items()}
        if any(len(a) != len(b) for a, b in pairwise(columns.values())):
            raise DataError("the columns differ in length.", where=name,
                            advice="Give each column one value per row.")  # fmt: skip
    elif isinstance(source, Sequence) and not isinstance(source, str | bytes):
        rows = enumerate(cast("Sequence[object]", source), start=1)
        columns = columns_of([as_record(value, f"{name}, row {i}") for i, value in rows])
    else:
        columns = _from_dataframe(source, name)
    count = len(next(iter(columns.values()), []))
    digest = Digest(sha256_bytes(json.dumps(columns).encode()))
    return Table(name, columns, range(1, count + 1), count, digest, typed=True)


def _from_dataframe(source: object, name: str) -> dict[str, list[Plain]]:
    import narwhals as nw
    import pyarrow as pa

    try:
        native = nw.from_native(source)  # pyright: ignore[reportCallIssue, reportArgumentType]
        frame = native.collect() if isinstance(native, nw.LazyFrame) else native
    except TypeError:
        raise DataError(
            f"a {type(source).__name__} is not a table.",
            where=name,
            advice="Give a file path, a pandas, polars or pyarrow dataframe, or a list of dicts.",
        ) from None
    except ValueError as error:
        raise DataError(f"the dataframe cannot be read ({error}).", where=name,
                        advice="Give each column its own name.") from error  # fmt: skip
    header = checked_header([str(column) for column in frame.columns], name)
    columns: dict[str, list[Plain]] = {}
    for column, original in zip(header, frame.columns, strict=True):
        series = frame[original]
        try:
            # Arrow turns every kind of missing value (NaN, NaT, NA) into None.
            values = cast("list[object]", series.to_arrow().to_pylist())
        except (pa.ArrowException, UnicodeEncodeError, TypeError):
            values = cast("list[object]", series.to_list())  # mixed types, lone surrogates
        columns[storable(column)] = [plain(value) for value in values]
    return columns
