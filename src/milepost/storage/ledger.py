"""The ledger: the SQL store of record. Its nouns stand in the modules that it is put together from.

Records go in and out as the structs of ``milepost.entities``. Artifacts (snapshots, bundles,
predictions) are elsewhere; the ledger knows only their digests.
"""

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from sqlalchemy import Connection

from milepost._base.clock import Clock, utc_now
from milepost.entities.contest import Contest
from milepost.entities.job import Lease
from milepost.storage import tables
from milepost.storage.database import Database
from milepost.storage.migrations.upgrade import upgrade
from milepost.storage.records.budgets import BudgetRecords
from milepost.storage.records.channels import ChannelRecords
from milepost.storage.records.configurations import ConfigurationRecords
from milepost.storage.records.contests import ContestRecords, same_contest
from milepost.storage.records.datasets import DatasetRecords
from milepost.storage.records.fidelities import FidelityRecords
from milepost.storage.records.jobs import JobRecords
from milepost.storage.records.keys import KeyRecords
from milepost.storage.records.lineage import LineageRecords
from milepost.storage.records.model_answers import ModelAnswerRecords
from milepost.storage.records.needs import NeedRecords
from milepost.storage.records.operations import Request
from milepost.storage.records.prompts import PromptRecords
from milepost.storage.records.releases import PRODUCTION
from milepost.storage.records.similar_answers import SimilarAnswerRecords
from milepost.storage.records.tasks import TaskRecords, TaskVersion
from milepost.storage.records.traces import TraceRecords
from milepost.storage.records.updates import UpdateRecords
from milepost.storage.records.upstreams import UpstreamRecords

__all__ = ["Ledger", "TaskVersion"]


class Ledger(
    TaskRecords,
    DatasetRecords,
    LineageRecords,
    ContestRecords,
    ChannelRecords,
    ConfigurationRecords,
    JobRecords,
    NeedRecords,
    KeyRecords,
    TraceRecords,
    UpdateRecords,
    FidelityRecords,
    PromptRecords,
    UpstreamRecords,
    BudgetRecords,
    ModelAnswerRecords,
    SimilarAnswerRecords,
):
    """Tasks, data, contests, releases, channels, traces, feedback and audit of one tenant.

    Safe to share between threads; a process that forks opens its own. Every method is one
    transaction. All raise ``StorageError`` when the database cannot be used, ``WorkspaceError``
    when it is read-only or cannot be reached as addressed, and ``InputError`` for a value that no
    database takes (a NUL, half a character, a number that is too large).
    """

    @classmethod
    def open(
        cls,
        url: str,
        *,
        clock: Clock = utc_now,
        tenant: str = tables.DEFAULT,
        role: str = tables.OWNER,
        timeout: float = 30.0,
    ) -> Self:
        """Open a ledger; create it, or bring its tables up to date, where needed.

        Any number of processes may open the same new ledger at once. One that is up to date is
        only read, so that it opens in a read-only folder.

        Args:
            url: ``sqlite:///FILE``, ``sqlite://`` (in memory, gone at the end) or
                ``postgresql://USER:PASSWORD@HOST:PORT/DATABASE``.
            clock: Gives the time that is written into rows.
            tenant: Whose rows are read and written.
            role: Role of whoever acts, for the audit log.
            timeout: Seconds to wait for a lock, in a thread or another process.

        Raises:
            WorkspaceError: If the address cannot be read, the folder is missing or read-only, the
                driver is not installed, or the ledger was written by a newer milepost.
            StorageError: If the database cannot be reached or is locked.
            CorruptError: If the file is not a ledger.
        """
        database = Database(url, timeout=timeout)
        try:
            upgrade(database)
        except BaseException:
            database.close()
            raise
        return cls(database, clock, tenant, role)

    def conclude(
        self,
        contest: Contest,
        *,
        expected_version: int,
        actor: str = tables.DEFAULT,
        channel: str = PRODUCTION,
        idempotency_key: str | None = None,
        fence: Lease | None = None,
    ) -> Contest:
        """Store a contest and, where its verdict is ``released``, release the chosen candidate.

        Contest, release, channel and audit rows are written in one transaction, or nothing is: a
        verdict is never there without its release. Where the task asks for approvals, the channel
        stays until the last of them is given.

        Args:
            contest: The contest, its verdict included.
            expected_version: Version of the channel that the verdict was based on; 0 for none.
            actor: Who.
            channel: Channel that a release moves.
            idempotency_key: With the key of the first time, an equal contest is concluded already,
                whatever version is expected by then; how long it took does not count.
            fence: A lease that must still be held; ``None`` asks for none.

        Returns:
            The contest with the number of its release, if there is one.

        Raises:
            UnknownNameError: If its task, or that version of it, is not in the ledger.
            ConflictError: If the contest is there already, or the channel has moved meanwhile.
            InputError: If the key was used for another request.
            LostError: If the lease was lost.
            StorageError: If it cannot be stored.
        """
        request: Request = {
            "conclude": same_contest(contest),
            "channel": channel,
            "actor": actor,
        }
        with self.database.write(self.tenant) as connection:
            self._require_lease(connection, fence)
            id = self._once(  # noqa: A001 - the record's own word
                connection,
                idempotency_key,
                request,
                str,
                lambda: self._conclude(connection, contest, expected_version, actor, channel),
                actor=actor,
            )
            return self._contest(connection, id)

    def conclude_all(
        self,
        concluded: Sequence[tuple[Contest, int]],
        *,
        act: Request,
        actor: str = tables.DEFAULT,
        fence: Lease | None = None,
    ) -> tuple[Contest, ...]:
        """As ``conclude`` for the contests of several tasks that move to another encoder together.

        All that it writes is one transaction, with an audit row of its own that names every task:
        they are all concluded, or none is.

        Args:
            concluded: Each contest with the version of its channel that the verdict was based on.
            act: What the audit row says of all of them: ``reason`` and details.
            actor: Who.
            fence: A lease that must still be held; ``None`` asks for none.

        Raises:
            UnknownNameError: If a task, or that version of it, is not in the ledger.
            ConflictError: If a contest is there already, or a channel has moved meanwhile.
            LostError: If the lease was lost.
            StorageError: If they cannot be stored.
        """
        with self.database.write(self.tenant) as connection:
            self._require_lease(connection, fence)
            for contest, version in concluded:
                self._conclude(connection, contest, version, actor, PRODUCTION)
            found = tuple(self._contest(connection, contest.id) for contest, _ in concluded)
            tasks = {
                contest.task: {"contest": contest.id, "release": contest.release}
                for contest in found
            }
            self._append_audit(
                connection,
                actor=actor,
                action="encoder.migrated",
                subject="milepost.toml",
                reason=str(act["reason"]),
                details={**{k: v for k, v in act.items() if k != "reason"}, "tasks": tasks},
            )
            return found

    def _conclude(
        self,
        connection: Connection,
        contest: Contest,
        expected_version: int,
        actor: str,
        channel: str,
    ) -> str:
        chosen, standing = contest.chosen, self._channel(connection, contest.task, channel)
        if (standing.version if standing else 0) != expected_version:
            standing = None  # where nothing is released, a move meanwhile takes nothing away
        self._store_contest(connection, contest, actor, standing)
        if contest.decision.verdict == "released" and chosen is not None:
            self._release_candidate(
                connection,
                chosen.id,
                expected_version=expected_version,
                reason=contest.decision.reasons[0],
                actor=actor,
                channel=channel,
            )
        return contest.id

    def close(self) -> None:
        """Close the connections."""
        self.database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
