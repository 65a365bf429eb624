"""Which tasks help which: an estimate from vectors that are there, without tuning anything."""

import time
from collections.abc import Sequence

import numpy as np

from milepost.data.splitting.folding import folds
from milepost.entities.errors import InputError
from milepost.entities.example import Examples
from milepost.entities.task import Task
from milepost.entities.together import Affinity, Effect, LeftOut
from milepost.metrics.affinity import Effects, TaskVectors, effects_between, helpful_groups
from milepost.strategies.problems import encode, humanise
from milepost.workflows.contest.datasets import (
    label_indices,
    label_names,
    load,
    planned_sides,
)
from milepost.workflows.context import Context
from milepost.workflows.tasks.current import current_task
from milepost.workflows.together.joining import FEWEST, shared_groups

MOST_ROWS = 1000
"""Examples of a task that are looked at, drawn by seed."""


def affinity(context: Context, names: Sequence[str], seed: int = 0) -> Affinity:
    """Estimate which tasks help or harm which.

    Only rows that are trained on are read: no look at a holdout is taken.

    Args:
        context: The workspace.
        names: Names of the tasks.
        seed: Of the draws.

    Raises:
        InputError: If fewer than two tasks can be compared.
    """
    started = time.monotonic()
    left_out: list[LeftOut] = []
    found: dict[str, tuple[Task, Examples]] = {}
    for name in dict.fromkeys(names):
        task = current_task(context, name)
        if task.kind != "classify" or task.images:
            what = "reads images" if task.images else f"is of kind {task.kind}"
            why = f"It {what}; tasks of kind classify that read texts are compared."
            left_out.append(LeftOut(task=name, why=why))
            continue
        examples = _training(context, task, seed)
        if len(set(examples.labels)) < 2 or len(examples) < FEWEST:
            why = f"It has {len(examples)} training examples; {FEWEST} of two labels are needed."
            left_out.append(LeftOut(task=name, why=why))
            continue
        found[name] = (task, examples)
    if len(found) < 2:
        raise InputError(
            "fewer than two tasks can be compared.",
            where=", ".join(each.task for each in left_out) or "affinity",
            advice=" ".join(f"{each.task}: {each.why}" for each in left_out)
            or "Name at least two, or none for all.",
        )
    tasks = _as_vectors(context, found, seed)
    effects = effects_between(tasks)
    order = helpful_groups(effects.gain)
    known = list(found)
    return Affinity(
        tasks=tuple(known[at] for group in order for at in group),
        examples=tuple(len(found[known[at]][1]) for group in order for at in group),
        effects=_told(effects, known, context.settings.confidence),
        groups=tuple(tuple(known[at] for at in group) for group in order),
        left_out=tuple(left_out),
        encoder=context.encoder().name,
        confidence=context.settings.confidence,
        seconds=time.monotonic() - started,
    )


def _training(context: Context, task: Task, seed: int) -> Examples:
    """Labelled rows that the next contest would train on, at most ``MOST_ROWS``."""
    examples = load(context, task).examples.examples
    sides = planned_sides(context, task, examples)
    rows = [row for row in sides.rows("train") if examples.labels[row] is not None]
    if len(rows) > MOST_ROWS:
        drawn = np.random.default_rng(seed).choice(len(rows), MOST_ROWS, replace=False)
        rows = [rows[at] for at in np.sort(drawn).tolist()]
    return examples.take(rows)


def _as_vectors(
    context: Context, found: dict[str, tuple[Task, Examples]], seed: int
) -> list[TaskVectors]:
    """Vectors, with halves that no near-duplicate straddles, of whatever task it is."""
    encoder = context.encoder()
    examples = {name: [own] for name, (_, own) in found.items()}
    groups = shared_groups(examples, context.settings.near_duplicate)
    flat = [group for name in found for group in groups[name][0]]
    labels = {name: label_names(task, own) for name, (task, own) in found.items()}
    ys = [label_indices(own.labels, labels[name]) for name, (_, own) in found.items()]
    begins = np.cumsum([0, *(len(labels[name]) for name in found)]).tolist()
    y = np.concatenate([own + begin for own, begin in zip(ys, begins, strict=False)])
    half = np.split(folds(flat, y, 2, seed) == 1, np.cumsum([len(own) for own in ys])[:-1])
    done: list[TaskVectors] = []
    for at, (name, (_, own)) in enumerate(found.items()):
        context.on_event(name, f"encoding {len(own):,} texts", at / len(found))
        done.append(
            TaskVectors(
                encode(encoder, own.texts),
                ys[at],
                encode(encoder, [humanise(label) for label in labels[name]]),
                half[at],
            )
        )
    context.on_event("affinity", "comparing tasks", 1.0)
    return done


def _told(effects: Effects, names: Sequence[str], confidence: float) -> tuple[Effect, ...]:
    from scipy.special import ndtri

    reach = float(ndtri(0.5 + confidence / 2))
    told: list[Effect] = []
    for source, name in enumerate(names):
        for target, other in enumerate(names):
            if source == target:
                continue
            gain, error = float(effects.gain[source, target]), float(effects.error[source, target])
            error = error if np.isfinite(error) else 0.0
            known = bool(effects.shown[source, target])
            verdict = ("helps" if gain > 0 else "harms") if known else "unclear"
            told.append(
                Effect(
                    source=name,
                    target=other,
                    gain=gain,
                    low=gain - reach * error,
                    high=gain + reach * error,
                    verdict=verdict,
                )
            )
    return tuple(told)
