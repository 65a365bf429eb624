"""The part of the ledger about what was said of served answers."""

import math
from datetime import timedelta

from sqlalchemy import Connection, insert, select

from milepost._base.digest import digest_of
from milepost.entities.errors import OverloadedError
from milepost.entities.serving import Feedback
from milepost.storage import tables
from milepost.storage.records.base import Records, from_json, own, to_json

_DAY = timedelta(days=1)


class FeedbackRecords(Records):
    """Feedback, kept for good: corrections are training data."""

    def add_feedback(self, feedback: Feedback, most: int | None = None) -> tuple[Feedback, bool]:
        """Keep what a key said of a trace; the same again is kept once.

        Args:
            feedback: What was said; its task must be in the ledger, its id sorts by time.
            most: The most that one key may say in 24 hours; ``None`` for no limit.

        Returns:
            The record of the first time, and whether it is new.

        Raises:
            OverloadedError: If the key has said too much already.
        """
        table, digest = tables.feedback, content_digest(feedback)
        with self.database.write(self.tenant) as connection:
            known = connection.scalar(
                select(table.c.record).where(*own(table, self.tenant, digest=digest))
            )
            if known is not None:
                return from_json(known, Feedback, where=f"feedback {feedback.id}"), False
            if most is not None and feedback.key is not None:
                # Not counted, which would take longer the more there is.
                earliest = connection.scalar(
                    select(table.c.at)
                    .where(*own(table, self.tenant, key=feedback.key))
                    .order_by(table.c.id.desc())
                    .offset(most - 1)
                    .limit(1)
                )
                if earliest is not None and earliest > feedback.at - _DAY:
                    raise OverloadedError(
                        f"the key {feedback.key} has given feedback {most:,} times in 24 hours, "
                        "which is the most (`feedback_per_key` under [settings] in "
                        "milepost.toml).",
                        retry_after=math.ceil((earliest + _DAY - feedback.at).total_seconds()),
                        own=True,
                    )
            self._store_feedback(connection, feedback)
        return feedback, True

    def feedback(
        self,
        task: str | None = None,
        *,
        trace: str | None = None,
        key: str | None = None,
        limit: int | None = None,
        before: str | None = None,
    ) -> tuple[Feedback, ...]:
        """Feedback, newest first.

        Args:
            task: Only on this task; ``None`` takes all.
            trace: Only on this trace.
            key: Only of this key.
            limit: The most to return; ``None`` returns all.
            before: Only what is older than the feedback of this id.
        """
        table = tables.feedback
        wanted = {"task": task, "trace": trace, "key": key}
        equal = {name: value for name, value in wanted.items() if value is not None}
        older = [] if before is None else [table.c.id < before]
        with self.database.read() as connection:
            rows = connection.execute(
                select(table.c.id, table.c.record)
                .where(*own(table, self.tenant, **equal), *older)
                .order_by(table.c.id.desc())
                .limit(limit)
            ).all()
        return tuple(from_json(row.record, Feedback, where=f"feedback {row.id}") for row in rows)

    def _store_feedback(self, connection: Connection, feedback: Feedback) -> None:
        self._require_task(connection, feedback.task)
        connection.execute(
            insert(tables.feedback).values(
                tenant=self.tenant,
                id=feedback.id,
                task=feedback.task,
                trace=feedback.trace,
                release=feedback.release,
                channel=feedback.channel,
                key=feedback.key,
                digest=content_digest(feedback),
                at=feedback.at,
                record=to_json(feedback),
            )
        )


def content_digest(feedback: Feedback) -> str:
    """What makes two pieces of feedback the same: trace, key, and what is said."""
    return digest_of(
        [feedback.trace, feedback.key, feedback.label, feedback.rating, feedback.comment]
    )
