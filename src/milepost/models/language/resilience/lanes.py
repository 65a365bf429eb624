"""The endpoints of an upstream together: who may call which of them, and who waits for how long."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from random import Random

from milepost.entities.errors import UpstreamError
from milepost.entities.model_calls import Outcome
from milepost.entities.upstream import Upstream
from milepost.models.language.resilience.balance import BALANCES
from milepost.models.language.resilience.lane import Flight, Lane
from milepost.models.language.resilience.trial import Trial

WAITING = 8
"""Callers that may wait, for each call that may be on its way: with fewer, bursts that would end in
time are refused; with more, callers wait who will be refused by their deadline anyway."""

SOON_S = 1.0
"""When to try again where too many wait."""


class Lanes:
    """Gives out places for calls, first come first served. Used on one event loop.

    Args:
        upstream: Says how many at a time and how to choose.
        lanes: Its endpoints, at least one.
        clock: Seconds that never go back.
        random: For choices.
    """

    def __init__(
        self,
        upstream: Upstream,
        lanes: Sequence[Lane],
        clock: Callable[[], float],
        random: Random,
    ) -> None:
        self._upstream = upstream
        self._lanes = lanes
        self._clock = clock
        self._random = random
        self._choose = BALANCES[upstream.balance]
        self._free = upstream.at_once
        self._waiting: deque[tuple[asyncio.Future[Flight], Trial]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    async def take(self, trial: Trial) -> Flight:
        """A place for a call, which must be given back by ``land``.

        Raises:
            UpstreamError: If no endpoint will be ready by the deadline (``breaker_open`` or
                ``rate_limited``), too many wait, or none got free in time (``overloaded``).
        """
        if not self._waiting:
            flight = self.now(trial)
            if flight is not None:
                return flight
        hopeless = self._hopeless(trial)
        if hopeless is not None:
            raise hopeless
        if len(self._waiting) >= WAITING * self._upstream.at_once:
            raise self._error("overloaded", "too many calls wait already.", SOON_S)
        return await self._wait(trial)

    def now(self, trial: Trial) -> Flight | None:
        """A place that is free now, at another endpoint than those that failed if possible."""
        if not self._free:
            return None
        ready = [lane for lane in self._lanes if lane.ready]
        if len(ready) > 1:
            ready = [lane for lane in ready if lane not in trial.tried] or ready
        if not ready:
            return None
        self._free -= 1
        lane = ready[0] if len(ready) == 1 else self._choose(ready, trial, self._random)
        return lane.begin()

    def land(self, flight: Flight, outcome: Outcome, retry_after: float | None = None) -> None:
        """A call ended; who waits longest gets its place if it is still to be had."""
        flight.lane.end(flight, outcome, retry_after)
        self._free += 1
        if self._waiting:
            self._admit()

    async def _wait(self, trial: Trial) -> Flight:
        place: asyncio.Future[Flight] = asyncio.get_running_loop().create_future()
        entry = (place, trial)
        self._waiting.append(entry)
        self._arm()
        try:
            async with asyncio.timeout(trial.deadline - self._clock()):
                return await place
        except BaseException as error:
            if place.done() and not place.cancelled() and place.exception() is None:
                self.land(place.result(), "cancelled")
            if isinstance(error, TimeoutError):
                what = "no place for the call got free by its deadline."
                raise self._error("overloaded", what, SOON_S) from None
            raise
        finally:
            if entry in self._waiting:
                self._waiting.remove(entry)

    def _admit(self) -> None:
        """Give places to those that wait, and tell those for whom there will be none."""
        while self._waiting:
            place, trial = self._waiting[0]
            flight = None if place.done() else self.now(trial)
            if flight is None and not place.done():
                break
            self._waiting.popleft()
            if flight is not None:
                place.set_result(flight)
        if self._waiting and not any(lane.ready_at <= self._clock() for lane in self._lanes):
            for place, trial in tuple(self._waiting):
                hopeless = None if place.done() else self._hopeless(trial)
                if hopeless is not None:
                    place.set_exception(hopeless)
        self._arm()

    def _arm(self) -> None:
        """Look again when the next endpoint has rested, if somebody waits."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._waiting:
            return
        now = self._clock()
        later = [lane.ready_at - now for lane in self._lanes if lane.ready_at > now]
        if later:
            self._timer = asyncio.get_running_loop().call_later(min(later), self._admit)

    def _hopeless(self, trial: Trial) -> UpstreamError | None:
        """Why a caller need not wait at all; ``None`` if a place may get free in time."""
        now = self._clock()
        soonest: Lane | None = None
        for lane in self._lanes:
            if not lane.breaker.closed and not trial.patient:
                continue
            if lane.ready_at <= now:
                return None
            if soonest is None or lane.ready_at < soonest.ready_at:
                soonest = lane
        if soonest is None:
            rest = max(0.0, min(lane.ready_at for lane in self._lanes) - now)
            what = "its last calls failed, and it is left alone for a while."
            return self._error("breaker_open", what, rest)
        if soonest.ready_at < trial.deadline:
            return None
        rest = soonest.ready_at - now
        if soonest.breaker.closed:
            what = f"it asked to be left alone for another {rest:.1f} s."
            return self._error("rate_limited", what, rest)
        what = "its last calls failed, and it is left alone until after the deadline."
        return self._error("breaker_open", what, rest)

    def _error(self, outcome: Outcome, what: str, retry_after: float) -> UpstreamError:
        return UpstreamError(
            outcome, what, upstream=self._upstream.name, retry_after=round(retry_after, 3)
        )
