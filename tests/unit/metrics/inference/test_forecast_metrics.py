"""Curves that follow a family are continued along it; the record's interval holds its value."""

from datetime import UTC, datetime

import numpy as np
import pytest

from milepost.entities.contest import Candidate, Contest, CurvePoint
from milepost.entities.decision import Decision
from milepost.entities.estimate import Estimate
from milepost.entities.ids import CandidateId, ContestId, Digest
from milepost.evaluation.forecast import CURVE_OF, forecast, why_none
from milepost.metrics.inference.forecast import (
    continued,
    half_width,
    power_law,
    power_law_with_asymptote,
)
from milepost.metrics.scoring import mean_measures, measures
from milepost.strategies.head_closed_form import HeadClosedForm

SIZES = np.array([50.0, 100.0, 200.0, 400.0])


def points(values):
    return [
        CurvePoint(
            examples=int(size),
            estimate=Estimate(
                value=value, low=value - 0.03, high=value + 0.03, n=400, method="x",
                at_least=value - 0.025, at_most=value + 0.025,
            ),
        )
        for size, value in zip(SIZES, values, strict=True)
    ]  # fmt: skip


def test_families_find_their_own_parameters():
    errors = 2.0 * SIZES**-0.5
    assert power_law(SIZES, errors)(1600.0) == pytest.approx(0.05, abs=1e-6)
    lifted = 0.1 + 2.0 * SIZES**-0.5
    assert power_law_with_asymptote(SIZES, lifted)(1600.0) == pytest.approx(0.15, abs=2e-3)


def test_a_flat_curve_stays_where_it_is():
    found = continued(SIZES, np.full(4, 0.8), 2000.0)
    assert found.value == pytest.approx(0.8, abs=1e-6)
    assert found.step == pytest.approx(0.0, abs=1e-6)


def test_a_falling_curve_is_not_continued_downwards():
    found = continued(SIZES, np.array([0.9, 0.88, 0.86, 0.85]), 2000.0)
    assert found.step >= -1e-9


def test_farther_is_wider_and_within_range():
    values = 1.0 - 2.0 * SIZES**-0.5
    ahead = forecast(measures.counted("accuracy"), points(values), 0.95)
    assert [point.examples for point in ahead] == [800, 2000]
    near, far = (point.estimate for point in ahead)
    assert values[-1] < near.value < far.value <= 1.0
    for each in (near, far):
        assert 0.0 <= each.low <= each.at_least <= each.value <= each.at_most <= each.high <= 1.0
    found = [continued(SIZES, values, at) for at in (800.0, 2000.0)]
    assert half_width(found[1], 0.03, 1.96) > half_width(found[0], 0.03, 1.96) > 0.03


def test_lower_is_better_falls_towards_its_best():
    losses = 0.2 + 20.0 * SIZES**-0.7
    ahead = forecast(mean_measures.log_loss(), points(losses), 0.95)
    near, far = (point.estimate for point in ahead)
    assert losses[-1] > near.value > far.value > 0.0
    assert near.value == pytest.approx(0.2 + 20.0 * 800**-0.7, abs=0.05)
    for each in (near, far):
        assert 0.0 <= each.low <= each.at_least <= each.value <= each.at_most <= each.high


def test_a_measure_and_its_mirror_image_are_foretold_alike():
    """Costs of 2 for an error: utility is -2 times the error rate, and so is its forecast."""
    values = 1.0 - 2.0 * SIZES**-0.5
    utility = mean_measures.utility(np.array([[0.0, 2.0], [2.0, 0.0]]))
    plain = forecast(measures.counted("accuracy"), points(values), 0.95)
    doubled = [
        CurvePoint(
            examples=p.examples,
            estimate=Estimate(
                value=2 * p.estimate.value - 2, low=2 * p.estimate.low - 2,
                high=2 * p.estimate.high - 2, n=400, method="x",
                at_least=2 * p.estimate.at_least - 2, at_most=2 * p.estimate.at_most - 2,
            ),
        )
        for p in points(values)
    ]  # fmt: skip
    for one, two in zip(plain, forecast(utility, doubled, 0.95), strict=True):
        assert two.estimate.value == pytest.approx(2 * one.estimate.value - 2)
        assert two.estimate.low == pytest.approx(2 * one.estimate.low - 2)


@pytest.mark.parametrize(
    ("strategy", "error", "budget", "why"),
    [
        ("tfidf_linear", None, 60.0, "which did not compete."),
        (CURVE_OF[0], "it broke", 60.0, "which was not fitted."),
        (CURVE_OF[0], None, None, ": there are too few examples for its points."),
        (CURVE_OF[0], None, 60.0, "the budget left no time for it, or there are too few"),
    ],
)
def test_where_there_is_no_curve_the_reason_that_applies_is_told(strategy, error, budget, why):
    contest = Contest(
        id=ContestId("c0"), task="t", task_version=Digest(""), examples=Digest(""), holdout=None,
        regime="cross_fitted", seed=0, budget_seconds=budget, seconds=1.0,
        started=datetime(2024, 1, 1, tzinfo=UTC),
        candidates=(Candidate(id=CandidateId("c0-x"), strategy=strategy, error=error),),
        decision=Decision(verdict="kept", reasons=()), code="",
    )  # fmt: skip
    said = why_none("accuracy", (), contest)
    assert said.startswith("There is no learning curve")
    assert why in said
    assert "data: time" not in said
    assert HeadClosedForm().name in CURVE_OF


def test_where_nothing_is_foretold_it_says_why():
    some = points(1.0 - 2.0 * SIZES**-0.5)
    for name, curve, why in (
        ("accuracy", some[:2], "2 of the 3 points"),
        ("accuracy", [], "no learning curve"),
        ("own:costs.py:mine", some, "best value"),
    ):
        measure = measures.own(name, lambda y, a, p: 0.0, higher=True)
        assert forecast(measure, curve, 0.95) == ()
        assert why in why_none(name, curve)
    assert why_none("log_loss", some) is None
    with pytest.raises(ValueError, match="three"):
        continued(SIZES[:2], SIZES[:2] / 1000, 900.0)
