"""Answers to texts and dataframes in memory, and to files of any length."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from milepost.data.clean import Kind, Plain, as_text, plain
from milepost.data.composing import inputs_in
from milepost.data.load import Table
from milepost.data.streaming.stream import Stream, as_kind, open_stream
from milepost.entities.errors import DataError
from milepost.entities.example import Examples, Finding
from milepost.entities.inputs import Composition
from milepost.entities.kinds import Kind as TaskKind
from milepost.entities.prediction import Predictions, set_threshold
from milepost.entities.task import Task
from milepost.evaluation.slices import where_mask
from milepost.models.images.store import Holding
from milepost.predictors.exported import as_released
from milepost.predictors.given import texts_given
from milepost.predictors.preparation import Preparation
from milepost.predictors.preparation.preparing import StepError, require_something
from milepost.workflows.answering.answered import Answered, Which
from milepost.workflows.answering.bulk import KEPT_TEXTS, in_parts, opened
from milepost.workflows.answering.writing import output_format, written
from milepost.workflows.context import Context
from milepost.workflows.release.bundles import Answerer, find_answerer
from milepost.workflows.tasks.current import current_task


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A file of answers.

    Attributes:
        path: Where it is; ``None`` for a file that was open.
        rows: Rows in it.
        findings: What had to be assumed or left out to read the input.
    """

    path: Path | None
    rows: int
    findings: tuple[Finding, ...]


def answer_texts(context: Context, name: str, inputs: object, which: Which) -> Answered:
    """Answer texts, or the rows of a dataframe.

    Args:
        context: The workspace.
        name: Name of the task.
        inputs: Texts; or a column or dataframe of pandas, polars or pyarrow.
        which: What answers.

    Raises:
        InputError: If there is no such task, release or candidate, or a text is missing, empty or
            no string.
    """
    task = current_task(context, name)
    holding = Holding(context.images)  # until they are answered
    texts = _texts_of(inputs, task.composition, holding)
    if texts is None:
        return replace(answer_table(context, name, inputs, which, None), columns={})
    answerer = _answerer(context, name, which)
    prepared = context.preparation(answerer.manifest.prepare)(texts)
    require_something(texts, prepared)
    return _answered(context, name, answerer, (prepared, {}), which)


def answer_table(
    context: Context, name: str, source: object, which: Which, where: str | None
) -> Answered:
    """Answer every row of a file or dataframe in memory; its columns are kept.

    Raises:
        InputError: As ``answer_texts``; also if the text column is missing or a row has nothing
            in it, or ``where`` is not a predicate.
    """
    task = current_task(context, name)
    answerer = _answerer(context, name, which)
    prepare = context.preparation(answerer.manifest.prepare)
    held: list[object] = []
    with open_stream(source, _wanted(task)) as stream:
        texts: list[str] = []
        columns: dict[str, list[object]] = {name: [] for name in stream.kinds}
        for part in _Rows(stream, task, prepare, where, folder_of(source)).parts():
            texts.extend(part.texts)
            held.append(part.held)
            for column, values in part.columns.items():
                columns[column].extend(values)
    return _answered(context, name, answerer, (texts, columns), which)


def answer_into(
    context: Context,
    name: str,
    source: object,
    output: Path | BinaryIO,
    which: Which,
    where: str | None,
) -> Written:
    """Answer every row of a file of any length into another, which is there whole or not at all.

    An open file gets CSV, part by part.

    Raises:
        InputError: As ``answer_table``; also if the output's suffix is none that is known.
        WorkspaceError: If the output cannot be written.
    """
    if isinstance(output, Path):
        output_format(output)  # a suffix that cannot be written is refused before the work
    task = current_task(context, name)
    answerer = _answerer(context, name, which)
    prepare = context.preparation(answerer.manifest.prepare)
    rows = done = 0
    with open_stream(source, _wanted(task)) as stream:
        reading = _Rows(stream, task, prepare, where, folder_of(source))
        kinds: dict[str, Kind] = {
            k: kind if stream.typed else "text" for k, kind in stream.kinds.items()
        }
        with (
            written(output, kinds) as writer,
            opened(context, answerer, keep=stream.total <= KEPT_TEXTS) as bulk,
        ):
            for part, found in bulk.answers((part, part.texts) for part in reading.parts()):
                writer.write(_of(name, answerer, which, part, found))
                rows += len(part.texts)
                done += part.read
                _tell(context, name, done, stream.total)
    path = output if isinstance(output, Path) else None
    return Written(path=path, rows=rows, findings=stream.findings)


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """Rows to answer.

    Attributes:
        texts: Their prepared texts.
        columns: The columns of the input.
        read: Rows of the input that were read for it, those included that the filter left out.
        held: Holds their images.
    """

    texts: list[str]
    columns: Mapping[str, Sequence[object]]
    read: int
    held: Holding | None = None


class _Rows:
    """The rows of a stream that are to be answered; paths of images start from ``base``.

    Raises:
        InputError: If the text column is missing.
    """

    def __init__(
        self, stream: Stream, task: Task, prepare: Preparation, where: str | None, base: Path
    ) -> None:
        self._stream = stream
        self._base = base
        self._prepare = prepare
        self._where = where
        self._input = task.input_name
        self._how = task.composition
        self._task_kind: TaskKind = task.kind
        self._columns = {
            input_name: next((c for c in (column, input_name) if c in stream.kinds), column)
            for input_name, column in task.input_columns.items()
        }
        self._column = " and ".join(self._columns.values())
        for column in self._columns.values():
            if column not in stream.kinds:
                next(stream.parts()).column(column, "column")

    def parts(self) -> Iterator[_Part]:
        """The parts in order; at least one, which may be empty."""
        for table in self._stream.parts():
            holding = Holding(self._prepare.images)
            texts = self._texts(replace(table, base=self._base), holding)
            if self._where is None:
                self._require_something(table, texts, range(len(texts)))
                yield _Part(texts, table.columns, len(table), holding)
                continue
            kept = np.flatnonzero(self._mask(table, texts, self._where)).tolist()
            self._require_something(table, texts, kept)
            columns = {k: [v[i] for i in kept] for k, v in table.columns.items()}
            yield _Part([texts[i] for i in kept], columns, len(table), holding)

    def _texts(self, table: Table, holding: Holding) -> list[str]:
        try:
            given = inputs_in(
                table, self._columns, self._how, self._prepare.most, self._task_kind, holding
            )
            return self._prepare([as_text(value) for value in given])
        except StepError as error:
            raise DataError(
                error.what, where=f"{table.name}:{table.rows[error.row]}", advice=error.advice
            ) from error

    def _require_something(self, table: Table, texts: list[str], rows: Sequence[int]) -> None:
        row = next((row for row in rows if not texts[row]), None)
        if row is not None:
            raise DataError(
                f"there is no text in {self._column!r}.",
                where=f"{table.name}:{table.rows[row]}",
                advice=f"Fill it in, or leave such rows out: --where \"{self._input} != ''\".",
            )

    def _mask(self, table: Table, texts: list[str], where: str) -> NDArray[np.bool_]:
        """Rows that fulfil the predicate, judged by what each column is throughout."""
        stream, n = self._stream, len(texts)
        metadata: dict[str, list[Plain]] = {}
        stands_in = False
        for column, values in table.columns.items():
            if column == (self._column if self._how is None else self._input):
                continue
            kind = stream.kinds[column]
            typed = as_kind(values, kind, typed=stream.typed)
            metadata[column] = typed
            stands_in |= kind in _WITNESSES and all(value is None for value in typed)
        if stands_in and n:
            # One row more, which is not asked about, shows what a column is that is empty here.
            for column, values in metadata.items():
                empty = all(value is None for value in values)
                witness = _WITNESSES.get(stream.kinds[column]) if empty else values[0]
                metadata[column] = [*values, witness]
            texts = [*texts, texts[0]]
        return where_mask(_examples(texts, metadata), self._input, where)[:n]


_WITNESSES: Mapping[str, Plain] = {"int": 1, "float": 1.0, "bool": True}


def _examples(texts: Sequence[str], metadata: Mapping[str, Sequence[Plain]]) -> Examples:
    n = len(texts)
    return Examples(
        ids=tuple(str(i) for i in range(n)),
        texts=tuple(texts),
        labels=(None,) * n,
        groups=("",) * n,
        sources=("",) * n,
        metadata={column: tuple(values) for column, values in metadata.items()},
    )


def _answerer(context: Context, name: str, which: Which) -> Answerer:
    """What answers; refuses sets of labels that nobody examined before anything is encoded."""
    answerer = find_answerer(context, name, which.release, which.candidate, updated=True)
    known = answerer.manifest.set_thresholds
    if which.cover is not None:
        set_threshold({} if isinstance(known, msgspec.UnsetType) else known, which.cover)
    return answerer


def _answered(
    context: Context,
    name: str,
    answerer: Answerer,
    given: tuple[list[str], Mapping[str, Sequence[object]]],
    which: Which,
) -> Answered:
    """Answers to texts in memory, with the columns that they came with."""
    texts, columns = given
    found: list[Predictions] = []
    with opened(context, answerer, keep=len(texts) <= KEPT_TEXTS) as bulk:
        for done, predictions in bulk.answers(in_parts(texts)):
            found.append(predictions)
            _tell(context, name, done, len(texts))
    return _of(name, answerer, which, _Part(texts, columns, 0), _joined(answerer, found))


def _joined(answerer: Answerer, parts: Sequence[Predictions]) -> Predictions:
    """Answers of several parts as one."""
    rungs = [each.rungs for each in parts if each.rungs is not None]
    every = [
        np.zeros((0, answerer.predictor.width), np.float32),
        *(each.probabilities for each in parts),
    ]
    return replace(
        answerer.predictor.meaning(np.concatenate(every)),
        rungs=np.concatenate(rungs) if rungs else None,
        rung_names=parts[0].rung_names if rungs else (),
    )


def _of(name: str, answerer: Answerer, which: Which, part: _Part, found: Predictions) -> Answered:
    return Answered(
        task=name,
        release=answerer.release,
        candidate=answerer.candidate,
        texts=tuple(part.texts),
        predictions=as_released(found, answerer.manifest),
        columns=part.columns,
        cover=which.cover,
        # A language model may give none of the labels, and the last rung may be a person.
        may_withhold=bool(answerer.predictor.upstreams) or hasattr(answerer.predictor, "rungs"),
        update=answerer.update,
    )


def _tell(context: Context, name: str, done: int, total: int) -> None:
    context.on_event(name, f"answering {done:,} of {total:,} texts", done / max(1, total))


def _wanted(task: Task) -> tuple[str, ...]:
    """Columns by which a file is known to be one of inputs."""
    return (*task.input_columns.values(), *task.input_columns)


def folder_of(source: object) -> Path:
    """The folder that paths in a source start from: its own, or the current one."""
    named = isinstance(source, Path) or (isinstance(source, str) and source != "-")
    return Path(str(source)).parent if named else Path()


def _texts_of(inputs: object, how: Composition | None, holding: Holding) -> list[str] | None:
    """Texts of a sequence or a column; ``None`` for what has columns.

    Args:
        inputs: Texts; of a task with several inputs a mapping each, from name to text.
        how: How several inputs become one text.
        holding: Holds their images.

    Raises:
        InputError: If the inputs are one text, or one of them is none.
    """
    if isinstance(inputs, Sequence):
        return texts_given(cast("Sequence[object]", inputs), how, holding)
    column = _column_of(inputs)
    return None if column is None else [as_text(plain(value)) for value in column]


def _column_of(inputs: object) -> list[object] | None:
    """Values of a column of pandas, polars, pyarrow or numpy; ``None`` for anything else."""
    import narwhals as nw

    if isinstance(inputs, np.ndarray) and inputs.ndim == 1:
        return cast("list[object]", inputs.tolist())
    series = nw.from_native(cast("Any", inputs), series_only=True, pass_through=True)
    return cast("list[object]", series.to_list()) if isinstance(series, nw.Series) else None
