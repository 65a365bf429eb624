"""`milepost migrate`: verdicts in words and as JSON, a folder of another dimension, bad input."""

import json

import pytest

from milepost.testing.tiny import write_tiny


@pytest.fixture
def other(tmp_path):
    """An encoder folder of 32 dimensions and random weights."""
    return write_tiny(tmp_path / "other")


def test_a_blind_encoder_takes_no_task_over(milepost, improved, other, is_valid):
    told = milepost("-w", improved, "migrate", "--encoder", other, "--json")
    assert told.code == 1
    is_valid(told.json, "migrate")
    migration = told.json["migration"]
    assert not told.json["all_moved"]
    assert migration["target"]["dimensions"] == 32
    (task,) = migration["tasks"]
    assert (task["task"], task["moved"]) == ("route", False)
    assert task["standing"] in {"worse", "not_shown", "misses"}
    assert task["now"]["value"] < task["was"]["value"]
    # It is answered by what it was answered by.
    answered = milepost.ok("-w", improved, "predict", "route", "where is it", "--json")
    assert answered.json["release"] == task["before"] == 2


def test_the_encoder_in_use_moves_nothing_and_is_no_verdict_against(milepost, improved, is_valid):
    told = milepost.ok("-w", improved, "migrate", "--encoder", "embedded", "--json")
    is_valid(told.json, "migrate")
    (task,) = told.json["migration"]["tasks"]
    assert (task["standing"], task["moved"]) == ("settled", False)


def test_in_words(milepost, improved, other):
    told = milepost("-w", improved, "migrate", "--encoder", other, "--move", "none")
    assert told.code == 1
    said = " ".join(told.out.split())
    assert said.count("only the verdicts were asked for") == 1
    # The evidence is what this is asked for.
    assert "route: " in said
    assert "release 2" in said


def test_an_encoder_that_fails_on_long_texts_is_refused_in_one_paragraph(
    milepost, improved, other, is_refusal
):
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 512}))
    looks = milepost.ok("-w", improved, "looks", "route", "--json").json
    told = milepost("-w", improved, "migrate", "--encoder", other)
    is_refusal(told, "encoder", "positions")
    # Nothing but the paragraph: the runtime's own lines say the same.
    assert "[E:onnxruntime" not in told.err
    assert milepost.ok("-w", improved, "looks", "route", "--json").json == looks


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--encoder", "nowhere/at-all"), ["nowhere/at-all"]),
        (("--encoder", "embedded", "nothing"), ["nothing"]),
        (("--encoder", "embedded", "--move", "some"), ["some", "each"]),
        (("--encoder", "embedded", "--loss", "2"), ["loss"]),
    ],
)  # fmt: skip
def test_bad_input(milepost, improved, is_refusal, arguments, words):
    is_refusal(milepost("-w", improved, "migrate", *arguments), *words)
