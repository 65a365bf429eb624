"""Language models: upstreams, prompts and their aliases, budgets, calls, kept answers."""

from datetime import datetime

import sqlalchemy as sa
from alembic import op

from milepost.storage.migrations.triggers import refuse_changes

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add seven tables."""
    _upstreams()
    _prompts()
    _spending()
    op.create_table(
        "model_answers",
        _text("tenant"),
        _text("scope"),
        _text("digest"),
        _text("upstream"),
        _text("record"),
        _moment("created"),
        _moment("expires", nullable=True),
        sa.PrimaryKeyConstraint("tenant", "scope", "digest"),
    )
    op.create_index("ix_model_answers_tenant_expires", "model_answers", ["tenant", "expires"])


def _text(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=nullable)


def _whole(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False)


def _moment(name: str, *, nullable: bool = False) -> sa.Column[datetime]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _upstreams() -> None:
    op.create_table(
        "upstreams",
        _text("tenant"),
        _text("name"),
        sa.Column("number", sa.Integer, nullable=False),
        _text("record", nullable=True),
        _moment("created"),
        _text("actor"),
        sa.PrimaryKeyConstraint("tenant", "name", "number"),
    )
    refuse_changes("upstreams")


def _prompts() -> None:
    op.create_table(
        "prompts",
        _text("tenant"),
        _text("task"),
        sa.Column("number", sa.Integer, nullable=False),
        _text("digest"),
        _text("record"),
        _moment("created"),
        _text("actor"),
        sa.PrimaryKeyConstraint("tenant", "task", "number"),
        sa.ForeignKeyConstraint(["tenant", "task"], ["tasks.tenant", "tasks.name"]),
        sa.UniqueConstraint("tenant", "task", "digest"),
    )
    refuse_changes("prompts")
    op.create_table(
        "prompt_aliases",
        _text("tenant"),
        _text("task"),
        _text("alias"),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        _moment("updated"),
        _text("actor"),
        sa.PrimaryKeyConstraint("tenant", "task", "alias"),
        sa.ForeignKeyConstraint(
            ["tenant", "task", "number"], ["prompts.tenant", "prompts.task", "prompts.number"]
        ),
    )


def _spending() -> None:
    op.create_table(
        "budgets",
        _text("tenant"),
        _text("scope"),
        _whole("micro_usd"),
        _text("period"),
        _moment("window"),
        _whole("spent"),
        _whole("reserved"),
        _moment("updated"),
        _text("actor"),
        sa.PrimaryKeyConstraint("tenant", "scope"),
    )
    op.create_table(
        "reservations",
        _text("tenant"),
        _text("id"),
        _text("scope"),
        _whole("micro_usd"),
        _moment("expires"),
        sa.PrimaryKeyConstraint("tenant", "id", "scope"),
    )
    op.create_index("ix_reservations_tenant_expires", "reservations", ["tenant", "expires"])
    op.create_table(
        "model_calls",
        _text("tenant"),
        _text("id"),
        _moment("at"),
        _text("upstream"),
        _text("purpose"),
        _text("task", nullable=True),
        _text("key", nullable=True),
        _text("job", nullable=True),
        _text("outcome"),
        *(_whole(name) for name in ("input", "output", "cached_input", "reasoning", "cache_write")),
        *(_whole(name) for name in ("micro_usd", "estimated", "attempts")),
        sa.Column("seconds", sa.Float, nullable=False),
        _text("cached"),
        sa.Column("priced", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "id"),
    )
    for column in ("upstream", "task", "key", "job"):
        op.create_index(
            f"ix_model_calls_tenant_{column}_id", "model_calls", ["tenant", column, "id"]
        )
