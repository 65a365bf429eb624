"""What one process holds of budgets, and which of its calls has what. No thread, no database."""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from msgspec.structs import replace

from milepost.entities.errors import UpstreamError
from milepost.entities.model_calls import ModelCall
from milepost.entities.money import Budget, Period, scopes, usd, window_of
from milepost.models.language.tabs import Hold

AHEAD = 4
"""How many times what is lacking is reserved besides, so that later calls need not wait."""

SOON_S = 1.0
"""Seconds within which a further reservation takes twice as much ahead as the one before."""

LAST_SHARE = 16
"""At most one such part of what a budget leaves is reserved ahead, so that little lies idle."""


@dataclass(slots=True)
class Pool:
    """What this process holds of a budget, in micro-USD.

    Attributes:
        leased: Reserved in the ledger.
        held: Of that, by calls on their way.
        unbooked: Of that, by calls that have ended and are not booked yet.
        used: When something was last taken, ``time.monotonic()``.
        ahead: What was last leased ahead of its use, or would have been.
        asked: When that was.
    """

    leased: int = 0
    held: int = 0
    unbooked: int = 0
    used: float = 0.0
    ahead: int = 0
    asked: float = 0.0

    @property
    def free(self) -> int:
        """What the next call may take; below 0 where calls cost more than was foreseen."""
        return self.leased - self.held - self.unbooked


class Pools:
    """Budgets as they were last read, and a pool for each. Not thread safe: its owner has a lock.

    Attributes:
        holder: Under which id the ledger has what is leased.
        budgets: By scope, as last read.
    """

    def __init__(self, holder: str) -> None:
        self.holder = holder
        self.budgets: dict[str, Budget] = {}
        self._pools: dict[str, Pool] = {}

    @property
    def leased(self) -> bool:
        """Whether anything is held of any budget."""
        return any(pool.leased for pool in self._pools.values())

    def pool(self, scope: str) -> Pool:
        """The pool of a scope."""
        return self._pools.setdefault(scope, Pool())

    def saw(self, budgets: Iterable[Budget]) -> None:
        """All budgets as they are now."""
        self.budgets = {budget.scope: budget for budget in budgets}

    def take(self, wanted: Sequence[str], micro_usd: int | None) -> Hold | None:
        """Take from the pool of every scope that has a budget, or from none.

        Args:
            wanted: Scopes of the call.
            micro_usd: The most that it can cost; ``None`` where no price is known.

        Returns:
            ``None`` where one of them has too little.

        Raises:
            UpstreamError: ``no_price``, where there is none and a budget applies.
        """
        applied = tuple([scope for scope in wanted if scope in self.budgets])
        if micro_usd is None:
            if applied:
                raise no_price(wanted, applied)
            return Hold(self.holder, (), 0)
        for scope in applied:
            if self.pool(scope).free < micro_usd:
                return None
        now = time.monotonic()
        for scope in applied:
            pool = self._pools[scope]
            pool.held += micro_usd
            pool.used = now
        return Hold(self.holder, applied, micro_usd)

    def end(self, holds: Iterable[Hold], calls: Sequence[ModelCall]) -> None:
        """Reservations of calls end; what these did cost waits to be booked."""
        for hold in holds:
            # What was held under another id has expired with it.
            if hold.holder == self.holder:
                for scope in hold.scopes:
                    self._pools[scope].held -= hold.micro_usd
        for scope, cost in costs_of(calls).items():
            self.pool(scope).unbooked += cost

    def lacking(self, demands: Iterable[tuple[tuple[str, ...], int | None]]) -> dict[str, int]:
        """What must be leased before all of these (scopes, micro-USD) can be taken."""
        wanted: dict[str, int] = {}
        for named, micro_usd in demands:
            for scope in named:
                if scope in self.budgets:
                    wanted[scope] = wanted.get(scope, 0) + (micro_usd or 0)
        found = {scope: most - self.pool(scope).free for scope, most in wanted.items()}
        return {scope: lack for scope, lack in found.items() if lack > 0}

    def with_more(self, lacks: Mapping[str, int]) -> dict[str, int]:
        """What is lacking, and some more for later calls where a budget leaves plenty.

        Who comes back soon takes twice as much ahead as before, so that the ledger is asked a few
        times a second at most, however many calls there are.
        """
        now, found = time.monotonic(), dict[str, int]()
        for scope, lack in lacks.items():
            pool = self.pool(scope)
            twice = 2 * pool.ahead if now - pool.asked < SOON_S else 0
            pool.ahead, pool.asked = max(AHEAD * lack, twice), now
            found[scope] = lack + min(pool.ahead, self.budgets[scope].left // LAST_SHARE)
        return found

    def leave(self, before: float) -> dict[str, int]:
        """Take out what nobody has taken from since ``before``; it is on its way back."""
        idle: dict[str, int] = {}
        for scope, pool in self._pools.items():
            if pool.free > 0 and pool.used < before:
                idle[scope] = pool.free
                pool.leased -= pool.free
        return idle

    def part(self, costs: Mapping[str, int]) -> dict[str, int]:
        """How much of what calls cost was leased for them; the rest was not foreseen."""
        found = {scope: min(cost, self.pool(scope).leased) for scope, cost in costs.items()}
        return {scope: amount for scope, amount in found.items() if amount > 0}

    def booked(
        self, costs: Mapping[str, int], parts: Mapping[str, int], ended: Mapping[str, int]
    ) -> None:
        """The ledger has it: what calls cost, the leased part, and all that ended with it."""
        for scope, cost in costs.items():
            pool = self.pool(scope)
            pool.unbooked -= cost
            pool.leased -= parts.get(scope, 0)
        for scope in {*costs, *ended} & {*self.budgets}:
            known = self.budgets[scope]
            self.budgets[scope] = replace(
                known,
                spent=known.spent + costs.get(scope, 0),
                reserved=max(0, known.reserved - ended.get(scope, 0)),
            )

    def forget(self, holder: str) -> None:
        """Begin anew under another id: all that was held under the old one expires."""
        self.holder = holder
        for pool in self._pools.values():
            pool.leased = pool.held = 0

    def left(self, wanted: Iterable[str]) -> int | None:
        """Micro-USD that the tightest of these budgets leaves; ``None`` without one."""
        found = [
            budget.micro_usd - budget.spent - budget.reserved + self.pool(scope).free
            for scope in wanted
            if (budget := self.budgets.get(scope)) is not None
        ]
        return max(0, min(found)) if found else None


def costs_of(calls: Iterable[ModelCall]) -> dict[str, int]:
    """What calls cost together in each of their scopes; those without cost are left out."""
    found: dict[str, int] = {}
    for call in calls:
        if call.micro_usd:
            named = scopes(upstream=call.upstream, task=call.task, key=call.key, job=call.job)
            for scope in named:
                found[scope] = found.get(scope, 0) + call.micro_usd
    return found


def per(period: Period) -> str:
    """A period in words, after an amount."""
    return {"day": "a day", "month": "a month", "total": "in all"}[period]


def begins_anew(period: Period, now: datetime) -> datetime | None:
    """First moment of the period after this one, UTC; ``None`` where there is none."""
    if period == "total":
        return None
    # 32 days after the first of a month lie in the next one.
    return window_of(
        period, window_of(period, now) + timedelta(days=32 if period == "month" else 1)
    )


GIVEN_BACK_S = 5.0
"""When to try again where calls that are on their way hold what is lacking: most take less."""


def over_budget(budget: Budget, micro_usd: int, now: datetime) -> UpstreamError:
    """The error of a call that a budget does not allow."""
    anew = begins_anew(budget.period, now)
    if micro_usd > budget.micro_usd:
        # Such a call is never allowed, whenever it comes again.
        anew = None
    when = "" if anew is None else f" It begins anew on {anew:%Y-%m-%d} (UTC)."
    again = None if anew is None else (anew - now).total_seconds()
    if micro_usd <= budget.left + budget.reserved:
        when = f" Calls on their way may give back some of what is reserved.{when}"
        again = GIVEN_BACK_S if again is None else min(GIVEN_BACK_S, again)
    held = f" and {usd(budget.reserved)} reserved" if budget.reserved else ""
    return UpstreamError(
        "over_budget",
        f"the budget of {budget.scope}, {usd(budget.micro_usd)} {per(budget.period)}, has "
        f"{usd(budget.left)} left, with {usd(budget.spent)} spent{held}; this call may cost "
        f"{usd(micro_usd)}.{when}",
        advice=f"Allow more with `milepost budget set {budget.scope} USD`.",
        retry_after=again,
    )


def no_price(wanted: Iterable[str], applied: Sequence[str]) -> UpstreamError:
    """The error of a call that nobody can say the cost of, where budgets apply."""
    have = "has a budget" if len(applied) == 1 else "have budgets"
    names = (scope.partition(":")[2] for scope in wanted if scope.startswith("upstream:"))
    return UpstreamError(
        "no_price",
        f"what it costs is not known, and {' and '.join(applied)} {have}.",
        advice=f"Say it with `milepost upstreams add {next(names, 'NAME')} … --replace "
        "--price-in USD --price-out USD`, per million tokens.",
    )
