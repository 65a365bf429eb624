"""What a verification reads from the ledger: entries as plain rows, and the rows that they record.

Entries are read page by page, so that nobody who writes waits for a long verification.
"""

from collections.abc import Generator, Iterable
from itertools import groupby
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import ColumnElement, Connection, Result, String, Table, cast, func, select

from milepost._base.digest import digest_of, sha256_bytes
from milepost.storage import tables
from milepost.storage.database import Database
from milepost.storage.proof.chain_check import RawRow
from milepost.storage.proof.kept_rows import Kept, look_name, numbered
from milepost.storage.records.base import from_json
from milepost.storage.records.contests import (
    CANDIDATE,
    CONTEST,
    candidates_digest,
    contest_digest,
)
from milepost.storage.records.datasets import SPLIT, split_facts, split_subject
from milepost.storage.records.keys import key_digest
from milepost.storage.records.prompts import alias_subject, prompt_subject
from milepost.storage.records.releases import as_release, content_digest
from milepost.storage.records.upstreams import upstream_digest

PAGE = 10_000
"""Entries that are read at a time."""


class _Card(msgspec.Struct):
    metric: str
    regime: str
    metrics: dict[str, dict[str, object]]


class _Candidate(msgspec.Struct):
    """What of a candidate's record its audit entry repeats."""

    scorecard: _Card | None = None


class Standing(NamedTuple):
    """A tenant's log and rows at one moment.

    Attributes:
        tenant: Whose.
        last: Number of the last entry; 0 for none.
        kept: The rows that entries speak of.
    """

    tenant: str
    last: int
    kept: list[Kept]


def standing(database: Database) -> list[Standing]:
    """All tenants with an audit log or with rows that need one, each as of the same moment."""
    moment = database.read() if database.is_sqlite else database.frozen()
    with moment as connection:
        audit = tables.audit
        ends = select(audit.c.tenant, func.max(audit.c.sequence)).group_by(audit.c.tenant)
        last = {row[0]: row[1] for row in connection.execute(ends)}
        tenants = {*last, *connection.scalars(select(tables.tasks.c.tenant).distinct())}
        return [
            Standing(tenant, _number(last.get(tenant)), list(_kept(connection, tenant)))
            for tenant in sorted(tenants)
        ]


def last_entry(database: Database, tenant: str) -> int:
    """Number of a tenant's last entry; 0 for none."""
    audit = tables.audit
    with database.read() as connection:
        return _number(
            connection.scalar(select(func.max(audit.c.sequence)).where(audit.c.tenant == tenant))
        )


def entry_rows(database: Database, tenant: str, after: int, last: int) -> Generator[RawRow]:
    """Entries after a number up to ``last``, in their order, as plain tuples."""
    table, moment = tables.audit, _moment(database)
    names = ("actor", "role", "action", "subject", "reason", "details", "hash")
    columns = [table.c.sequence, moment, *(table.c[name] for name in names)]
    while True:
        page = (
            select(*columns)
            .where(table.c.tenant == tenant, table.c.sequence > after, table.c.sequence <= last)
            .order_by(table.c.sequence)
            .limit(PAGE)
        )
        with database.read() as connection:
            rows = connection.execute(page).all()
        yield from map(tuple, rows)  # pyright: ignore[reportReturnType]
        if len(rows) < PAGE:
            return
        after = rows[-1].sequence


def _moment(database: Database) -> Any:
    """The time of an entry as it was hashed: ISO 8601 in UTC with microseconds."""
    at = tables.audit.c.at
    if database.is_sqlite:
        # Stored as text without a zone, always UTC.
        return func.replace(cast(at, String), " ", "T").concat("+00:00")
    utc = func.timezone("UTC", at)
    return func.to_char(utc, 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"')


def _number(value: object) -> int:
    # In a database whose rows were tampered with anything may stand.
    return value if isinstance(value, int) else 0


def _kept(connection: Connection, tenant: str) -> Generator[Kept]:
    for row in _rows(connection, tables.releases, tenant):
        digest = content_digest(as_release(row))
        yield Kept(
            "release",
            f"{row.task}#{row.number}",
            {
                "release": digest,
                "bundle": row.bundle,
                "candidate": row.candidate,
                "contest": row.contest,
            },
            must=True,
            broken=digest != row.digest,
        )
    for row in _rows(connection, tables.channels, tenant):
        facts = {
            "from": row.previous,
            "to": row.release,
            "version": row.version,
            "share": row.share,
        }
        yield Kept("channel", f"{row.task}@{row.name}", facts, must=True)
    for row in _rows(connection, tables.approvals, tenant):
        facts = {"role": row.role, "reason": row.reason}
        yield Kept("approval", f"{row.task}#{row.release} by {row.actor}", facts, must=True)
    for row in _rows(connection, tables.proposals, tenant):
        facts = {"approvals": row.approvals, "channel": row.channel, "version": row.version}
        yield Kept("proposal", f"{row.task}#{row.release}", facts, must=True)
    for row in _rows(connection, tables.keys, tenant):
        revoked = None if row.revoked is None else row.revoked.isoformat()
        facts = {"key": key_digest(row.hash, row.record), "revoked": revoked}
        yield Kept("key", row.id, facts, must=True)
    yield from _language(connection, tenant)
    yield from _older(connection, tenant)


def _language(connection: Connection, tenant: str) -> Generator[Kept]:
    """Every version of upstreams and prompts, aliases, and the budgets that are set."""
    for row in _rows(connection, tables.upstreams, tenant):
        facts = {"upstream": upstream_digest(row.record), "actor": row.actor}
        yield Kept("upstream", numbered(row.name, row.number), facts, must=True)
    for row in _rows(connection, tables.prompts, tenant):
        record = sha256_bytes(str(row.record).encode())
        facts = {"prompt": row.digest, "record": record, "actor": row.actor}
        yield Kept("prompt", prompt_subject(row.task, row.number), facts, must=True)
    for row in _rows(connection, tables.prompt_aliases, tenant):
        facts = {"to": row.number, "version": row.version, "actor": row.actor}
        yield Kept("prompt alias", alias_subject(row.task, row.alias), facts, must=True)
    for row in _rows(connection, tables.budgets, tenant):
        facts = {"micro_usd": row.micro_usd, "period": row.period}
        yield Kept("budget", row.scope, facts, must=True)


def _older(connection: Connection, tenant: str) -> Generator[Kept]:
    """Rows that the first version of the tables kept without an entry."""
    for row in _rows(connection, tables.tasks, tenant, ("name", "version")):
        yield Kept("task", row.name, {"after": row.version})
    for row in _rows(connection, tables.task_versions, tenant):
        # The digest of a task is that of the text that is stored, in the order of its labels.
        broken = sha256_bytes(str(row.record).encode()) != row.digest
        facts = {"version": row.number}
        yield Kept("task version", f"{row.task} {row.digest}", facts, broken=broken)
    candidates = _candidates(connection, tenant)
    names = [column.name for column in CONTEST]
    for row in _rows(connection, tables.contests, tenant, names).mappings():
        facts = {
            "verdict": row["verdict"],
            "task_version": row["task_version"],
            "record": contest_digest(row),
            "candidates": candidates.get(row["id"], candidates_digest(())),
        }
        yield Kept("contest", row["id"], facts)
    for row in _rows(connection, tables.looks, tenant):
        facts = {"contest": row.contest, "reason": row.purpose, "actor": row.actor}
        yield Kept("look", look_name(row.task, row.holdout, row.number), facts)
    chosen = tables.candidates.c.chosen.is_(True)
    for row in _rows(connection, tables.candidates, tenant, ("id", "record"), chosen):
        yield Kept("candidate", row.id, _certified(row.record))
    for row in _rows(connection, tables.datasets, tenant):
        facts = {"digest": row.digest, "artifact": row.artifact, "rows": row.rows}
        yield Kept("dataset", f"{row.task}/{row.role}", facts)
    for task, split in _splits(connection, tenant):
        yield Kept("split", split_subject(task), split)
    for number, row in enumerate(_rows(connection, tables.configurations, tenant), start=1):
        broken = digest_of(from_json(row.record, dict[str, object], where="settings")) != row.digest
        yield Kept("setting", str(number), {"after": row.digest}, must=True, broken=broken)


def _splits(connection: Connection, tenant: str) -> Generator[tuple[str, dict[str, object]]]:
    """Which side each group of a task's examples is on, as one digest for each task."""
    table = tables.sides
    statement = select(*SPLIT).where(table.c.tenant == tenant)
    rows = connection.execute(
        # In no order of the database's: each sorts texts in its own way.
        statement.order_by(table.c.task).execution_options(yield_per=5_000)
    )
    for task, members in groupby(rows, key=lambda row: row.task):
        yield task, split_facts({row.group_key: row.side for row in members})


def _candidates(connection: Connection, tenant: str) -> dict[str, str]:
    """Digest of each contest's candidates, by its id."""
    table = tables.candidates
    statement = select(*CANDIDATE).where(table.c.tenant == tenant)
    rows = connection.execute(
        # A few at a time: their records are the largest texts of the ledger.
        statement.order_by(table.c.contest, table.c.position).execution_options(yield_per=500)
    )
    return {
        contest: candidates_digest(members)
        for contest, members in groupby(rows.mappings(), key=lambda row: row["contest"])
    }


def _certified(record: str) -> dict[str, object]:
    """The numbers that a candidate was certified with; empty where its record has none."""
    try:
        card = msgspec.json.decode(record, type=_Candidate).scorecard
    except msgspec.DecodeError:
        return {"metric": None}
    if card is None:
        return {}
    return {"metric": card.metric, "regime": card.regime, **card.metrics.get(card.metric, {})}


def _rows(
    connection: Connection,
    table: Table,
    tenant: str,
    names: Iterable[str] = (),
    *where: ColumnElement[bool],
) -> Result[Any]:
    """Rows of a tenant in the order of their keys, read a few at a time."""
    columns = [table.c[name] for name in names] or list(table.c)
    statement = select(*columns).where(table.c.tenant == tenant, *where)
    ordered = statement.order_by(*table.primary_key).execution_options(yield_per=500)
    return connection.execute(ordered)
