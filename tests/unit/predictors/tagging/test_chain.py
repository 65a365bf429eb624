"""The chain of tags, held against every way through it."""

import itertools

import numpy as np
import pytest

from milepost.predictors.tagging.chain import NEVER, Chain, allowed, apart

K, WORDS = 2, 4


def every_way(emissions, follows):
    """Tags of each way through the words, and its probability."""
    tags = emissions.shape[1]
    ways = [
        way
        for way in itertools.product(range(tags), repeat=len(emissions))
        if follows[0, way[0]] > NEVER / 2
    ]
    scores = np.array(
        [
            sum(emissions[at, tag] for at, tag in enumerate(way))
            + sum(follows[a, b] for a, b in itertools.pairwise(way))
            for way in ways
        ]
    )
    weights = np.exp(scores - scores.max())
    return ways, weights / weights.sum()


def spans_of(way):
    found, at = set(), 0
    while at < len(way):
        if way[at] and way[at] % 2:
            end = at + 1
            while end < len(way) and way[end] == way[at] + 1:
                end += 1
            found.add((at, end, way[at] // 2))
            at = end
        else:
            at += 1
    return found


@pytest.mark.parametrize("seed", range(3))
def test_marginals_and_spans_are_those_of_all_ways(seed):
    rng = np.random.default_rng(seed)
    emissions = rng.normal(size=(WORDS, 2 * K + 1)) * 1.5
    follows = np.where(allowed(K), rng.normal(size=(2 * K + 1, 2 * K + 1)), NEVER)
    ways, weights = every_way(emissions, follows)
    chain = Chain(emissions, follows)
    for word in range(WORDS):
        for tag in range(2 * K + 1):
            expected = sum(w for way, w in zip(ways, weights, strict=True) if way[word] == tag)
            assert chain.marginals[word, tag] == pytest.approx(expected, abs=1e-9)
    expected = {}
    for way, weight in zip(ways, weights, strict=True):
        for span in spans_of(way):
            expected[span] = expected.get(span, 0.0) + weight
    found = {span[:3]: span[3] for span in chain.spans(0.02)}
    assert found == pytest.approx({s: p for s, p in expected.items() if p >= 0.02}, abs=1e-9)


def test_a_long_text_neither_overflows_nor_vanishes():
    emissions = np.tile([5.0, 3.0, 4.0], (3000, 1))
    chain = Chain(emissions, np.where(allowed(1), 0.0, NEVER))
    assert chain.marginals.sum(axis=1) == pytest.approx(np.ones(3000))


def test_of_spans_that_overlap_the_likeliest_stays():
    found = apart(iter([(0, 2, 0, 0.4), (1, 3, 0, 0.5), (3, 4, 1, 0.3)]))
    assert found == [(1, 3, 0, 0.5), (3, 4, 1, 0.3)]
