"""How much is let in at once, and whose turn it is when there is more.

The engine answers fastest with a queue that is just long enough for full batches; a longer one
only makes everybody wait. So the inputs that are let in at once are limited, the limit follows the
measured latency, and what does not fit waits here, in one queue per key, where keys take turns.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from milepost._base.limits import Limits
from milepost.entities.errors import LateError, OverloadedError

QUANTUM = 8
"""Inputs that a key may send at its turn."""

WINDOW_SECONDS = 0.2
WINDOW_ANSWERS = 8
"""The limit is thought over after so long and so many answers."""

DECREASE = 0.85
INCREASE = 16
"""The limit is multiplied by the one while answers are late, grows by the other while all of it is
used and they are not (additive increase, multiplicative decrease)."""

COMPARED = 32
"""A request of more inputs than that takes longer by itself; its latency counts for these."""


@dataclass(slots=True, eq=False)
class _Waiting:
    """A request in a queue."""

    cost: int
    key: str
    turn: "asyncio.Future[None]"


@dataclass(slots=True, eq=False)
class _Queue:
    """The requests of one key, oldest first.

    Attributes:
        cost: Their inputs.
        credit: Inputs that it may still send at this turn.
    """

    requests: deque[_Waiting] = field(default_factory=deque[_Waiting])
    cost: int = 0
    credit: int = 0


class Admission:
    """Lets inputs in; used on one event loop.

    Keys take turns by deficit round robin (Shreedhar and Varghese, 1996, "Efficient fair queuing
    using deficit round-robin"): in the long run each of those that wait gets the same number of
    inputs, however many requests it sends and however large they are. Where too many wait, the key
    with the longest queue loses its newest request (McKenney, 1990, "Stochastic fairness queuing").
    The limit is moved by additive increase and multiplicative decrease (Chiu and Jain, 1989), and
    what counts as late is the shortest latency within a window, as in CoDel (RFC 8289): one long
    answer is not a standing queue.

    Args:
        limits: ``at_once_least``, ``at_once_most``, ``waiting`` and ``latency_target``.
        clock: Monotonic seconds.
    """

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self._least = limits.at_once_least
        self._most = max(limits.at_once_least, limits.at_once_most)
        self._target = limits.latency_target
        self._most_waiting = limits.waiting
        self._clock = clock
        self._queues: dict[str, _Queue] = {}
        self._turns: deque[str] = deque()
        self._window_ends = 0.0
        self._window_answers = 0
        self._window_inputs = 0
        self._shortest = float("inf")
        self._used = 0
        self._per_second = 0.0
        self.at_once = min(self._most, max(self._least, 256))
        self.inside = 0
        self.waiting = 0

    def enters(self, cost: int) -> bool:
        """Let ``cost`` inputs in now, where there is room and nobody waits; says whether."""
        if self._turns or (self.inside and self.inside + cost > self.at_once):
            return False
        self._let_in(cost)
        return True

    async def wait(self, key: str, cost: int, deadline: float | None) -> None:
        """Wait for the turn of ``cost`` inputs of a key; they are in when this returns.

        Args:
            key: Whose queue.
            cost: Inputs.
            deadline: On the clock; ``None`` waits as long as it takes.

        Raises:
            OverloadedError: If too many wait already.
            LateError: If the deadline passes first.
        """
        queue = self._queues.get(key)
        if queue is None:
            queue = self._queues[key] = _Queue()
            self._turns.append(key)
        request = _Waiting(cost, key, asyncio.get_running_loop().create_future())
        queue.requests.append(request)
        queue.cost += cost
        self.waiting += cost
        while self.waiting > self._most_waiting:
            self._turn_away()
        try:
            left = None if deadline is None else max(0.0, deadline - self._clock())
            async with asyncio.timeout(left):
                await request.turn
        except TimeoutError:
            self._give_up(request)
            raise LateError(
                "the deadline of this request passed while it waited for its turn.",
                advice="Ask less at once, or allow more time by X-Request-Timeout.",
            ) from None
        except asyncio.CancelledError:
            self._give_up(request)
            raise

    def leave(self, cost: int, seconds: float) -> None:
        """So many inputs were answered, after so long; whose turn it is comes in."""
        self.inside -= cost
        self._window_answers += 1
        self._window_inputs += cost
        own = seconds * COMPARED / cost if cost > COMPARED else seconds
        self._shortest = min(self._shortest, own)
        now = self._clock()
        if now >= self._window_ends and self._window_answers >= WINDOW_ANSWERS:
            self._think_over(now)
        if self._turns:
            self._next()

    def overloaded(self) -> None:
        """The engine refused: let less in."""
        self.at_once = max(self._least, int(self.at_once * DECREASE))

    def _let_in(self, cost: int) -> None:
        self.inside += cost
        self._used = max(self._used, self.inside)

    def _think_over(self, now: float) -> None:
        if self._shortest > self._target:
            self.at_once = max(self._least, int(self.at_once * DECREASE))
        elif self._used >= 0.8 * self.at_once:
            self.at_once = min(self._most, self.at_once + INCREASE)
        since = now - self._window_ends + WINDOW_SECONDS
        self._per_second = self._window_inputs / max(since, 1e-6)
        self._window_ends = now + WINDOW_SECONDS
        self._window_answers = self._window_inputs = 0
        self._shortest, self._used = float("inf"), self.inside

    def _next(self) -> None:
        """Let in whose turn it is, as far as there is room."""
        while self._turns:
            key = self._turns[0]
            queue = self._queues[key]
            request = queue.requests[0]
            if request.turn.done():  # its asker is gone, and has not come round to say so
                self._forget(request)
                continue
            if queue.credit < request.cost:
                queue.credit += QUANTUM
                self._turns.rotate(-1)
                continue
            if self.inside and self.inside + request.cost > self.at_once:
                return
            self._let_in(request.cost)
            queue.credit -= request.cost
            self._forget(request)
            request.turn.set_result(None)

    def _forget(self, request: _Waiting) -> None:
        """Take a request out of its queue, and an empty queue out of the turns."""
        queue = self._queues[request.key]
        queue.requests.remove(request)  # the first or the last, but for those who gave up
        queue.cost -= request.cost
        self.waiting -= request.cost
        if not queue.requests:
            del self._queues[request.key]
            self._turns.remove(request.key)

    def _turn_away(self) -> None:
        """Refuse the newest request of the key with the longest queue."""
        longest = max(self._queues.values(), key=lambda queue: queue.cost)
        request = longest.requests[-1]
        alone = len(self._queues) == 1
        after = min(30.0, max(1.0, self.waiting / self._per_second if self._per_second else 1.0))
        self._forget(request)
        if request.turn.done():
            return
        what = "the server has more to do than it can."
        if not alone:
            what = "this key has more waiting than any other."
        request.turn.set_exception(OverloadedError(what, retry_after=round(after), own=not alone))

    def _give_up(self, request: _Waiting) -> None:
        """Nobody waits for this request any more, wherever it is."""
        if not request.turn.done() or request.turn.cancelled():
            queue = self._queues.get(request.key)
            if queue is not None and request in queue.requests:
                self._forget(request)
        elif request.turn.exception() is None:
            # Its turn came in the same moment.
            self.inside -= request.cost
        if self._turns:
            self._next()
