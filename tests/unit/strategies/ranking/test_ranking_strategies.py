"""Strategies that order candidates: what each can see."""

import dataclasses

import numpy as np
import pytest

from milepost.evaluation.measuring import rank_measure
from milepost.metrics.scoring.measures import Sample
from milepost.models.pairs import PairEncoder
from milepost.predictors.reading import batch_for
from milepost.strategies.ranking.fitting import Lists, line
from milepost.strategies.ranking.head_rank import HeadRank
from milepost.strategies.registry import strategy_named
from milepost.testing.encoders import HashedEncoder
from milepost.testing.strategies import example_problem


@pytest.fixture(scope="module")
def problem():
    return example_problem(PairEncoder(HashedEncoder()), kind="rank")


def worth(predictor, problem):
    found = predictor.predict(batch_for(predictor, problem.texts, problem.encoder))
    return rank_measure("ndcg@10").value(Sample(problem.y, found.probabilities))


def test_the_head_sees_what_words_and_vectors_see(problem):
    floor, words, near, head = (
        worth(strategy_named(name).fit(problem), problem)
        for name in ("majority", "bm25", "cosine", "head_rank")
    )
    assert floor < min(words, near)
    assert head > max(words, near)


def test_scores_are_odds_of_relevance(problem):
    for name in ("bm25", "cosine", "head_rank"):
        predictor = strategy_named(name).fit(problem)
        found = predictor.predict(batch_for(predictor, problem.texts, problem.encoder))
        assert found.column == "score"
        share = float((problem.y[:, 0] > 0).mean())
        assert float(found.probabilities.mean()) == pytest.approx(share, abs=0.05), name


def test_a_line_is_that_of_logistic_regression():
    rng = np.random.default_rng(0)
    scores = rng.normal(3.0, 2.0, 4000)
    relevant = rng.random(4000) < 1.0 / (1.0 + np.exp(-(1.5 * scores - 4.0)))
    slope, height = line(scores, relevant)
    assert (slope, height) == (pytest.approx(1.5, abs=0.15), pytest.approx(-4.0, abs=0.4))
    assert line(np.arange(4.0), np.array([True, True, False, False]))[0] > 0
    assert np.isfinite(line(np.zeros(4), np.zeros(4, np.bool_))).all()


def test_the_slope_of_the_lists_is_right():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(12, 3))
    y = np.stack([np.tile([2.0, 0.0, 1.0, 0.0], 3), np.repeat(np.arange(3.0), 4)], axis=1)
    lists, weights = Lists.of(x, y), rng.normal(size=3)
    _, slope = lists.loss(weights)
    steps = np.eye(3) * 1e-6
    found = [(lists.loss(weights + s)[0] - lists.loss(weights - s)[0]) / 2e-6 for s in steps]
    assert slope == pytest.approx(found, abs=1e-6)
    part = lists.take(np.array([True, False, True]))
    assert (len(part.starts), len(part.x)) == (2, 8)


def test_too_little_is_said_and_many_rows_are_drawn(problem):
    only = problem.take(np.flatnonzero(problem.y[:, 0] > 0))
    assert strategy_named("head_rank").supports(only).endswith(".")
    few = dataclasses.replace(HeadRank(), rows=12)
    assert worth(few.fit(problem), problem) > worth(
        strategy_named("majority").fit(problem), problem
    )
    with pytest.raises(ValueError, match="above 0"):
        HeadRank(penalties=(0.0,))
