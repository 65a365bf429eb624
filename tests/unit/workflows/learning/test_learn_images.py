"""Images that are taught: read as images, kept for the next contest, or refused."""

from pathlib import Path

import pytest

from milepost.entities.configuration import Configuration
from milepost.entities.errors import InputError, UnknownNameError
from milepost.entities.images import images_in
from milepost.entities.task import Task
from milepost.testing.colours import COLOURS, picture, write_colours
from milepost.workflows.contest.improve import improve
from milepost.workflows.contest.options import Options
from milepost.workflows.learning.learn import Teacher
from milepost.workflows.opening import create
from milepost.workflows.tasks.ingest import add_task

INPUTS = {"lone": {"photo": "image"}, "both": {"photo": "image", "note": "string"}}


@pytest.fixture
def context(tmp_path, monkeypatch):
    """A workspace on an encoder of images, with a released task over images and their notes."""
    monkeypatch.setenv("MILEPOST_CACHE", str(tmp_path / "cache"))
    encoder = write_colours(tmp_path / "colours", tmp_path / "cache")
    context = create(tmp_path / "desk", Configuration(encoder=str(encoder)))
    rows = []
    for at in range(30):
        name = list(COLOURS)[at % 3]
        file = tmp_path / f"{at}.png"
        file.write_bytes(picture(name, at))
        rows.append({"photo": str(file), "note": f"picture {at}", "label": name})
    for name, inputs in INPUTS.items():
        add_task(context, Task(name=name, inputs=inputs), rows, None)
    yield context
    context.ledger.close()


def released(context, name):
    contest = improve(context, name, Options(strategies=("head_closed_form",))).contest
    assert contest.release == 1, contest.decision.reasons
    return Teacher(context)


def kept(context):
    return {each.read_bytes() for each in context.images.folder.rglob("*.*")}


def test_an_image_beside_words_is_read_as_one_and_kept(context, tmp_path):
    teacher = released(context, "both")
    new = picture("red", 77)
    (tmp_path / "new.png").write_bytes(new)
    given = {"photo": tmp_path / "new.png", "note": "a nice thing"}
    with pytest.raises(UnknownNameError):
        teacher.learn("both", given, "purple", "")
    assert new not in kept(context)
    came = teacher.learn("both", given, "blue", "")
    assert came.at_once
    # What was read is the picture: a file's name says no colour.
    assert came.before.label == "red"
    assert came.before.confidence > 0.9
    assert new in kept(context)
    (said,) = context.ledger.feedback("both")
    assert len(images_in(said.text)) == 1
    assert said.text.endswith("a nice thing")
    # The same picture as bytes is the same input.
    again = teacher.learn("both", {"photo": new, "note": "a nice thing"}, "blue", "")
    assert (again.feedback, again.learned) == (None, 1)


@pytest.mark.parametrize("shape", ["bytes", "path", "text", "mapping"])
def test_a_lone_image_needs_no_name(context, tmp_path, shape):
    new = picture("green", 78)
    file = tmp_path / "new.png"
    file.write_bytes(new)
    given = {"bytes": new, "path": file, "text": str(file), "mapping": {"photo": new}}[shape]
    came = Teacher(context).learn("lone", given, "green", "")
    assert not came.at_once
    assert new in kept(context)
    (said,) = context.ledger.feedback("lone")
    assert images_in(said.text) == (said.text,)


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        ("lone", "no/such.png", "no such image file"),
        ("lone", b"hello", "not an image"),
        ("lone", {"photo": None}, "has no image 'photo'"),
        ("both", {"photo": picture("red", 1)}, "has no text 'note'"),
        ("both", {"note": "a nice thing"}, "has no image 'photo'"),
        ("both", Path("new.png"), "inputs photo, note"),
    ],
)
def test_what_is_no_such_input_is_refused_and_nothing_is_kept(context, name, given, said):
    before = kept(context)
    with pytest.raises(InputError, match=said):
        Teacher(context).learn(name, given, "red", "")
    assert kept(context) == before
    assert not context.ledger.feedback(name)
