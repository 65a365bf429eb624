"""The part of the ledger about which artifacts are needed, by whom, and which were given up.

One store of artifacts may serve many tenants, so what is needed is asked for all of them.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec
from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Select,
    and_,
    delete,
    exists,
    func,
    insert,
    select,
    update,
)

from milepost._base import process
from milepost.entities.ids import CandidateId, Digest
from milepost.entities.release import Channel
from milepost.storage import tables
from milepost.storage.files.digest_files import check_digest
from milepost.storage.records.audit import AuditRecords
from milepost.storage.records.base import from_json, own

_ASLEEP = timedelta(days=1)


class _Kept(msgspec.Struct, frozen=True):
    """What matters here of a step's record."""

    artifacts: tuple[Digest, ...] = ()


class _Split(msgspec.Struct, frozen=True):
    """What matters here of a contest's record."""

    split: Digest | None = None
    needs: tuple[Digest, ...] = ()


class Needs(NamedTuple):
    """Digests of what must stay.

    Attributes:
        bundles: Manifests of releases and candidates; the files that they name must stay too.
        released: Those of them that are releases'.
        files: Snapshots, splits and predictions.
        pinned: What a running job or a backup holds, whatever it is.
    """

    bundles: frozenset[Digest]
    released: frozenset[Digest]
    files: frozenset[Digest]
    pinned: frozenset[Digest]


class NeedRecords(AuditRecords):
    """What the ledger's rows need of the artifacts."""

    def needed_artifacts(self, keep_contests: int | None = None) -> Needs:
        """What the rows of all tenants need; candidates that were given up need nothing.

        Args:
            keep_contests: Leave out what ``give_up`` with this number would give up.

        Raises:
            StorageError: If the ledger cannot be read.
        """
        candidates = tables.candidates
        kept: list[ColumnElement[bool]] = [candidates.c.collected.is_(None)]
        if keep_contests is not None:
            ours = candidates.c.tenant == self.tenant
            kept.append(~and_(ours, candidates.c.id.in_(_superseded(self.tenant, keep_contests))))
        with self.database.read() as connection:
            released = _digests(connection, tables.releases.c.bundle)
            return Needs(
                bundles=released | _digests(connection, candidates.c.bundle, *kept),
                released=released,
                files=_digests(connection, tables.datasets.c.artifact)
                | _splits(connection)
                | _digests(connection, candidates.c.predictions, *kept),
                pinned=_digests(connection, tables.pins.c.digest),
            )

    def working_since(self) -> datetime | None:
        """When the oldest job of any tenant that may still be at work began; ``None`` without one.

        A process without a sign of life may only be asleep, and go on where it was: it counts for
        a day more, unless it is seen to have ended.
        """
        table = tables.leases
        with self.database.read() as connection:
            rows = connection.execute(
                select(table.c.holder, table.c.since).where(
                    table.c.holder.is_not(None),
                    table.c.since.is_not(None),
                    table.c.expires > self.clock() - _ASLEEP,
                )
            ).all()
        return min((row.since for row in rows if not process.gone(row.holder)), default=None)

    def stored_by_jobs(self) -> frozenset[Digest]:
        """Everything that the finished steps of all jobs of all tenants stored, also long ago."""
        table = tables.job_steps
        with self.database.read() as connection:
            records = connection.scalars(select(table.c.record)).all()
        kept = (from_json(each, _Kept, where="job_steps") for each in records)
        return frozenset(digest for each in kept for digest in each.artifacts)

    def every_channel(self) -> tuple[Channel, ...]:
        """All channels of this tenant, by task and name."""
        table = tables.channels
        with self.database.read() as connection:
            rows = connection.execute(select(table).where(table.c.tenant == self.tenant)).all()
        found = [
            Channel(
                task=row.task,
                name=row.name,
                release=row.release,
                previous=row.previous,
                version=row.version,
                share=row.share,
            )
            for row in rows
        ]
        return tuple(sorted(found, key=lambda channel: (channel.task, channel.name)))

    def superseded(self, keep_contests: int) -> tuple[CandidateId, ...]:
        """Unreleased candidates of contests before the newest ones that still have their bytes.

        Args:
            keep_contests: Contests per task that keep those of all their candidates, at least 1.
        """
        with self.database.read() as connection:
            found = connection.scalars(_superseded(self.tenant, keep_contests)).all()
        return tuple(CandidateId(each) for each in found)

    def give_up(
        self, keep_contests: int, *, actor: str = tables.DEFAULT, reason: str = "retention"
    ) -> tuple[CandidateId, ...]:
        """Need the predictors and predictions of superseded candidates no more, for good.

        The rows keep every number; the audit entry names the candidates.

        Returns:
            Their ids; empty when there were none, and nothing is recorded then.
        """
        table = tables.candidates
        with self.database.write(self.tenant) as connection:
            found = connection.scalars(_superseded(self.tenant, keep_contests)).all()
            if not found:
                return ()
            connection.execute(
                update(table)
                .where(
                    table.c.tenant == self.tenant,
                    table.c.id.in_(_superseded(self.tenant, keep_contests)),
                )
                .values(collected=self.clock())
            )
            self._append_audit(
                connection,
                actor=actor,
                action="candidates.given-up",
                subject="artifacts",
                reason=reason,
                details={"candidates": sorted(found), "keep_contests": keep_contests},
            )
        return tuple(CandidateId(each) for each in found)

    def given_up(self, candidate: str) -> datetime | None:
        """When a candidate's predictor was given up; ``None`` when it was not.

        Raises:
            UnknownNameError: If there is no such candidate.
        """
        table = tables.candidates
        with self.database.read() as connection:
            row = connection.execute(
                select(table.c.collected).where(*own(table, self.tenant, id=candidate))
            ).one_or_none()
            if row is None:
                raise self._unknown(connection, "candidate", candidate, table.c.id)
            return row.collected

    def record_collected(
        self, artifacts: int, size: int, *, actor: str = tables.DEFAULT, reason: str
    ) -> None:
        """Write into the audit log that so many artifacts, of so many bytes, were deleted."""
        with self.database.write(self.tenant) as connection:
            self._append_audit(
                connection,
                actor=actor,
                action="artifacts.collected",
                subject="artifacts",
                reason=reason,
                details={"artifacts": artifacts, "bytes": size},
            )

    def pin(self, owner: str, digests: Iterable[Digest]) -> None:
        """Hold artifacts until ``unpin``.

        Make them young afterwards, with ``refresh``: a collection that had asked what is needed
        just before then leaves them too.

        Args:
            owner: Who holds them, such as ``backup:ID``; may hold others already.
            digests: Of the artifacts; a bundle's manifest holds its files.

        Raises:
            InputError: If one of them is not a digest.
        """
        wanted = {check_digest(digest) for digest in digests}
        table = tables.pins
        with self.database.write(self.tenant) as connection:
            there = connection.scalars(
                select(table.c.digest).where(*own(table, self.tenant, owner=owner))
            ).all()
            now = self.clock()
            rows = [
                {"tenant": self.tenant, "owner": owner, "digest": digest, "created": now}
                for digest in sorted(wanted.difference(there))
            ]
            if rows:
                connection.execute(insert(table), rows)

    def unpin(self, owner: str) -> int:
        """Let go of everything that somebody holds; returns how many artifacts that was."""
        table = tables.pins
        with self.database.write(self.tenant) as connection:
            return connection.execute(
                delete(table).where(*own(table, self.tenant, owner=owner))
            ).rowcount

    def pins(self) -> dict[str, tuple[Digest, ...]]:
        """What each owner of this tenant holds."""
        table = tables.pins
        with self.database.read() as connection:
            rows = connection.execute(
                select(table.c.owner, table.c.digest)
                .where(table.c.tenant == self.tenant)
                .order_by(table.c.owner, table.c.digest)
            ).all()
        held: dict[str, list[Digest]] = {}
        for row in rows:
            held.setdefault(row.owner, []).append(Digest(row.digest))
        return {owner: tuple(digests) for owner, digests in held.items()}


def _digests(
    connection: Connection, column: Column[str], *where: ColumnElement[bool]
) -> frozenset[Digest]:
    found = connection.scalars(select(column).distinct().where(column.is_not(None), *where))
    return frozenset(Digest(each) for each in found)


def _splits(connection: Connection) -> frozenset[Digest]:
    """The splits of all contests of all tenants, and what else their numbers rest on."""
    records = connection.scalars(select(tables.contests.c.record)).all()
    found = [from_json(each, _Split, where="contests") for each in records]
    splits = (each.split for each in found if each.split is not None)
    return frozenset((*splits, *(digest for each in found for digest in each.needs)))


def _superseded(tenant: str, keep_contests: int) -> Select[str]:
    """Ids of candidates with bytes, never released, of contests that are not among the newest."""
    # An alias, for the outer statement is often about the same table.
    candidates = tables.candidates.alias()
    contests, releases = tables.contests, tables.releases
    newest = (
        select(contests.c.task, func.max(contests.c.sequence).label("sequence"))
        .where(contests.c.tenant == tenant)
        .group_by(contests.c.task)
        .subquery()
    )
    released = exists().where(releases.c.tenant == tenant, releases.c.candidate == candidates.c.id)
    return (
        select(candidates.c.id)
        .join(
            contests,
            and_(contests.c.tenant == tenant, contests.c.id == candidates.c.contest),
        )
        .join(newest, newest.c.task == contests.c.task)
        .where(
            candidates.c.tenant == tenant,
            contests.c.sequence <= newest.c.sequence - keep_contests,
            candidates.c.collected.is_(None),
            candidates.c.bundle.is_not(None),
            ~released,
        )
        .order_by(candidates.c.id)
    )
