"""Releases and channels by hand: list, promote, roll back, export."""

from pathlib import Path

from milepost.entities.errors import WorkspaceError
from milepost.entities.release import Channel, Release
from milepost.workflows.contest.improve import CHANNEL
from milepost.workflows.context import Context
from milepost.workflows.release.bundles import export_bundle, load_bundle
from milepost.workflows.tasks.current import current_task


def releases(context: Context, name: str) -> list[Release]:
    """Releases of a task, newest first; empty before the first one."""
    current_task(context, name)
    found = context.ledger.releases(name)
    return sorted(found, key=lambda release: -release.number)


def channel(context: Context, name: str, channel_name: str = CHANNEL) -> Channel | None:
    """Where a channel points, or ``None`` before the first release."""
    current_task(context, name)
    return context.ledger.channel(name, channel_name)


def promote(context: Context, name: str, number: int, reason: str) -> Channel:
    """Point production at a release, after its bundle was loaded and verified.

    Nothing moves, and nothing is recorded, where it points there already.

    Raises:
        UnknownNameError: If there is no such release.
        CorruptError: If a byte of it is not what it was.
        ConflictError: If somebody else moved the channel meanwhile.
    """
    now = _standing(context, name)
    load_bundle(context, context.ledger.release(name, number).bundle)
    if now.release == number:
        return now
    return context.ledger.move_channel(
        name,
        CHANNEL,
        to=number,
        expected_version=now.version,
        actor=context.actor,
        reason=reason,
    )


def rollback(context: Context, name: str, reason: str) -> Channel:
    """Point production back at the release before.

    Raises:
        WorkspaceError: If there is no release before.
        ConflictError: If somebody else moved the channel meanwhile.
    """
    now = _standing(context, name)
    older = [r.number for r in context.ledger.releases(name) if r.number < now.release]
    if not older:
        raise WorkspaceError(
            f"{name}@{CHANNEL} is at release {now.release}, the oldest there is.",
            advice="There is nothing to roll back to; go forth with `milepost promote`.",
        )
    # A second rollback goes further back, never forth to what was rolled back.
    back = now.previous if now.previous in older else max(older)
    return promote(context, name, back, reason)


def export(context: Context, name: str, directory: Path, number: int | None) -> int:
    """Write a release with its encoder as a folder; returns the release's number.

    Raises:
        WorkspaceError: If there is no release, or the folder is not empty.
    """
    if number is None:
        number = _standing(context, name).release
    release = context.ledger.release(name, number)
    export_bundle(context, release.bundle, directory)
    return number


def _standing(context: Context, name: str) -> Channel:
    now = channel(context, name)
    if now is None:
        raise WorkspaceError(
            f"the task {name!r} has no release yet.", advice=f"Run `milepost improve {name}`."
        )
    return now
