"""The part of the ledger that follows records to what they came from and what came of them."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from sqlalchemy import Column, Connection, Row, or_, select

from milepost.entities.contest import Contest
from milepost.entities.example import Dataset
from milepost.entities.lineage import NodeKind
from milepost.entities.release import Channel, Release
from milepost.storage import tables
from milepost.storage.records.base import from_json, own
from milepost.storage.records.contests import ContestRecords
from milepost.storage.records.releases import ReleaseRecords
from milepost.storage.records.upstreams import upstream_digest

_MOST_FOUND = 50

_IN_CANDIDATES: dict[NodeKind, Callable[[str], str]] = {
    "encoder": lambda digest: _as_field("encoder", digest),
    "prompt": lambda digest: f'"{digest}"',
    "upstream": lambda name: _as_field("upstream", name),
}
"""How what went into a candidate stands in its record."""


class Found(NamedTuple):
    """A record that a digest or an id, or the beginning of one, belongs to.

    Attributes:
        kind: What it is.
        key: Its digest, or its id where it has no digest.
        task: The task it belongs to; empty where it is not one task's.
    """

    kind: NodeKind
    key: str
    task: str


class LineageRecords(ContestRecords, ReleaseRecords):
    """Records by what went into them."""

    def datasets(self, task: str | None = None) -> tuple[Dataset, ...]:
        """Every recorded snapshot, oldest first within its task and role.

        The same content that was read from other bytes is a record of its own.
        """
        table = tables.datasets
        equal = {} if task is None else {"task": task}
        with self.database.read() as connection:
            rows = connection.execute(
                select(table.c.record, table.c.digest)
                .where(*own(table, self.tenant, **equal))
                .order_by(table.c.task, table.c.role, table.c.sequence)
            ).all()
        return tuple(from_json(r.record, Dataset, where=f"dataset {r.digest}") for r in rows)

    def dataset_records(self, digest: str, task: str, role: str) -> tuple[Dataset, ...]:
        """All records of one snapshot of a task, oldest first; empty where there is none."""
        table = tables.datasets
        with self.database.read() as connection:
            rows = connection.scalars(
                select(table.c.record)
                .where(*own(table, self.tenant, digest=digest, task=task, role=role))
                .order_by(table.c.sequence)
            ).all()
        return tuple(from_json(row, Dataset, where=f"dataset {digest}") for row in rows)

    def contests_with(self, kind: NodeKind, keys: Sequence[str]) -> tuple[Contest, ...]:
        """Contests that a snapshot, task version, encoder or milepost version went into.

        Args:
            kind: ``snapshot``, ``task``, ``encoder``, ``prompt``, ``upstream`` or ``code``.
            keys: Its digests, names of upstreams, or versions of milepost.

        Returns:
            The contests, oldest first.
        """
        table = tables.contests
        if kind in _IN_CANDIDATES:
            candidates = tables.candidates
            told = [
                candidates.c.record.contains(_IN_CANDIDATES[kind](key), autoescape=True)
                for key in keys
            ]
            condition = table.c.id.in_(
                select(candidates.c.contest).where(*own(candidates, self.tenant), or_(*told))
            )
        elif kind == "snapshot":
            condition = or_(table.c.examples.in_(keys), table.c.holdout.in_(keys))
        else:
            condition = (table.c.task_version if kind == "task" else table.c.code).in_(keys)
        with self.database.read() as connection:
            rows = connection.execute(
                select(table)
                .where(table.c.tenant == self.tenant, condition)
                .order_by(table.c.created, table.c.id)
            ).all()
            return self._contests(connection, rows)

    def releases_of(self, contest: str) -> tuple[Release, ...]:
        """The releases that came of a contest, oldest first."""
        table = tables.releases
        with self.database.read() as connection:
            numbers = connection.execute(
                select(table.c.task, table.c.number)
                .where(*own(table, self.tenant, contest=contest))
                .order_by(table.c.number)
            ).all()
        return tuple(self.release(row.task, row.number) for row in numbers)

    def channels(self, task: str) -> tuple[Channel, ...]:
        """All channels of a task, by name; empty before the first release."""
        table = tables.channels
        with self.database.read() as connection:
            names = connection.scalars(
                select(table.c.name).where(*own(table, self.tenant, task=task))
            ).all()
        found = (self.channel(task, name) for name in sorted(names))
        return tuple(channel for channel in found if channel is not None)

    def find(self, prefix: str) -> tuple[Found, ...]:
        """Records whose digest or id begins like this, at most 50; raw files are not among them.

        Args:
            prefix: Hex digits, or the beginning of a contest's or candidate's id.
        """
        versions, datasets = tables.task_versions, tables.datasets
        contests, candidates, releases = tables.contests, tables.candidates, tables.releases
        prompts = tables.prompts
        asked: tuple[tuple[NodeKind, Column[str], Column[str], Column[str]], ...] = (
            ("task", versions.c.digest, versions.c.digest, versions.c.task),
            ("snapshot", datasets.c.digest, datasets.c.digest, datasets.c.task),
            ("snapshot", datasets.c.artifact, datasets.c.digest, datasets.c.task),
            ("contest", contests.c.id, contests.c.id, contests.c.task),
            ("contest", contests.c.holdout, contests.c.id, contests.c.task),
            ("candidate", candidates.c.id, candidates.c.id, candidates.c.task),
            ("predictions", candidates.c.predictions, candidates.c.id, candidates.c.task),
            ("bundle", candidates.c.bundle, candidates.c.id, candidates.c.task),
            ("release", releases.c.digest, releases.c.number, releases.c.task),
            ("prompt", prompts.c.digest, prompts.c.number, prompts.c.task),
        )
        found: dict[Found, None] = {}
        with self.database.read() as connection:
            for kind, column, key, task in asked:
                rows = self._beginning(connection, column, key, task, prefix)
                found.update((Found(kind, str(row.found), row.task), None) for row in rows)
            found.update((each, None) for each in self._encoders(connection, prefix))
            found.update((each, None) for each in self._upstreams_of(connection, prefix))
        # A snapshot's holdout is also what a contest names; a test file is the snapshot itself.
        return tuple(found)

    def _beginning(
        self,
        connection: Connection,
        column: Column[str],
        key: Column[str],
        task: Column[str],
        prefix: str,
    ) -> Sequence[Row[str, str]]:
        table = column.table
        return connection.execute(
            select(key.label("found"), task.label("task"))
            .distinct()
            .where(table.c.tenant == self.tenant, column.startswith(prefix, autoescape=True))
            .order_by(task, key)
            .limit(_MOST_FOUND)
        ).all()

    def _upstreams_of(self, connection: Connection, prefix: str) -> list[Found]:
        """Versions of upstreams, of which there are few; their digests are no column."""
        table = tables.upstreams
        rows = connection.execute(
            select(table.c.name, table.c.number, table.c.record)
            .where(*own(table, self.tenant), table.c.record.is_not(None))
            .order_by(table.c.name, table.c.number)
        )
        return [
            Found("upstream", f"{row.name}/{row.number}", "")
            for row in rows
            if str(upstream_digest(row.record)).startswith(prefix)
        ]

    def _encoders(self, connection: Connection, prefix: str) -> list[Found]:
        table, mark = tables.candidates, _as_field("encoder", prefix, whole=False)
        records = connection.scalars(
            select(table.c.record)
            .where(*own(table, self.tenant), table.c.record.contains(mark, autoescape=True))
            .limit(_MOST_FOUND)
        )
        digests = {record.split(mark, 1)[1].split('"', 1)[0] for record in records}
        return [Found("encoder", prefix + rest, "") for rest in sorted(digests)]


def _as_field(name: str, value: str, *, whole: bool = True) -> str:
    """How a text field stands in a stored record."""
    return f'"{name}":"{value}' + ('"' if whole else "")
