"""The optimiser finds the optimum that scikit-learn finds."""

import numpy as np
import pytest
import scipy.sparse
from sklearn.linear_model import LogisticRegression

from milepost._base.clock import Deadline
from milepost.strategies.softmax_regression import Stop, fit_softmax


def sample(n=200, d=12, k=4):
    generator = np.random.default_rng(0)
    centres = generator.normal(size=(k, d))
    y = generator.integers(k, size=n)
    return (centres[y] + 2 * generator.normal(size=(n, d))).astype(np.float32), y


@pytest.mark.parametrize("c", [0.05, 1.0, 10.0])
@pytest.mark.parametrize("weighted", [False, True])
def test_it_is_the_optimum_of_scikit_learn(c, weighted):
    x, y = sample()
    weights = np.linspace(0.2, 3, len(y)).astype(np.float32) if weighted else None
    ours = fit_softmax(x, y, 4, c=c, weights=weights, stop=Stop(500, 1e-5))
    theirs = LogisticRegression(C=c, tol=1e-8, max_iter=2000).fit(
        x.astype(np.float64), y, sample_weight=weights
    )
    np.testing.assert_allclose(ours.coefficients, theirs.coef_.T, atol=5e-3)
    np.testing.assert_allclose(
        ours.bias - ours.bias.mean(), theirs.intercept_ - theirs.intercept_.mean(), atol=5e-3
    )


def test_sparse_features_and_chunks_change_nothing(monkeypatch):
    x, y = sample()
    x[np.abs(x) < 1.5] = 0
    dense = fit_softmax(x, y, 4, c=1.0, stop=Stop(300, 1e-5))
    monkeypatch.setattr("milepost.strategies.softmax_regression.CHUNK_ELEMENTS", 100)
    sparse = fit_softmax(scipy.sparse.csr_array(x), y, 4, c=1.0, stop=Stop(300, 1e-5))
    np.testing.assert_allclose(sparse.coefficients, dense.coefficients, atol=1e-3)


def test_steps_and_deadline_bound_the_work():
    x, y = sample()
    seen = []
    short = fit_softmax(x, y, 4, c=1.0, stop=Stop(iterations=3), progress=seen.append)
    assert short.iterations == 3
    assert seen == [0.0, 1 / 3, 2 / 3]
    late = fit_softmax(x, y, 4, c=1.0, stop=Stop(deadline=Deadline.after(-1)))
    assert late.iterations == 0
    assert not late.coefficients.any()
