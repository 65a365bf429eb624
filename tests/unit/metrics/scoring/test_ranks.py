"""Measures of an order of candidates, against what they are by definition."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milepost.metrics.scoring.measures import Sample
from milepost.metrics.scoring.ranks import mrr, ndcg, recall


def sample(queries, units=None):
    """Rows of queries, each a list of (relevance, score)."""
    rows = [(grade, float(at), score) for at, each in enumerate(queries) for grade, score in each]
    y = np.array([row[:2] for row in rows], np.float64).reshape(-1, 2)
    scores = np.array([[row[2]] for row in rows], np.float32).reshape(-1, 1)
    return Sample(y, scores, units)


def plain(order, depth):
    """nDCG, recall and reciprocal rank of grades in an order without ties."""
    gains = [2.0**grade - 1.0 for grade in order]
    worth = [gain / np.log2(at + 2) for at, gain in enumerate(gains[:depth])]
    best = [g / np.log2(at + 2) for at, g in enumerate(sorted(gains, reverse=True)[:depth])]
    hits = [at for at, grade in enumerate(order) if grade > 0]
    return (
        sum(worth) / sum(best),
        sum(at < depth for at in hits) / len(hits),
        1.0 / (hits[0] + 1),
    )


def test_a_known_order():
    # 3, 2, 3, 0, 1, 2 is the example of Järvelin & Kekäläinen with gains as they are used here.
    found = sample([[(g, -at) for at, g in enumerate((3, 2, 3, 0, 1, 2))]])
    assert ndcg(6).value(found) == pytest.approx(0.948811, abs=1e-5)
    assert mrr().value(sample([[(0, 3.0), (1, 2.0), (1, 1.0)]])) == 0.5
    assert recall(2).value(sample([[(0, 3.0), (1, 2.0), (1, 1.0)]])) == 0.5


@settings(max_examples=40)
@given(
    grades=st.lists(st.integers(0, 3), min_size=1, max_size=5).filter(any),
    ties=st.lists(st.integers(0, 2), min_size=5, max_size=5),
    depth=st.integers(1, 4),
)
def test_ties_count_as_all_their_orders_do_on_average(grades, ties, depth):
    rows = list(zip(grades, map(float, ties), strict=False))
    wanted = []
    for order in itertools.permutations(rows):
        if [score for _, score in order] == sorted((s for _, s in rows), reverse=True):
            wanted.append(plain([grade for grade, _ in order], depth))
    found = [each.value(sample([rows])) for each in (ndcg(depth), recall(depth), mrr())]
    assert found == pytest.approx(np.mean(wanted, axis=0).tolist(), abs=1e-9)


def test_queries_are_the_units_and_those_without_a_right_answer_say_nothing():
    queries = [[(1, 0.9), (0, 0.1)], [(1, 0.1), (0, 0.9)], [(0, 0.5), (0, 0.4)]]
    found = mrr().found(sample(queries))
    assert (found.value, found.n) == (0.75, 2)
    low, high = found.bounds(0.025)
    assert low < 0.75 <= high <= 1.0
    assert mrr().value(sample([[(0, 1.0)]])) == 0.0


def test_queries_of_one_customer_are_one_unit():
    queries = [[(1, 0.9), (0, 0.1)], [(1, 0.1), (0, 0.9)]] * 20
    alone = mrr().found(sample(queries))
    units = np.repeat(np.arange(len(queries)) // 10, 2)
    together = mrr().found(sample(queries, units))
    assert together.value == alone.value
    assert np.ptp(together.bounds(0.025)) > np.ptp(alone.bounds(0.025))


def test_a_paired_test_sees_a_better_order():
    rng = np.random.default_rng(0)
    good = [[(1, 1.0), (0, rng.random()), (0, rng.random())] for _ in range(60)]
    bad = [[(grade, rng.random()) for grade, _ in each] for each in good]
    draws = ndcg(10).apart(sample(good), sample(bad))
    assert draws.p_above(0.0) < 0.001
    assert draws.p_above(draws.mean) > 0.1
