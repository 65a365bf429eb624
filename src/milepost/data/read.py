"""From a task's files to grouped, profiled examples: the one way in for the floors above."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import msgspec

from milepost._base.settings import Settings
from milepost.data.examples import Gathered, UnknownLabels, gather_examples, read_tables
from milepost.data.load import Table
from milepost.data.outlying import about_scores
from milepost.data.quality import profile
from milepost.data.ranking import candidates_of, grouped, unit_name, with_negatives
from milepost.data.split import Sides
from milepost.data.splitting.leaks import against_test
from milepost.data.splitting.owned import about_owners
from milepost.data.truths import names_of
from milepost.entities.example import Examples, Finding, QualityReport, SourceFile
from milepost.entities.task import Task
from milepost.predictors.preparation import Preparation


class Reading(NamedTuple):
    """Examples of one role with where they came from and what was found in them."""

    examples: Examples
    sources: tuple[SourceFile, ...]
    quality: QualityReport


@dataclass(frozen=True, slots=True, eq=False)
class TaskData:
    """All data of a task, grouped together.

    Attributes:
        examples: The task's examples; rows that leak into the test file are still in.
        test: The user's own test file, or ``None``.
        sides: Which rows of ``examples`` are leaks; ``None`` without a test file.
    """

    examples: Reading
    test: Reading | None
    sides: Sides | None


def read_examples(
    sources: Sequence[object],
    task: Task,
    settings: Settings,
    *,
    root: Path | None = None,
    unknown_labels: UnknownLabels = "error",
    prepare: Preparation | None = None,
) -> Reading:
    """Read files or dataframes as examples of a task.

    Args:
        sources: Paths as the task file names them, ``"-"`` for standard input, loaded tables or
            dataframes.
        task: Names the columns and labels.
        settings: ``max_text_chars`` and ``near_duplicate`` are used.
        root: Folder that relative paths start from; ``None`` for the current one.
        unknown_labels: ``"error"`` for training files, ``"keep"`` for evaluation files.
        prepare: Prepares the inputs; ``None`` for the task's own steps, which must be built-in.

    Raises:
        UnknownNameError: If a column is missing.
        DataError: If a file, its ids or its labels cannot be used.
    """
    tables = read_tables(sources, task, root=root)
    gathered = gather_examples(
        tables,
        task,
        settings,
        unknown_labels=unknown_labels,
        to_split=unknown_labels == "error",
        prepare=prepare,
    )
    gathered = _with_drawn(gathered, task, tables, root)
    (examples,) = grouped([gathered.examples], task, settings.near_duplicate)
    return _reading(gathered, examples, task)


def read_task(
    task: Task,
    settings: Settings,
    *,
    root: Path | None = None,
    prepare: Preparation | None = None,
) -> TaskData:
    """Read all files that a task names; groups span its examples and its test file.

    Args:
        task: Names the files, columns and labels.
        settings: As for :func:`read_examples`.
        root: Folder that relative paths start from; ``None`` for the current one.
        prepare: Prepares the inputs; ``None`` for the task's own steps, which must be built-in.

    Raises:
        UnknownNameError: If a column is missing.
        DataError: If a file, its ids or its labels cannot be used.
    """
    tables = read_tables(task.data.example_files, task, root=root)
    gathered = gather_examples(tables, task, settings, prepare=prepare)
    gathered = _with_drawn(gathered, task, tables, root)
    if not task.data.test_files:
        (examples,) = grouped([gathered.examples], task, settings.near_duplicate)
        about = about_owners(examples, unit_name(task))
        return TaskData(_reading(gathered, examples, task, about), None, None)
    tested = read_tables(task.data.test_files, task, root=root)
    kept = gather_examples(
        tested,
        task,
        settings,
        unknown_labels="keep",
        prepare=prepare,
    )
    kept = _with_drawn(kept, task, [*tables, *tested], root)
    examples, test = grouped([gathered.examples, kept.examples], task, settings.near_duplicate)
    sides = against_test(examples, test, task)
    kept_rows = [i for i, place in enumerate(sides.places) if place != "leak"]
    about = about_owners(examples.take(kept_rows), unit_name(task))
    return TaskData(
        _reading(gathered, examples, task, (*sides.findings, *about)),
        _reading(kept, test, task),
        sides,
    )


def _with_drawn(
    gathered: Gathered, task: Task, tables: Sequence[Table], root: Path | None
) -> Gathered:
    """With candidates drawn for queries of which only the right ones are known."""
    if task.kind != "rank":
        return gathered
    candidates = candidates_of(task, tables, root)
    examples, findings = with_negatives(gathered.examples, task, candidates)
    return replace(gathered, examples=examples, findings=(*gathered.findings, *findings))


def _reading(
    gathered: Gathered, examples: Examples, task: Task, findings: Sequence[Finding] = ()
) -> Reading:
    outlying = about_scores(examples) if task.kind == "score" else ()
    quality = profile(
        examples,
        rows=gathered.rows,
        findings=[*gathered.findings, *findings, *outlying],
        declared=tuple(task.labels),
        counts=names_of(examples, task),
        kind=task.kind,
    )
    if task.kind == "extract":
        # Of texts that are nearly the same the places of spans differ, which says nothing.
        kept = (each for each in quality.findings if each.check != "conflicting_near_duplicates")
        quality = msgspec.structs.replace(quality, findings=tuple(kept))
    return Reading(examples, gathered.sources, quality)
