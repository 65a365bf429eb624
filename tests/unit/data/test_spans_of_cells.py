"""Cells as spans: objects, triples, tags; and what is wrong with a row is said of it."""

import json

import msgspec
import pytest

from milepost._base.settings import Settings
from milepost.data.examples import gather_examples
from milepost.data.load import load_table
from milepost.data.spans import joined_tokens, spans_in
from milepost.entities.errors import DataError
from milepost.entities.task import Task

TOKENS = ["Ann", "Lee", "met", "Bob", "."]
TAGS = ["B-name", "I-name", "O", "B-name", "O"]


def test_tags_and_spans_say_the_same():
    text = " ".join(TOKENS)
    expected = '[[0,7,"name"],[12,15,"name"]]'
    assert spans_in(json.dumps(TAGS), json.dumps(TOKENS)) == expected
    assert spans_in(json.dumps(TAGS), text) == expected
    objects = [{"start": 12, "end": 15, "label": "name"}, {"start": 0, "end": 7, "type": "name"}]
    assert spans_in(json.dumps(objects), text) == expected
    assert spans_in("[]", text) == "[]"
    assert joined_tokens(json.dumps(TOKENS)) == text
    assert joined_tokens("[no tokens]") == "[no tokens]"


def test_two_ways_to_tag():
    assert spans_in('["I-a","I-a","B-a","I-b"]', "w x y z") == ('[[0,3,"a"],[4,5,"a"],[6,7,"b"]]')


@pytest.mark.parametrize(
    ("cell", "why"),
    [
        ('["B-a"]', "1 tags for 5 tokens"),
        ('["B-a","X","O","O","O"]', "neither O nor"),
        ('[[0,99,"a"]]', "outside its text of 17"),
        ("Ann", "no JSON array"),
        ('{"a": 1}', "no JSON array"),
    ],
)
def test_what_is_wrong_is_said(cell, why):
    with pytest.raises(ValueError, match=why):
        spans_in(cell, json.dumps(TOKENS))


def gathered(rows, **more):
    task = msgspec.convert({"name": "t", "kind": "extract", "data": {"label": "spans"}}, Task)
    return gather_examples([load_table(rows)], task, msgspec.structs.replace(Settings(), **more))


def test_a_row_without_spans_and_one_that_nobody_looked_at():
    rows = [
        {"text": "Ann", "spans": [[0, 3, "name"]]},
        {"text": "Bob met Cleo", "spans": [[0, 3, "name"], [8, 12, "name"]]},
        {"text": "nobody", "spans": []},
        {"text": "who?", "spans": None},
    ]
    examples = gathered(rows).examples
    assert examples.labels == ('[[0,3,"name"]]', '[[0,3,"name"],[8,12,"name"]]', "[]", None)


def test_a_row_is_named_by_its_place():
    rows = [{"text": "Ann", "spans": [[0, 3, "name"]]}, {"text": "Bob", "spans": [[0, 4, "name"]]}]
    with pytest.raises(DataError, match=r"dataframe:2: .* outside its text of 3"):
        gathered(rows)


def test_a_span_beyond_what_is_read_is_refused():
    rows = [{"text": "Ann", "spans": [[0, 3, "name"]]}] * 2
    rows += [{"text": "x " * 20 + "Ann", "spans": [[40, 43, "name"]]}]
    with pytest.raises(DataError, match="beyond the first 20 characters"):
        gathered(rows, max_text_chars=20)
