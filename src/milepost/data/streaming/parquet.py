"""Large Parquet files, in parts."""

from collections.abc import Iterator, Sequence
from typing import BinaryIO

from milepost.data.clean import plain
from milepost.data.delimited import checked_header
from milepost.data.streaming.parts import Part, Read
from milepost.entities.errors import DataError


def parquet_file(file: BinaryIO, name: str, expect: Sequence[str], rows: int) -> Read:
    """A Parquet file in parts; a row's place is its number.

    Args:
        file: Its bytes; can be read again.
        name: What to call it in messages.
        expect: Not needed: the columns have names.
        rows: Most rows of a part.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    counted = [0]

    def read() -> Iterator[Part]:
        total = 0
        file.seek(0)
        opened = pq.ParquetFile(file)
        header = checked_header(opened.schema_arrow.names, name)
        for batch in opened.iter_batches(batch_size=rows, use_threads=False):
            columns = {
                column: [plain(value) for value in batch.column(i).to_pylist()]
                for i, column in enumerate(header)
            }
            yield Part(columns, range(total + 1, total + batch.num_rows + 1))
            total += batch.num_rows
            counted[0] = total
        if not total:
            yield Part({column: [] for column in header}, ())

    def parts() -> Iterator[Part]:
        try:
            yield from read()
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            reason = (str(error).splitlines() or ["no details"])[0]
            raise DataError(
                f"this is not a readable Parquet file ({reason}).",
                where=name,
                advice="Write it again, or give a CSV.",
            ) from error

    return Read(typed=True, parts=parts, findings=lambda: (), total=lambda: counted[0])
