"""Files of rows without some of their rows, in bytes; everything else of them stays.

Knows nothing of tasks: rows are named as :class:`~milepost.data.load.Table` names them.
"""

import io
import json
from collections.abc import Collection, Sequence
from typing import cast

from milepost.data.delimited import quotes_are_bare, records_of, sniff_delimiter
from milepost.data.encoding import decode
from milepost.data.load import format_of
from milepost.entities.errors import DataError


def without_rows(
    data: bytes, name: str, rows: Collection[int], expect: Sequence[str] = ()
) -> bytes:
    """The bytes of a file without some rows.

    Text is written as UTF-8, whatever it was. A CSV keeps every other line as it is, blank and
    broken ones included; Parquet keeps its columns and their types.

    Args:
        data: The file's bytes.
        name: Its name, whose suffix tells the format.
        rows: Rows as a loaded table numbers them: the line on which each begins in a file of lines,
            its number from 1 elsewhere.
        expect: Columns that are looked for; they help to find the delimiter of a CSV.

    Raises:
        DataError: If a row is not in the file.
    """
    wanted, form = frozenset(rows), format_of(name)
    if form == "parquet" or data.startswith(b"PAR1"):
        return _parquet(data, name, wanted)
    text = decode(data)[0]
    head = text.lstrip()[:1]
    if form == "json" or (form != "csv" and head == "["):
        return _json(text, name, wanted)
    if form == "jsonl" or (form is None and head == "{"):
        return _lines(text, name, wanted)
    return _delimited(text, name, wanted, expect)


def _delimited(text: str, name: str, rows: frozenset[int], expect: Sequence[str]) -> bytes:
    """Without the lines from the beginning of each record up to that of the next."""
    delimiter = sniff_delimiter(text, expect)
    bare = quotes_are_bare(delimiter, text.count('"'))
    lines = list(io.StringIO(text, newline=""))
    begins = [at for at, _ in records_of(lines, delimiter, bare=bare, name=name)]
    _require(rows, begins[1:], name)
    gone: set[int] = set()
    for at, line in enumerate(begins):
        if line in rows:
            end = begins[at + 1] if at + 1 < len(begins) else len(lines) + 1
            gone.update(range(line, end))
    kept = (line for at, line in enumerate(lines, 1) if at not in gone)
    return "".join(kept).encode("utf-8", "surrogatepass")


def _lines(text: str, name: str, rows: frozenset[int]) -> bytes:
    lines = text.split("\n")
    _require(rows, range(1, len(lines) + 1), name)
    kept = (line for at, line in enumerate(lines, 1) if at not in rows)
    return "\n".join(kept).encode("utf-8", "surrogatepass")


def _json(text: str, name: str, rows: frozenset[int]) -> bytes:
    try:
        value: object = json.loads(text)
    except json.JSONDecodeError:
        return _lines(text, name, rows)  # one object per line under the wrong suffix
    if not isinstance(value, list):
        return _lines(text, name, rows)
    found = cast("list[object]", value)
    _require(rows, range(1, len(found) + 1), name)
    kept = [each for at, each in enumerate(found, 1) if at not in rows]
    return json.dumps(kept, ensure_ascii=False, indent=1).encode("utf-8", "surrogatepass")


def _parquet(data: bytes, name: str, rows: frozenset[int]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.ParquetFile(io.BytesIO(data)).read()
    _require(rows, range(1, table.num_rows + 1), name)
    keep = pa.array([at not in rows for at in range(1, table.num_rows + 1)])
    sink = io.BytesIO()
    pq.write_table(table.filter(keep), sink, compression="zstd")
    return sink.getvalue()


def _require(rows: frozenset[int], there: Collection[int], name: str) -> None:
    missing = sorted(rows.difference(there))
    if missing:
        raise DataError(
            f"there is no row {missing[0]}.",
            where=name,
            advice="The file changed while it was read; run the command again.",
        )
