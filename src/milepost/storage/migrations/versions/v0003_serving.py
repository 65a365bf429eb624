"""Serving: shares of channels, keys, traces, feedback, fidelity of fast variants."""

from datetime import datetime

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add a column and four tables."""
    op.add_column("channels", sa.Column("share", sa.Float, nullable=True))
    _keys()
    _traces()
    _feedback()
    op.create_table(
        "fidelities",
        _text("tenant"),
        _text("bundle"),
        _text("variant"),
        _text("record"),
        _moment("created"),
        _text("actor"),
        sa.PrimaryKeyConstraint("tenant", "bundle", "variant"),
    )


def _text(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=nullable)


def _moment(name: str, *, nullable: bool = False) -> sa.Column[datetime]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _keys() -> None:
    op.create_table(
        "keys",
        _text("tenant"),
        _text("id"),
        _text("hash"),
        _text("name"),
        _text("role"),
        _text("record"),
        _moment("created"),
        _text("actor"),
        _moment("expires", nullable=True),
        _moment("revoked", nullable=True),
        sa.PrimaryKeyConstraint("tenant", "id"),
        sa.UniqueConstraint("tenant", "hash"),
    )


def _traces() -> None:
    op.create_table(
        "traces",
        _text("tenant"),
        _text("id"),
        _text("task"),
        sa.Column("release", sa.Integer, nullable=False),
        _text("channel"),
        _text("label", nullable=True),
        _moment("at"),
        _moment("expires"),
        _text("record"),
        sa.PrimaryKeyConstraint("tenant", "id"),
    )
    op.create_index("ix_traces_tenant_task_id", "traces", ["tenant", "task", "id"])
    op.create_index("ix_traces_tenant_expires", "traces", ["tenant", "expires"])


def _feedback() -> None:
    op.create_table(
        "feedback",
        _text("tenant"),
        _text("id"),
        _text("task"),
        _text("trace"),
        sa.Column("release", sa.Integer, nullable=False),
        _text("channel"),
        _text("key", nullable=True),
        _text("digest"),
        _moment("at"),
        _text("record"),
        sa.PrimaryKeyConstraint("tenant", "id"),
        sa.ForeignKeyConstraint(["tenant", "task"], ["tasks.tenant", "tasks.name"]),
        sa.UniqueConstraint("tenant", "digest"),
    )
    op.create_index("ix_feedback_tenant_task_id", "feedback", ["tenant", "task", "id"])
    op.create_index("ix_feedback_tenant_trace", "feedback", ["tenant", "trace"])
    op.create_index("ix_feedback_tenant_key_id", "feedback", ["tenant", "key", "id"])
