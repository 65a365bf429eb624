import math

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from milepost.entities.estimate import UNDEFINED, Estimate
from milepost.entities.inputs import MARK, composition
from milepost.reports import words
from milepost.reports.document import Cell, Column, Document, Grid, Row


def an_estimate(value: float, low: float, high: float) -> Estimate:
    return Estimate(value=value, low=low, high=high, n=100, method="x", at_least=low, at_most=high)


def test_usd_reads_like_money_at_every_size() -> None:
    shown = {
        0.0: "$0",
        0.0000009: "<$0.00001",
        0.000042: "$0.000042",
        0.0004: "$0.0004",
        0.00312: "$0.0031",
        0.999: "$1",
        1.5: "$1.50",
        1234.5: "$1,234",
        math.nan: "–",
    }
    assert {amount: words.usd(amount) for amount in shown} == shown


@given(st.floats(1e-5, 1e7))
def test_usd_keeps_two_significant_digits_and_no_exponent(amount: float) -> None:
    text = words.usd(amount)
    assert "e" not in text
    assert float(text.lstrip("$").replace(",", "")) == math.floor(amount) or math.isclose(
        float(text.lstrip("$").replace(",", "")), amount, rel_tol=0.051
    )


def test_milliseconds_have_the_decimals_that_matter() -> None:
    assert [words.milliseconds(v) for v in (0.0001, 0.42, 4.13, 35.4, 1234.0)] == [
        "<0.01",
        "0.42",
        "4.1",
        "35",
        "1,234",
    ]


def test_durations() -> None:
    assert [words.duration(v) for v in (0.41, 12.3, 125.0)] == ["0.4 s", "12 s", "2 min 5 s"]


def test_estimates_show_value_and_interval() -> None:
    assert words.measured(an_estimate(0.912, 0.884, 0.941)) == "0.912 [0.88, 0.94]"
    assert words.measured(an_estimate(0.912, 0.9112, 0.9131)) == "0.912 [0.911, 0.913]"
    assert words.measured(an_estimate(-0.0001, -0.001, 0.1)) == "0.000 [-0.00, 0.10]".replace(
        "[-0.00,", "[0.00,"
    )
    assert words.measured(an_estimate(math.nan, math.nan, math.nan)) == "– [–]"
    nothing = msgspec.structs.replace(an_estimate(0.0, 0.0, 1.0), method=UNDEFINED)
    assert words.measured(nothing) == "– [0.00, 1.00]"


def test_counts_agree_with_their_noun() -> None:
    assert words.count(1, "row") == "1 row"
    assert words.count(10_013, "row") == "10,013 rows"
    assert words.count(2, "row has", "rows have") == "2 rows have"


@given(st.text())
def test_clean_text_is_printable_everywhere(text: str) -> None:
    shown = words.clean(text)
    shown.encode("utf-8")
    assert not any(ord(c) < 32 or 127 <= ord(c) < 160 for c in shown)
    assert words.clean(shown) == shown


@given(st.text(), st.integers(5, 80))
def test_shortened_text_fits_one_line(text: str, length: int) -> None:
    shown = words.shorten(text, length)
    assert len(shown) <= length
    assert "\n" not in shown
    assert len(words.middle(text, length)) <= length


def test_middle_keeps_both_ends() -> None:
    assert words.middle("card_payment_wrong_exchange_rate", 15) == "card_pa…ge_rate"


def test_reordering_marks_are_dropped_but_right_to_left_text_stays() -> None:
    assert words.clean("a\u202eb") == "ab"
    assert words.clean("شكوى") == "شكوى"


def test_the_sides_of_a_pair_stand_apart_for_people() -> None:
    pair = composition(("left", "right"), None, pair=True).text({"left": "a lamp", "right": "Lamp"})
    assert MARK in pair
    assert words.shorten(pair, 40) == "a lamp ↔ Lamp"
    shown = Document((Grid((Column("text"),), (Row((Cell(pair),)),)),))
    for text in (shown.plain(), shown.html()):
        assert MARK not in text
        assert "a lamp ↔ Lamp" in text
    assert "a lamp = Lamp" in shown.plain(ascii_only=True)
