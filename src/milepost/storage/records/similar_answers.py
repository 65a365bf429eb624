"""The part of the ledger about answers to similar questions: banks of a task, as certified last.

They stand among the answers that may be given again, and so expire as those do.
"""

from collections.abc import Sequence

from msgspec.structs import asdict
from sqlalchemy import delete, insert, select

from milepost.entities.similar import SimilarAnswers
from milepost.storage import tables
from milepost.storage.records.audit import AuditRecords
from milepost.storage.records.base import from_json, own, to_json

_SCOPE = "similar:"
"""Before the name of the task whose banks stand in a scope."""


class SimilarAnswerRecords(AuditRecords):
    """Banks by task, under the digest of what their questions have in common."""

    def keep_similar_answers(
        self, task: str, banks: Sequence[SimilarAnswers], *, actor: str = tables.DEFAULT
    ) -> None:
        """Keep what was certified now in the place of what was before, with its audit entry.

        Args:
            task: Name of the task.
            banks: One per prompt; none to answer no similar questions any more.
            actor: Who certified it.

        Raises:
            UnknownNameError: If there is no such task.
        """
        table, scope = tables.model_answers, _SCOPE + task
        with self.database.write(self.tenant) as connection:
            self._require_task(connection, task)
            connection.execute(delete(table).where(*own(table, self.tenant, scope=scope)))
            for bank in banks:
                connection.execute(
                    insert(table).values(
                        tenant=self.tenant,
                        scope=scope,
                        digest=bank.frame,
                        upstream=bank.upstream,
                        record=to_json(bank),
                        created=bank.created,
                        expires=bank.expires,
                    )
                )
            self._append_audit(
                connection,
                actor=actor,
                action="similar.certified",
                subject=task,
                reason="certified" if banks else "nothing could be certified",
                details={bank.frame: asdict(bank.certificate) for bank in banks},
            )

    def similar_answers(self, task: str) -> tuple[SimilarAnswers, ...]:
        """What is certified for a task, by digest; also what has expired and is still there."""
        table, scope = tables.model_answers, _SCOPE + task
        with self.database.read() as connection:
            rows = connection.scalars(
                select(table.c.record)
                .where(*own(table, self.tenant, scope=scope))
                .order_by(table.c.digest)
            ).all()
        return tuple(
            from_json(row, SimilarAnswers, where=f"similar answers {task}") for row in rows
        )
