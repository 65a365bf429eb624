import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.predictors.prompting.reading import (
    LEADS,
    NOTHING,
    PAIRS,
    Reader,
    key_of,
    same_to_prompts,
)

LABELS = ("card-lost", "Refund late", "other")


def reader(form):
    return Reader.of(form, LABELS)


@pytest.mark.parametrize(
    ("said", "label"),
    [
        ("card-lost", 0),
        (" CARD-LOST\n", 0),
        ("refund   LATE.", 1),
        ("**Refund late**", 1),
        ('Label: "refund late"', 1),
        ("The answer is other.", 2),
        ("<think>refund late?</think>\nother", 2),
        ("other or card-lost", NOTHING),
        ("I think it is other", NOTHING),
        ("not other", NOTHING),
        ("card lost", NOTHING),
        ("othe", NOTHING),
        ("", NOTHING),
        ("A", NOTHING),
    ],
)
def test_labels_are_read_exactly_or_not_at_all(said, label):
    assert reader("label")(said) == label


@pytest.mark.parametrize(
    ("said", "label"),
    [
        ("B", 1), ("b.", 1), ("(C)", 2), ("B) Refund late", 1), ("The answer is A", 0),
        ("B. card-lost", NOTHING), ("D", NOTHING), ("AB", NOTHING), ("A or B", NOTHING),
        ("A card was lost", NOTHING), ("Ａ", 0),
    ],
)  # fmt: skip
def test_letters_are_read_alone_or_with_their_own_label(said, label):
    assert reader("letter")(said) == label


@pytest.mark.parametrize(
    ("said", "label"),
    [
        ('{"label": "other"}', 2),
        ('```json\n{"why": "…", "label": "Card-Lost"}\n```', 0),
        ('{"label": "other", "label": "card-lost"}', NOTHING),
        ('{"label": ["other"]}', NOTHING),
        ('{"label": "others"}', NOTHING),
        ("other", NOTHING),
        ('["other"]', NOTHING),
        ("[" * 100_000, NOTHING),
        ('{"label": "other"} because', NOTHING),
    ],
)
def test_json_is_read_strictly(said, label):
    assert reader("json")(said) == label


@given(
    labels=st.lists(st.text(min_size=1, max_size=12), min_size=2, max_size=6, unique_by=key_of),
    lead=st.sampled_from(["", *LEADS]),
    pair=st.sampled_from([("", ""), *PAIRS]),
)
def test_every_label_is_read_back_in_any_one_wrapping(labels, lead, pair):
    assert same_to_prompts(labels) is None
    read = Reader.of("label", labels)
    for at, label in enumerate(labels):
        assert read(label) == at
        if key_of(label):
            assert read(f"{lead} {pair[0]}{label}{pair[1]}") in (at, NOTHING)


@given(st.text(max_size=200))
def test_any_answer_is_read_without_harm(said):
    for form in ("label", "letter", "json"):
        assert -1 <= reader(form)(said) < len(LABELS)


@pytest.mark.parametrize(
    ("labels", "same"),
    [
        (("Refund", "refund"), ("Refund", "refund")),
        (("a b", "x", "A  B."), ("a b", "A  B.")),
        (("ﬁne", "fine"), ("ﬁne", "fine")),
        (("a", "b"), None),
    ],
)
def test_labels_that_no_answer_tells_apart_are_found(labels, same):
    assert same_to_prompts(labels) == same


def test_an_answer_that_is_far_too_long_is_not_looked_at():
    assert reader("label")("x" * 10_000_000) == NOTHING
