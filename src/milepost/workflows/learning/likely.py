"""Refuses to learn a score that is a slip rather than a truth."""

from milepost.data.load import load_table
from milepost.data.outlying import Spread, spread_of, written_spread
from milepost.data.truths import truths_of
from milepost.entities.errors import InputError
from milepost.entities.task import Task
from milepost.workflows.context import Context
from milepost.workflows.learning.heads import LiveHead


def require_likely(context: Context, task: Task, label: str, head: LiveHead | None) -> None:
    """Refuse a score far beyond all that the task's own examples have.

    Args:
        context: The workspace.
        task: The task.
        label: What is said to be right, as the truth of an example is written.
        head: The head in production, which knows the examples; ``None`` reads the files.

    Raises:
        InputError: If it is one; says where the scores of the examples lie.
        DataError: If the files are needed and cannot be read.
    """
    if task.kind != "score":
        return
    spread = _in_files(context, task) if head is None else _known(head)
    if spread is not None and spread.strange(float(label)):
        raise InputError(
            f"the score {float(label):g} is far from those of the examples, {spread}.",
            where="label",
            advice="Where it is no slip, add it to the task's data file instead.",
        )


def _known(head: LiveHead) -> Spread | None:
    return spread_of(float(each.truth) for each in head.known.values() if each.own)


def _in_files(context: Context, task: Task) -> Spread | None:
    expect = [*task.input_columns.values(), task.data.label]
    files = task.data.example_files
    tables = (load_table(context.root / file, name=file, expect=expect) for file in files)
    return written_spread(label for table in tables for label in truths_of(table, task))
