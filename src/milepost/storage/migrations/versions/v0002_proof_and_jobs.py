"""Proof and durable work: the audit chain, approvals, settings, idempotency, leases, jobs, pins."""

from datetime import datetime

import sqlalchemy as sa
from alembic import op

from milepost._base.digest import canonical_json, sha256_bytes
from milepost.storage.chain import GENESIS, entry_hash
from milepost.storage.migrations.triggers import allow_changes, refuse_changes
from milepost.storage.tables import UtcDateTime

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add columns and tables; chain the audit entries that are there, and digest the releases."""
    for table in ("audit", "releases"):
        allow_changes(table)
    _audit()
    _release_digests()
    _approvals()
    _settings()
    _jobs()
    for table in ("audit", "releases", "proposals", "approvals", "configurations"):
        refuse_changes(table)


def _text(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=nullable)


def _moment(name: str, *, nullable: bool = False) -> sa.Column[datetime]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _integer(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer, nullable=False, autoincrement=False)


def _audit() -> None:
    op.add_column("audit", sa.Column("role", sa.Text, nullable=False, server_default="owner"))
    op.add_column("audit", sa.Column("hash", sa.Text, nullable=False, server_default=""))
    op.create_index("ix_audit_tenant_subject_sequence", "audit", ["tenant", "subject", "sequence"])
    op.create_index("ix_audit_tenant_action_sequence", "audit", ["tenant", "action", "sequence"])
    names = ("tenant", "sequence", "actor", "role", "action", "subject", "reason", "details")
    table = sa.table(
        "audit",
        *(sa.column(name) for name in (*names, "hash")),
        sa.column("at", UtcDateTime),
    )
    connection = op.get_bind()
    last: dict[str, str] = {}
    rows = connection.execute(sa.select(table).order_by(table.c.tenant, table.c.sequence)).all()
    for row in rows:
        last[row.tenant] = entry_hash(
            last.get(row.tenant, GENESIS),
            row.tenant,
            row.sequence,
            row.at,
            row.actor,
            row.role,
            row.action,
            row.subject,
            row.reason,
            row.details,
        )
        connection.execute(
            sa.update(table)
            .where(table.c.tenant == row.tenant, table.c.sequence == row.sequence)
            .values(hash=last[row.tenant])
        )


def _release_digests() -> None:
    op.add_column("releases", sa.Column("digest", sa.Text, nullable=False, server_default=""))
    names = ("task", "number", "candidate", "contest", "bundle", "strategy", "actor")
    table = sa.table(
        "releases",
        *(sa.column(name) for name in ("tenant", *names, "digest")),
        sa.column("created", UtcDateTime),
    )
    connection = op.get_bind()
    for row in connection.execute(sa.select(table)).all():
        content = {name: getattr(row, name) for name in names}
        content["created"] = row.created.isoformat(timespec="microseconds")
        connection.execute(
            sa.update(table)
            .where(
                table.c.tenant == row.tenant,
                table.c.task == row.task,
                table.c.number == row.number,
            )
            .values(digest=sha256_bytes(canonical_json(content)))
        )


def _approvals() -> None:
    op.create_table(
        "proposals",
        _text("tenant"),
        _text("task"),
        _integer("release"),
        _text("channel"),
        _integer("version"),
        _integer("approvals"),
        sa.PrimaryKeyConstraint("tenant", "task", "release"),
        sa.ForeignKeyConstraint(
            ["tenant", "task", "release"],
            ["releases.tenant", "releases.task", "releases.number"],
        ),
    )
    op.create_table(
        "approvals",
        _text("tenant"),
        _text("task"),
        _integer("release"),
        _text("actor"),
        _text("role"),
        _text("reason"),
        _moment("at"),
        sa.PrimaryKeyConstraint("tenant", "task", "release", "actor"),
        sa.ForeignKeyConstraint(
            ["tenant", "task", "release"],
            ["releases.tenant", "releases.task", "releases.number"],
        ),
    )


def _settings() -> None:
    op.create_table(
        "configurations",
        _text("tenant"),
        _integer("sequence"),
        _text("digest"),
        _text("record"),
        _moment("created"),
        _text("actor"),
        sa.PrimaryKeyConstraint("tenant", "sequence"),
    )
    op.create_table(
        "operations",
        _text("tenant"),
        _text("key"),
        _text("request"),
        _text("result"),
        _moment("created"),
        _text("actor"),
        sa.PrimaryKeyConstraint("tenant", "key"),
    )
    for column in ("examples", "holdout"):
        op.create_index(f"ix_contests_tenant_{column}", "contests", ["tenant", column])


def _jobs() -> None:
    op.add_column("candidates", _moment("collected", nullable=True))
    op.create_table(
        "leases",
        _text("tenant"),
        _text("name"),
        sa.Column("token", sa.BigInteger, nullable=False),
        _text("holder", nullable=True),
        _moment("since", nullable=True),
        _moment("expires", nullable=True),
        sa.PrimaryKeyConstraint("tenant", "name"),
    )
    op.create_table(
        "jobs",
        _text("tenant"),
        _text("id"),
        _integer("sequence"),
        _text("kind"),
        _text("subject"),
        _text("key"),
        _text("status"),
        _text("arguments"),
        _text("doing"),
        sa.Column("share", sa.Float, nullable=False),
        _integer("attempts"),
        _text("error", nullable=True),
        _moment("created"),
        _moment("updated"),
        _text("actor"),
        sa.PrimaryKeyConstraint("tenant", "id"),
        sa.UniqueConstraint("tenant", "sequence"),
    )
    for column in ("subject", "status"):
        op.create_index(f"ix_jobs_tenant_{column}_sequence", "jobs", ["tenant", column, "sequence"])
    op.create_table(
        "job_steps",
        _text("tenant"),
        _text("job"),
        _text("name"),
        _integer("position"),
        _text("record"),
        sa.Column("seconds", sa.Float, nullable=False),
        _moment("finished"),
        sa.PrimaryKeyConstraint("tenant", "job", "name"),
        sa.ForeignKeyConstraint(["tenant", "job"], ["jobs.tenant", "jobs.id"]),
    )
    op.create_table(
        "pins",
        _text("tenant"),
        _text("owner"),
        _text("digest"),
        _moment("created"),
        sa.PrimaryKeyConstraint("tenant", "owner", "digest"),
    )
