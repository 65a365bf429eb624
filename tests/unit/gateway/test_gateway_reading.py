"""Strict JSON in: the short way and the careful way accept and refuse the same."""

import json

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from milepost._base.untrusted import strict_json
from milepost.gateway.errors import RefusedError
from milepost.gateway.native import PredictRequest
from milepost.gateway.reading import Reader

read = Reader(PredictRequest)


def refused(body: bytes) -> RefusedError:
    with pytest.raises(RefusedError) as caught:
        read(body)
    assert caught.value.status == (422 if caught.value.code == "wrong_value" else 400)
    return caught.value


def test_a_request_is_read():
    body = '{"inputs": ["a", {"text": "é\\u00e9"}], "top_k": 3, "subject": "s"}'.encode()
    assert read(body) == PredictRequest(inputs=["a", {"text": "éé"}], top_k=3, subject="s")


@pytest.mark.parametrize(
    "body",
    [
        b'{"inputs":["a"],"inputs":["b"]}',
        b'{"inputs":["a"],"\\u0069nputs":["b"]}',
        b'{"\\u0069nputs":["a"],"inputs":["b"]}',
        b'{"inputs":[{"text":"a","text":"b"}]}',
        b'{"inputs":[{"text":"a","t\\u0065xt":"b"}]}',
        b'{"top_k":1,"inputs":["a"],"top_k":2}',
    ],
)
def test_a_key_that_stands_twice_is_refused(body):
    assert "twice" in refused(body).what


def test_the_name_of_a_field_may_be_an_input():
    assert read(b'{"inputs":["inputs","\\"inputs\\"","{}","top_k"]}').inputs[0] == "inputs"


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        (b"", "empty_body", None),
        (b"nonsense", "not_json", None),
        (b'{"inputs":[NaN]}', "not_json", None),
        (b'{"inputs":["a"],"top_k":Infinity}', "not_json", None),
        (b'{"inputs":["\xff"]}', "not_json", None),
        (b'{"inputs":["\\ud800"]}', "not_json", None),
        (b'{"inputs":["a"]} {}', "not_json", None),
        (b'{"inputs":' + b"[" * 100_000, "wrong_field", "inputs[0]"),
        (b'{"a":' * 40 + b"1" + b"}" * 40, "not_json", None),
        (b"[]", "wrong_field", None),
        (b"{}", "missing_field", "inputs"),
        (b'{"inputs":["a"],"topk":1}', "unknown_field", "topk"),
        (b'{"inputs":["a",3]}', "wrong_field", "inputs[1]"),
        (b'{"inputs":"a"}', "wrong_field", "inputs"),
        (b'{"inputs":[{"text":"a","id":1}]}', "wrong_field", "inputs[0].id"),
        (b'{"inputs":["a"],"top_k":0}', "wrong_value", "top_k"),
        (b'{"inputs":["a"],"top_k":1e999}', "wrong_value", "top_k"),
        (b'{"inputs":["a"],"top_k":true}', "wrong_field", "top_k"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(body, code, param):
    error = refused(body)
    assert (error.code, error.param) == (code, param)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"inputs":"a"}', "must be a list, not a string."),
        (b'{"inputs":[NaN]}', "JSON: NaN is no"),
        (b'{"inputs":["\\ud800"]}', "\\ud800 is half of a character"),
        (b'{"inputs":["a"],"inputs":[]}', "the key 'inputs' stands twice"),
        (b'{"inputs":["a"', "ends too soon"),
        (b'{"inputs":["a"],"top_k":"2"}', "an integer or null, not a string"),
    ],
)
def test_mistakes_are_told_in_words_of_json(body: bytes, words: str):
    assert words in refused(body).what


def test_who_forgets_the_list_is_shown_one():
    assert '{"inputs": ["..."]}' in (refused(b'{"inputs":"a"}').advice or "")


def test_an_unknown_field_names_the_nearest():
    assert "'top_k'" in (refused(b'{"inputs":["a"],"top_j":1}').advice or "")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["inputs", "top_k", "subject", "text", "x"]), inner)
    ),
    max_leaves=8,
)


@given(JSON, st.booleans())
@example({"inputs": ["\\u0069"]}, True)
def test_both_ways_agree(value, escaped):
    body = json.dumps(value, ensure_ascii=escaped).encode("utf-8", "surrogatepass")
    try:
        careful = msgspec.convert(strict_json(body), PredictRequest)
    except (ValueError, msgspec.ValidationError):
        careful = None
    try:
        quick = read(body)
    except RefusedError:
        quick = None
    assert quick == careful


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(body):
    try:
        assert isinstance(read(body), PredictRequest)
    except RefusedError as error:
        assert error.status in {400, 422}  # noqa: PT017 - either is right
