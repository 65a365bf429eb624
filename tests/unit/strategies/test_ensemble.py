import numpy as np
import pytest

from milepost.metrics.scoring.classification import log_loss_rows
from milepost.predictors.base import Batch
from milepost.predictors.constant import ConstantPredictor
from milepost.strategies.ensemble import Ensemble
from milepost.strategy import Combining, Contender, DeclinedError, Problem, Training
from milepost.testing.encoders import HashedEncoder

LABELS = ("a", "b", "c")
N = 600


def problem(**changes):
    y = np.random.default_rng(0).integers(0, 3, N)
    texts = tuple(f"text {i}" for i in range(N))
    known = {"labels": LABELS, "descriptions": ("",) * 3, "instruction": "", "texts": texts}
    return Problem(**{**known, "y": y, "encoder": HashedEncoder(), **changes})


def folds():
    return np.arange(N) % 5


def contender(name, here, seed, sure=1.2, p50_ms=2.0):
    """Someone who is right about some inputs, by chance of their own, and unsure of the others."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(N, 3))
    logits[np.arange(N), here.y] += sure
    out = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return Contender(
        strategy=name,
        predictor=ConstantPredictor(labels=LABELS, log_prior=np.log(np.full(3, 1 / 3))),
        out_of_fold=out.astype(np.float32),
        micro_usd_per_1k=10.0,
        p50_ms=p50_ms,
    )


def losses(here, answers):
    return log_loss_rows(here.y, answers)


def test_it_offers_what_it_is():
    assert isinstance(Ensemble(), Combining)
    assert isinstance(Ensemble(), Training)
    assert Ensemble().seconds(problem()) == 0.0
    with pytest.raises(DeclinedError):
        Ensemble().fit(problem())


def test_two_that_err_apart_answer_better_together():
    here = problem()
    others = [contender("one", here, 1), contender("two", here, 2)]
    predictor, answers = Ensemble().combine(here, folds(), others)
    best = min(losses(here, each.out_of_fold).mean() for each in others)
    assert losses(here, answers).mean() < best - 0.05
    assert predictor.names == ("one", "two")
    assert sum(predictor.shares) == pytest.approx(1.0)
    assert predictor.predict(Batch(("new",))).probabilities == pytest.approx(1 / 3, abs=1e-4)


def test_what_answers_a_fold_saw_none_of_its_labels():
    here = problem()
    others = [contender("one", here, 1), contender("two", here, 2), contender("three", here, 3)]
    _, answers = Ensemble().combine(here, folds(), others)
    y = here.y.copy()
    some = np.flatnonzero(folds() == 2)[:12]
    y[some] = (y[some] + 1) % 3
    try:
        _, changed = Ensemble().combine(problem(y=y), folds(), others)
    except DeclinedError:
        pytest.fail("the labels of one fold decided about all")
    assert np.array_equal(answers[folds() == 2], changed[folds() == 2])
    assert not np.array_equal(answers[folds() != 2], changed[folds() != 2])


def test_one_that_adds_nothing_is_not_asked():
    here = problem()
    good = contender("good", here, 1)
    with pytest.raises(DeclinedError, match="Nothing lowers the log loss of good"):
        Ensemble().combine(here, folds(), [good, contender("chance", here, 2, sure=0.0)])


def test_a_gain_that_is_not_shown_is_not_worth_the_time():
    here = problem(evidence=np.arange(0, N, 19))
    others = [contender("one", here, 1), contender("two", here, 2)]
    try:
        Ensemble().combine(here, folds(), others)
    except DeclinedError as error:
        said = str(error)
    else:
        said = ""
    assert "not shown to be better than" in said
    assert "2.0 times as long" in said


def test_neither_the_floor_nor_who_asks_language_models_is_a_member():
    here = problem()
    others = [contender("majority", here, 1), contender("one", here, 2)]
    with pytest.raises(DeclinedError, match="fewer than two"):
        Ensemble().combine(here, folds(), others)


def test_only_evidence_decides():
    here = problem(evidence=np.arange(0, N, 2))
    others = [contender("one", here, 1), contender("two", here, 2)]
    first, _ = Ensemble().combine(here, folds(), others)
    y = here.y.copy()
    y[1::2] = 0
    second, _ = Ensemble().combine(problem(evidence=here.evidence, y=y), folds(), others)
    assert first.shares == second.shares
    assert first.temperature == second.temperature


@pytest.mark.parametrize(
    "parameters", [{"rounds": 1}, {"most_members": 1}, {"most_members": 13}, {"worth": 1.0}]
)
def test_parameters_out_of_range_are_refused(parameters):
    with pytest.raises(ValueError, match="must"):
        Ensemble(**parameters)
