"""Finds the examples that somebody chose, in the data as it is and in every stored snapshot."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec

from milepost.data.examples import gather_examples, require_enough
from milepost.data.load import Table, load_table
from milepost.data.wording import number_of
from milepost.entities.errors import DataError, InputError
from milepost.entities.example import Examples
from milepost.entities.kinds import KINDS
from milepost.entities.task import Task
from milepost.workflows.contest.cases import case_files
from milepost.workflows.context import Context
from milepost.workflows.learning.erasing import Choice, Held, held_rows


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Found:
    """What is chosen, and where it is.

    Attributes:
        task: The task.
        choice: What is chosen, the present rows known.
        rows: Chosen rows of the present data, by file.
        held: Chosen rows of the stored snapshots.
        inputs: The inputs of all of them.
        past: Inputs that only snapshots hold.
    """

    task: Task
    choice: Choice
    rows: dict[str, set[int]]
    held: list[Held]
    inputs: list[str]
    past: int

    @property
    def present(self) -> int:
        """Chosen rows of the present data."""
        return sum(map(len, self.rows.values()))


def find(context: Context, task: Task, where: str | None, ids: frozenset[str]) -> Found:
    """What a predicate and ids choose.

    Raises:
        InputError: If nothing fits, or the predicate cannot be used.
        DataError: If what is left would be too little to learn from.
    """
    choice = Choice(
        where=where,
        ids=ids,
        input_name=task.input_name,
        label=task.data.label,
        numbers=KINDS[task.kind].link == "identity",
    )
    rows: dict[str, set[int]] = {}
    inputs: list[str] = []
    cases = case_files(task)
    present = (task.data.example_files, task.data.test_files, task.data.unlabeled_files, cases)
    for strict, files in zip((True, False, False, False), present, strict=True):
        for part in _present(context, task, files):
            chosen = choice.rows(part, strict=strict)
            taken = part.take(chosen)
            choice = choice.knowing(part, chosen)
            inputs += [*taken.asked, *taken.texts]
            for source in taken.sources:
                file, _, row = source.rpartition(":")
                rows.setdefault(file, set()).add(int(row))
            if strict:
                _require_enough(task, part, frozenset(chosen))
    held = held_rows(context, task.name, choice, frozenset(inputs))
    stored = {each for one in held for each in one.inputs}
    if not rows and not held:
        raise InputError(
            f"no example of {task.name!r} fits, now or in a stored snapshot.",
            where="where" if where is not None else "ids",
            advice="Look at the columns with `milepost check`; ids stand in the data, or in "
            "`milepost suspects`.",
        )
    past = len(stored.difference(inputs))
    return Found(
        task=task,
        choice=choice,
        rows=rows,
        held=held,
        inputs=list(dict.fromkeys([*inputs, *sorted(stored)])),
        past=past,
    )


def _present(context: Context, task: Task, files: Sequence[str]) -> list[Examples]:
    """The rows of some data files together, as they are now; none where there are no files."""
    if not files:
        return []
    named = [task.input_column, task.data.label, *([task.data.id] if task.data.id else [])]
    tables = [load_table(context.root / file, name=file, expect=named) for file in files]
    identity = task.data.id if all(task.data.id in each.columns for each in tables) else None
    plain = msgspec.structs.replace(task, data=msgspec.structs.replace(task.data, id=identity))
    gathered = gather_examples(
        [_with_label(each, task.data.label) for each in tables],
        plain,
        context.settings,
        unknown_labels="keep",
        to_split=False,
        prepare=context.preparation(task.prepare),
    )
    return [gathered.examples]


def _with_label(table: Table, label: str) -> Table:
    """The table with an empty column of labels, where it has none."""
    if label in table.columns:
        return table
    return replace(table, columns={**table.columns, label: [None] * len(table)})


def _require_enough(task: Task, examples: Examples, gone: frozenset[int]) -> None:
    if not gone:
        return
    left = [row for row in range(len(examples)) if row not in gone]
    place = f"tasks/{task.name}.yaml"
    try:
        if not left:
            raise DataError("there would be none.")
        require_enough(examples.take(left), task, len(left), place)
    except DataError as error:
        raise DataError(
            f"without {number_of(len(gone), 'example')} there would be too little left to learn "
            f"from: {error.what}",
            where=place,
            advice="Add others first, or delete the task's files and the workspace.",
        ) from error
