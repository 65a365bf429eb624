"""Rows whose images look the same are one group."""

import numpy as np
import pytest

from milepost.data.composing import inputs_in
from milepost.data.load import load_table
from milepost.data.looks import NEAR, TELLING, joined_by_look
from milepost.entities.errors import DataError, FieldError, InputError
from milepost.entities.images import image_text
from milepost.entities.inputs import MARK, composition
from milepost.entities.task import Task


def shown(number, look):
    return image_text(f"{number:064x}", f"{look:032x}")


LOOK = int("9c" * 16, 16)


def flipped(look, count):
    for at in range(count):
        look ^= 1 << (at * 7)
    return look


def test_near_looks_are_joined_and_far_ones_are_not():
    texts = [shown(1, LOOK), shown(2, flipped(LOOK, NEAR)), shown(3, flipped(LOOK, 40)), "a text"]
    assert joined_by_look(texts, ["d", "c", "b", "a"]) == ("c", "c", "b", "a")


def test_a_plain_surface_looks_like_nothing():
    texts = [shown(1, 1), shown(2, 1), shown(3, 0)]
    assert (1).bit_count() < TELLING
    assert joined_by_look(texts, ["a", "b", "c"]) == ("a", "b", "c")


def test_all_images_of_a_row_must_look_the_same():
    one, same, other = shown(1, LOOK), shown(2, LOOK), shown(3, flipped(LOOK, 50))
    texts = [f"{one} {MARK} {one}", f"{same} {MARK} {one}", f"{one} {MARK} {other}"]
    assert joined_by_look(texts, ["a", "b", "c"]) == ("a", "a", "c")


def test_groups_are_those_that_every_pair_compared_gives():
    rng = np.random.default_rng(0)
    base = [int.from_bytes(rng.bytes(16), "big") for _ in range(40)]
    looks = [flipped(look, int(n)) for look in base for n in rng.integers(0, 12, 3)]
    texts = [shown(at, look) for at, look in enumerate(looks)]
    groups = joined_by_look(texts, [f"{at:04d}" for at in range(len(texts))])
    for one, a in enumerate(looks):
        for other, b in enumerate(looks):
            if (a ^ b).bit_count() <= NEAR:
                assert groups[one] == groups[other]
    assert len(set(groups)) >= 40


def test_images_stand_before_the_words():
    how = composition(("note", "photo", "place"), None, pair=False, images=("photo",))
    text = how.text({"note": "n", "photo": "P", "place": f"x {MARK} y"})
    assert text == f"P {MARK} note: n\nplace: x   y"
    assert how.parts == 2
    lone = composition(("photo",), None, pair=False, images=("photo",))
    assert (lone.text({"photo": "P"}), lone.parts) == ("P", 1)


def test_a_cell_that_is_no_image_is_named_and_an_empty_one_leaves_the_row_out():
    table = load_table([{"photo": "a", "n": "x"}, {"photo": None, "n": "y"}, {"photo": "b"}])
    how = composition(("photo",), None, pair=False, images=("photo",))
    found = inputs_in(table, {"photo": "photo"}, how, 100, image=lambda cell, base: f"<{cell}>")
    assert found == ["<a>", "", "<b>"]

    def refuse(cell, base):
        raise InputError("it is none.", where="b.png", advice="Send another.")

    with pytest.raises(DataError, match=r"dataframe:1, column 'photo': it is none \(b.png\)\."):
        inputs_in(table, {"photo": "photo"}, how, 100, image=refuse)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"guards": ["other"]}, "not for tasks that read images"),
        ({"compose": "{photo}"}, "several inputs"),
        ({"kind": "extract"}, "extract reads no images"),
        ({"kind": "rank", "inputs": {"query": "string", "photo": "image"}}, "rank reads no images"),
    ],
)
def test_what_rests_on_words_is_refused(fields, said):
    import msgspec

    plain = {"name": "t", "inputs": {"photo": "image"}, **fields}
    with pytest.raises((FieldError, msgspec.ValidationError), match=said):
        msgspec.convert(plain, Task)
