"""Pairs of neighbouring tokens have rows of their own, and only neighbours of one text count."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.entities.errors import CorruptError
from milepost.predictors.base import Batch
from milepost.predictors.static import StaticPredictor, pair_keys, pooled, rows_of

WORDS = (
    '{"version": "1.0", "normalizer": {"type": "Lowercase"},'
    ' "pre_tokenizer": {"type": "Whitespace"}, "model": {"type": "WordLevel",'
    ' "vocab": {"[UNK]": 0, "not": 1, "good": 2, "bad": 3}, "unk_token": "[UNK]"}}'
)
TEXTS = st.lists(st.lists(st.integers(0, 3), max_size=6), max_size=6)
PAIRS = st.sets(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=8)


def named(pairs):
    return np.sort(np.array([(a << 32) + b for a, b in pairs], np.int64))


def one(**changes):
    """Opposite rows for "not good" and "not bad", which are the same words otherwise."""
    table = np.array([[1, 0], [1, 0], [1, 0], [1, 0], [0, 9], [0, -9]], np.float32)
    values = {
        "labels": ("positive", "negative"),
        "tokenizer": WORDS,
        "table": table,
        "weights": np.array([[0, -1], [0, 1]], np.float32),
        "bias": np.zeros(2, np.float32),
        "pairs": named([(1, 2), (1, 3)]),
    }
    return StaticPredictor(**{**values, **changes})


def test_the_order_of_words_decides():
    found = one().predict(Batch(("not good", "good not", "not bad"))).probabilities
    assert found.argmax(axis=1)[[0, 2]].tolist() == [1, 0]
    assert found[1, 0] == found[1, 1]


@given(TEXTS, PAIRS)
def test_a_text_is_the_sum_of_its_tokens_and_known_pairs(ids, pairs):
    keys, rng = named(pairs), np.random.default_rng(0)
    table = rng.normal(size=(4 + len(keys), 5)).astype(np.float32)
    found = pooled(table, ids, keys)
    for own, vector in zip(ids, found, strict=True):
        rows = list(own) + [
            4 + int(np.searchsorted(keys, (a << 32) + b))
            for a, b in itertools.pairwise(own)
            if (a, b) in pairs
        ]
        wanted = table[rows].sum(axis=0) if rows else np.zeros(5)
        wanted = wanted / max(float(np.linalg.norm(wanted)), 1e-12)
        assert np.allclose(vector, wanted, atol=1e-4)


@given(TEXTS, PAIRS)
def test_what_is_beside_a_text_changes_no_bit(ids, pairs):
    keys = named(pairs)
    table = np.random.default_rng(1).normal(size=(4 + len(keys), 5)).astype(np.float16)
    alone = [pooled(table, [own], keys)[0] for own in ids]
    assert all(map(np.array_equal, pooled(table, ids, keys), alone))
    assert np.all(np.diff(rows_of(ids, len(table), keys)[1]) >= 0)


def test_many_long_texts_are_cut_into_spans():
    rng = np.random.default_rng(2)
    ids = [rng.integers(0, 4, 512).tolist() for _ in range(80)]
    table, keys = rng.normal(size=(6, 3)).astype(np.float16), named([(1, 2), (2, 1)])
    together = pooled(table, ids, keys)
    assert all(
        np.array_equal(pooled(table, [own], keys)[0], v)
        for own, v in zip(ids, together, strict=True)
    )
    assert pair_keys(np.array([1, 2], np.int64)).tolist() == [(1 << 32) + 2]


def test_it_comes_back_from_its_parts():
    predictor = one()
    again = StaticPredictor.from_parts(
        predictor.labels, 1.0, predictor.arrays(), predictor.parameters()
    )
    batch = Batch(("not good", "bad not good", ""))
    assert np.array_equal(again.logits(batch), predictor.logits(batch))


@pytest.mark.parametrize(
    ("pairs", "said"),
    [
        (named([(1, 2), (1, 3)])[::-1].copy(), "ascending"),
        (np.repeat(named([(1, 2)]), 2), "ascending"),
        (named([(1, 2), (1, 3), (2, 1)]), "fewer rows"),
        (np.zeros(2, np.int32), "int32"),
    ],
)
def test_pairs_that_do_not_fit_are_refused(pairs, said):
    predictor = one()
    with pytest.raises(CorruptError, match=said):
        StaticPredictor.from_parts(
            predictor.labels, 1.0, {**predictor.arrays(), "pairs": pairs}, predictor.parameters()
        )
