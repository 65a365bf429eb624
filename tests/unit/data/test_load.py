import codecs
import io
import json

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.data.load import load_table
from milepost.entities.errors import DataError, UnknownNameError

ROWS = [("Grüße, Herr Müller", "a"), ('She said "no"', "b"), ("two\nlines; here", "a")]


def written(tmp_path, data, name="in.csv"):
    path = tmp_path / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def as_csv(delimiter=","):
    def cell(text):
        return '"' + text.replace('"', '""') + '"'

    lines = [delimiter.join(["text", "label"])]
    return "\n".join([*lines, *(delimiter.join(map(cell, row)) for row in ROWS)]) + "\n"


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize(
    "encode",
    [
        lambda t: t.encode(),
        lambda t: codecs.BOM_UTF8 + t.encode(),
        lambda t: t.encode("cp1252"),
        lambda t: t.encode("utf-16"),
        lambda t: t.encode("utf-16-le"),
        lambda t: codecs.BOM_UTF16_BE + t.encode("utf-16-be"),
        lambda t: t.replace("\n", "\r\n").encode(),
    ],
    ids=["utf8", "bom", "cp1252", "utf16", "utf16le-no-bom", "utf16be", "crlf"],
)
def test_csv_in_the_wild_gives_the_same_table(tmp_path, delimiter, encode):
    table = load_table(written(tmp_path, encode(as_csv(delimiter))))
    assert [t.replace("\r", "") for t in table.columns["text"]] == [t for t, _ in ROWS]
    assert list(table.columns["label"]) == ["a", "b", "a"]
    assert list(table.rows) == [2, 3, 4]


def test_a_row_is_where_an_editor_finds_it(tmp_path):
    quoted = b'text,label\n\n"two\nlines",a\nafter,b\n'
    assert list(load_table(written(tmp_path, quoted)).rows) == [3, 5]
    lines = load_table(written(tmp_path, b'{"text": "a"}\n\n{"text": "b"}\n', "in.jsonl"))
    assert list(lines.rows) == [1, 3]
    assert lines.total == 2
    array = load_table(written(tmp_path, b'[\n{"text": "a"},\n\n{"text": "b"}]', "in.json"))
    assert list(array.rows) == [1, 2]


def test_a_guessed_encoding_is_reported(tmp_path):
    table = load_table(written(tmp_path, as_csv().encode("cp1252")))
    assert [f.check for f in table.findings] == ["encoding_guessed"]
    assert "cp1252" in table.findings[0].summary


def test_a_single_broken_byte_does_not_turn_utf8_into_something_else(tmp_path):
    data = ("text,label\n" + "Grüße aus Köln,a\n" * 20).encode() + b"\xff broken,b\n"
    table = load_table(written(tmp_path, data))
    assert table.columns["text"][0] == "Grüße aus Köln"
    assert table.columns["text"][-1] == "\ufffd broken"
    assert [f.check for f in table.findings] == ["undecodable_bytes"]


def test_one_column_with_commas_is_one_column(tmp_path):
    table = load_table(written(tmp_path, "text\nhello, world\none, two, three\n"))
    assert table.columns == {"text": ["hello, world", "one, two, three"]}


def test_expected_columns_settle_the_delimiter(tmp_path):
    data = "body|a,b,c,d\nhi|1,2,3,4\n"
    assert list(load_table(written(tmp_path, data), expect=["body"]).columns) == ["body", "a,b,c,d"]


def test_bare_quotation_marks_in_tab_separated_text(tmp_path):
    table = load_table(written(tmp_path, 'text\tlabel\n"so what\ta\nfine\tb\n', "in.tsv"))
    assert list(table.columns["text"]) == ['"so what', "fine"]


def test_short_rows_are_padded_and_long_rows_left_out_both_reported(tmp_path):
    lines = ["text,label", *["fine,a"] * 20, "short", "a, b, c,x", "tail,b,,"]
    table = load_table(written(tmp_path, "\n".join(lines)))
    assert len(table) == 22
    assert table.total == 23
    assert table.columns["label"][20] is None
    assert table.columns["label"][21] == "b"
    found = {f.check: f for f in table.findings}
    assert found["rows_too_long"].count == 1
    assert found["rows_too_long"].examples[0].startswith("line 23")
    assert found["rows_too_short"].examples[0].startswith("line 22")
    assert table.rows[-1] == 24


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "empty"),
        (b"  \n \n", "empty"),
        (b"text,text\na,b\n", "'text' occurs 2 times"),
        (b'text,label\n"never closed,a\nmore,b\n', "line 2 is never closed"),
        (b"text,label\na,b,c\nd,e,f\n", "more cells"),
        (b"PK\x03\x04rest", "spreadsheet"),
        (b"\x1f\x8brest", "gzip"),
        (b"PAR1 but broken", "Parquet"),
    ],
)
def test_unusable_files_say_what_is_wrong(tmp_path, data, says):
    with pytest.raises(DataError, match=says) as error:
        load_table(written(tmp_path, data), name="in.csv")
    assert error.value.where == "in.csv"
    assert error.value.advice


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        load_table(tmp_path / "none.csv")
    with pytest.raises(DataError, match="folder"):
        load_table(tmp_path)


def test_header_only_is_a_table_without_rows(tmp_path):
    table = load_table(written(tmp_path, "text,label\n"))
    assert len(table) == 0
    assert list(table.columns) == ["text", "label"]


def test_missing_column_offers_the_nearest(tmp_path):
    table = load_table(written(tmp_path, "body,queue\nx,y\n"))
    with pytest.raises(UnknownNameError, match=r"Did you mean 'body'.*Known: body, queue"):
        table.column("bodi")


def test_words_for_nothing_stay_words(tmp_path):
    words = ["NA", "null", "None", "nan", "N/A", "NaN"]
    table = load_table(written(tmp_path, "text,label\n" + "".join(f"{w},{w}\n" for w in words)))
    assert list(table.columns["text"]) == words


def test_json_lines_and_array_agree(tmp_path):
    records = [{"text": "a", "label": 1, "tags": ["x", {"b": 1, "a": None}]}, {"text": "b"}]
    lines = "\n".join(json.dumps(r) for r in records)
    first = load_table(written(tmp_path, lines, "in.jsonl"))
    second = load_table(written(tmp_path, json.dumps(records, indent=1), "in.json"))
    assert first.columns == second.columns
    assert first.columns["tags"] == ['["x", {"a": null, "b": 1}]', None]
    assert first.columns["label"] == [1, None]


def test_an_array_under_the_suffix_of_lines_is_read(tmp_path):
    assert load_table(written(tmp_path, '[{"text": "a"}]', "in.jsonl")).columns == {"text": ["a"]}


def test_bad_json_names_the_line(tmp_path):
    with pytest.raises(DataError, match="not JSON") as error:
        load_table(written(tmp_path, '{"text": "a"}\n{"text": \n', "in.jsonl"), name="in.jsonl")
    assert error.value.where == "in.jsonl:2"
    with pytest.raises(DataError, match="not an object"):
        load_table(written(tmp_path, '{"text": "a"}\n3\n', "in.jsonl"))
    with pytest.raises(DataError, match=r"nested too deeply|not JSON"):
        load_table(written(tmp_path, "[" * 100_000, "in.json"))


@pytest.mark.parametrize("data", [as_csv(), '{"text": "a"}\n', '[{"text": "a"}]'])
def test_standard_input_guesses_the_format(data):
    table = load_table("-", stdin=io.BytesIO(data.encode()))
    assert "text" in table.columns
    assert table.name == "standard input"


def test_parquet_keeps_types_and_turns_lists_into_text(tmp_path):
    path = tmp_path / "in.parquet"
    pq.write_table(pa.table({"text": ["a", None], "n": [1, None], "l": [["x"], None]}), path)
    table = load_table(path)
    assert table.columns == {"text": ["a", None], "n": [1, None], "l": ['["x"]', None]}
    assert table.typed


@pytest.mark.parametrize(
    "make",
    [pd.DataFrame, pl.DataFrame, pa.table, lambda d: pl.DataFrame(d).lazy(), dict],
    ids=["pandas", "polars", "arrow", "lazy", "mapping"],
)
def test_any_dataframe(make):
    data = {"text": ["a", "NA", None], "n": [1.0, float("nan"), 2.5], "b": [True, False, True]}
    table = load_table(make(data))
    assert table.columns["text"] == ["a", "NA", None]
    assert table.columns["n"] == [1.0, None, 2.5]
    assert table.columns["b"] == [True, False, True]


def test_dataframe_with_mixed_cells_and_lone_surrogates():
    frame = pd.DataFrame(
        {"text": pd.Series(["\ud800x", "b", None], dtype=object), "m": [1, "a", np.float32(2)]}
    )
    table = load_table(frame)
    assert table.columns["text"] == ["\ud800x", "b", None]
    assert table.columns["m"] == [1, "a", 2.0]


def test_not_a_table():
    with pytest.raises(DataError, match="int is not a table"):
        load_table(3)
    with pytest.raises(DataError, match="differ in length"):
        load_table({"a": [1], "b": [1, 2]})


cells = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x1d\x1e"), max_size=8)


@given(st.lists(st.tuples(cells, cells), min_size=1, max_size=8), st.sampled_from(",;\t|"))
def test_quoted_cells_come_back_as_they_were(rows, delimiter):
    def line(row):
        return delimiter.join('"' + cell.replace('"', '""') + '"' for cell in row)

    text = "\n".join([delimiter.join(["text", "label"]), *map(line, rows)])
    table = load_table("-", stdin=io.BytesIO(codecs.BOM_UTF8 + text.encode()))
    assert list(zip(table.columns["text"], table.columns["label"], strict=True)) == rows
