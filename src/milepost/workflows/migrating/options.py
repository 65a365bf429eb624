"""What a migration is asked for, and which of it can be used."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from milepost.entities.errors import InputError, UnknownNameError
from milepost.entities.migration import Move
from milepost.models.catalog import BESIDE
from milepost.workflows.tasks.files import task_names

LOSS = 0.02
"""Largest loss of a metric that is accepted where nobody says: two points of a share."""

MOVES: tuple[Move, ...] = ("each", "all", "none")


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrateOptions:
    """What is asked.

    Attributes:
        encoder: ``embedded``, a folder (relative to the workspace, else to where one is) or a hub
            id.
        tasks: Names of tasks; ``None`` for all of the workspace.
        move: Whether each task moves by its own verdict, all or none together, or nothing.
        loss: Largest loss of a task's metric that is accepted, in [0, 1].
    """

    encoder: str
    tasks: Sequence[str] | None = None
    move: Move = "each"
    loss: float = LOSS


def asked_tasks(root: Path, options: MigrateOptions) -> list[str]:
    """Names of the tasks that are asked about.

    Raises:
        UnknownNameError: If there is no such task, or no such way to move.
        InputError: If the loss is out of range, or there is no task at all.
    """
    if options.move not in MOVES:
        raise UnknownNameError("way to move", options.move, MOVES, where="move")
    if not 0.0 <= options.loss <= 1.0:
        raise InputError(
            f"the accepted loss {options.loss:g} is out of range.",
            where="loss",
            advice="It is a loss of the task's metric, such as 0.02 for two points.",
        )
    known = task_names(root)
    for name in options.tasks or ():
        if name not in known:
            raise UnknownNameError("task", name, known)
    names = list(dict.fromkeys(options.tasks)) if options.tasks else known
    if not names:
        raise InputError("the workspace has no task.", advice="Make one with `milepost add`.")
    return names


def encoder_spec(root: Path, written: str) -> str:
    """An encoder as ``milepost.toml`` shall call it: a folder from where one is becomes whole."""
    if BESIDE in written:
        return BESIDE.join(encoder_spec(root, each) for each in written.split(BESIDE))
    if (root / written).is_dir():
        return written
    here = Path(written).expanduser()
    if not here.is_dir():
        return written
    whole = here.resolve()
    return str(whole.relative_to(root) if whole.is_relative_to(root) else whole)
