"""Cells of the label column as the truths of a task's kind."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import msgspec

from milepost.data.clean import Plain, as_labels, as_text
from milepost.data.load import Table
from milepost.data.spans import spans_in
from milepost.data.wording import number_of, quote, verb
from milepost.entities.errors import DataError
from milepost.entities.example import Examples
from milepost.entities.inputs import MARK
from milepost.entities.kinds import (
    KINDS,
    names_in,
    read_grade,
    written_grade,
    written_score,
    written_set,
)
from milepost.entities.task import DataFiles, Task

SEPARATOR = "|"
"""What stands between the labels of a row, unless the task says otherwise."""

FEWEST_SCORES = 4
"""Scored rows, not all alike, that are the least to learn from."""

FEWEST_QUERIES = 2
"""Queries with a relevant candidate that are the least to learn from."""

_SHOWN = 3


def truths_of(table: Table, task: Task) -> list[str | None]:
    """The truth of each row of a table, as it is written; ``None`` where there is none.

    Raises:
        UnknownNameError: If the label column is missing.
        DataError: If a cell is no truth of the task's kind; names its row.
    """
    if task.kind == "rank":
        return _grades(table, task)
    values = table.column(task.data.label, "column")
    if task.kind == "multilabel":
        return _each(values, table, set_in, [separator_of(task)] * len(values))
    if task.kind == "score":
        return _each(values, table, _score)
    if task.kind == "extract":
        return _each(values, table, spans_in, table.column(task.input_column, "column"))
    labels = as_labels(values)
    if any(label is not None and label[:1] in "[{" and _nested(label) for label in labels):
        raise DataError(
            f"the column {task.data.label!r} holds lists, but the task gives one label per text.",
            where=table.name,
            advice="Keep one label per row, or make it a task of the kind multilabel.",
        )
    return labels


def separator_of(task: Task) -> str:
    """What stands between the labels of a row of the task's files."""
    said = task.data.separator
    return SEPARATOR if isinstance(said, msgspec.UnsetType) else said


def names_of(examples: Examples, task: Task) -> Counter[str]:
    """How many rows name each label; of a score how many rows have one, under its column."""
    written = [each for each in examples.labels if each is not None]
    if not KINDS[task.kind].labelled:
        return Counter({task.data.label: len(written)}) if written else Counter()
    return Counter(name for each in written for name in names_in(task.kind, each))


def require_scores(examples: Examples, task: Task, place: str) -> None:
    """Refuse scores that nothing can be learned from.

    Raises:
        DataError: If there are too few, or all are alike.
    """
    scores = [each for each in examples.labels if each is not None]
    if len(scores) >= FEWEST_SCORES and len(set(scores)) > 1:
        return
    what = (
        f"all {len(scores):,} scored rows have the score {scores[0]}."
        if len(scores) >= FEWEST_SCORES
        else f"{number_of(len(scores), 'row')} {verb(len(scores), 'has', 'have')} a number in "
        f"the column {task.data.label!r}."
    )
    raise DataError(
        what,
        where=place,
        advice=f"The least is {FEWEST_SCORES} different rows; a hundred are a good start.",
    )


def require_queries(examples: Examples, place: str) -> None:
    """Refuse what no order can be learned from.

    Raises:
        DataError: If hardly any query has a relevant candidate.
    """
    graded = [read_grade(each) for each in examples.labels if each is not None]
    n = len({query for relevance, query in graded if relevance > 0})
    if n < FEWEST_QUERIES:
        raise DataError(
            f"{number_of(n, 'query', 'queries')} {verb(n, 'has', 'have')} a relevant candidate.",
            where=place,
            advice=f"The least is {FEWEST_QUERIES}; a hundred are a good start. Relevance is a "
            "number, 0 for a candidate that does not answer.",
        )


def _grades(table: Table, task: Task) -> list[str | None]:
    """Relevance of each candidate; without a column of it each row is a right answer."""
    label, usual = task.data.label, DataFiles().label
    queries = [as_text(cell).replace(MARK, " ").strip() for cell in table.column(task.input_column)]
    if label == usual and label not in table.columns:
        return [written_grade(1.0, query) for query in queries]
    grades = _each(table.column(label, "column"), table, _grade)
    return [
        None if grade is None else written_grade(float(grade), query)
        for grade, query in zip(grades, queries, strict=True)
    ]


def _grade(text: str) -> str:
    try:
        value = float(text)
    except ValueError:
        raise ValueError("is not a number") from None
    written_grade(value, "")  # refuses what is out of range
    return repr(value)


def _each(
    values: Sequence[Plain], table: Table, read: Callable[..., str], *more: Iterable[object]
) -> list[str | None]:
    found: list[str | None] = []
    wrong: list[str] = []
    for row, (value, *beside) in enumerate(zip(values, *more, strict=True)):
        text = as_text(value).strip()
        try:
            found.append(read(text, *beside) if text else None)
        except ValueError as error:
            wrong.append(f"{table.name}:{table.rows[row]}: {quote(text)} {error}")
    if wrong:
        raise DataError(
            f"{number_of(len(wrong), 'row')} {verb(len(wrong), 'has', 'have')} no such truth: "
            f"{'; '.join(wrong[:_SHOWN])}.",
            where=table.name,
            advice="Correct the cells, or leave them empty.",
        )
    return found


def set_in(text: str, separator: str) -> str:
    """The labels of a cell, which are separated or a JSON array, as the truth of an example.

    Args:
        text: The cell, without space around it and not empty.
        separator: What stands between labels.

    Raises:
        ValueError: If it begins as a JSON array and is none; the end of a sentence about it.
    """
    if text[0] != "[":
        return written_set([name.strip() for name in text.split(separator) if name.strip()])
    try:
        names = msgspec.json.decode(text, type=list[str | int])
    except msgspec.DecodeError as error:
        raise ValueError("is no JSON array of labels") from error
    return written_set([str(name).strip() for name in names if str(name).strip()])


def _score(text: str) -> str:
    try:
        value = float(text)
    except ValueError:
        raise ValueError("is not a number") from None
    if not math.isfinite(value):
        raise ValueError("is not a finite number")
    return written_score(value)


def _nested(label: str) -> bool:
    return (label[0], label[-1]) in {("[", "]"), ("{", "}")} and '"' in label
