import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milepost.entities.decision import Comparison
from milepost.entities.estimate import Estimate
from milepost.entities.scorecard import Latency, Scorecard, SliceScore
from milepost.entities.task import Objective
from milepost.metrics.inference.intervals import proportion
from milepost.releases.gate import IncumbentEvidence, decide

ORDER = {"rejected": 0, "insufficient_evidence": 1, "kept": 2, "released": 3}


def card(right=600, n=640, regime="holdout", **more):
    return Scorecard(
        regime=regime,
        metric="accuracy",
        metrics={"accuracy": proportion(right, n, 0.95)},
        **more,
    )


def versus(difference=0.1, p_value=0.001, p_worse=0.999, against="majority", n=200):
    return Comparison(
        metric="accuracy",
        against=against,
        difference=difference,
        low=difference - 0.05,
        high=difference + 0.05,
        p_value=p_value,
        p_worse=p_worse,
        n=n,
        method="exact McNemar",
    )


def incumbent(difference=0.0, p_value=0.5, p_worse=0.6, scorecard=None):
    return IncumbentEvidence(
        release=3,
        scorecard=scorecard,
        comparison=versus(difference, p_value, p_worse, against="release 3"),
    )


def latency(p95=10.0, cost=0.01):
    return Latency(p50_ms=p95 / 2, p95_ms=p95, n=50, cpu_seconds_per_1k=1.0, cost_per_1k_usd=cost)


def a_slice(gap=0.0, half=0.02, n=200, name="german"):
    return SliceScore(
        name=name,
        predicate="lang = 'de'",
        n=n,
        estimate=None,
        gap=gap,
        gap_low=gap - half,
        gap_high=gap + half,
        p_value=0.5,
    )


FLOOR = Objective(at_least=0.9)


def test_a_floor_that_is_met_is_released_with_the_numbers_in_the_sentence():
    found = decide(FLOOR, card(), None, None)
    assert found.verdict == "released"
    assert found.reasons[0] == (
        "Accuracy is at least 0.919 with 95 % confidence (0.938 on 640 held-out examples), "
        "which meets the floor of 0.90."
    )


@pytest.mark.parametrize(
    ("right", "n", "verdict", "said"),
    [
        (550, 640, "rejected", "misses the floor of 0.90"),
        (580, 640, "insufficient_evidence", "examples to judge on would decide it"),
        (30, 30, "released", "meets the floor of 0.90"),
        (28, 28, "insufficient_evidence", "About 29 examples"),
        (576, 640, "insufficient_evidence", "no practical number"),
    ],
)
def test_floor(right, n, verdict, said):
    found = decide(FLOOR, card(right, n), None, None)
    assert found.verdict == verdict
    assert said in found.reasons[0]


@pytest.mark.parametrize(
    ("groups", "said", "never"),
    [
        (4, "The interval rests on 4 groups: examples of more groups are needed", "About"),
        (64, "Examples of about 130 groups to judge on would decide it", "examples to judge"),
        (0, "About 1,300 examples to judge on would decide it", "group"),
    ],
)
def test_where_rows_are_grouped_it_is_groups_that_are_asked_for(groups, said, never):
    found = decide(FLOOR, card(585, 640, groups=groups), None, None)
    assert found.verdict == "insufficient_evidence"
    assert said in found.reasons[0]
    assert never not in found.reasons[0]
    assert ("640 held-out examples of" in found.reasons[0]) == (groups > 0)
    unproven = decide(Objective(), card(groups=groups), versus(0.01, 0.2, 0.8), None).reasons[0]
    assert ("examples to judge on would show" in unproven) == (groups == 0)
    assert ("more groups are needed" in unproven) == (groups == 4)
    assert ("groups to judge on would show" in unproven) == (groups == 64)
    objective = Objective(at_least=0.9, slices={"german": "lang = 'de'"}, max_slice_gap=0.05)
    wide = decide(objective, card(slices=(a_slice(0.08, 0.1),), groups=groups), None, None)
    assert ("in the slice of more groups would" in wide.reasons[0]) == (groups > 0)


@pytest.mark.parametrize(
    ("comparison", "verdict"),
    [
        (versus(), "released"),
        (versus(0.01, 0.2, 0.8), "insufficient_evidence"),
        (versus(0.0, 1.0, 1.0), "insufficient_evidence"),
        (versus(-0.2, 1.0, 0.001), "rejected"),
        (None, "insufficient_evidence"),
    ],
)
def test_without_a_floor_majority_must_be_beaten(comparison, verdict):
    found = decide(Objective(), card(), comparison, None)
    assert found.verdict == verdict
    assert "majority" in found.reasons[0]


@pytest.mark.parametrize(
    ("score", "verdict", "said"),
    [
        (a_slice(0.2, 0.1), "rejected", "shown to exceed"),
        (a_slice(0.02, 0.02), "released", "which is within"),
        (a_slice(0.04, 0.05), "released", "though not proven"),
        (a_slice(0.08, 0.1), "insufficient_evidence", "examples in the slice would decide"),
        (a_slice(0.08, 0.1, n=29), "released", "too few to judge"),
        (a_slice(0.4, 0.2, n=10), "rejected", "shown to exceed"),
        (SliceScore(name="none", predicate="x", n=0, estimate=None), "released", "no examples"),
    ],
)
def test_slices(score, verdict, said):
    objective = Objective(at_least=0.9, slices={"german": "lang = 'de'"}, max_slice_gap=0.05)
    found = decide(objective, card(slices=(score,)), None, None)
    assert found.verdict == verdict
    assert any(said in reason for reason in found.reasons)


def test_a_slice_without_a_limit_is_only_told():
    found = decide(FLOOR, card(slices=(a_slice(0.4, 0.1),)), None, None)
    assert found.verdict == "released"
    assert any("sets no limit" in reason for reason in found.reasons)


@pytest.mark.parametrize(
    ("measured", "verdict"),
    [
        (latency(), "released"),
        (latency(p95=26.0), "rejected"),
        (latency(cost=0.06), "rejected"),
        (None, "insufficient_evidence"),
    ],
)
def test_time_and_cost(measured, verdict):
    objective = Objective(at_least=0.9, max_p95_ms=25, max_cost_per_1k_usd=0.05)
    assert decide(objective, card(latency=measured), None, None).verdict == verdict


@pytest.mark.parametrize(
    ("rival", "verdict", "said"),
    [
        (incumbent(0.03, 0.01, 0.99), "released", "above release 3"),
        (incumbent(0.01, 0.3, 0.8), "kept", "would show a difference"),
        (incumbent(0.0, 0.5, 0.6), "kept", "not shown to be above"),
        (incumbent(-0.04, 0.99, 0.01), "kept", "below release 3"),
        (incumbent(0.03, 0.1, 0.9, card(570, 640)), "released", "below the floor of 0.90"),
        (incumbent(0.0, 0.5, 0.5, card(610, 640)), "kept", "not shown"),
        (incumbent(0.0, 0.5, 0.5, card(latency=latency(p95=90.0))), "released", "breaks"),
        (incumbent(-0.1, 1.0, 0.01, card(latency=latency(p95=90.0))), "kept", "below"),
    ],
)
def test_incumbent(rival, verdict, said):
    objective = Objective(at_least=0.9, max_p95_ms=25)
    found = decide(objective, card(latency=latency()), None, rival)
    assert found.verdict == verdict
    assert said in found.reasons[0]


def test_a_failing_candidate_never_replaces_a_failing_incumbent():
    found = decide(FLOOR, card(550), None, incumbent(0.1, 0.001, 1.0, card(500)))
    assert found.verdict == "rejected"


@given(st.floats(0.0, 1.0), st.integers(1, 2000), st.floats(0.0, 1.0), st.booleans(), st.data())
@settings(max_examples=150)
def test_more_right_answers_never_turn_the_verdict_down(floor, n, share, running, data):
    objective = Objective(at_least=floor)
    fewer = data.draw(st.integers(0, n))
    more = data.draw(st.integers(fewer, n))
    rival = incumbent(share - 0.5, share, 1.0 - share) if running else None
    low = decide(objective, card(fewer, n), None, rival)
    high = decide(objective, card(more, n), None, rival)
    assert ORDER[low.verdict] <= ORDER[high.verdict]
    for found in (low, high):
        assert found.reasons
        assert all(reason.endswith(".") for reason in found.reasons)


@given(st.floats(0.0, 1.0), st.integers(1, 500), st.integers(0, 500), st.integers(2, 20))
@settings(max_examples=100)
def test_more_of_the_same_evidence_never_turns_a_release_down(floor, n, right, times):
    right = min(right, n)
    once = decide(Objective(at_least=floor), card(right, n), None, None)
    often = decide(Objective(at_least=floor), card(right * times, n * times), None, None)
    if once.verdict == "released":
        assert often.verdict == "released"
    if once.verdict == "rejected":
        assert often.verdict == "rejected"


@given(
    value=st.floats(-0.2, 1.0),
    halves=st.tuples(st.floats(0.0, 0.5), st.floats(0.0, 0.5)),
    floor=st.none() | st.floats(0.0, 1.0),
    p_values=st.tuples(st.floats(0.0, 1.0), st.floats(0.0, 1.0)),
    difference=st.floats(-1.0, 1.0),
    metric=st.sampled_from(["accuracy", "balanced_accuracy", "macro_f1", "mcc"]),
    regime=st.sampled_from(["holdout", "test_file", "cross_fitted"]),
    confidence=st.floats(0.6, 0.999),
)
@settings(max_examples=200)
def test_every_input_has_a_verdict_that_keeps_the_floor(
    value, halves, floor, p_values, difference, metric, regime, confidence
):
    found = Estimate(
        value=value,
        low=value - halves[0],
        high=value + halves[1],
        n=50,
        method="x",
        at_least=value - halves[0] * 0.8,
        at_most=value + halves[1] * 0.8,
    )
    scorecard = Scorecard(regime=regime, metric=metric, metrics={metric: found})
    comparison = versus(difference, *p_values)
    rival = IncumbentEvidence(release=1, scorecard=scorecard, comparison=comparison)
    objective = Objective(metric=metric, at_least=floor)
    for running in (None, rival):
        decision = decide(objective, scorecard, comparison, running, confidence)
        assert decision.verdict in ORDER
        assert len(decision.reasons) >= 1
        if floor is not None and decision.verdict in {"released", "kept"}:
            assert found.at_least >= floor
        if floor is not None and decision.verdict == "rejected":
            assert found.at_most < floor
        if running is None:
            assert decision.verdict != "kept"


def test_the_gate_changes_nothing_and_repeats_itself():
    objective = msgspec.structs.replace(FLOOR, max_slice_gap=0.05)
    made = card(slices=(a_slice(),))
    before = msgspec.json.encode(made)
    assert decide(objective, made, None, incumbent()) == decide(objective, made, None, incumbent())
    assert msgspec.json.encode(made) == before


def test_false_releases_at_the_floor_are_rare():
    """Exact bounds on one look: at most 5 %, here over every possible outcome."""
    from scipy.stats import binom

    for n in (30, 100, 640):
        for rate in (0.5, 0.8, 0.9, 0.95):
            right = np.arange(n + 1)
            released = [
                decide(Objective(at_least=rate), card(int(i), n), None, None).verdict == "released"
                for i in right
            ]
            assert binom.pmf(right, n, rate)[released].sum() <= 0.05


def test_the_number_near_the_floor_is_shown_with_enough_digits():
    near = Estimate(
        value=0.91, low=0.89, high=0.93, n=900, method="x", at_least=0.89996, at_most=0.92
    )
    made = Scorecard(regime="holdout", metric="accuracy", metrics={"accuracy": near})
    found = decide(FLOOR, made, None, None)
    assert found.verdict == "insufficient_evidence"
    assert "between 0.89996 and 0.920" in found.reasons[0]


@pytest.mark.parametrize(
    ("ceiling", "verdict", "said"),
    [
        (0.6, "released", "keeps the ceiling of 0.60"),
        (0.3, "rejected", "misses the ceiling of 0.30"),
        (0.5, "insufficient_evidence", "examples to judge on would decide it"),
    ],
)
def test_a_ceiling_is_a_floor_the_other_way_round(ceiling, verdict, said):
    found = Estimate(
        value=0.45, low=0.39, high=0.55, n=200, method="gaffke", at_least=0.4, at_most=0.53
    )
    scorecard = Scorecard(regime="holdout", metric="log_loss", metrics={"log_loss": found})
    decision = decide(Objective(metric="log_loss", at_most=ceiling), scorecard, None, None)
    assert decision.verdict == verdict
    assert said in decision.reasons[0]
    assert decision.reasons[0].startswith("Log loss is")


def test_lower_is_below_where_lower_is_better():
    scorecard = msgspec.structs.replace(card(), metric="log_loss")
    against = msgspec.structs.replace(versus(-0.2), metric="log_loss")
    found = decide(Objective(metric="log_loss"), scorecard, against, None)
    assert found.verdict == "released"
    assert "Log loss is 0.200 below `majority`" in found.reasons[0]


def test_p_values_say_their_side_and_their_level():
    passed = Objective(metric="accuracy", at_least=0.8)
    said = decide(passed, card(), None, incumbent(0.012, p_value=0.046), 0.9696).reasons[0]
    assert "one-sided p = 0.046, needed < 0.0304" in said
    against = decide(Objective(metric="accuracy"), card(), versus(), None).reasons[0]
    assert "one-sided p = 0.001, needed < 0.05" in against


def test_that_nothing_but_the_use_is_missing_is_told_apart_from_a_demand_missed():
    flat, floor = versus(0.0, 0.5, 0.5), Objective(at_least=0.99)
    assert decide(Objective(), card(), flat, None).no_use
    assert decide(Objective(), card(), versus(-0.1, 0.999, 0.001), None).no_use
    assert decide(Objective(), card(), None, None).no_use
    assert not decide(Objective(), card(), versus(), None).no_use
    assert not decide(floor, card(), flat, None).no_use
    slow = Objective(max_p95_ms=1)
    assert not decide(slow, card(latency=latency()), flat, None).no_use


def test_what_moves_and_is_plainly_worse_says_so_before_that_it_is_of_no_use():
    worse = incumbent(-0.48, 1.0, 1e-9)
    found = decide(Objective(), card(), versus(0.0, 0.5, 0.5), worse, loss=0.02)
    assert found.verdict == "insufficient_evidence"
    assert found.reasons[0] == (
        "Accuracy is 0.480 below release 3 on 200 held-out examples (exact McNemar, one-sided "
        "p < 0.001, needed < 0.05); release 3 stays."
    )
    assert "`majority`" in found.reasons[1]
    assert "`majority`" in decide(Objective(), card(), versus(0.0, 0.5, 0.5), worse).reasons[0]


def test_orders_of_candidates_are_judged_on_queries():
    judged = Scorecard(
        regime="cross_fitted", metric="ndcg@10", metrics={"ndcg@10": proportion(48, 60, 0.95)}
    )
    apart = msgspec.structs.replace(versus(0.01, 0.4, 0.6, n=60), metric="ndcg@10")
    asked = Objective(metric="ndcg@10", at_least=0.8)
    (reason, *_) = decide(asked, judged, None, None).reasons
    assert reason.startswith("nDCG at 10 is somewhere between ")
    assert "on 60 cross-fitted queries" in reason
    assert "queries to judge on would decide it" in reason or "practical number" in reason
    (reason, *_) = decide(Objective(metric="ndcg@10"), judged, apart, None).reasons
    assert "on 60 cross-fitted queries" in reason
    assert "queries to judge on would show" in reason
    assert "example" not in reason
