"""Rows are taken out of files, and everything else of a file stays as it is read."""

import csv
import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milepost.data.erase import without_rows
from milepost.data.load import load_table
from milepost.entities.errors import DataError

CSV = 'text,label,customer\r\n"one\nline, and more",a,c1\r\n\r\ntwo,b,c2\r\nthree "3",a,c1\r\n'


def test_a_csv_loses_the_lines_of_a_row_and_no_others() -> None:
    assert without_rows(CSV.encode(), "x.csv", {5}).decode() == CSV.replace("two,b,c2\r\n", "")
    left = without_rows(CSV.encode(), "x.csv", {2, 6}).decode()
    assert left == "text,label,customer\r\ntwo,b,c2\r\n"
    assert without_rows(CSV.encode(), "x.csv", set()).decode() == CSV


def test_text_in_another_encoding_becomes_utf_8() -> None:
    data = "text;label\nschön;a\nfrüh;b\n".encode("utf-16")
    assert without_rows(data, "x.csv", {3}).decode() == "text;label\nschön;a\n"


@pytest.mark.parametrize("name", ["x.jsonl", "x.json", "rows"])
def test_lines_of_json(name: str) -> None:
    data = b'{"text": "one"}\n\n{"text": "two"}\n{"text": "three"}'
    assert without_rows(data, name, {3}) == b'{"text": "one"}\n\n{"text": "three"}'


def test_an_array_of_json_and_parquet_count_rows_from_one(tmp_path: Path) -> None:
    rows = [{"text": "one", "n": 1}, {"text": "two", "n": 2}, {"text": "three", "n": 3}]
    left = without_rows(json.dumps(rows).encode(), "x.json", {1, 3})
    assert json.loads(left) == [rows[1]]
    sink = io.BytesIO()
    schema = pa.schema([("text", pa.string()), ("n", pa.int16())])
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), sink)
    found = pq.read_table(io.BytesIO(without_rows(sink.getvalue(), "x.parquet", {2})))
    assert found.schema.equals(schema)
    assert found.column("text").to_pylist() == ["one", "three"]


@pytest.mark.parametrize(
    ("data", "name", "row"),
    [
        (CSV.encode(), "x.csv", 1),
        (CSV.encode(), "x.csv", 3),
        (b'[{"text": "one"}]', "x.json", 2),
        (b'{"text": "one"}', "x.jsonl", 0),
    ],
)
def test_a_row_that_is_not_there_is_refused(data: bytes, name: str, row: int) -> None:
    with pytest.raises(DataError, match=f"no row {row}"):
        without_rows(data, name, {row})


CELL = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=12)


@settings(max_examples=60)
@given(cells=st.lists(st.tuples(CELL, CELL), min_size=1, max_size=8), data=st.data())
def test_what_is_left_of_a_csv_reads_as_before(
    cells: list[tuple[str, str]], data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("erased")
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["text", "label"])
    writer.writerows([f"x{text}", label] for text, label in cells)
    text = out.getvalue()
    before = load_table(_file(folder, text))
    gone = data.draw(st.sets(st.sampled_from(list(before.rows))))
    left = without_rows(text.encode(), "x.csv", gone)
    kept = [i for i, row in enumerate(before.rows) if row not in gone]
    expected = {name: [values[i] for i in kept] for name, values in before.columns.items()}
    if kept:
        after = load_table(_file(folder, left.decode()))
        assert {k: list(v) for k, v in after.columns.items()} == expected
    else:
        assert left.decode().strip() == "text,label"


def _file(folder: Path, text: str) -> Path:
    path = folder / "x.csv"
    path.write_bytes(text.encode())
    return path
