"""The part of the ledger about what may answer: releases and channels as they are."""

from datetime import UTC
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, insert, select, update

from milepost._base.digest import digest_of
from milepost.entities.errors import ConflictError, InputError
from milepost.entities.ids import Digest
from milepost.entities.release import Channel, Release
from milepost.storage import tables
from milepost.storage.records.base import next_position, own
from milepost.storage.records.operations import OperationRecords

PRODUCTION = "production"
CANARY = "canary"
SHADOW = "shadow"


class ReleaseRecords(OperationRecords):
    """Releases, which never change, and channels, which move only together with an audit row."""

    def release(self, task: str, number: int) -> Release:
        """A release by its number.

        Raises:
            UnknownNameError: If there is no such task or release.
        """
        with self.database.read() as connection:
            return as_release(self._release_found(connection, task, number))

    def releases(
        self, task: str, limit: int | None = None, *, before: int | None = None
    ) -> tuple[Release, ...]:
        """Releases of a task, newest first.

        Args:
            task: Name of the task.
            limit: The most to return; ``None`` returns all.
            before: Only releases with a smaller number; ``None`` for no bound.

        Raises:
            UnknownNameError: If there is no such task.
        """
        table = tables.releases
        bound = () if before is None else (table.c.number < before,)
        with self.database.read() as connection:
            self._require_task(connection, task)
            rows = connection.execute(
                select(table)
                .where(*own(table, self.tenant, task=task), *bound)
                .order_by(table.c.number.desc())
                .limit(limit)
            ).all()
        return tuple(as_release(row) for row in rows)

    def channel(self, task: str, name: str = PRODUCTION) -> Channel | None:
        """Where a channel points; ``None`` when it was never moved.

        Raises:
            UnknownNameError: If there is no such task.
        """
        with self.database.read() as connection:
            self._require_task(connection, task)
            return self._channel(connection, task, name)

    def _releasable(self, connection: Connection, id: str) -> Row[Any]:  # noqa: A002
        table = tables.candidates
        row = connection.execute(select(table).where(*own(table, self.tenant, id=id))).one_or_none()
        if row is None:
            raise self._unknown(connection, "candidate", id, table.c.id)
        if row.bundle is None:
            raise InputError(
                f"the candidate {id!r} has no stored predictor, so that it cannot be released.",
                advice="Choose one that did not fail.",
            )
        if row.collected is not None:
            raise InputError(
                f"the predictor of the candidate {id!r} was collected, so that it cannot be "
                "released.",
                advice="Choose one of a newer contest.",
            )
        return row

    def _release_found(self, connection: Connection, task: str, number: int) -> Row[Any]:
        table = tables.releases
        of_task = own(table, self.tenant, task=task)
        row = connection.execute(
            select(table).where(*of_task, table.c.number == number)
        ).one_or_none()
        if row is None:
            self._require_task(connection, task)
            raise self._unknown(
                connection, "release", str(number), table.c.number, table.c.task == task
            )
        return row

    def _store_release(self, connection: Connection, chosen: Row[Any], actor: str) -> Release:
        """Write a candidate's row as its task's next release."""
        table = tables.releases
        of_task = own(table, self.tenant, task=chosen.task)
        release = Release(
            task=chosen.task,
            number=next_position(connection, table.c.number, of_task),
            candidate=chosen.id,
            contest=chosen.contest,
            bundle=chosen.bundle,
            strategy=chosen.strategy,
            created=self.clock(),
            actor=actor,
        )
        release = msgspec.structs.replace(release, digest=content_digest(release))
        connection.execute(
            insert(table).values(tenant=self.tenant, **msgspec.structs.asdict(release))
        )
        return release

    def _channel(self, connection: Connection, task: str, name: str) -> Channel | None:
        row = connection.execute(
            select(tables.channels).where(*own(tables.channels, self.tenant, task=task, name=name))
        ).one_or_none()
        if row is None:
            return None
        return Channel(
            task=row.task,
            name=row.name,
            release=row.release,
            previous=row.previous,
            version=row.version,
            share=row.share,
        )

    def _store_move(
        self, connection: Connection, channel: Channel, *, actor: str, reason: str
    ) -> None:
        """Write a channel that has moved by one version, and the audit row that says so."""
        table = tables.channels
        values = {
            "release": channel.release,
            "previous": channel.previous,
            "version": channel.version,
            "share": channel.share,
            "updated": self.clock(),
            "actor": actor,
        }
        if channel.version == 1:
            connection.execute(
                insert(table).values(
                    tenant=self.tenant, task=channel.task, name=channel.name, **values
                )
            )
        else:
            swapped = connection.execute(
                update(table)
                .where(
                    *own(table, self.tenant, task=channel.task, name=channel.name),
                    table.c.version == channel.version - 1,
                )
                .values(**values)
            )
            # The tenant's writes wait for each other; this holds even for one that did not.
            if swapped.rowcount != 1:
                raise moved_meanwhile(channel.task, channel.name)
        self._append_audit(
            connection,
            actor=actor,
            action="channel.moved",
            subject=f"{channel.task}@{channel.name}",
            reason=reason,
            details={
                "from": channel.previous,
                "to": channel.release,
                "version": channel.version,
                **({} if channel.share is None else {"share": channel.share}),
            },
        )
        if channel.name == PRODUCTION:
            self._end_canary(connection, channel, actor)

    def _end_canary(self, connection: Connection, production: Channel, actor: str) -> None:
        """Switch the canary off where production has got to its release."""
        canary = self._channel(connection, production.task, CANARY)
        if canary is None or canary.release != production.release or not canary.share:
            return
        ended = moved(canary, canary.task, CANARY, canary.release, canary.version, 0.0)
        reason = f"release {production.release} is in production"
        self._store_move(connection, ended, actor=actor, reason=reason)


def check_share(name: str, share: float | None) -> None:
    """Refuse a share that a channel cannot have.

    Raises:
        InputError: If it is not from 0 to 1, or the channel is production.
    """
    if share is None:
        return
    if name == PRODUCTION:
        raise InputError(
            "production has no share: it gets what the canary does not.",
            advice="Give the canary the rest.",
        )
    if not 0.0 <= share <= 1.0:
        raise InputError(
            f"{share:g} is no share of the traffic.", where="share", advice="It lies from 0 to 1."
        )


def moved(
    before: Channel | None,
    task: str,
    name: str,
    to: int,
    expected_version: int,
    share: float | None = None,
) -> Channel:
    """The channel after the move; without a share it keeps the one that it has.

    Raises:
        ConflictError: If its version is not the expected one.
        InputError: If it points there already; a move would only lose the way back.
    """
    version = before.version if before else 0
    if version != expected_version:
        raise moved_meanwhile(task, name)
    if before is not None and before.release == to and share in {None, before.share}:
        had = "" if share is None else f" with a share of {share:g}"
        raise InputError(
            f"the channel {name!r} of {task!r} points at release {to}{had} already.",
            advice="There is nothing to do.",
        )
    return Channel(
        task=task,
        name=name,
        release=to,
        previous=before.release if before else None,
        version=version + 1,
        share=share if share is not None or before is None else before.share,
    )


def moved_meanwhile(task: str, name: str) -> ConflictError:
    """The error for a channel that has another version than the decision was based on."""
    return ConflictError(
        f"somebody else moved the channel {name!r} of {task!r} in the meantime.",
        advice="Look at where it points now, and decide anew.",
    )


def as_release(row: Row[Any]) -> Release:
    """The record of a row of releases."""
    return Release(
        task=row.task,
        number=row.number,
        candidate=row.candidate,
        contest=row.contest,
        bundle=row.bundle,
        strategy=row.strategy,
        created=row.created,
        actor=row.actor,
        digest=row.digest,
    )


def content_digest(release: Release) -> Digest:
    """SHA-256 over all that a release says but the digest itself; equal content, equal digest."""
    content = msgspec.structs.asdict(release)
    del content["digest"]
    content["created"] = release.created.astimezone(UTC).isoformat(timespec="microseconds")
    return Digest(digest_of(content))
