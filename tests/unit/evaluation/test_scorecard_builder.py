import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milepost.entities.scorecard import Scorecard
from milepost.entities.task import Objective
from milepost.evaluation.comparison import Pair, compare
from milepost.evaluation.latency import Timing, time_stage, total_latency
from milepost.evaluation.scorecard import UNKNOWN_LABEL, Evidence, build_scorecard
from milepost.metrics.inference.intervals import Sampling
from milepost.metrics.inference.selection import best_of


def evidence(y, answers, k=3, **more):
    n = len(y)
    shares = np.full((n, k), 0.3 / max(k - 1, 1), np.float32)
    shares[np.arange(n), answers] = 0.7
    more.setdefault("objective", Objective())
    return Evidence(
        labels=tuple("abcdefgh"[:k]),
        regime="holdout",
        y=np.asarray(y, np.int64),
        probabilities=shares,
        ids=tuple(f"id{i}" for i in range(n)),
        texts=tuple(f"text {i}" for i in range(n)),
        **more,
    )


def test_a_small_card_by_hand():
    y = np.array([0, 0, 0, 1, 1, -1])
    answers = np.array([0, 0, 1, 1, 1, 0])
    card = build_scorecard(evidence(y, answers, looks=2, provenance={"code": "x"}))
    assert card.metrics["accuracy"].value == pytest.approx(4 / 6)
    assert card.objective == card.metrics["accuracy"]
    assert card.metrics["balanced_accuracy"].value == pytest.approx((2 / 3 + 1) / 2 * 5 / 6)
    assert card.unknown_labels == 1
    assert card.looks == 2
    assert card.latency is None
    assert [(s.label, s.n) for s in card.labels] == [("a", 3), ("b", 2), ("c", 0)]
    a, b, c = card.labels
    assert a.precision is not None
    assert a.precision.value == pytest.approx(2 / 3)
    assert a.f1 == pytest.approx(4 / 6)
    assert b.recall is not None
    assert (b.recall.value, b.recall.n) == (1.0, 2)
    assert (c.precision, c.recall, c.f1) == (None, None, None)
    assert {(m.actual, m.predicted, m.n) for m in card.confusions} == {
        ("a", "b", 1),
        (UNKNOWN_LABEL, "a", 1),
    }
    assert any("1 of 6 rows carry a label" in note for note in card.notes)
    assert any("1 of 3 labels have no example" in note for note in card.notes)
    assert set(card.metrics) >= {"accuracy", "macro_f1", "mcc", "weighted_f1", "log_loss", "brier"}
    assert msgspec.json.decode(msgspec.json.encode(card), type=Scorecard) == card


def test_a_bad_slice_is_found_and_the_others_are_not():
    rng = np.random.default_rng(0)
    n = 600
    y = rng.integers(0, 3, n)
    bad = np.arange(n) < 120
    right = rng.random(n) < np.where(bad, 0.5, 0.9)
    answers = np.where(right, y, (y + 1) % 3)
    masks = {
        "bad": bad,
        "other": rng.random(n) < 0.3,
        "empty": np.zeros(n, bool),
        "all": np.ones(n, bool),
    }
    objective = Objective(metric="macro_f1", slices=dict.fromkeys(masks, "sql"))
    card = build_scorecard(evidence(y, answers, objective=objective, slice_masks=masks))
    scores = {s.name: s for s in card.slices}
    assert scores["bad"].gap == pytest.approx(0.4, abs=0.12)
    assert scores["bad"].p_value < 0.001
    assert 0.1 < scores["bad"].gap_low < scores["bad"].gap < scores["bad"].gap_high
    assert scores["other"].p_value > 0.01
    assert (scores["empty"].n, scores["empty"].estimate, scores["empty"].gap) == (0, None, None)
    assert scores["all"].n == n
    assert scores["all"].gap is None
    assert scores["all"].estimate == card.objective


def test_the_corrected_estimate_replaces_only_the_objective():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 50)
    rivals = np.where(rng.random((4, 50)) < 0.8, y, (y + 1) % 3)
    best = best_of("macro_f1", y, rivals, 3)
    objective = Objective(metric="macro_f1")
    made = evidence(y, rivals[best.chosen], objective=objective, selection=best.estimate)
    card = build_scorecard(made)
    plain = build_scorecard(evidence(y, rivals[best.chosen], objective=objective))
    assert card.objective == best.estimate
    assert card.objective.value < plain.objective.value
    assert card.metrics["accuracy"] == plain.metrics["accuracy"]
    assert any("corrected" in note for note in card.notes)


@given(st.integers(1, 30), st.integers(2, 5), st.integers(0, 10**6))
@settings(max_examples=40)
def test_every_input_gives_a_finite_card(n, k, seed):
    rng = np.random.default_rng(seed)
    y, answers = rng.integers(-1, k, n), rng.integers(0, k, n)
    masks = {"s": rng.random(n) < 0.5}
    objective = Objective(metric="mcc", slices={"s": "sql"})
    sampling = Sampling(resamples=100, seed=seed)
    made = evidence(y, answers, k, objective=objective, slice_masks=masks, sampling=sampling)
    card = build_scorecard(made)
    assert card == build_scorecard(made)
    for name, found in card.metrics.items():
        numbers = [found.low, found.at_least, found.value, found.at_most, found.high]
        assert np.isfinite(numbers).all(), name
        assert numbers == sorted(numbers), name
    assert sum(label.n for label in card.labels) + card.unknown_labels == n
    assert sum(c.n for c in card.confusions) == int((y != answers).sum())


@pytest.mark.parametrize(
    "change",
    [
        {"y": np.zeros(0, np.int64)},
        {"ids": ("a",)},
        {"probabilities": np.full((4, 3), np.nan, np.float32)},
        {"probabilities": np.zeros((4, 2), np.float32)},
        {"slice_masks": {"s": np.zeros(3, bool)}},
    ],
)
def test_columns_that_do_not_fit_are_refused(change):
    fields = {name: getattr(evidence([0, 1, 2, 0], [0, 1, 2, 0]), name) for name in FIELDS}
    with pytest.raises(ValueError, match=r"."):
        Evidence(**{**fields, **change})


FIELDS = ("labels", "objective", "regime", "y", "probabilities", "ids", "texts", "slice_masks")


@pytest.mark.parametrize("metric", ["accuracy", "macro_f1"])
def test_comparison_record(metric):
    rng = np.random.default_rng(1)
    y = rng.integers(0, 3, 200)
    good = np.where(rng.random(200) < 0.9, y, (y + 1) % 3)
    poor = np.where(rng.random(200) < 0.7, y, (y + 1) % 3)
    pair = Pair(against="majority", metric=metric, k=3, y=y, answers=good, other=poor)
    found = compare(pair)
    assert found.p_value < 0.001 < 0.99 < found.p_worse
    assert 0.0 < found.low < found.difference < found.high
    assert (found.n, found.metric, found.against) == (200, metric, "majority")
    paid = compare(
        Pair(against="majority", metric=metric, k=3, y=y, answers=good, other=poor, candidates=6)
    )
    assert paid.p_value == pytest.approx(min(1.0, 6 * found.p_value))
    assert paid.low < found.low
    with pytest.raises(ValueError, match="candidates"):
        compare(Pair(against="x", metric=metric, k=3, y=y, answers=good, other=poor, candidates=0))


def test_a_stage_is_timed_on_single_inputs_and_in_batches():
    calls = []
    found = time_stage(lambda rows: calls.append(list(rows)), 3, 7)
    singles, batches = calls[:9], calls[9:]  # two of the singles warm up
    assert len(found.single) == 7
    assert all(len(rows) == 1 for rows in singles)
    assert {rows[0] for rows in singles} == {0, 1, 2}
    assert sorted(row for rows in batches for row in rows) == [0, 1, 2]
    assert (found.single >= 0.0).all()
    with pytest.raises(ValueError, match="at least one"):
        time_stage(calls.append, 0, 7)


def test_stages_add_up_input_by_input():
    stages = [Timing(np.array([0.001, 0.003, 0.9]), 0.002), Timing(np.array([0.004, 0.001]), 0.001)]
    found = total_latency(stages, 0.04)
    assert found.n == 2
    assert found.p50_ms == pytest.approx(4.5)
    assert found.p95_ms == pytest.approx(4.95)
    assert found.cpu_seconds_per_1k == pytest.approx(3.0)
    assert found.cost_per_1k_usd == pytest.approx(3.0 / 3600 * 0.04)
