"""A circuit breaker: an endpoint that fails is left alone, then tried with one call at a time.

The pattern is Nygard's (Release It!, 2007).
"""

from collections import deque
from collections.abc import Callable
from random import Random

LAST = 20
"""Calls that are looked at."""

FAILURES = 5
"""It opens when at least so many of these failed, and at least half of them."""

REST_S = 5.0
"""How long it stays open first; doubled with each probe that fails."""

LONGEST_S = 60.0


class Breaker:
    """Says whether an endpoint may be called. Used on one event loop.

    A call ``begin``s and ``end``s with the number that it was given, so that what comes of calls
    from before the breaker opened does not close or open it again.

    Args:
        clock: Seconds that never go back.
        random: Spreads the rests, so that processes do not probe in step.
    """

    def __init__(self, clock: Callable[[], float], random: Random) -> None:
        self._clock = clock
        self._random = random
        self._failed: deque[bool] = deque(maxlen=LAST)
        self._until: float | None = None
        self._opened = 0
        self._round = 0
        self._probe: int | None = None

    @property
    def closed(self) -> bool:
        """Whether calls go through as usual."""
        return self._until is None

    @property
    def ready(self) -> bool:
        """Whether a call may begin: it is closed, or rested and not being probed."""
        return self._until is None or (self._probe is None and self._clock() >= self._until)

    @property
    def until(self) -> float:
        """When it is ready at the soonest, on the clock; now, while a probe is on its way."""
        return self._clock() if self._until is None else max(self._clock(), self._until)

    def begin(self) -> int:
        """A call begins, as the probe if the breaker is open; ``ready`` must be true."""
        if self._until is not None:
            self._round += 1
            self._probe = self._round
        return self._round

    def end(self, number: int, *, well: bool | None) -> None:
        """A call ended; ``None`` where that says nothing of the endpoint."""
        if number != self._round:
            return
        if self._until is None:
            if well is not None:
                self._failed.append(not well)
            failures = sum(self._failed) if well is False else 0
            if failures >= FAILURES and 2 * failures >= len(self._failed):
                self._open()
            return
        if self._probe != number:
            return
        self._probe = None
        if well:
            self._close()
        elif well is False:
            self._open()

    def _open(self) -> None:
        rest = min(LONGEST_S, REST_S * 2.0**self._opened)
        self._until = self._clock() + rest * self._random.uniform(0.8, 1.2)
        self._opened = min(self._opened + 1, 10)
        self._round += 1
        self._failed.clear()

    def _close(self) -> None:
        self._until = None
        self._opened = 0
        self._round += 1
