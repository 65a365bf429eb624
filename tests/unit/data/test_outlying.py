"""Scores far from all others are found, whatever their unit; long tails are not."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost._base.settings import Settings
from milepost.data.outlying import FEWEST, about_scores, spread_of, written_spread
from milepost.data.read import read_examples
from milepost.entities.example import Examples
from milepost.entities.task import DataFiles, Task

STARS = [float(1 + at % 5) for at in range(40)]
wide = st.floats(allow_nan=False, allow_infinity=False)


def examples(labels):
    n = len(labels)
    return Examples(
        ids=tuple(map(str, range(n))),
        texts=tuple(f"text {at}" for at in range(n)),
        labels=tuple(labels),
        groups=("",) * n,
        sources=tuple(f"f.csv:{at + 2}" for at in range(n)),
    )


def test_a_slip_is_found_with_its_row():
    (told,) = about_scores(examples([*map(str, STARS), None, "77777", "-300"]))
    assert (told.check, told.severity, told.count) == ("outlying_scores", "warning", 2)
    assert "2 scores lie far from all others, which are 1 to 5" in told.summary
    assert told.examples == ('f.csv:43: 77777, "text 41"', 'f.csv:44: -300, "text 42"')


def test_the_report_of_a_file_says_it(tmp_path):
    lines = ["text,stars", *(f"text {at},{said}" for at, said in enumerate([*STARS, 450.0]))]
    (tmp_path / "stars.csv").write_text("\n".join(lines))
    task = Task(name="t", kind="score", data=DataFiles(label="stars"))
    quality = read_examples(["stars.csv"], task, Settings(), root=tmp_path).quality
    (told,) = [each for each in quality.findings if each.check == "outlying_scores"]
    assert told.examples == ('stars.csv:42: 450, "text 40"',)


@pytest.mark.parametrize(
    "scores",
    [
        np.random.default_rng(0).normal(size=5000),
        np.random.default_rng(1).exponential(size=5000),
        np.random.default_rng(2).uniform(size=5000),
        [0.0] * 60 + [1.0, 2.0, 3.0, 4.0, 5.0],
        [0.0, 1.0] * 10,
    ],
)
def test_usual_scores_are_left_alone(scores):
    spread = spread_of(scores)
    assert not any(map(spread.outlying, scores))


def test_half_of_the_same_number_hides_no_slip():
    assert spread_of([0.0] * 60 + [1.0, 2.0, 3.0, 4.0, 5.0, 500.0]).outlying(500.0)


def test_too_few_or_all_alike_say_nothing():
    assert spread_of([]) is None
    assert spread_of([1.0] * FEWEST) is None
    assert written_spread([*map(str, STARS[: FEWEST - 1]), None]) is None
    assert written_spread(map(str, STARS[:FEWEST])) is not None


def test_what_examples_have_too_is_not_strange():
    spread = spread_of([*STARS, 77777.0])
    assert spread.outlying(70000.0)
    assert not spread.strange(70000.0)
    assert spread.strange(90000.0)
    assert spread.strange(-70000.0)


@given(st.lists(wide, min_size=FEWEST, max_size=40), wide)
def test_any_numbers_have_a_spread_within_their_range(scores, asked):
    spread = spread_of(scores)
    if spread is None:
        assert len(set(scores)) == 1
        return
    assert min(scores) == spread.least <= spread.low <= spread.high <= spread.most == max(scores)
    assert not any(map(spread.strange, scores))
    assert not spread.outlying(spread.low)
    assert spread.outlying(asked) or not spread.strange(asked)


@given(st.integers(-300, 300), st.floats(0.0, 100.0), st.sampled_from([-1.0, 1.0]))
def test_the_unit_does_not_matter(power, asked, sign):
    unit = math.ldexp(sign, power)
    plain, scaled = spread_of(STARS), spread_of([unit * each for each in STARS])
    assert plain.outlying(asked) == scaled.outlying(unit * asked)
