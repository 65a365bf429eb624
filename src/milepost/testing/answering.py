"""A service that answers by the length of a text: for whoever builds a face of a server.

It keeps every promise of ``milepost.serving.asking.Answering`` but that of a model: the same text
always gets the same answer, feedback is kept once, a closed service answers nothing.
"""

import asyncio
import hashlib
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from datetime import UTC, datetime

import msgspec
import numpy as np

from milepost.entities.errors import (
    InputError,
    LateError,
    OverloadedError,
    UnknownNameError,
)
from milepost.entities.language import Piece, Tokens
from milepost.entities.serving import Answer, Answers, Ask, Feedback, Guard, ServedTask, Usage
from milepost.entities.upstream import Upstream
from milepost.serving.asking import Embedded, Said, ServedEncoder
from milepost.serving.passing.asking import EmbedAsk, PassAsk, Passed, Passing

MADE = datetime(2026, 1, 31, 12, tzinfo=UTC)
DIMENSIONS = 8

TASKS = (
    ServedTask(
        name="route",
        labels=("card", "delivery", "refund"),
        production=2,
        variant="fp32",
        created=MADE,
        instruction="Which desk answers?",
        descriptions={"card": "Lost and stolen cards", "delivery": "", "refund": "Money back"},
        guards=(Guard(task="abuse", labels=("abusive",)),),
    ),
    ServedTask(
        name="abuse",
        labels=("fine", "abusive"),
        production=1,
        variant="fp32",
        created=MADE,
        guards_for=("route",),
    ),
)
"""What is served where nothing else is given: a task and its guard."""


class NoPassing:
    """No language model is registered."""

    def upstreams(self) -> Sequence[Upstream]:
        """None."""
        return ()

    def upstream(self, name: str) -> Upstream:
        """Never finds one."""
        raise UnknownNameError("upstream", name, ())

    async def complete(self, ask: PassAsk) -> Passed:
        """Never answers."""
        raise UnknownNameError("upstream", ask.upstream, ())

    async def stream(self, ask: PassAsk) -> AsyncGenerator[Piece | Passed]:
        """Never answers."""
        raise UnknownNameError("upstream", ask.upstream, ())
        yield Piece()

    async def embed(self, ask: EmbedAsk) -> tuple[list[list[float]], Tokens]:
        """Never answers."""
        raise UnknownNameError("upstream", ask.upstream, ())


class LengthService:
    """Answers with the label whose place is the length of the text, modulo the labels.

    Args:
        tasks: What it serves.
        seconds: How long an answer takes; 0 answers without waiting.
        at_once: Most texts that it works on at a time; more are refused.
        clock: Monotonic seconds.
        passing: Language models that clients ask themselves; ``None`` for none.
    """

    def __init__(
        self,
        tasks: Sequence[ServedTask] = TASKS,
        *,
        seconds: float = 0.0,
        at_once: int = 1_000_000,
        clock: Callable[[], float] = time.monotonic,
        passing: Passing | None = None,
    ) -> None:
        self._tasks: Mapping[str, ServedTask] = {task.name: task for task in tasks}
        self._seconds = seconds
        self._at_once = at_once
        self._clock = clock
        self._traces: dict[str, str] = {}
        self._said: dict[str, Feedback] = {}
        self._closed = False
        self.working = 0
        self.asked: list[Ask] = []
        self.not_ready: str | None = None
        self.broken: dict[str, str] = {}
        self.passing: Passing = passing or NoPassing()

    async def answer(self, ask: Ask) -> Answers:
        """One answer per text."""
        task = self.task(ask.task)
        if ask.release not in (None, task.production, task.canary):
            numbers = [str(n) for n in (task.production, task.canary) if n]
            raise UnknownNameError("release", str(ask.release), numbers)
        await self._work(len(ask.texts), ask.deadline)
        self.asked.append(ask)
        return Answers(
            task=task.name,
            release=ask.release or task.production,
            channel="production" if ask.release is None else "pinned",
            predictions=tuple(self._one(task, text, ask.top or 5) for text in ask.texts),
            usage=Usage(inputs=len(ask.texts), tokens=sum(_tokens(t) for t in ask.texts)),
        )

    def _one(self, task: ServedTask, text: str, top: int) -> Answer:
        trace = f"t{hashlib.sha256(f'{task.name} {text}'.encode()).hexdigest()[:32]}"
        self._traces[trace] = task.name
        first = len(text) % len(task.labels)
        order = (*task.labels[first:], *task.labels[:first])
        weights = [2.0 ** -(place + 1) for place in range(len(order))]
        shares = {label: w / sum(weights) for label, w in zip(order, weights, strict=True)}
        return Answer(
            label=order[0],
            confidence=shares[order[0]],
            probabilities=dict(list(shares.items())[:top]),
            abstained=False,
            rung="length",
            guards={},
            trace_id=trace,
        )

    async def _work(self, texts: int, deadline: float | None) -> None:
        if self._closed:
            raise OverloadedError("the server is stopping.")
        if self.working + texts > self._at_once:
            raise OverloadedError("the queue is full.", retry_after=1.0)
        if deadline is not None and self._clock() > deadline:
            raise LateError("the deadline passed before there was an answer.")
        if self._seconds:
            self.working += texts
            try:
                await asyncio.sleep(self._seconds)
            finally:
                self.working -= texts

    async def embed(self, texts: Sequence[str], deadline: float | None = None) -> Embedded:
        """A vector that follows from each text alone."""
        await self._work(len(texts), deadline)
        vectors = np.stack([_vector(text) for text in texts])
        return Embedded(vectors=vectors, tokens=sum(map(_tokens, texts)), encoder="length-8")

    def encoder(self) -> ServedEncoder | None:
        """The encoder behind ``embed``."""
        return ServedEncoder(name="length-8", dimensions=DIMENSIONS, max_tokens=256)

    def task(self, name: str) -> ServedTask:
        """A task that is served."""
        if name not in self._tasks:
            raise UnknownNameError("task", name, sorted(self._tasks))
        return self._tasks[name]

    def asks(self, task: str) -> bool:
        """Never: it asks nobody."""
        return task in self._tasks and self._tasks[task].asks

    def tasks(self) -> Sequence[ServedTask]:
        """All tasks by name."""
        return sorted(self._tasks.values(), key=lambda task: task.name)

    async def feedback(self, said: Said) -> tuple[Feedback, bool]:
        """Keeps what was said about an answer that it gave."""
        name = self._traces.get(said.trace)
        if name is None or (said.tasks and name not in said.tasks):
            raise UnknownNameError("trace", said.trace, [])
        task = self.task(name)
        if said.label is not None and said.label not in task.labels:
            raise UnknownNameError("label", said.label, task.labels)
        if said.label is None and said.rating is None and said.comment is None:
            raise InputError("nothing is said.", advice="Send a label, a rating or a comment.")
        digest = hashlib.sha256(msgspec.json.encode(said)).hexdigest()[:32]
        if digest in self._said:
            return self._said[digest], False
        kept = Feedback(
            id=f"f{digest}", trace=said.trace, task=name, release=task.production,
            channel="production", at=MADE, key=said.key, label=said.label, rating=said.rating,
            comment=said.comment, text=said.text,
        )  # fmt: skip
        self._said[digest] = kept
        return kept, True

    def unready(self) -> str | None:
        """Why it should get no traffic: what a test set, or that it is closed."""
        return "it is closed." if self._closed else self.not_ready

    def problems(self) -> dict[str, str]:
        """What a test set."""
        return self.broken

    async def close(self, grace: float) -> None:
        """Answers nothing any more."""
        self._closed = True
        until = self._clock() + grace
        while self.working and self._clock() < until:
            await asyncio.sleep(0.005)


def _tokens(text: str) -> int:
    return len(text.split()) + 2


def _vector(text: str) -> np.ndarray:
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8])
    vector = np.random.default_rng(seed).normal(size=DIMENSIONS).astype(np.float32)
    return vector / np.float32(np.linalg.norm(vector))
