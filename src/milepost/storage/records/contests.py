"""The part of the ledger about contests and their candidates."""

from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace
from sqlalchemy import Connection, Row, func, insert, select

from milepost.entities.contest import Candidate, Contest
from milepost.entities.errors import ConflictError, UnknownNameError
from milepost.storage import tables
from milepost.storage.records.audit import AuditRecords
from milepost.storage.records.base import from_json, next_position, own, to_json


class ContestRecords(AuditRecords):
    """Contests, written once and read as they were."""

    def save_contest(self, contest: Contest, actor: str = tables.DEFAULT) -> None:
        """Store a contest with all its candidates, in one transaction.

        A contest is stored before its release is made. ``contest.release`` is not stored: it is
        looked up among the releases when the contest is read.

        Raises:
            UnknownNameError: If its task, or that version of it, is not in the ledger.
            ConflictError: If a contest with this id is there already.
            StorageError: If it cannot be stored; nothing is stored then.
        """
        with self.database.write(self.tenant) as connection:
            self._store_contest(connection, contest, actor)

    def _store_contest(self, connection: Connection, contest: Contest, actor: str) -> None:
        table = tables.contests
        record = to_json(replace(contest, candidates=(), release=None))
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
        connection.execute(
            insert(table).values(
                tenant=self.tenant,
                id=contest.id,
                task=contest.task,
                sequence=next_position(connection, table.c.sequence, of_task),
                task_version=contest.task_version,
                examples=contest.examples,
                holdout=contest.holdout,
                regime=contest.regime,
                seed=contest.seed,
                verdict=contest.decision.verdict,
                started=contest.started,
                seconds=contest.seconds,
                code=contest.code,
                record=record,
                created=self.clock(),
                actor=actor,
            )
        )
        if rows:
            connection.execute(insert(tables.candidates), rows)

    def contest(self, id: str) -> Contest:  # noqa: A002 - the record's own word
        """A contest by its id.

        Raises:
            UnknownNameError: If there is none.
        """
        table = tables.contests
        with self.database.read() as connection:
            row = connection.execute(
                select(table).where(*own(table, self.tenant, id=id))
            ).one_or_none()
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
            return _candidate(self._candidate_found(connection, id))

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
        of_task = own(table, self.tenant, task=contest.task)
        known = connection.scalars(
            select(table.c.digest).where(*of_task).order_by(table.c.number)
        ).all()
        if contest.task_version not in known:
            raise UnknownNameError(
                f"version of the task {contest.task!r}", contest.task_version, known
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
        members: dict[str, list[Candidate]] = {each: [] for each in ids}
        for row in _in_parts(connection, self.tenant, ids):
            members[row.contest].append(_candidate(row))
        table = tables.releases
        made = connection.execute(
            select(table.c.contest, func.max(table.c.number).label("number"))
            .where(table.c.tenant == self.tenant, table.c.task.in_({row.task for row in rows}))
            .group_by(table.c.contest)
        )
        release = {row.contest: row.number for row in made}
        return tuple(
            replace(
                from_json(row.record, Contest, where=f"contest {row.id}"),
                candidates=tuple(members[row.id]),
                release=release.get(row.id),
            )
            for row in rows
        )


def _in_parts(connection: Connection, tenant: str, contests: Sequence[str]) -> list[Any]:
    """Candidates of those contests in order; asked in parts, for a statement's size is bounded."""
    table = tables.candidates
    rows: list[Any] = []
    for start in range(0, len(contests), 500):
        rows.extend(
            connection.execute(
                select(table.c.id, table.c.contest, table.c.record)
                .where(table.c.tenant == tenant, table.c.contest.in_(contests[start : start + 500]))
                .order_by(table.c.contest, table.c.position)
            ).all()
        )
    return rows


def _candidate(row: Row[Any]) -> Candidate:
    return from_json(row.record, Candidate, where=f"candidate {row.id}")
