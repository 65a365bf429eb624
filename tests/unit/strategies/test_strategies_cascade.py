"""A cascade of real heads and a language model that is right nineteen times out of twenty."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from milepost.entities.cascade import PERSON
from milepost.entities.ids import Digest
from milepost.entities.language import Completion, Message, ModelRequest, Tokens
from milepost.entities.prompts import CascadeRule
from milepost.entities.release import Manifest
from milepost.evaluation.cascading import Given, cascade_score
from milepost.predictors.asking import Question, drive
from milepost.predictors.base import Batch
from milepost.predictors.bundle import bundle_files, predictor_from_files
from milepost.predictors.cascade import CascadePredictor, cascade_of
from milepost.predictors.linear import LinearPredictor
from milepost.strategies.cascading.cascade import Cascade
from milepost.strategy import Contender, DeclinedError, Problem

N, LABELS = 1500, ("no", "yes")


@dataclass(frozen=True, eq=False, kw_only=True)
class Asking(LinearPredictor):
    """Asks a model named big, and takes the last word of its answer."""

    @property
    def upstreams(self):
        return ("big",)

    def scoring(self, batch):
        questions = [
            Question("big", ModelRequest(messages=(Message(role="user", content=text),)))
            for text in batch.texts
        ]
        said = yield questions
        rows = [LABELS.index(each.text) if isinstance(each, Completion) else -1 for each in said]
        return np.array([[3.0 * (row == k) for k in range(2)] for row in rows])


class Held:
    """An encoder of texts that are numbers: one dimension that tells, one that does not."""

    dimensions = 2
    digest = name = variant = "held"

    def __init__(self, vectors):
        self.vectors = vectors

    def encode(self, texts, progress=None):
        return self.vectors[[int(text) for text in texts]]


@pytest.fixture
def problem():
    rng = np.random.default_rng(4)
    y = rng.integers(0, 2, N)
    vectors = np.stack([2.6 * (y - 0.5) + rng.normal(size=N), rng.normal(size=N)], 1)
    texts = tuple(str(i) for i in range(N))
    return Problem(LABELS, ("", ""), "", texts, y, Held(vectors.astype(np.float32)))


def head(slope):
    weights = np.array([[-slope, 0.0], [slope, 0.0]], np.float32)
    return LinearPredictor(labels=LABELS, weights=weights, bias=np.zeros(2, np.float32))


def contenders(problem):
    """A head that learns nothing from its rows, so that it is as good wherever it is fitted."""
    rng = np.random.default_rng(5)
    wrong = rng.random(N) < 0.05
    big = np.full((N, 2), 0.02, np.float32)
    big[np.arange(N), np.where(wrong, 1 - problem.y, problem.y)] = 0.98
    asking = Asking(labels=LABELS, weights=head(1).weights, bias=head(1).bias)
    own = np.full((N, 2), 0.5, np.float32)
    return [
        Contender(
            strategy="head",
            predictor=head(1.3),
            out_of_fold=own,
            micro_usd_per_1k=100.0,
            p50_ms=10.0,
            refit=lambda rows: head(1.3),
        ),
        Contender(
            strategy="prompted",
            predictor=asking,
            out_of_fold=big,
            micro_usd_per_1k=2e6,
            p50_ms=500.0,
        ),
    ]


def made(problem, **rule):
    given = replace(problem, cascade=CascadeRule(**rule))
    others = contenders(problem)[: 1 if given.cascade.last == PERSON else 2]
    return Cascade().combine(given, np.arange(N) % 5, others)


def test_what_is_promised_is_what_was_counted(problem):
    predictor, answers = made(problem)
    promise = predictor.promise
    assert (promise.labels, promise.fitted) == (600, 900)
    assert [rung.name for rung in promise.rungs] == ["head", "prompted"]
    assert promise.rungs[0].answered == promise.answered > 300
    assert promise.wrong <= 0.05 * promise.answered
    share = promise.rungs[1].answered / promise.labels
    assert promise.usd_per_1k == pytest.approx(0.0001 + 2.0 * share)
    assert (answers.argmax(1) == problem.y).mean() > 0.93


def test_only_inputs_that_climb_are_asked_about(problem):
    predictor, _ = made(problem)
    batch = Batch(problem.texts, problem.encoder.encode(problem.texts))
    asked = []

    def big(questions):
        asked.extend(questions)
        return [Completion(upstream="big", model="m", text="yes", tokens=Tokens())] * len(questions)

    found = drive(predictor.answering(batch), big)
    assert found.rung_names == ("head", "prompted")
    assert len(asked) == int((found.rungs == 1).sum())
    assert 0 < len(asked) < N / 2
    assert {found.answers[row] for row in np.flatnonzero(found.rungs == 1)} == {"yes"}
    one = drive(predictor.answering(Batch(problem.texts[:1], batch.vectors[:1])), big)
    assert one.rungs[0] == found.rungs[0]


def test_people_get_what_nobody_is_sure_of(problem):
    predictor, answers = made(problem, last=PERSON)
    found = predictor.predict(Batch(problem.texts, problem.encoder.encode(problem.texts)))
    assert found.rung_names[-1] == PERSON
    assert (found.abstained == (found.rungs == 1)).all()
    assert (answers[found.rungs == 1] == 0.5).any()
    score = cascade_score(
        predictor.promise, found.rungs, Given(found.label_ids, problem.y), confidence=0.95
    )
    assert score.outcome == "kept"
    assert score.answered.value == pytest.approx((found.rungs == 0).mean())
    assert "a person" in score.sentence


def test_limits_are_promised_too_and_spent_on_being_right(problem):
    cheap, _ = made(problem)
    dear, _ = made(problem, max_cost_per_1k_usd=1.5)
    assert cheap.promise.usd_per_1k < dear.promise.usd_per_1k <= 1.5
    with pytest.raises(DeclinedError, match="USD per 1,000"):
        made(problem, max_cost_per_1k_usd=0.05)
    with pytest.raises(DeclinedError, match="100 ms"):
        made(problem, max_p95_ms=100)


def test_too_few_labels_promise_nothing_and_say_how_many_it_takes(problem):
    with pytest.raises(DeclinedError, match="takes 2,995 without a mistake"):
        made(problem, at_most_wrong=0.001)
    with pytest.raises(DeclinedError, match=r"no language model .*`milepost upstreams"):
        Cascade().combine(problem, np.arange(N) % 5, contenders(problem)[:1])


@pytest.mark.parametrize("last", ["model", PERSON])
def test_a_bundle_carries_rungs_and_promise(problem, last):
    predictor, _ = made(problem, last=last)
    if last == "model":
        # The kind of this test's model is no kind of a bundle: another head stands for it.
        rungs = (predictor.rungs[0], head(0.5))
        predictor = cascade_of(rungs)(
            labels=LABELS,
            rungs=rungs,
            names=predictor.names,
            threshold=predictor.threshold,
            promise=predictor.promise,
        )
    manifest = Manifest(
        kind=predictor.kind,
        task="t",
        task_version=Digest("0" * 64),
        labels=LABELS,
        strategy="cascade",
        examples=Digest("0" * 64),
        seed=0,
        code="1",
    )
    back, _ = predictor_from_files(bundle_files(predictor, manifest))
    assert isinstance(back, CascadePredictor)
    assert back.promise == predictor.promise
    batch = Batch(problem.texts, problem.encoder.encode(problem.texts))
    first, second = predictor.predict(batch), back.predict(batch)
    assert (first.rungs == second.rungs).all()
    assert first.probabilities == pytest.approx(second.probabilities)
