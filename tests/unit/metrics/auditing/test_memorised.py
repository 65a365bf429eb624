"""Verbatim strings of training texts are found in outputs; common phrases and prompts are not."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milepost.metrics.auditing.memorised import memorised_share, memorised_strings

PRIVATE = "Dear Ms Example, the parcel 4711 with the blue lamp stands behind the green door."
COMMON = "Thank you for your message, we answer within two working days, kind regards."


def test_a_planted_string_is_found_with_its_place_and_source():
    training = ["something else entirely", PRIVATE + " Bye.", COMMON]
    output = f"I think: {PRIVATE.upper()} Is that so?"
    (found,) = memorised_strings([output], training)
    assert (found.output, found.source) == (0, 1)
    assert output[found.start : found.end] == found.text == PRIVATE.upper()[:-1]
    assert found.length == sum(c.isalnum() for c in PRIVATE)


def test_spaces_and_marks_do_not_hide_it():
    shuffled = PRIVATE.replace(" ", "  ").replace(",", ";")
    assert len(memorised_strings([shuffled], [PRIVATE])) == 1


def test_what_many_texts_share_is_a_phrase_and_what_goes_on_is_not():
    training = [COMMON, COMMON + " A", COMMON + " B", f"{COMMON} {PRIVATE}"]
    assert memorised_strings([COMMON], training) == ()
    assert len(memorised_strings([COMMON], training, most_texts=4)) == 1
    (found,) = memorised_strings([f"{COMMON} {PRIVATE}"], training)
    assert found.source == 3
    assert found.start == 0


def test_a_quotation_of_the_prompt_is_not_remembered():
    assert memorised_strings([PRIVATE], [PRIVATE], prompts=[f"Repeat: {PRIVATE}"]) == ()
    assert len(memorised_strings([PRIVATE], [PRIVATE], prompts=["Repeat."])) == 1


def test_short_overlaps_and_empty_texts_are_nothing():
    assert memorised_strings(["the blue lamp stands behind", "", "?!"], [PRIVATE, ""]) == ()
    assert memorised_strings([PRIVATE], []) == ()
    assert len(memorised_strings(["the blue lamp stands behind"], [PRIVATE], shortest=20)) == 1


def test_no_string_runs_across_two_training_texts():
    assert memorised_strings([PRIVATE], [PRIVATE[:40], PRIVATE[40:]]) == ()


def test_two_strings_of_one_output_are_two():
    other = "A second sentence about something else, long enough to be told from chance alone."
    found = memorised_strings([f"{PRIVATE} And then: {other}"], [PRIVATE, other])
    assert [each.source for each in found] == [0, 1]
    share = memorised_share(found, 4, 0.95)
    assert (share.value, share.n) == (0.25, 4)
    assert share.low < 0.25 < share.high


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1))
def test_it_finds_what_a_search_of_all_substrings_finds(seed):
    rng = np.random.default_rng(seed)
    letters = np.array(list("ab "))
    training = ["".join(rng.choice(letters, rng.integers(0, 40))) for _ in range(4)]
    output = "".join(rng.choice(letters, 40))
    own = output.replace(" ", "")
    texts = [text.replace(" ", "") for text in training]
    windows = {own[i : i + 8] for i in range(len(own) - 7)}
    rare = [w for w in windows if 1 <= sum(w in text for text in texts) <= 2]
    found = memorised_strings([output], training, shortest=8)
    assert bool(found) == bool(rare)
    for each in found:
        plain = each.text.replace(" ", "")
        assert plain in texts[each.source]
        assert len(plain) == each.length >= 8


def test_bad_bounds_are_refused():
    with pytest.raises(ValueError, match="at least 8"):
        memorised_strings([], [], shortest=7)
    with pytest.raises(ValueError, match="1 prompts for 2"):
        memorised_strings(["a", "b"], [], prompts=["c"])
