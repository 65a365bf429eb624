"""One queue and one encoder pass for the texts of all tasks. Knows neither HTTP nor routing."""

import asyncio
import os
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from milepost.entities.errors import EncoderError, InputError, LateError, OverloadedError
from milepost.serving.engine.cache import Cache
from milepost.serving.engine.lanes import Job, Lane, guess
from milepost.serving.engine.observing import TEXT, Counters, Observer
from milepost.serving.engine.running import answers_of, encode
from milepost.serving.engine.tickets import (
    CallbackTicket,
    Done,
    FutureTicket,
    Mailbox,
    Ticket,
    Waiter,
    tell,
)
from milepost.serving.engine.work import Encoding, Outcome, Stack, TrunkKey, Work

QUEUE_TEXTS = 4096
"""Most texts that wait: about two seconds of work of one machine."""

QUEUE_TOKENS = 262_144
"""Most tokens that wait, as guessed from the lengths of the texts."""

CACHE_BYTES = 48 * 2**20
"""Bytes of the cache: about 14,000 short texts with their vectors."""

_SHORTEST_RETRY, _LONGEST_RETRY = 0.1, 30.0
_LAST_BATCH = 10.0
"""Seconds that the end of a batch is waited for when the engine is closed."""

_SMOOTHING = 0.05
"""Weight of the newest batch in the pace: about the last twenty count."""


class Load(NamedTuple):
    """What waits and runs now.

    Attributes:
        texts: Texts that wait.
        tokens: Their guessed tokens.
        running: Batches that run.
    """

    texts: int
    tokens: int
    running: int


class Engine:
    """Answers texts. Any thread may call any method; coroutines of one loop at a time ``run``.

    Its own threads, one per processor, each take what waits as soon as they are free: there is no
    timer. They end with :meth:`close` and never by an error.

    Args:
        trunks: Encoders by digest and variant; more come by :meth:`add_trunk`.
        threads: Callers of the encoders, ≥ 1; ``None`` takes the processors of this process.
        queue_texts: Most texts accepted and not answered yet.
        queue_tokens: Most of their tokens, as guessed from their lengths.
        cache: Bytes of the cache of answers; 0 for none.
        observer: Told about each batch; ``None`` for nobody.
    """

    def __init__(
        self,
        trunks: Mapping[TrunkKey, Encoding] | None = None,
        *,
        threads: int | None = None,
        queue_texts: int = QUEUE_TEXTS,
        queue_tokens: int = QUEUE_TOKENS,
        cache: int = CACHE_BYTES,
        observer: Observer | None = None,
    ) -> None:
        self.counters = Counters()
        self._observer = observer
        self._limits = (queue_texts, queue_tokens)
        self._lock = threading.Lock()
        self._lanes: dict[TrunkKey | None, Lane] = {None: Lane(None)}
        for trunk in (trunks or {}).values():
            self.add_trunk(trunk)
        self._cache = Cache(cache)
        self._number = 0
        self._open = 0
        self._tokens = 0
        self._running = 0
        self._pace = 0.0  # thread seconds per text, smoothed
        self._closing = False
        self._stopped = False
        self._drained: threading.Event | None = None
        self._mailbox: Mailbox | None = None
        self._gates: list[threading.Lock] = []
        self._threads = [
            threading.Thread(target=self._serve, name=f"milepost-engine-{i}", daemon=True)
            for i in range(threads or _processors())
        ]
        for thread in self._threads:
            thread.start()

    def add_trunk(self, trunk: Encoding) -> None:
        """Take one more trunk; one of the same digest and variant stays as it is."""
        with self._lock:
            self._lanes.setdefault((trunk.digest, trunk.variant), Lane(trunk))

    def load(self) -> Load:
        """What waits and runs now."""
        with self._lock:
            return Load(self._open, self._tokens, self._running)

    @property
    def cached_texts(self) -> int:
        """Texts in the cache."""
        return len(self._cache)

    @property
    def cached_bytes(self) -> int:
        """Bytes that the cache holds, about."""
        return self._cache.size

    async def run(self, works: Sequence[Work]) -> list[Outcome]:
        """The outcomes of all texts, in order, once all are there.

        What is in the cache is answered at once, without another thread. A caller that is
        cancelled lets go of what has not begun.

        Raises:
            OverloadedError: If not all of them can wait; then none does.
            EncoderError: If a stack's trunk was never added.
        """
        loop = asyncio.get_running_loop()
        mailbox = self._mailbox
        if mailbox is None or mailbox.loop is not loop:
            mailbox = self._mailbox = Mailbox(loop)
        ticket = FutureTicket(len(works), mailbox)
        if self._submit(works, ticket):
            return ticket.results()
        try:
            return await ticket.wait()
        except asyncio.CancelledError:
            ticket.abandoned = True
            raise

    def submit(self, works: Sequence[Work], done: Done) -> None:
        """Let ``done`` be called with the outcomes of all texts, in order, once all are there.

        It is called once, on an engine thread, or on this one before it returns where all was in
        the cache; it must not block.

        Raises:
            OverloadedError: If not all of them can wait; then none does, and ``done`` is not
                called.
            EncoderError: If a stack's trunk was never added.
        """
        ticket = CallbackTicket(len(works), done)
        if self._submit(works, ticket):
            ticket.finish()

    def run_blocking(self, works: Sequence[Work], timeout: float | None = None) -> list[Outcome]:
        """As :meth:`run`, for a thread without a loop.

        Args:
            works: The texts.
            timeout: Seconds to wait; ``None`` for as long as it takes.

        Raises:
            LateError: If it took longer.
        """
        found: list[list[Outcome]] = []
        arrived = threading.Event()

        def done(outcomes: list[Outcome]) -> None:
            found.append(outcomes)
            arrived.set()

        self.submit(works, done)
        if not arrived.wait(timeout):
            raise LateError(f"there was no answer within {timeout:g} s.")
        return found[0]

    async def embed(
        self, texts: Sequence[str], trunk: TrunkKey, deadline: float | None = None
    ) -> tuple[NDArray[np.float32], int, int]:
        """Vectors ``(n, d) float32`` of at least one text; the tokens that were read and spared.

        Raises:
            OverloadedError: If not all of them can wait.
            LateError: If the deadline passed.
            EncoderError: If the trunk was never added, or it failed.
        """
        stack = Stack((), trunk)
        outcomes = await self.run([Work(text, stack, deadline) for text in texts])
        for outcome in outcomes:
            if outcome.error is not None:
                raise outcome.error
        vectors = [each.vector for each in outcomes if each.vector is not None]
        read = sum(each.tokens for each in outcomes)
        return np.array(vectors, np.float32), read, sum(each.spared for each in outcomes)

    def drain(self, grace: float) -> bool:
        """Wait until all that was accepted is answered; whether that came within ``grace`` s."""
        with self._lock:
            if not self._open:
                return True
            if self._drained is None:
                self._drained = threading.Event()
            drained = self._drained
        return drained.wait(grace)

    def close(self, grace: float = 0.0) -> None:
        """Take no more, finish what was accepted within ``grace`` seconds, refuse the rest.

        Blocks: a loop calls it by ``asyncio.to_thread``. May be called again.
        """
        with self._lock:
            self._closing = True
        self.drain(grace)
        with self._lock:
            left = [(lane, job) for lane in self._lanes.values() for job in lane.clear()]
            gates, self._gates = self._gates, []
            self._stopped = True
        for lane, job in left:
            job.error = _closing()
            self._settle(lane, [job])
        for gate in gates:
            gate.release()
        for thread in self._threads:
            thread.join(_LAST_BATCH)

    # On the thread of the caller.

    def _submit(self, works: Sequence[Work], ticket: Ticket) -> bool:
        """Accept all texts or none; whether all are answered already."""
        now = time.monotonic()
        counters = self.counters
        with self._lock:
            missed = self._look_up(works, ticket)
            if missed:
                for at, length in zip(missed, self._admit(works, missed), strict=True):
                    self._add(works[at], Waiter(ticket, at, works[at]), length, now)
            counters.texts += len(works)
            hits = len(works) - len(missed)
            counters.hits += hits
            gates = self._gates[: len(missed)]
            del self._gates[: len(missed)]
        for gate in gates:
            gate.release()
        if self._observer is not None:
            with suppress(Exception):
                self._observer.cache(hits, len(missed))
        return not missed

    def _look_up(self, works: Sequence[Work], ticket: Ticket) -> list[int]:
        """Put what the cache knows; places of the rest."""
        if not self._cache.most:
            return list(range(len(works)))
        missed: list[int] = []
        for at, work in enumerate(works):
            hit = None if work.stack.states else self._cache.answer(work.text, work.stack)
            if hit is None:
                missed.append(at)
            else:
                ticket.put(at, hit)
        return missed

    def _admit(self, works: Sequence[Work], missed: Sequence[int]) -> list[int]:
        """Guessed lengths of these texts; raises unless all of them can be accepted."""
        lengths: list[int] = []
        for at in missed:
            work = works[at]
            lane = self._lanes.get(work.stack.trunk)
            if lane is None:
                raise EncoderError(
                    f"the encoder {work.stack.trunk} was not loaded.",
                    advice="Open it with the workspace, or release for an encoder that it has.",
                )
            lengths.append(guess(work.text, lane.most))
        most_texts, most_tokens = self._limits
        if len(missed) > most_texts:
            raise InputError(
                f"these are {len(missed):,} texts at once; the queue holds {most_texts:,}.",
                advice="Ask in several parts.",
            )
        too_many = self._open + len(missed) > most_texts
        too_long = self._open and self._tokens + sum(lengths) > most_tokens
        if too_many or too_long or self._closing:
            self.counters.refused += len(works)
            if self._closing:
                raise _closing()
            raise OverloadedError(
                f"{self._open:,} texts wait to be answered.", retry_after=self._seconds_left()
            )
        return lengths

    def _seconds_left(self) -> float:
        """Seconds that what waits will take at the pace of the last batches."""
        seconds = self._open * self._pace / len(self._threads)
        return min(_LONGEST_RETRY, max(_SHORTEST_RETRY, round(seconds, 1)))

    def _add(self, work: Work, waiter: Waiter, length: int, now: float) -> None:
        """Let one text wait: with the same text on its way, or as a new job."""
        text, stack = work.text, work.stack
        self._open += 1
        lane = self._lanes[stack.trunk]
        job = lane.jobs.get(text)
        if job is not None and job.join(waiter):
            self.counters.joined += 1
            return
        self._number += 1
        self._tokens += length
        job = Job(text, length, self._number, now, waiter)
        if lane.trunk is not None and not stack.states:
            known, spared = self._cache.vectors(text, stack.trunk)
            job.vectors.update(known)
            if known and job.wanted.keys() <= known.keys():
                job.spared = spared
                self.counters.known += 1
                self._lanes[None].add(job, single=False)
                return
        lane.add(job, single=True)

    # On the engine's own threads.

    def _serve(self) -> None:
        """Take a batch, answer it, until the engine is closed."""
        gate = threading.Lock()
        gate.acquire()
        while True:
            with self._lock:
                lane = self._next()
                if lane is None:
                    if self._stopped:
                        return
                    self._gates.append(gate)
                    jobs: list[Job] = []
                else:
                    jobs = lane.take(len(self._threads))
                    self._running += 1
                    self._tokens -= sum(job.length for job in jobs)
            if lane is None:
                gate.acquire()
                continue
            try:
                self._answer(lane, jobs)
            except BaseException as error:  # noqa: BLE001 - a thread must not die of a batch
                self._give_up(lane, jobs, error)
            with self._lock:
                self._running -= 1

    def _next(self) -> Lane | None:
        """The lane whose oldest text waits longest; ``None`` where none waits."""
        waiting = [lane for lane in self._lanes.values() if len(lane)]
        if len(waiting) > 1:
            return min(waiting, key=lambda lane: lane.oldest)
        return waiting[0] if waiting else None

    def _answer(self, lane: Lane, jobs: list[Job]) -> None:
        """One batch, from what was taken to all who waited for it."""
        begun = time.monotonic()
        jobs = self._drop_late(lane, jobs, begun)
        if not jobs:
            return
        trunk = lane.trunk
        if trunk is not None:
            encode(trunk, jobs)
        self._settle(lane, jobs)
        self._account(trunk, jobs, begun)

    def _give_up(self, lane: Lane, jobs: Sequence[Job], error: BaseException) -> None:
        """Tell all who still wait for a batch that something unforeseen broke it."""
        for job in jobs:
            job.error = error if isinstance(error, Exception) else EncoderError(f"{error!r}.")
        self._settle(lane, jobs)

    def _account(self, trunk: Encoding | None, jobs: Sequence[Job], begun: float) -> None:
        seconds = time.monotonic() - begun
        encoded = 0 if trunk is None else len(jobs)
        tokens = sum(job.tokens for job in jobs)
        with self._lock:
            counters = self.counters
            counters.batches += 1
            counters.encoded += encoded
            counters.tokens += tokens
            counters.busy_seconds += seconds
            weight = _SMOOTHING if self._pace else 1.0
            self._pace += weight * (seconds / len(jobs) - self._pace)
        if self._observer is not None:
            waited = begun - min(job.since for job in jobs)
            name = TEXT if trunk is None else trunk.variant
            with suppress(Exception):
                self._observer.batch(name, len(jobs), tokens, seconds, waited)

    def _drop_late(self, lane: Lane, jobs: list[Job], now: float) -> list[Job]:
        """Tell those who wait no more; the jobs that somebody still waits for."""
        finished: list[Ticket] = []
        late = Outcome(error=LateError("the deadline passed before the text was read."))
        with self._lock:
            for job in jobs:
                gone = job.leave(now)
                if gone:
                    self._close_texts(len(gone))
                    self.counters.late += len(gone)
                    finished.extend(each.ticket for each in gone if each.ticket.put(each.at, late))
                if not job.waiters:
                    lane.done(job)
        tell(finished)
        return [job for job in jobs if job.waiters]

    def _settle(self, lane: Lane, jobs: Sequence[Job]) -> None:
        """Run the heads, tell all who wait, and again for those who joined meanwhile."""
        left = [job for job in jobs if job.waiters]
        while left:
            answered = answers_of(left)
            finished: list[Ticket] = []
            with self._lock:
                for job, outcomes in zip(left, answered, strict=True):
                    self._put(job, outcomes, finished)
                    if not job.waiters:
                        lane.done(job)
            tell(finished)
            left = [job for job in left if job.waiters]

    def _put(self, job: Job, outcomes: Sequence[Outcome], finished: list[Ticket]) -> None:
        """Give the first waiters of a job their outcomes; the tickets that this completes."""
        counters = self.counters
        for waiter, outcome in zip(job.waiters, outcomes, strict=False):
            if outcome.error is not None:
                counters.failed += 1
            elif outcome.failures is not None:
                counters.head_failures += len(outcome.failures)
            else:
                self._cache.keep(job.text, waiter.stack, outcome)
            if waiter.ticket.put(waiter.at, outcome):
                finished.append(waiter.ticket)
        del job.waiters[: len(outcomes)]
        self._close_texts(len(outcomes))

    def _close_texts(self, count: int) -> None:
        self._open -= count
        if not self._open and self._drained is not None:
            self._drained.set()
            self._drained = None


def _closing() -> OverloadedError:
    return OverloadedError("this server is shutting down.")


def _processors() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1
