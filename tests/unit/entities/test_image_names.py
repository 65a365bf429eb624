"""What stands for an image, as people read it."""

import re

from hypothesis import given
from hypothesis import strategies as st

from milepost.entities.images import NAMED, called, image_text, named

HEX = "0123456789abcdef"
IMAGES = st.builds(
    image_text,
    st.text(HEX, min_size=64, max_size=64),
    st.text(HEX, min_size=32, max_size=32),
)


@given(IMAGES, st.integers(14, 103))
def test_a_name_is_short_and_begins_as_the_digest(image, cut):
    assert named(image) == f"image {image[6:14]}"
    # One that was cut off is the same image.
    assert named(image[:cut]) == named(image)
    assert named(image[:cut] + "…") == f"{named(image)}…"
    assert NAMED.findall(named(image)) == [image[6:14]]


@given(st.lists(IMAGES, max_size=3), st.text(max_size=30).filter(lambda text: "image:" not in text))
def test_all_else_stays(images, text):
    whole = " \u241e ".join([*images, text])
    short = named(whole)
    assert short == " \u241e ".join([*(f"image {each[6:14]}" for each in images), text])
    assert named(text) == text
    assert not re.search("[0-9a-f]{40}", short) or re.search("[0-9a-f]{40}", text)


@given(IMAGES, IMAGES)
def test_inputs_are_called_what_they_are(one, other):
    assert called([one, other]) == "image"
    assert called([f"{one} \u241e {other}"]) == "input"
    assert called([f"{one} \u241e a note"]) == "input"
    assert called(["a note"]) == called([]) == "text"
