"""Keys to a server as a table."""

from collections.abc import Sequence
from datetime import datetime

from milepost.entities.serving import EVERY, Key
from milepost.reports.document import Cell, Column, Document, Grid, Role, Row, sentence


def keys_table(keys: Sequence[Key], now: datetime) -> Document:
    """Keys in the given order; ``now`` decides which have expired."""
    if not keys:
        return Document((sentence("There are no keys yet: `milepost keys create` makes one."),))
    columns = (
        Column("", width=1),
        Column("key"),
        Column("name", wraps=True),
        Column("role"),
        Column("may ask", wraps=True),
        Column("inputs/s", "right"),
        Column("state"),
    )
    return Document((Grid(columns, tuple(_row(key, now) for key in keys)),))


def _row(key: Key, now: datetime) -> Row:
    mark, state, role = _state(key, now)
    return Row(
        (
            Cell(mark, role),
            Cell(key.id, "dim"),
            Cell(key.name or "–", "strong" if key.name else "dim"),
            Cell(key.role),
            Cell(_may_ask(key)),
            Cell("–" if key.per_second is None else f"{key.per_second:g}"),
            Cell(state, role),
        )
    )


def _may_ask(key: Key) -> str:
    """Its tasks and language models."""
    tasks = ", ".join(key.tasks) or "all tasks"
    if key.role in ("provider", "admin"):
        return "everything" if not key.tasks else f"{tasks}; all models"
    models = "all models" if EVERY in key.upstreams else ", ".join(key.upstreams)
    return f"{tasks}; {models}" if models else tasks


def _state(key: Key, now: datetime) -> tuple[str, str, Role]:
    if key.revoked is not None:
        return "✘", "revoked", "bad"
    if key.expires is None:
        return "✔", "works", "good"
    if key.expires <= now:
        return "○", "expired", "warn"
    return "✔", f"until {key.expires:%Y-%m-%d}", "good"
