"""Images in what people read: short names in findings, small pictures on the page."""

import base64
import io
import re

import pytest
from PIL import Image

from milepost.entities.configuration import Configuration
from milepost.entities.task import Task
from milepost.testing.colours import COLOURS, picture, write_colours
from milepost.workflows.contest.improve import improve
from milepost.workflows.contest.options import Options
from milepost.workflows.opening import create
from milepost.workflows.publishing import write_report
from milepost.workflows.tasks.ingest import add_task
from milepost.workflows.tasks.suspects import suspects


@pytest.fixture
def context(tmp_path, monkeypatch):
    """A workspace on an encoder of images with a judged task: some repeat, one is mislabelled."""
    monkeypatch.setenv("MILEPOST_CACHE", str(tmp_path / "cache"))
    encoder = write_colours(tmp_path / "colours", tmp_path / "cache")
    context = create(tmp_path / "desk", Configuration(encoder=str(encoder)))
    rows = []
    for at in range(24):
        name = list(COLOURS)[at % 3]
        file = tmp_path / f"{at}.png"
        file.write_bytes(picture(name, at))
        rows.append({"photo": str(file), "label": name})
    again = tmp_path / "again.jpg"
    again.write_bytes(picture("red", 0, "JPEG"))
    rows += [{"photo": str(again), "label": "red"}, {**rows[1]}, {**rows[2], "label": "red"}]
    add_task(context, Task(name="colour", inputs={"photo": "image"}), rows, None)
    yield context
    context.ledger.close()


def test_images_are_named_shortly_and_seen_on_the_page(context, tmp_path):
    came = improve(context, "colour", Options(strategies=("head_closed_form",)))
    found = {each.check: each for each in came.quality.findings}
    said = {check: " ".join([each.summary, *each.examples]) for check, each in found.items()}
    assert "repeat the image of an earlier row to the byte" in said["exact_duplicates"]
    assert "2 different images" in said["exact_duplicates"]
    assert re.search(r"2 images: image \w{8} \(\S+:\d+\) ~ image \w{8} \(", said["near_duplicates"])
    assert "1 image carries different labels" in said["conflicting_labels"]
    page = write_report(context, "colour", tmp_path / "report.html").read_text()
    assert not re.search("image:[0-9a-f]{20}", page + " ".join(said.values()))
    seen = re.findall(r'<img class="seen" src="data:image/jpeg;base64,([^"]+)" alt="">', page)
    assert len(seen) == len(re.findall(r">image [0-9a-f]{8}\b", page)) >= 3
    for each in seen:
        data = base64.b64decode(each, validate=True)
        assert len(data) < 8_000
        assert max(Image.open(io.BytesIO(data)).size) <= 96
    # A page is made all the same where an image is gone; it has its name.
    gone = next(context.images.folder.rglob("*.*"))
    for file in context.images.folder.rglob("*.*"):
        file.unlink()
    assert not gone.exists()
    page = write_report(context, "colour", tmp_path / "later.html").read_text()
    assert "<img" not in page
    assert re.search(r"image [0-9a-f]{8}\b", page)


def test_suspects_name_images(context):
    improve(context, "colour", Options(strategies=("majority",)))
    reasons = " ".join(" ".join(each.reasons) for each in suspects(context, "colour", 3).suspects)
    assert "such as image " in reasons
    assert "An almost equal image carries" in reasons
    assert "image:" not in reasons
