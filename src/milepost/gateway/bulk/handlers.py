"""The routes for many inputs: lines as a stream, and files."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from milepost.entities.errors import InputError
from milepost.entities.serving import Answers, ServedTask
from milepost.gateway.bulk.delimited import CsvSource
from milepost.gateway.bulk.pipeline import BATCH_ROWS, AnsweredRow, AskThese, answered
from milepost.gateway.bulk.rows import (
    Column,
    Row,
    Rows,
    Several,
    bounded,
    checked,
    field_row,
    json_rows,
    too_large,
)
from milepost.gateway.bulk.sinks import added, answer_line, columns, csv_head, csv_row, row_line
from milepost.gateway.call import Call, Reply
from milepost.gateway.errors import RefusedError
from milepost.gateway.ranking import MOST_FOUND, query_name, ranked
from milepost.gateway.routes import Route
from milepost.workflows.serving.parquet import read_parquet, rows_of, write_parquet

Format = Literal["csv", "jsonl", "parquet"]

TYPES: dict[str, Format] = {
    "text/csv": "csv",
    "application/csv": "csv",
    "application/x-ndjson": "jsonl",
    "application/ndjson": "jsonl",
    "application/jsonl": "jsonl",
    "application/x-jsonlines": "jsonl",
    "application/vnd.apache.parquet": "parquet",
    "application/x-parquet": "parquet",
}
"""Formats by media type; the first of each is the one that is answered."""

NDJSON = b"application/x-ndjson"
PARQUET = b"application/vnd.apache.parquet"
FILES = ("text/csv", NDJSON.decode(), PARQUET.decode())
_ANSWERED = {"csv": b"text/csv; charset=utf-8", "jsonl": NDJSON, "parquet": PARQUET}


async def stream(call: Call) -> Reply:
    """Answers lines in order while they are still coming in."""
    task = call.gate.task(call.caller, call.arguments["task"])
    ask = _asking(call, task)
    await call.welcome()
    rows = json_rows(call.chunks(), _input(task), call.gate.most_chars)
    pieces = _lines(rows, ask, _together(call, task))
    return Reply(body=_while_there(pieces), content_type=NDJSON)


def _together(call: Call, task: ServedTask) -> int:
    """Rows that are asked about together: of bare queries so many as have room with candidates."""
    if query_name(task) is None:
        return BATCH_ROWS
    return max(1, min(BATCH_ROWS, call.gate.limits.inputs // MOST_FOUND))


async def _lines(rows: Rows, ask: AskThese, together: int) -> AsyncIterator[bytes]:
    async for some in answered(rows, ask, together):
        yield b"".join(map(answer_line, some))


async def _while_there(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same pieces; a client that went away in the middle ends them, which is no error."""
    try:
        async for piece in pieces:
            yield piece
    except RefusedError as error:
        if error.code != "client_gone":
            raise


def _asking(call: Call, task: ServedTask) -> AskThese:
    """How the rows of a request are asked about; what its headers say holds for each."""
    first = call.ask(task.name, (), top=_top(call), protocol="batch")
    patience = call.deadline - call.began

    async def ask(texts: tuple[str, ...]) -> Answers:
        these = replace(first, texts=texts, deadline=time.monotonic() + patience)
        if task.inputs is not None and query_name(task) is not None:
            return await ranked(call, these, task.inputs)
        return await call.gate.answer(call.caller, these)

    return ask


def _top(call: Call) -> int | None:
    given = call.query.get("top_k")
    if given is None:
        return None
    if not (given.isascii() and given.isdigit() and 1 <= len(given) <= 6 and int(given)):
        raise RefusedError(
            422, "wrong_value", "top_k is not a number from 1 to 999999.", param="top_k"
        )
    return int(given)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class _File:
    """A file that is read.

    Attributes:
        rows: Its rows.
        added: Columns that are added to each.
        together: Rows that are asked about together.
        names: Its columns, where they are known before the rows.
        delimiter: Between its cells.
        table: All of it, of Parquet.
    """

    rows: Rows
    added: tuple[str, ...]
    together: int
    names: tuple[str, ...] | None = None
    delimiter: str = ","
    table: Any = None


async def batch(call: Call) -> Reply:
    """Answers every row of a file; CSV and NDJSON while they are still coming in."""
    task = call.gate.task(call.caller, call.arguments["task"])
    given, charset = _given(call)
    wanted = _wanted(call, given)
    most = call.gate.limits.batch_bytes
    length = call.header(b"content-length")
    if length is not None and int(length) > most:
        raise too_large(most)
    ask = _asking(call, task)
    await call.welcome()
    file = await _open(call, given, charset, task)
    if wanted == "jsonl":
        pieces = _while_there(_json(file, ask))
    elif wanted == "csv" and file.names is not None:
        pieces = _while_there(_csv(file, file.names, ask))
    else:
        found = [each async for some in answered(file.rows, ask, file.together) for each in some]
        pieces = _pieces(await asyncio.to_thread(_whole, wanted, file, found))
    return Reply(body=pieces, content_type=_ANSWERED[wanted])


def _given(call: Call) -> tuple[Format, str]:
    """Format and encoding of the body."""
    media, _, parameters = (call.header(b"content-type") or "").partition(";")
    found = TYPES.get(media.strip().lower())
    if found is None:
        raise RefusedError(
            415,
            "wrong_type",
            f"files of type {media.strip()[:60]!r} are not read.",
            param="Content-Type",
            advice="Send text/csv, application/x-ndjson or application/vnd.apache.parquet.",
        )
    charset = "utf-8"
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset":
            charset = value.strip().strip('"').lower()
    return found, charset


def _wanted(call: Call, given: Format) -> Format:
    """The first format of ``Accept`` that can be written; without one that of the body."""
    accept = call.header(b"accept") or "*/*"
    types = [each.partition(";")[0].strip().lower() for each in accept.split(",")]
    for each in types:
        if each in TYPES:
            return TYPES[each]
    if any(each in ("*/*", "text/*", "application/*", "") for each in types):
        return given
    raise RefusedError(
        406,
        "wrong_type",
        f"answers of type {accept[:60]!r} are not written.",
        param="Accept",
        advice="Accept text/csv, application/x-ndjson or application/vnd.apache.parquet.",
    )


async def _open(call: Call, given: Format, charset: str, task: ServedTask) -> _File:
    chars = call.gate.most_chars
    most = call.gate.limits.batch_bytes
    chunks = bounded(call.chunks(), most)
    wanted, together = call.query.get("column"), _together(call, task)
    if given == "csv":
        source = CsvSource(chunks, charset, chars)
        names = await source.open([wanted] if wanted else [*_names(task), "text"])
        column = _column(wanted, names, task)
        return _File(
            rows=source.rows(column),
            added=_added(task, column, names),
            together=together,
            names=names,
            # A file of one column has no delimiter; its answers do.
            delimiter=source.delimiter if names[1:] else ",",
        )
    if given == "jsonl":
        _check_wanted(wanted, task)
        column = _input(task, wanted)
        return _File(
            rows=json_rows(chunks, column, chars),
            added=_added(task, column, None),
            together=together,
        )
    body = b"".join([chunk async for chunk in chunks])
    table = await asyncio.to_thread(read_parquet, body, most)
    names = tuple(table.column_names)
    column = _column(wanted, names, task)
    found = await asyncio.to_thread(rows_of, table)
    rows = (checked(field_row(i, row, column), chars) for i, row in enumerate(found, start=1))
    return _File(
        rows=_some(rows),
        added=_added(task, column, names),
        together=together,
        names=names,
        table=table,
    )


def _added(task: ServedTask, column: Column, names: Sequence[str] | None) -> tuple[str, ...]:
    """The columns that are added; those of bare queries where there may be any."""
    bare = (
        isinstance(column, Several)
        and column.alone is not None
        and (names is None or column.bare(dict.fromkeys(names)))
    )
    return added(task.kind, bare=bare)


async def _some(rows: Iterable[Row]) -> Rows:
    for row in rows:
        yield (row,)


def _names(task: ServedTask) -> tuple[str, ...]:
    """Names of the task's inputs."""
    return (task.input,) if task.inputs is None else task.inputs.names


def _input(task: ServedTask, wanted: str | None = None) -> Column:
    """The fields that are asked about; of queries, or of one input, the one that is wanted."""
    if task.inputs is None:
        return wanted or task.input
    columns, query = {name: name for name in task.inputs.names}, query_name(task)
    if query is None:
        return Several(columns, task.inputs)
    columns[query] = wanted or query
    return Several(columns, task.inputs, columns[query])


def _check_wanted(wanted: str | None, task: ServedTask) -> None:
    """Refuse one column for several inputs, unless it is that of bare queries.

    Raises:
        RefusedError: 422, naming the inputs.
    """
    if wanted is not None and task.inputs is not None and query_name(task) is None:
        raise RefusedError(
            422,
            "wrong_value",
            f"the task {task.name!r} has the inputs {', '.join(task.inputs.names)}, not one.",
            param="column",
            advice="Leave it out, and call the columns as the inputs are called.",
        )


def _column(wanted: str | None, names: Sequence[str], task: ServedTask) -> Column:
    """The column that is asked about, or those of several inputs.

    Raises:
        RefusedError: 422 if one is not there.
    """
    _check_wanted(wanted, task)
    if task.inputs is not None:
        column = _input(task, wanted)
        assert isinstance(column, Several)  # noqa: S101 - of several inputs, for the type checker
        missing = next((name for name in column.columns.values() if name not in names), None)
        if missing is not None and not column.bare(dict.fromkeys(names)):
            raise _unknown_column(missing, names, "Its columns must be called as the inputs are.")
        return column
    tried = [wanted] if wanted else [task.input, "text"]
    found = next((name for name in tried if name in names), None)
    if found is None and wanted is None and len(names) == 1:
        found = names[0]
    if found is None:
        raise _unknown_column(tried[0], names, "Name one: ?column=NAME.")
    return found


def _unknown_column(name: str, names: Sequence[str], advice: str) -> RefusedError:
    shown = ", ".join(each[:40] for each in names[:20])
    return RefusedError(
        422,
        "unknown_column",
        f"there is no column {name[:100]!r}.",
        param="column",
        advice=f"The file has {shown}. {advice}",
    )


async def _json(file: _File, ask: AskThese) -> AsyncIterator[bytes]:
    async for some in answered(file.rows, ask, file.together):
        yield b"".join(row_line(each, file.added) for each in some)


async def _csv(file: _File, names: Sequence[str], ask: AskThese) -> AsyncIterator[bytes]:
    yield csv_head(names, file.added, file.delimiter)
    async for some in answered(file.rows, ask, file.together):
        yield b"".join(csv_row(each, names, file.added, file.delimiter) for each in some)


def _whole(wanted: Format, file: _File, found: Sequence[AnsweredRow]) -> bytes:
    """A file that can only be written once all rows are known."""
    rows = [each.row.data for each in found]
    if wanted == "csv":
        names = tuple(dict.fromkeys(name for row in rows for name in row))
        body = (csv_row(each, names, file.added, ",") for each in found)
        return b"".join((csv_head(names, file.added, ","), *body))
    if not found:
        raise InputError("there is no row.", advice="Send at least one.")
    told = [columns(each, file.added) for each in found]
    by_name = {name: [row[name] for row in told] for name in file.added}
    return write_parquet(rows, by_name, file.table)


_PIECE = 65_536


async def _pieces(body: bytes) -> AsyncIterator[bytes]:
    for at in range(0, len(body), _PIECE):
        yield body[at : at + _PIECE]


_HEADERS = {
    "X-Milepost-Release": "Number of the release that must answer.",
    "X-Milepost-Subject": "Who the answers are for; the same subject gets the same release.",
    "X-Request-Timeout": "Seconds for which each row waits for its answer at most.",
    "X-Request-ID": "Id of the request; echoed, and kept with the traces.",
    "traceparent": "Trace that the request belongs to (W3C Trace Context).",
}

ROUTES = (
    Route(
        method="POST",
        path="/v1/tasks/{task}/predict/stream",
        handler=stream,
        right="ask",
        summary="Ask a task about a stream of lines (NDJSON), answered in order as they come.",
        tag="bulk",
        content_type=NDJSON.decode(),
        body_types=(NDJSON.decode(),),
        headers=_HEADERS,
        query={
            "top_k": "Most labels in probabilities, or candidates of a bare query; left out, 5."
        },
    ),
    Route(
        method="POST",
        path="/v1/tasks/{task}/batch",
        handler=batch,
        right="ask",
        summary="Ask a task about every row of a CSV, NDJSON or Parquet file.",
        tag="bulk",
        content_type="text/csv",
        body_types=FILES,
        answer_types=FILES,
        headers=_HEADERS,
        query={"column": "Column that is asked about; left out, the task's inputs."},
    ),
)
"""The rows for many inputs in the table of routes."""
