"""A second endpoint is asked when the first takes long; whoever answers first is heard.

A stream has answered when its first piece has come.

Dean and Barroso, The Tail at Scale, CACM 56(2), 2013.
"""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any, TypeVar

from milepost.entities.errors import UpstreamError
from milepost.entities.language import Completion, ModelRequest
from milepost.entities.upstream import Upstream
from milepost.models.language.lengths import Lengths
from milepost.models.language.resilience.allowance import Allowance
from milepost.models.language.resilience.lane import Flight
from milepost.models.language.resilience.lanes import Lanes
from milepost.models.language.resilience.streaming import Opened, closed
from milepost.models.language.resilience.trial import Trial

LETTING_GO_S = 0.02
"""Longest that a cancelled call is waited for; its place and cost are settled in any case."""

T = TypeVar("T", Completion, Opened)
"""What an answer is heard as: whole, or as a stream whose first piece has come."""


class Hedge:
    """Second attempts beside first ones. Used on one event loop.

    Args:
        upstream: Says after how many seconds, and what tokens cost.
        lanes: Where further places are had.
        allowance: Hedges count as further attempts.
    """

    def __init__(self, upstream: Upstream, lanes: Lanes, allowance: Allowance) -> None:
        self._upstream = upstream
        self._lanes = lanes
        self._allowance = allowance
        self._lengths = Lengths()

    def saw(self, request: ModelRequest, completion: Completion) -> None:
        """Learn from an answer what one costs that nobody waits for."""
        self._lengths.saw(request, completion)

    async def first_of(
        self, flight: Flight, trial: Trial, attempt: Callable[[Flight], Coroutine[Any, Any, T]]
    ) -> T:
        """The first answer, or the first stream that begins; of two failures the first endpoint's.

        Whatever is not heard is broken off, and billed as far as it came.

        Raises:
            UpstreamError: If all that were asked failed.
        """
        first = asyncio.create_task(attempt(flight))
        asked = {first}
        try:
            await asyncio.wait(asked, timeout=self._upstream.hedge_after_s)
            if not first.done():
                other = self._other(flight, trial)
                if other is not None:
                    asked.add(asyncio.create_task(attempt(other)))
            winner = await _winner(asked)
        except BaseException:
            await self._let_go(asked)
            raise
        losers = asked - {winner or first}
        await self._let_go(losers)
        trial.micro_usd += sum(self._cost(loser, trial) for loser in losers)
        return await (winner or first)

    def _other(self, flight: Flight, trial: Trial) -> Flight | None:
        """A place for a second attempt, if there is one now and it is allowed."""
        avoided = flight.lane not in trial.tried
        trial.tried.add(flight.lane)
        other = self._lanes.now(trial)
        if avoided:
            trial.tried.discard(flight.lane)
        if other is None:
            return None
        if not self._allowance.take():
            self._lanes.land(other, "cancelled")
            return None
        trial.attempts += 1
        return other

    async def _let_go(self, calls: set[asyncio.Task[T]]) -> None:
        for call in calls:
            call.cancel()
        if calls:
            await asyncio.wait(calls, timeout=LETTING_GO_S)
        for call in calls:
            if call.done() and not call.cancelled() and call.exception() is None:
                await self._unheard(call.result())

    async def _unheard(self, found: Completion | Opened) -> None:
        """End a stream that began when another one had."""
        if isinstance(found, Opened):
            self._lanes.land(found.flight, "cancelled")
            await closed(found.pieces)

    def _cost(self, loser: asyncio.Task[T], trial: Trial) -> int:
        """What an attempt that was not heard cost: as it says, or else a usual call like it."""
        if loser.done() and not loser.cancelled():
            error = loser.exception()
            found = None if error is not None else loser.result()
            if isinstance(found, Completion):
                return found.micro_usd
            if error is not None:
                return error.micro_usd if isinstance(error, UpstreamError) else 0
        price = self._upstream.price(datetime.now(UTC).date())
        if price is None or trial.request is None:
            return 0
        return price.cost(self._lengths.about(trial.request))


async def _winner(asked: set[asyncio.Task[T]]) -> asyncio.Task[T] | None:
    """The first that answers; ``None`` if all failed."""
    pending = asked
    while pending:
        done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        for call in done:
            if not call.cancelled() and call.exception() is None:
                return call
    return None
