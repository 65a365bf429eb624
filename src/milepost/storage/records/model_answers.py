"""The part of the ledger about answers of language models that may be given again."""

from datetime import datetime

from sqlalchemy import delete, insert, select

from milepost.storage import tables
from milepost.storage.records.base import IN_PARTS, Records, own


class ModelAnswerRecords(Records):
    """Answers by scope and digest of their request, until they expire."""

    def model_answer(self, scope: str, digest: str, now: datetime | None = None) -> bytes | None:
        """An answer as it was kept; ``None`` where there is none, or none any more.

        Args:
            scope: Whose answers are looked at; those of others are never seen.
            digest: Of the request.
            now: When it must not have expired; ``None`` takes the clock's time.
        """
        table = tables.model_answers
        with self.database.read() as connection:
            row = connection.execute(
                select(table.c.record, table.c.expires).where(
                    *own(table, self.tenant, scope=scope, digest=digest)
                )
            ).one_or_none()
        if row is None or (row.expires is not None and row.expires <= (now or self.clock())):
            return None
        return row.record.encode()

    def keep_model_answer(
        self,
        scope: str,
        digest: str,
        upstream: str,
        answer: bytes,
        expires: datetime | None = None,
        now: datetime | None = None,
    ) -> None:
        """Keep an answer in the place of an older one.

        Args:
            scope: Who may be given it again.
            digest: Of the request.
            upstream: Name of the upstream that gave it.
            answer: UTF-8 text.
            expires: Until when it may be given again; ``None`` for ever.
            now: When it was given; ``None`` takes the clock's time.
        """
        table = tables.model_answers
        with self.database.write(self.tenant) as connection:
            connection.execute(
                delete(table).where(*own(table, self.tenant, scope=scope, digest=digest))
            )
            connection.execute(
                insert(table).values(
                    tenant=self.tenant,
                    scope=scope,
                    digest=digest,
                    upstream=upstream,
                    record=answer.decode(),
                    created=now or self.clock(),
                    expires=expires,
                )
            )

    def expire_model_answers(self, now: datetime | None = None, limit: int = 10_000) -> int:
        """Remove answers whose time has come, oldest first.

        Args:
            now: Those that expire until then; ``None`` takes the clock's time.
            limit: The most to remove in this transaction, so that nobody waits long for it.

        Returns:
            How many were removed; with fewer than ``limit`` there are no more.
        """
        table, until = tables.model_answers, now or self.clock()
        expired = (table.c.tenant == self.tenant, table.c.expires <= until)
        with self.database.read() as connection:
            if connection.scalar(select(table.c.digest).where(*expired).limit(1)) is None:
                return 0
        with self.database.write(self.tenant) as connection:
            rows = connection.execute(
                select(table.c.scope, table.c.digest)
                .where(*expired)
                .order_by(table.c.expires)
                .limit(limit)
            ).all()
            by_scope: dict[str, list[str]] = {}
            for row in rows:
                by_scope.setdefault(row.scope, []).append(row.digest)
            for scope, digests in by_scope.items():
                for start in range(0, len(digests), IN_PARTS):
                    some = table.c.digest.in_(digests[start : start + IN_PARTS])
                    connection.execute(
                        delete(table).where(*own(table, self.tenant, scope=scope), some)
                    )
        return len(rows)
