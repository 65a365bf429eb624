"""Ways in which an upstream misbehaves, on demand: around a model, and in the test server.

A fault belongs to a call, not to a time: which calls have it follows from their number and a seed.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Annotated, Literal

import msgspec

from milepost.entities.errors import UpstreamError
from milepost.entities.language import Completion, ModelRequest, Piece, Tokens
from milepost.entities.upstream import Upstream
from milepost.models.language.asking import LanguageModel, Terms

Kind = Literal[
    "hang", "slow", "half", "wrong_json", "reset", "storm", "huge", "server_error", "unreachable"
]
"""``hang``: nothing ever comes. ``slow``: a byte at a time, with pauses. ``half``: it ends in the
middle. ``wrong_json``: what comes is not JSON. ``reset``: the connection is torn down. ``storm``:
429 with ``Retry-After``. ``huge``: more than 10 MB. ``server_error``: 500. ``unreachable``: nobody
listens."""

HUGE_BYTES = 11 * 1024 * 1024
"""Size of a huge answer: more than is ever read."""


class Fault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A fault and which calls have it.

    Attributes:
        kind: What goes wrong.
        share: Share of calls that have it.
        first: Only this many calls at the beginning have it; ``None`` for no end.
        retry_after: Seconds that a storm asks to wait; ``None`` says nothing.
        pause: Seconds between the bytes or pieces of a slow answer.
        seed: Of the share.
    """

    kind: Kind
    share: Annotated[float, msgspec.Meta(ge=0.0, le=1.0)] = 1.0
    first: int | None = None
    retry_after: float | None = 1.0
    pause: float = 0.25
    seed: int = 0

    def hits(self, number: int) -> bool:
        """Whether the call of a number, from 0 on, has it."""
        if self.first is not None and number >= self.first:
            return False
        # Not for secrets: the same calls must have it at every run.
        return random.Random(f"{self.seed} {number}").random() < self.share  # noqa: S311


OUTCOMES = {
    "wrong_json": ("malformed", "the answer is not JSON."),
    "reset": ("reset", "the connection was torn down."),
    "storm": ("rate_limited", "too many requests."),
    "huge": ("too_large", "the answer is larger than 10 MB."),
    "server_error": ("server_error", "it answered 500."),
    "unreachable": ("unreachable", "nobody listens there."),
    "half": ("cut_off", "the answer ended in the middle."),
}
"""Outcome and words of the faults that end a call."""


class Faulty:
    """A model whose calls go wrong; implements ``LanguageModel``. Used on one event loop.

    A call that hangs heeds no deadline: whoever stands around it must.

    Args:
        inner: What answers otherwise.
        fault: What goes wrong; ``None`` for nothing. May be set anew at any time.
        sleep: Waits.
    """

    def __init__(
        self,
        inner: LanguageModel,
        fault: Fault | None,
        *,
        sleep: Callable[[float], "asyncio.Future[None]"] | None = None,
    ) -> None:
        self._inner = inner
        self._sleep = sleep or asyncio.sleep
        self.fault = fault
        self.calls = 0

    @property
    def upstream(self) -> Upstream:
        """That of the model inside."""
        return self._inner.upstream

    async def complete(self, request: ModelRequest, terms: Terms) -> Completion:
        """The answer, or what goes wrong instead."""
        fault = self._next()
        if fault is None:
            return await self._inner.complete(request, terms)
        if fault.kind == "slow":
            completion = await self._inner.complete(request, terms)
            for _ in completion.text:
                await self._sleep(fault.pause)
            return completion
        return await self._wrong(fault)

    async def stream(self, request: ModelRequest, terms: Terms) -> AsyncIterator[Piece]:
        """Pieces, or what goes wrong with them."""
        fault = self._next()
        if fault is not None and fault.kind not in ("slow", "half"):
            await self._wrong(fault)
        waiting: Piece | None = None
        async for piece in self._inner.stream(request, terms):
            if fault is not None and fault.kind == "half":
                if waiting is not None or piece.whole is not None:
                    await self._wrong(fault)
                waiting = piece
            elif fault is not None:
                await self._sleep(fault.pause)
            yield piece

    async def embed(self, texts: Sequence[str], terms: Terms) -> tuple[list[list[float]], Tokens]:
        """Vectors, or what goes wrong instead."""
        fault = self._next()
        if fault is not None and fault.kind != "slow":
            await self._wrong(fault)
        if fault is not None:
            await self._sleep(fault.pause)
        return await self._inner.embed(texts, terms)

    async def close(self) -> None:
        """Closes the model inside."""
        await self._inner.close()

    def _next(self) -> Fault | None:
        number, self.calls = self.calls, self.calls + 1
        return self.fault if self.fault is not None and self.fault.hits(number) else None

    async def _wrong(self, fault: Fault) -> Completion:
        while fault.kind == "hang":
            await self._sleep(3600.0)
        outcome, what = OUTCOMES[fault.kind]
        raise UpstreamError(
            outcome,
            what,
            upstream=self.upstream.name,
            retry_after=fault.retry_after if fault.kind == "storm" else None,
            attempts=1,
        )
