"""Images from bytes to what stands for them, kept, held and refused."""

import base64
import gc
import io

import numpy as np
import pytest
from PIL import Image

from milepost.entities.errors import CorruptError, InputError
from milepost.entities.images import images_in, is_image, looks_in
from milepost.models.images.picture import MOST_BYTES, decoded
from milepost.models.images.store import Images
from milepost.testing.colours import picture


@pytest.fixture
def kept(tmp_path):
    return Images(tmp_path / "images")


def test_an_image_is_kept_once_however_it_is_given(kept, tmp_path):
    data = picture("red", 1)
    (tmp_path / "a.png").write_bytes(data)
    uri = f"data:image/png;base64,{base64.b64encode(data).decode()}"
    texts = {kept.keep("a.png", tmp_path), kept.keep(uri), kept.keep(data)}
    (text,) = texts
    assert is_image(text)
    assert kept.keep(text) == text
    assert kept.bytes_of(text) == data
    assert len(list(kept.folder.rglob("*.*"))) == 1


def test_what_is_only_held_is_written_nowhere_and_gone_with_its_holder(kept):
    held = kept.hold(picture("red", 2))
    text = held.text
    assert kept.bytes_of(text) == picture("red", 2)
    assert not kept.folder.exists()
    del held
    gc.collect()
    with pytest.raises(InputError, match="not kept"):
        kept.bytes_of(text)


def test_bytes_that_changed_are_refused(kept):
    text = kept.keep(picture("red", 3))
    next(kept.folder.rglob("*.*")).write_bytes(picture("red", 4))
    with pytest.raises(CorruptError, match="not what they were"):
        kept.bytes_of(text)


def large():
    out = io.BytesIO()
    Image.new("1", (8000, 6000)).save(out, "PNG")
    return out.getvalue()


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        (b"", "it is empty"),
        (b"hello", "not an image"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not an image"),
        (picture("red")[:60], "damaged|not an image"),
        (b"\x89PNG" + bytes(MOST_BYTES), "at most"),
        (large(), "8,000 x 6,000 pixels"),
        ("data:image/png;base64,***", "base64"),
        ("no/such/file.png", "no such image file"),
        ("\x00.png", "cannot be read|no such image"),
    ],
)
def test_what_is_no_image_is_refused(kept, tmp_path, cell, said):
    with pytest.raises(InputError, match=said):
        kept.hold(cell, tmp_path)


def test_over_a_network_no_path_is_read(kept, tmp_path):
    (tmp_path / "a.png").write_bytes(picture("red"))
    with pytest.raises(InputError, match="this is no image"):
        kept.hold(str(tmp_path / "a.png"))


def test_the_camera_says_what_is_up_and_grey_of_sixteen_bits_stays_grey():
    out = io.BytesIO()
    turned = Image.fromarray(np.zeros((4, 9, 3), np.uint8))
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(out, "JPEG", exif=exif)
    assert decoded(out.getvalue()).size == (4, 9)
    out = io.BytesIO()
    Image.fromarray(np.full((3, 3), 32768, np.uint16)).save(out, "PNG")
    assert 120 < np.asarray(decoded(out.getvalue())).mean() < 135


def test_a_look_stays_when_an_image_is_saved_anew_and_differs_between_images(kept):
    def look(data):
        return looks_in(kept.hold(data).text)[0]

    near = (look(picture("red", 5)) ^ look(picture("red", 5, "JPEG"))).bit_count()
    far = (look(picture("red", 5)) ^ look(picture("red", 6))).bit_count()
    assert near <= 6 < 30 < far


def test_images_are_found_in_a_longer_text(kept):
    one, other = (kept.hold(picture("red", seed)).text for seed in (1, 2))
    assert images_in(f"{one} \u241e {other} \u241e a note") == (one, other)
