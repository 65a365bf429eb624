"""Static embeddings: what a text becomes, and what is refused."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from milepost.entities.errors import CorruptError
from milepost.predictors.base import Batch
from milepost.predictors.static import StaticPredictor, distil_table, pooled, read_tokenizer
from milepost.testing.encoders import CHECK_TEXTS, HashedEncoder

WORDS = ("[UNK]", "my", "card", "was", "stolen", "refund", "please", "##s", "i", "want", "a")


def tokenizer(**changes):
    made = Tokenizer(
        models.WordPiece({word: i for i, word in enumerate(WORDS)}, unk_token=WORDS[0])
    )
    made.normalizer = normalizers.BertNormalizer()
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return json.dumps({**json.loads(made.to_str()), **changes})


def predictor(dtype=np.float16, **changes):
    generator = np.random.default_rng(3)
    values = {
        "labels": ("x", "y", "z"),
        "tokenizer": tokenizer(),
        "table": generator.normal(size=(len(WORDS), 8)).astype(dtype),
        "weights": generator.normal(size=(3, 8)).astype(np.float32),
        "bias": generator.normal(size=3).astype(np.float32),
    }
    return StaticPredictor(**{**values, **changes})


def rebuilt(made, *, arrays=None, parameters=None):
    return StaticPredictor.from_parts(
        made.labels,
        made.temperature,
        {**made.arrays(), **(arrays or {})},
        {**made.parameters(), **(parameters or {})},
    )


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_a_text_is_the_mean_of_its_tokens(dtype):
    made = predictor(dtype)
    rows = made.table[[1, 2, 7, 3]].astype(np.float64)
    expected = rows.sum(axis=0) / np.linalg.norm(rows.sum(axis=0))
    found = made.vectors(["My CARDs was"])[0]
    np.testing.assert_allclose(found, expected, atol=1e-3 if dtype == np.float16 else 1e-6)
    logits = made.logits(Batch(("My CARDs was",)))[0]
    np.testing.assert_allclose(logits, made.weights @ found + made.bias, atol=1e-6)


def test_a_text_without_tokens_gets_the_bias():
    made = predictor()
    np.testing.assert_array_equal(made.logits(Batch(("",)))[0].astype(np.float32), made.bias)
    assert made.logits(Batch(())).shape == (0, 3)


@settings(max_examples=60)
@given(st.lists(st.sampled_from([*CHECK_TEXTS, *WORDS, "my cards", "\ud800 card"]), min_size=1))
def test_a_row_depends_on_its_own_text_alone(texts):
    made = predictor()
    together = made.predict(Batch(tuple(texts))).probabilities
    alone = [made.predict(Batch((text,))).probabilities[0] for text in texts]
    np.testing.assert_allclose(together, alone, atol=1e-6)


def test_only_the_first_tokens_are_read():
    made = predictor(max_tokens=2)
    np.testing.assert_array_equal(made.vectors(["my card was stolen"]), made.vectors(["my card"]))


def test_tables_and_tokenizers_of_equal_bundles_are_shared():
    first, second = rebuilt(predictor()), rebuilt(predictor())
    assert first.table is second.table
    assert read_tokenizer(first.tokenizer) is read_tokenizer(second.tokenizer)
    np.testing.assert_array_equal(first.table, predictor().table)


def test_a_distilled_table_keeps_like_texts_alike():
    encoder = HashedEncoder(dimensions=32)
    table = distil_table(encoder.encode, tokenizer(), 6)
    assert table.shape == (len(WORDS), 6)
    assert table.dtype == np.float16
    ids = [
        read_tokenizer(tokenizer()).encode(text).ids
        for text in ("my card", "my card was", "refund")
    ]
    near, far = (float(v) for v in (pooled(table, ids) @ pooled(table, ids).T)[0, 1:])
    assert near > far


@pytest.mark.parametrize(
    ("arrays", "parameters", "says"),
    [
        ({"table": np.zeros((4, 8), np.float16)}, {}, "fewer rows"),
        ({"table": np.zeros((11, 7), np.float16)}, {}, "weights"),
        ({"table": np.zeros((11, 8), np.float64)}, {}, "float64"),
        ({"table": np.zeros(11, np.float16)}, {}, "table"),
        ({"table": np.full((11, 8), np.inf, np.float16)}, {}, "finite"),
        ({"bias": np.zeros(4, np.float32)}, {}, "bias"),
        ({"more": np.zeros(4, np.float32)}, {}, "more"),
        ({}, {"max_tokens": 0}, "max_tokens"),
        ({}, {"max_tokens": "2"}, "int"),
        ({}, {"tokenizer": "{}"}, "model"),
        ({}, {"tokenizer": "no json"}, "read"),
        ({}, {"tokenizer": '"\ud800"'}, "Unicode"),
        ({}, {"tokenizer": tokenizer(model={"type": "Own"})}, "model"),
        ({}, {"tokenizer": tokenizer(model={"type": "WordPiece"})}, "read"),
        ({}, {"tokenizer": tokenizer(normalizer={"type": "Replace"})}, "not allowed"),
        ({}, {"tokenizer": tokenizer(pre_tokenizer={"type": "Split"})}, "not allowed"),
        (
            {},
            {
                "tokenizer": tokenizer(
                    normalizer={"type": "Sequence", "normalizers": [{"type": "Replace"}]}
                )
            },
            "not allowed",
        ),
        ({}, {"tokenizer": tokenizer(normalizer=[1])}, "not one"),
        ({}, {"extra": 1}, "extra"),
    ],
)
def test_hostile_parts_are_refused(arrays, parameters, says):
    with pytest.raises(CorruptError) as refused:
        rebuilt(predictor(), arrays=arrays, parameters=parameters)
    assert says in str(refused.value)
