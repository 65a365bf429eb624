"""Training of chains: the gradient, the order of words, and what is learned."""

import dataclasses

import numpy as np
import pytest
import scipy.sparse

from milepost._base.clock import Deadline
from milepost.entities.kinds import truths
from milepost.entities.prediction import Spans
from milepost.entities.spans import written_spans
from milepost.predictors.base import Batch
from milepost.predictors.reading import batch_for
from milepost.strategies.tagging.crf import Observed, Order, Penalties, _Likelihood
from milepost.strategies.tagging.gazetteer import Gazetteer
from milepost.strategies.tagging.tagged import tags_in
from milepost.strategies.tagging.taggers import Tagger, TaggerWords
from milepost.strategy import Problem
from milepost.testing.encoders import HashedEncoder

NAMES = ("Ann", "Bob Lee", "Cleo", "Dan Roe", "Eva")
PLACES = ("Rome", "New York", "Oslo")


def problem(encoder=None, names=NAMES):
    rows = []
    for at, name in enumerate(names * 3):
        place = PLACES[at % len(PLACES)]
        text = f"{name} flew to {place} on day {at}."
        begin = text.index(place)
        spans = [(0, len(name), "person"), (begin, begin + len(place), "place")]
        rows.append((text, spans))
    rows.append(("nobody went anywhere", []))
    labels = ("person", "place")
    return Problem(
        labels=labels,
        descriptions=("", ""),
        instruction="",
        texts=tuple(text for text, _ in rows),
        y=truths("extract", [written_spans(spans) for _, spans in rows], labels),
        encoder=encoder or HashedEncoder(),
        kind="extract",
    )


def answers(predictor, *texts):
    batch = batch_for(predictor, texts, HashedEncoder())
    found = predictor.predict(batch)
    assert isinstance(found, Spans)
    return [[(text[b:e], label) for b, e, label in spans]
            for text, spans in zip(texts, found.answers, strict=True)]  # fmt: skip


def test_the_gradient_is_that_of_the_loss():
    rng = np.random.default_rng(0)
    lengths, tags = [3, 1, 4], 5
    n = sum(lengths)
    order = Order.of(lengths)
    assert sorted(order.rows.tolist()) == list(range(n))
    assert order.starts.tolist() == [0, 3, 5, 7, 8]
    observed = Observed(
        scipy.sparse.csr_array((rng.random((n, 6)) < 0.4).astype(np.float32)),
        rng.normal(size=(n, 2)).astype(np.float32),
        np.array([1, 2, 0, 3, 0, 1, 2, 2])[order.rows],
        order,
        tags,
    )
    likelihood = _Likelihood(observed, Penalties(0.7, 2.0))
    x = rng.normal(size=likelihood.size) * 0.3
    _, gradient = likelihood(x)
    for at in rng.choice(likelihood.size, 25, replace=False).tolist():
        step = np.zeros(likelihood.size)
        step[at] = 1e-3
        numeric = (likelihood(x + step)[0] - likelihood(x - step)[0]) / 2e-3
        assert gradient[at] == pytest.approx(numeric, abs=2e-4)


@pytest.mark.parametrize("strategy", [TaggerWords(), Tagger()], ids=lambda each: each.name)
def test_names_that_were_never_seen_are_found_by_what_stands_around_them(strategy):
    predictor = strategy.fit(problem())
    (found,) = answers(predictor, "Fay Moe flew to Bern on day 7.")
    assert found == [("Fay Moe", "person"), ("Bern", "place")]
    assert answers(predictor, "nobody went anywhere", "") == [[], []]


def test_the_gazetteer_knows_strings_and_nothing_else():
    predictor = Gazetteer().fit(problem())
    found = answers(predictor, "Bob Lee saw Ann in New York.", "Fay Moe flew to Bern.")
    assert found == [[("Bob Lee", "person"), ("Ann", "person"), ("New York", "place")], []]


def test_a_string_that_is_mostly_no_span_is_left_out():
    texts = ("May I go", "May I stay", "we met May", "may be")
    one = dataclasses.replace(
        problem(),
        texts=texts,
        y=truths("extract", ["[]", "[]", '[[7,10,"person"]]', "[]"], ("person", "place")),
    )
    assert Gazetteer().fit(one).strings == ()


def test_time_that_is_over_ends_a_fit_with_what_there_is():
    predictor = TaggerWords().fit(dataclasses.replace(problem(), deadline=Deadline.after(0.0)))
    assert np.isfinite(predictor.weights).all()


def test_examples_without_a_span_are_refused_in_words():
    none = problem().take(np.array([len(NAMES) * 3], np.int64))
    for strategy in (Gazetteer(), TaggerWords(), Tagger()):
        assert strategy.supports(none) == "No example has a span."


def test_a_span_inside_a_word_takes_the_word():
    words = [(0, 3), (4, 9)]
    assert tags_in(words, [(6, 9, 1)], 2).tolist() == [0, 3]
    assert tags_in(words, [(0, 9, 0), (4, 9, 1)], 2).tolist() == [1, 2]
    assert tags_in(words, [(0, 3, 2)], 2).tolist() == [0, 0]


@pytest.mark.parametrize("wrong", [{"penalty": 0}, {"least": 1.0}, {"iterations": 0}])
def test_parameters_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match="least"):
        TaggerWords(**wrong)


def test_states_that_do_not_fit_are_refused():
    predictor = Tagger().fit(problem())
    with pytest.raises(ValueError, match="states of words"):
        predictor.logits(Batch(("a b",), np.zeros((1, 64), np.float32)))
