"""The part of the ledger about ``milepost.toml``: which settings held when something was done.

Secrets are neither stored nor digested: of an address only its kind, server and path are kept, so
that a new password is no change.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, cast
from urllib.parse import urlsplit

import msgspec
from sqlalchemy import Connection, insert, select

from milepost._base.digest import digest_of
from milepost._base.settings import Settings
from milepost.entities.configuration import Configuration
from milepost.storage import tables
from milepost.storage.records.audit import AuditRecords
from milepost.storage.records.base import from_json, own, to_json

_SETTINGS = "settings"


class _Recorded(msgspec.Struct, frozen=True):
    """What matters of a record when the settings are asked for."""

    settings: Settings = Settings()


class ConfigurationRecords(AuditRecords):
    """Configurations in the order in which they came into force."""

    def record_configuration(
        self, configuration: Configuration, actor: str = tables.DEFAULT
    ) -> bool:
        """Note what ``milepost.toml`` says, where it says something else than before.

        The audit entry holds old and new values of ``[settings]``; of all else only the names.

        Args:
            configuration: What the file says now.
            actor: Who acts under it.

        Returns:
            Whether it was new.
        """
        record = without_secrets(configuration)
        digest = digest_of(record)
        with self.database.read() as connection:
            if self._in_force(connection)[1] == digest:
                return False
        with self.database.write(self.tenant) as connection:
            sequence, last, stored = self._in_force(connection)
            if last == digest:
                return False
            before = (
                from_json(stored, dict[str, object], where="configuration")
                if stored
                else without_secrets(Configuration())
            )
            connection.execute(
                insert(tables.configurations).values(
                    tenant=self.tenant,
                    sequence=sequence + 1,
                    digest=digest,
                    record=to_json(record),
                    created=self.clock(),
                    actor=actor,
                )
            )
            self._append_audit(
                connection,
                actor=actor,
                action="setting.changed",
                subject="milepost.toml",
                reason="the file says something else than before" if stored else "first recorded",
                details={"before": last, "after": digest, **_changes(before, record)},
            )
            return True

    def settings_at(self, moment: datetime) -> Settings | None:
        """The settings that were in force at a moment; ``None`` where none was recorded by then."""
        table = tables.configurations
        with self.database.read() as connection:
            record = connection.scalar(
                select(table.c.record)
                .where(*own(table, self.tenant), table.c.created <= moment)
                .order_by(table.c.sequence.desc())
                .limit(1)
            )
        return None if record is None else from_json(record, _Recorded, where="config").settings

    def _in_force(self, connection: Connection) -> tuple[int, str | None, str | None]:
        """Position, digest and record of the last one; ``(0, None, None)`` before the first."""
        table = tables.configurations
        row = connection.execute(
            select(table.c.sequence, table.c.digest, table.c.record)
            .where(*own(table, self.tenant))
            .order_by(table.c.sequence.desc())
            .limit(1)
        ).one_or_none()
        return (0, None, None) if row is None else (row.sequence, row.digest, row.record)


def without_secrets(configuration: Configuration) -> dict[str, object]:
    """A configuration as plain data, every address without user, password and parameters."""
    # Through JSON, so that it equals what is read back.
    plain = cast("dict[str, object]", msgspec.json.decode(msgspec.json.encode(configuration)))
    return {key: _place(value) if isinstance(value, str) else value for key, value in plain.items()}


def _place(text: str) -> str:
    scheme, mark, _ = text.partition("://")
    if not mark:
        return text
    try:
        parts = urlsplit(text)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return f"{scheme}://…"
    return f"{scheme}://{parts.hostname or ''}{port}{parts.path}"


def _changes(before: Mapping[str, object], after: Mapping[str, object]) -> dict[str, object]:
    """Names of the keys that differ, and old and new values of those under ``[settings]``."""
    names = sorted(k for k in {*before, *after} - {_SETTINGS} if before.get(k) != after.get(k))
    old, new = (cast("dict[str, Any]", each.get(_SETTINGS, {})) for each in (before, after))
    return {
        "keys": names,
        "settings": {
            key: {"from": old.get(key), "to": new.get(key)}
            for key in sorted({*old, *new})
            if old.get(key) != new.get(key)
        },
    }
