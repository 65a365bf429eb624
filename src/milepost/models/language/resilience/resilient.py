"""The layer that tries again, elsewhere or later, and never for longer than it may."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Sequence
from contextlib import aclosing
from random import Random
from typing import Any, TypeVar, cast

from msgspec.structs import replace

from milepost.entities.errors import UpstreamError
from milepost.entities.language import Completion, ModelRequest, Piece, Tokens
from milepost.entities.model_calls import AGAIN, Outcome
from milepost.entities.upstream import Upstream
from milepost.models.language.asking import LanguageModel, Terms
from milepost.models.language.resilience.allowance import Allowance
from milepost.models.language.resilience.hedging import Hedge
from milepost.models.language.resilience.lane import OF_THE_ENDPOINT, Flight, Lane
from milepost.models.language.resilience.lanes import Lanes
from milepost.models.language.resilience.streaming import Opened, first_piece, rest
from milepost.models.language.resilience.trial import GRACE_S, Trial

T = TypeVar("T")

Once = Callable[[LanguageModel, Terms], Coroutine[Any, Any, T]]
"""One attempt at one endpoint."""

ATTEMPTS = 4
"""Most attempts of a call, the first included."""

BACKOFF_S = 0.25
"""Longest wait before the second attempt; doubled for each further one. The wait itself is drawn
between 0 and that ("full jitter": Brooker, Exponential Backoff And Jitter, 2015)."""

LONGEST_BACKOFF_S = 8.0

UNSENT: frozenset[Outcome] = frozenset({"over_budget", "no_price", "no_key", "blocked_address"})
"""Outcomes of attempts that never left."""


class Resilient:
    """A language model over the endpoints of one upstream. Used on one event loop.

    A call ends by the earlier of its deadline and the upstream's ``timeout_s``, at most 50 ms late.
    What fails for a reason that may pass is tried again, at another endpoint if there is one, as
    far as ``Allowance`` lets it; endpoints that fail rest (``Breaker``), those that ask for time
    get it, and each is given as many calls at once as it takes (``Limit``).

    Args:
        upstream: Its row.
        endpoints: One model for each of its endpoints, in their order, none of which retries.
        clock: Seconds that never go back, as ``Terms.deadline`` counts them.
        random: For backoff, pauses and choices.

    Attributes:
        upstream: Its row.
        endpoints: One model for each endpoint.
        allowance: First and further attempts so far.
    """

    def __init__(
        self,
        upstream: Upstream,
        endpoints: Sequence[LanguageModel],
        *,
        clock: Callable[[], float] = time.monotonic,
        random: Random | None = None,
    ) -> None:
        self.upstream = upstream
        self.allowance = Allowance()
        self.endpoints = tuple(endpoints)
        self._clock = clock
        self._random = random or Random()  # noqa: S311 - jitter, not a secret
        self._lanes = Lanes(
            upstream,
            [
                Lane(
                    model,
                    endpoint,
                    most=upstream.at_once,
                    alone=len(upstream.endpoints) == 1,
                    clock=clock,
                    random=self._random,
                )
                for model, endpoint in zip(endpoints, upstream.endpoints, strict=True)
            ],
            clock,
            self._random,
        )
        self._hedge = Hedge(upstream, self._lanes, self.allowance)

    async def complete(self, request: ModelRequest, terms: Terms) -> Completion:
        """The whole answer; see ``LanguageModel``."""
        trial = Trial(self.upstream, terms, request, self._clock())

        async def once(model: LanguageModel, terms: Terms) -> Completion:
            return await model.complete(request, terms)

        if self.upstream.hedge_after_s is None:
            found = await self._until_one(trial, lambda flight: self._once(flight, trial, once))
        else:
            found = await self._until_one(
                trial,
                lambda flight: self._hedge.first_of(
                    flight, trial, lambda flight: self._once(flight, trial, once)
                ),
            )
            self._hedge.saw(request, found)
        return self._whole(found, trial)

    async def stream(self, request: ModelRequest, terms: Terms) -> AsyncGenerator[Piece]:
        """The answer as it comes; tried again, or asked a second time, before its first piece."""
        trial = Trial(self.upstream, terms, request, self._clock())

        async def once(flight: Flight) -> Opened:
            pieces = flight.lane.model.stream(request, trial.terms)
            return Opened(flight, await self._attempt(flight, trial, first_piece(pieces)), pieces)

        if self.upstream.hedge_after_s is None:
            opened = await self._until_one(trial, once)
        else:
            opened = await self._until_one(
                trial, lambda flight: self._hedge.first_of(flight, trial, once)
            )
        async with aclosing(rest(opened, trial, self._lanes, self._clock)) as pieces:
            async for piece in pieces:
                whole = piece.whole
                if whole is None:
                    yield piece
                    continue
                if self.upstream.hedge_after_s is not None:
                    self._hedge.saw(request, whole)
                yield replace(piece, whole=self._whole(whole, trial))

    async def embed(self, texts: Sequence[str], terms: Terms) -> tuple[list[list[float]], Tokens]:
        """Vectors of texts; see ``LanguageModel``."""
        trial = Trial(self.upstream, terms, None, self._clock())

        async def once(model: LanguageModel, terms: Terms) -> tuple[list[list[float]], Tokens]:
            return await model.embed(texts, terms)

        return await self._until_one(trial, lambda flight: self._once(flight, trial, once))

    async def close(self) -> None:
        """Let go of all connections."""
        for model in self.endpoints:
            await model.close()

    async def _until_one(self, trial: Trial, attempt: Callable[[Flight], Awaitable[T]]) -> T:
        """What the first attempt that succeeds gives. The one loop that tries again."""
        while True:
            try:
                flight = await self._lanes.take(trial)
            except UpstreamError as none:
                raise trial.error(trial.last or none) from None
            if not trial.attempts:
                self.allowance.earn()
            trial.attempts += 1
            try:
                return await attempt(flight)
            except UpstreamError as error:
                trial.attempts -= error.outcome in UNSENT
                trial.failed(flight.lane, error)
                wait = self._wait(trial, error)
                if wait is None:
                    raise trial.error(error) from None
            await asyncio.sleep(wait)

    def _wait(self, trial: Trial, error: UpstreamError) -> float | None:
        """Seconds before another attempt; ``None`` if there is to be none."""
        others = len(trial.tried) < len(self.endpoints)
        if error.outcome not in AGAIN and not (error.outcome in OF_THE_ENDPOINT and others):
            return None
        if trial.attempts >= ATTEMPTS:
            return None
        longest = min(LONGEST_BACKOFF_S, BACKOFF_S * 2.0 ** (trial.attempts - 1))
        wait = self._random.uniform(0.0, longest)
        if self._clock() + wait >= trial.deadline or not self.allowance.take():
            return None
        return wait

    async def _once(self, flight: Flight, trial: Trial, once: Once[T]) -> T:
        """One attempt, whose place is given back when it ends."""
        found = await self._attempt(flight, trial, once(flight.lane.model, trial.terms))
        self._lanes.land(flight, "ok")
        return found

    async def _attempt(self, flight: Flight, trial: Trial, call: Awaitable[T]) -> T:
        """What the call gives by the deadline; if it fails its place is given back."""
        try:
            async with asyncio.timeout(trial.deadline - self._clock() + GRACE_S):
                return await call
        except UpstreamError as error:
            self._lanes.land(flight, cast(Outcome, error.outcome), error.retry_after)
            raise
        except TimeoutError:
            self._lanes.land(flight, "timeout")
            what = "there was no answer by the deadline."
            raise UpstreamError("timeout", what, upstream=self.upstream.name) from None
        except BaseException:
            self._lanes.land(flight, "cancelled")
            raise

    def _whole(self, completion: Completion, trial: Trial) -> Completion:
        """With what the call took altogether."""
        return replace(
            completion,
            micro_usd=completion.micro_usd + trial.micro_usd,
            attempts=trial.attempts + completion.attempts - 1,
            seconds=self._clock() - trial.began,
        )
