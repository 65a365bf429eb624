"""How alike two strings are: whole, and field by field."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.entities.images import image_text
from milepost.models.likeness import (
    FIELDS,
    MISSING,
    by_field,
    codes,
    count,
    likenesses,
    negated,
    record,
    triples,
    width,
)


def written(**fields):
    return " ".join(f"COL {name} VAL {value}" for name, value in fields.items())


def test_records_are_read_as_they_are_written():
    assert record("COL name VAL red lamp COL price VAL  COL year VAL 1999") == {
        "name": "red lamp", "price": "", "year": "1999"}  # fmt: skip
    assert record('{"name": "red lamp", "price": null, "year": 1999}') == {
        "name": "red lamp", "price": "", "year": "1999"}  # fmt: skip
    for text in ("", "red lamp", "the COL name VAL x", "{not json", "[1]", "{" * 5000):
        assert record(text) is None


def test_fields_are_compared_one_by_one():
    found = by_field(written(name="red lamp", price="$10.00"), written(name="red lamp", price="5"))
    name, price = found[0:3], found[3:6]
    assert name == [1.0, 1.0, 0.0]
    assert price[0] == pytest.approx(0.5)
    assert price[2] == 0.0
    missing = by_field(written(name="red lamp", price=""), written(name="red lamp", price="5"))
    assert missing[3:6] == [MISSING, MISSING, 1.0]
    assert missing[-1] == 0.5  # one of two fields
    assert by_field("red lamp", written(name="red lamp")) == [0.0] * width()


def test_the_order_of_fields_and_of_sides_means_nothing():
    one, other = written(a="x y", b="1", c="z"), written(c="z", b="2", a="x")
    turned = written(c="z", a="x y", b="1")
    assert by_field(one, other) == by_field(other, one) == by_field(turned, other)
    as_json = json.dumps({"a": "x y", "b": "1", "c": "z"})
    assert by_field(as_json, other) == by_field(one, other)


def test_of_images_nothing_is_said():
    images = [image_text("ab" * 32, "0f" * 16), image_text("cd" * 32, "0f" * 16)]
    pairs = [(images[0], images[1]), (images[0], images[0]), (images[0], "red lamp"), ("a", "a b")]
    for version in (1, 2):
        found = likenesses(pairs, version)
        assert not found[:3].any()
        assert (found[3] == likenesses(pairs[3:], version)[0]).all()
        assert found[3].any()


def test_more_fields_than_are_looked_at_one_by_one_count_together():
    one = written(**{f"f{at}": "same" for at in range(FIELDS + 2)})
    other = written(**{f"f{at}": "same" if at < FIELDS + 1 else "else" for at in range(FIELDS + 2)})
    assert by_field(one, other)[: 3 * FIELDS] == [1.0, 1.0, 0.0] * FIELDS
    assert by_field(one, other)[-2] < by_field(one, one)[-2]


def test_what_strings_share():
    assert codes("lamp xk-200 red", "XK 200") == pytest.approx(1.0)
    assert codes("lamp", "chair") == MISSING
    assert triples("lamp", "lamp") == 1.0
    assert triples("lamp", "zzz") == 0.0
    assert negated("a dog is not here", "a dog is here") == 1.0
    assert negated("it isn't", "nobody") == 0.0


@given(st.text(max_size=40), st.text(max_size=40))
def test_every_likeness_is_a_share_and_the_same_both_ways(a, b):
    for version in (1, 2):
        found = likenesses([(a, b), (b, a)], version)
        assert found.shape == (2, count(version))
        assert np.isfinite(found).all()
        assert ((found >= 0) & (found <= 1)).all()
        assert found[0] == pytest.approx(found[1], abs=1e-6)
    assert likenesses([], 2).shape == (0, count(2))
