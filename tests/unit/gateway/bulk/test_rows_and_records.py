"""Lines and records come out the same however the bytes arrive, and in bounded memory."""

import asyncio
import csv
import io
import json

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.entities.inputs import Composition
from milepost.entities.ranking import Placed
from milepost.entities.serving import Answer, Verdict
from milepost.gateway.bulk.delimited import MOST_RECORD_BYTES, CsvSource
from milepost.gateway.bulk.pipeline import AnsweredRow
from milepost.gateway.bulk.rows import Row, Several, bounded, json_rows, lines
from milepost.gateway.bulk.sinks import added, answer_line, columns, csv_row, row_line
from milepost.gateway.errors import RefusedError
from milepost.workflows.serving.parquet import write_parquet


async def pieces(body: bytes, size: int):
    for at in range(0, len(body), size):
        yield body[at : at + size]


def gathered(some) -> list:
    async def all_of() -> list:
        return [each async for group in some for each in group]

    return asyncio.run(all_of())


@given(st.lists(st.binary(max_size=12).filter(lambda b: b"\n" not in b)), st.integers(1, 9))
def test_lines_do_not_depend_on_where_the_bytes_are_cut(given_lines, size):
    body = b"\n".join(given_lines)
    found = gathered(lines(pieces(body, size), 8))
    wanted = [line if len(line) <= 8 else None for line in body.split(b"\n")]
    if wanted and wanted[-1] == b"":
        wanted.pop()  # the last line's end
    assert found == wanted


def json_of(body: bytes, size: int = 7, most_chars: int = 10):
    return gathered(json_rows(pieces(body, size), "text", most_chars))


def test_texts_and_objects_are_rows_and_the_rest_errors_with_their_lines():
    deep = "[" * 5000
    body = "\n".join(
        ['"a"', "", '{"text": "b", "id": 4}', "no", "3", '{"x": "a"}', '{"text": 1}',
         '{"text": "a", "text": "b"}', '"12345678901"', '{"text": NaN}', deep, '"\\ud800"', '"é"']
    )  # fmt: skip
    found = json_of(body.encode("utf-8"))
    assert [row.number for row in found] == [1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]
    good = {row.number: row.text for row in found if row.error is None}
    assert {1: "a", 3: "b", 13: "é"}.items() <= good.items()
    assert set(good) <= {1, 3, 12, 13}
    assert found[1].data["id"] == 4


def test_a_line_that_is_too_long_is_skipped_to_its_end():
    body = b'"a"\n"' + b"x" * 500_000 + b'"\n"b"'
    found = json_of(body, size=65_536, most_chars=10)
    assert [(row.number, row.text) for row in found] == [(1, "a"), (2, None), (3, "b")]
    assert found[1].error.code == "line_too_long"


def test_more_than_the_limit_is_refused():
    assert bytes(gathered(bounded(pieces(b"abc", 1), 3))) == b"abc"
    with pytest.raises(RefusedError) as refused:
        gathered(bounded(pieces(b"abcd", 1), 3))
    assert refused.value.status == 413


def read_csv(body: bytes, size: int = 5, column: str = "text", charset: str = "utf-8"):
    async def all_of():
        source = CsvSource(pieces(body, size), charset, 1000)
        names = await source.open([column])
        rows = [row async for some in source.rows(column) for row in some]
        return names, source.delimiter, rows

    return asyncio.run(all_of())


CELL = st.text(st.sampled_from('ab",;\n\t| é'), max_size=6)


@given(
    st.lists(st.tuples(CELL.filter(str.strip), CELL.filter(str.strip)), min_size=1, max_size=6),
    st.sampled_from(",;\t|"),
    st.integers(1, 20),
)
def test_records_are_those_of_the_standard_library_however_they_arrive(rows, delimiter, size):
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, lineterminator="\n")
    writer.writerow(["id", "text"])
    writer.writerows(rows)
    names, found_delimiter, found = read_csv(out.getvalue().encode(), size)
    assert (names, found_delimiter) == (("id", "text"), delimiter)
    assert [(row.data["id"], row.text) for row in found] == rows
    assert [row.number for row in found] == list(range(2, len(rows) + 2))


def test_csv_in_the_wild():
    body = b'\xef\xbb\xbfid;text\r\n1;5" tv;\r\n\r\n2\r\n3;a;b\r\n4;"last'
    names, delimiter, rows = read_csv(body)
    assert (names, delimiter) == (("id", "text"), ";")
    assert [(row.number, row.text) for row in rows if row.error is None] == [
        (2, '5" tv'), (6, "last"),
    ]  # fmt: skip
    assert [row.number for row in rows if row.error] == [4, 5]


def test_bytes_that_do_not_fit_the_encoding_are_that_rows_error():
    _, _, rows = read_csv(b"id,text\n1,caf\xe9\n2,b\n")
    assert [row.error is None for row in rows] == [False, True]
    assert read_csv(b"id,text\n1,caf\xe9\n", charset="windows-1252")[2][0].text == "café"
    with pytest.raises(RefusedError) as refused:
        read_csv(b"", charset="utf-16")
    assert refused.value.status == 415


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "no_inputs"),
        (b"\n\n", "no_inputs"),
        (b"text,text\na,b\n", "duplicate_column"),
        (b'id,text\n1,"' + b"never closed\n" * (MOST_RECORD_BYTES // 12), "record_too_long"),
    ],
)
def test_files_that_cannot_be_read_are_refused(body, code):
    with pytest.raises(RefusedError) as refused:
        read_csv(body, size=65_536)
    assert refused.value.code == code


def test_rows_given_back_as_they_came():
    (row,) = json_of(b'{"text": "b", "n": {"x": [1, 2.5, null]}, "f": false}', most_chars=100)
    assert row.data == json.loads('{"text": "b", "n": {"x": [1, 2.5, null]}, "f": false}')


@pytest.mark.parametrize("text", ["", "  ", "\t"])
def test_a_row_without_text_is_that_rows_error(text):
    found = json_of(json.dumps({"text": text}).encode() + b'\n"a"')
    assert [row.error.code if row.error else row.text for row in found] == ["empty_input", "a"]


def test_a_blocked_row_says_what_stopped_it():
    verdicts = {
        "spam": Verdict(label="spam", score=0.9, tripped=True, action="block"),
        "tone": Verdict(label="calm", score=0.8),
    }
    answer = Answer(
        label=None, confidence=0.0, probabilities={}, abstained=False, rung="guard:spam",
        guards=verdicts, trace_id="t1",
    )  # fmt: skip
    names = added("classify")
    told = columns(AnsweredRow(Row(number=1, text="a", data={}), answer, 2), names)
    assert tuple(told) == names
    assert (told["label"], told["rung"], told["tripped"]) == (None, "guard:spam", "spam")


PAIR = Several({"left": "left", "right": "right"}, Composition(names=("left", "right")))


def test_an_object_with_all_inputs_is_a_row_of_a_task_with_several():
    body = "\n".join(
        [
            '{"left": "a", "right": "b", "id": 7}',
            '"a"',
            '{"left": "a"}',
            '{"left": "", "right": " "}',
        ]
    )
    found = gathered(json_rows(pieces(body.encode(), 7), PAIR, 100))
    assert (found[0].text, found[0].data["id"]) == ("a ␞ b", 7)
    wrong = [(row.error.code, row.error.what) for row in found[1:]]
    assert [code for code, _ in wrong] == ["wrong_line", "wrong_row", "empty_input"]
    assert "left, right" in wrong[0][1]
    assert "'right'" in wrong[1][1]


def test_records_of_several_columns_are_composed():
    body = b"right;id;left\nb;1;a\n;2;a\n"
    source = CsvSource(pieces(body, 5), "utf-8", 100)

    async def all_of() -> list:
        await source.open(["left", "right"])
        return [each async for group in source.rows(PAIR) for each in group]

    assert [row.text for row in asyncio.run(all_of())] == ["a ␞ b", "a ␞ "]


@pytest.mark.parametrize(("confidence", "cell"), [(None, b"2.5,,false"), (0.5, b"2.5,0.5,false")])
def test_a_confidence_that_is_not_stated_is_an_empty_cell_and_null(confidence, cell):
    answer = Answer(label="2.5", confidence=confidence, probabilities={}, abstained=False,
                    rung="x", guards={}, trace_id="t", score=2.5)  # fmt: skip
    row = AnsweredRow(Row(number=1, text="a", data={}), answer, 2)
    assert cell in csv_row(row, (), added("score"), ",")
    assert json.loads(answer_line(row))["confidence"] == confidence
    assert json.loads(row_line(row, added("score")))["confidence"] == confidence


@pytest.mark.parametrize(
    ("kind", "more", "name", "value"),
    [
        ("multilabel", {"labels": ("a", "b")}, "labels", ("a", "b")),
        ("score", {"score": 2.5}, "score", 2.5),
        ("match", {}, "label", "a"),
    ],
)
def test_an_answer_stands_in_a_column_of_its_kind(kind, more, name, value):
    answer = Answer(label="a", confidence=1.0, probabilities={}, abstained=False, rung="x",
                    guards={}, trace_id="t", **more)  # fmt: skip
    row = AnsweredRow(Row(number=1, text="a", data={}), answer, 2)
    assert columns(row, added(kind))[name] == value
    assert columns(AnsweredRow(Row(number=1, data={})), added(kind))[name] is None


def test_rows_without_a_candidate_are_bare_queries():
    how = Composition(names=("query", "candidate"))
    ranks = Several({"query": "said", "candidate": "candidate"}, how, "said")
    lines = ('"one ␞ text"', '{"said": "a", "id": 7}', '{"said": "a", "candidate": "b"}',
             '{"candidate": "b"}', '{"said": 1}', '{"said": " "}')  # fmt: skip
    found = gathered(json_rows(pieces("\n".join(lines).encode(), 9), ranks, 100))
    assert [row.text for row in found[:3]] == ["one   text", "a", "a ␞ b"]
    assert found[0].data == {"said": "one ␞ text"}
    assert found[1].data == {"said": "a", "id": 7}
    assert [str(row.error) for row in found[3:]] == [
        "there is no field 'said'. Send a text, or this field.",
        "the field 'said' is no text.",
        "this row's input is empty.",
    ]


def test_the_answer_to_a_bare_query_is_a_candidate_and_those_behind_it():
    placed = (Placed(text="b", score=0.5, trace_id="t1"), Placed(text="c", score=0.25))
    answer = Answer(label="b", confidence=1.0, probabilities={}, abstained=False, rung="x",
                    guards={}, trace_id="t1", score=0.5, ranking=placed)  # fmt: skip
    row = AnsweredRow(Row(number=1, text="a", data={}), answer, 2)
    told = columns(row, added("rank", bare=True))
    assert list(told)[:3] == ["label", "score", "ranking"]
    first = {"text": "b", "score": 0.5, "trace_id": "t1"}
    assert told["ranking"] == (first, {"text": "c", "score": 0.25})
    assert (told["label"], told["score"], told["error"]) == ("b", 0.5, None)
    assert "ranking" not in columns(row, added("rank"))
    table = pq.read_table(io.BytesIO(write_parquet([{"n": 1}], {n: [v] for n, v in told.items()})))
    assert table["ranking"].to_pylist() == [[first, {"text": "c", "score": 0.25, "trace_id": None}]]
