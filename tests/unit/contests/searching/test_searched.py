from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest

from milepost._base.clock import Deadline
from milepost.contests.per_upstream import per_upstream
from milepost.contests.runner import predict, run
from milepost.contests.scoped import scoped
from milepost.contests.searching.prior import configurations_of, expected, learned, regime_of
from milepost.contests.searching.searched import (
    Searched,
    as_recorded,
    searched,
    settled,
)
from milepost.data.splitting.folding import Folding, fold_groups
from milepost.entities.contest import SEARCHED
from milepost.entities.expectations import ScopeRule
from milepost.predictors.linear import LinearPredictor
from milepost.strategies.head_closed_form import HeadClosedForm
from milepost.strategies.head_logistic import HeadLogistic
from milepost.strategies.prompting.prompted import Prompted
from milepost.strategies.registry import STRATEGIES, strategy_named
from milepost.strategies.zero_shot import ZeroShot
from milepost.strategy import Problem, Searchable, kinds_of, reads_images
from milepost.testing.encoders import HashedEncoder
from milepost.testing.strategies import CHECKS

WORDS = {
    "delivery": ["where is my parcel", "the courier never came", "parcel late again", "track it"],
    "payment": ["charged me twice", "invoice please", "card was declined", "wrong amount paid"],
}
FITS = []


@dataclass(frozen=True)
class Tilted:
    """Logits that are off by a parameter; notes the rows of each fit."""

    name: ClassVar[str] = "tilted"
    space: ClassVar = {"tilt": (0.0, 1.0, 2.0, 4.0), "unused": (1, 2)}
    tilt: float = 2.0
    unused: int = 1

    def supports(self, problem):
        return None

    def fit(self, problem):
        FITS.append((self.tilt, self.unused, frozenset(problem.texts)))
        vectors = problem.encoder.encode(problem.texts)
        means = np.stack([vectors[problem.y == label].mean(axis=0) for label in (0, 1)])
        bias = np.array([self.tilt, 0.0], np.float32)
        return LinearPredictor(labels=problem.labels, weights=8 * means, bias=bias)


def problem(copies=8, deadline=None, seed=0):
    texts, y = [], []
    for label, sentences in enumerate(WORDS.values()):
        for copy in range(copies):
            texts += [f"{sentence} {copy}" for sentence in sentences]
            y += [label] * len(sentences)
    return Problem(
        labels=tuple(WORDS),
        descriptions=("", ""),
        instruction="",
        texts=tuple(texts),
        y=np.array(y),
        encoder=HashedEncoder(),
        seed=seed,
        deadline=deadline or Deadline(),
    )


def folding(given, k=5):
    return fold_groups([f"g{i}" for i in range(len(given.texts))], given.y, k, given.seed)


def cross_fit(strategy, given, folds):
    FITS.clear()
    return strategy.cross_fit(given, folds)


def test_a_search_finds_the_better_value_and_tells():
    given = problem()
    fitted = cross_fit(Searched(Tilted()), given, folding(given))
    told = fitted.parameters[SEARCHED]
    assert fitted.parameters["tilt"] == 0.0
    assert (told["tried"], told["of"], len(told["folds"])) == (8, 8, 5)
    assert len(set(FITS)) == len(FITS), "nothing is fitted twice"


def test_no_fit_that_answers_or_chooses_for_a_fold_saw_it():
    """With the labels of one fold turned over, its own answers and choice stay as they were."""
    given = problem()
    folds = folding(given)
    inside = folds.inside(3)
    y = given.y.copy()
    y[inside] = 1 - y[inside]
    before = cross_fit(Searched(Tilted()), given, folds)
    after = cross_fit(Searched(Tilted()), replace(given, y=y), folds)
    # The temperature is fitted on all other rows' answers, whose fits saw the fold.
    odds = [
        np.diff(np.log(each.out_of_fold[inside].astype(np.float64))) for each in (before, after)
    ]
    assert odds[0] / odds[1] == pytest.approx(np.median(odds[0] / odds[1]), rel=1e-3)
    chosen = [each.parameters[SEARCHED]["folds"][3] for each in (before, after)]
    assert chosen[0] == chosen[1]
    assert not np.array_equal(before.out_of_fold, after.out_of_fold)


def test_forward_in_time_only_earlier_rows_choose():
    given = problem()
    fold_of = np.arange(len(given.texts)) * 5 // len(given.texts)
    order = np.random.default_rng(0).permutation(len(given.texts))
    given = replace(given, texts=tuple(given.texts[i] for i in order), y=given.y[order])
    folds = Folding(fold_of, fold_of > 1, forward=True)
    before = cross_fit(Searched(Tilted()), given, folds)
    y = given.y.copy()
    y[fold_of == 4] = 1 - y[fold_of == 4]
    after = cross_fit(Searched(Tilted()), replace(given, y=y), folds)
    earlier = (fold_of > 1) & (fold_of < 4)
    assert np.array_equal(
        before.out_of_fold[earlier].argmax(1), after.out_of_fold[earlier].argmax(1)
    )
    pairs = [each.parameters[SEARCHED]["folds"] for each in (before, after)]
    assert pairs[0][:4] == pairs[1][:4]


def test_the_same_seed_finds_the_same_and_the_record_gives_it_back():
    given = problem()
    folds = folding(given)
    first = cross_fit(Searched(HeadLogistic()), given, folds)
    again = cross_fit(Searched(HeadLogistic()), given, folds)
    assert first.parameters == again.parameters
    strategy = strategy_named(
        "head_logistic", {"c": first.parameters["c"], "label_weight": 0.0} | {
            "label_weight": first.parameters["label_weight"]
        }
    )  # fmt: skip
    kept = cross_fit(as_recorded(strategy, first.parameters), given, folds)
    assert np.array_equal(kept.out_of_fold, first.out_of_fold)
    assert kept.parameters == first.parameters
    plain = settled(Searched(HeadLogistic()), first.parameters)
    answers = predict(plain.fit(given), given.texts, given.encoder)
    mine = predict(first.predictor.calibrated(1.0), given.texts, given.encoder)
    assert np.array_equal(answers, mine)


def test_without_time_it_takes_what_other_tasks_say():
    given = problem(deadline=Deadline.after(1e6))
    long = cross_fit(Searched(Tilted()), given, folding(given))
    assert long.parameters[SEARCHED]["tried"] == 8
    given = problem(deadline=Deadline.after(3.0))

    @dataclass(frozen=True)
    class Slow(Tilted):
        name: ClassVar[str] = "slow"

        def fit(self, problem):
            import time

            time.sleep(0.02)
            return super().fit(problem)

    short = cross_fit(Searched(Slow()), given, folding(given))
    assert short.parameters[SEARCHED]["tried"] < 8
    assert short.parameters[SEARCHED]["tried"] >= 1


def test_what_is_set_by_hand_stays_and_who_has_no_space_is_itself():
    given = problem()
    fitted = cross_fit(searched(Tilted(tilt=4.0), ["tilt"]), given, folding(given))
    assert "tilt" not in fitted.parameters
    assert {tilt for tilt, *_ in FITS} == {4.0}
    assert isinstance(searched(Tilted(), ["tilt", "unused"]), Tilted)
    assert isinstance(searched(ZeroShot()), ZeroShot)


def test_an_entry_tells_what_was_chosen():
    given = problem()
    (entry,) = run(given, folding(given), [searched(Tilted())])
    assert entry.error is None
    assert entry.parameters["tilt"] == 0.0
    assert entry.parameters[SEARCHED]["of"] == 8


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_a_searched_strategy_conforms(check):
    check(searched(HeadClosedForm()), HashedEncoder())


def test_every_space_holds_the_default_and_the_table_knows_it():
    table = learned()
    for name, kind in STRATEGIES.items():
        strategy = strategy_named(name)
        if not isinstance(strategy, Searchable):
            continue
        default = {parameter: getattr(strategy, parameter) for parameter in kind.space}
        known = configurations_of(kind.space, default)
        assert all(strategy_named(name, each) for each in known)
        assert known[0] == default
        assert default in table.configurations[name]
        assert all(each in table.configurations[name] for each in known)
        assert table.excess[name].shape == (len(table.sets), len(known))
        at = table.configurations[name].index(default)
        assert (table.excess[name][:, at] == 0).all()


def test_the_table_says_more_of_a_task_that_is_like_it():
    table = learned()
    given = problem()
    strategy = HeadLogistic()
    known = configurations_of(strategy.space, {"c": strategy.c, "label_weight": 2.0})
    row = 0
    found = expected(table, "head_logistic", known, {}, table.regimes[row])
    assert found.mean[0] == 0.0
    assert (found.variance > 0).all()
    away = expected(table, "head_logistic", known, {}, table.regimes[row] + 100.0)
    assert not np.allclose(found.mean, away.mean)
    unknown = expected(table, "nobody", known, {}, regime_of(given))
    assert (unknown.mean == 0).all()
    fewer = table.without(table.sets[0])
    assert table.sets[0] not in fewer.sets
    assert len(fewer.regimes) == len(fewer.sets)


def test_a_search_a_detector_and_an_upstream_leave_the_kinds_of_a_strategy_as_they_are():
    logistic, prompt = HeadLogistic(), Prompted()
    assert kinds_of(searched(logistic)) == kinds_of(logistic) == ("classify", "match", "multilabel")
    with_scope = scoped(logistic, ScopeRule(label="other"))
    assert kinds_of(with_scope) == ("classify", "match")  # out of scope is said of one label
    assert reads_images(searched(logistic))
    assert reads_images(with_scope)
    [asked] = per_upstream(prompt, ["big"])
    assert kinds_of(asked) == kinds_of(prompt) == ("classify", "match")
