"""Comparisons that may be looked at any time: errors over all looks, coverage, edges."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from milepost.metrics.inference.sequential import (
    CELLS,
    bets,
    block_differences,
    blocks_needed,
    confidence_sequence,
    log_capital,
)

VALUES = st.lists(st.tuples(st.floats(0.0, 1.0), st.booleans()), max_size=60)


def ever_refuted(differences: NDArray[np.float64], truth: float, alpha: float = 0.05) -> bool:
    """Whether a candidate difference was refuted at any look, by the formula of the capital."""
    x = (1.0 + differences) / 2.0
    up, down = log_capital(x, bets(x, alpha), np.array([(1.0 + truth) / 2.0]))
    capital = np.logaddexp(up.cumsum(axis=0), down.cumsum(axis=0)) - math.log(2.0)
    return bool(capital.max() >= math.log(1.0 / alpha))


class TestBlocks:
    def test_each_is_as_short_as_it_can_be(self) -> None:
        values = [1.0, 0.0, 0.5, 1.0, 1.0, 0.0, 0.0]
        arms = [True, True, False, False, False, True, True]
        assert block_differences(values, arms).tolist() == [0.0, -1.0]

    @given(VALUES)
    def test_bounded_and_no_longer_than_the_smaller_arm(self, rows) -> None:
        found = block_differences([v for v, _ in rows], [a for _, a in rows])
        smaller = min(sum(a for _, a in rows), sum(not a for _, a in rows))
        assert len(found) <= smaller
        assert np.all(np.abs(found) <= 1.0)

    @given(VALUES)
    def test_swapping_the_arms_turns_the_sign(self, rows) -> None:
        values, arms = [v for v, _ in rows], [a for _, a in rows]
        there = block_differences(values, arms)
        np.testing.assert_allclose(there, -block_differences(values, [not a for a in arms]))


class TestSequence:
    def test_nothing_seen_says_nothing(self) -> None:
        found = confidence_sequence(np.zeros(0))
        assert (found.low, found.high, found.decided, found.evidence) == (-1.0, 1.0, False, 1.0)
        assert math.isnan(found.mean)

    def test_bets_look_at_the_past_alone(self) -> None:
        rng = np.random.default_rng(0)
        x = rng.random(50)
        whole = bets(x, 0.05)
        for n in (1, 7, 30):
            changed = np.concatenate([x[:n], 1.0 - x[n:]])
            np.testing.assert_array_equal(bets(changed, 0.05)[: n + 1], whole[: n + 1])

    def test_capital_is_a_fair_game_at_the_truth(self) -> None:
        """Each factor has mean 1 over a two-point law with that mean, whatever the bet."""
        for m in (0.1, 0.5, 0.83):
            for bet in (0.01, 0.7, 30.0):
                up, down = log_capital(np.array([0.0, 1.0]), np.full(2, bet), np.array([m]))
                law = np.array([1.0 - m, m])
                assert law @ np.exp(up[:, 0]) == pytest.approx(1.0)
                assert law @ np.exp(down[:, 0]) == pytest.approx(1.0)

    @given(st.lists(st.floats(-1.0, 1.0), min_size=1, max_size=40))
    def test_interval_only_ever_narrows(self, differences: list[float]) -> None:
        low, high = -1.0, 1.0
        for n in range(1, len(differences) + 1, 5):
            found = confidence_sequence(np.array(differences[:n]))
            if found.low == -1.0 and found.high == 1.0:
                continue
            assert found.low >= low - 1e-12
            assert found.high <= high + 1e-12
            low, high = found.low, found.high

    @given(st.lists(st.floats(-1.0, 1.0), min_size=1, max_size=200), st.floats(-0.99, 0.99))
    def test_interval_holds_whatever_was_not_refuted(
        self, differences: list[float], truth: float
    ) -> None:
        d = np.array(differences)
        found = confidence_sequence(d)
        if not ever_refuted(d, truth):
            assert found.low - 1e-9 <= truth <= found.high + 1e-9

    @given(st.lists(st.floats(-1.0, 1.0), min_size=1, max_size=100))
    def test_turning_the_sign_turns_the_interval(self, differences: list[float]) -> None:
        there = confidence_sequence(np.array(differences))
        back = confidence_sequence(-np.array(differences))
        assert (there.low, there.high) == pytest.approx((-back.high, -back.low), abs=4 / CELLS)
        assert there.evidence == pytest.approx(back.evidence)

    def test_clear_difference_is_decided(self) -> None:
        rng = np.random.default_rng(3)
        d = rng.binomial(1, 0.9, 600) - rng.binomial(1, 0.7, 600).astype(float)
        found = confidence_sequence(d)
        assert found.decided
        assert found.low > 0.0
        assert found.low < 0.2 < found.high
        assert found.evidence > 20.0

    def test_contradiction_says_nothing_rather_than_something_false(self) -> None:
        found = confidence_sequence(np.repeat([0.9, -0.9], 400))
        assert (found.low, found.high, found.decided) == (-1.0, 1.0, False)

    @pytest.mark.parametrize(("production", "canary"), [(0.8, 0.8), (0.95, 0.95), (0.6, 0.7)])
    def test_truth_is_missed_at_any_look_no_more_often_than_promised(
        self, production: float, canary: float
    ) -> None:
        missed, repeats = 0, 400
        for seed in range(repeats):
            rng = np.random.default_rng(seed)
            arm = rng.random(600) < 0.3
            values = rng.random(600) < np.where(arm, canary, production)
            d = block_differences(values.astype(float).tolist(), arm.tolist())
            missed += ever_refuted(d, canary - production, alpha=0.1)
        # At a true rate of 10 % more than 60 of 400 are seen once in a thousand.
        assert missed <= 60


class TestMore:
    def test_too_few_to_say(self) -> None:
        assert blocks_needed(np.zeros(0)) is None
        assert blocks_needed(np.array([0.3])) is None

    def test_no_difference_cannot_be_foreseen(self) -> None:
        assert blocks_needed(np.zeros(50), most=300) is None

    def test_forecast_is_about_right(self) -> None:
        rng = np.random.default_rng(9)

        def draw(n: int) -> NDArray[np.float64]:
            return rng.binomial(1, 0.85, n) - rng.binomial(1, 0.7, n).astype(float)

        seen = draw(60)
        assert not confidence_sequence(seen).decided
        said = blocks_needed(seen)
        assert said is not None
        needed = []
        for _ in range(40):
            more = np.concatenate([seen, draw(3000)])
            x = (1.0 + more) / 2.0
            up, down = log_capital(x, bets(x, 0.05), np.array([0.5]))
            capital = np.logaddexp(up.cumsum(0), down.cumsum(0))[:, 0] - math.log(2.0)
            needed.append(int(np.argmax(capital >= math.log(20.0))) - 60)
        assert np.median(needed) / 4 < said < np.median(needed) * 4
