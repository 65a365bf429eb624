"""Corrections of spans and images: only those that can be trained on are."""

from collections import Counter

from milepost.entities.serving import Feedback
from milepost.models.images.store import Images
from milepost.predictors.preparation import preparation
from milepost.testing.colours import picture
from milepost.testing.records import START
from milepost.workflows.contest.corrections import of_images_kept, resolved


def said(number, text, label):
    return Feedback(
        id=f"f{number:032x}", trace=f"t{number:032x}", task="t", release=1, channel="production",
        at=START, key="k", label=label, rating=None, comment=None, text=text, answered="[]",
    )  # fmt: skip


def test_what_is_no_span_of_its_text_is_left_out():
    left = Counter()
    feedback = [
        said(4, "Ann ran", '[[0,3,"name"]]'),
        said(3, "Bob", '[[0,9,"name"]]'),
        said(2, "Cleo", '[[0,4,"river"]]'),
        said(1, "Dan", "name"),
    ]
    found = resolved(feedback, ("extract", {"name"}), preparation((), None, 100), left)
    assert [(each.text, each.label) for each in found] == [("Ann ran", '[[0,3,"name"]]')]
    assert left["with a label that the task has no more"] == 3


def test_an_image_that_was_served_and_not_kept_is_left_out(tmp_path):
    images, left = Images(tmp_path), Counter()
    kept = images.keep(picture("red", 1))
    served = images.hold(picture("blue", 2)).text
    feedback = [said(3, kept, "red"), said(2, served, "blue"), said(1, "a text", "red")]
    assert of_images_kept(images, feedback, left) == [feedback[0], feedback[2]]
    assert left == {"with an image that nobody kept": 1}
