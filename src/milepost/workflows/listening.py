"""Telling systems outside what happens in a contest. They are found as entry points.

A listener that cannot be reached never fails a contest: that is said once, on the log.
"""

import logging
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from milepost._base.later import Later
from milepost.entities.errors import MilepostError, WorkspaceError
from milepost.entities.ids import ContestId
from milepost.entities.lineage import Lineage, RunNews, RunState
from milepost.entities.task import Task
from milepost.workflows.context import Context

if TYPE_CHECKING:
    from milepost.workflows.release import lineage as lineages
else:
    # A workspace whose contests nobody listens to needs none of what a lineage is made of.
    lineages = Later("milepost.workflows.release.lineage")

ENTRY_POINTS = "milepost.listeners"
"""Entry-point group: each one names a class that is called with (address, root)."""

_LOG = logging.getLogger("milepost")


class Listener(Protocol):
    """Somebody outside who is told what happens."""

    def __call__(self, news: RunNews) -> None:
        """Take in one piece of news.

        Raises:
            MilepostError: If it could not be delivered.
        """
        ...


def open_listener(name: str, address: str, root: Path) -> Listener:
    """The listener of that name.

    Args:
        name: Name of the entry point, such as ``openlineage``.
        address: File or HTTP address that it writes to.
        root: Folder that a relative file is in.

    Raises:
        WorkspaceError: If it is not installed.
        InputError: If the address cannot be used.
    """
    known = {entry.name: entry for entry in entry_points(group=ENTRY_POINTS)}
    if name not in known:
        raise WorkspaceError(
            f"the listener {name!r} is not installed.",
            advice="Install milepost again: pip install --force-reinstall --no-deps milepost.",
        )
    return known[name].load()(address, root)


def teller(root: Path, address: str | None) -> Callable[[RunNews], None] | None:
    """What a workspace calls with its news; it never fails.

    Args:
        root: Folder of the workspace.
        address: Where OpenLineage events go; ``None`` sends none.
    """
    return None if address is None else _Teller(root, address)


@dataclass(slots=True, eq=False)
class _Teller:
    """Opens the listener at the first news, and says once that it cannot be reached."""

    root: Path
    address: str
    listener: Listener | None = None
    complained: bool = False

    def __call__(self, news: RunNews) -> None:
        try:
            if self.listener is None:
                self.listener = open_listener("openlineage", self.address, self.root)
            self.listener(news)
        except Exception as error:  # noqa: BLE001 — a listener's fault never fails a contest
            if not self.complained:
                _LOG.warning("%s The contest is not affected.", _in_words(error))
            self.complained = True


def _in_words(error: Exception) -> str:
    """An error for the outside; what others put into theirs may be secret."""
    return str(error) if isinstance(error, MilepostError) else f"{type(error).__name__}."


@contextmanager
def announced(
    context: Context, task: Task, contest: ContestId, started: datetime
) -> Generator[None]:
    """Tell outside that a contest begins, and at the end how it ended.

    A contest that is taken up again begins again under the same id.

    Args:
        context: The workspace.
        task: The task.
        contest: Id of the contest, known before it begins.
        started: When it began, UTC; for one that is taken up again, when it first did.
    """
    send = context.tell
    if send is None:
        yield
        return

    def tell(state: RunState, error: str | None = None, graph: Lineage | None = None) -> None:
        send(
            RunNews(
                state=state,
                at=context.clock(),
                workspace=str(context.root),
                task=task.name,
                contest=contest,
                files=(
                    *task.data.example_files,
                    *task.data.test_files,
                    *task.data.unlabeled_files,
                ),
                started=started,
                lineage=graph,
                error=error,
            )
        )

    tell("START")
    try:
        yield
    except Exception as error:
        tell("FAIL", _in_words(error))
        raise
    except BaseException:
        # Somebody interrupted or cancelled it.
        tell("ABORT")
        raise
    try:
        graph = lineages.lineage_of_contest(context, context.ledger.contest(contest))
    except MilepostError as error:
        # The contest is stored: what cannot be read now does not undo it.
        _LOG.warning("%s The contest is not affected.", error)
        graph = None
    tell("COMPLETE", graph=graph)


def send_lineage(context: Context, lineage: Lineage, address: str, root: Path) -> int:
    """Send the events of all contests in a lineage; returns how many events there were.

    Raises:
        MilepostError: If the address cannot be used or reached.
    """
    listener = open_listener("openlineage", address, root)
    sent = 0
    for identity in lineages.contests_of(lineage.nodes):
        contest = context.ledger.contest(identity)
        graph = lineages.lineage_of_contest(context, contest)
        files = tuple(node.name for node in graph.of_kind("file"))
        ended = contest.started + timedelta(seconds=contest.seconds)
        states: tuple[tuple[RunState, datetime], ...] = (
            ("START", contest.started),
            ("COMPLETE", ended),
        )
        for state, at in states:
            listener(
                RunNews(
                    state=state,
                    at=at,
                    workspace=str(context.root),
                    task=contest.task,
                    contest=contest.id,
                    files=files,
                    started=contest.started,
                    lineage=graph if state == "COMPLETE" else None,
                )
            )
            sent += 1
    return sent
