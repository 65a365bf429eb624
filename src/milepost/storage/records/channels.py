"""The part of the ledger that makes releases and moves channels."""

from sqlalchemy import Connection

from milepost.entities.errors import InputError
from milepost.entities.release import Channel, Release
from milepost.storage import tables
from milepost.storage.records.approvals import ApprovalRecords
from milepost.storage.records.operations import Request
from milepost.storage.records.releases import PRODUCTION, SHADOW, check_share, moved


class ChannelRecords(ApprovalRecords):
    """Compare-and-swap moves, each with its audit row, none without the approvals it needs."""

    def make_release(
        self,
        candidate: str,
        *,
        expected_version: int,
        reason: str,
        actor: str = tables.DEFAULT,
        channel: str = PRODUCTION,
        idempotency_key: str | None = None,
    ) -> Release:
        """Release a stored candidate under its task's next number and point a channel at it.

        Release, channel and audit rows are written in one transaction, or nothing is. Where the
        task asks for approvals, the channel stays until the last of them is given.

        Args:
            candidate: Id of the candidate; its contest must be stored.
            expected_version: Version of the channel on which the decision was based; 0 when there
                was no channel yet.
            reason: Why, in words.
            actor: Who.
            channel: Name of the channel.
            idempotency_key: The same request with the same key gives the first result, whatever
                version is expected by then.

        Raises:
            UnknownNameError: If there is no such candidate.
            InputError: If the candidate failed, so that it has no bundle, or the key was used for
                another request.
            ConflictError: If the channel has another version by now.
        """
        request: Request = {
            "release": candidate,
            "channel": channel,
            "reason": reason,
            "actor": actor,
        }
        with self.database.write(self.tenant) as connection:
            return self._once(
                connection,
                idempotency_key,
                request,
                Release,
                lambda: self._release_candidate(
                    connection,
                    candidate,
                    expected_version=expected_version,
                    reason=reason,
                    actor=actor,
                    channel=channel,
                ),
                actor=actor,
            )

    def _release_candidate(
        self,
        connection: Connection,
        candidate: str,
        *,
        expected_version: int,
        reason: str,
        actor: str,
        channel: str,
    ) -> Release:
        chosen = self._releasable(connection, candidate)
        release = self._store_release(connection, chosen, actor)
        before = self._channel(connection, release.task, channel)
        after = moved(before, release.task, channel, release.number, expected_version)
        approvals = self._asked(connection, release.task, release.contest)
        waits = {"approvals": approvals, "channel": channel, "version": expected_version}
        self._append_audit(
            connection,
            actor=actor,
            action="release.made",
            subject=f"{release.task}#{release.number}",
            reason=reason,
            details={
                "bundle": release.bundle,
                "candidate": release.candidate,
                "contest": release.contest,
                "release": release.digest,
                **(waits if approvals else {}),
            },
        )
        if approvals:
            self._propose(connection, release.task, release.number, after, approvals)
        else:
            self._store_move(connection, after, actor=actor, reason=reason)
        return release

    def move_channel(
        self,
        task: str,
        name: str,
        to: int,
        *,
        expected_version: int,
        reason: str,
        actor: str = tables.DEFAULT,
        back: bool = False,
        share: float | None = None,
        idempotency_key: str | None = None,
        request: Request | None = None,
    ) -> Channel:
        """Point a channel at another release, with its audit row in the same transaction.

        A canary of a release that production gets to ends in that transaction, too.

        Args:
            task: Name of the task.
            name: Name of the channel; it is made when it is not there.
            to: Number of the release.
            expected_version: Version that the channel was seen in; 0 when it was not there.
            reason: Why, in words.
            actor: Who.
            back: Whether this goes back to an older release, for which the approvals that were
                asked for when it was made are enough.
            share: What of the traffic a canary or shadow gets, 0 to 1; 0 switches it off, which
                needs no approval. ``None`` leaves it as it is.
            idempotency_key: The same request with the same key gives the first result, whatever
                version is expected by then.
            request: What the caller was asked, where ``to`` follows from the state of the ledger;
                ``None`` takes the arguments.

        Returns:
            The channel as it is now.

        Raises:
            UnknownNameError: If there is no such task or release.
            ConflictError: If the channel has another version by now.
            InputError: If it points there already with that share, the release lacks approvals,
                the share is none, or the key was used for another request.
        """
        check_share(name, share)
        asked = request or {
            "move": name,
            "task": task,
            "to": to,
            "reason": reason,
            "actor": actor,
            "back": back,
            **({} if share is None else {"share": share}),
        }

        def move() -> Channel:
            row = self._release_found(connection, task, to)
            before = self._channel(connection, task, name)
            after = moved(before, task, name, to, expected_version, share)
            if back and (before is None or to > before.release):
                raise InputError(f"release {to} of {task!r} is not older than what runs.")
            # What answers nobody needs nobody's consent, and neither does stopping it.
            if name != SHADOW and share != 0:
                self._require_approvals(connection, row, back=back)
            self._store_move(connection, after, actor=actor, reason=reason)
            return after

        with self.database.write(self.tenant) as connection:
            return self._once(connection, idempotency_key, asked, Channel, move, actor=actor)
