"""Commands about releases beside production: ``canary``, ``shadow`` and ``ab``."""

from pathlib import Path
from typing import Annotated

import typer

from milepost.cli.shared import (
    JsonOption,
    ReasonOption,
    TaskArgument,
    WorkspaceOption,
    open_workspace,
    print_json,
    stdout,
)
from milepost.entities.errors import InputError
from milepost.reports.trying import trial_document
from milepost.reports.words import channel_words

ReleaseArgument = Annotated[
    int | None, typer.Argument(help="Number of the release.", show_default=False)
]
OffOption = Annotated[bool, typer.Option("--off", help="Switch it off.")]


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command("canary")(canary)
    app.command("shadow")(shadow)
    app.command("ab")(ab)


def canary(
    task: TaskArgument,
    release: ReleaseArgument = None,
    share: Annotated[
        str | None,
        typer.Option(
            metavar="SHARE",
            help="Share of the traffic, such as 0.1 or 10%. Default: as before, at first 0.1.",
            show_default=False,
        ),
    ] = None,
    off: OffOption = False,
    reason: ReasonOption = "tried by hand",
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let a release answer a share of the traffic beside production.

    A subject that it answers once it always answers, as long as the share does not fall.
    """
    _try("canary", task, (release, _share(share), off), reason, (workspace, as_json))


def shadow(
    task: TaskArgument,
    release: ReleaseArgument = None,
    share: Annotated[
        str | None,
        typer.Option(
            metavar="SHARE",
            help="Share of the traffic, such as 0.1 or 10%. Default: as before, at first 1.",
            show_default=False,
        ),
    ] = None,
    off: OffOption = False,
    reason: ReasonOption = "tried by hand",
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask a release along with production, without anybody getting its answers."""
    _try("shadow", task, (release, _share(share), off), reason, (workspace, as_json))


def _try(
    channel: str,
    task: str,
    wanted: tuple[int | None, float | None, bool],
    reason: str,
    how: tuple[Path | None, bool],
) -> None:
    """Begin, change or end a canary or shadow, and say what it is now."""
    release, share, off = wanted
    if off == (release is not None) or (off and share is not None):
        raise InputError(
            "name a release to begin, or give --off to end, not both.",
            advice=f"milepost {channel} {task} 2, or milepost {channel} {task} --off.",
        )
    opened = open_workspace(how[0])
    act = opened.canary if channel == "canary" else opened.shadow
    now = act(task, release, share=share, reason=reason)
    if how[1]:
        print_json(now)
    else:
        stdout().print(channel_words(now))


def _share(given: str | None) -> float | None:
    """A share as people write it: ``0.1``, ``10%`` or ``10 %``."""
    if given is None:
        return None
    number = given.strip()
    try:
        return float(number[:-1]) / 100.0 if number.endswith("%") else float(number)
    except ValueError:
        raise InputError(
            f"{given[:40]!r} is no share of the traffic.",
            where="--share",
            advice="Give a number from 0 to 1, such as 0.1, or a percentage, such as 10%.",
        ) from None


def ab(
    task: TaskArgument,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Hold the canary against production on what users say; may be looked at any time.

    Also says how often the release in the shadow would have answered as production did.
    """
    trial = open_workspace(workspace).ab(task)
    if as_json:
        print_json(trial)
    else:
        stdout().print(trial_document(trial))
