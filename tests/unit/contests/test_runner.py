from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest

from milepost._base.clock import Deadline
from milepost.contests.held import HeldVectors
from milepost.contests.runner import predict, refit, run
from milepost.data.splitting.folding import fold_groups, folds
from milepost.entities.kinds import strata
from milepost.predictors.constant import ConstantPredictor
from milepost.predictors.linear import LinearPredictor
from milepost.strategies.head_closed_form import HeadClosedForm
from milepost.strategies.majority import Majority
from milepost.strategies.neighbours import Neighbours
from milepost.strategies.tfidf_linear import TfidfLinear
from milepost.strategy import Problem
from milepost.testing.encoders import HashedEncoder

WORDS = {
    "delivery": ["where is my parcel", "the courier never came", "parcel late again", "track it"],
    "payment": ["charged me twice", "invoice please", "card was declined", "wrong amount paid"],
}


def problem(copies=6, seed=0, deadline=None):
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


def folding(given, k):
    return fold_groups([f"g{i}" for i in range(len(given.texts))], given.y, k, given.seed)


@dataclass(frozen=True)
class Crashing:
    name: ClassVar[str] = "crashing"
    message: str = "out of luck"

    def supports(self, problem):
        return None

    def fit(self, problem):
        raise RuntimeError(self.message)


@dataclass(frozen=True)
class Refusing:
    name: ClassVar[str] = "refusing"

    def supports(self, problem):
        return "It needs a thousand labels."

    def fit(self, problem):
        raise AssertionError


@dataclass(frozen=True)
class NotFinite:
    name: ClassVar[str] = "not_finite"

    def supports(self, problem):
        return None

    def fit(self, problem):
        nan = np.full((len(problem.labels), problem.encoder.dimensions), np.nan, np.float32)
        return LinearPredictor(
            labels=problem.labels, weights=nan, bias=np.zeros(len(problem.labels), np.float32)
        )


@dataclass(frozen=True)
class Memorising:
    """Answers its own training texts perfectly and everything else with the first label."""

    name: ClassVar[str] = "memorising"

    def supports(self, problem):
        return None

    def fit(self, problem):
        seen = dict(zip(problem.texts, problem.y.tolist(), strict=True))

        class Memory(ConstantPredictor):
            def logits(self, batch):
                rows = [seen.get(text, 0) for text in batch.texts]
                return 5.0 * np.eye(len(self.labels))[rows]

        return Memory(labels=problem.labels, log_prior=np.zeros(len(problem.labels), np.float32))


def test_a_failure_is_a_row_and_the_others_go_on():
    given = problem()
    entries = run(given, folding(given, 5), [Crashing(), Refusing(), NotFinite(), Majority()])
    crashed, refused, infinite, fine = entries
    assert crashed.error == "It failed: RuntimeError: out of luck"
    assert crashed.parameters == {"message": "out of luck"}
    assert refused.error == "It needs a thousand labels."
    assert "not finite" in infinite.error
    assert [e.fitted for e in entries[:3]] == [None, None, None]
    assert fine.error is None
    assert fine.fitted.out_of_fold.shape == (48, 2)


def test_what_fits_say_is_told_once_with_the_entry():
    @dataclass(frozen=True)
    class Talking(Crashing):
        name: ClassVar[str] = "talking"

        def fit(self, problem):
            problem.note("Memory ran out: steps of 4 examples instead.")
            return Majority().fit(problem)

    given = problem()
    spoke, silent = run(given, folding(given, 5), [Talking(), Majority()])
    assert spoke.error is None
    assert spoke.notes == ("Memory ran out: steps of 4 examples instead.",)
    assert silent.notes == ()


def test_an_interrupt_is_not_a_row():
    @dataclass(frozen=True)
    class Interrupted(Crashing):
        name: ClassVar[str] = "interrupted"

        def fit(self, problem):
            raise KeyboardInterrupt

    given = problem()
    with pytest.raises(KeyboardInterrupt):
        run(given, folding(given, 5), [Interrupted()])


def test_out_of_fold_answers_never_saw_their_own_row():
    given = problem()
    (entry,) = run(given, folding(given, 5), [Memorising()])
    assert (entry.fitted.out_of_fold.argmax(axis=1) == 0).all()
    answers = predict(entry.fitted.predictor, given.texts, given.encoder).argmax(axis=1)
    assert (answers == given.y).all()


def test_near_duplicates_stay_on_one_side():
    given = problem(copies=5)
    pairs = [f"g{i // 2}" for i in range(len(given.texts))]
    fold_of = folds(pairs, given.y, 4, 0)

    @dataclass(frozen=True)
    class Spy(Memorising):
        name: ClassVar[str] = "spy"

        def fit(self, problem):
            mine = {given.texts.index(text) // 2 for text in problem.texts}
            others = {i // 2 for i, text in enumerate(given.texts) if text not in problem.texts}
            assert not mine & others
            return super().fit(problem)

    (entry,) = run(given, fold_groups(pairs, given.y, 4), [Spy()])
    assert entry.error is None
    assert len(set(fold_of.tolist())) == 4


def test_the_same_seed_gives_the_same_entries():
    given = problem()
    strategies = [Majority(), HeadClosedForm(), Neighbours()]
    once = run(given, folding(given, 5), strategies)
    again = run(given, folding(given, 5), strategies)
    for a, b in zip(once, again, strict=True):
        np.testing.assert_array_equal(a.fitted.out_of_fold, b.fitted.out_of_fold)
        assert a.fitted.predictor.temperature == b.fitted.predictor.temperature


def test_a_spent_budget_leaves_the_floor_and_says_so():
    given = problem(deadline=Deadline(at=0.0))
    floor, head = run(given, folding(given, 5), [Majority(), HeadClosedForm()])
    assert floor.error is None
    assert head.error == "The budget was used up before it could start."


def test_held_vectors_ask_the_inner_encoder_only_for_what_is_new():
    asked = []

    class Counting(HashedEncoder):
        def encode(self, texts, progress=None):
            asked.extend(texts)
            return super().encode(texts, progress)

    held = HeldVectors(Counting(), ["a", "b", "a"])
    assert asked == []
    assert held.encode([]).shape == (0, held.dimensions)
    assert asked == []
    vectors = held.encode(["b", "c", "a"])
    assert asked == ["a", "b", "c"]
    np.testing.assert_array_equal(vectors, HashedEncoder().encode(["b", "c", "a"]))
    held.encode(["a", "b"])
    assert asked == ["a", "b", "c"]


def test_encoding_stops_at_the_deadline_and_the_text_strategies_still_answer():
    given = problem(deadline=None)
    held = HeldVectors(given.encoder, given.texts, deadline=Deadline(at=0.0))
    late = replace(given, encoder=held)
    words, head = run(late, folding(given, 5), [TfidfLinear(), HeadClosedForm()])
    assert words.error is None
    assert head.error == "The budget was used up while it ran."


def test_what_is_wrapped_around_may_give_an_entry_that_was_kept():
    given = problem()
    kept = run(given, folding(given, 5), [HeadClosedForm()])[0]
    seen = []

    def around(strategy, enter):
        seen.append(strategy.name)
        return kept if strategy.name == kept.strategy else enter()

    first, second = run(given, folding(given, 5), [Majority(), HeadClosedForm()], around=around)
    assert seen == ["majority", "head_closed_form"]
    assert first.fitted is not None
    assert second is kept


def test_only_what_the_budget_left_out_is_late():
    given = problem(deadline=Deadline(at=0.0))
    entries = run(given, folding(given, 5), [Majority(), HeadClosedForm(), Refusing()])
    assert [entry.late for entry in entries] == [False, True, True]
    given = problem()
    assert not run(given, folding(given, 5), [Refusing()])[0].late


def test_a_refit_on_the_same_examples_answers_the_same_sets():
    """The thresholds of the first are kept with its temperature."""
    sets = np.zeros((48, 3), np.int8)
    sets[np.arange(48), np.arange(48) % 2] = 1
    sets[::5, :2] = 0
    given = replace(problem(), y=sets, kind="multilabel", metric="macro_f1")
    alone = [f"g{row}" for row in range(48)]
    held = fold_groups(alone, strata("multilabel", sets), 4, 0)
    (entry,) = run(given, held, [TfidfLinear()])
    decided = entry.fitted.predictor
    assert decided.thresholds
    again = refit(given, TfidfLinear(), decided)
    np.testing.assert_array_equal(
        predict(again, given.texts, given.encoder), predict(decided, given.texts, given.encoder)
    )
