"""Who waits for answers, and how they are told: once per submission, one wake-up per batch."""

import asyncio
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import suppress

from milepost.serving.engine.work import Outcome, Work

Done = Callable[[list[Outcome]], None]


class Ticket(ABC):
    """One submission. ``outcomes`` and ``left`` change under the engine's lock.

    Args:
        size: Texts in it.
    """

    __slots__ = ("abandoned", "left", "outcomes")

    def __init__(self, size: int) -> None:
        self.outcomes: list[Outcome | None] = [None] * size
        self.left = size
        self.abandoned = False

    def put(self, at: int, outcome: Outcome) -> bool:
        """Note an outcome; whether it was the last one."""
        self.outcomes[at] = outcome
        self.left -= 1
        return not self.left

    def results(self) -> list[Outcome]:
        """All outcomes, in the order of the texts."""
        return [each for each in self.outcomes if each is not None]

    @abstractmethod
    def finish(self) -> None:
        """Tell who waits. Called once, without the lock."""


class CallbackTicket(Ticket):
    """Tells by a call on the thread that finished.

    Args:
        size: Texts in it.
        done: What is called.
    """

    __slots__ = ("_done",)

    def __init__(self, size: int, done: Done) -> None:
        super().__init__(size)
        self._done = done

    def finish(self) -> None:
        """See :meth:`Ticket.finish`; an error of the callback is its own, and is dropped."""
        with suppress(Exception):
            self._done(self.results())


class FutureTicket(Ticket):
    """Tells a coroutine.

    Args:
        size: Texts in it.
        mailbox: Of the coroutine's loop.
    """

    __slots__ = ("future", "mailbox")

    def __init__(self, size: int, mailbox: "Mailbox") -> None:
        super().__init__(size)
        self.mailbox = mailbox
        self.future: asyncio.Future[list[Outcome]] | None = None

    def wait(self) -> "asyncio.Future[list[Outcome]]":
        """What the coroutine awaits.

        It may be made after the submission: the same loop delivers, and not before it is let.
        """
        self.future = self.mailbox.loop.create_future()
        return self.future

    def finish(self) -> None:
        """See :meth:`Ticket.finish`."""
        self.mailbox.post([self])


class Mailbox:
    """Finished submissions of one event loop, handed over with one wake-up for all.

    ``post`` is called by engine threads, the rest by the loop.

    Args:
        loop: Where the coroutines run.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._lock = threading.Lock()
        self._posted: list[FutureTicket] = []

    def post(self, tickets: list[FutureTicket]) -> None:
        """Hand finished submissions over; wakes the loop unless it is about to look anyway."""
        with self._lock:
            idle = not self._posted
            self._posted.extend(tickets)
        if idle:
            with suppress(RuntimeError):  # the loop is closed: nobody waits there any more
                self.loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        with self._lock:
            posted, self._posted = self._posted, []
        for ticket in posted:
            if ticket.future is not None and not ticket.future.done():
                ticket.future.set_result(ticket.results())


class Waiter:
    """One text of a submission that waits for a job.

    Args:
        ticket: The submission.
        at: Place of the text in it.
        work: What is asked, and until when.
    """

    __slots__ = ("at", "deadline", "stack", "ticket")

    def __init__(self, ticket: Ticket, at: int, work: Work) -> None:
        self.ticket = ticket
        self.at = at
        self.stack = work.stack
        self.deadline = work.deadline

    def gone(self, now: float) -> bool:
        """Whether nobody waits any more."""
        return self.ticket.abandoned or (self.deadline is not None and self.deadline < now)


def tell(tickets: Sequence[Ticket]) -> None:
    """Tell all who wait for these; one wake-up for all coroutines of a loop."""
    by_mailbox: dict[Mailbox, list[FutureTicket]] = {}
    for ticket in tickets:
        if isinstance(ticket, FutureTicket):
            by_mailbox.setdefault(ticket.mailbox, []).append(ticket)
        else:
            ticket.finish()
    for mailbox, posted in by_mailbox.items():
        mailbox.post(posted)
