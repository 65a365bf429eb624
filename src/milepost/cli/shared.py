"""What all commands share: the workspace option, consoles, progress, JSON, errors."""

import sys
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from milepost.entities.errors import InputError, MilepostError, TaskFileError

if TYPE_CHECKING:
    from milepost.workspace import Workspace

LINE_S = 15.0
"""Seconds between two lines of progress where nobody sees a bar."""

Events = Callable[[str, str, float], None]
"""Called with (task, what is being done, share of it done in [0, 1])."""

GIVEN_WORKSPACE: ContextVar[Path | None] = ContextVar("GIVEN_WORKSPACE", default=None)
"""The workspace named before the command, as in ``milepost -w DIR tasks``."""

WorkspaceOption = Annotated[
    Path | None,
    typer.Option(
        "-w",
        "--workspace",
        metavar="DIR",
        help="Workspace folder. Default: MILEPOST_WORKSPACE, else the nearest milepost.toml.",
        show_default=False,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]
TaskArgument = Annotated[str, typer.Argument(help="Name of a task.")]
ReleaseOption = Annotated[
    int | None,
    typer.Option("--release", metavar="N", help="Release to use. Default: production's."),
]
CandidateOption = Annotated[
    str | None,
    typer.Option("--candidate", metavar="ID", help="Candidate to try, released or not."),
]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why, for the audit log.")]
WhereOption = Annotated[
    str | None,
    typer.Option(
        "--where",
        metavar="SQL",
        help="Only rows for which this SQL over the columns of the file holds (DuckDB).",
    ),
]


def open_workspace(workspace: Path | None) -> "Workspace":
    """The workspace named after the command, else before it, else found by itself."""
    # Here, so that --help and --version need not wait for it.
    from milepost.workspace import Workspace

    return Workspace.open(workspace or GIVEN_WORKSPACE.get())


def stdout() -> Console:
    """Console for results; plain and 80 columns wide where nobody watches."""
    width = None if sys.stdout.isatty() else 80
    return Console(width=width, highlight=False, soft_wrap=False)


def print_json(value: object) -> None:
    """One JSON document on standard output."""
    text = msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    sys.stdout.write(text + "\n")


def complain(error: MilepostError) -> None:
    """One clear paragraph on standard error."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    if isinstance(error, TaskFileError):
        console.print(Text("error: ", "bold red") + Text(f"{_count(len(error.problems))} found."))
        for problem in error.problems:
            console.print(Text(f"  {problem}"))
        return
    console.print(Text("error: ", "bold red") + Text(str(error)))


def warn(text: str) -> None:
    """One line on standard error that must not be overlooked."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print(Text("warning: ", "bold yellow") + Text(text))


def _count(n: int) -> str:
    return "one problem was" if n == 1 else f"{n} problems were"


@contextmanager
def progress() -> Generator[Events]:
    """A progress line on standard error while work runs.

    Where standard error is no terminal, such as a log, it gets a line every ``LINE_S`` instead, of
    what is being done then.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        with _lines() as on_line:
            yield on_line
        return
    bar = Progress(
        TextColumn("[bold]{task.fields[name]}[/]"),
        BarColumn(bar_width=20),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    )
    rows: dict[str, TaskID] = {}

    def on_event(task: str, what: str, share: float) -> None:
        if task not in rows:
            for row in rows.values():
                bar.update(row, visible=False)
            rows[task] = bar.add_task("", name=task, total=1.0)
        bar.update(rows[task], description=what, completed=share)

    with bar:
        yield on_event


@contextmanager
def _lines() -> Generator[Events]:
    """A line every ``LINE_S`` from a thread of its own: the next event may be minutes away."""
    ended, told = threading.Event(), ""

    def on_event(task: str, what: str, share: float) -> None:
        nonlocal told
        told = f"{task}: {what} ({share:.0%})\n"

    def tell() -> None:
        said = ""
        while not ended.wait(LINE_S):
            now = told
            if now != said:
                said = now
                sys.stderr.write(now)
                sys.stderr.flush()

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        yield on_event
    finally:
        ended.set()
        teller.join()


def seconds(text: str | None, where: str = "--budget", *, zero: bool = False) -> float | None:
    """Seconds in a duration such as ``90``, ``60s``, ``2m``, ``1h`` or ``30d``; or ``None``.

    Raises:
        InputError: If it is not a positive duration; 0 is one only with ``zero``.
    """
    if text is None:
        return None
    units = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
    unit = units.get(text[-1:])
    number = text[:-1] if unit else text
    try:
        value = float(number) * (unit or 1.0)
    except ValueError:
        value = -1.0
    if not 0 < value < float("inf") and not (zero and value == 0):
        raise InputError(
            f"{text!r} is not a duration.",
            where=where,
            advice="Write seconds, or a number with s, m, h or d, such as 60s.",
        )
    return value


def settings(texts: Sequence[str]) -> dict[str, dict[str, object]]:
    """Parameters by strategy from words such as ``head_logistic.c=3``.

    A value is JSON, such as ``3``, ``true`` or ``[0.5, 2]``; what is none is text.

    Raises:
        InputError: If one is not of that form, or is given twice.
    """
    found: dict[str, dict[str, object]] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        strategy, dot, parameter = name.partition(".")
        if not (equals and dot and strategy and parameter and value):
            raise InputError(
                f"{text!r} sets nothing.",
                where="--set",
                advice="Write STRATEGY.PARAMETER=VALUE, such as head_logistic.c=3.",
            )
        if parameter in found.setdefault(strategy, {}):
            raise InputError(f"{name} is set twice.", where="--set", advice="Set it once.")
        try:
            found[strategy][parameter] = msgspec.json.decode(value)
        except msgspec.DecodeError:
            found[strategy][parameter] = value
    return found


def day_of(text: str | None, where: str) -> date | None:
    """A day such as ``2026-11-01``; ``None`` of nothing.

    Raises:
        InputError: If it is no day.
    """
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise InputError(
            f"{text!r} is no day.", where=where, advice="Write it like 2026-11-01."
        ) from None
