"""Inputs as somebody gives them in Python: composed as the release reads them, or refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.entities.errors import InputError
from milepost.entities.inputs import MARK, composition, sides
from milepost.entities.release import Manifest
from milepost.models.images.store import Holding, Images
from milepost.predictors.constant import ConstantPredictor
from milepost.predictors.exported import Exported
from milepost.predictors.given import texts_given
from milepost.predictors.preparation import preparation
from milepost.testing.colours import picture

PAIR = composition(("left", "right"), None, pair=True)
MAIL = composition(("title", "body"), "{title}: {body}", pair=False)
PHOTO = composition(("photo",), None, pair=False, images=("photo",))

WORDS = st.text(st.characters(codec="utf-8"), max_size=20)


@given(WORDS, WORDS)
def test_sides_of_a_pair_come_apart_again(left, right):
    (text,) = texts_given([{"left": left, "right": right}], PAIR, Holding(Images()))
    assert text.count(MARK) == 1
    expected = tuple(each.replace(MARK, " ").strip() for each in (left, right))
    assert sides(text) == expected


def exported(how):
    """A release outside its workspace that counts: its answer says nothing of the input."""
    manifest = Manifest(
        kind="constant", task="t", task_version="0" * 64, strategy="majority", labels=("a", "b"),
        **({} if how is None else {"inputs": how}),
    )  # fmt: skip
    predictor = ConstantPredictor(labels=("a", "b"), log_prior=np.log([0.9, 0.1]))
    return Exported(predictor, manifest, None, preparation((), None, 1000, "here"))


@pytest.mark.parametrize(
    ("how", "inputs"),
    [
        (None, ["one", "two"]),
        (PAIR, [{"left": "one", "right": "two"}] * 2),
        (MAIL, [{"title": "one", "body": "two", "more": 3}] * 2),
        (PHOTO, [picture("red"), {"photo": picture("green")}]),
    ],
)
def test_an_export_reads_what_its_task_reads(how, inputs):
    assert exported(how).predict(inputs).answers == ("a", "a")


@pytest.mark.parametrize(
    ("how", "inputs", "said"),
    [
        (None, "one", "one input"),
        (None, ["one", {"text": "two"}], "input 1 is dict, not text"),
        (None, [b"one"], "input 0 is bytes"),
        (PAIR, ["a text"], "input 0 is str, and this task has the inputs left, right"),
        (PAIR, {"left": "one", "right": "two"}, "one input"),
        (PAIR, [{"left": "one"}], "input 0 has no text 'right'"),
        (MAIL, [{"title": "one", "body": 2}], "input 0 has no text 'body'"),
        (PHOTO, ["no.png"], "no such image"),
        (PHOTO, [{"shot": "no.png"}], "input 0 has no image 'photo'"),
    ],
)
def test_what_an_export_does_not_read_is_refused(how, inputs, said):
    with pytest.raises(InputError, match=said):
        exported(how).predict(inputs)
