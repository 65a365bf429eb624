"""What a task declares beyond its objective, checked before anything is fitted.

One function per part of the task file; each raises on the first thing that cannot be used.
"""

from collections.abc import Mapping, Sequence

from milepost.entities.errors import InputError, UnknownNameError
from milepost.entities.example import Examples
from milepost.entities.expectations import Behaviour, FairnessRule, ScopeRule
from milepost.entities.task import Task
from milepost.evaluation.examination.changes import change_named
from milepost.evaluation.identity.attributes import check_fairness
from milepost.evaluation.slices import slice_masks

_WAYS = "change, replace, or prefix and suffix"


def check_declared(
    task: Task,
    labels: Sequence[str],
    examples: Examples,
    cases: Mapping[str, Examples] | None = None,
) -> None:
    """Refuse what a task asks of its predictor and nobody could measure.

    Args:
        task: The task.
        labels: The ``k`` label names, of the task file or else of the data.
        examples: Those that are judged, with their columns: the test file's where there is one.
        cases: Cases of the files that tests of behaviour name, by file.

    Raises:
        InputError: Saying which part of the task file, and what to write instead.
    """
    _behaviour(task, labels, examples, cases or {})
    if isinstance(task.fairness, FairnessRule):
        check_fairness(task.fairness, labels, examples)
    if isinstance(task.out_of_scope, ScopeRule) and task.out_of_scope.label not in labels:
        raise UnknownNameError(
            "label",
            task.out_of_scope.label,
            labels,
            where=f"tasks/{task.name}.yaml: out_of_scope",
        )


def _behaviour(
    task: Task, labels: Sequence[str], examples: Examples, cases: Mapping[str, Examples]
) -> None:
    tests = task.behaviour if isinstance(task.behaviour, tuple) else ()
    seen: set[str] = set()
    for test in tests:
        where = f"tasks/{task.name}.yaml: behaviour {test.name}"
        if test.name in seen:
            raise InputError(
                "two tests have this name.", where=where, advice="Give each its own name."
            )
        seen.add(test.name)
        if test.kind == "minimum":
            _minimum(task, test, where)
            _cases(task, test, labels, cases[test.file or ""], where)
        else:
            _changing(test, labels, where)
            if test.where is not None:
                _predicate(task, test.where, examples, where)


def _minimum(task: Task, test: Behaviour, where: str) -> None:
    """A minimum has a file and nothing that changes an input."""
    for name in ("change", "replace", "prefix", "suffix", "label", "tolerance"):
        if getattr(test, name) not in (None, "", {}):
            _refuse(f"a minimum has no `{name}`.", where, "Leave it out.")
    if test.file is None:
        _refuse(
            "a minimum needs a `file` with its cases.",
            where,
            f"Name a CSV with the columns {task.input_column} and {task.data.label}.",
        )


def _changing(test: Behaviour, labels: Sequence[str], where: str) -> None:
    """An invariance and a direction change an input in one way."""
    for name in ("file", "by"):
        if getattr(test, name) is not None:
            _refuse(f"`{name}` belongs to a minimum.", where, "Leave it out.")
    ways = (test.change is not None, bool(test.replace), bool(test.prefix or test.suffix))
    if sum(ways) != 1:
        what = "nothing is changed." if not any(ways) else "an input is changed in two ways."
        _refuse(what, where, f"Give one of {_WAYS}; make two tests of two.")
    same = next((word for word, other in test.replace.items() if word == other), None)
    if same is not None:
        _refuse(f"{same!r} is replaced by itself.", where, "Write another word, or none.")
    if test.change is not None:
        try:
            change_named(test.change)
        except UnknownNameError as error:
            raise UnknownNameError("change", test.change, error.allowed, where=where) from None
    if test.kind == "invariance":
        for name in ("label", "tolerance"):
            if getattr(test, name) is not None:
                _refuse(f"`{name}` belongs to a direction.", where, "Leave it out.")
    elif test.label is None:
        _refuse(
            "a direction needs the `label` that it is about.",
            where,
            f"One of {', '.join(labels[:20])}.",
        )
    elif test.label not in labels:
        raise UnknownNameError("label", test.label, labels, where=where)


def _cases(task: Task, test: Behaviour, labels: Sequence[str], cases: Examples, where: str) -> None:
    """The file of a minimum has right answers that the task knows, and the columns it needs."""
    for label, source in zip(cases.labels, cases.sources, strict=True):
        if label is None:
            _refuse(f"the case at {source} has no label.", where, "Say what is right.")
        elif label not in labels:
            raise UnknownNameError("label", label, labels, where=f"{where}, {source}")
    columns = (*cases.metadata, task.data.label)
    if test.by is not None and test.by not in columns:
        raise UnknownNameError("column", test.by, columns, where=f"{where}, {test.file}")
    if not len(cases):
        _refuse(f"{test.file} has no case.", where, "Add cases, or take the test out.")
    if test.where is not None:
        _predicate(task, test.where, cases, where)


def _predicate(task: Task, predicate: str, examples: Examples, where: str) -> None:
    try:
        slice_masks(examples.take([0]), task.input_name, {"where": predicate})
    except InputError as error:
        raise InputError(error.what, where=where, advice=error.advice) from None


def _refuse(what: str, where: str, advice: str) -> None:
    raise InputError(what, where=where, advice=advice)
