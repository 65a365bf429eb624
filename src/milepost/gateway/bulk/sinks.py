"""Answered rows to bytes: as lines, as CSV, as rows with further columns."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from milepost.entities.kinds import KINDS, Kind
from milepost.entities.prediction import ANSWERS
from milepost.entities.ranking import Placed
from milepost.entities.serving import Verdict
from milepost.gateway.bulk.delimited import csv_line
from milepost.gateway.bulk.pipeline import AnsweredRow
from milepost.gateway.errors import ErrorDetail, refusal

_OTHERS = ("confidence", "abstained", "rung", "tripped", "release", "trace_id", "error")


def added(kind: Kind, *, bare: bool = False) -> tuple[str, ...]:
    """Columns that are added to the rows of a file: the answer first, by what the kind calls it.

    A column of the file that has one of these names is kept as ``input_NAME``.

    Args:
        kind: Kind of the task.
        bare: Whether there may be bare queries, whose answer is a candidate and those behind it.
    """
    answer = ANSWERS[KINDS[kind].link].column
    return ("label", answer, "ranking", *_OTHERS) if bare else (answer, *_OTHERS)


class AnswerLine(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to one line.

    Attributes:
        line: Number of the line, from 1.
        id: The field ``id`` of the line, where it has one.
        release: Number of the release that answered.
        label: Most probable label; ``None`` where the answer is withheld or blocked.
        confidence: Its calibrated probability; ``None`` where the answer states none.
        probabilities: The most probable labels, most probable first.
        abstained: Whether it was withheld because it was not sure enough.
        rung: What answered.
        guards: Verdict of each guard by its task.
        trace_id: Under which the answer is recorded.
        labels: All labels that hold, of a task where any number may; left out otherwise.
        score: The number, of a task that scores; left out otherwise.
        ranking: Candidates for a bare query, best first; left out otherwise.
    """

    line: int
    id: str | int | msgspec.UnsetType | None = msgspec.UNSET
    release: int
    label: str | None
    confidence: float | None
    probabilities: dict[str, float]
    abstained: bool
    rung: str
    guards: dict[str, Verdict]
    trace_id: str
    labels: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET
    score: float | msgspec.UnsetType = msgspec.UNSET
    ranking: tuple[Placed, ...] | msgspec.UnsetType = msgspec.UNSET


class ErrorLine(msgspec.Struct, frozen=True, kw_only=True):
    """Why one line has no answer; the others go on.

    Attributes:
        line: Number of the line, from 1.
        id: The field ``id`` of the line, where it has one.
        error: As in every answer that is an error.
    """

    line: int
    id: str | int | msgspec.UnsetType | None = msgspec.UNSET
    error: ErrorDetail


_encode = msgspec.json.Encoder(enc_hook=str).encode


def answer_line(each: AnsweredRow) -> bytes:
    """A row as a line of its answer alone."""
    given = each.row.data.get("id", msgspec.UNSET)
    own = given if given is None or isinstance(given, str | int) else msgspec.UNSET
    line: AnswerLine | ErrorLine
    if each.answer is None or each.release is None:
        line = ErrorLine(line=each.row.number, id=own, error=_detail(each))
    else:
        found = each.answer
        line = AnswerLine(
            line=each.row.number,
            id=own,
            release=each.release,
            label=found.label,
            confidence=found.confidence,
            probabilities=found.probabilities,
            abstained=found.abstained,
            rung=found.rung,
            guards=found.guards,
            trace_id=found.trace_id,
            labels=found.labels,
            score=found.score,
            ranking=found.ranking,
        )
    return _encode(line) + b"\n"


def _detail(each: AnsweredRow) -> ErrorDetail:
    return refusal(each.error if each.error is not None else RuntimeError()).detail


def columns(each: AnsweredRow, names: Sequence[str]) -> dict[str, Any]:
    """The columns that a row gets, in the order of ``names``, which ``added`` gave."""
    if each.answer is None:
        detail = _detail(each)
        said = f"{detail.message} {detail.hint}" if detail.hint else detail.message
        return dict.fromkeys(names[:-1]) | {"error": said}
    found = each.answer
    tripped = " ".join(task for task, said in found.guards.items() if said.tripped) or None
    told = (
        found.confidence,
        found.abstained,
        found.rung,
        tripped,
        each.release,
        found.trace_id,
        None,
    )
    given = {name: getattr(found, name) for name in names[: -len(_OTHERS)]}
    # A guard may have stopped an answer of any kind.
    answer = {n: None if v is msgspec.UNSET else msgspec.to_builtins(v) for n, v in given.items()}
    return answer | dict(zip(_OTHERS, told, strict=True))


def _kept(data: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {f"input_{name}" if name in names else name: data[name] for name in data}


def row_line(each: AnsweredRow, names: Sequence[str]) -> bytes:
    """A row with its answer as a JSON object."""
    return _encode({**_kept(each.row.data, names), **columns(each, names)}) + b"\n"


def csv_head(own: Sequence[str], names: Sequence[str], delimiter: str) -> bytes:
    """The header of a CSV file of rows with these columns of their own and those added."""
    return csv_line([*_kept(dict.fromkeys(own), names), *names], delimiter).encode()


def csv_row(each: AnsweredRow, own: Sequence[str], names: Sequence[str], delimiter: str) -> bytes:
    """A row with its answer as a CSV record; what is not there is an empty cell."""
    data = each.row.data
    cells = [_cell(data.get(name)) for name in own]
    return csv_line([*cells, *map(_cell, columns(each, names).values())], delimiter).encode()


def _cell(value: object) -> object:
    """A value as a cell: booleans as JSON writes them, nested ones as JSON."""
    if value is None or (isinstance(value, str | int | float) and not isinstance(value, bool)):
        return value
    return value if isinstance(value, str) else _encode(value).decode().strip('"')
