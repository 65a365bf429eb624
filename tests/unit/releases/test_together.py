"""What tasks that move to another encoder lose, one by one and together."""

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.entities.contest import Moving
from milepost.entities.decision import Comparison, Decision
from milepost.releases.gate import most_lost
from milepost.releases.together import (
    decide_together,
    decided_together,
    standing_of,
    together_of,
)
from milepost.testing.records import some_contest


def contest(
    task, difference=0.0, half=0.01, *, verdict="kept", metric="accuracy", p=(1.0, 1.0), **more
):
    """A judged contest with such a comparison."""
    against = Comparison(
        metric=metric,
        against="release 1",
        difference=difference,
        low=difference - half,
        high=difference + half,
        p_value=p[0],
        p_worse=p[1],
        n=100,
        method="exact McNemar",
    )
    return msgspec.structs.replace(
        some_contest(1),
        task=task,
        decision=Decision(verdict=verdict, reasons=("why",), **more),
        moving=Moving(loss=0.02, against=against),
    )


def apart(contests):
    return [[each.task] for each in contests]


@pytest.mark.parametrize(
    ("made", "standing"),
    [
        (contest("a", 0.1, p=(0.001, 1.0), verdict="released"), "better"),
        (contest("a", -0.005, 0.01, verdict="released"), "as_good"),
        (contest("a", -0.1, 0.01, p=(1.0, 0.001)), "worse"),
        (contest("a", -0.005, 0.1), "not_shown"),
        (contest("a", 0.1, verdict="rejected"), "misses"),
        (contest("a", 0.1, verdict="insufficient_evidence"), "misses"),
        (contest("a", -0.4, 0.01, verdict="rejected", p=(1.0, 0.001)), "misses"),
        (contest("a", -0.4, 0.01, verdict="rejected", p=(1.0, 0.001), no_use=True), "worse"),
        (contest("a", 0.0, 0.3, verdict="insufficient_evidence", no_use=True), "no_use"),
    ],
)
def test_the_standing_follows_from_gate_and_comparison(made, standing):
    assert standing_of(made) == standing


@given(st.lists(st.tuples(st.floats(-0.5, 0.5), st.floats(0.001, 0.5)), min_size=2, max_size=20))
def test_the_bound_of_the_mean_lies_between_dependence_and_independence(pairs):
    made = [contest(f"t{i}", *pair) for i, pair in enumerate(pairs)]
    free = together_of(made, apart(made))
    bound = together_of(made, [[each.task for each in made]])
    mean = sum(difference for difference, _ in pairs) / len(pairs)
    halves = [half for _, half in pairs]
    assert free.difference == pytest.approx(mean)
    # Wholly dependent errors add up: the bound is the mean of the tasks' own bounds.
    assert bound.low == pytest.approx(mean - sum(halves) / len(halves))
    assert free.low == pytest.approx(mean - math.sqrt(sum(h * h for h in halves)) / len(halves))
    assert bound.low <= free.low + 1e-12 <= free.difference + 1e-12
    assert (free.units, bound.units) == (len(pairs), 1)


def test_a_hundred_small_tasks_can_show_together_what_none_can_alone():
    made = {f"t{i}": contest(f"t{i}", -0.003, 0.08) for i in range(100)}
    assert all(standing_of(each) == "not_shown" for each in made.values())
    mean = together_of(list(made.values()), apart(made.values()))
    assert mean.low == pytest.approx(-0.003 - 0.008)
    moves, reason = decide_together(made, mean, 0.02)
    assert moves
    assert "on average over 100 tasks" in reason


def test_several_that_hold_all_up_are_named_in_the_plural():
    made = {name: contest(name, -0.3, 0.01, p=(1.0, 1e-6)) for name in ("one", "two")}
    moves, reason = decide_together(
        made, together_of(list(made.values()), apart(made.values())), 0.02
    )
    assert not moves
    assert "`one` and `two` are shown to be worse" in reason


@pytest.mark.parametrize(
    ("odd", "said"),
    [
        (contest("odd", 0.1, verdict="rejected"), "`odd` would miss"),
        (contest("odd", -0.3, 0.01, p=(1.0, 1e-6)), "`odd` is shown to be worse"),
        (
            contest("odd", 0.0, 0.01, verdict="insufficient_evidence", no_use=True),
            "`odd` is not shown to be above `majority`",
        ),
        (contest("odd", 0.0, 0.01, metric="log_loss"), "`odd` is not accepted by itself"),
        (contest("odd", -5.0, 0.01), "only a loss of 0.02"),
    ],
)
def test_one_task_holds_all_up(odd, said):
    made = {f"t{i}": contest(f"t{i}", 0.0, 0.01) for i in range(20)} | {"odd": odd}
    moves, reason = decide_together(
        made, together_of(list(made.values()), apart(made.values())), 0.02
    )
    assert not moves
    assert said in reason


def test_a_shown_loss_is_corrected_for_the_number_of_tasks():
    made = {f"t{i}": contest(f"t{i}", 0.01, 0.005) for i in range(20)}
    made["odd"] = contest("odd", -0.03, 0.03, p=(1.0, 0.02))
    moves, _ = decide_together(made, together_of(list(made.values()), apart(made.values())), 0.02)
    assert moves  # one of 21 tasks has such a p-value by chance alone


def test_no_mean_of_one_task_or_of_measures_that_are_no_shares():
    assert together_of([contest("a")], [["a"]]) is None
    made = [contest("a", metric="log_loss"), contest("b", metric="mae")]
    assert together_of(made, apart(made)) is None
    assert decide_together({}, None, 0.02)[0]


def test_a_verdict_reached_together_keeps_what_a_task_misses():
    moved = decided_together(contest("a"), moves=True, reason="together")
    assert (moved.decision.verdict, moved.moving.together) == ("released", True)
    assert moved.decision.reasons == ("together", "why")
    missed = decided_together(contest("a", verdict="rejected"), moves=True, reason="together")
    assert missed.decision.verdict == "rejected"


def test_the_largest_loss_is_on_the_side_that_is_worse():
    assert most_lost(contest("a", -0.01, 0.02).moving.against) == pytest.approx(0.03)
    assert most_lost(contest("a", -0.01, 0.02, metric="mae").moving.against) == pytest.approx(0.01)
