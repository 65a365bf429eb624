"""Whether the guards that a task declares can do what they are declared for."""

from collections.abc import Iterator, Sequence

import msgspec

from milepost.entities.errors import InputError, MilepostError, UnknownNameError
from milepost.entities.serving import Guard
from milepost.entities.task import Task
from milepost.predictors.bundle import read_manifest
from milepost.workflows.context import Context
from milepost.workflows.tasks.files import read_task, task_names
from milepost.workflows.tasks.guards import guard_cycle

WHERE = "guards"


def check_guards(context: Context, task: Task) -> None:
    """Refuse guards that could never guard.

    Raises:
        InputError: The first thing that is wrong.
    """
    for _, error in guard_problems(context, task):
        raise error


def guard_problems(context: Context, task: Task) -> Iterator[tuple[int, InputError]]:
    """What is wrong with the guards of a task, each with its place in the list, from 0."""
    if isinstance(task.guards, msgspec.UnsetType):
        return
    names = [name for name in task_names(context.root) if name != task.name]
    seen: set[str] = set()
    for at, each in enumerate(task.guards):
        guard = Guard(task=each, labels=()) if isinstance(each, str) else each
        if guard.task in seen:
            yield (
                at,
                InputError(
                    f"the guard {guard.task!r} stands here twice.",
                    where=WHERE,
                    advice="Name all its labels in one place.",
                ),
            )
        seen.add(guard.task)
        for error in _wrong(context, task, guard, names):
            yield at, error
    cycle = guard_cycle(lambda name: task if name == task.name else _read(context, name), task.name)
    if len(cycle) > 2:
        yield (
            0,
            InputError(
                f"they lead back to the task itself: {' → '.join(cycle)}.",
                where=WHERE,
                advice="A task cannot guard, or answer for, what guards it.",
            ),
        )


def _wrong(context: Context, task: Task, guard: Guard, names: list[str]) -> Iterator[InputError]:
    if guard.task == task.name:
        yield InputError(
            "a task cannot guard itself.", where=WHERE, advice="Name another task, or none."
        )
        return
    if guard.task not in names:
        yield UnknownNameError("task", guard.task, names, where=WHERE)
    else:
        yield from _unknown_labels(context, guard)
    if guard.action == "route" and guard.to is None:
        yield InputError(
            f"the guard {guard.task!r} routes, and nobody says where to.",
            where=WHERE,
            advice="Name the task that answers instead: to: NAME.",
        )
    elif guard.action != "route" and guard.to is not None:
        yield InputError(
            f"the guard {guard.task!r} has a task `to`, and does not route.",
            where=WHERE,
            advice="Write action: route, or leave `to` out.",
        )
    elif guard.to in {task.name, guard.task}:
        yield InputError(
            f"the guard {guard.task!r} routes to {guard.to!r}, which cannot answer instead.",
            where=WHERE,
            advice="Name a third task.",
        )
    elif guard.to is not None and guard.to not in names:
        yield UnknownNameError("task", guard.to, names, where=WHERE)


def _unknown_labels(context: Context, guard: Guard) -> Iterator[InputError]:
    """Labels that the guarding task does not have, where its file says which it has."""
    task = _read(context, guard.task)
    known = _labels(context, task) if task is not None else ()
    for label in guard.labels if known else ():
        if label not in known:
            yield UnknownNameError(f"label of the task {guard.task!r}", label, known, where=WHERE)


def _labels(context: Context, task: Task) -> Sequence[str]:
    """Labels of a task: as its file says, else as what is in production has learned them."""
    if task.labels:
        return tuple(task.labels)
    try:
        channel = context.ledger.channel(task.name)
        if channel is None:
            return ()
        bundle = context.ledger.release(task.name, channel.release).bundle
        return read_manifest(context.artifacts.get(bundle)).labels
    except MilepostError:
        return ()


def _read(context: Context, name: str) -> Task | None:
    """A task by its name; ``None`` where its own check says what is wrong with it."""
    try:
        return read_task(context.root, name)
    except MilepostError:
        return None
