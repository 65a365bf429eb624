"""The same question to the same model is asked once."""

import asyncio
import hashlib
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any, cast

from msgspec.structs import replace

from milepost._base.digest import canonical_json
from milepost.entities.errors import UpstreamError
from milepost.entities.language import Completion, ModelRequest, Piece, Tokens
from milepost.entities.model_calls import Outcome
from milepost.entities.upstream import Upstream
from milepost.models.language.asking import LanguageModel, Terms
from milepost.models.language.caching.stores import AnswerStore

KEPT_S = 30 * 86_400.0
"""How long an answer is kept: hosted models change behind their names within months."""

SETTLING_S = 0.03
"""Longest that a cancelled call is waited for."""

OWN: frozenset[Outcome] = frozenset(
    {"timeout", "overloaded", "cancelled", "over_budget", "no_price", "breaker_open"}
)
"""Outcomes that follow from the deadline, budget or purpose of who asked: others who wait for the
same answer then ask for themselves."""


def cacheable(request: ModelRequest) -> bool:
    """Whether the model would answer the same again, as far as it can: no sampling, or a seed."""
    return request.temperature == 0.0 or request.seed is not None


def scope_of(terms: Terms) -> str:
    """Who shares answers: a task's callers, else those of a key, else the workspace's own."""
    if terms.task is not None:
        return f"task:{terms.task}"
    return "workspace" if terms.key is None else f"key:{terms.key}"


class Cached:
    """A language model that remembers its answers. Used on one event loop.

    Calls for an answer that is on its way wait for it instead of asking again. What they wait for
    outlives the caller who asked first, and is cancelled when nobody waits any more; it goes on
    under the first caller's terms.

    Args:
        inner: Asked for what is not known.
        answers: Where answers are kept; of one tenant alone.
        scope: Whose answers a call may see, and who will see its own.
        kept_s: Seconds that an answer is kept, > 0.
        clock: Seconds that never go back, as ``Terms.deadline`` counts them.
    """

    def __init__(
        self,
        inner: LanguageModel,
        answers: AnswerStore,
        *,
        scope: Callable[[Terms], str] = scope_of,
        kept_s: float = KEPT_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._inner = inner
        self._answers = answers
        self._scope = scope
        self._kept_s = kept_s
        self._clock = clock
        self._identity = hashlib.sha256(identity(inner.upstream))
        self._flights: dict[tuple[str, str], _Flight] = {}

    @property
    def upstream(self) -> Upstream:
        """Where it is and what it costs."""
        return self._inner.upstream

    async def holds(self, request: ModelRequest, terms: Terms) -> bool:
        """Whether the answer is known already, so that a call would cost nothing."""
        if not terms.cache or not cacheable(request):
            return False
        scope = self._scope(terms)
        return await self._answers.answer(scope, self._digest(request)) is not None

    async def complete(self, request: ModelRequest, terms: Terms) -> Completion:
        """The whole answer; see ``LanguageModel``."""
        if not terms.cache or not cacheable(request):
            return await self._inner.complete(request, terms)
        key = (self._scope(terms), self._digest(request))
        while True:
            flight = self._flights.get(key)
            if flight is None:
                return await self._outcome(key, self._take_off(key, request, terms))
            try:
                return _hit(await self._joined(key, flight, terms))
            except UpstreamError as error:
                if error.outcome not in OWN or self._late(terms):
                    raise _shared(error) from None

    async def stream(self, request: ModelRequest, terms: Terms) -> AsyncGenerator[Piece]:
        """The answer as it comes; one that is known comes as a single piece.

        Streams do not wait for each other: a caller who reads slowly would hold up the others.
        """
        if not terms.cache or not cacheable(request):
            async with aclosing(cast(Any, self._inner.stream(request, terms))) as pieces:
                async for piece in pieces:
                    yield piece
            return
        key = (self._scope(terms), self._digest(request))
        known = await self._answers.answer(*key)
        if known is not None:
            yield _one_piece(_hit(known))
            return
        async with aclosing(cast(Any, self._inner.stream(request, terms))) as pieces:
            async for piece in pieces:
                if piece.whole is not None:
                    await self._keep(key, piece.whole, terms)
                yield piece

    async def embed(self, texts: Sequence[str], terms: Terms) -> tuple[list[list[float]], Tokens]:
        """Vectors of texts, which are not remembered."""
        return await self._inner.embed(texts, terms)

    async def close(self) -> None:
        """Cancel what is on its way, and let go of connections."""
        flights = [flight.call for flight in self._flights.values()]
        for call in flights:
            call.cancel()
        await asyncio.gather(*flights, return_exceptions=True)
        await self._inner.close()

    def _take_off(self, key: tuple[str, str], request: ModelRequest, terms: Terms) -> "_Flight":
        """Look for an answer, and ask where there is none: one at a time for each question."""
        flight = _Flight(asyncio.create_task(self._ask(key, request, terms)))
        self._flights[key] = flight
        flight.call.add_done_callback(lambda _: self._forget(key, flight))
        return flight

    def _forget(self, key: tuple[str, str], flight: "_Flight") -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]

    async def _ask(self, key: tuple[str, str], request: ModelRequest, terms: Terms) -> Completion:
        known = await self._answers.answer(*key)
        if known is not None:
            return _hit(known)
        found = await self._inner.complete(request, terms)
        await self._keep(key, found, terms)
        return found

    async def _keep(self, key: tuple[str, str], found: Completion, terms: Terms) -> None:
        """Keep an answer; who has a deadline is not held up by a store that is slow."""
        if found.finish == "content_filter":
            return
        left = None if terms.deadline is None else max(0.0, terms.deadline - self._clock())
        with suppress(TimeoutError):
            async with asyncio.timeout(left):
                await self._answers.keep(*key, self.upstream.name, found, self._kept_s)

    async def _joined(self, key: tuple[str, str], flight: "_Flight", terms: Terms) -> Completion:
        """What somebody else asked for, by this caller's own deadline."""
        deadline = terms.deadline
        if deadline is None:
            deadline = self._clock() + self.upstream.timeout_s
        try:
            async with asyncio.timeout(deadline - self._clock()):
                return await self._outcome(key, flight)
        except TimeoutError:
            what = "the answer that others wait for as well did not come by the deadline."
            raise UpstreamError("timeout", what, upstream=self.upstream.name) from None

    async def _outcome(self, key: tuple[str, str], flight: "_Flight") -> Completion:
        """What comes of a flight; the last one to leave ends it, and waits until it is settled."""
        flight.waiting += 1
        try:
            return await asyncio.shield(flight.call)
        except asyncio.CancelledError:
            if flight.call.cancelled():
                what = "the call was ended before it was answered."
                raise UpstreamError("cancelled", what, upstream=self.upstream.name) from None
            if flight.waiting == 1:
                self._forget(key, flight)
                flight.call.cancel()
                await asyncio.wait({flight.call}, timeout=SETTLING_S)
            raise
        finally:
            flight.waiting -= 1

    def _late(self, terms: Terms) -> bool:
        return terms.deadline is not None and self._clock() >= terms.deadline

    def _digest(self, request: ModelRequest) -> str:
        digest = self._identity.copy()
        digest.update(canonical_json(request))
        return digest.hexdigest()


@dataclass(slots=True)
class _Flight:
    """An answer on its way, and how many wait for it."""

    call: asyncio.Task[Completion]
    waiting: int = 0


def identity(upstream: Upstream) -> bytes:
    """What makes a model another one: its name there, and where that is."""
    places = sorted(endpoint.base_url for endpoint in upstream.endpoints)
    return canonical_json([upstream.wire, upstream.model, places])


def _hit(known: Completion) -> Completion:
    """As it was given, its seconds too: these say what it is like to ask the model."""
    return replace(known, micro_usd=0, attempts=0, cached="exact")


def _one_piece(whole: Completion) -> Piece:
    return Piece(text=whole.text, tool_calls=whole.tool_calls, logprobs=whole.logprobs, whole=whole)


def _shared(error: UpstreamError) -> UpstreamError:
    """The same failure for somebody who paid nothing for it."""
    return UpstreamError(
        error.outcome,
        error.what,
        upstream=error.upstream,
        advice=error.advice,
        retry_after=error.retry_after,
    )
