"""The first tables: tasks, data, contests, releases, channels, looks and audit."""

from datetime import datetime

import sqlalchemy as sa
from alembic import op

from milepost.storage.migrations.triggers import refuse_changes

revision = "0001"
down_revision = None

UNCHANGEABLE = ("task_versions", "releases", "audit")


def upgrade() -> None:
    """Create everything."""
    _tasks()
    _data()
    _contests()
    _releases()
    _logs()
    for table in UNCHANGEABLE:
        refuse_changes(table)


def _text(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=nullable)


def _moment(name: str) -> sa.Column[datetime]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=False)


def _integer(name: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.Integer, nullable=nullable, autoincrement=False)


def _of_task() -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["tenant", "task"], ["tasks.tenant", "tasks.name"])


def _tasks() -> None:
    op.create_table(
        "tasks",
        _text("tenant"),
        _text("name"),
        _text("use_case"),
        _text("version"),
        _moment("created"),
        _moment("updated"),
        _text("actor"),
        sa.PrimaryKeyConstraint("tenant", "name"),
    )
    op.create_table(
        "task_versions",
        _text("tenant"),
        _text("task"),
        _text("digest"),
        _integer("number"),
        _text("record"),
        _moment("created"),
        _text("actor"),
        sa.PrimaryKeyConstraint("tenant", "task", "digest"),
        _of_task(),
        sa.UniqueConstraint("tenant", "task", "number"),
    )


def _data() -> None:
    op.create_table(
        "datasets",
        _text("tenant"),
        _text("task"),
        _text("role"),
        _integer("sequence"),
        _text("digest"),
        _text("artifact"),
        _integer("rows"),
        _text("record"),
        _moment("created"),
        _text("actor"),
        sa.PrimaryKeyConstraint("tenant", "task", "role", "sequence"),
        _of_task(),
    )
    op.create_index("ix_datasets_tenant_digest", "datasets", ["tenant", "digest"])
    op.create_table(
        "sides",
        _text("tenant"),
        _text("task"),
        _text("group_key"),
        _text("side"),
        _text("contest", nullable=True),
        _moment("seen"),
        sa.PrimaryKeyConstraint("tenant", "task", "group_key"),
        _of_task(),
    )


def _contests() -> None:
    op.create_table(
        "contests",
        _text("tenant"),
        _text("id"),
        _text("task"),
        _integer("sequence"),
        _text("task_version"),
        _text("examples"),
        _text("holdout", nullable=True),
        _text("regime"),
        sa.Column("seed", sa.BigInteger, nullable=False),
        _text("verdict"),
        _moment("started"),
        sa.Column("seconds", sa.Float, nullable=False),
        _text("code"),
        _text("record"),
        _moment("created"),
        _text("actor"),
        sa.PrimaryKeyConstraint("tenant", "id"),
        sa.ForeignKeyConstraint(
            ["tenant", "task", "task_version"],
            ["task_versions.tenant", "task_versions.task", "task_versions.digest"],
        ),
        sa.UniqueConstraint("tenant", "task", "sequence"),
    )
    op.create_table(
        "candidates",
        _text("tenant"),
        _text("id"),
        _text("contest"),
        _integer("position"),
        _text("task"),
        _text("strategy"),
        sa.Column("chosen", sa.Boolean, nullable=False),
        sa.Column("failed", sa.Boolean, nullable=False),
        sa.Column("value", sa.Float),
        sa.Column("low", sa.Float),
        sa.Column("high", sa.Float),
        _integer("n", nullable=True),
        _text("bundle", nullable=True),
        _text("predictions", nullable=True),
        sa.Column("fit_seconds", sa.Float, nullable=False),
        _text("record"),
        sa.PrimaryKeyConstraint("tenant", "id"),
        sa.ForeignKeyConstraint(["tenant", "contest"], ["contests.tenant", "contests.id"]),
        sa.UniqueConstraint("tenant", "contest", "position"),
    )


def _releases() -> None:
    op.create_table(
        "releases",
        _text("tenant"),
        _text("task"),
        _integer("number"),
        _text("candidate"),
        _text("contest"),
        _text("bundle"),
        _text("strategy"),
        _moment("created"),
        _text("actor"),
        sa.PrimaryKeyConstraint("tenant", "task", "number"),
        _of_task(),
        sa.ForeignKeyConstraint(["tenant", "candidate"], ["candidates.tenant", "candidates.id"]),
        sa.ForeignKeyConstraint(["tenant", "contest"], ["contests.tenant", "contests.id"]),
    )
    op.create_index("ix_releases_tenant_contest", "releases", ["tenant", "contest"])
    target = ["releases.tenant", "releases.task", "releases.number"]
    op.create_table(
        "channels",
        _text("tenant"),
        _text("task"),
        _text("name"),
        _integer("release"),
        _integer("previous", nullable=True),
        _integer("version"),
        _moment("updated"),
        _text("actor"),
        sa.PrimaryKeyConstraint("tenant", "task", "name"),
        sa.ForeignKeyConstraint(["tenant", "task", "release"], target),
        sa.ForeignKeyConstraint(["tenant", "task", "previous"], target),
    )


def _logs() -> None:
    op.create_table(
        "looks",
        _text("tenant"),
        _text("task"),
        _text("holdout"),
        _integer("number"),
        _text("contest", nullable=True),
        _text("purpose"),
        _text("actor"),
        _moment("at"),
        sa.PrimaryKeyConstraint("tenant", "task", "holdout", "number"),
        _of_task(),
    )
    op.create_table(
        "audit",
        _text("tenant"),
        _integer("sequence"),
        _moment("at"),
        _text("actor"),
        _text("action"),
        _text("subject"),
        _text("reason"),
        _text("details"),
        sa.PrimaryKeyConstraint("tenant", "sequence"),
    )
