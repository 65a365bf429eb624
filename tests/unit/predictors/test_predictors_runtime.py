"""The runtimes answer as their formulas say."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer

from milepost.predictors.base import Batch
from milepost.predictors.constant import ConstantPredictor
from milepost.predictors.linear import LinearPredictor
from milepost.predictors.neighbours import NeighboursPredictor
from milepost.predictors.tfidf import TfidfPredictor, terms_of, weigh

TEXTS = [
    "The card, my CARD is lost!",
    "a b c",
    "",
    "snake_case and über-straße 42 x",
    "İstanbul ß ſ 你好 世界 你好",
    "tab\tnew\nline it's o'clock",
    "card card card lost lost is",
]


def dense(rows, columns):
    matrix = np.zeros((len(rows.starts) - 1, columns))
    for i in range(len(matrix)):
        entries = slice(rows.starts[i], rows.starts[i + 1])
        matrix[i, rows.columns[entries]] = rows.values[entries]
    return matrix


def fitted(texts, *, sublinear):
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=sublinear).fit(texts)
    vocabulary = tuple(vectorizer.get_feature_names_out())
    index = {term: column for column, term in enumerate(vocabulary)}
    return vectorizer, vocabulary, index


@pytest.mark.parametrize("sublinear", [False, True])
def test_tfidf_rows_are_those_of_scikit_learn(sublinear):
    vectorizer, vocabulary, index = fitted(TEXTS, sublinear=sublinear)
    queries = [*TEXTS, "lost card unknown words", "is is is my my"]
    ours = dense(weigh(queries, index, vectorizer.idf_, sublinear=sublinear), len(vocabulary))
    np.testing.assert_allclose(ours, vectorizer.transform(queries).toarray(), rtol=0, atol=1e-15)


@settings(max_examples=200)
@given(st.text(max_size=60))
def test_terms_are_those_of_scikit_learn_for_any_text(text):
    assert terms_of(text) == TfidfVectorizer(ngram_range=(1, 2)).build_analyzer()(text)


@settings(max_examples=50)
@given(st.lists(st.text("ab cde_é1", max_size=30), min_size=1, max_size=8), st.booleans())
def test_tfidf_rows_are_those_of_scikit_learn_for_any_corpus(texts, sublinear):
    vectorizer, vocabulary, index = fitted([*texts, "always one word"], sublinear=sublinear)
    ours = dense(weigh(texts, index, vectorizer.idf_, sublinear=sublinear), len(vocabulary))
    np.testing.assert_allclose(ours, vectorizer.transform(texts).toarray(), rtol=0, atol=1e-14)


def test_tfidf_logits_are_the_linear_model_of_the_rows():
    vectorizer, vocabulary, _ = fitted(TEXTS, sublinear=True)
    generator = np.random.default_rng(0)
    weights = generator.normal(size=(len(vocabulary), 3)).astype(np.float32)
    predictor = TfidfPredictor(
        labels=("a", "b", "c"),
        vocabulary=vocabulary,
        idf=vectorizer.idf_,
        weights=weights,
        bias=np.array([0.5, 0, -0.5], np.float32),
    )
    expected = vectorizer.transform(TEXTS).toarray() @ weights + [0.5, 0, -0.5]
    np.testing.assert_allclose(predictor.logits(Batch(tuple(TEXTS))), expected, atol=1e-5)
    many = tuple(TEXTS) * 700
    np.testing.assert_array_equal(
        predictor.logits(Batch(many)), np.tile(predictor.logits(Batch(tuple(TEXTS))), (700, 1))
    )


def test_constant_answers_the_prior():
    predictor = ConstantPredictor(labels=("a", "b"), log_prior=np.log([0.25, 0.75]))
    answer = predictor.predict(Batch(("x", "y")))
    np.testing.assert_allclose(answer.probabilities, [[0.25, 0.75]] * 2, rtol=1e-6)
    assert answer.answers == ("b", "b")
    assert len(predictor.predict(Batch(()))) == 0


def test_linear_is_one_matrix_product_and_temperature_flattens():
    predictor = LinearPredictor(
        labels=("a", "b"),
        weights=np.array([[2, 0], [0, 2]], np.float32),
        bias=np.array([0, 1], np.float32),
    )
    batch = Batch(("x",), np.array([[1, 0]], np.float32))
    assert predictor.logits(batch).tolist() == [[2.0, 1.0]]
    hot = predictor.calibrated(10).predict(batch).confidence
    assert hot < predictor.predict(batch).confidence


@pytest.mark.parametrize("temperature", [0, -1, float("nan"), float("inf")])
def test_temperature_out_of_range_is_refused(temperature):
    predictor = ConstantPredictor(labels=("a",), log_prior=np.zeros(1))
    with pytest.raises(ValueError, match="above 0"):
        predictor.calibrated(temperature)


def neighbours(vectors, y, **changes):
    values = {"neighbours": 2, "bandwidth": 0.1, "smoothing": 0.01, **changes}
    return NeighboursPredictor(
        labels=("a", "b", "c"), vectors=np.array(vectors, np.float32), y=np.array(y), **values
    )


def test_neighbours_weigh_votes_by_similarity():
    predictor = neighbours([[1, 0], [0.8, 0.6], [0, 1]], [0, 1, 1])
    answer = predictor.predict(Batch(("x",), np.array([[1, 0]], np.float32)))
    votes = np.exp([0, -0.2 / 0.1])
    expected = 0.99 * votes / votes.sum() + 0.01 / 3
    np.testing.assert_allclose(answer.probabilities[0], [*expected, 0.01 / 3], atol=1e-5)


def test_neighbours_that_tie_all_vote():
    predictor = neighbours([[1, 0], [1, 0], [1, 0]], [0, 1, 2], neighbours=1)
    answer = predictor.predict(Batch(("x",), np.array([[1, 0]], np.float32)))
    np.testing.assert_allclose(answer.probabilities[0], 1 / 3, atol=1e-6)


def test_neighbours_in_chunks_answer_as_at_once(monkeypatch):
    generator = np.random.default_rng(0)
    predictor = neighbours(generator.normal(size=(30, 4)), np.sort(np.arange(30) % 3))
    batch = Batch(("x",) * 50, generator.normal(size=(50, 4)).astype(np.float32))
    whole = predictor.logits(batch)
    monkeypatch.setattr("milepost.predictors.neighbours.CHUNK_ELEMENTS", 100)
    np.testing.assert_allclose(predictor.logits(batch), whole, atol=1e-4)
