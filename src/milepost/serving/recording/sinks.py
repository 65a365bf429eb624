"""Where traces are kept: one protocol, and the sink that writes to the ledger."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from milepost.entities.serving import Trace, TraceFilter
from milepost.storage.ledger import Ledger

Expiring = tuple[Trace, datetime]
"""A trace, and the moment from which it is to be removed, UTC."""


class TraceSink(Protocol):
    """A store of traces. ``write`` and ``expire`` are called by one thread, the others by any."""

    label: str
    """Where it is, for people; holds no credentials."""

    def write(self, traces: Sequence[Expiring]) -> None:
        """Keep a group; when it returns, all of it outlives a crash of the machine.

        The same group again changes nothing, so that a failed write may be repeated.

        Raises:
            StorageError: If it cannot be kept now; the same again may succeed.
            InputError: If a trace in it can never be kept.
        """
        ...

    def trace(self, id: str) -> Trace | None:  # noqa: A002 - the record's own word
        """A trace by its id; ``None`` when it was never kept, or has expired."""
        ...

    def traces(
        self,
        task: str | None = None,
        *,
        limit: int = 100,
        before: str | None = None,
        only: TraceFilter | None = None,
    ) -> tuple[Trace, ...]:
        """Traces, newest first; ``before`` gives only those older than the one of this id."""
        ...

    def expire(self, now: datetime) -> bool:
        """Remove some of what has expired, in bounded time; whether there may be more."""
        ...

    def close(self) -> None:
        """Give back what is held open."""
        ...


class LedgerSink:
    """Traces in the ledger's own table. Safe to share between threads.

    Args:
        ledger: Stays open when the sink is closed.
        at_once: The most traces that are removed in one transaction, ≥ 1.
    """

    def __init__(self, ledger: Ledger, *, at_once: int = 5000) -> None:
        self._ledger = ledger
        self._at_once = at_once
        self.label = ledger.database.address.label

    def write(self, traces: Sequence[Expiring]) -> None:
        """Keep a group; see ``TraceSink``."""
        self._ledger.add_traces(traces)

    def trace(self, id: str) -> Trace | None:  # noqa: A002 - the record's own word
        """A trace by its id; see ``TraceSink``."""
        return self._ledger.trace(id)

    def traces(
        self,
        task: str | None = None,
        *,
        limit: int = 100,
        before: str | None = None,
        only: TraceFilter | None = None,
    ) -> tuple[Trace, ...]:
        """Traces, newest first; see ``TraceSink``."""
        return self._ledger.traces(task, limit=limit, before=before, only=only)

    def expire(self, now: datetime) -> bool:
        """Remove some of what has expired; see ``TraceSink``."""
        return self._ledger.expire_traces(now, self._at_once) == self._at_once

    def close(self) -> None:
        """Nothing is held open."""
