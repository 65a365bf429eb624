"""Finding texts by words and by vectors, against what is found by looking at everything."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.models.searching.dense import best, nearest
from milepost.models.searching.finding import Collection
from milepost.models.searching.lexical import BY_LENGTH, SATURATION, WordIndex, Words, terms

TEXTS = ("the red kettle boils water", "a blue kettle", "how to boil water", "chairs and tables",
         "the the the")  # fmt: skip


def by_definition(query, text, texts):
    """BM25 with the weights of Robertson & Zaragoza, one more under the logarithm."""
    found = [terms(each) for each in texts]
    mean = sum(map(len, found)) / len(found)
    words, total = Counter(terms(text)), 0.0
    for term in set(terms(query)):
        having = sum(term in each for each in found)
        rarity = math.log1p((len(texts) - having + 0.5) / (having + 0.5))
        damped = SATURATION * (1 - BY_LENGTH + BY_LENGTH * words.total() / mean)
        total += rarity * words[term] * (SATURATION + 1) / (words[term] + damped)
    return total


@pytest.mark.parametrize("query", ["boils kettle", "The water, water!", "table", "nothing shared"])
def test_a_pair_scores_what_its_collection_does(query):
    wanted = [by_definition(query, text, TEXTS) for text in TEXTS]
    assert WordIndex(TEXTS).scores(query).tolist() == pytest.approx(wanted, rel=1e-6)
    pairs = Words.of(TEXTS).pairs([(query, text) for text in TEXTS])
    assert pairs[:, 0].tolist() == pytest.approx(wanted, rel=1e-6)
    assert (pairs[:, 1] <= 1.0).all()
    assert (pairs[:, 1] >= 0.0).all()


def test_words_of_scripts_without_spaces_and_plurals():
    assert terms("Kettles, bus 水壶 x_1") == ["kettle", "bus", "水", "壶", "x", "1"]
    assert Words.of(()).pairs([("a", "b")]).tolist() == [[0.0, 0.0]]


@given(st.lists(st.lists(st.integers(-3, 3), min_size=4, max_size=4), min_size=1, max_size=6),
       st.integers(1, 6))  # fmt: skip
def test_the_best_are_those_of_a_whole_sort(rows, most):
    scores = np.array(rows, np.float32)
    wanted = np.argsort(-scores, axis=1, kind="stable")[:, :most]
    assert best(scores, most).tolist() == wanted.tolist()


def test_the_nearest_are_found_block_by_block(monkeypatch):
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(50, 8)).astype(np.float32)
    queries = rng.normal(size=(7, 8)).astype(np.float32)
    whole = nearest(queries, vectors, 5)
    monkeypatch.setattr("milepost.models.searching.dense._ELEMENTS", 100)
    assert nearest(queries, vectors, 5).tolist() == whole.tolist()
    assert whole[:, 0].tolist() == (queries @ vectors.T).argmax(axis=1).tolist()


def test_both_ways_of_searching_find_together():
    vectors = np.eye(5, dtype=np.float32)
    collection = Collection(TEXTS, vectors)
    found = collection.find("kettle", vectors[3], most=2)
    assert found == [1, 0, 3]  # by words, the shorter text first; then what is nearest
    assert set(Collection(TEXTS).find("kettle", None, most=2)) == {0, 1}
    assert len(Collection(TEXTS).find("nothing shared", None, most=2)) == 2
