import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milepost.entities.difference import Side
from milepost.entities.estimate import Estimate
from milepost.entities.ids import CandidateId, ContestId
from milepost.entities.scorecard import Calibration
from milepost.evaluation.differences import Answers, apart, differences, points
from milepost.metrics.inference.intervals import Sampling
from milepost.metrics.scoring.mean_measures import brier
from milepost.metrics.scoring.measures import counted

ESTIMATE = Estimate(value=0.5, low=0.4, high=0.6, n=10, method="", at_least=0.4, at_most=0.6)


def side(name):
    return Side(
        name=name,
        candidate=CandidateId(f"c0-{name}"),
        contest=ContestId("c0"),
        release=None,
        strategy=name,
        estimate=ESTIMATE,
        calibration=Calibration(ece=0.0, ece_if_perfect=0.0, temperature=1.0, bins=()),
        confidence=0.9,
        latency=None,
    )


def probabilities(answers, k=3, sure=0.9):
    out = np.full((len(answers), k), (1 - sure) / (k - 1), np.float32)
    out[np.arange(len(answers)), answers] = sure
    return out


def found(y, first, second, *, k=3, measure=None, masks=None, most=10, candidates=1, units=None):
    y, first, second = (np.asarray(each, np.int64) for each in (y, first, second))
    names = tuple(str(i) for i in range(len(y)))
    answers = Answers(
        task="route",
        measure=measure or counted("accuracy"),
        labels=tuple("abcdef"[:k]),
        ids=names,
        texts=names,
        y=y,
        first=probabilities(first, k),
        second=probabilities(second, k),
        masks=masks or {},
        predicates=dict.fromkeys(masks or {}, "true"),
        candidates=candidates,
        sampling=Sampling(resamples=200),
        units=None if units is None else np.asarray(units, np.int64),
    )
    return differences(answers, (side("old"), side("new")), "examples", most=most)


LABELS = st.lists(
    st.tuples(st.integers(-1, 2), st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=40
)


@settings(max_examples=30)
@given(LABELS)
def test_counts_add_up_and_turn_round_when_the_two_are_swapped(rows):
    y, first, second = zip(*rows, strict=True)
    one, other = found(y, first, second), found(y, second, first)
    counts = one.counts
    assert counts.n == len(rows) == (
        counts.both_right + counts.wins + counts.losses + counts.same_wrong
        + counts.differently_wrong
    )  # fmt: skip
    assert (counts.wins, counts.losses) == (other.counts.losses, other.counts.wins)
    assert one.comparison.difference == pytest.approx(-other.comparison.difference)
    assert one.p_value == pytest.approx(other.p_value)
    turned = {"better": "worse", "worse": "better"}
    assert other.told == turned.get(one.told, one.told)
    assert sum(part.wins for part in one.labels) == counts.wins
    assert sum(part.n for part in one.labels) == sum(label >= 0 for label in y)


def test_equal_answers_are_the_same_and_nothing_is_claimed():
    same = found([0, 1, 2] * 10, [0, 1, 1] * 10, [0, 1, 1] * 10)
    assert same.told == "same"
    assert same.p_value == 1.0
    assert "same answer to all 30 examples" in same.verdict[0]
    assert same.wins == same.losses == ()


def test_a_clear_gain_is_told_with_its_numbers():
    y = [0, 1] * 30
    gain = found(y, [1, 1] * 30, y, k=2)
    assert gain.told == "better"
    assert "New is better by 50.0 points" in gain.verdict[0]
    assert "two-sided p < 0.001, needed < 0.05" in gain.verdict[0]
    assert "it alone is right on 30, old alone on 0" in gain.verdict[0]
    assert "better on `a`" in gain.verdict[1]
    assert gain.labels[0].name == "a"
    assert gain.labels[0].p_value < 0.001 <= gain.labels[1].p_value


def test_a_small_difference_cannot_be_told_and_says_how_many_examples_would():
    y = [0] * 40
    small = found(y, [0] * 37 + [1] * 3, [0] * 39 + [1], k=2)
    assert small.told == "undecided"
    assert small.verdict[0].startswith("The examples cannot tell the two apart")
    assert small.rows_to_tell is not None
    assert small.rows_to_tell > 40


def test_choosing_on_the_same_examples_costs():
    y = [0] * 40
    first = [1] * 7 + [0] * 33
    assert found(y, first, y, k=2).told == "better"
    assert found(y, first, y, k=2, candidates=6).told == "undecided"


def test_less_is_better_where_the_measure_says_so():
    y = [0, 1] * 40
    gain = found(y, [1, 0] * 40, y, k=2, measure=brier())
    assert gain.told == "better"
    assert gain.comparison.difference < 0


def test_only_shares_are_told_in_points():
    y = [0, 1] * 40
    gain = found(y, [1, 0] * 40, y, k=2, measure=brier())
    assert "points" not in gain.verdict[0]
    assert "in Brier score" in gain.verdict[0]
    assert apart("accuracy", 0.107) == "+10.7"
    assert apart("utility", -0.1072) == "-0.107"
    assert apart("log_loss", 1234.5678, sign=False) == "1,234.568"
    assert apart("utility", 0.00004) == "+0.000040"
    assert apart("utility", 0.0) == "0.000"


def test_losses_that_were_surest_come_first_and_only_so_many():
    y, first = np.zeros(6, np.int64), np.zeros(6, np.int64)
    second = np.ones(6, np.int64)
    lost = found(y, first, second, k=2, most=2)
    assert len(lost.losses) == 2
    assert lost.losses[0].first == "a"
    assert lost.losses[0].second == "b"


def test_a_difference_on_some_part_is_rarely_claimed_where_there_is_none():
    rng = np.random.default_rng(0)
    claimed = 0
    for _ in range(200):
        y = rng.integers(0, 3, 90)
        first, second = (np.where(rng.random(90) < 0.7, y, (y + 1) % 3) for _ in range(2))
        masks = {"early": np.arange(90) < 45}
        either = found(y, first, second, masks=masks)
        claimed += any(part.p_value < 0.05 for part in (*either.labels, *either.slices))
    assert claimed / 200 <= 0.05


@pytest.mark.parametrize(
    ("share", "said"),
    [(0.011, "+1.1"), (0.00012, "+0.01"), (-0.0004, "-0.04"), (0.0, "0.0"), (-1e-9, "0.0")],
)
def test_an_end_just_off_zero_does_not_look_like_zero(share, said):
    assert points(share) == said


def test_lengths_must_fit():
    with pytest.raises(ValueError, match="shapes"):
        Answers(
            task="t",
            measure=counted("accuracy"),
            labels=("a", "b"),
            ids=(),
            texts=(),
            y=np.zeros(0, np.int64),
            first=np.zeros((0, 2), np.float32),
            second=np.zeros((0, 2), np.float32),
        )


def test_rows_that_belong_together_are_one_piece_of_evidence_in_whole_and_parts():
    y = np.arange(12) % 2
    first, second = 1 - y, y.copy()
    apart = found(y, first, second, k=2, masks={"all": np.ones(12, np.bool_)})
    copies = {name: np.repeat(each, 10) for name, each in (("y", y), ("a", first), ("b", second))}
    units = np.repeat(np.arange(12), 10)
    together = found(copies["y"], copies["a"], copies["b"], k=2, units=units,
                     masks={"all": np.ones(120, np.bool_)})  # fmt: skip
    naive = found(copies["y"], copies["a"], copies["b"], k=2,
                  masks={"all": np.ones(120, np.bool_)})  # fmt: skip
    assert together.counts.n == 120
    assert together.p_value > 1e-4 > naive.p_value
    assert together.told == apart.told == "better"
    assert together.slices[0].p_value > 1e-4 > naive.slices[0].p_value
    assert together.slices[0].low < naive.slices[0].low


@pytest.mark.parametrize("n", [2, 3])
def test_a_single_unit_tells_nothing(n):
    alone = found([0] * n, [1] * n, [0] * n, k=2, units=[7] * n)
    assert alone.told == "undecided"
