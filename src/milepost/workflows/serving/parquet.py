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


def read_parquet(body: bytes, most: int) -> Any:
    """The table of a Parquet file.

    Args:
        body: The file.
        most: Most bytes that a file may have; unpacked it may have ``MOST_UNPACKED`` times as many.

    Raises:
        InputError: If it is no Parquet file, or unpacks to more than that.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(io.BytesIO(body))
        groups = range(file.metadata.num_row_groups)
        size = sum(file.metadata.row_group(i).total_byte_size for i in groups)
        if size > most * MOST_UNPACKED:
            raise InputError(
                f"unpacked the file has {size:,} bytes; it may have {most * MOST_UNPACKED:,}.",
                advice="Split it.",
            )
        table = file.read()
        table.validate(full=True)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise InputError(f"this is no Parquet file that can be read: {_first(error)}") from None
    return table


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
    types = {"confidence": pa.float64(), "abstained": pa.bool_(), "release": pa.int64()}
    return types.get(name, pa.string())
