"""Ordinal regression, held against logistic regression and against what its minimum must be."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from milepost.entities.errors import InputError
from milepost.entities.kinds import KINDS
from milepost.entities.task import Task, make_objective
from milepost.metrics.scoring.score_measures import qwk_parts
from milepost.predictors.base import Batch
from milepost.strategies.head_ordinal import HeadOrdinal, _fitted, _folds
from milepost.strategies.registry import strategy_named
from milepost.strategy import Problem
from milepost.workflows.contest.options import Options, competing, entering

D = 6


class Rows:
    """Gives the vector whose number the text is."""

    name, digest, variant, dimensions = "rows", "0" * 64, "fp32", D

    def __init__(self, vectors):
        self.vectors = vectors

    def encode(self, texts, progress=None):
        return self.vectors[[int(text) for text in texts]]


def drawn(n=400, seed=0, cuts=(-2.0, -1.5, 0.5, 2.0), levels=(1.0, 2.0, 3.0, 4.0, 5.0)):
    """Scores of proportional odds with known direction and cuts."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, D)).astype(np.float32)
    at = x @ np.array([2.0, -1.0, 0.0, 0.5, 0.0, 0.0]) + rng.logistic(size=n)
    return x, np.array(levels)[(at[:, None] > np.array(cuts)).sum(axis=1)]


def problem(x, y, metric=""):
    return Problem(
        labels=("value",),
        descriptions=("",),
        instruction="",
        texts=tuple(str(i) for i in range(len(y))),
        y=y,
        encoder=Rows(x),
        kind="score",
        metric=metric,
    )


def said(predictor, x):
    return predictor.predict(Batch(("",) * len(x), x)).probabilities[:, 0]


def test_of_two_levels_it_is_logistic_regression():
    x, y = drawn()
    above = y > 2.0
    found = _fitted(x, above.astype(np.float64), 3.0, 500)
    expected = LogisticRegression(C=3.0, tol=1e-8, max_iter=1000).fit(x.astype(np.float64), above)
    assert found.direction == pytest.approx(expected.coef_[0], abs=2e-3)
    assert -found.cuts[0] == pytest.approx(expected.intercept_[0], abs=2e-3)


def test_direction_and_cuts_are_found_again():
    x, y = drawn(20_000)
    fitted = HeadOrdinal().fit(problem(x, y))
    assert fitted.weights == pytest.approx([2.0, -1.0, 0.0, 0.5, 0.0, 0.0], abs=0.1)
    assert fitted.cuts == pytest.approx([-2.0, -1.5, 0.5, 2.0], abs=0.1)
    assert fitted.levels.tolist() == [1.0, 2.0, 3.0, 4.0, 5.0]


@given(st.integers(0, 10_000), st.integers(10, 60), st.floats(0.05, 50.0))
@settings(max_examples=25)
def test_as_many_are_thought_above_each_level_as_are_and_cuts_ascend(seed, n, c):
    x, y = drawn(n, seed)
    found = _fitted(x, y, c, 500)
    margins = x.astype(np.float64) @ found.direction[:, None] - found.cuts
    thought = (1.0 / (1.0 + np.exp(-margins))).mean(axis=0)
    held = (y[:, None] > found.levels[:-1]).mean(axis=0)
    assert thought == pytest.approx(held, abs=0.01)
    assert (np.diff(found.cuts) >= 0).all()


@given(st.integers(0, 10_000), st.sampled_from([(0.0, 1.0, 10.0), (-2.5, 0.1, 0.2)]))
@settings(max_examples=20)
def test_medians_are_levels_and_means_lie_on_the_scale(seed, levels):
    x, y = drawn(80, seed, cuts=(-1.0, 1.0), levels=levels)
    medians = HeadOrdinal("median").fit(problem(x, y))
    means = HeadOrdinal("mean").fit(problem(x, y))
    far = np.concatenate([x, 100.0 * x])
    assert {*said(medians, far).tolist()} <= {*np.float32(levels).tolist()}
    assert (said(means, far) >= np.float32(levels[0])).all()
    assert (said(means, far) <= np.float32(levels[-1])).all()
    # Both rise along the one direction.
    order = np.argsort(far @ medians.weights)
    assert (np.diff(said(medians, far)[order]) >= 0).all()
    assert (np.diff(said(means, far)[order]) >= -1e-6).all()


@pytest.mark.parametrize(
    ("metric", "answer"),
    [("mae", "median"), ("rmse", "mean"), ("spearman", "mean"), ("pearson", "mean"), ("", "mean")],
)
def test_what_is_answered_follows_the_measure(metric, answer):
    x, y = drawn(100)
    assert HeadOrdinal().fit(problem(x, y, metric)).answer == answer
    other = "mean" if answer == "median" else "median"
    assert HeadOrdinal(answer=other).fit(problem(x, y, metric)).answer == other


@pytest.mark.parametrize(
    ("cuts", "noise", "better"),
    [
        # Most scores are the middle one: the median hardly ever is another.
        ((-6.0, -4.0, 4.0, 6.0), 0.0, "mean"),
        # All scores are likely for every input: means lie too close together.
        ((-2.0, -1.5, 0.5, 2.0), 1.0, "median"),
    ],
)
def test_what_agrees_better_on_held_out_folds_is_answered(cuts, noise, better):
    x, y = drawn(4000, seed=4, cuts=cuts)
    x = x + noise * np.random.default_rng(5).normal(size=x.shape).astype(np.float32)
    fitted = HeadOrdinal().fit(problem(x[:600], y[:600], "qwk"))
    assert fitted.answer == better
    agreed = {
        answer: qwk_parts(y[600:], said(replace(fitted, answer=answer), x[600:]))[0]
        for answer in ("median", "mean")
    }
    assert max(agreed, key=lambda each: agreed[each]) == better


def test_medians_have_the_lower_absolute_error_and_means_the_lower_squared_one():
    x, y = drawn(3000)
    learned, test, truth = problem(x[:1000], y[:1000]), x[1000:], y[1000:]
    apart = {
        answer: np.abs(said(HeadOrdinal(answer).fit(learned), test) - truth)
        for answer in ("median", "mean")
    }
    assert apart["median"].mean() < apart["mean"].mean()
    assert (apart["mean"] ** 2).mean() < (apart["median"] ** 2).mean()


def test_noise_asks_for_a_strong_penalty():
    x, y = drawn(200)
    noise = np.random.default_rng(1).permutation(y)
    fitted = [HeadOrdinal().fit(problem(x, each)) for each in (y, noise)]
    assert np.linalg.norm(fitted[1].weights) < 0.2 * np.linalg.norm(fitted[0].weights)


def test_equal_texts_lie_in_one_fold_and_each_fold_has_all_levels():
    y = np.repeat([1.0, 2.0, 3.0], 40)
    texts = tuple(f"{score} {at // 2}" for at, score in enumerate(y))
    some, fold = _folds(texts, y, 200, seed=3)
    assert some.tolist() == list(range(120))
    assert (fold[::2] == fold[1::2]).all()
    assert all({*y[fold == each]} == {1.0, 2.0, 3.0} for each in range(5))
    assert len(_folds(texts, y, 30, seed=3)[0]) == 30


def test_the_same_text_with_three_scores_still_gives_an_answer():
    x, y = drawn(30)
    same = replace(problem(x, y), texts=("0",) * 30)
    assert np.isfinite(said(HeadOrdinal().fit(same), x)).all()


@pytest.mark.parametrize(("levels", "fits"), [(1, False), (2, False), (3, True), (20, True),
                                              (21, False)])  # fmt: skip
def test_it_needs_a_scale(levels, fits):
    y = np.arange(60.0) % levels
    reason = HeadOrdinal().supports(problem(np.zeros((60, D), np.float32), y))
    assert (reason is None) == fits
    assert fits or "3 to 20 levels" in reason


def test_a_contest_of_scores_runs_it_unasked_and_no_other_one():
    everyone = competing(None)
    for kind in ("classify", "multilabel", "score"):
        task = Task(name="t", kind=kind, objective=make_objective(KINDS[kind].metric))
        ran = entering(task, everyone, options=Options())
        assert ("head_ordinal" in [each.name for each in ran]) == (kind == "score")


@pytest.mark.parametrize("wrong", [{"c": [0.0]}, {"c": []}, {"rows": 0}, {"answer": "mode"}])
def test_parameters_out_of_range_are_refused(wrong):
    with pytest.raises(InputError):
        strategy_named("head_ordinal", wrong)
