"""The part of the ledger about contests and their candidates."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec.structs import replace
from sqlalchemy import Column, Connection, Float, Row, func, insert, select

from milepost._base.digest import digest_of
from milepost.entities.contest import Candidate, Contest
from milepost.entities.errors import ConflictError
from milepost.entities.ids import Digest
from milepost.entities.release import Channel
from milepost.storage import tables
from milepost.storage.records.approvals import ApprovalRecords
from milepost.storage.records.base import IN_PARTS, from_json, next_position, own, to_json
from milepost.storage.records.operations import Request
from milepost.storage.records.releases import PRODUCTION

# Fixed by name: a column of a later version must not change the digests of this one.
CONTEST = tuple(
    tables.contests.c[name]
    for name in (
        *("id", "task", "sequence", "task_version", "examples", "holdout", "regime", "seed"),
        *("verdict", "seconds", "code", "actor", "record"),
    )
)
"""What of a contest's row its audit entry has a digest of; ``started`` is in the record too."""

CANDIDATE = tuple(
    tables.candidates.c[name]
    for name in (
        *("id", "contest", "position", "task", "strategy", "chosen", "failed", "value", "low"),
        *("high", "n", "bundle", "predictions", "fit_seconds", "record"),
    )
)
"""The same of a candidate's row."""


class ContestRecords(ApprovalRecords):
    """Contests, written once and read as they were."""

    def save_contest(
        self,
        contest: Contest,
        actor: str = tables.DEFAULT,
        *,
        idempotency_key: str | None = None,
    ) -> None:
        """Store a contest with all its candidates, in one transaction.

        A contest is stored before its release is made. ``contest.release`` is not stored: it is
        looked up among the releases when the contest is read.

        Args:
            contest: The contest.
            actor: Who ran it.
            idempotency_key: With the key of the first time, an equal contest is done already.

        Raises:
            UnknownNameError: If its task, or that version of it, is not in the ledger.
            ConflictError: If a contest with this id is there already.
            InputError: If the key was used for another contest.
            StorageError: If it cannot be stored; nothing is stored then.
        """
        with self.database.write(self.tenant) as connection:

            def store() -> str:
                standing = self._channel(connection, contest.task, PRODUCTION)
                self._store_contest(connection, contest, actor, standing)
                return contest.id

            request: Request = {"contest": same_contest(contest), "actor": actor}
            self._once(connection, idempotency_key, request, str, store, actor=actor)

    def _store_contest(
        self, connection: Connection, contest: Contest, actor: str, standing: Channel | None
    ) -> None:
        """Write a contest, its candidates and their audit rows.

        Args:
            connection: Of the transaction.
            contest: The contest.
            actor: Who ran it.
            standing: The channel whose release was the incumbent.
        """
        table = tables.contests
        record = to_json(replace(contest, candidates=(), release=None, waits_for=0))
        rows = [
            self._candidate_row(contest, position, candidate)
            for position, candidate in enumerate(contest.candidates)
        ]
        of_task = own(table, self.tenant, task=contest.task)
        self._require_version(connection, contest)
        if connection.scalar(select(table.c.id).where(*own(table, self.tenant, id=contest.id))):
            raise ConflictError(
                f"the contest {contest.id!r} is stored already.",
                advice="A stored contest is never changed; begin a new one.",
            )
        values: dict[str, object] = {
            "tenant": self.tenant,
            "id": contest.id,
            "task": contest.task,
            "sequence": next_position(connection, table.c.sequence, of_task),
            "task_version": contest.task_version,
            "examples": contest.examples,
            "holdout": contest.holdout,
            "regime": contest.regime,
            "seed": contest.seed,
            "verdict": contest.decision.verdict,
            "started": contest.started,
            "seconds": contest.seconds,
            "code": contest.code,
            "record": record,
            "created": self.clock(),
            "actor": actor,
        }
        connection.execute(insert(table).values(**values))
        if rows:
            connection.execute(insert(tables.candidates), rows)
        stored = {"record": contest_digest(values), "candidates": candidates_digest(rows)}
        self._audit_contest(connection, contest, actor, standing, stored)

    def _audit_contest(
        self,
        connection: Connection,
        contest: Contest,
        actor: str,
        standing: Channel | None,
        stored: Mapping[str, Digest],
    ) -> None:
        chosen, reasons = contest.chosen, " ".join(contest.decision.reasons)
        if chosen is not None and chosen.scorecard is not None:
            certified = chosen.scorecard.objective
            self._append_audit(
                connection,
                actor=actor,
                action="candidate.certified",
                subject=chosen.id,
                reason=f"it was chosen among {len(contest.candidates)} candidates",
                details={
                    "task": contest.task,
                    "contest": contest.id,
                    "candidate": chosen.id,
                    "bundle": chosen.bundle,
                    "regime": contest.regime,
                    "metric": chosen.scorecard.metric,
                    "value": certified.value,
                    "low": certified.low,
                    "high": certified.high,
                    "n": certified.n,
                    "examples": contest.examples,
                    "holdout": contest.holdout,
                },
            )
        self._append_audit(
            connection,
            actor=actor,
            action="gate.decided",
            subject=contest.id,
            reason=reasons,
            details={
                "task": contest.task,
                "task_version": contest.task_version,
                "contest": contest.id,
                "candidate": chosen.id if chosen else None,
                "verdict": contest.decision.verdict,
                "incumbent": standing.release if standing else None,
                **stored,
            },
        )

    def contest(self, id: str) -> Contest:  # noqa: A002 - the record's own word
        """A contest by its id.

        Raises:
            UnknownNameError: If there is none.
        """
        with self.database.read() as connection:
            return self._contest(connection, id)

    def _contest(self, connection: Connection, id: str) -> Contest:  # noqa: A002
        table = tables.contests
        row = connection.execute(select(table).where(*own(table, self.tenant, id=id))).one_or_none()
        if row is None:
            raise self._unknown(connection, "contest", id, table.c.id)
        return self._contests(connection, [row])[0]

    def contests(self, task: str, limit: int | None = None) -> tuple[Contest, ...]:
        """Contests of a task, newest first.

        Args:
            task: Name of the task.
            limit: The most to return; ``None`` returns all.

        Raises:
            UnknownNameError: If there is no such task.
        """
        table = tables.contests
        with self.database.read() as connection:
            self._require_task(connection, task)
            rows = connection.execute(
                select(table)
                .where(*own(table, self.tenant, task=task))
                .order_by(table.c.sequence.desc())
                .limit(limit)
            ).all()
            return self._contests(connection, rows)

    def latest_contest(self, task: str) -> Contest | None:
        """The contest of a task that was stored last; ``None`` when there is none yet.

        Raises:
            UnknownNameError: If there is no such task.
        """
        found = self.contests(task, limit=1)
        return found[0] if found else None

    def candidate(self, id: str) -> Candidate:  # noqa: A002 - the record's own word
        """A candidate by its id.

        Raises:
            UnknownNameError: If there is none.
        """
        with self.database.read() as connection:
            row = self._candidate_found(connection, id)
        return _candidate(row.id, row.record)

    def contest_of(self, candidate: str) -> Contest:
        """The contest that a candidate took part in.

        Raises:
            UnknownNameError: If there is no such candidate.
        """
        with self.database.read() as connection:
            contest = self._candidate_found(connection, candidate).contest
        return self.contest(contest)

    def _candidate_found(self, connection: Connection, id: str) -> Row[Any]:  # noqa: A002
        table = tables.candidates
        row = connection.execute(select(table).where(*own(table, self.tenant, id=id))).one_or_none()
        if row is None:
            raise self._unknown(connection, "candidate", id, table.c.id)
        return row

    def _require_version(self, connection: Connection, contest: Contest) -> None:
        self._require_task(connection, contest.task)
        table = tables.task_versions
        where = own(table, self.tenant, task=contest.task, digest=contest.task_version)
        if connection.scalar(select(table.c.number).where(*where)) is None:
            kind = f"version of the task {contest.task!r}"
            raise self._unknown(
                connection, kind, contest.task_version, table.c.digest, table.c.task == contest.task
            )

    def _candidate_row(
        self, contest: Contest, position: int, candidate: Candidate
    ) -> dict[str, object]:
        estimate = candidate.selection
        return {
            "tenant": self.tenant,
            "id": candidate.id,
            "contest": contest.id,
            "position": position,
            "task": contest.task,
            "strategy": candidate.strategy,
            "chosen": candidate.chosen,
            "failed": candidate.error is not None,
            "value": estimate.value if estimate else None,
            "low": estimate.low if estimate else None,
            "high": estimate.high if estimate else None,
            "n": estimate.n if estimate else None,
            "bundle": candidate.bundle,
            "predictions": candidate.predictions,
            "fit_seconds": candidate.fit_seconds,
            "record": to_json(candidate),
        }

    def _contests(self, connection: Connection, rows: Sequence[Row[Any]]) -> tuple[Contest, ...]:
        """The records of those rows, with their candidates and releases."""
        ids = [row.id for row in rows]
        candidates, releases = tables.candidates, tables.releases
        members: dict[str, list[Candidate]] = {each: [] for each in ids}
        made: dict[str, int] = {}
        for start in range(0, len(ids), IN_PARTS):
            part = ids[start : start + IN_PARTS]
            for row in connection.execute(
                select(candidates.c.id, candidates.c.contest, candidates.c.record)
                .where(candidates.c.tenant == self.tenant, candidates.c.contest.in_(part))
                .order_by(candidates.c.contest, candidates.c.position)
            ):
                members[row.contest].append(_candidate(row.id, row.record))
            for row in connection.execute(
                select(releases.c.contest, func.max(releases.c.number).label("number"))
                .where(releases.c.tenant == self.tenant, releases.c.contest.in_(part))
                .group_by(releases.c.contest)
            ):
                made[row.contest] = row.number
        waiting: dict[str, dict[int, int]] = {}
        for task in {row.task for row in rows}:
            numbers = [made[row.id] for row in rows if row.task == task and row.id in made]
            waiting[task] = self._waiting(connection, task, numbers)
        return tuple(
            replace(
                from_json(row.record, Contest, where=f"contest {row.id}"),
                candidates=tuple(members[row.id]),
                release=made.get(row.id),
                waits_for=waiting[row.task].get(made.get(row.id, 0), 0),
            )
            for row in rows
        )


def contest_digest(row: Mapping[Any, Any]) -> Digest:
    """SHA-256 over a row of contests, its record included, but the moment when it was stored."""
    return Digest(digest_of([_plain(column, row) for column in CONTEST]))


def candidates_digest(rows: Iterable[Mapping[Any, Any]]) -> Digest:
    """SHA-256 over a contest's rows of candidates, in their order, but what is collected later."""
    return Digest(digest_of([[_plain(column, row) for column in CANDIDATE] for row in rows]))


def _plain(column: Column[Any], row: Mapping[Any, Any]) -> object:
    """A value as every database gives it back: a whole number in a column of floats is one."""
    value = row[column.name]
    return float(value) if isinstance(column.type, Float) and isinstance(value, int) else value


def same_contest(contest: Contest) -> Contest:
    """A contest without what differs when a resumed job asks again for the same one."""
    return replace(contest, release=None, waits_for=0, seconds=0.0, actors=())


def _candidate(id: str, record: str) -> Candidate:  # noqa: A002 - the record's own word
    return from_json(record, Candidate, where=f"candidate {id}")
