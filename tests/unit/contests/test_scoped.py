"""A strategy with a detector before it: what it turns away, and what nobody may look at."""

from dataclasses import replace

import numpy as np
import pytest
from tests.unit.predictors.test_predictor_bundle import manifest_of

from milepost.contests.runner import predict, refit
from milepost.contests.scoped import Scoped, scoped
from milepost.data.splitting.folding import fold_groups
from milepost.entities.expectations import ScopeRule
from milepost.metrics.knowing.scope import SCORES
from milepost.predictors.base import Batch
from milepost.predictors.bundle import bundle_files, predictor_from_files
from milepost.predictors.scoped import NOTHING
from milepost.strategies.head_closed_form import HeadClosedForm
from milepost.strategies.tfidf_linear import TfidfLinear
from milepost.strategy import Problem
from milepost.testing.encoders import HashedEncoder

WORDS = {
    "card": (
        "card",
        "lost",
        "stolen",
        "block",
        "replace",
        "pin",
        "chip",
        "wallet",
        "swallowed",
        "frozen",
    ),
    "parcel": (
        "parcel",
        "late",
        "courier",
        "package",
        "delivery",
        "door",
        "tracking",
        "box",
        "shipped",
        "depot",
    ),
    "refund": (
        "refund",
        "money",
        "back",
        "return",
        "paid",
        "charged",
        "twice",
        "credit",
        "amount",
        "invoice",
    ),
    "oos": (
        "weather",
        "joke",
        "song",
        "football",
        "recipe",
        "movie",
        "holiday",
        "planet",
        "poem",
        "chess",
    ),
}
LABELS = tuple(WORDS)


def texts(rng, label, n):
    return [" ".join(rng.choice(WORDS[label], 5)) for _ in range(n)]


def problem(rng, out=20, n=80):
    rows = [(t, at) for at, name in enumerate(LABELS[:3]) for t in texts(rng, name, n)]
    rows += [(t, 3) for t in texts(rng, "oos", out)]
    return Problem(
        labels=LABELS,
        descriptions=("",) * 4,
        instruction="",
        texts=tuple(t for t, _ in rows),
        y=np.array([y for _, y in rows]),
        encoder=HashedEncoder(),
    )


RULE = ScopeRule(label="oos", keep=0.9)


@pytest.mark.parametrize("strategy", [HeadClosedForm(), TfidfLinear()], ids=lambda s: s.name)
@pytest.mark.parametrize("out", [20, 0], ids=["examples", "none"])
def test_what_is_about_something_else_is_turned_away(strategy, out):
    rng = np.random.default_rng(0)
    here = problem(rng, out)
    predictor = scoped(strategy, RULE).fit(here)
    away = predict(predictor, texts(rng, "oos", 60), here.encoder).argmax(axis=1) == 3
    kept = np.concatenate(
        [
            predict(predictor, texts(rng, name, 60), here.encoder).argmax(axis=1) == at
            for at, name in enumerate(LABELS[:3])
        ]
    )
    assert away.mean() > 0.8
    assert kept.mean() > 0.8
    assert predictor.score_name in ("combined", *SCORES)


@pytest.mark.slow
def test_the_threshold_keeps_its_share_of_inputs_in_scope():
    rng = np.random.default_rng(1)
    broken = 0
    for seed in range(20):
        here = replace(problem(rng, 20, 40), seed=seed)
        predictor = Scoped(HeadClosedForm(), RULE).fit(here)
        fresh = [t for name in LABELS[:3] for t in texts(rng, name, 100)]
        broken += (predict(predictor, fresh, here.encoder).argmax(axis=1) != 3).mean() < 0.9
    # At most one in twenty on average; four or more of twenty have a probability below 0.02.
    assert broken < 4


def test_answers_out_of_fold_know_nothing_of_their_own_label():
    here = problem(np.random.default_rng(2))
    folding = fold_groups(here.texts, here.y, 5)
    before = Scoped(HeadClosedForm(), RULE).cross_fit(here, folding).out_of_fold
    mine = folding.inside(0)
    y = here.y.copy()
    y[mine] = np.where(y[mine] < 3, (y[mine] + 1) % 3, 3)
    after = Scoped(HeadClosedForm(), RULE).cross_fit(replace(here, y=y), folding).out_of_fold
    # What answers a fold learned from the others. The scores that set its threshold come from
    # predictors that did see this fold, so the margin may move, but no answer in scope.
    best = [p[mine, :3].argmax(axis=1) for p in (before, after)]
    clear = (before[mine, :3].max(axis=1) > 0) & (after[mine, :3].max(axis=1) > 0)
    assert clear.sum() > 40
    np.testing.assert_array_equal(best[0][clear], best[1][clear])


def test_a_bundle_answers_the_same():
    here = problem(np.random.default_rng(3))
    predictor = Scoped(HeadClosedForm(), RULE).fit(here)
    back, _ = predictor_from_files(bundle_files(predictor, manifest_of(predictor)))
    batch = Batch(here.texts, here.encoder.encode(here.texts))
    np.testing.assert_array_equal(
        back.predict(batch).probabilities, predictor.predict(batch).probabilities
    )


def test_too_few_examples_to_set_a_threshold_turn_nothing_away():
    rng = np.random.default_rng(4)
    here = problem(rng, 12, 15)  # 45 in scope; to keep 0.95 takes 59
    predictor = Scoped(HeadClosedForm(), ScopeRule(label="oos")).fit(here)
    assert predictor.threshold == NOTHING
    asked = texts(rng, "oos", 20)
    assert (predict(predictor, asked, here.encoder).argmax(axis=1) != 3).all()


def test_a_refit_keeps_the_threshold_and_learns_the_rest():
    rng = np.random.default_rng(5)
    here = problem(rng)
    strategy = scoped(HeadClosedForm(), RULE)
    predictor = strategy.fit(here)
    again = refit(here.take(np.arange(0, len(here.y), 2)), strategy, predictor)
    assert again.threshold == predictor.threshold
    assert (
        again.inner.arrays()["weights"].tobytes() != predictor.inner.arrays()["weights"].tobytes()
    )
