"""Parquet files of a batch keep their types, and unfold to no more than the limit allows."""

import io
from datetime import date
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from milepost.entities.errors import InputError
from milepost.workflows.serving.parquet import MOST_UNPACKED, read_parquet, rows_of, write_parquet

ANSWERS = {"label": ["a", None], "confidence": [0.5, None], "release": [2, None]}


def file_of(table: pa.Table) -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out, compression="zstd")
    return out.getvalue()


def test_columns_keep_their_types_beside_the_answers():
    given = pa.table(
        {
            "text": ["x", "y"],
            "day": [date(2026, 1, 31), None],
            "price": [Decimal("1.50"), Decimal("2.25")],
            "label": pa.array([1, 2], pa.int8()),
        }
    )
    table = read_parquet(file_of(given), 10_000)
    rows = rows_of(table)
    assert rows[0] == {"text": "x", "day": date(2026, 1, 31), "price": Decimal("1.50"), "label": 1}
    back = pq.read_table(io.BytesIO(write_parquet(rows, ANSWERS, table)))
    assert back.schema.field("input_label").type == pa.int8()
    assert back.schema.field("day").type == pa.date32()
    assert back.schema.field("price").type == given.schema.field("price").type
    assert back.column("label").to_pylist() == ["a", None]
    assert back.column("release").to_pylist() == [2, None]


def test_rows_of_other_files_become_columns():
    rows = [{"text": "x", "n": 1}, {"text": "y", "more": [1, 2]}]
    back = pq.read_table(io.BytesIO(write_parquet(rows, ANSWERS))).to_pylist()
    assert back[0] == {
        "text": "x", "n": 1, "more": None, "label": "a", "confidence": 0.5, "release": 2,
    }  # fmt: skip
    with pytest.raises(InputError, match="do not fit"):
        write_parquet([{"n": 1}, {"n": "x"}], ANSWERS)


def test_a_file_that_unfolds_too_far_is_refused_before_it_does():
    text = "where is my parcel?" * 50
    body = file_of(pa.table({"text": [text] * 20_000}))
    assert len(body) < 20_000
    unfolded = 20_000 * len(text)
    assert read_parquet(body, unfolded // MOST_UNPACKED * 2).column("text")[9].as_py() == text
    with pytest.raises(InputError, match="unfolded"):
        read_parquet(body, unfolded // MOST_UNPACKED // 2)
    # 100 GB from a few KB: would end the process if it were unfolded to be counted.
    words = pa.DictionaryArray.from_arrays(pa.array([0] * 1_000_000, pa.int32()), ["x" * 100_000])
    with pytest.raises(InputError, match="unfolded"):
        read_parquet(file_of(pa.table({"text": words})), 64 * 1024 * 1024)


def test_more_cells_than_bytes_are_refused():
    body = file_of(pa.table({"n": [1] * 100_000}))
    with pytest.raises(InputError, match="cells"):
        read_parquet(body, 50_000)


def test_nested_columns_are_refused():
    with pytest.raises(InputError, match="nested"):
        read_parquet(file_of(pa.table({"text": ["x"], "tags": [["a"]]})), 10_000)


@pytest.mark.parametrize("body", [b"", b"PAR1", b"PAR1" + b"\x00" * 100 + b"PAR1", b"text\na\n"])
def test_other_bytes_are_refused(body):
    with pytest.raises(InputError, match="no Parquet file"):
        read_parquet(body, 10_000)


def test_a_name_that_stands_twice_is_refused():
    twice = pa.Table.from_arrays([pa.array(["x"]), pa.array(["y"])], names=["text", "text"])
    with pytest.raises(InputError, match="twice"):
        rows_of(read_parquet(file_of(twice), 10_000))
