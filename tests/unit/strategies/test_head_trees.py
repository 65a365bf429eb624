"""Boosted trees on likenesses: what a sum cannot say, and bundles that lead nowhere."""

import dataclasses

import numpy as np
import pytest

from milepost.entities.errors import CorruptError
from milepost.models.pairs import PairEncoder, cosine_at
from milepost.predictors.base import Batch
from milepost.predictors.trees import Trees, TreesPredictor
from milepost.strategies.head_trees import HeadTrees
from milepost.strategies.registry import strategy_named
from milepost.testing.encoders import HashedEncoder
from milepost.testing.strategies import example_problem


class Given:
    """An encoder whose vectors are drawn; labels hang on two of the last columns."""

    name, digest, variant, dimensions = "given", "0" * 64, "fp32", 60

    def encode(self, texts, progress=None):
        del progress
        return np.stack([np.random.default_rng(int(each)).random(60) for each in texts]).astype(
            np.float32
        )


@pytest.fixture(scope="module")
def crossed():
    encoder = Given()
    texts = tuple(map(str, range(900)))
    vectors, at = encoder.encode(texts), cosine_at(60)
    y = (np.abs(vectors[:, at : at + 2] - 0.5) < 0.3).all(axis=1).astype(np.int64)
    base = example_problem(HashedEncoder(), kind="match")
    return dataclasses.replace(base, labels=("no", "yes"), descriptions=("", ""), texts=texts, y=y,
                               encoder=encoder)  # fmt: skip


def test_it_learns_what_no_sum_of_likenesses_says(crossed):
    fitted, judged = crossed.take(np.arange(600)), crossed.take(np.arange(600, 900))
    batch = Batch(judged.texts, judged.encoder.encode(judged.texts))

    def right(strategy):
        answers = strategy.fit(fitted).predict(batch)
        return float((answers.label_ids == judged.y).mean())

    assert right(HeadTrees(trees=60)) > 0.9
    assert right(strategy_named("head_logistic")) < 0.75


def test_it_wants_pairs_and_examples_to_leave_out():
    problem = example_problem(PairEncoder(HashedEncoder()), kind="match")
    assert HeadTrees().supports(problem) is None
    assert "at least 3" in (HeadTrees().supports(problem.take(np.array([0, 1, 9]))) or "")
    narrow = dataclasses.replace(problem, encoder=HashedEncoder(16))
    assert "none of pairs" in (HeadTrees().supports(narrow) or "")
    for wrong in ({"trees": 0}, {"rate": 0.0}, {"share": 1.5}, {"c": 0.0}):
        with pytest.raises(ValueError, match="must"):
            HeadTrees(**wrong)


def test_trees_that_lead_out_of_themselves_are_refused():
    problem = example_problem(HashedEncoder(), kind="match")
    predictor = HeadTrees(trees=2).fit(problem)
    arrays, parameters = dict(predictor.arrays()), predictor.parameters()

    def read(**changed):
        return TreesPredictor.from_parts(predictor.labels, 1.0, {**arrays, **changed}, parameters)

    assert isinstance(read().trees, Trees)
    m = len(predictor.trees.feature)
    for name, value in (("left", m), ("feature", 10_000), ("roots", -1), ("column", 4)):
        wrong = np.array(arrays[name])
        wrong[0] = value
        with pytest.raises(CorruptError, match="nowhere"):
            read(**{name: wrong})
    with pytest.raises(CorruptError, match="nowhere"):
        read(threshold=np.zeros(m + 1))
