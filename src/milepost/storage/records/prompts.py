"""The part of the ledger about prompts: immutable versions, and aliases that point at them.

A template is kept once: the same again is the version that it already is.
"""

from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from milepost._base.digest import digest_of, sha256_bytes
from milepost.entities.errors import ConflictError, InputError
from milepost.entities.ids import Digest
from milepost.entities.prompts import PromptAlias, PromptTemplate, PromptVersion
from milepost.storage import tables
from milepost.storage.records.audit import AuditRecords
from milepost.storage.records.base import from_json, next_position, own, to_json

_NO_NOTE = "kept"
"""Reason of the audit entry of a prompt that nobody wrote a note about."""


class PromptRecords(AuditRecords):
    """Prompts of tasks; each act has its audit entry."""

    def add_prompt(
        self,
        task: str,
        template: PromptTemplate,
        *,
        parent: int | None = None,
        origin: str = "hand",
        note: str = "",
        actor: str = tables.DEFAULT,
    ) -> PromptVersion:
        """Keep a prompt under its task's next number; one that is there already stays what it is.

        Args:
            task: Name of the task.
            template: The prompt.
            parent: Number of the version that it was made from.
            origin: Who made it, see ``PromptVersion``.
            note: Why, in words.
            actor: Who keeps it.

        Raises:
            UnknownNameError: If there is no such task, or no such parent.
        """
        digest = digest_of(template)
        with self.database.write(self.tenant) as connection:
            self._require_task(connection, task)
            known = self._prompt_row(connection, task, digest=digest)
            if known is not None:
                return _version(known)
            if parent is not None:
                self._require_prompt(connection, task, parent)
            version = PromptVersion(
                task=task,
                number=self._next_prompt(connection, task),
                digest=Digest(digest),
                template=template,
                parent=parent,
                origin=origin,
                note=note,
                created=self.clock(),
                actor=actor,
            )
            record = to_json(version)
            connection.execute(
                insert(tables.prompts).values(
                    tenant=self.tenant,
                    task=task,
                    number=version.number,
                    digest=digest,
                    record=record,
                    created=version.created,
                    actor=actor,
                )
            )
            self._append_audit(
                connection,
                actor=actor,
                action="prompt.added",
                subject=prompt_subject(task, version.number),
                reason=note or _NO_NOTE,
                details={
                    "prompt": digest,
                    "record": sha256_bytes(record.encode()),
                    "origin": origin,
                    "parent": parent,
                },
            )
            return version

    def prompts(self, task: str) -> tuple[PromptVersion, ...]:
        """All versions of a task's prompt, oldest first.

        Raises:
            UnknownNameError: If there is no such task.
        """
        table = tables.prompts
        with self.database.read() as connection:
            self._require_task(connection, task)
            rows = connection.execute(
                select(table).where(*own(table, self.tenant, task=task)).order_by(table.c.number)
            ).all()
        return tuple(_version(row) for row in rows)

    def prompt(self, task: str, number: int) -> PromptVersion:
        """One version.

        Raises:
            UnknownNameError: If there is no such task or version.
        """
        with self.database.read() as connection:
            self._require_task(connection, task)
            return _version(self._require_prompt(connection, task, number))

    def prompt_alias(self, task: str, alias: str) -> PromptAlias | None:
        """Where an alias points; ``None`` where it was never set."""
        with self.database.read() as connection:
            return self._prompt_alias(connection, task, alias)

    def prompt_aliases(self, task: str) -> tuple[PromptAlias, ...]:
        """All aliases of a task's prompt, by name."""
        table = tables.prompt_aliases
        with self.database.read() as connection:
            rows = connection.execute(
                select(table).where(*own(table, self.tenant, task=task)).order_by(table.c.alias)
            ).all()
        return tuple(_alias(row) for row in rows)

    def move_prompt_alias(
        self,
        task: str,
        alias: str,
        to: int,
        *,
        expected_version: int,
        reason: str,
        actor: str = tables.DEFAULT,
    ) -> PromptAlias:
        """Point an alias at a version, with its audit entry in the same transaction.

        Args:
            task: Name of the task.
            alias: Name of the alias; it is made where it is not there.
            to: Number of the version.
            expected_version: Version that the alias was seen in; 0 when it was not there.
            reason: Why, in words.
            actor: Who.

        Raises:
            UnknownNameError: If there is no such task or version.
            InputError: If it points there already.
            ConflictError: If somebody moved it meanwhile.
        """
        with self.database.write(self.tenant) as connection:
            self._require_task(connection, task)
            self._require_prompt(connection, task, to)
            before = self._prompt_alias(connection, task, alias)
            if (before.version if before else 0) != expected_version:
                raise ConflictError(
                    f"the alias {alias!r} was moved meanwhile"
                    + (f": it points to version {before.number} now." if before else "."),
                    where=f"prompts of {task}",
                    advice="Look again, and decide anew.",
                )
            if before is not None and before.number == to:
                raise InputError(
                    f"the alias {alias!r} points to version {to} already.",
                    where=f"prompts of {task}",
                )
            after = PromptAlias(
                task=task,
                alias=alias,
                number=to,
                version=expected_version + 1,
                updated=self.clock(),
                actor=actor,
            )
            self._store_prompt_alias(connection, after, before)
            self._append_audit(
                connection,
                actor=actor,
                action="prompt.promoted",
                subject=alias_subject(task, alias),
                reason=reason,
                details={
                    "from": before.number if before else None,
                    "to": to,
                    "version": after.version,
                },
            )
            return after

    def _store_prompt_alias(
        self, connection: Connection, after: PromptAlias, before: PromptAlias | None
    ) -> None:
        table = tables.prompt_aliases
        values = {
            "number": after.number,
            "version": after.version,
            "updated": after.updated,
            "actor": after.actor,
        }
        named = {"task": after.task, "alias": after.alias}
        if before is None:
            connection.execute(insert(table).values(tenant=self.tenant, **named, **values))
            return
        connection.execute(update(table).where(*own(table, self.tenant, **named)).values(**values))

    def _next_prompt(self, connection: Connection, task: str) -> int:
        table = tables.prompts
        return next_position(connection, table.c.number, own(table, self.tenant, task=task))

    def _prompt_row(self, connection: Connection, task: str, **equal: str | int) -> Row[Any] | None:
        table = tables.prompts
        return connection.execute(
            select(table).where(*own(table, self.tenant, task=task, **equal))
        ).one_or_none()

    def _require_prompt(self, connection: Connection, task: str, number: int) -> Row[Any]:
        row = self._prompt_row(connection, task, number=number)
        if row is None:
            table = tables.prompts
            raise self._unknown(
                connection, "prompt", str(number), table.c.number, table.c.task == task
            )
        return row

    def _prompt_alias(self, connection: Connection, task: str, alias: str) -> PromptAlias | None:
        table = tables.prompt_aliases
        row = connection.execute(
            select(table).where(*own(table, self.tenant, task=task, alias=alias))
        ).one_or_none()
        return None if row is None else _alias(row)


def prompt_subject(task: str, number: int) -> str:
    """How the audit log names a version of a task's prompt."""
    return f"{task}/prompt/{number}"


def alias_subject(task: str, alias: str) -> str:
    """How the audit log names an alias, which never is a number."""
    return f"{task}/prompt/{alias}"


def _version(row: Row[Any]) -> PromptVersion:
    return from_json(row.record, PromptVersion, where=f"prompt {row.task}/{row.number}")


def _alias(row: Row[Any]) -> PromptAlias:
    return PromptAlias(
        task=row.task,
        alias=row.alias,
        number=row.number,
        version=row.version,
        updated=row.updated,
        actor=row.actor,
    )
