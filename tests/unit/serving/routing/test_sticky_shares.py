"""Who gets the canary: the right share, the same subject always, nobody taken back out."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.serving.routing.choosing import position

SUBJECTS = 100_000
SHARES = (0.001, 0.01, 0.1, 0.5, 0.9, 0.999)

NAMES = st.text(max_size=40)
RELEASES = st.integers(1, 10_000)


@pytest.fixture(scope="module")
def places() -> list[float]:
    return [position("route", 7, f"user-{number}") for number in range(SUBJECTS)]


@pytest.mark.parametrize("share", SHARES)
def test_share_is_met_within_binomial_bounds(places: list[float], share: float) -> None:
    found = sum(each < share for each in places)
    # Five standard deviations: a fair draw leaves these bounds once in two million.
    slack = 5.0 * math.sqrt(SUBJECTS * share * (1.0 - share))
    assert abs(found - SUBJECTS * share) <= slack


def test_positions_fill_the_line_evenly(places: list[float]) -> None:
    cells = [0] * 100
    for each in places:
        cells[int(100 * each)] += 1
    expected = SUBJECTS / 100
    statistic = sum((count - expected) ** 2 / expected for count in cells)
    # The 1e-6 quantile of chi squared with 99 degrees of freedom.
    assert statistic < 176.0


def test_another_release_deals_the_subjects_anew(places: list[float]) -> None:
    first = {number for number, each in enumerate(places) if each < 0.1}
    again = {n for n in range(SUBJECTS) if position("route", 8, f"user-{n}") < 0.1}
    # Independent draws share a tenth of a tenth.
    assert abs(len(first & again) - 0.01 * SUBJECTS) < 5.0 * math.sqrt(0.01 * SUBJECTS)


@given(subject=NAMES, release=RELEASES, task=NAMES)
def test_position_is_in_range_and_stays(subject: str, release: int, task: str) -> None:
    first = position(task, release, subject)
    assert 0.0 <= first < 1.0
    assert position(task, release, subject) == first


@given(
    subject=NAMES,
    shares=st.lists(st.floats(0.0, 1.0), min_size=2, max_size=8).map(sorted),
)
def test_growing_share_never_takes_a_subject_back(subject: str, shares: list[float]) -> None:
    inside = [position("route", 3, subject) < share for share in shares]
    assert inside == sorted(inside)


def test_whole_share_holds_everybody(places: list[float]) -> None:
    assert all(each < 1.0 for each in places)
