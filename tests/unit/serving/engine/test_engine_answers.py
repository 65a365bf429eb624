"""The engine answers as the predictors do, whatever shares a batch."""

import asyncio
import threading
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milepost.entities.errors import EncoderError
from milepost.metrics.knowing.scope import SCORES, Geometry
from milepost.models.adapters import Adapter
from milepost.predictors.base import Batch
from milepost.predictors.constant import ConstantPredictor
from milepost.predictors.ensemble import EnsemblePredictor
from milepost.predictors.linear import LinearPredictor
from milepost.predictors.neighbours import NeighboursPredictor
from milepost.predictors.ordinal import OrdinalPredictor
from milepost.predictors.reading import batch_for
from milepost.predictors.scoped import ScopedPredictor
from milepost.predictors.static import StaticPredictor
from milepost.predictors.tfidf import TfidfPredictor
from milepost.serving.engine.engine import Engine
from milepost.serving.engine.heads import answer_rows
from milepost.serving.engine.work import Stack, Work
from milepost.testing.encoders import CHECK_TEXTS, HashedEncoder
from milepost.testing.trunks import HashedTrunk, Headed

D = 16
TRUNK = HashedTrunk(HashedEncoder(dimensions=D))
KEY = (TRUNK.digest, TRUNK.variant)
WORDS = (
    '{"version": "1.0", "normalizer": {"type": "Lowercase"},'
    ' "pre_tokenizer": {"type": "Whitespace"}, "model": {"type": "WordLevel",'
    ' "vocab": {"[UNK]": 0, "card": 1, "stolen": 2}, "unk_token": "[UNK]"}}'
)


def adapter(seed):
    """One that turns other signs of the hashed vectors."""
    array = np.full((D, 1), seed + 1.0, np.float32)
    return Adapter(TRUNK.digest, {"0.query": array}, {"0.query": array.T.copy()})


def linear(seed, k=4, temperature=0.7, adapter=None):
    generator = np.random.default_rng(seed)
    return LinearPredictor(
        labels=tuple(f"l{i}" for i in range(k)),
        weights=generator.normal(size=(k, D)).astype(np.float32) * 3,
        bias=generator.normal(size=k).astype(np.float32),
        temperature=temperature,
        adapter=adapter,
    )


def predictors():
    generator = np.random.default_rng(0)
    common = {"labels": ("a", "b", "c"), "temperature": 0.8}
    scoped = ScopedPredictor(
        inner=linear(9, 3),
        labels=("l0", "l1", "l2", "none"),
        label="none",
        threshold=0.1,
        slope=2.0,
        weights=np.full(len(SCORES), 0.1),
        centre=np.zeros(len(SCORES)),
        scale=np.ones(len(SCORES)),
        geometry=Geometry.of(
            generator.normal(size=(9, D)).astype(np.float32),
            np.arange(9) % 3,
            np.eye(D, dtype=np.float32)[:3],
        ),
    )
    first, second = adapter(0), adapter(1)
    members = (linear(1), linear(4, adapter=first), linear(6, adapter=second))
    return {
        "mixed": EnsemblePredictor(
            labels=members[0].labels,
            members=members,
            names=("plain", "one", "other"),
            shares=(0.5, 0.3, 0.2),
        ),
        "tuned": linear(4, adapter=first),
        "tuned_alike": linear(5, 3, adapter=first),
        "tuned_otherwise": linear(6, adapter=second),
        "scoped_tuned": replace(scoped, inner=linear(9, 3, adapter=second)),
        "linear": linear(1),
        "wide": linear(2, 77, 1.3),
        "small": linear(3, 2, 0.4),
        "scoped": scoped,
        "neighbours": NeighboursPredictor(
            vectors=generator.normal(size=(30, D)).astype(np.float32),
            y=np.arange(30) % 3,
            neighbours=4,
            bandwidth=0.1,
            smoothing=0.02,
            **common,
        ),
        "ordinal": OrdinalPredictor(
            labels=("value",),
            weights=generator.normal(size=D).astype(np.float32),
            cuts=np.array([-0.5, 0.2, 0.4]),
            levels=np.array([1.0, 2.0, 3.0, 5.0]),
            answer="mean",
            link="identity",
        ),
        "constant": ConstantPredictor(log_prior=np.log([0.2, 0.3, 0.5]), **common),
        "tfidf": TfidfPredictor(
            vocabulary=("card", "my card", "stolen"),
            idf=np.array([1.0, 1.5, 2.0]),
            weights=generator.normal(size=(3, 3)).astype(np.float32),
            bias=np.zeros(3, np.float32),
            **common,
        ),
        "static": StaticPredictor(
            tokenizer=WORDS,
            table=generator.normal(size=(3, 5)).astype(np.float16),
            weights=generator.normal(size=(3, 5)).astype(np.float32),
            bias=np.ones(3, np.float32),
            **common,
        ),
    }


HEADS = {
    name: Headed(each, KEY if each.uses == "vectors" else None)
    for name, each in predictors().items()
}
TEXTS = [*CHECK_TEXTS, *(f"my card number {i} was stolen" for i in range(30))]


def expected(head, text):
    read = batch_for(head.predictor, [text[: TRUNK.max_tokens]], TRUNK.encoder)
    return head.predictor.predict(Batch((text,), read.vectors)).probabilities[0]


def check(works, outcomes):
    for work, outcome in zip(works, outcomes, strict=True):
        assert outcome.error is None
        assert outcome.failures is None
        assert outcome.vectors.keys() == work.stack.spaces.keys()
        for head, found in zip(work.stack.heads, outcome.probabilities, strict=True):
            assert found.dtype == np.float32
            np.testing.assert_allclose(found, expected(head, work.text), atol=1e-6)


@pytest.fixture(scope="module")
def engine():
    made = Engine({KEY: TRUNK}, threads=2)
    yield made
    made.close(5)


@pytest.mark.parametrize("name", HEADS)
def test_each_kind_answers_as_its_predictor(name):
    made = Engine({KEY: TRUNK}, threads=2)
    works = [Work(text, Stack([HEADS[name]])) for text in TEXTS]
    check(works, made.run_blocking(works, 30))
    made.close(1)


stacks = st.lists(st.sampled_from(sorted(HEADS)), min_size=1, max_size=6).map(
    lambda names: Stack([HEADS[name] for name in names])
)


@settings(max_examples=60)
@given(st.lists(st.tuples(st.sampled_from(TEXTS), stacks), min_size=1, max_size=40))
def test_mixed_stacks_answer_as_their_predictors(engine, pairs):
    works = [Work(text, stack) for text, stack in pairs]
    check(works, engine.run_blocking(works, 30))


@settings(max_examples=40)
@given(stacks, st.lists(st.tuples(st.sampled_from(TEXTS), stacks), max_size=30))
def test_the_same_text_gives_the_same_answer_whatever_is_beside_it(stack, others):
    text = "is this the one that must not change?"
    alone = Engine({KEY: TRUNK}, threads=1, cache=0)
    together = Engine({KEY: TRUNK}, threads=2, cache=0)
    (first,) = alone.run_blocking([Work(text, stack)], 30)
    works = [*(Work(t, s) for t, s in others), Work(text, stack)]
    last = together.run_blocking(works, 30)[-1]
    for one, other in zip(first.probabilities, last.probabilities, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    assert first.vectors.keys() == stack.spaces.keys() <= last.vectors.keys()
    for name, vector in first.vectors.items():
        np.testing.assert_allclose(vector, last.vectors[name], atol=1e-5)
    alone.close(1)
    together.close(1)


def test_a_loop_gets_what_a_thread_gets(engine):
    works = [Work(text, Stack([HEADS["linear"], HEADS["tfidf"]])) for text in TEXTS]

    async def ask():
        parts = await asyncio.gather(*(engine.run([work]) for work in works))
        return [part[0] for part in parts]

    check(works, asyncio.run(ask()))


def test_vectors_alone_and_no_texts(engine):
    async def ask():
        assert await engine.run([]) == []
        first = await engine.embed(TEXTS[:5], KEY)
        again = await engine.embed(TEXTS[:5], KEY)
        assert again[1:] in {(0, first[1]), first[1:]}  # read or spared, never neither
        return first[:2]

    vectors, tokens = asyncio.run(ask())
    np.testing.assert_allclose(vectors, TRUNK.encoder.encode(TEXTS[:5]), atol=1e-5)
    assert tokens <= sum(max(1, len(text)) for text in TEXTS[:5])


def test_states_come_from_the_same_pass():
    trunk = HashedTrunk(HashedEncoder(dimensions=D))
    made = Engine({KEY: trunk}, threads=1)
    stack = Stack([HEADS["linear"]], states=True)
    for _ in range(2):  # what is cached has no states
        (outcome,) = made.run_blocking([Work("card", stack)], 30)
        assert outcome.states.shape == (4, D)
        check([Work("card", stack)], [outcome])
    (plain,) = made.run_blocking([Work("card", Stack([HEADS["linear"]]))], 30)
    assert plain.states is None
    assert plain.cached
    made.close(1)


class Sick(ConstantPredictor):
    """Fails for texts that say so."""

    def logits(self, batch):
        if any("sick" in text for text in batch.texts):
            raise RuntimeError("this text makes me sick")
        return super().logits(batch)


def test_a_failing_predictor_fails_only_its_own_texts(engine):
    sick = Headed(Sick(labels=("x", "y"), log_prior=np.zeros(2)), None, "5" * 64)
    texts = ["well", "sick", "fine", "sick too"]
    works = [Work(text, Stack([HEADS["linear"], sick, HEADS["small"]])) for text in texts]
    works.append(Work("sick elsewhere", Stack([HEADS["linear"]])))
    outcomes = engine.run_blocking(works, 30)
    for work, outcome in zip(works[:4], outcomes[:4], strict=True):
        assert outcome.error is None
        assert (outcome.probabilities[1] is None) == ("sick" in work.text)
        assert set(outcome.failures or {}) == ({1} if "sick" in work.text else set())
        for place in (0, 2):
            head = work.stack.heads[place]
            np.testing.assert_allclose(
                outcome.probabilities[place], expected(head, work.text), atol=1e-6
            )
    check(works[4:], outcomes[4:])
    (again,) = engine.run_blocking([works[1]], 30)
    assert not again.cached  # a failure is not kept


class Wrong(Sick):
    """Gives one number too few."""

    def logits(self, batch):
        return np.zeros((len(batch), 1))

    def predict(self, batch):
        return ConstantPredictor(labels=("x",), log_prior=np.zeros(1)).predict(batch)


def test_an_answer_of_another_shape_is_a_failure(engine):
    wrong = Wrong(labels=("x", "y"), log_prior=np.zeros(2))
    stack = Stack([HEADS["linear"], Headed(wrong, None, "6" * 64)])
    works = [Work(text, stack) for text in ("one", "two")]
    for outcome in engine.run_blocking(works, 30):
        assert outcome.probabilities[1] is None
        assert "expected (1, 2)" in str(outcome.failures[1])


def test_a_vector_that_is_not_finite_fails_its_own_row():
    vectors = TRUNK.encoder.encode(TEXTS[:3])
    vectors[1, 2] = np.nan
    stack = Stack([HEADS["linear"], HEADS["small"], HEADS["wide"], HEADS["tfidf"]])
    known = [{None: vector} for vector in vectors]
    answers = answer_rows(TEXTS[:3], known, [(row, stack) for row in range(3)])
    assert set(answers[1].failures) == {0, 1, 2}
    assert answers[1].probabilities[3] is not None
    for row in (0, 2):
        for head, found in zip(stack.heads, answers[row].probabilities, strict=True):
            own = head.predictor.predict(Batch((TEXTS[row],), vectors[row : row + 1]))
            np.testing.assert_allclose(found, own.probabilities[0], atol=1e-6)


class BrokenTrunk(HashedTrunk):
    """Fails for some texts, in each of its parts."""

    def tokenise(self, texts):
        if any("cannot be read" in text for text in texts):
            raise RuntimeError("tokenizer")
        return super().tokenise(texts)

    def forward(self, tokens, *, states=False, adapters=None):
        if any(ord("€") in row for row in tokens):
            raise EncoderError("graph")
        return super().forward(tokens, states=states, adapters=adapters)


def test_an_encoder_error_fails_its_texts_and_nothing_else():
    made = Engine({KEY: BrokenTrunk(HashedEncoder(dimensions=D))}, threads=1)
    stack = Stack([HEADS["linear"]])
    works = [Work(text, stack) for text in ("a", "b €", "c", "this cannot be read", "d")]
    outcomes = made.run_blocking(works, 30)
    assert [type(each.error) for each in outcomes] == [
        type(None), EncoderError, type(None), RuntimeError, type(None),
    ]  # fmt: skip
    well = [0, 2, 4]
    check([works[i] for i in well], [outcomes[i] for i in well])
    check(works[:1], made.run_blocking(works[:1], 30))
    assert made.counters.failed == 2
    made.close(1)


def test_heads_that_stacks_share_are_in_memory_once():
    guards = [HEADS["small"], HEADS["wide"]]
    first, second = Stack([HEADS["linear"], *guards]), Stack([HEADS["small"], *guards])
    shared = {id(block) for block, _ in first.blocks} & {id(block) for block, _ in second.blocks}
    assert len(shared) == 1
    own = next(block for block, places in first.blocks if places == (0,))
    assert np.shares_memory(own.weights, HEADS["linear"].predictor.weights)


def test_a_stack_reads_one_trunk():
    other = Headed(linear(5), ("0" * 64, "fp32"))
    with pytest.raises(ValueError, match="2 trunks"):
        Stack([HEADS["linear"], other])
    with pytest.raises(ValueError, match="states"):
        Stack([HEADS["tfidf"]], states=True)


def test_a_trunk_comes_later(engine):
    stack = Stack([Headed(linear(5), (TRUNK.digest, "late"))])
    with pytest.raises(EncoderError, match="not loaded"):
        engine.run_blocking([Work("x", stack)], 30)
    late = HashedTrunk(HashedEncoder(dimensions=D), variant="late")
    engine.add_trunk(late)
    engine.add_trunk(HashedTrunk(HashedEncoder(dimensions=D), variant="late"))
    (outcome,) = engine.run_blocking([Work("x", stack)], 30)
    assert outcome.error is None
    assert late.passes == [["x"]]


def test_many_threads_and_tasks_at_once(engine):
    wrong = []

    def ask(seed):
        generator = np.random.default_rng(seed)
        for _ in range(15):
            names = [sorted(HEADS)[i] for i in generator.integers(0, len(HEADS), 3)]
            works = [
                Work(TEXTS[i], Stack([HEADS[name] for name in names]))
                for i in generator.integers(0, len(TEXTS), 8)
            ]
            try:
                check(works, engine.run_blocking(works, 30))
            except AssertionError as error:
                wrong.append(error)

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert engine.load() == (0, 0, engine.load().running)
