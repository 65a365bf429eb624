"""Tensors of the Open Inference Protocol, against the public client's own reading of them."""

import json

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.entities.inputs import Composition
from milepost.entities.serving import Answer, Answers, ServedTask, Usage
from milepost.gateway.errors import RefusedError
from milepost.gateway.inference.messages import MESSAGES
from milepost.gateway.inference.tensors import (
    check_input,
    check_outputs,
    flat_texts,
    model_metadata,
    outputs,
    packed,
    ready_version,
    texts_in,
    unpacked,
    version_of,
)
from milepost.gateway.inference.wire import OutputTensor

TASK = ServedTask(name="route", labels=("a", "b"), production=2, canary=3)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@given(st.lists(TEXT, max_size=8))
def test_strings_survive_the_binary_form_which_is_the_public_clients(texts):
    from tritonclient.utils import deserialize_bytes_tensor, serialize_byte_tensor

    raw = packed(texts)
    assert unpacked(raw, len(texts)) == texts
    assert [each.decode() for each in deserialize_bytes_tensor(raw)] == texts
    if texts:
        theirs = serialize_byte_tensor(np.array([each.encode() for each in texts], object))
        assert theirs.item() == raw


@given(st.binary(max_size=40), st.integers(0, 5))
def test_any_bytes_are_strings_or_refused(raw, most):
    try:
        texts = unpacked(raw, most)
    except RefusedError:
        return
    assert packed(texts) == raw
    assert len(texts) <= most


@pytest.mark.parametrize(
    ("name", "datatype", "shape"),
    [
        ("text", "FP32", [1]),
        ("text", "BYTES", []),
        ("text", "BYTES", [1, 2]),
        ("text", "BYTES", [1, 1, 1]),
        ("text", "BYTES", [0]),
        ("text", "BYTES", [-1]),
    ],
)
def test_other_tensors_are_refused(name, datatype, shape):
    with pytest.raises(RefusedError):
        check_input(name, datatype, shape)


def test_an_unknown_input_names_the_one_that_there_is():
    with pytest.raises(RefusedError) as refused:
        texts_in(TASK, [("txt", ["a"])])
    assert "'text'" in refused.value.advice
    assert texts_in(TASK, [("text", ["a", "b"])]) == ("a", "b")


PAIR = ServedTask(name="sim", labels=("value",), production=1, kind="score",
                  inputs=Composition(names=("left", "right")))  # fmt: skip


def test_several_inputs_are_tensors_of_their_names_in_any_order():
    given = [("right", ["c", "d"]), ("left", ["a", "b"])]
    assert texts_in(PAIR, given) == ("a ␞ c", "b ␞ d")
    assert [each.name for each in model_metadata(PAIR).inputs] == ["left", "right"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([], "sim has the inputs 'left', 'right', and the request none"),
        ([("left", ["a"])], "and the request 'left'"),
        ([("left", ["a"]), ("left", ["a"])], "and the request 'left', 'left'"),
        ([("left", ["a"]), ("right", ["b", "c"])], "'right' has 2 elements, 'left' has 1"),
        ([("text", ["a"])], "input 'text'"),
    ],
)
def test_what_is_not_each_input_once_is_refused(given, said):
    with pytest.raises(RefusedError) as refused:
        texts_in(PAIR, given)
    assert refused.value.status == 400
    assert said in str(refused.value)


def test_each_kind_has_the_outputs_that_it_can_fill():
    scored = {"label": "2.5", "confidence": 1.0, "probabilities": {}, "abstained": False,
              "rung": "x", "guards": {}, "trace_id": "t1"}  # fmt: skip
    answers = Answers(task="sim", release=1, channel="production", usage=Usage(inputs=2),
                      predictions=(Answer(**scored, score=2.5), Answer(**scored)))  # fmt: skip
    found = {each.name: each.values for each in outputs(PAIR, answers, [])}
    assert list(found) == ["label", "score", "abstained", "trace_id"]
    assert found["score"][0] == 2.5
    assert np.isnan(found["score"][1])
    told = model_metadata(PAIR)
    assert [each.name for each in told.outputs] == list(found)
    assert told.properties == {}
    spans = ServedTask(name="ents", labels=("a", "b"), production=1, kind="extract")
    assert "probabilities" not in {each.name for each in model_metadata(spans).outputs}
    with pytest.raises(RefusedError, match="probabilities"):
        check_outputs(PAIR, ["probabilities"])
    check_outputs(PAIR, ["score"])
    with pytest.raises(RefusedError, match="score"):
        check_outputs(TASK, ["score"])


def test_rows_of_one_are_flat():
    assert flat_texts(["a", ["b"]]) == ["a", "b"]
    for wrong in (1, None, ["a", "b"], [1], {}):
        with pytest.raises(RefusedError):
            flat_texts([wrong])


def some_answers() -> Answers:
    def answer(label, shares):
        return Answer(
            label=label, confidence=0.5, probabilities=shares, abstained=label is None,
            rung="head", guards={}, trace_id="t1",
        )  # fmt: skip

    predictions = (answer("b", {"b": 0.5, "a": 0.25, "c": 0.25}), answer(None, {"a": 0.5}))
    return Answers(
        task="route", release=3, channel="canary", predictions=predictions, usage=Usage(inputs=2)
    )


def test_a_confidence_that_is_not_stated_is_no_number():
    answers = some_answers()
    first, second = answers.predictions
    unsaid = (msgspec.structs.replace(first, confidence=None), second)
    (found,) = outputs(TASK, msgspec.structs.replace(answers, predictions=unsaid), ["confidence"])
    assert np.isnan(np.frombuffer(found.raw(), "<f4")).tolist() == [True, False]
    # JSON has no NaN, and says null.
    values = OutputTensor(name="c", datatype="FP32", shape=(2,), data=found.values.tolist())
    told = msgspec.json.decode(msgspec.json.encode(values), type=OutputTensor)
    assert told.data == [None, 0.5]


def test_answers_are_tensors_in_the_order_asked_for():
    found = {each.name: each for each in outputs(TASK, some_answers(), [])}
    assert list(found) == ["label", "confidence", "probabilities", "abstained", "trace_id"]
    assert found["label"].values == ["b", ""]
    # A label that only the canary knows stands behind those of production.
    assert found["probabilities"].values.tolist() == [[0.25, 0.5, 0.25], [0.5, 0.0, 0.0]]
    assert found["probabilities"].shape == (2, 3)
    raw = np.frombuffer(found["probabilities"].raw(), "<f4").reshape(2, 3)
    assert raw.tolist() == found["probabilities"].values.tolist()
    assert found["abstained"].raw() == b"\x00\x01"
    some = outputs(TASK, some_answers(), ["trace_id", "label"])
    assert [each.name for each in some] == ["trace_id", "label"]


def test_outputs_are_checked_before_anything_is_asked():
    check_outputs(TASK, ["label", "abstained"])
    with pytest.raises(RefusedError) as refused:
        check_outputs(TASK, ["lable"])
    assert "'label'" in refused.value.advice
    with pytest.raises(RefusedError):
        check_outputs(TASK, ["label", "label"])


def test_versions_are_releases():
    assert version_of("") is None
    assert version_of("7") == 7
    with pytest.raises(RefusedError) as refused:
        version_of("latest")
    assert refused.value.status == 404
    assert [ready_version(TASK, v) for v in (None, "", "2", "3", "4")] == [True] * 4 + [False]


def test_metadata_names_the_releases_in_channels_and_the_labels():
    found = model_metadata(TASK)
    assert found.versions == ("2", "3")
    assert json.loads(found.properties["labels"]) == ["a", "b"]
    assert {each.name: each.shape for each in found.outputs}["probabilities"] == (-1, 2)


def test_the_messages_are_those_of_the_public_client():
    """Every field has the name, number, type and label of tritonclient's generated code."""
    import tritonclient.grpc.service_pb2 as public

    def fields(descriptor):
        return {
            field.name: (
                field.number,
                field.type,
                field.is_repeated,
                field.containing_oneof.name if field.containing_oneof else None,
                fields(field.message_type) if field.message_type else None,
            )
            for field in descriptor.fields
        }

    assert len(MESSAGES) == 14
    for name, ours in MESSAGES.items():
        theirs = getattr(public, name).DESCRIPTOR
        assert ours.DESCRIPTOR.full_name == theirs.full_name
        assert fields(ours.DESCRIPTOR) == fields(theirs), name
