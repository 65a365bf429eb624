"""The measure that a task's objective names, ready to be applied to judged rows."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from milepost._base.own_code import load_own, own_path, said
from milepost.entities.errors import InputError, nearest
from milepost.entities.kinds import KINDS, Kind, Link
from milepost.entities.measures import OF_LABEL, ORDER_NOTE, ORDINAL, measure_kind
from milepost.entities.prediction import NO_ANSWER
from milepost.entities.task import Objective, Task
from milepost.metrics.inference.groups import units_of
from milepost.metrics.scoring import (
    calibration_error,
    curves,
    label_measures,
    label_sets,
    mean_measures,
    ordinal,
    ranks,
    score_measures,
    span_measures,
)
from milepost.metrics.scoring.classification import METRICS
from milepost.metrics.scoring.measures import Measure, Sample, counted, own

OWN = "own:"
_MOST_NAMED = 12
_HITS = "hit_rate@"


PLAIN: Mapping[str, Callable[[], Measure]] = {
    "auprc": curves.auprc,
    "auroc": curves.auroc,
    "brier": mean_measures.brier,
    "ece": calibration_error.ece,
    "log_loss": mean_measures.log_loss,
}
"""Measures that need nothing but a name and are none of confusion counts."""


OF_SETS: Mapping[str, Callable[[], Measure]] = {
    "exact_match": label_sets.exact_match,
    "log_loss": label_sets.log_loss,
    "macro_f1": label_sets.macro_f1,
    "micro_f1": label_sets.micro_f1,
}
"""Measures of tasks with any number of labels."""

OF_SCORES: Mapping[str, Callable[[], Measure]] = {
    "mae": score_measures.mae,
    "pearson": score_measures.pearson,
    "qwk": score_measures.qwk,
    "rmse": score_measures.rmse,
    "spearman": score_measures.spearman,
}
"""Measures of tasks that give a number."""

OF_SPANS: Mapping[str, Callable[[], Measure]] = {
    "exact_match": span_measures.exact_match,
    "span_f1": span_measures.span_f1,
    "span_precision": span_measures.span_precision,
    "span_recall": span_measures.span_recall,
}
"""Measures of tasks that find spans."""
OF_RANKS: Mapping[str, Callable[[int], Measure]] = {
    "mrr": lambda depth: ranks.mrr(),
    "ndcg": ranks.ndcg,
    "recall": ranks.recall,
}
"""Measures of tasks that rank, of a depth; those with one have it behind an @."""

BY_LINK: Mapping[Link, Mapping[str, Callable[[], Measure]]] = {
    "sigmoid": OF_SETS,
    "identity": OF_SCORES,
    "spans": OF_SPANS,
    "softmax": {},
    "relevance": {},
}


def task_measure(task: Task, labels: tuple[str, ...], root: Path) -> Measure:
    """The measure of a task's objective.

    Raises:
        InputError: As ``measure_of``.
    """
    return measure_of(task.objective, labels, root, kind=task.kind)


def measure_of(
    objective: Objective,
    labels: tuple[str, ...],
    root: Path,
    *,
    ordered: bool = True,
    kind: Kind = "classify",
) -> Measure:
    """The objective's measure.

    Args:
        objective: What good enough means.
        labels: Label names in column order.
        root: Folder that files of the user's own measures are in.
        kind: Kind of the task.
        ordered: Whether the order of the labels means something where the objective says none.

    Raises:
        InputError: If the objective or its costs name an unknown label, labels have no order, or
            the user's function cannot be used.
    """
    name = objective.metric
    others = BY_LINK[KINDS[kind].link]
    if others:
        return others[name]()
    if kind == "rank":
        return rank_measure(name)
    if name.startswith(OWN):
        return _own(name, labels, root)
    if name == "utility":
        return mean_measures.utility(cost_table(objective, labels))
    if name.startswith(_HITS):
        return mean_measures.hit_rate(_most_of(name))
    which, _, label = name.partition(":")
    if which in OF_LABEL:
        place = _place(label, labels, "the objective names", "objective.metric")
        return getattr(label_measures, which)(place, name)
    if name in ORDINAL:
        return getattr(ordinal, name)(label_values(objective, labels, ordered=ordered))
    return PLAIN[name]() if name in PLAIN else counted(name)


def rank_measure(name: str) -> Measure:
    """A measure of an order of candidates by name, such as ``ndcg@10``."""
    which, _, depth = name.partition("@")
    return OF_RANKS[which](int(depth or 0))


def check_objective(task: Task, labels: tuple[str, ...], root: Path) -> None:
    """Refuse an objective that nobody can measure, or that no answers can ever reach.

    Labels that the task file lists in alphabetical order, as a new task does, are in no order
    until somebody says so.

    Args:
        task: The task.
        labels: The ``k`` label names, of the task file or else of the data.
        root: Folder that files of the user's own measures are in.

    Raises:
        InputError: Saying what cannot be used or reached.
    """
    objective = task.objective
    if KINDS[task.kind].link != "softmax":
        measure = task_measure(task, labels, root)
        _check_limit("at_least", objective.at_least, objective, measure)
        _check_limit("at_most", objective.ceiling, objective, measure)
        return
    for label in objective.said_order:
        _place(label, labels, "the order names", "objective.order")
    measure = measure_of(objective, labels, root, ordered=list(task.labels) != sorted(task.labels))
    if objective.metric.startswith(_HITS) and _most_of(objective.metric) >= len(labels):
        raise InputError(
            f"{objective.metric} is 1 whatever is answered, as there are {len(labels)} labels.",
            where="objective.metric",
            advice=f"The number must be below {len(labels)}.",
        )
    _check_limit("at_least", objective.at_least, objective, measure)
    _check_limit("at_most", objective.ceiling, objective, measure)
    try_measure(measure, len(labels))


def _check_limit(field: str, limit: float | None, objective: Objective, measure: Measure) -> None:
    """Refuse a floor of what is better when lower, a ceiling of the opposite, and what is too high.

    Raises:
        InputError: Saying what to write instead.
    """
    if limit is None:
        return
    floor, where = field == "at_least", f"objective.{field}"
    name = measure_kind(objective.metric).words
    if floor != measure.higher:
        better, other = ("lower", "at_most") if floor else ("higher", "at_least")
        raise InputError(f"{better} is better for {name}.", where=where, advice=f"Use {other}.")
    if floor and limit > measure.high:
        costs = " with these costs" if objective.metric == "utility" else ""
        raise InputError(
            # Plus zero, which makes a minus zero one without its sign.
            f"{limit:g} is out of reach: {name} is at most {measure.high + 0.0:g}{costs}.",
            where=where,
            advice="A gain is a negative cost." if costs else None,
        )


def label_values(
    objective: Objective, labels: tuple[str, ...], *, ordered: bool = True
) -> NDArray[np.float64]:
    """Value of each label, ``(k,)``: its place in the said order, the number it is, or its place.

    Two labels are in order whichever comes first: every measure is the same both ways.

    Raises:
        InputError: If they are no numbers and in no order, or the said order is not of them.
    """
    if order := objective.said_order:
        return _places(order, labels)
    try:
        values = np.array([float(label) for label in labels])
    except ValueError:
        values = np.full(len(labels), np.nan)
    if bool(np.isfinite(values).all()):
        return values
    if not ordered and len(labels) > 2:
        found = sorted(labels)
        raise InputError(
            f"{objective.metric} needs an order of the labels, and nobody said it: they are "
            f"listed alphabetically, {_in_words(found, ' < ')}.",
            where="objective.metric",
            advice="List them in the task file lowest first or, if this is their order, say "
            f"objective: {{order: [{_in_words(found, ', ')}]}}.",
        )
    return np.arange(float(len(labels)))


def order_note(objective: Objective, labels: tuple[str, ...]) -> str | None:
    """The order of the labels that the objective's measure uses; ``None`` where it uses none."""
    if objective.metric not in ORDINAL:
        return None
    places = np.argsort(label_values(objective, labels), kind="stable")
    return f"{ORDER_NOTE}{_in_words([labels[place] for place in places], ' < ')}."


def _most_of(name: str) -> int:
    """How many labels a hit rate looks among."""
    return int(name.removeprefix(_HITS))


def _places(order: tuple[str, ...], labels: tuple[str, ...]) -> NDArray[np.float64]:
    left = [label for label in labels if label not in order]
    if left:
        raise InputError(
            f"the order leaves out {_in_words(left, ', ')}.",
            where="objective.order",
            advice="Name every label, lowest first.",
        )
    return np.array([float(order.index(label)) for label in labels])


def _in_words(names: Sequence[str], between: str) -> str:
    """The names, without the middle ones where they are many."""
    most = _MOST_NAMED
    if len(names) > most:
        names = [*names[: most // 2], "…", *names[-most // 2 :]]
    return between.join(names)


def row_units(groups: Sequence[str]) -> NDArray[np.int64] | None:
    """Unit of each row, ``(n,)``, where some rows belong together; ``None`` where none do."""
    units = units_of(groups)
    return None if len(np.unique(units)) == len(units) else units


def by_answers(metric: str) -> str:
    """The metric where answers alone decide it, else ``accuracy``."""
    return metric if metric in METRICS else "accuracy"


def own_file(objective: Objective, root: Path) -> Path | None:
    """File of the user's own measure, inside ``root``; ``None`` where the objective has none.

    Raises:
        InputError: If the path leaves the workspace.
    """
    if not objective.metric.startswith(OWN):
        return None
    file = objective.metric.removeprefix(OWN).rpartition(":")[0]
    path = own_path(file, root)
    if path is None:
        raise InputError(
            f"{file} lies outside the workspace.",
            where="objective.metric",
            advice="Put the file into the workspace and name it relative to it.",
        )
    return path


def cost_table(objective: Objective, labels: tuple[str, ...]) -> NDArray[np.float64]:
    """What each answered label (column) costs for each actual one (row), ``(k, k)``.

    Raises:
        InputError: If the costs name a label that does not exist.
    """
    table = np.zeros((len(labels), len(labels)))
    given = {} if isinstance(objective.costs, msgspec.UnsetType) else objective.costs
    for actual, row in given.items():
        for answered, cost in row.items():
            places = [
                _place(label, labels, "the costs name", "objective.costs")
                for label in (actual, answered)
            ]
            table[places[0], places[1]] = cost
    return table


def _place(label: str, labels: tuple[str, ...], who: str, where: str) -> int:
    if label not in labels:
        near = nearest(label, labels)
        raise InputError(
            f"{who} the label {label!r}, which does not exist.",
            where=where,
            advice=f"Did you mean {near!r}?" if near else "Name a label of the task.",
        )
    return labels.index(label)


def _own(name: str, labels: tuple[str, ...], root: Path) -> Measure:
    file, _, wanted = name.removeprefix(OWN).rpartition(":")
    own_file(Objective(metric=name), root)
    try:
        function = load_own(file, wanted, root).call
    except ValueError as error:
        raise _unusable(name, str(error)) from error
    # An index of -1 takes the last one: no answer is not right for a label that is not known.
    actual, answered = (np.asarray([*labels, last]) for last in ("(unknown label)", NO_ANSWER))

    def value(
        y: NDArray[np.int64], answers: NDArray[np.int64], probabilities: NDArray[np.float32]
    ) -> float:
        return _number(name, function, actual[y], answered[answers], probabilities)

    return own(name, value, higher=not bool(getattr(function, "lower_is_better", False)))


def try_measure(measure: Measure, k: int) -> None:
    """Apply a measure to a few made-up rows, so that one that fails is found before a fit.

    Raises:
        InputError: If it cannot be used.
    """
    y = np.arange(2 * k) % k
    probabilities = np.full((2 * k, k), 0.5 / max(k - 1, 1), np.float32)
    probabilities[np.arange(2 * k), y] = 0.5
    measure.value(Sample(y, probabilities))


def _number(name: str, function: Callable[..., Any], *arrays: NDArray[Any]) -> float:
    try:
        found = float(function(*(array.copy() for array in arrays)))
    except Exception as error:
        raise _unusable(name, f"the function failed: {said(error)}.") from error
    if not np.isfinite(found):
        raise _unusable(name, f"the function gave {found}, which is not a finite number.")
    return found


def _unusable(name: str, what: str) -> InputError:
    return InputError(
        what,
        where=f"objective.metric {name}",
        advice="It takes arrays (actual, answers, probabilities) and gives one number.",
    )
