"""Releases beside production: a canary that answers a share, a shadow that only looks on."""

from collections.abc import Mapping

from milepost.entities.errors import InputError, WorkspaceError
from milepost.entities.release import Channel
from milepost.storage.records.releases import CANARY, PRODUCTION, SHADOW
from milepost.workflows.context import Context
from milepost.workflows.release.bundles import load_bundle, nothing_live
from milepost.workflows.tasks.current import current_task

FIRST_SHARE: Mapping[str, float] = {CANARY: 0.1, SHADOW: 1.0}
"""Share of the traffic where nobody says how much."""


def channels(context: Context, name: str) -> list[Channel]:
    """All channels of a task that were ever moved, production first."""
    current_task(context, name)
    found = (context.ledger.channel(name, each) for each in (PRODUCTION, CANARY, SHADOW))
    return [each for each in found if each is not None]


def try_release(
    context: Context,
    name: str,
    channel: str,
    number: int,
    share: float | None,
    reason: str,
) -> Channel:
    """Give a release a share of the traffic beside production, after its bundle was verified.

    Nothing moves, and nothing is audited, where it has that share already.

    Args:
        context: The workspace.
        name: Name of the task.
        channel: ``canary`` or ``shadow``.
        number: Number of the release.
        share: 0 to 1; ``None`` keeps that of the same release, else takes the usual one.
        reason: Why.

    Raises:
        UnknownNameError: If there is no such release.
        InputError: If it is in production, lacks approvals, or the share is none.
        WorkspaceError: If nothing is in production.
        CorruptError: If a byte of it is not what it was.
        ConflictError: If somebody else moved the channel meanwhile.
    """
    current_task(context, name)
    production = context.ledger.channel(name, PRODUCTION)
    if production is None:
        raise nothing_live(context, name)
    row = context.ledger.release(name, number)
    if production.release == number:
        raise InputError(
            f"release {number} of {name!r} is in production: beside it, it could show nothing.",
            advice="Name another release.",
        )
    now = context.ledger.channel(name, channel)
    if share is None:
        same = now is not None and now.release == number
        share = (now.share if now is not None and same else None) or FIRST_SHARE[channel]
    load_bundle(context, row.bundle)
    if now is not None and (now.release, now.share) == (number, share):
        return now
    return _moved(context, name, channel, number, now, share, reason)


def stop_trying(context: Context, name: str, channel: str, reason: str) -> Channel:
    """Switch a canary or shadow off; one that is off stays so.

    Raises:
        WorkspaceError: If there never was one.
        ConflictError: If somebody else moved the channel meanwhile.
    """
    current_task(context, name)
    now = context.ledger.channel(name, channel)
    if now is None:
        raise WorkspaceError(
            f"the task {name!r} has no {channel}.",
            advice=f"Begin one: milepost {channel} {name} RELEASE.",
        )
    if not now.share:
        return now
    return _moved(context, name, channel, now.release, now, 0.0, reason)


def _moved(
    context: Context,
    name: str,
    channel: str,
    number: int,
    now: Channel | None,
    share: float,
    reason: str,
) -> Channel:
    context.record_configuration()
    return context.ledger.move_channel(
        name,
        channel,
        number,
        expected_version=now.version if now else 0,
        reason=reason,
        actor=context.actor,
        share=share,
    )
