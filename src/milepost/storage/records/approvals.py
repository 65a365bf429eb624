"""The part of the ledger about releases that people other than their maker must approve.

A release that needs approvals is made, and stored with the channel and the version of it that the
decision was based on: a proposal. The last approval moves the channel in its own transaction, if
the channel still has that version. If it was moved meanwhile, the release was measured against
something else than what runs now: the approval is kept, the channel stays, and a person decides.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, func, insert, or_, select

from milepost.entities.contest import Contest
from milepost.entities.errors import InputError
from milepost.entities.release import Approval, ApprovalOutcome, ApprovalState, Approved, Channel
from milepost.entities.task import Task
from milepost.storage import tables
from milepost.storage.records.base import IN_PARTS, from_json, own
from milepost.storage.records.operations import Request
from milepost.storage.records.releases import PRODUCTION, ReleaseRecords, moved


class ApprovalRecords(ReleaseRecords):
    """Proposals and approvals; both are only ever added."""

    def approvals(self, task: str, release: int) -> ApprovalState:
        """Who has approved a release, and how many must.

        Raises:
            UnknownNameError: If there is no such task or release.
        """
        with self.database.read() as connection:
            self._release_found(connection, task, release)
            return self._states(connection, task, [release])[release]

    def approval_states(self, task: str, releases: Sequence[int]) -> dict[int, ApprovalState]:
        """Who has approved some releases of a task, by the number of each.

        Raises:
            UnknownNameError: If there is no such task.
        """
        with self.database.read() as connection:
            self._require_task(connection, task)
            return self._states(connection, task, releases)

    def newest_admitted(self, task: str, *, before: int) -> int | None:
        """The newest release below a number that has the approvals asked for when it was made.

        Raises:
            UnknownNameError: If there is no such task.
        """
        made, asked, given = tables.releases, tables.proposals, tables.approvals
        names = ("tenant", "task")
        proposed = [asked.c[name] == made.c[name] for name in names]
        approved = [given.c[name] == made.c[name] for name in names]
        count = (
            select(func.count())
            .select_from(given)
            .where(*approved, given.c.release == made.c.number)
            .scalar_subquery()
        )
        with self.database.read() as connection:
            self._require_task(connection, task)
            return connection.scalar(
                select(made.c.number)
                .outerjoin(asked, and_(*proposed, asked.c.release == made.c.number))
                .where(*own(made, self.tenant, task=task), made.c.number < before)
                .where(or_(asked.c.approvals.is_(None), asked.c.approvals <= count))
                .order_by(made.c.number.desc())
                .limit(1)
            )

    def approve(
        self,
        task: str,
        release: int,
        *,
        reason: str,
        actor: str,
        idempotency_key: str | None = None,
    ) -> Approved:
        """Approve a release; the last approval that it needs moves its channel.

        Approval, move and audit rows are written in one transaction, or nothing is. The channel
        moves only if it still has the version that the release was decided on. A second approval
        by the same person adds nothing.

        Args:
            task: Name of the task.
            release: Number of the release.
            reason: Why, in words.
            actor: Who approves: anybody but whoever ran the contest or made the release.
            idempotency_key: The same request with the same key gives the first result.

        Raises:
            UnknownNameError: If there is no such task or release.
            InputError: If the actor made it, nobody is named, or it lacks no approval.
        """
        request: Request = {"approve": release, "task": task, "reason": reason, "actor": actor}
        with self.database.write(self.tenant) as connection:
            return self._once(
                connection,
                idempotency_key,
                request,
                Approved,
                lambda: self._approve(connection, task, release, reason=reason, actor=actor),
                actor=actor,
            )

    def _approve(
        self, connection: Connection, task: str, number: int, *, reason: str, actor: str
    ) -> Approved:
        row = self._release_found(connection, task, number)
        self._require_second_person(connection, row, actor)
        state = self._states(connection, task, [number])[number]
        proposal = self._proposal(connection, task, number)
        name = proposal.channel if proposal else PRODUCTION
        before = self._channel(connection, task, name)
        outcome: ApprovalOutcome = "live" if before and before.release == number else "overtaken"
        if any(_same(each.actor, actor) for each in state.approvals):
            outcome = "waiting" if state.lacking else outcome
            return _approved(state, task, outcome, before, repeated=True)
        if not state.lacking:
            what = "has all the approvals that it needs" if state.needed else "needs no approval"
            raise InputError(f"release {number} of {task!r} {what}.", advice="Nothing is to do.")
        state = self._store_approval(connection, state, task, reason=reason, actor=actor)
        after = before
        if state.lacking:
            outcome = "waiting"
        elif proposal and proposal.version == (before.version if before else 0):
            outcome = "live"
            after = moved(before, task, name, number, proposal.version)
        self._append_audit(
            connection,
            actor=actor,
            action="release.approved",
            subject=f"{task}#{number}",
            reason=reason,
            details={
                "release": row.digest,
                "given": len(state.approvals),
                "needed": state.needed,
                "outcome": outcome,
            },
        )
        if after is not None and after is not before:
            self._store_move(connection, after, actor=actor, reason=reason)
        return _approved(state, task, outcome, after)

    def _store_approval(
        self, connection: Connection, state: ApprovalState, task: str, *, reason: str, actor: str
    ) -> ApprovalState:
        approval = Approval(
            task=task,
            release=state.release,
            actor=actor,
            role=self.role,
            reason=reason,
            at=self.clock(),
        )
        values = {name: getattr(approval, name) for name in Approval.__struct_fields__}
        connection.execute(insert(tables.approvals).values(tenant=self.tenant, **values))
        return ApprovalState(
            release=state.release, needed=state.needed, approvals=(*state.approvals, approval)
        )

    def _require_second_person(self, connection: Connection, row: Row[Any], actor: str) -> None:
        """Raise ``InputError`` if the actor is nobody, or one of those who made the release."""
        if not actor.strip():
            raise InputError(
                "an approval needs a name.", advice="Set MILEPOST_ACTOR to yours, and try again."
            )
        table = tables.contests
        ran = connection.execute(
            select(table.c.actor, table.c.record).where(*own(table, self.tenant, id=row.contest))
        ).one()
        contest = from_json(ran.record, Contest, where=f"contest {row.contest}")
        if any(_same(actor, each) for each in (row.actor, ran.actor, *contest.actors)):
            raise InputError(
                f"{actor} made release {row.number} of {row.task!r} and cannot approve it.",
                advice="Ask somebody else to: "
                f"milepost approve {row.task} {row.number} --reason '…'.",
            )

    def _require_approvals(self, connection: Connection, row: Row[Any], *, back: bool) -> None:
        """Raise ``InputError`` if a release lacks approvals.

        Args:
            connection: Of the transaction.
            row: The release.
            back: Whether a channel goes back to it: then what was asked for when it was made is
                enough, so that a stricter rule never stands between an accident and its end.
        """
        state = self._states(connection, row.task, [row.number])[row.number]
        proposal = self._proposal(connection, row.task, row.number)
        needed = (proposal.approvals if proposal else 0) if back else state.needed
        lacking = needed - len(state.approvals)
        if lacking > 0:
            lacks = "the approval" if needed == 1 else f"{lacking} of the {needed} approvals"
            raise InputError(
                f"release {row.number} of {row.task!r} lacks {lacks} that it needs.",
                advice=f"Let somebody other than {row.actor} approve it: "
                f"milepost approve {row.task} {row.number} --reason '…'.",
            )

    def _propose(
        self, connection: Connection, task: str, number: int, channel: Channel, approvals: int
    ) -> None:
        """Keep the move that a release waits to make."""
        connection.execute(
            insert(tables.proposals).values(
                tenant=self.tenant,
                task=task,
                release=number,
                channel=channel.name,
                version=channel.version - 1,
                approvals=approvals,
            )
        )

    def _proposal(self, connection: Connection, task: str, number: int) -> Row[Any] | None:
        table = tables.proposals
        where = own(table, self.tenant, task=task, release=number)
        return connection.execute(select(table).where(*where)).one_or_none()

    def _asked_now(self, connection: Connection, task: str) -> int:
        """Approvals that the current version of a task asks for."""
        current, versions = tables.tasks, tables.task_versions
        digest = select(current.c.version).where(*own(current, self.tenant, name=task))
        return self._asked_by(connection, task, versions.c.digest == digest.scalar_subquery())

    def _asked_by(self, connection: Connection, task: str, version: ColumnElement[bool]) -> int:
        table = tables.task_versions
        record = connection.scalar(
            select(table.c.record).where(*own(table, self.tenant, task=task), version)
        )
        return 0 if record is None else from_json(record, Task, where=f"task {task}").approvals

    def _asked(self, connection: Connection, task: str, contest: str) -> int:
        """Approvals that a release of a contest needs when it is made."""
        table = tables.contests
        digest = select(table.c.task_version).where(*own(table, self.tenant, id=contest))
        then = self._asked_by(
            connection, task, tables.task_versions.c.digest == digest.scalar_subquery()
        )
        return max(then, self._asked_now(connection, task))

    def _states(
        self, connection: Connection, task: str, releases: Sequence[int]
    ) -> dict[int, ApprovalState]:
        """Approvals of releases; asked in parts, for a statement's size is bounded."""
        now = self._asked_now(connection, task)
        asked: dict[int, int] = {}
        given: dict[int, list[Approval]] = {}
        for start in range(0, len(releases), IN_PARTS):
            part = releases[start : start + IN_PARTS]
            table = tables.proposals
            rows = connection.execute(
                select(table.c.release, table.c.approvals).where(
                    *own(table, self.tenant, task=task), table.c.release.in_(part)
                )
            )
            asked.update({row.release: row.approvals for row in rows})
            table = tables.approvals
            rows = connection.execute(
                select(table)
                .where(*own(table, self.tenant, task=task), table.c.release.in_(part))
                .order_by(table.c.release, table.c.at, table.c.actor)
            )
            for row in rows:
                given.setdefault(row.release, []).append(_approval(row))
        return {
            number: ApprovalState(
                release=number,
                needed=max(now, asked.get(number, 0)),
                approvals=tuple(given.get(number, ())),
            )
            for number in releases
        }

    def _waiting(
        self, connection: Connection, task: str, releases: Sequence[int]
    ) -> dict[int, int]:
        """How many approvals those releases lack that were made as proposals and wait."""
        table, channels = tables.proposals, tables.channels
        proposed: list[int] = []
        for start in range(0, len(releases), IN_PARTS):
            part = releases[start : start + IN_PARTS]
            proposed += connection.scalars(
                select(table.c.release).where(
                    *own(table, self.tenant, task=task), table.c.release.in_(part)
                )
            )
        if not proposed:
            return {}
        rows = connection.execute(
            select(channels.c.release, channels.c.previous).where(
                *own(channels, self.tenant, task=task)
            )
        )
        stood = {number for row in rows for number in row}
        states = self._states(connection, task, [n for n in proposed if n not in stood])
        return {number: state.lacking for number, state in states.items()}


def _approved(
    state: ApprovalState,
    task: str,
    outcome: ApprovalOutcome,
    channel: Channel | None,
    *,
    repeated: bool = False,
) -> Approved:
    return Approved(
        task=task,
        release=state.release,
        given=len(state.approvals),
        needed=state.needed,
        outcome=outcome,
        channel=channel,
        repeated=repeated,
    )


def _approval(row: Row[Any]) -> Approval:
    return Approval(
        task=row.task,
        release=row.release,
        actor=row.actor,
        role=row.role,
        reason=row.reason,
        at=row.at,
    )


def _same(one: str, other: str) -> bool:
    """Whether two names are one person's, however they are written."""
    return one.strip().casefold() == other.strip().casefold()
