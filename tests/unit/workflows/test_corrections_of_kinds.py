"""Corrections of spans, images and scores: only those that can be trained on are."""

from collections import Counter

from milepost.entities.ids import ContestId
from milepost.entities.serving import Feedback
from milepost.models.images.store import Images
from milepost.predictors.preparation import preparation
from milepost.testing.colours import picture
from milepost.testing.records import START
from milepost.workflows.contest.corrections import of_images_kept, resolved
from milepost.workflows.contest.datasets import prepare
from milepost.workflows.tasks.current import current_task


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


def test_scores_far_from_those_of_the_examples_are_left_out(context):
    lines = ["text,label", *(f"thing {at} of many,{1 + at % 5}" for at in range(40))]
    (context.root / "data/stars.csv").write_text("\n".join(lines))
    file = context.root / "tasks/stars.yaml"
    file.write_text("name: stars\nkind: score\ndata: {examples: data/stars.csv}\n")
    task = current_task(context, "stars")
    feedback = [
        said(5, "a cat sits", "77777"),
        said(4, "a dog lies", "6.5"),
        said(3, "an ox stands", "-20"),
        said(2, "a hen runs", "high"),
        said(1, "a cow walks", "nan"),
    ]
    material = prepare(context, task, ContestId("c1"), feedback)
    assert material.train.labels[material.own :] == ("6.5",)
    told = {finding.check: finding for finding in material.quality.findings}
    assert told["feedback_left_out"].count == 4
    assert set(told["feedback_left_out"].examples) == {
        "2 with a score far from those of the examples, 1 to 5",
        "2 with a label that the task has no more",
    }
