"""Cascades of a head and one, two or three language models, from fitting to answers with costs."""

import re
from dataclasses import replace

import numpy as np
import pytest

from milepost.entities.ids import Digest
from milepost.entities.language import Completion, Tokens
from milepost.entities.prompts import CascadeRule
from milepost.entities.release import Manifest
from milepost.predictors.asking import drive
from milepost.predictors.base import Batch, softmax
from milepost.predictors.bundle import bundle_files, predictor_from_files
from milepost.predictors.linear import LinearPredictor
from milepost.predictors.prompting.builtin import builtin_prompt
from milepost.predictors.prompting.predictor import Asked, PromptedPredictor
from milepost.predictors.prompting.worth import counts_of, log_posterior, prior_of
from milepost.strategies.cascading.cascade import Cascade
from milepost.strategy import Contender, DeclinedError, Problem

N, LABELS = 3000, ("ant", "bee", "cat", "dog")
COSTS = {"small": 2e4, "middle": 2e5, "large": 2e6}
RIGHT = {
    "small": (0.99, 0.6, 0.6, 0.6),
    "middle": (0.99, 0.99, 0.6, 0.6),
    "large": (0.99, 0.99, 0.99, 0.99),
}
"""How often each model is right where it says a label."""


class Held:
    """An encoder of texts that hold their number."""

    dimensions = 4
    digest = name = variant = "held"

    def __init__(self, vectors):
        self.vectors = vectors

    def encode(self, texts, progress=None):
        return self.vectors[[number(text) for text in texts]]


def number(text):
    return int(re.findall(r"row (\d+) of", text)[-1])


@pytest.fixture(scope="module")
def world():
    """A problem whose head is sure of two rows in five, and what each model says of all rows."""
    rng = np.random.default_rng(2)
    y = rng.integers(0, 4, N)
    clear = rng.random(N) < 0.4
    vectors = rng.normal(size=(N, 4)) * 0.3 + np.eye(4)[y] * np.where(clear, 4.0, 0.3)[:, None]
    texts = tuple(f"row {i} of the field" for i in range(N))
    problem = Problem(LABELS, ("",) * 4, "", texts, y, Held(vectors.astype(np.float32)))
    said = {}
    for name, shares in RIGHT.items():
        # A label that a model is bad at is said of others' rows in the same proportion.
        wrong = rng.random(N) > np.array(shares)[y]
        bad = [label for label in range(4) if shares[label] < 0.9] or [0, 1, 2, 3]
        said[name] = np.where(wrong, rng.choice(bad, N), y)
    return problem, said


def head():
    weights = (2.2 * np.eye(4)).astype(np.float32)
    return LinearPredictor(labels=LABELS, weights=weights, bias=np.zeros(4, np.float32))


def asking(problem, said, name):
    table = log_posterior(counts_of(said[name], problem.y, 4), prior_of(problem.y, 4))
    prior = prior_of(problem.y, 4)
    predictor = PromptedPredictor(
        labels=LABELS,
        upstream=name,
        model=name,
        instruction="",
        descriptions=("",) * 4,
        input_name="text",
        asked=(Asked(template=builtin_prompt("label")),),
        prior=prior,
        tables=(table - np.log(prior))[None],
        bias=np.zeros((1, 4)),
        weights=np.ones(1),
    )
    return Contender(
        strategy=f"prompted-{name}",
        predictor=predictor,
        out_of_fold=softmax(table[said[name]]).astype(np.float32),
        micro_usd_per_1k=COSTS[name],
        p50_ms=300.0,
    )


def answering(said):
    """What the models answer, and how often each was asked."""
    counts = dict.fromkeys(said, 0)

    def ask(questions):
        told = []
        for each in questions:
            counts[each.upstream] += 1
            row = number(str(each.request.messages[-1].content))
            text = LABELS[said[each.upstream][row]]
            told.append(Completion(upstream=each.upstream, model="m", text=text, tokens=Tokens()))
        return told

    return ask, counts


@pytest.mark.parametrize("last", ["model", "person"])
@pytest.mark.parametrize("models", [("small", "large"), ("small", "middle", "large")])
def test_answers_climb_from_head_to_models_and_cost_what_was_promised(world, models, last):
    problem, said = world
    problem = replace(problem, cascade=CascadeRule(at_most_wrong=0.04, last=last))
    own = Contender(
        strategy="head",
        predictor=head(),
        out_of_fold=np.full((N, 4), 1 / 4, np.float32),
        micro_usd_per_1k=100.0,
        p50_ms=10.0,
        refit=lambda rows: head(),
    )
    others = [own, *(asking(problem, said, name) for name in models)]
    made, _ = Cascade(most_rungs=4).combine(problem, np.arange(N) % 5, others)
    names = ("head", *(f"prompted-{name}" for name in models))
    assert made.names == (names if last == "model" else (*names, "person"))
    assert [rung.name for rung in made.promise.rungs] == list(made.names)
    assert "out of fold" in made.promise.method

    manifest = Manifest(
        kind=made.kind,
        task="t",
        task_version=Digest("0" * 64),
        labels=LABELS,
        strategy="cascade",
        examples=Digest("0" * 64),
        seed=0,
        code="1",
    )
    back, _ = predictor_from_files(bundle_files(made, manifest))
    assert (back.names, back.upstreams, back.promise) == (made.names, models, made.promise)

    ask, counts = answering(said)
    found = drive(back.answering(Batch(problem.texts, problem.encoder.vectors)), ask)
    assert found.rung_names == made.names
    reached = [int((found.rungs >= at).sum()) for at in range(1, len(models) + 1)]
    assert [counts[name] for name in models] == reached
    assert N > reached[0] > reached[-1] > 0
    paid = sum(counts[name] * COSTS[name] / 1e6 for name in models) / N
    assert made.promise.usd_per_1k == pytest.approx(paid + 0.0001, rel=0.15)
    before = found.rungs < len(made.names) - 1
    assert (found.label_ids != problem.y)[before].mean() <= 0.04
    assert (found.abstained == (~before if last == "person" else False)).all()


def test_a_mean_cost_is_promised_by_betting(world):
    problem, said = world
    costs = 1.0 - np.eye(4)
    costs[2, 0] = 10.0
    own = Contender(
        strategy="head",
        predictor=head(),
        out_of_fold=np.full((N, 4), 1 / 4, np.float32),
        micro_usd_per_1k=100.0,
        p50_ms=10.0,
        refit=lambda rows: head(),
    )
    others = [own, asking(problem, said, "large")]
    folds = np.arange(N) % 5
    rule = CascadeRule(at_most_cost=0.4, last="model")
    given = replace(problem, cascade=rule, costs=costs)
    made, _ = Cascade().combine(given, folds, others)
    promise = made.promise
    assert promise.at_most_wrong is None
    assert 0 < promise.cost.mean < promise.cost.at_most == 0.4
    assert "betting" in promise.method
    assert promise.answered > 0.3 * promise.labels
    with pytest.raises(DeclinedError, match=r"mean cost of at most 0\.001 .* takes"):
        Cascade().combine(replace(given, cascade=CascadeRule(at_most_cost=1e-3)), folds, others)
    count, _ = Cascade().combine(
        replace(problem, cascade=CascadeRule(bound="betting")), folds, others
    )
    sharp, _ = Cascade().combine(replace(problem, cascade=CascadeRule()), folds, others)
    assert count.promise.answered <= sharp.promise.answered
