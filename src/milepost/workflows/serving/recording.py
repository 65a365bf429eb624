"""Where a workspace's answers are recorded, as ``milepost.toml`` says, and by what."""

from contextlib import closing
from functools import partial

from milepost.entities.errors import UnknownNameError
from milepost.entities.serving import Trace, TraceFilter, passed_upstream
from milepost.serving.recording.parquet import ParquetSink
from milepost.serving.recording.recorder import Recorder
from milepost.serving.recording.sinks import LedgerSink, TraceSink
from milepost.storage.files.digest_files import is_digest
from milepost.workflows.context import Context

LEDGER = "ledger"
"""What ``traces`` in ``milepost.toml`` says for the ledger's own table."""

_FOLDER = (".milepost", "recording")
_ID_LENGTH = 33


def open_sink(context: Context) -> TraceSink:
    """The store of a workspace's traces, to read or to write; whoever opens it closes it.

    Raises:
        WorkspaceError: If the address cannot be used.
        StorageError: If a server that is asked at once does not answer.
    """
    place = context.configuration.traces
    if place == LEDGER:
        return LedgerSink(context.ledger)
    return ParquetSink(
        place if "://" in place else context.root / place,
        context.root.joinpath(*_FOLDER),
        clock=context.clock,
    )


def open_recorder(context: Context) -> Recorder:
    """A recorder for a process that serves. What an earlier one lost goes to the audit log.

    Raises:
        WorkspaceError: If the store cannot be used, or its folder not be written.
        StorageError: If it does not answer.
    """
    return Recorder(
        open_sink(context),
        flush_seconds=context.settings.flush_seconds,
        folder=context.root.joinpath(*_FOLDER),
        on_loss=partial(_note, context),
    )


def traces(
    context: Context,
    task: str | None,
    *,
    limit: int,
    before: str | None = None,
    only: TraceFilter | None = None,
) -> list[Trace]:
    """Recorded answers of a task, or of all, newest first.

    Raises:
        UnknownNameError: If there is no such task.
    """
    require_task(context, task)
    with closing(open_sink(context)) as sink:
        return list(sink.traces(task, limit=limit, before=before, only=only))


def trace(context: Context, id: str) -> Trace:  # noqa: A002 - the record's own word
    """One recorded answer.

    Raises:
        UnknownNameError: If there is none.
    """
    with closing(open_sink(context)) as sink:
        return found_trace(sink, id)


def require_task(context: Context, name: str | None) -> None:
    """Refuse the name of a task that the ledger does not know; ``None`` names none.

    ``upstream/NAME`` stands for what clients asked a language model themselves, also of one that
    was removed.

    Raises:
        UnknownNameError: With the nearest one.
    """
    if name is not None and passed_upstream(name) is not None:
        return
    if name is not None and name not in (known := context.ledger.tasks()):
        raise UnknownNameError("task", name, known)


def found_trace(sink: TraceSink, id: str) -> Trace:  # noqa: A002 - the record's own word
    """A trace by its id.

    Raises:
        UnknownNameError: If there is none.
    """
    trace = sink.trace(id) if id[:1] == "t" and is_digest(id[1:], _ID_LENGTH - 1) else None
    if trace is None:
        error = UnknownNameError("trace", id[: 2 * _ID_LENGTH], ())
        error.advice = (
            "Its id is `t` and 32 hex digits. It may have expired, may not be among the share of "
            "the answers that is recorded, or was answered a moment ago: try again in a second."
        )
        raise error
    return trace


def _note(context: Context, answers: int, why: str) -> None:
    context.ledger.record_loss(answers, reason=why, actor=context.actor)
