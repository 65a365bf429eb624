"""Changes: deterministic on any text, and honest about having changed nothing."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.entities.errors import UnknownNameError
from milepost.evaluation.examination.changes import (
    CHANGES,
    STANDARD,
    change_named,
    replacing,
    surrounding,
)

ANY = st.text(st.characters(), max_size=60)
"""Any text, lone surrogates included."""
TEXT = "Hello, I can't find the café in London. Where is my refund for order #123 (3.5 USD)?"


@pytest.mark.parametrize("name", sorted(CHANGES))
@given(text=ANY, seed=st.integers(0, 2**32 - 1))
def test_any_text_is_changed_the_same_way_every_time(name: str, text: str, seed: int) -> None:
    change = CHANGES[name]
    changed = change(text, seed)
    assert changed == change(text, seed)
    assert changed is None or (isinstance(changed, str) and changed != text)


@pytest.mark.parametrize("name", sorted(CHANGES))
def test_an_english_sentence_is_changed_by_all(name: str) -> None:
    assert CHANGES[name](TEXT) is not None


@given(text=ANY)
def test_typos_never_part_a_letter_from_its_marks(text: str) -> None:
    changed = CHANGES["typos"](text)
    if changed is not None:
        marks = [c for c in text if unicodedata.category(c).startswith("M")]
        assert [c for c in changed if unicodedata.category(c).startswith("M")] == marks
        assert changed[:1] == text[:1]


@given(words=st.lists(st.text("abcdefgh", min_size=5, max_size=9), min_size=1, max_size=30))
def test_typos_stay_within_the_stated_rate(words: list[str]) -> None:
    changed = CHANGES["typos"](" ".join(words))
    assert changed is not None
    letters = sum(len(word) - 3 for word in words)
    broken = sum(a != b for a, b in zip(changed.split(" "), words, strict=True))
    assert 1 <= broken <= max(1, round(0.05 * letters))


@pytest.mark.parametrize(
    ("name", "text", "changed"),
    [
        ("no_accents", "Où est l'été à Ωμέγα?", "Ou est l'ete a Ωμεγα?"),
        ("no_accents", "जून में", None),
        ("no_accents", "がんばって 한국어", None),
        ("no_punctuation", "Well, 3.5 km (don't!) @bob.", "Well 3.5 km don't @bob"),
        ("no_punctuation", "?!", None),
        ("no_punctuation", "丢了。怎么办？", "丢了 怎么办"),
        ("repeated_punctuation", "why?", "why???"),
        ("repeated_punctuation", "why", "why..."),
        ("contractions", "I don't know, it's fine", "I do not know, it's fine"),
        ("contractions", "You CANNOT stay", "You CAN'T stay"),
        ("cut_end", "one two three four five", "one two three four"),
        ("cut_end", "one two three four", None),
        ("full_width", "A1!", "Ａ１！"),
        ("upper_case", "straße 👩‍👩‍👧", "STRASSE 👩‍👩‍👧"),
        ("upper_case", "我的卡", None),
        ("typos", "我的卡丢了怎么办", None),
        ("typos", "see https://example.org/abcdef @somebody", None),
        ("invisible", "שלום עולמים", None),
    ],
)
def test_what_each_does(name: str, text: str, changed: str | None) -> None:
    assert CHANGES[name](text) == changed


def test_look_alikes_look_alike_and_read_otherwise() -> None:
    changed = CHANGES["look_alikes"](TEXT)
    assert changed is not None
    assert len(changed) == len(TEXT)
    swapped = [(a, b) for a, b in zip(TEXT, changed, strict=True) if a != b]
    assert swapped
    assert all(
        unicodedata.name(b).startswith("CYRILLIC") and unicodedata.name(a).startswith("LATIN")
        for a, b in swapped
    )


def test_words_are_replaced_whole_at_once_and_in_their_case() -> None:
    change = replacing({"London": "Paris", "Paris": "London", "US": "UK", "卡": "票"})
    assert change("LONDON to paris, Londoner") == "PARIS to London, Londoner"
    assert change("let us go to the US") == "let us go to the UK"
    assert change("我的卡丢了") == "我的票丢了"
    assert change("nothing here") is None


def test_what_is_put_around_a_text_is_put_as_it_is_written() -> None:
    assert surrounding("Hello, ", " Bye.")("x") == "Hello, x Bye."


def test_an_unknown_change_names_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="typos"):
        change_named("typoes")


def test_the_standard_changes_are_built_in() -> None:
    assert set(STANDARD) <= set(CHANGES)
