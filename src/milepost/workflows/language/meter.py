"""Keeps the books of a process, and its part of the budgets.

A call must not wait for a database. So a process reserves some money from the ledger ahead of its
calls, by conditional update, and hands it out in memory; what a burst of calls does not use goes
back within moments. One thread, the clerk, speaks to the ledger: it reserves for all calls that
wait, and books groups of calls together with what they took from their budgets (group commit;
DeWitt et al., "Implementation Techniques for Main Memory Database Systems", SIGMOD 1984).
"""

import asyncio
import atexit
import logging
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import islice

from milepost.entities.errors import UpstreamError
from milepost.entities.model_calls import ModelCall
from milepost.entities.money import Budget
from milepost.models.language.tabs import Hold
from milepost.storage.ledger import Ledger
from milepost.workflows.language.pools import Pools, costs_of, over_budget

LEASE_S = 60.0
"""Seconds without a sign of life after which what a process holds counts as spent."""

EVERY_S = 0.25
"""Longest that the books wait for a group of calls, in seconds."""

FRESH_S = 1.0
"""Age in seconds from which budgets are read again; a change is followed about so fast."""

STALE_S = 5.0
"""Age in seconds from which a call waits until they are read again."""

GROUP = 1000
"""Calls that are booked in one transaction."""

UNWINDING_S = 1.0
"""Longest that closing waits for calls that were broken off to say what they cost, in seconds."""

MOST_WAITING = 50_000
"""Calls that wait to be booked; no further one is allowed while the ledger takes none."""

_log = logging.getLogger("milepost.spending")


@dataclass(slots=True, eq=False)
class _Demand:
    """A call that waits for its money."""

    scopes: tuple[str, ...]
    micro_usd: int | None
    granted: "Future[Hold]" = field(default_factory=Future[Hold])

    @property
    def wants(self) -> tuple[tuple[str, ...], int | None]:
        return self.scopes, self.micro_usd


@dataclass(frozen=True, slots=True)
class _Group:
    """What is booked at once; one whose fate is not known is booked again, unchanged.

    Attributes:
        holder: Whose reservations end.
        calls: Calls that have ended.
        costs: What they cost, by scope.
        parts: How much of that was leased for them.
        ended: Reservations that end: ``parts``, and what goes back unused.
    """

    holder: str
    calls: Sequence[ModelCall]
    costs: Mapping[str, int]
    parts: Mapping[str, int]
    ended: Mapping[str, int]


class LedgerMeter:
    """A ``Meter`` over the ledger. Thread safe; ``reserve`` is awaited on any event loop.

    No budget is ever passed: what a call can cost at most is reserved in all its scopes before it
    is sent, in the ledger and not only here. When a process is killed, what it held counts as
    spent after ``LEASE_S``, and the calls of its last ``EVERY_S`` are missing in the books.

    Args:
        ledger: Where the books are. It must outlive the meter.

    Raises:
        StorageError: If the ledger cannot be read.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._pools = Pools(_new_holder())
        self._lock = threading.Lock()
        self._booked = threading.Condition(self._lock)
        self._wake = threading.Event()
        self._closing = self._ending = self._failing = False
        self._open = 0
        self._demands: deque[_Demand] = deque()
        self._seen: set[str] = set()
        self._calls: deque[ModelCall] = deque()
        self._again: _Group | None = None
        self._expire_at = self._prolong_at = self._read_at = 0.0
        self.refresh()
        self._thread = threading.Thread(target=self._work, name="milepost-clerk", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    def refresh(self) -> None:
        """Read the budgets now.

        Raises:
            StorageError: If the ledger cannot be read.
        """
        now, found = time.monotonic(), self._ledger.budgets()
        with self._lock:
            self._pools.saw(found)
            self._read_at = now

    async def reserve(self, scopes: tuple[str, ...], micro_usd: int | None) -> Hold:
        """See ``Meter``; a call that finds enough in memory waits for nobody.

        Raises:
            UpstreamError: ``over_budget``, ``no_price`` where a budget applies, ``overloaded``
                where the ledger cannot be used, or ``cancelled`` where the books are closed.
        """
        with self._lock:
            age = time.monotonic() - self._read_at
            if self._closing:
                raise _closed()
            if len(self._calls) >= MOST_WAITING:
                raise UpstreamError("overloaded", "the ledger does not take what calls cost.")
            # A key may be younger than what is known of budgets, and have one of its own.
            known = self._seen.issuperset(scopes)
            if known and age < STALE_S and not self._demands:
                held = self._pools.take(scopes, micro_usd)
                if held is not None:
                    self._open += 1
                    if age >= FRESH_S:
                        self._wake.set()
                    return held
            demand = _Demand(scopes, micro_usd)
            self._demands.append(demand)
        self._wake.set()
        return await asyncio.wrap_future(demand.granted)

    def settle(self, calls: Sequence[ModelCall], holds: Sequence[Hold]) -> None:
        """See ``Meter``. What is settled is in the ledger within ``EVERY_S`` and one write."""
        with self._lock:
            self._pools.end(holds, calls)
            self._open -= len(holds)
            if self._closing:
                self._booked.notify_all()
            before = len(self._calls)
            self._calls.extend(calls)
            wake = before == 0 or before < GROUP <= len(self._calls)
        if wake:
            self._wake.set()

    def left(self, scopes: tuple[str, ...]) -> int | None:
        """Micro-USD that the tightest budget leaves, as last read; ``None`` without one."""
        with self._lock:
            return self._pools.left(scopes)

    def flush(self, timeout: float = 10.0) -> bool:
        """Wait until all that was settled is booked; ``False`` if it is not by then, in seconds."""
        with self._booked:
            self._wake.set()
            return self._booked.wait_for(lambda: not self._calls, timeout)

    def close(self) -> None:
        """Book what waits, give back what is held, and stop. Blocks; again, it does nothing."""
        with self._booked:
            if self._closing:
                return
            self._closing = True
            self._booked.wait_for(lambda: self._open <= 0, UNWINDING_S)
            self._ending = True
        atexit.unregister(self.close)
        self._wake.set()
        self._thread.join(15.0)
        if self._calls:
            _log.error("%d calls of language models could not be booked.", len(self._calls))

    # What follows runs in the clerk's thread.

    def _work(self) -> None:
        due = 0.0
        while True:
            self._wait(due)
            self._wake.clear()
            with self._lock:
                ending, demands = self._ending, list(self._demands)
            if demands:
                self._serve(demands)
            elif not ending and time.monotonic() - self._read_at >= FRESH_S:
                self._attempt(self.refresh)
            if ending or time.monotonic() >= due or len(self._calls) >= GROUP:
                self._attempt(self._keep_books)
                due = time.monotonic() + (1.0 if self._failing else EVERY_S)
            if ending:
                with self._lock:
                    demands, self._demands = list(self._demands), deque()
                _end(demands, _closed())
                return

    def _wait(self, due: float) -> None:
        with self._lock:
            busy = bool(self._calls) or self._again is not None or self._pools.leased
            if self._ending or self._demands:
                return
        self._wake.wait(max(0.0, due - time.monotonic()) if busy else None)

    def _attempt(self, act: Callable[[], None]) -> bool:
        """Whether it could be done; a ledger that fails is tried again later."""
        try:
            act()
        except Exception as error:  # noqa: BLE001 - whatever fails, the thread must go on
            if not self._failing:
                _log.warning("The books of language models cannot be kept now: %s", error)
            self._failing = True
        else:
            self._failing = False
        return not self._failing

    def _serve(self, demands: list[_Demand]) -> None:
        """Give all that wait their money, or say why not."""
        if not self._attempt(lambda: self._grant(demands)):
            _end(demands, UpstreamError("overloaded", "the ledger with the budgets fails."))
        with self._lock:
            for _ in demands:
                self._demands.popleft()

    def _grant(self, demands: list[_Demand]) -> None:
        asked = {scope for demand in demands for scope in demand.scopes}
        if not asked <= self._seen or time.monotonic() - self._read_at >= FRESH_S:
            self.refresh()
        with self._lock:
            self._seen |= asked
            lacks = self._pools.lacking(demand.wants for demand in demands)
            more = self._pools.with_more(lacks)
        if lacks and self._lease(more) is not None and more != lacks:
            self._lease(lacks)
        lacking = self._hand_out(demands)
        if lacking:
            # Money may have come free: of calls of ours that have ended, or that lay idle.
            self._keep_books()
            self._one_by_one(lacking)

    def _lease(self, amounts: Mapping[str, int]) -> Budget | None:
        """Reserve in the ledger; the budget that does not allow it, or ``None``."""
        until = self._ledger.clock() + timedelta(seconds=LEASE_S)
        found = self._ledger.reserve(self._pools.holder, amounts, until)
        with self._lock:
            self._pools.budgets.update(found.budgets)
            if found.lacking is not None:
                return found.budgets[found.lacking]
            for scope in found.budgets:
                self._pools.pool(scope).leased += amounts[scope]
                self._pools.pool(scope).used = time.monotonic()
            for scope in amounts.keys() - found.budgets.keys():
                self._pools.budgets.pop(scope, None)
        return None

    def _hand_out(self, demands: Iterable[_Demand]) -> list[_Demand]:
        """Those that still lack something, in their order."""
        lacking: list[_Demand] = []
        for demand in demands:
            try:
                with self._lock:
                    hold = self._pools.take(demand.scopes, demand.micro_usd)
                    self._open += hold is not None
            except UpstreamError as error:
                _end([demand], error)
                continue
            if hold is None:
                lacking.append(demand)
            elif demand.granted.set_running_or_notify_cancel():
                demand.granted.set_result(hold)
            else:
                self.settle((), [hold])
        return lacking

    def _one_by_one(self, demands: Iterable[_Demand]) -> None:
        """Where not all can have what they want, those that came first do."""
        for demand in demands:
            with self._lock:
                lacks = self._pools.lacking([demand.wants])
                budgets = self._pools.budgets
                short = next((budgets[s] for s in lacks if lacks[s] > budgets[s].left), None)
            if short is None and lacks:
                short = self._lease(lacks)
            if short is None and not self._hand_out([demand]):
                continue
            short = short or Budget(scope=demand.scopes[-1], micro_usd=0)
            _end([demand], over_budget(short, demand.micro_usd or 0, self._ledger.clock()))

    def _keep_books(self) -> None:
        """Book what has ended, give back what lies idle, and remove what is over."""
        while self._book():
            pass
        now = time.monotonic()
        if now >= self._expire_at:
            self._ledger.expire_reservations()
            self._ledger.expire_model_answers(limit=GROUP)
            self._expire_at = now + LEASE_S / 4

    def _book(self) -> bool:
        """Settle one group; whether there is more."""
        with self._lock:
            group = self._again or self._next_group()
            prolong = self._pools.leased and time.monotonic() >= self._prolong_at
        if not (group.calls or group.ended or prolong):
            return False
        # Until it is known to be there, nothing else is booked: the same again changes nothing.
        self._again = group if group.calls else None
        until = self._ledger.clock() + timedelta(seconds=LEASE_S)
        try:
            kept = self._ledger.settle(group.holder, group.calls, group.ended, until)
        except BaseException:
            if not group.calls and group.ended:
                # Whether it went back is not known: begin anew, and let the rest expire.
                with self._lock:
                    self._pools.forget(_new_holder())
            raise
        self._again, self._prolong_at = None, time.monotonic() + LEASE_S / 4
        with self._booked:
            for _ in group.calls:
                self._calls.popleft()
            self._pools.booked(group.costs, group.parts, group.ended)
            if not kept and group.holder == self._pools.holder:
                _log.warning("This process was silent too long: what it held counts as spent.")
                self._pools.forget(_new_holder())
            if not self._calls:
                self._booked.notify_all()
            return bool(self._calls)

    def _next_group(self) -> _Group:
        calls = list(islice(self._calls, GROUP))
        costs = costs_of(calls)
        idle: Mapping[str, int] = {}
        if len(calls) == len(self._calls):
            before = float("inf") if self._ending else time.monotonic() - EVERY_S
            idle = self._pools.leave(before)
        parts = self._pools.part(costs)
        ended = {s: parts.get(s, 0) + idle.get(s, 0) for s in {*parts, *idle}}
        return _Group(self._pools.holder, calls, costs, parts, ended)


def _new_holder() -> str:
    return f"h{secrets.token_hex(8)}"


def _closed() -> UpstreamError:
    return UpstreamError("cancelled", "the books are closed.")


def _end(demands: Iterable[_Demand], error: UpstreamError) -> None:
    for demand in demands:
        if not demand.granted.done() and demand.granted.set_running_or_notify_cancel():
            demand.granted.set_exception(error)
