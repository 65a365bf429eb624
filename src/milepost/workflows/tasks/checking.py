"""Everything that keeps tasks from working, found at once and with its place."""

from collections.abc import Sequence

import msgspec

from milepost.entities.errors import (
    EncoderError,
    InputError,
    MilepostError,
    Problem,
    TaskFileError,
    UnknownNameError,
    WorkspaceError,
)
from milepost.entities.example import QualityReport
from milepost.entities.task import Task
from milepost.entities.taskfile import line_of
from milepost.evaluation.slices import slice_masks
from milepost.workflows.contest.datasets import (
    check_groups,
    check_repeatable,
    declared_cases,
    load,
    task_preparation,
    unlabeled_of,
    with_unlabeled,
)
from milepost.workflows.context import Context
from milepost.workflows.tasks.files import read_task, task_names
from milepost.workflows.tasks.guarding import WHERE, guard_problems


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """What ``check`` found for one task.

    Attributes:
        task: Its name.
        problems: Everything that keeps it from working.
        quality: What was found in its examples; ``None`` when they could not be read.
        test_quality: What was found in its own test file, if it has one.
    """

    task: str
    problems: tuple[Problem, ...] = ()
    quality: QualityReport | None = None
    test_quality: QualityReport | None = None


def check(context: Context, name: str | None) -> list[Checked]:
    """Every problem of one task or of all, none of them raised.

    Raises:
        UnknownNameError: If there is no task of that name.
        WorkspaceError: If there is no task at all.
    """
    names = task_names(context.root)
    if name is not None and name not in names:
        raise UnknownNameError("task", name, names)
    if not names:
        raise WorkspaceError(
            "the workspace has no tasks.",
            where=str(context.root / "tasks"),
            advice="Add one: milepost add NAME FILE.",
        )
    return [_check(context, each) for each in ([name] if name else names)]


def _check(context: Context, name: str) -> Checked:
    file = f"tasks/{name}.yaml"
    try:
        task = read_task(context.root, name)
    except TaskFileError as error:
        return Checked(task=name, problems=error.problems)
    problems = [
        _at(context, task, (WHERE, at), error) for at, error in guard_problems(context, task)
    ]
    try:
        context.for_task(task)
    except (EncoderError, UnknownNameError) as error:
        problems.append(_at(context, task, ("encoder",), error))
    try:
        task_preparation(context, task)
    except InputError as error:
        place = ("inputs", task.input_name, "prepare")
        return Checked(task=name, problems=(*problems, _at(context, task, place, error)))
    try:
        loaded = load(context, task)
    except InputError as error:
        what = Problem(file=error.where or file, line=None, field="data", what=error.what,
                       advice=error.advice or "")  # fmt: skip
        return Checked(task=name, problems=(*problems, what))
    try:
        check_repeatable(task_preparation(context, task), loaded.examples.examples)
    except InputError as error:
        place = ("inputs", task.input_name, "prepare")
        problems.append(_at(context, task, place, error, error.where or ""))
    for slice_name, predicate in task.objective.slices.items():
        try:
            slice_masks(
                loaded.examples.examples.take([0]), task.input_name, {slice_name: predicate}
            )
        except InputError as error:
            problems.append(_at(context, task, ("objective", "slices", slice_name), error))
    try:
        declared_cases(context, task, loaded)
    except InputError as error:
        problems.append(_declared(context, task, error))
    try:
        check_groups(context, task, loaded)
    except InputError as error:
        problems.append(_at(context, task, ("data", "group"), error))
    quality = loaded.examples.quality
    try:
        quality = with_unlabeled(quality, unlabeled_of(context, task, loaded))
    except InputError as error:
        problems.append(_at(context, task, ("data", "unlabeled"), error, error.where or ""))
    return Checked(
        task=name,
        problems=tuple(problems),
        quality=quality,
        test_quality=loaded.test.quality if loaded.test else None,
    )


def _declared(context: Context, task: Task, error: InputError) -> Problem:
    """What is wrong with a declaration, in the task file where it says which, else where it is."""
    place = (error.where or "").removeprefix(f"tasks/{task.name}.yaml").lstrip(": ")
    section, _, rest = place.partition(" ")
    if section == "behaviour" and isinstance(task.behaviour, tuple):
        named, _, where = rest.partition(", ")
        names = [test.name for test in task.behaviour]
        at = (names.index(named),) if named in names else ()
        return _at(context, task, (section, *at), error, where)
    path = tuple(section.split("."))
    if path[0] in Task.__struct_fields__:
        return _at(context, task, path, error)
    return Problem(file=place or f"tasks/{task.name}.yaml", line=None, field="", what=error.what,
                   advice=error.advice or "")  # fmt: skip


def _at(
    context: Context, task: Task, path: Sequence[str | int], error: MilepostError, where: str = ""
) -> Problem:
    """A problem of a field of the task file; ``where`` is a place in another file."""
    file = f"tasks/{task.name}.yaml"
    text = (context.root / file).read_text(encoding="utf-8-sig")
    return Problem(
        file=file,
        line=line_of(text, tuple(path)),
        field=".".join(str(part) for part in path),
        what=f"{where}: {error.what}" if where else error.what,
        advice=error.advice or "",
    )
