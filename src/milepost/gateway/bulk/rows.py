"""Bytes as they arrive to rows: one line, or one CSV record, is one row with a number.

What is wrong with one row is said of that row; the others go on.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from milepost._base.untrusted import strict_json
from milepost.entities.errors import MilepostError, nearest
from milepost.entities.inputs import MARK, Composition
from milepost.gateway.errors import RefusedError
from milepost.gateway.reading import why_not_json


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Row:
    """One row of what was sent.

    Attributes:
        number: Line or record on which it stands, from 1; a CSV's header counts.
        text: What is asked about; ``None`` where that cannot be read.
        data: Its fields by name, to be given back.
        error: Why it cannot be asked.
    """

    number: int
    text: str | None = None
    data: dict[str, Any]
    error: MilepostError | None = None


@dataclass(frozen=True, slots=True)
class Several:
    """Fields of a row that are asked about together.

    Attributes:
        columns: Field of each input by the input's name.
        how: How they become one text.
        alone: Field that may be asked about without the others, of a task that ranks.
    """

    columns: Mapping[str, str]
    how: Composition
    alone: str | None = None

    def bare(self, data: Mapping[str, Any]) -> bool:
        """Whether a row is asked about the one field alone."""
        others = (each for each in self.columns.values() if each != self.alone)
        return self.alone in data and not any(each in data for each in others)


Column = str | Several
"""The field of a row that is asked about, or several."""

Rows = AsyncIterator[Sequence[Row]]
"""Rows as they arrive, some at a time."""

_decode_text = msgspec.json.Decoder(str).decode


async def lines(chunks: AsyncIterator[bytes], most: int) -> AsyncIterator[list[bytes | None]]:
    """Lines without their ends, as they arrive; ``None`` for one of more than ``most`` bytes.

    A line that is too long is skipped to its end, so that memory stays bounded.
    """
    rest = bytearray()
    skipping = False
    async for chunk in chunks:
        found: list[bytes | None] = []
        *whole, last = chunk.split(b"\n")
        for piece in whole:
            if skipping or len(rest) + len(piece) > most:
                found.append(None)
            else:
                found.append(bytes(rest + piece) if rest else piece)
            rest.clear()
            skipping = False
        if not skipping:
            rest += last
            if len(rest) > most:
                skipping = True
                rest.clear()
        if found:
            yield found
    if skipping:
        yield [None]
    elif rest:
        yield [bytes(rest)]


def longest_line(most_chars: int) -> int:
    """Bytes that a JSON line may have: any text, with each character escaped as two units."""
    return 12 * most_chars + 4096


async def json_rows(chunks: AsyncIterator[bytes], column: Column, most_chars: int) -> Rows:
    """Rows of NDJSON: a text, or an object whose field ``column`` is the text.

    Args:
        chunks: The bytes.
        column: Name of the field; several of a task with several inputs, for which no text is
            enough, unless one may be asked about alone.
        most_chars: Longest text, in characters.
    """
    number = 0
    most = longest_line(most_chars)
    async for some in lines(chunks, most):
        found: list[Row] = []
        for line in some:
            number += 1
            if line is None:
                found.append(Row(number=number, data={}, error=_line_too_long(most)))
            elif line and not line.isspace():
                found.append(_json_row(number, line, column, most_chars))
        if found:
            yield found


def _json_row(number: int, line: bytes, column: Column, most_chars: int) -> Row:
    try:
        if line.lstrip()[:1] == b'"':
            text = _decode_text(line)
            if isinstance(column, Several) and column.alone is not None:
                row = field_row(number, {column.alone: text}, column)
                return checked(row, most_chars)
            if isinstance(column, Several):
                named = ", ".join(column.columns.values())
                what = f"this is one text, and the task has the inputs {named}."
                said = _wrong("wrong_line", what, "Send an object with these fields.")
                return Row(number=number, data={}, error=said)
            return checked(Row(number=number, text=text, data={column: text}), most_chars)
        given = strict_json(line)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        what = f"this line is not usable JSON: {why_not_json(line, error)}."
        return Row(number=number, data={}, error=_wrong("not_json", what, "See RFC 8259."))
    if not isinstance(given, dict):
        said = _wrong("wrong_line", "a line must be a text in quotes or an object.")
        return Row(number=number, data={}, error=said)
    return checked(field_row(number, given, column), most_chars)


def field_row(number: int, data: dict[str, Any], column: Column) -> Row:
    """A row of named values, asked about one of them, or about several."""
    if isinstance(column, Several) and column.alone is not None and column.bare(data):
        row = field_row(number, data, column.alone)
        # Without a mark it is told from a pair afterwards.
        return row if row.text is None else replace(row, text=row.text.replace(MARK, " "))
    if isinstance(column, Several):
        own = [field_row(number, data, each) for each in column.columns.values()]
        error = next((each.error for each in own if each.error is not None), None)
        if error is not None:
            return Row(number=number, data=data, error=error)
        texts = [each.text or "" for each in own]
        # A template has letters of its own: what is empty is empty before it.
        whole = column.how.text(dict(zip(column.columns, texts, strict=True)))
        return Row(number=number, text=whole if any(map(str.strip, texts)) else "", data=data)
    text = data.get(column)
    if isinstance(text, str):
        return Row(number=number, text=text, data=data)
    if column in data:
        said = _wrong("wrong_row", f"the field {column!r} is no text.")
        return Row(number=number, data=data, error=said)
    near = next((name for name in data if nearest(name, [column])), None)
    instead = f", but a field {near[:100]!r}" if near else ""
    advice = (f"Did you mean {column!r}? " if near else "") + "Send a text, or this field."
    said = _wrong("wrong_row", f"there is no field {column!r}{instead}.", advice)
    return Row(number=number, data=data, error=said)


def checked(row: Row, most_chars: int) -> Row:
    """The row, or the same with the error that its text is empty or too long."""
    if row.text is None:
        return row
    if not row.text or row.text.isspace():
        error = _wrong("empty_input", "this row's input is empty.")
        return Row(number=row.number, data=row.data, error=error)
    if len(row.text) <= most_chars:
        return row
    what = f"an input may have at most {most_chars:,} characters; this has {len(row.text):,}."
    return Row(number=row.number, data=row.data, error=_wrong("input_too_long", what))


def _line_too_long(most: int) -> RefusedError:
    return _wrong("line_too_long", f"a line may have at most {most:,} bytes.")


def _wrong(code: str, what: str, advice: str | None = None) -> RefusedError:
    return RefusedError(422, code, what, advice=advice)


async def bounded(chunks: AsyncIterator[bytes], most: int) -> AsyncIterator[bytes]:
    """The same bytes, of which there may be ``most``.

    Raises:
        RefusedError: 413 once there are more.
    """
    seen = 0
    async for chunk in chunks:
        seen += len(chunk)
        if seen > most:
            raise too_large(most)
        yield chunk


def too_large(most: int) -> RefusedError:
    """That a file is too large."""
    return RefusedError(
        413,
        "body_too_large",
        f"a file may have at most {most:,} bytes.",
        advice="Split it, or stream it as NDJSON to …/predict/stream, which takes any length.",
    )
