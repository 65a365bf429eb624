"""Releases and channels by hand: list, approve, promote, roll back, export."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from milepost.entities.errors import InputError, WorkspaceError
from milepost.entities.release import ApprovalState, Approved, Channel, Release
from milepost.entities.serving import Fidelity
from milepost.storage.records.releases import PRODUCTION
from milepost.workflows.context import Context
from milepost.workflows.release.bundles import export_bundle, load_bundle, nothing_live
from milepost.workflows.release.cards import card
from milepost.workflows.tasks.current import current_task


def releases(context: Context, name: str, limit: int | None = None) -> list[Release]:
    """Releases of a task, newest first; empty before the first one.

    Args:
        context: The workspace.
        name: Name of the task.
        limit: The most to return; ``None`` returns all.
    """
    current_task(context, name)
    return list(context.ledger.releases(name, limit))


def fidelities(context: Context, releases: Sequence[Release]) -> dict[int, Fidelity]:
    """How well releases agree on the fast encoder, by number; those that were checked."""
    found = {each.number: context.ledger.fidelity(each.bundle, "int8") for each in releases}
    return {number: one for number, one in found.items() if one is not None}


def channel(context: Context, name: str, channel_name: str = PRODUCTION) -> Channel | None:
    """Where a channel points, or ``None`` before the first release."""
    current_task(context, name)
    return context.ledger.channel(name, channel_name)


def approvals(context: Context, name: str, rows: Sequence[Release]) -> dict[int, ApprovalState]:
    """Who has approved some releases of a task, by the number of each."""
    return context.ledger.approval_states(name, [row.number for row in rows])


def approve(
    context: Context, name: str, number: int, reason: str, key: str | None = None
) -> Approved:
    """Approve a release after its bundle was loaded and verified; the last approval puts it live.

    Raises:
        UnknownNameError: If there is no such release.
        InputError: If the actor made it, or it lacks no approval.
        CorruptError: If a byte of it is not what it was.
    """
    current_task(context, name)
    load_bundle(context, context.ledger.release(name, number).bundle)
    context.record_configuration()
    return context.ledger.approve(
        name, number, reason=reason, actor=context.actor, idempotency_key=key
    )


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class _Asked:
    """A move that somebody asked for.

    Attributes:
        context: The workspace.
        task: Name of the task.
        reason: Why.
        key: Idempotency key.
        what: What is asked, in words that stay the same when it is asked again.
    """

    context: Context
    task: str
    reason: str
    key: str | None
    what: Mapping[str, object]

    @property
    def request(self) -> dict[str, object]:
        who = {"task": self.task, "reason": self.reason, "actor": self.context.actor}
        return {**self.what, **who}

    def done(self) -> Channel | None:
        return self.context.ledger.first_result(self.key, self.request, Channel)

    def nothing_to_do(self, now: Channel) -> Channel:
        ledger, actor = self.context.ledger, self.context.actor
        return ledger.keep_result(self.key, self.request, now, actor)

    def verify(self, number: int) -> None:
        load_bundle(self.context, self.context.ledger.release(self.task, number).bundle)

    def move(self, to: int, now: Channel | None, *, back: bool = False) -> Channel:
        if to in self.context.ledger.forgotten_by(self.task):
            raise InputError(
                f"release {to} of {self.task!r} learned from examples that were forgotten since.",
                advice=f"`milepost improve {self.task}` makes one that did not.",
            )
        self.verify(to)
        self.context.record_configuration()
        return self.context.ledger.move_channel(
            self.task,
            PRODUCTION,
            to=to,
            expected_version=now.version if now else 0,
            actor=self.context.actor,
            reason=self.reason,
            back=back,
            idempotency_key=self.key,
            request=self.request,
        )


def promote(
    context: Context, name: str, number: int, reason: str, key: str | None = None
) -> Channel:
    """Point production at a release, after its bundle was loaded and verified.

    Nothing moves, and nothing is audited, where it points there already.

    Raises:
        UnknownNameError: If there is no such release.
        InputError: If it lacks approvals, or the key was used for another request.
        CorruptError: If a byte of it is not what it was.
        ConflictError: If somebody else moved the channel meanwhile.
    """
    asked = _Asked(context=context, task=name, reason=reason, key=key, what={"promote": number})
    done = asked.done()
    if done is not None:
        return done
    now = channel(context, name)
    if now is None and not context.ledger.releases(name, 1):
        raise nothing_live(context, name)
    if now is not None and now.release == number:
        asked.verify(number)
        return asked.nothing_to_do(now)
    return asked.move(number, now)


def rollback(context: Context, name: str, reason: str, key: str | None = None) -> Channel:
    """Point production back at the release before.

    A release that was approved, or that needed no approval when it was made, needs none now.

    Raises:
        WorkspaceError: If there is no release before.
        InputError: If the key was used for another request.
        CorruptError: If a byte of it is not what it was.
        ConflictError: If somebody else moved the channel meanwhile.
    """
    asked = _Asked(
        context=context, task=name, reason=reason, key=key, what={"rollback": PRODUCTION}
    )
    done = asked.done()
    if done is not None:
        return done
    now = _live(context, name)
    # A second rollback goes further back, never forth to what was rolled back.
    back = now.previous if now.previous and now.previous < now.release else None
    back = back or context.ledger.newest_admitted(name, before=now.release)
    if back is None:
        raise WorkspaceError(
            f"{name}@{PRODUCTION} is at release {now.release}, the oldest that may be in "
            "production.",
            advice="There is nothing to roll back to; go forth with `milepost promote`.",
        )
    return asked.move(back, now, back=True)


def export(
    context: Context, name: str, directory: Path, number: int | None, *, merge: bool = False
) -> int:
    """Write a release with its encoder and its model card as a folder; returns its number.

    Raises:
        InputError: If its adapter is to be merged, and it has not just one.
        WorkspaceError: If there is no release, or the folder is not empty.
    """
    if number is None:
        number = _live(context, name).release
    release = context.ledger.release(name, number)
    described = card(context, name, number)
    export_bundle(context, release.bundle, directory, merge=merge)
    described.write(directory / "README.md")
    return number


def _live(context: Context, name: str) -> Channel:
    now = channel(context, name)
    if now is None:
        raise nothing_live(context, name)
    return now
