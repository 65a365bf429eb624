"""The part of the ledger about keys: who may ask a server, and what. It never sees a secret."""

import re
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, insert, select, update

from milepost._base.digest import sha256_bytes
from milepost.entities.errors import ConflictError, InputError
from milepost.entities.serving import Key
from milepost.storage import tables
from milepost.storage.records.audit import AuditRecords
from milepost.storage.records.base import from_json, own, to_json

_HASH = re.compile("[0-9a-f]{64}")


class KeyRecords(AuditRecords):
    """Keys by id and by the hash of their secret; each act has its audit entry."""

    def create_key(self, key: Key, hash: str, *, reason: str, actor: str = tables.DEFAULT) -> Key:  # noqa: A002 - the record's own word
        """Keep a new key.

        Args:
            key: Who may do what; not revoked.
            hash: SHA-256 of its secret, 64 lower-case hex digits.
            reason: Why, in words.
            actor: Who makes it.

        Returns:
            The key as it is kept.

        Raises:
            InputError: If ``hash`` is none, or the key is revoked already.
            ConflictError: If a key has this id or this hash already.
        """
        if not _HASH.fullmatch(hash) or key.revoked is not None:
            raise InputError("a new key has the SHA-256 of its secret, and is not revoked.")
        table, record = tables.keys, to_json(key)
        with self.database.write(self.tenant) as connection:
            taken = select(table.c.id).where(
                table.c.tenant == self.tenant, (table.c.id == key.id) | (table.c.hash == hash)
            )
            if connection.scalar(taken) is not None:
                raise ConflictError("a key of this id or secret is there.", where=key.id)
            connection.execute(
                insert(table).values(
                    tenant=self.tenant,
                    id=key.id,
                    hash=hash,
                    name=key.name,
                    role=key.role,
                    record=record,
                    created=key.created,
                    actor=actor,
                    expires=key.expires,
                )
            )
            self._append_audit(
                connection,
                actor=actor,
                action="key.created",
                subject=key.id,
                reason=reason,
                details={
                    "key": key_digest(hash, record),
                    "name": key.name,
                    "key_role": key.role,
                    "tasks": list(key.tasks),
                    "revoked": None,
                },
            )
        return key

    def keys(self) -> tuple[Key, ...]:
        """All keys, also revoked ones, oldest first."""
        table = tables.keys
        with self.database.read() as connection:
            rows = connection.execute(select(table).where(table.c.tenant == self.tenant)).all()
        return tuple(sorted(map(_key, rows), key=lambda key: (key.created, key.id)))

    def key(self, id: str) -> Key:  # noqa: A002 - the record's own word
        """A key by its id, also a revoked one.

        Raises:
            UnknownNameError: If there is none.
        """
        with self.database.read() as connection:
            return _key(self._key_row(connection, id))

    def key_by_hash(self, hash: str) -> Key | None:  # noqa: A002 - the record's own word
        """The key whose secret has this SHA-256, also a revoked one; ``None`` without one."""
        table = tables.keys
        with self.database.read() as connection:
            row = connection.execute(
                select(table).where(*own(table, self.tenant, hash=hash))
            ).one_or_none()
        return None if row is None else _key(row)

    def hashed_keys(self) -> dict[str, Key]:
        """All keys that were not revoked by the SHA-256 of their secrets, for a server's memory."""
        table = tables.keys
        with self.database.read() as connection:
            rows = connection.execute(
                select(table).where(table.c.tenant == self.tenant, table.c.revoked.is_(None))
            ).all()
        return {row.hash: _key(row) for row in rows}

    def revoke_key(self, id: str, *, reason: str, actor: str = tables.DEFAULT) -> Key:  # noqa: A002 - the record's own word
        """Let a key work no more, for good.

        Raises:
            UnknownNameError: If there is none.
            InputError: If it was revoked before.
        """
        table = tables.keys
        with self.database.write(self.tenant) as connection:
            row = self._key_row(connection, id)
            if row.revoked is not None:
                raise InputError(f"the key {id} was revoked on {row.revoked:%Y-%m-%d %H:%M} UTC.")
            now = self.clock()
            connection.execute(
                update(table).where(*own(table, self.tenant, id=id)).values(revoked=now)
            )
            self._append_audit(
                connection,
                actor=actor,
                action="key.revoked",
                subject=id,
                reason=reason,
                details={
                    "key": key_digest(row.hash, row.record),
                    "name": row.name,
                    "revoked": now.isoformat(),
                },
            )
            return _key(self._key_row(connection, id))

    def _key_row(self, connection: Connection, id: str) -> Row[Any]:  # noqa: A002 - the record's own word
        table = tables.keys
        row = connection.execute(select(table).where(*own(table, self.tenant, id=id))).one_or_none()
        if row is None:
            raise self._unknown(connection, "key", id, table.c.id)
        return row


def key_digest(hash: str, record: str) -> str:  # noqa: A002 - the record's own word
    """What an audit entry says of a key, so that neither hash nor record can be changed unseen."""
    return sha256_bytes(f"{hash} {record}".encode())


def _key(row: Row[Any]) -> Key:
    key = from_json(row.record, Key, where=f"key {row.id}")
    return msgspec.structs.replace(key, revoked=row.revoked)
