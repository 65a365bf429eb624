"""The part of the ledger about long work: jobs, their finished steps, their progress.

Whoever works on a job holds the lease of its kind and subject; every write about the work checks
that it still does. Only cancelling needs no lease: it takes the lease away.
"""

import secrets
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Connection, Row, delete, func, insert, select, update

from milepost._base import process
from milepost.entities.errors import HeldError, InputError
from milepost.entities.ids import Digest, JobId
from milepost.entities.job import (
    UNFINISHED,
    Job,
    JobStatus,
    Lease,
    Plan,
    Step,
    lease_name,
)
from milepost.storage import tables
from milepost.storage.records.base import from_json, next_position, own, to_json
from milepost.storage.records.leases import LeaseRecords

_ACTORS = "actors"
"""Beside the arguments of a job: everybody whose process has worked on it."""


class Begun(NamedTuple):
    """A job that this process may work on.

    Attributes:
        job: The job.
        lease: What every write about it must be guarded by.
        steps: What an earlier process finished, in the order in which it did.
        superseded: The unfinished jobs whose place it took.
    """

    job: Job
    lease: Lease
    steps: tuple[Step, ...]
    superseded: tuple[JobId, ...]


class _Result(msgspec.Struct, frozen=True):
    """What is kept of a step as JSON."""

    result: dict[str, object]
    artifacts: tuple[Digest, ...]


class JobRecords(LeaseRecords):
    """Jobs, one row each for good; their artifacts are pinned until they end."""

    def begin_job(
        self, plan: Plan, holder: str, seconds: float, actor: str = tables.DEFAULT
    ) -> Begun:
        """Go on with the unfinished job that is the same work, or begin a new one.

        Unfinished jobs of the same kind and subject that are other work are superseded.

        Args:
            plan: The work.
            holder: Identity of the process that will do it.
            seconds: How long its lease holds without a sign of life.
            actor: Who.

        Raises:
            HeldError: If another process is at this kind of work on this subject.
        """
        with self.database.write(self.tenant) as connection:
            unfinished = self._unfinished(connection, plan)
            try:
                lease = self._acquire(connection, plan.lease, holder, seconds)
            except HeldError as error:
                raise _already(error, plan, unfinished) from None
            same = next((row.id for row in unfinished if row.key == plan.key), None)
            others = tuple(JobId(row.id) for row in unfinished if row.id != same)
            for other in others:
                self._end(connection, other, "superseded", None)
            if same is None:
                identity = self._new_job(connection, plan, actor)
            else:
                identity = JobId(same)
                self._again(connection, identity, plan, actor)
            row = self._found(connection, identity)
            return Begun(
                _job(row, "running", process.described(holder)),
                lease,
                self._steps(connection, identity),
                others,
            )

    def beat(self, job: str, lease: Lease, seconds: float, doing: str, share: float) -> Lease:
        """Give a sign of life: the lease holds for ``seconds`` from now, and what is being done.

        Raises:
            LostError: If the lease was lost, or the job was cancelled.
        """
        with self.database.write(self.tenant) as connection:
            renewed = self._renew(connection, lease, seconds)
            self._set(connection, job, doing=doing, share=min(1.0, max(0.0, share)))
            return renewed

    def finish_step(
        self, job: str, lease: Lease, step: Step, progress: tuple[str, float] | None = None
    ) -> None:
        """Record a finished step and keep its artifacts from garbage collection.

        Recording it again replaces it, so that a write whose answer was lost may be repeated.

        Args:
            job: The job.
            lease: Of whoever works on it.
            step: What was finished.
            progress: What is being done, and the share of the job that is done, 0 to 1; ``None``
                leaves what was said last.

        Raises:
            LostError: If the lease was lost, or the job was cancelled.
        """
        table = tables.job_steps
        of_job = own(table, self.tenant, job=job)
        with self.database.write(self.tenant) as connection:
            self._require_lease(connection, lease)
            connection.execute(delete(table).where(*of_job, table.c.name == step.name))
            connection.execute(
                insert(table).values(
                    tenant=self.tenant,
                    job=job,
                    name=step.name,
                    position=next_position(connection, table.c.position, of_job),
                    record=to_json(_Result(step.result, step.artifacts)),
                    seconds=step.seconds,
                    finished=step.finished,
                )
            )
            self._pin(connection, job, step.artifacts)
            said = {} if progress is None else {"doing": progress[0], "share": progress[1]}
            self._set(connection, job, **said)

    def end_job(self, job: str, lease: Lease, status: JobStatus, error: str | None = None) -> None:
        """Say how the work of this process on a job ended, and give its lease back.

        Raises:
            LostError: If the lease was lost, or the job was cancelled.
        """
        with self.database.write(self.tenant) as connection:
            self._require_lease(connection, lease)
            self._end(connection, job, status, error)
            self._give_back(connection, lease)

    def cancel_job(self, job: str, reason: str, actor: str = tables.DEFAULT) -> Job:
        """End an unfinished job for good; a process that works on it can write nothing more.

        Raises:
            UnknownNameError: If there is no such job.
            InputError: If it has ended already.
        """
        with self.database.write(self.tenant) as connection:
            row = self._found(connection, job)
            if row.status not in UNFINISHED:
                raise InputError(
                    f"the job {job} is {row.status} already.", advice="There is nothing to cancel."
                )
            said = f"cancelled by {actor}: {reason}"
            self._end(connection, job, "cancelled", said)
            self._revoke(connection, lease_name(row.kind, row.subject))
            self._append_audit(
                connection,
                actor=actor,
                action="job.cancelled",
                subject=lease_name(row.kind, row.subject),
                reason=reason,
                details={"job": job, "key": row.key},
            )
            return _job(self._found(connection, job), "cancelled", None)

    def job(self, id: str) -> Job:  # noqa: A002 - the record's own word
        """A job by its id.

        Raises:
            UnknownNameError: If there is none.
        """
        with self.database.read() as connection:
            return self._seen(connection, [self._found(connection, id)])[0]

    def jobs(
        self, statuses: Sequence[JobStatus] = UNFINISHED, limit: int | None = None
    ) -> tuple[Job, ...]:
        """Jobs, newest first.

        Args:
            statuses: Only those that were recorded so; one that was recorded as ``running`` is
                given as ``interrupted`` where its process is seen to have ended.
            limit: The most to return; ``None`` returns all.
        """
        table = tables.jobs
        with self.database.read() as connection:
            rows = connection.execute(
                self._with_steps()
                .where(*own(table, self.tenant), table.c.status.in_(statuses))
                .order_by(table.c.sequence.desc())
                .limit(limit)
            ).all()
            return self._seen(connection, rows)

    def job_steps(self, job: str) -> tuple[Step, ...]:
        """The finished steps of a job, in the order in which they were finished."""
        with self.database.read() as connection:
            return self._steps(connection, job)

    def _unfinished(self, connection: Connection, plan: Plan) -> Sequence[Row[Any]]:
        table = tables.jobs
        of_kind = own(table, self.tenant, subject=plan.subject, kind=plan.kind)
        return connection.execute(
            select(table)
            .where(*of_kind, table.c.status.in_(UNFINISHED))
            .order_by(table.c.sequence.desc())
        ).all()

    def _new_job(self, connection: Connection, plan: Plan, actor: str) -> JobId:
        table, identity, now = tables.jobs, JobId(f"j{secrets.token_hex(6)}"), self.clock()
        connection.execute(
            insert(table).values(
                tenant=self.tenant,
                id=identity,
                sequence=next_position(connection, table.c.sequence, own(table, self.tenant)),
                kind=plan.kind,
                subject=plan.subject,
                key=plan.key,
                status="running",
                arguments=to_json({**plan.arguments, _ACTORS: [actor]}),
                doing="",
                share=0.0,
                attempts=1,
                error=None,
                created=now,
                updated=now,
                actor=actor,
            )
        )
        return identity

    def _again(self, connection: Connection, job: JobId, plan: Plan, actor: str) -> None:
        before = _job(self._found(connection, job), "running", None).actors
        actors = dict.fromkeys((*before, actor))
        self._set(
            connection,
            job,
            status="running",
            error=None,
            arguments=to_json({**plan.arguments, _ACTORS: list(actors)}),
            attempts=tables.jobs.c.attempts + 1,
        )

    def _set(self, connection: Connection, job: str, **values: object) -> None:
        table = tables.jobs
        connection.execute(
            update(table)
            .where(*own(table, self.tenant, id=job))
            .values(updated=self.clock(), **values)
        )

    def _end(self, connection: Connection, job: str, status: JobStatus, error: str | None) -> None:
        ended = {"share": 1.0, "doing": "done"} if status == "done" else {}
        self._set(connection, job, status=status, error=error, **ended)
        if status not in UNFINISHED:
            pins = tables.pins
            connection.execute(delete(pins).where(*own(pins, self.tenant, owner=_owner(job))))

    def _pin(self, connection: Connection, job: str, digests: Sequence[Digest]) -> None:
        pins, owner = tables.pins, _owner(job)
        known = set(
            connection.scalars(select(pins.c.digest).where(*own(pins, self.tenant, owner=owner)))
        )
        now = self.clock()
        new = [
            {"tenant": self.tenant, "owner": owner, "digest": digest, "created": now}
            for digest in dict.fromkeys(digests)
            if digest not in known
        ]
        if new:
            connection.execute(insert(pins), new)

    def _found(self, connection: Connection, job: str) -> Row[Any]:
        table = tables.jobs
        row = connection.execute(
            self._with_steps().where(*own(table, self.tenant, id=job))
        ).one_or_none()
        if row is None:
            raise self._unknown(connection, "job", job, table.c.id)
        return row

    def _with_steps(self) -> Any:
        jobs, steps = tables.jobs, tables.job_steps
        count = (
            select(func.count())
            .where(steps.c.tenant == jobs.c.tenant, steps.c.job == jobs.c.id)
            .scalar_subquery()
        )
        return select(jobs, count.label("steps"))

    def _steps(self, connection: Connection, job: str) -> tuple[Step, ...]:
        table = tables.job_steps
        rows = connection.execute(
            select(table).where(*own(table, self.tenant, job=job)).order_by(table.c.position)
        )
        return tuple(_step(row) for row in rows)

    def _seen(self, connection: Connection, rows: Sequence[Row[Any]]) -> tuple[Job, ...]:
        """Jobs as their leases show them: without a living holder none is running."""
        found: list[Job] = []
        for row in rows:
            status: JobStatus = row.status
            holder = None
            if status == "running":
                lease = self._lease(connection, lease_name(row.kind, row.subject))
                if lease is not None and self._alive(lease):
                    holder = process.described(lease.holder)
                else:
                    status = "interrupted"
            found.append(_job(row, status, holder))
        return tuple(found)


def _owner(job: str) -> str:
    """Whose pins those of a job are."""
    return f"job:{job}"


def _already(error: HeldError, plan: Plan, unfinished: Sequence[Row[Any]]) -> HeldError:
    """The refusal of a second process, naming the first one's job."""
    running = next((row.id for row in unfinished if row.status == "running"), None)
    if running is None:
        return error
    return HeldError(
        error.what,
        where=plan.lease,
        advice=f"It is job {running}: watch it with `milepost jobs --watch`, or stop it with "
        f"`milepost jobs cancel {running}`.",
    )


def _job(row: Row[Any], status: JobStatus, holder: str | None) -> Job:
    where = f"job {row.id}"
    arguments = from_json(row.arguments, dict[str, object], where=where)
    actors = arguments.pop(_ACTORS, None)
    return Job(
        id=row.id,
        kind=row.kind,
        subject=row.subject,
        key=row.key,
        status=status,
        arguments=arguments,
        doing=row.doing,
        share=row.share,
        steps=row.steps,
        attempts=row.attempts,
        error=row.error,
        created=row.created,
        updated=row.updated,
        actor=row.actor,
        actors=tuple(map(str, actors)) if isinstance(actors, list) else (row.actor,),
        holder=holder,
    )


def _step(row: Row[Any]) -> Step:
    kept = from_json(row.record, _Result, where=f"step {row.name} of job {row.job}")
    return Step(
        name=row.name,
        result=kept.result,
        artifacts=kept.artifacts,
        seconds=row.seconds,
        finished=row.finished,
    )
