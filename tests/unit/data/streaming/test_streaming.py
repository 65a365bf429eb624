"""What is read in parts is what is read at once."""

import io
import json
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milepost.data.clean import infer_types
from milepost.data.load import load_table
from milepost.data.streaming.stream import as_kind, open_stream
from milepost.entities.errors import DataError

CELLS = ["a", "", "1", "2.5", "true", "é;", 'say "hi"', "two\nlines", "a,b", "NA", "007", " x "]


def joined(stream):
    columns = {name: [] for name in stream.kinds}
    rows = []
    for part in stream.parts():
        assert list(part.columns) == list(columns)
        for name, values in part.columns.items():
            assert len(values) == len(part.rows)
            columns[name].extend(values)
        rows.extend(part.rows)
    return columns, rows


def same(path, rows, expect=("text",)):
    whole = load_table(path, expect=expect)
    with open_stream(path, expect, rows=rows, whole=0) as stream:
        columns, places = joined(stream)
        assert columns == {name: list(values) for name, values in whole.columns.items()}
        assert places == list(whole.rows)
        assert (stream.total, stream.typed) == (whole.total, whole.typed)
        assert stream.findings == whole.findings
        assert joined(stream) == (columns, places)  # as often as it is asked for
        return stream


tables = st.lists(st.tuples(*[st.sampled_from(CELLS)] * 3), min_size=1, max_size=30)


@settings(max_examples=80)
@given(tables, st.sampled_from(",;\t|"), st.integers(1, 9), st.sampled_from(["\n", "\r\n"]))
def test_a_csv_in_parts(tmp_path_factory, table, delimiter, rows, end):
    path = tmp_path_factory.mktemp("csv") / "in.csv"
    frame = pd.DataFrame([("x", *row) for row in table], columns=["id", "text", "more", "last"])
    path.write_bytes(frame.to_csv(index=False, sep=delimiter, lineterminator=end).encode())
    stream = same(path, rows)
    columns, _ = joined_of(path, rows)
    for name, values in columns.items():
        assert as_kind(values, stream.kinds[name], typed=False) == infer_types(values)


def joined_of(path, rows):
    with open_stream(path, ("text",), rows=rows, whole=0) as stream:
        return joined(stream)


values = st.one_of(
    st.none(), st.integers(-5, 5), st.floats(-2, 2), st.booleans(), st.sampled_from(CELLS),
    st.lists(st.integers(0, 3), max_size=2), st.just("\u2028 separators \x85 inside"),
)  # fmt: skip
records = st.dictionaries(st.sampled_from(["text", "b", "c"]), values, max_size=3)


@settings(max_examples=80)
@given(st.lists(records, min_size=1, max_size=25), st.integers(1, 9))
def test_json_lines_in_parts(tmp_path_factory, rows_of, rows):
    path = tmp_path_factory.mktemp("jsonl") / "in.jsonl"
    path.write_text("\n\n".join(json.dumps(each, ensure_ascii=False) for each in rows_of))
    same(path, rows)


@pytest.mark.parametrize("rows", [1, 7, 100])
def test_parquet_in_parts(tmp_path, rows):
    frame = pd.DataFrame({"text": [f"t{i}" for i in range(50)], "n": range(50),
                          "x": [None if i % 3 else i / 2 for i in range(50)]})  # fmt: skip
    frame.to_parquet(tmp_path / "in.parquet")
    stream = same(tmp_path / "in.parquet", rows)
    assert stream.kinds == {"text": "text", "n": "int", "x": "float"}
    frame.iloc[:0].to_parquet(tmp_path / "none.parquet")
    same(tmp_path / "none.parquet", rows)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "cp1252"])
def test_encodings(tmp_path, encoding):
    lines = [f"{i};Grüße aus Köln, Straße {i}: café, naïve, señor" for i in range(300)]
    path = tmp_path / "in.csv"
    path.write_bytes("\n".join(["id;text", *lines]).encode(encoding))
    same(path, 40)


def test_broken_bytes_and_surrogates(tmp_path):
    good = "\n".join(["text", *["größer als gut"] * 40]).encode()
    (tmp_path / "broken.csv").write_bytes(good + b"\nbad \xff byte\n")
    same(tmp_path / "broken.csv", 7)
    (tmp_path / "lone.csv").write_bytes(good + "\nlone \ud800\n".encode("utf-8", "surrogatepass"))
    same(tmp_path / "lone.csv", 7)


def test_ragged_rows_are_counted_and_named(tmp_path):
    path = tmp_path / "in.csv"
    rows = [f"{i},text {i}" for i in range(60)]
    rows[10], rows[20], rows[30] = "10,too,many", "20", "30,fine,,"
    path.write_text("\n".join(["id,text", *rows]))
    stream = same(path, 8)
    assert [(each.check, each.count) for each in stream.findings] == [
        ("rows_too_long", 1), ("rows_too_short", 1),
    ]  # fmt: skip
    assert "line 12" in stream.findings[0].examples[0]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.jsonl", '{"text": "a"}\n{"text": \n', "a.jsonl:2"),
        ("b.jsonl", '{"text": "a"}\n[1]\n', "b.jsonl:2"),
        ("c.csv", 'id,text\n1,"never closed\n', "line 2 is never closed"),
        ("d.csv", "id,id\n1,2\n", "occurs 2 times"),
        ("e.csv", "id,text\n1,2,3\n", "1 row of 1 has more"),
        ("f.csv", "\x1f\x8b\x08", "gzip"),
        ("g.parquet", "no parquet", "Parquet"),
        ("h.csv", "   \n", "empty"),
    ],
)
def test_what_is_wrong_is_found_before_a_part_is_given(tmp_path, name, content, says):
    path = tmp_path / name
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(DataError) as wrong, open_stream(path, ("text",), whole=0):
        raise AssertionError("it was opened")
    assert says in str(wrong.value)


def test_other_sources_come_in_parts_too(tmp_path):
    (tmp_path / "in.json").write_text(json.dumps([{"text": f"{i}"} for i in range(9)]))
    same(tmp_path / "in.json", 4)
    frame = pd.DataFrame({"text": list("abcdefg"), "n": range(7)})
    with open_stream(frame, rows=3) as stream:
        assert joined(stream) == ({"text": list("abcdefg"), "n": list(range(7))}, list(range(1, 8)))
    (tmp_path / "empty.csv").write_text("text,n\n")
    with open_stream(tmp_path / "empty.csv") as stream:
        assert [len(part) for part in stream.parts()] == [0]


def test_standard_input(monkeypatch):
    content = "text,n\n" + "".join(f"line {i},{i}\n" for i in range(100))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content.encode())))
    with open_stream("-", ("text",), rows=9) as stream:
        columns, rows = joined(stream)
    assert columns["n"] == [str(i) for i in range(100)]
    assert rows == list(range(2, 102))


def test_a_part_of_very_long_texts_has_few_rows(tmp_path):
    path = tmp_path / "in.csv"
    long = "x" * 1_500_000
    path.write_text("\n".join(["text,n", *(f"{long},{i}" for i in range(7))]))
    with open_stream(path, ("text",)) as stream:
        assert [len(part) for part in stream.parts()] == [3, 3, 1]


def test_kinds_are_those_of_the_whole_column(tmp_path):
    path = tmp_path / "in.csv"
    shuffled = [*["1"] * 20, *["2.5"] * 5, *[""] * 5]
    np.random.default_rng(0).shuffle(shuffled)
    rows = [f"t,{n},{i},{'NA' if i == 29 else i}" for i, n in enumerate(shuffled)]
    path.write_text("\n".join(["text,x,n,m", *rows]))
    with open_stream(path, ("text",), rows=4, whole=0) as stream:
        assert stream.kinds == {"text": "text", "x": "float", "n": "int", "m": "text"}
