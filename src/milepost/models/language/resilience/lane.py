"""One endpoint and what is known of it: whether it answers, how fast, and how much at a time."""

from collections.abc import Callable
from hashlib import blake2b
from random import Random

from milepost.entities.model_calls import Outcome
from milepost.entities.upstream import Endpoint
from milepost.models.language.asking import LanguageModel
from milepost.models.language.resilience.breaker import Breaker
from milepost.models.language.resilience.limit import Limit

FAULTS: frozenset[Outcome] = frozenset(
    {"timeout", "unreachable", "reset", "cut_off", "malformed", "overloaded", "server_error"}
)
"""Outcomes that say that an endpoint does not work."""

OF_THE_ENDPOINT: frozenset[Outcome] = frozenset(
    {"bad_key", "no_key", "not_found", "blocked_address"}
)
"""Outcomes that say that an endpoint will not work until somebody changes something. Where there
are others they are asked instead; a single one goes on to say what is wrong."""

FULL: frozenset[Outcome] = frozenset({"rate_limited", "overloaded"})
"""Outcomes that ask for fewer calls."""

NEUTRAL: frozenset[Outcome] = frozenset({"cancelled", "rate_limited", "over_budget", "no_price"})
"""Outcomes that say nothing about whether it works."""

OURS: frozenset[Outcome] = frozenset({"over_budget", "no_price", "cancelled"})
"""Outcomes of one caller alone: when that one may come again is nothing to the others."""

SMOOTHING = 0.2
"""Weight of the newest latency in the moving mean."""

PATIENCE = 3.0
"""A call that a caller's deadline ended before so many times the usual latency does not count as a
failure: callers in a hurry would close an endpoint to all others."""

SHORTEST_S = 0.1
"""The same before any latency is known."""

PAUSE_S = 0.5
"""First pause after a refusal that does not say how long; doubled with each that follows."""

LONGEST_PAUSE_S = 30.0
"""Longest pause of our own choosing."""

LONGEST_ASKED_S = 3600.0
"""Longest pause that an endpoint gets by asking for it."""


class Lane:
    """An endpoint. Used on one event loop.

    Args:
        model: The endpoint, without any retries.
        endpoint: Its row.
        most: Most calls at a time.
        alone: Whether there is no other one.
        clock: Seconds that never go back.
        random: Spreads pauses and rests.

    Attributes:
        weight: Its share of the calls.
        name: A digest of its address.
        flying: Calls on their way.
        paused: Until when nothing is sent, on the clock, because it asked for that.
        latency: Moving mean of the seconds of calls that went well; ``None`` before the first.
    """

    def __init__(
        self,
        model: LanguageModel,
        endpoint: Endpoint,
        *,
        most: int,
        alone: bool,
        clock: Callable[[], float],
        random: Random,
    ) -> None:
        self.model = model
        self.weight = endpoint.weight
        self.name = blake2b(endpoint.base_url.encode(), digest_size=16).digest()
        self.breaker = Breaker(clock, random)
        self.limit = Limit(most)
        self.flying = 0
        self.paused = float("-inf")
        self.latency: float | None = None
        self._alone = alone
        self._clock = clock
        self._random = random
        self._refusals = 0

    @property
    def ready(self) -> bool:
        """Whether a call may begin now."""
        return (
            self.flying < self.limit.calls and self.breaker.ready and self._clock() >= self.paused
        )

    @property
    def ready_at(self) -> float:
        """When a call may begin if nothing else holds it back, on the clock."""
        return max(self.breaker.until, self.paused)

    def begin(self) -> "Flight":
        """A call begins; ``ready`` must be true."""
        self.flying += 1
        return Flight(self, self._clock(), self.limit.begin(), self.breaker.begin())

    def end(self, flight: "Flight", outcome: Outcome, retry_after: float | None = None) -> None:
        """A call ended.

        Args:
            flight: What ``begin`` gave.
            outcome: How it ended.
            retry_after: Seconds that the endpoint asked to be left alone.
        """
        seconds = self._clock() - flight.began
        self.breaker.end(flight.round, well=self._well(outcome, seconds))
        if outcome == "ok":
            self._refusals = 0
            self.limit.more(self.flying)
            old = self.latency
            self.latency = seconds if old is None else old + SMOOTHING * (seconds - old)
        elif outcome in FULL or (retry_after is not None and outcome not in OURS):
            self.limit.less(flight.number)
            self._pause(retry_after)
        self.flying -= 1

    def _well(self, outcome: Outcome, seconds: float) -> bool | None:
        if outcome in NEUTRAL:
            return None
        if outcome == "timeout":
            usual = SHORTEST_S if self.latency is None else PATIENCE * self.latency
            return None if seconds < usual else False
        if outcome in OF_THE_ENDPOINT:
            return None if self._alone else False
        return outcome not in FAULTS

    def _pause(self, retry_after: float | None) -> None:
        now = self._clock()
        if retry_after is None:
            if now < self.paused:
                return
            pause = min(LONGEST_PAUSE_S, PAUSE_S * 2.0**self._refusals)
            retry_after = pause * self._random.uniform(0.5, 1.0)
            self._refusals = min(self._refusals + 1, 10)
        self.paused = max(self.paused, now + min(LONGEST_ASKED_S, retry_after))


class Flight:
    """A call on its way through a lane.

    Attributes:
        lane: Which.
        began: When, on the clock.
        number: As the limit counts.
        round: As the breaker counts.
    """

    __slots__ = ("began", "lane", "number", "round")

    def __init__(self, lane: Lane, began: float, number: int, round: int) -> None:  # noqa: A002
        self.lane = lane
        self.began = began
        self.number = number
        self.round = round
