"""How texts wait, go together, are refused, dropped, shared and kept."""

import asyncio
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milepost.entities.errors import InputError, LateError, OverloadedError
from milepost.models.adapters import Adapter
from milepost.predictors.linear import LinearPredictor
from milepost.serving.engine.cache import LONGEST, STACKS, Cache
from milepost.serving.engine.engine import Engine
from milepost.serving.engine.lanes import PADDED_TOKENS, ROWS, Job, Lane, guess, passes
from milepost.serving.engine.tickets import CallbackTicket, Waiter
from milepost.serving.engine.work import Outcome, Stack, Work
from milepost.testing.encoders import HashedEncoder
from milepost.testing.trunks import HashedTrunk, Headed

D = 8


def flat(lists):
    return [each for inner in lists for each in inner]


class GatedTrunk(HashedTrunk):
    """Waits in each pass until it is let."""

    def __init__(self):
        super().__init__(HashedEncoder(dimensions=D))
        self.gate = threading.Semaphore(0)
        self.entered = threading.Semaphore(0)

    def forward(self, tokens, *, states=False, adapters=None):
        self.entered.release()
        assert self.gate.acquire(timeout=30)
        return super().forward(tokens, states=states, adapters=adapters)


KEY = (HashedTrunk(HashedEncoder(dimensions=D)).digest, "fp32")


def head(seed=0):
    generator = np.random.default_rng(seed)
    weights = generator.normal(size=(3, D)).astype(np.float32)
    made = LinearPredictor(labels=("a", "b", "c"), weights=weights, bias=np.zeros(3, np.float32))
    return Headed(made, KEY)


def tuned_head(seed):
    """A head that reads the encoder with an adapter of its own."""
    array = np.full((D, 1), float(seed), np.float32)
    change = Adapter(KEY[0], {"0.query": array}, {"0.query": array.T.copy()})
    made = replace(head(seed).predictor, adapter=change)
    return Headed(made, KEY)


STACK = Stack([head()])


class Asked:
    """What came back of one submission."""

    def __init__(self, engine, texts, stack=STACK, deadline=None):
        self.outcomes = None
        self.calls = 0
        self.there = threading.Event()
        engine.submit([Work(text, stack, deadline) for text in texts], self.done)

    def done(self, outcomes):
        self.outcomes = outcomes
        self.calls += 1
        self.there.set()

    def wait(self):
        assert self.there.wait(30)
        assert self.calls == 1
        return self.outcomes


@pytest.fixture
def gated():
    trunk = GatedTrunk()
    made = Engine({KEY: trunk}, threads=1, queue_texts=20)
    yield made, trunk
    trunk.gate.release(10_000)
    made.close(30)


def busy(engine, trunk, text="the first one"):
    """The engine's thread stands in a pass of one text."""
    first = Asked(engine, [text])
    assert trunk.entered.acquire(timeout=30)
    return first


def test_equal_texts_are_encoded_once_within_and_across_batches(gated):
    engine, trunk = gated
    first = busy(engine, trunk)
    joined = Asked(engine, ["the first one", "b", "b"], Stack([head(), head(1)]))
    again = Asked(engine, ["b"])
    trunk.gate.release(2)
    outcomes = [*first.wait(), *joined.wait(), *again.wait()]
    assert sorted(flat(trunk.passes)) == ["b", "the first one"]
    assert all(outcome.error is None for outcome in outcomes)
    assert len(outcomes[1].probabilities) == 2
    assert outcomes[2] is outcomes[3]  # who asks the same shares it
    np.testing.assert_allclose(outcomes[0].probabilities[0], outcomes[1].probabilities[0])
    counters = engine.counters
    assert (counters.texts, counters.joined, counters.encoded) == (5, 3, 2)


def test_the_cache_answers_without_the_encoder_and_serves_another_stack(gated):
    engine, trunk = gated
    trunk.gate.release(1)
    first = Asked(engine, ["a"]).wait()[0]
    second = Asked(engine, ["a"]).wait()[0]
    assert (first.cached, second.cached) == (False, True)
    np.testing.assert_array_equal(first.probabilities[0], second.probabilities[0])
    third = Asked(engine, ["a"], Stack([head(1)])).wait()[0]  # the vector is known
    assert not third.cached
    assert trunk.passes == [["a"]]
    assert (engine.counters.hits, engine.counters.known) == (1, 1)


def test_heads_with_other_adapters_share_a_pass_and_the_plain_vector(gated):
    engine, trunk = gated
    plain, tuned, other = head(), tuned_head(1), tuned_head(2)
    first = busy(engine, trunk)
    one = Asked(engine, ["card stolen twice"], Stack([plain, tuned]))
    joined = Asked(engine, ["card stolen twice"], Stack([other]))
    late = Asked(engine, ["the first one"], Stack([tuned]))  # its pass runs without the adapter
    trunk.gate.release(3)
    outcomes = [each.wait()[0] for each in (first, one, joined, late)]
    assert all(outcome.error is None for outcome in outcomes)
    # "card stolen twice" is a row for each of its three spaces, all of them of one pass.
    assert flat(trunk.passes).count("card stolen twice") == 3
    assert max(each.count("card stolen twice") for each in trunk.passes) == 3
    assert flat(trunk.passes).count("the first one") == 2
    digests = [each.predictor.adapter.digest for each in (tuned, other)]
    assert outcomes[1].vectors.keys() == {None, digests[0]}
    assert outcomes[2].vectors.keys() == {digests[1]}
    assert outcomes[2].vector is None
    vectors = [outcomes[1].vector, *(outcomes[i].vectors[digests[i - 1]] for i in (1, 2))]
    assert np.abs(vectors[0] - vectors[1]).max() > 0.1 < np.abs(vectors[1] - vectors[2]).max()
    # All of them are known now, whoever asked for them first.
    known = Asked(engine, ["card stolen twice"], Stack([other, head(9)])).wait()[0]
    assert (known.tokens, known.spared) == (0, 17)
    assert known.vectors.keys() == {None, digests[1]}


def test_a_full_queue_takes_all_of_a_submission_or_none(gated):
    engine, trunk = gated
    first = busy(engine, trunk)
    rest = Asked(engine, [f"text {i}" for i in range(18)])
    with pytest.raises(OverloadedError) as refused:
        Asked(engine, ["one", "two"])
    assert 0 < refused.value.retry_after <= 30
    assert not refused.value.own
    last = Asked(engine, ["one"])
    assert engine.load().texts == 20
    assert engine.counters.refused == 2
    trunk.gate.release(10)
    for asked in (first, rest, last):
        assert all(outcome.error is None for outcome in asked.wait())
    assert "two" not in flat(trunk.passes)
    with pytest.raises(InputError, match="21 texts at once"):
        Asked(engine, [str(i) for i in range(21)])


def test_the_queue_is_bounded_in_tokens_too():
    trunk = GatedTrunk()
    engine = Engine({KEY: trunk}, threads=1, queue_tokens=300)
    first = busy(engine, trunk)
    long = Asked(engine, ["x" * 1000])
    with pytest.raises(OverloadedError):
        Asked(engine, ["y" * 1000])
    trunk.gate.release(10)
    first.wait()
    long.wait()
    assert engine.load()[:2] == (0, 0)
    engine.close(30)


def test_late_work_is_dropped_before_it_is_encoded(gated):
    engine, trunk = gated
    first = busy(engine, trunk)
    now = time.monotonic()
    late = Asked(engine, ["late", "later", "shared"], deadline=now - 1)
    intime = Asked(engine, ["in time", "shared"], deadline=now + 60)
    trunk.gate.release(10)
    assert [type(each.error) for each in late.wait()] == [LateError] * 3
    assert [each.error for each in (*intime.wait(), *first.wait())] == [None] * 3
    assert {"late", "later"}.isdisjoint(flat(trunk.passes))
    assert engine.counters.late == 3


def test_a_coroutine_that_gives_up_lets_go_of_what_has_not_begun(gated):
    engine, trunk = gated
    first = busy(engine, trunk)

    async def give_up():
        await asyncio.wait_for(engine.run([Work("nobody waits", STACK)]), 0.01)

    with pytest.raises(TimeoutError):
        asyncio.run(give_up())
    trunk.gate.release(10)
    first.wait()
    assert engine.drain(30)
    assert trunk.passes == [["the first one"]]


def test_waiting_for_an_answer_has_an_end(gated):
    engine, _ = gated
    with pytest.raises(LateError):
        engine.run_blocking([Work("x", STACK)], 0.01)


def test_what_is_left_when_it_closes_is_told(gated):
    engine, trunk = gated
    first = busy(engine, trunk)
    waiting = Asked(engine, ["a", "b"])
    closing = threading.Thread(target=engine.close, args=(0.0,))
    closing.start()
    assert [type(each.error) for each in waiting.wait()] == [OverloadedError] * 2
    with pytest.raises(OverloadedError, match="shutting down"):
        Asked(engine, ["c"])
    trunk.gate.release(10)
    assert first.wait()[0].error is None  # what had begun is finished
    closing.join(30)
    assert not closing.is_alive()
    engine.close()


def test_a_callback_that_fails_harms_nobody(gated):
    engine, trunk = gated
    trunk.gate.release(10)

    def fail(outcomes):
        raise RuntimeError("mine")

    engine.submit([Work("a", STACK)], fail)
    assert Asked(engine, ["b"]).wait()[0].error is None


def test_a_loop_that_is_gone_harms_nobody(gated):
    engine, trunk = gated

    async def leave():
        task = asyncio.ensure_future(engine.run([Work("a", STACK)]))
        await asyncio.sleep(0)
        task.cancel()

    asyncio.run(leave())
    trunk.gate.release(10)
    assert Asked(engine, ["b"]).wait()[0].error is None


class Watching:
    """Keeps what it is told, and fails afterwards."""

    def __init__(self):
        self.batches = []
        self.lookups = []

    def batch(self, encoder, texts, tokens, seconds, waited):
        self.batches.append((encoder, texts, tokens, seconds >= 0, waited >= 0))
        raise RuntimeError("mine")

    def cache(self, hits, misses):
        self.lookups.append((hits, misses))
        raise RuntimeError("mine")


def test_an_observer_is_told_and_may_fail():
    watching = Watching()
    engine = Engine({KEY: HashedTrunk(HashedEncoder(dimensions=D))}, threads=1, observer=watching)
    Asked(engine, ["abc"]).wait()
    Asked(engine, ["abc", "de"]).wait()
    engine.close(30)
    assert watching.batches == [("fp32", 1, 3, True, True), ("fp32", 1, 2, True, True)]
    assert watching.lookups == [(0, 1), (1, 1)]


def waiting(text, number, length=None):
    ticket = CallbackTicket(1, print)
    length = guess(text, 256) if length is None else length
    return Job(text, length, number, 0.0, Waiter(ticket, 0, Work(text, STACK)))


lengths = st.lists(st.integers(1, 256), min_size=1, max_size=80)


@settings(max_examples=200)
@given(lengths, st.integers(1, 4), st.randoms(use_true_random=False))
def test_batches_are_bounded_and_nobody_is_overtaken_for_long(sizes, threads, random):
    lane = Lane(HashedTrunk())
    arriving = [waiting(f"{i}", i, size) for i, size in enumerate(sizes)]
    before = {}  # texts that waited when it came
    taken = 0
    batches = {}
    while arriving or len(lane):
        for _ in range(random.randint(0 if len(lane) else 1, 12)):
            if arriving:
                job = arriving.pop(0)
                before[job.number] = (len(lane), taken)
                lane.add(job, single=True)
        if not len(lane):
            continue
        share = -(-len(lane) // threads)
        oldest = lane.oldest
        jobs = lane.take(threads)
        taken += 1
        assert 1 <= len(jobs) <= min(ROWS, share)
        assert oldest in {job.number for job in jobs}
        assert len(jobs) == 1 or len(jobs) * max(j.length for j in jobs) <= PADDED_TOKENS
        for job in jobs:
            assert job.running
            batches[job.number] = taken
    assert sorted(batches) == list(range(len(sizes)))
    for number, (ahead, start) in before.items():
        assert batches[number] - start <= ahead + 1


def test_nearest_lengths_go_together():
    lane = Lane(HashedTrunk())
    for number, size in enumerate([10, 200, 12, 9, 180, 11, 220]):
        lane.add(waiting(f"{number}", number, size), single=True)
    assert sorted(job.length for job in lane.take(2)) == [9, 10, 11, 12]
    assert sorted(job.length for job in lane.take(1)) == [180, 200]
    assert [job.length for job in lane.take(1)] == [220]


@settings(max_examples=100)
@given(st.lists(st.integers(1, 256), min_size=1, max_size=16))
def test_a_batch_is_split_where_the_guess_was_far_off(sizes):
    trunk = HashedTrunk()
    split = passes(trunk, sizes)
    assert sorted(flat(split)) == list(range(len(sizes)))
    cost = sum(len(rows) * max(sizes[row] for row in rows) for rows in split)
    assert cost <= max(2 * PADDED_TOKENS, len(sizes) * max(sizes))
    if len(split) > 1:
        assert all(
            len(rows) == 1 or len(rows) * max(sizes[row] for row in rows) <= PADDED_TOKENS
            for rows in split
        )


def outcome(k=3):
    return Outcome((np.zeros(k, np.float32),), {None: np.zeros(D, np.float32)}, tokens=3)


@settings(max_examples=50)
@given(
    st.lists(st.tuples(st.integers(0, 12), st.integers(0, 30)), max_size=200),
    st.integers(1, 20_000),
)
def test_the_cache_is_bounded_and_counts_what_it_holds(accesses, most):
    cache = Cache(most)
    stacks = [Stack([Headed(head().predictor, KEY, f"{i:064}")]) for i in range(31)]
    for text, stack in accesses:
        cache.keep(f"text {text}", stacks[stack], outcome())
        found = cache.answer(f"text {text}", stacks[stack])
        assert found is None or (found.cached and (found.tokens, found.spared) == (0, 3))
        assert cache.size <= most
    for text in range(13):
        kept = [cache.answer(f"text {text}", stack) for stack in stacks]
        assert sum(each is not None for each in kept) <= STACKS
    assert (cache.size == 0) == (len(cache) == 0)


def test_least_recently_used_texts_go_first():
    cache = Cache(8000)
    for i in range(20):
        cache.keep(f"text {i}", STACK, outcome())
        cache.answer("text 0", STACK)
    assert cache.answer("text 0", STACK) is not None
    assert cache.answer("text 1", STACK) is None


def test_failures_and_very_long_texts_are_not_kept():
    cache = Cache(1_000_000)
    cache.keep("late", STACK, Outcome(error=LateError("x")))
    cache.keep("failed", STACK, Outcome(failures={0: ValueError("x")}))
    cache.keep("x" * (LONGEST + 1), STACK, outcome())
    assert len(cache) == 0
    none = Cache(0)
    none.keep("x", STACK, outcome())
    assert len(none) == 0
