"""The part of the ledger about answers of language models that may be given again."""

from collections.abc import Iterable, Iterator
from datetime import datetime

from sqlalchemy import Connection, delete, insert, select

from milepost.entities.model_calls import KeptAnswer
from milepost.storage import tables
from milepost.storage.records.base import IN_PARTS, Records, own


class ModelAnswerRecords(Records):
    """Answers by scope and digest of their request, until they expire."""

    def model_answers(
        self, wanted: Iterable[tuple[str, str]], now: datetime | None = None
    ) -> dict[tuple[str, str], bytes]:
        """Answers as they were kept, by scope and digest of their request.

        Args:
            wanted: Scopes, whose answers are looked at, with digests of requests.
            now: When an answer must not have expired; ``None`` takes the clock's time.

        Returns:
            Those that there are, and that have not expired.
        """
        table, at = tables.model_answers, now or self.clock()
        found: dict[tuple[str, str], bytes] = {}
        with self.database.read() as connection:
            for scope, digests in _in_parts(wanted):
                rows = connection.execute(
                    select(table.c.digest, table.c.record, table.c.expires).where(
                        *own(table, self.tenant, scope=scope), table.c.digest.in_(digests)
                    )
                )
                for row in rows:
                    if row.expires is None or row.expires > at:
                        found[scope, row.digest] = row.record.encode()
        return found

    def keep_model_answers(
        self, answers: Iterable[KeptAnswer], now: datetime | None = None
    ) -> None:
        """Keep answers in the place of older ones, all of them or none; of equal ones the last.

        Args:
            answers: What is kept.
            now: When they were given; ``None`` takes the clock's time.
        """
        table, at = tables.model_answers, now or self.clock()
        last = {(each.scope, each.digest): each for each in answers}
        if not last:
            return
        rows = [
            {
                "tenant": self.tenant,
                "scope": each.scope,
                "digest": each.digest,
                "upstream": each.upstream,
                "record": each.answer.decode(),
                "created": at,
                "expires": each.expires,
            }
            for each in last.values()
        ]
        with self.database.write(self.tenant) as connection:
            self._remove(connection, last)
            connection.execute(insert(table), rows)

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
            self._remove(connection, ((row.scope, row.digest) for row in rows))
        return len(rows)

    def _remove(self, connection: Connection, keys: Iterable[tuple[str, str]]) -> None:
        table = tables.model_answers
        for scope, digests in _in_parts(keys):
            some = table.c.digest.in_(digests)
            connection.execute(delete(table).where(*own(table, self.tenant, scope=scope), some))


def _in_parts(keys: Iterable[tuple[str, str]]) -> Iterator[tuple[str, list[str]]]:
    """Digests by scope, no more at a time than a statement may have."""
    by_scope: dict[str, dict[str, None]] = {}
    for scope, digest in keys:
        by_scope.setdefault(scope, {})[digest] = None
    for scope, some in by_scope.items():
        digests = list(some)
        for start in range(0, len(digests), IN_PARTS):
            yield scope, digests[start : start + IN_PARTS]
