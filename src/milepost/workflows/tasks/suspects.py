"""Suspected wrong labels of a task's training rows; reads, and changes nothing."""

import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from milepost.contests.held import HeldVectors
from milepost.data.splitting.folding import fold_groups
from milepost.entities.errors import DataError, InputError, WorkspaceError
from milepost.entities.suspect import Suspects
from milepost.evaluation.label_quality import (
    FEWEST_GROUPS,
    Labelled,
    Marked,
    agreeing_groups,
    describe,
    removal,
    suspicion,
)
from milepost.evaluation.measuring import by_answers
from milepost.metrics.auditing.confident import best_other
from milepost.metrics.scoring.calibration import fit_temperature
from milepost.models.pairs import reads
from milepost.predictors.base import Batch, softmax
from milepost.strategies.head_closed_form import HeadClosedForm
from milepost.strategies.problems import encode
from milepost.strategy import Problem
from milepost.workflows.contest.datasets import (
    label_indices,
    load,
    planned_sides,
)
from milepost.workflows.context import Context
from milepost.workflows.tasks.files import read_task

TOP = 50
MOST = 10_000

_NOTES = (
    "Nothing was changed. A row that is listed may be right and hard; read it before you relabel.",
    "The effect is measured on rows whose labels had no part in who was left out, in folds; judged "
    "by the labels as they are, so that a gain counts for less where these are wrong.",
)


def suspects(context: Context, name: str, top: int = TOP) -> Suspects:
    """Rank the training rows of a task by how probably their label is wrong.

    Rows of the holdout or of a test file are not looked at: to look is to use them up.

    Raises:
        InputError: If the task file or its data cannot be used, or ``top`` is out of range.
        UnknownNameError: If there is no such task.
    """
    if not 1 <= top <= MOST:
        raise InputError(f"{top} rows cannot be listed.", where="--top", advice=f"1 to {MOST:,}.")
    task = read_task(context.root, name)
    data = load(context, task)
    everything = data.examples.examples
    sides = data.sides or planned_sides(context, task, everything)
    rows = [i for i in sides.rows("train") if everything.labels[i] is not None]
    examples = everything.take(rows)
    labels = tuple(task.labels) or tuple(sorted({c for c in everything.labels if c is not None}))
    if task.kind != "classify":
        raise InputError(
            f"wrong labels are looked for in tasks of the kind classify, and this is {task.kind}.",
            where=f"tasks/{name}.yaml: kind",
            advice="The report shows the rows that are furthest off: `milepost report`.",
        )
    y = label_indices(examples.labels, labels)
    strategy = HeadClosedForm()
    problem = Problem(
        labels=labels,
        descriptions=tuple(task.labels.get(label, "") for label in labels),
        instruction=task.instruction,
        texts=examples.texts,
        y=y,
        images=bool(task.images),
        encoder=HeldVectors(
            reads(task.composition, context.for_task(task).encoder()), examples.texts
        ),
    )
    reason = strategy.supports(problem)
    if reason is not None:
        raise DataError(reason, where=f"tasks/{name}.yaml", advice="Add examples of other labels.")
    _, groups = np.unique(np.asarray(examples.groups), return_inverse=True)
    if not strategy.label_statistics(problem).counts.all():
        _refuse_rare(name, labels, y, groups)
    vectors = encode(problem.encoder, problem.texts)

    def answering(kept: Marked, within: Marked) -> NDArray[np.float64]:
        return left_out_probabilities(strategy, problem, vectors, groups, (kept, within))

    labelled = Labelled(vectors=vectors, y=y, groups=groups, answering=answering)
    found = suspicion(labelled)
    metric = by_answers(task.objective.metric)
    folds = fold_groups(examples.groups, y, context.settings.folds).fold_of
    effect = removal(metric, labelled, folds, context.settings.confidence)
    _, other = best_other(found.mean, y)
    disagreeing = other > found.mean[np.arange(len(y)), y]
    return Suspects(
        task=name,
        rows=len(y),
        disagreeing=int(disagreeing.sum()),
        metric=metric,
        removed=int((~agreeing_groups(found.mean, y, groups)).sum()),
        removal=effect,
        suspects=describe(examples, labels, y, groups, found, top),
        notes=_NOTES,
    )


def _refuse_rare(
    name: str, labels: tuple[str, ...], y: NDArray[np.int64], groups: NDArray[np.int64]
) -> None:
    """Where names say nothing of labels, as of images, examples alone must: in every fold two."""
    for label in range(len(labels)):
        found = len(np.unique(groups[y == label]))
        if found <= FEWEST_GROUPS:
            raise DataError(
                f"{labels[label]!r} has {found} example{'s' if found != 1 else ''} that are not "
                "near-duplicates; what is wrong is told by the others.",
                where=f"tasks/{name}.yaml",
                advice=f"Add examples: {FEWEST_GROUPS + 1} of each label at least.",
            )


def left_out_probabilities(
    strategy: HeadClosedForm,
    problem: Problem,
    vectors: NDArray[np.float32],
    groups: NDArray[np.int64],
    marks: tuple[Marked, Marked],
) -> NDArray[np.float64]:
    """Probabilities ``(n, k)`` from fits to the kept rows, each of them answered without its group.

    Args:
        strategy: Fits.
        problem: All ``n`` examples.
        vectors: ``(n, d) float32`` of them.
        groups: ``(n,) int64``; whole groups are kept or not.
        marks: ``(n,)`` rows that are kept, and those whose labels may be read, of which some
            are kept. Where none is kept all of these are.
    """
    kept, within = marks if marks[0].any() else (marks[1], marks[1])
    inside = np.flatnonzero(kept)
    predictor, own = strategy.leave_group_out(problem.take(inside), groups[inside])
    logits = np.zeros((len(kept), len(problem.labels)))
    logits[inside] = own
    if not kept.all():
        texts = tuple(problem.texts[i] for i in np.flatnonzero(~kept).tolist())
        logits[~kept] = predictor.logits(Batch(texts, vectors[~kept]))
    temperature = fit_temperature(logits[within], problem.y[within])
    return softmax(logits / temperature).astype(np.float64)


def write_suspects(found: Suspects, output: Path) -> Path:
    """Write the listed rows as CSV, with an empty column ``corrected`` for a person to fill.

    Raises:
        WorkspaceError: If the file cannot be written.
    """
    columns = ("source", "id", "text", "label", "suggested", "probability", "reasons", "corrected")
    try:
        with output.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(columns)
            for each in found.suspects:
                reasons = " ".join(each.reasons)
                share = f"{each.probability:.4f}"
                row = (each.source, each.id, each.text, each.label, each.suggested, share, reasons)
                writer.writerow((*row, ""))
    except OSError as error:
        raise WorkspaceError(
            f"it cannot be written: {error.strerror}.", where=str(output), advice="Name another."
        ) from error
    return output
