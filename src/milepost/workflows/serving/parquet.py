"""Parquet files of a batch: its rows read, and written again beside their answers.

The only room of the serving process that needs pyarrow, which is loaded when the first such file
comes.
"""

import io
from collections.abc import Mapping, Sequence
from typing import Any

from milepost.entities.errors import InputError

MOST_UNPACKED = 8
"""How many times larger than its limit a file may be unpacked."""

_ROWS_AT_ONCE = 65_536


def read_parquet(body: bytes, most: int) -> Any:
    """The table of a Parquet file, of columns that are not nested.

    A value that is repeated is stored once, so that a small file may hold a table of any size: what
    it unfolds to is counted before it is unfolded.

    Args:
        body: The file.
        most: Most bytes that a file may have; unfolded it may have ``MOST_UNPACKED`` times as many,
            and as many cells as bytes.

    Raises:
        InputError: If it is no Parquet file, has a nested column, or unfolds to more than that.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(io.BytesIO(body))
        schema = file.schema_arrow
        nested = [field.name for field in schema if pa.types.is_nested(field.type)]
        if nested:
            raise InputError(
                f"the column {nested[0][:100]!r} is nested.", advice="Leave it out, or send NDJSON."
            )
        groups = range(file.metadata.num_row_groups)
        size = sum(file.metadata.row_group(i).total_byte_size for i in groups)
        if file.metadata.num_rows * max(1, len(schema)) > most or size > most * MOST_UNPACKED:
            raise _too_much(most)
        table = _bounded(body, schema, most * MOST_UNPACKED).cast(schema)
        table.validate(full=True)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise InputError(f"this is no Parquet file that can be read: {_first(error)}") from None
    return table


def _bounded(body: bytes, schema: Any, most: int) -> Any:
    """The table with its repeated values folded, if unfolded it has at most ``most`` bytes."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    folded = [field.name for field in schema if _is_bytes(field.type)]
    file = pq.ParquetFile(io.BytesIO(body), read_dictionary=folded)
    size = 0
    batches: list[Any] = []
    for batch in file.iter_batches(_ROWS_AT_ONCE):
        for column in batch.columns:
            size += column.nbytes
            if pa.types.is_dictionary(column.type):
                lengths = pc.call_function("binary_length", [column.dictionary])
                told = pc.call_function("sum", [lengths.take(column.indices)])
                size += told.as_py() or 0
        if size > most:
            raise _too_much(most // MOST_UNPACKED)
        batches.append(batch)
    return pa.Table.from_batches(batches, file.schema_arrow)


def _is_bytes(kind: Any) -> bool:
    import pyarrow as pa

    tests = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary)
    return any(test(kind) for test in tests)


def _too_much(most: int) -> InputError:
    return InputError(
        f"unfolded the file is too large: it may have {most * MOST_UNPACKED:,} bytes and "
        f"{most:,} cells.",
        advice="Split it.",
    )


def _first(error: Exception) -> str:
    return str(error).split("\n")[0][:300]


def rows_of(table: Any) -> list[dict[str, Any]]:
    """The rows of a table by the names of its columns.

    Raises:
        InputError: If a column's name stands twice.
    """
    names: list[str] = table.column_names
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"the column {twice[0][:100]!r} stands twice.")
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


def write_parquet(
    rows: Sequence[Mapping[str, Any]], answers: Mapping[str, Sequence[Any]], table: Any = None
) -> bytes:
    """A Parquet file of rows and their answers.

    Args:
        rows: The rows, where they come from no Parquet file.
        answers: Columns to add.
        table: The table that the rows come from; its columns keep their types.

    Raises:
        InputError: If values of one column are of types that do not go together.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        if table is None:
            names = list(dict.fromkeys(name for row in rows for name in row))
            table = pa.table({name: [row.get(name) for row in rows] for name in names})
        renamed = [f"input_{name}" if name in answers else name for name in table.column_names]
        table = table.rename_columns(renamed)
        for name, values in answers.items():
            table = table.append_column(name, pa.array(values, _type(pa, name)))
        out = io.BytesIO()
        pq.write_table(table, out)
    except (pa.ArrowException, OverflowError) as error:
        raise InputError(
            f"the rows do not fit into Parquet columns: {_first(error)}",
            advice="Ask for application/x-ndjson.",
        ) from None
    return out.getvalue()


def _type(pa: Any, name: str) -> Any:
    types = {
        "confidence": pa.float64(),
        "abstained": pa.bool_(),
        "release": pa.int64(),
        "labels": pa.list_(pa.string()),
        "score": pa.float64(),
        "spans": pa.list_(
            pa.struct(
                {
                    "start": pa.int64(),
                    "end": pa.int64(),
                    "label": pa.string(),
                    "probability": pa.float64(),
                    "text": pa.string(),
                }
            )
        ),
        "ranking": pa.list_(
            pa.struct({"text": pa.string(), "score": pa.float64(), "trace_id": pa.string()})
        ),
    }
    return types.get(name, pa.string())
