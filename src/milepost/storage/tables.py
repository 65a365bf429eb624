"""The tables of the ledger, as the newest migration leaves them.

Every table leads with ``tenant``, so that one database serves many. Rows of ``task_versions``,
``releases``, ``proposals``, ``approvals``, ``configurations``, ``upstreams``, ``prompts`` and
``audit`` are never changed; the migrations put triggers on them that refuse it.
A record that is read as a whole is kept as JSON text beside the columns that are searched.
"""

from datetime import UTC, datetime

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Float,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.types import TypeDecorator

DEFAULT = "default"
"""Tenant, actor and use case of somebody who works alone."""

OWNER = "owner"
"""Role of somebody who works alone: may do everything."""

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)


class UtcDateTime(TypeDecorator[datetime]):
    """A moment in UTC with microseconds; SQLite, which has no time zones, gets it without one."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """A timezone-aware moment on its way in.

        Raises:
            ValueError: If it has no timezone.
        """
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a moment without a timezone cannot be stored")
        moment = value.astimezone(UTC)
        return moment.replace(tzinfo=None) if dialect.name == "sqlite" else moment

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """The stored moment, timezone-aware UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _key(name: str) -> Column[str]:
    return Column(name, Text, primary_key=True)


def _text(name: str, *, nullable: bool = False, default: str | None = None) -> Column[str]:
    return Column(name, Text, nullable=nullable, server_default=default)


def _moment(name: str) -> Column[datetime]:
    return Column(name, UtcDateTime, nullable=False)


def _number(name: str, *, nullable: bool = False) -> Column[int]:
    return Column(name, Integer, nullable=nullable)


def _position(name: str) -> Column[int]:
    # The ledger hands the numbers out itself: a database sequence would leave gaps.
    return Column(name, Integer, primary_key=True, autoincrement=False)


def _whole(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False)


tasks = Table(
    "tasks",
    metadata,
    _key("tenant"),
    _key("name"),
    _text("use_case"),
    _text("version"),
    _moment("created"),
    _moment("updated"),
    _text("actor"),
)

task_versions = Table(
    "task_versions",
    metadata,
    _key("tenant"),
    _key("task"),
    _key("digest"),
    _number("number"),
    _text("record"),
    _moment("created"),
    _text("actor"),
    ForeignKeyConstraint(["tenant", "task"], ["tasks.tenant", "tasks.name"]),
    UniqueConstraint("tenant", "task", "number"),
)

datasets = Table(
    "datasets",
    metadata,
    _key("tenant"),
    _key("task"),
    _key("role"),
    _position("sequence"),
    _text("digest"),
    _text("artifact"),
    _number("rows"),
    _text("record"),
    _moment("created"),
    _text("actor"),
    ForeignKeyConstraint(["tenant", "task"], ["tasks.tenant", "tasks.name"]),
    Index(None, "tenant", "digest"),
)

sides = Table(
    "sides",
    metadata,
    _key("tenant"),
    _key("task"),
    _key("group_key"),
    _text("side"),
    _text("contest", nullable=True),
    _moment("seen"),
    ForeignKeyConstraint(["tenant", "task"], ["tasks.tenant", "tasks.name"]),
)

contests = Table(
    "contests",
    metadata,
    _key("tenant"),
    _key("id"),
    _text("task"),
    _number("sequence"),
    _text("task_version"),
    _text("examples"),
    _text("holdout", nullable=True),
    _text("regime"),
    Column("seed", BigInteger, nullable=False),
    _text("verdict"),
    _moment("started"),
    Column("seconds", Float, nullable=False),
    _text("code"),
    _text("record"),
    _moment("created"),
    _text("actor"),
    ForeignKeyConstraint(
        ["tenant", "task", "task_version"],
        ["task_versions.tenant", "task_versions.task", "task_versions.digest"],
    ),
    UniqueConstraint("tenant", "task", "sequence"),
    Index(None, "tenant", "examples"),
    Index(None, "tenant", "holdout"),
)

candidates = Table(
    "candidates",
    metadata,
    _key("tenant"),
    _key("id"),
    _text("contest"),
    _number("position"),
    _text("task"),
    _text("strategy"),
    Column("chosen", Boolean, nullable=False),
    Column("failed", Boolean, nullable=False),
    Column("value", Float),
    Column("low", Float),
    Column("high", Float),
    _number("n", nullable=True),
    _text("bundle", nullable=True),
    _text("predictions", nullable=True),
    Column("fit_seconds", Float, nullable=False),
    _text("record"),
    Column("collected", UtcDateTime, nullable=True),
    ForeignKeyConstraint(["tenant", "contest"], ["contests.tenant", "contests.id"]),
    UniqueConstraint("tenant", "contest", "position"),
)

releases = Table(
    "releases",
    metadata,
    _key("tenant"),
    _key("task"),
    _position("number"),
    _text("candidate"),
    _text("contest"),
    _text("bundle"),
    _text("strategy"),
    _moment("created"),
    _text("actor"),
    _text("digest", default=""),
    ForeignKeyConstraint(["tenant", "task"], ["tasks.tenant", "tasks.name"]),
    ForeignKeyConstraint(["tenant", "candidate"], ["candidates.tenant", "candidates.id"]),
    ForeignKeyConstraint(["tenant", "contest"], ["contests.tenant", "contests.id"]),
    Index(None, "tenant", "contest"),
)

channels = Table(
    "channels",
    metadata,
    _key("tenant"),
    _key("task"),
    _key("name"),
    _number("release"),
    _number("previous", nullable=True),
    _number("version"),
    _moment("updated"),
    _text("actor"),
    # What of the traffic goes this way; production gets the rest, whatever it says here.
    Column("share", Float, nullable=True),
    ForeignKeyConstraint(
        ["tenant", "task", "release"],
        ["releases.tenant", "releases.task", "releases.number"],
    ),
    ForeignKeyConstraint(
        ["tenant", "task", "previous"],
        ["releases.tenant", "releases.task", "releases.number"],
    ),
)

approvals = Table(
    "approvals",
    metadata,
    _key("tenant"),
    _key("task"),
    _position("release"),
    _key("actor"),
    _text("role"),
    _text("reason"),
    _moment("at"),
    ForeignKeyConstraint(
        ["tenant", "task", "release"],
        ["releases.tenant", "releases.task", "releases.number"],
    ),
)

proposals = Table(
    "proposals",
    metadata,
    _key("tenant"),
    _key("task"),
    _position("release"),
    _text("channel"),
    _number("version"),
    _number("approvals"),
    ForeignKeyConstraint(
        ["tenant", "task", "release"],
        ["releases.tenant", "releases.task", "releases.number"],
    ),
)

looks = Table(
    "looks",
    metadata,
    _key("tenant"),
    _key("task"),
    _key("holdout"),
    _position("number"),
    _text("contest", nullable=True),
    _text("purpose"),
    _text("actor"),
    _moment("at"),
    ForeignKeyConstraint(["tenant", "task"], ["tasks.tenant", "tasks.name"]),
)

audit = Table(
    "audit",
    metadata,
    _key("tenant"),
    _position("sequence"),
    _moment("at"),
    _text("actor"),
    _text("action"),
    _text("subject"),
    _text("reason"),
    _text("details"),
    _text("role", default=OWNER),
    _text("hash", default=""),
    Index(None, "tenant", "subject", "sequence"),
    Index(None, "tenant", "action", "sequence"),
)

configurations = Table(
    "configurations",
    metadata,
    _key("tenant"),
    _position("sequence"),
    _text("digest"),
    _text("record"),
    _moment("created"),
    _text("actor"),
)

operations = Table(
    "operations",
    metadata,
    _key("tenant"),
    _key("key"),
    _text("request"),
    _text("result"),
    _moment("created"),
    _text("actor"),
)

leases = Table(
    "leases",
    metadata,
    _key("tenant"),
    _key("name"),
    Column("token", BigInteger, nullable=False),
    _text("holder", nullable=True),
    Column("since", UtcDateTime, nullable=True),
    Column("expires", UtcDateTime, nullable=True),
)

jobs = Table(
    "jobs",
    metadata,
    _key("tenant"),
    _key("id"),
    _number("sequence"),
    _text("kind"),
    _text("subject"),
    _text("key"),
    _text("status"),
    _text("arguments"),
    _text("doing"),
    Column("share", Float, nullable=False),
    _number("attempts"),
    _text("error", nullable=True),
    _moment("created"),
    _moment("updated"),
    _text("actor"),
    UniqueConstraint("tenant", "sequence"),
    Index(None, "tenant", "subject", "sequence"),
    Index(None, "tenant", "status", "sequence"),
)

job_steps = Table(
    "job_steps",
    metadata,
    _key("tenant"),
    _key("job"),
    _key("name"),
    _number("position"),
    _text("record"),
    Column("seconds", Float, nullable=False),
    _moment("finished"),
    ForeignKeyConstraint(["tenant", "job"], ["jobs.tenant", "jobs.id"]),
)

pins = Table(
    "pins",
    metadata,
    _key("tenant"),
    _key("owner"),
    _key("digest"),
    _moment("created"),
)

keys = Table(
    "keys",
    metadata,
    _key("tenant"),
    _key("id"),
    # SHA-256 of the secret. The secret has 256 random bits, so that no slow hash is needed.
    _text("hash"),
    _text("name"),
    _text("role"),
    _text("record"),
    _moment("created"),
    _text("actor"),
    Column("expires", UtcDateTime, nullable=True),
    Column("revoked", UtcDateTime, nullable=True),
    UniqueConstraint("tenant", "hash"),
)

traces = Table(
    "traces",
    metadata,
    _key("tenant"),
    _key("id"),
    _text("task"),
    _number("release"),
    _text("channel"),
    _text("label", nullable=True),
    _moment("at"),
    Column("expires", UtcDateTime, nullable=False),
    _text("record"),
    # Written in groups of thousands: no foreign key is checked for each.
    Index(None, "tenant", "task", "id"),
    Index(None, "tenant", "expires"),
)

feedback = Table(
    "feedback",
    metadata,
    _key("tenant"),
    _key("id"),
    _text("task"),
    _text("trace"),
    _number("release"),
    _text("channel"),
    _text("key", nullable=True),
    _text("digest"),
    _moment("at"),
    _text("record"),
    ForeignKeyConstraint(["tenant", "task"], ["tasks.tenant", "tasks.name"]),
    Index(None, "tenant", "task", "id"),
    Index(None, "tenant", "trace"),
    Index(None, "tenant", "key", "id"),
    UniqueConstraint("tenant", "digest"),
)

fidelities = Table(
    "fidelities",
    metadata,
    _key("tenant"),
    _key("bundle"),
    _key("variant"),
    _text("record"),
    _moment("created"),
    _text("actor"),
)

upstreams = Table(
    "upstreams",
    metadata,
    _key("tenant"),
    _key("name"),
    _position("number"),
    # Rows are never changed: each change is one more, and one without a record is a removal.
    _text("record", nullable=True),
    _moment("created"),
    _text("actor"),
)

prompts = Table(
    "prompts",
    metadata,
    _key("tenant"),
    _key("task"),
    _position("number"),
    _text("digest"),
    _text("record"),
    _moment("created"),
    _text("actor"),
    ForeignKeyConstraint(["tenant", "task"], ["tasks.tenant", "tasks.name"]),
    UniqueConstraint("tenant", "task", "digest"),
)

prompt_aliases = Table(
    "prompt_aliases",
    metadata,
    _key("tenant"),
    _key("task"),
    _key("alias"),
    _number("number"),
    _number("version"),
    _moment("updated"),
    _text("actor"),
    ForeignKeyConstraint(
        ["tenant", "task", "number"], ["prompts.tenant", "prompts.task", "prompts.number"]
    ),
)

budgets = Table(
    "budgets",
    metadata,
    _key("tenant"),
    _key("scope"),
    _whole("micro_usd"),
    _text("period"),
    _moment("window"),
    _whole("spent"),
    _whole("reserved"),
    _moment("updated"),
    _text("actor"),
)

# What a process has reserved of a budget and not given back; one that is killed leaves it behind.
reservations = Table(
    "reservations",
    metadata,
    _key("tenant"),
    _key("id"),
    _key("scope"),
    _whole("micro_usd"),
    _moment("expires"),
    Index(None, "tenant", "expires"),
)

model_calls = Table(
    "model_calls",
    metadata,
    _key("tenant"),
    _key("id"),
    _moment("at"),
    _text("upstream"),
    _text("purpose"),
    _text("task", nullable=True),
    _text("key", nullable=True),
    _text("job", nullable=True),
    _text("outcome"),
    *(_whole(name) for name in ("input", "output", "cached_input", "reasoning", "cache_write")),
    *(_whole(name) for name in ("micro_usd", "estimated", "attempts")),
    Column("seconds", Float, nullable=False),
    _text("cached"),
    Column("priced", Boolean, nullable=False),
    # Written in groups: no foreign key is checked for each. Ids sort by time.
    Index(None, "tenant", "upstream", "id"),
    Index(None, "tenant", "task", "id"),
    Index(None, "tenant", "key", "id"),
    Index(None, "tenant", "job", "id"),
)

model_answers = Table(
    "model_answers",
    metadata,
    _key("tenant"),
    _key("scope"),
    _key("digest"),
    _text("upstream"),
    _text("record"),
    _moment("created"),
    Column("expires", UtcDateTime, nullable=True),
    Index(None, "tenant", "expires"),
)
