"""The closed form of ridge regression, held against scikit-learn and against leaving rows out."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from milepost.entities.errors import InputError
from milepost.strategies.head_ridge import HeadRidge, _fitted
from milepost.strategies.registry import strategy_named
from milepost.strategy import Problem

rng = np.random.default_rng(0)
VECTORS = rng.normal(size=(60, 12)).astype(np.float32)
TRUE = rng.normal(size=12)


class Rows:
    """Gives the vector whose number the text is."""

    name, digest, variant, dimensions = "rows", "0" * 64, "fp32", 12

    def encode(self, texts, progress=None):
        return VECTORS[[int(text) for text in texts]]


def problem(y, kind="score", labels=("value",)):
    return Problem(
        labels=labels,
        descriptions=("",) * len(labels),
        instruction="",
        texts=tuple(str(i) for i in range(len(y))),
        y=y,
        encoder=Rows(),
        kind=kind,
    )


def test_coefficients_are_those_of_scikit_learn():
    y = VECTORS @ TRUE + 0.1 * rng.normal(size=60)
    penalty = 0.01
    fitted = HeadRidge(penalties=(penalty,)).fit(problem(y))
    centred = VECTORS - VECTORS.mean(axis=0)
    scale = np.linalg.svd(centred, compute_uv=False)[0] ** 2
    expected = Ridge(alpha=penalty * scale).fit(VECTORS.astype(np.float64), y)
    assert fitted.weights[0] == pytest.approx(expected.coef_, abs=1e-4)
    assert fitted.bias[0] == pytest.approx(expected.intercept_, abs=1e-4)


def test_leaving_out_is_exact():
    x = VECTORS.astype(np.float64)
    y = (x @ TRUE)[:, None]
    left, sizes, right = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
    level = y.mean(axis=0)
    _, left_out = _fitted(left, sizes, left.T @ (y - level), 3.0)
    found = left_out(y - level)[:, 0] + level
    for row in (0, 17, 59):
        kept = np.arange(60) != row
        refit = Ridge(alpha=3.0).fit(x[kept], y[kept, 0])
        assert found[row] == pytest.approx(refit.predict(x[row : row + 1])[0], abs=1e-8)
    assert right.shape == (12, 12)


def test_more_noise_asks_for_a_larger_penalty():
    clean = VECTORS @ TRUE
    noisy = clean + 20.0 * rng.normal(size=60)
    weights = [HeadRidge().fit(problem(y)).weights for y in (clean, noisy)]
    assert np.linalg.norm(weights[1]) < np.linalg.norm(
        HeadRidge(penalties=(1e-5,)).fit(problem(noisy)).weights
    )
    assert weights[0][0] == pytest.approx(TRUE, abs=0.05)


def test_labels_are_told_apart_each_by_itself():
    y = np.zeros((60, 4), np.int8)
    y[:, 0], y[:, 1] = VECTORS[:, 0] > 0, VECTORS[:, 1] > 0.5
    fitted = HeadRidge().fit(problem(y, "multilabel", ("a", "b", "never")))
    from milepost.predictors.base import Batch

    found = fitted.predict(Batch(tuple("x" * 60), VECTORS)).probabilities
    assert ((found[:, 0] > 0.5) == y[:, 0]).mean() > 0.9
    assert (found[:, 2] < 0.5).all()


def test_penalties_must_be_positive():
    with pytest.raises(InputError, match="penalties"):
        strategy_named("head_ridge", {"penalties": [0.0]})
