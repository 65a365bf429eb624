"""Records of long work: jobs with their finished steps, and leases on what only one may do."""

from datetime import datetime
from typing import Literal

import msgspec

from milepost.entities.ids import Digest, JobId

JobStatus = Literal["running", "interrupted", "failed", "done", "cancelled", "superseded"]
"""``running``: a living process works on it. ``interrupted``: its process ended, by Ctrl-C or
without a word. ``failed``: it met an error. Both go on at the last finished step when the same work
is asked for again. ``done``. ``cancelled``: by hand, or refused before anything was done, such as
for a task file that cannot be used. ``superseded``: other work took its place,
because the task, its data or the options are others now."""

UNFINISHED: tuple[JobStatus, ...] = ("running", "interrupted", "failed")
"""A job that may still come to an end."""


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """The right to be the only one that does something, for a while.

    Attributes:
        name: What it is the right to, such as ``improve route``.
        token: Grows by one at every acquisition, for good. A guarded write is refused once the
            token is no longer the newest, whatever any clock says.
        holder: Identity of the process that has it.
        since: When it was acquired.
        expires: When others may take it over unless it is renewed before.
    """

    name: str
    token: int
    holder: str
    since: datetime
    expires: datetime


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Work that somebody wants done.

    Attributes:
        kind: What is done, such as ``improve``.
        subject: To what, such as the name of a task. One job per kind and subject runs at a time.
        key: Digest of everything that makes two runs the same work.
        arguments: What was asked for, for people.
    """

    kind: str
    subject: str
    key: Digest
    arguments: dict[str, object] = {}

    @property
    def lease(self) -> str:
        """Name of the lease that whoever works on it must hold."""
        return lease_name(self.kind, self.subject)


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """A finished step of a job, never repeated.

    Attributes:
        name: Unique in the job.
        result: What it came to, as plain values and digests.
        artifacts: What the result needs; kept from garbage collection while the job goes on.
        seconds: Wall time that it took.
        finished: When.
    """

    name: str
    result: dict[str, object]
    artifacts: tuple[Digest, ...] = ()
    seconds: float
    finished: datetime


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """The durable record of long work.

    Attributes:
        id: ``j`` and 12 hex digits.
        kind: What is done.
        subject: To what.
        key: Digest of everything that makes two runs the same work.
        status: How it stands; a process that ended without a word counts as ``interrupted``.
        arguments: What was asked for.
        doing: What is being done, or was done last.
        share: Share of it done, 0 to 1.
        steps: How many steps are finished.
        attempts: How many processes have worked on it.
        error: What it failed with, or who cancelled it; ``None`` otherwise.
        created: When it began.
        updated: Last sign of life.
        actor: Who asked for it first.
        actors: Everybody whose process has worked on it, in that order.
        holder: Who works on it, such as ``process 4242 on host-a``; ``None`` when nobody does.
    """

    id: JobId
    kind: str
    subject: str
    key: Digest
    status: JobStatus
    arguments: dict[str, object] = {}
    doing: str = ""
    share: float = 0.0
    steps: int = 0
    attempts: int = 1
    error: str | None = None
    created: datetime
    updated: datetime
    actor: str
    actors: tuple[str, ...] = ()
    holder: str | None = None


def lease_name(kind: str, subject: str) -> str:
    """Name of the lease on one kind of work on one subject."""
    return f"{kind} {subject}"
