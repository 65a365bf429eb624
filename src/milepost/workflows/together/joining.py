"""What several tasks give to a tuning of all of them, so that it is honest for each.

The folds are drawn over all tasks together: what says the same in two tasks lies in one fold of
both, and what any task's holdout says is learned by no adapter.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from milepost.data.duplicates import group_texts
from milepost.data.splitting.columns import time_column
from milepost.data.splitting.folding import folds
from milepost.entities.errors import InputError
from milepost.entities.example import Examples
from milepost.entities.ids import ContestId
from milepost.entities.task import Task
from milepost.entities.together import JoinedTask, LeftOut
from milepost.strategies.problems import humanise
from milepost.strategies.tuning.records import Corpus
from milepost.workflows.contest.datasets import Material

FEWEST = 10
"""Fewest training examples of a task that is tuned with others."""


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """A task that takes part, with what its contest works on."""

    task: Task
    material: Material


@dataclass(frozen=True, slots=True, eq=False)
class Joined:
    """Tasks with folds in common.

    Attributes:
        parts: The tasks.
        folds: Per task the fold of each of its training rows, ``(n,) int64``.
        barred: Per task ``(n,) bool``: rows that say what some task's holdout says.
        count: How many folds there are.
    """

    parts: tuple[Part, ...]
    folds: tuple[NDArray[np.int64], ...]
    barred: tuple[NDArray[np.bool_], ...]
    count: int

    def corpora(self, without: int | None) -> list[Corpus]:
        """What is tuned on.

        Args:
            without: The fold that is left out; ``None`` for none.
        """
        found: list[Corpus] = []
        for part, fold_of, barred in zip(self.parts, self.folds, self.barred, strict=True):
            kept = ~barred if without is None else ~barred & (fold_of != without)
            rows = np.flatnonzero(kept)
            y = part.material.train_y[rows]
            if len(np.unique(y)) < 2:
                continue
            labels = part.material.labels
            found.append(
                Corpus(
                    name=part.task.name,
                    labels=tuple(humanise(label) for label in labels),
                    descriptions=tuple(part.task.labels.get(label, "") for label in labels),
                    texts=tuple(part.material.train.texts[row] for row in rows.tolist()),
                    y=y,
                )
            )
        return found

    def tasks(self) -> tuple[JoinedTask, ...]:
        """What is recorded of each task."""
        return tuple(
            JoinedTask(
                name=part.task.name,
                examples=part.material.examples_digest,
                folds=dict(zip(part.material.train.ids, fold_of.tolist(), strict=True)),
                tuned=int((~barred).sum()),
            )
            for part, fold_of, barred in zip(self.parts, self.folds, self.barred, strict=True)
        )


def unfit(task: Task) -> str | None:
    """Why a task can not be tuned with others, as a sentence, whatever its data."""
    if task.images or task.own_encoder is not None:
        return "It reads images, or its file names its own encoder."
    if task.kind != "classify":
        return f"It is of kind {task.kind}; tasks of kind classify are tuned together."
    if time_column(task) is not None:
        return "It is judged on what came later, and other tasks' examples carry no such times."
    return None


def join(
    parts: Sequence[Part], *, threshold: float, count: int, seed: int
) -> tuple[Joined, list[LeftOut]]:
    """Draw the folds.

    Args:
        parts: The tasks.
        threshold: From which similarity two texts count as near-duplicates.
        count: Folds wanted, at least 2.
        seed: Makes the draw.

    Raises:
        InputError: If fewer than two tasks are left.
    """
    left_out: list[LeftOut] = []
    parts = list(parts)
    for part in list(parts):
        n = len(part.material.train)
        if n < FEWEST:
            why = f"It has {n} training examples; tuning together takes {FEWEST}."
            left_out.append(LeftOut(task=part.task.name, why=why))
            parts.remove(part)
    if len(parts) < 2:
        raise InputError(
            "fewer than two tasks can be tuned together.",
            where=", ".join(f"tasks/{each.task}.yaml" for each in left_out) or "together",
            advice=" ".join(f"{each.task}: {each.why}" for each in left_out)
            or "Name at least two, or none for all.",
        )
    groups, barred = _components(parts, threshold)
    sizes = [len(part.material.train) for part in parts]
    begins = np.cumsum([0, *(len(part.material.labels) for part in parts)])
    pairs = zip(parts, begins.tolist(), strict=False)
    y = np.concatenate([part.material.train_y + begin for part, begin in pairs])
    fold_of = folds(list(chain.from_iterable(groups)), y, count, seed)
    own = np.split(fold_of, np.cumsum(sizes)[:-1])
    single = [part for part, each in zip(parts, own, strict=True) if len(np.unique(each)) < 2]
    if single:
        # All it has to learn from says the same as one fold: nothing of it could be judged.
        rest, more = join(
            [part for part in parts if part not in single],
            threshold=threshold,
            count=count,
            seed=seed,
        )
        why = "Its examples are near-duplicates of each other, or of one fold of other tasks."
        return rest, [*left_out, *(LeftOut(task=p.task.name, why=why) for p in single), *more]
    return Joined(tuple(parts), tuple(own), tuple(barred), int(fold_of.max()) + 1), left_out


def shared_groups(
    examples: Mapping[str, Sequence[Examples]], threshold: float
) -> dict[str, list[list[str]]]:
    """Groups over all tasks: what is of one group in a task, or says the same in any two.

    Args:
        examples: By task, such as its training and its holdout examples.
        threshold: From which similarity two texts count as near-duplicates.

    Returns:
        Per task and each of its examples the names of the rows' groups.
    """
    every = [part for parts in examples.values() for part in parts]
    alike = iter(group_texts([text for part in every for text in part.texts], threshold).groups)
    forest: dict[str, str] = {}

    def root(name: str) -> str:
        while (above := forest.setdefault(name, name)) != name:
            forest[name] = name = forest[above]
        return name

    for task, parts in examples.items():
        for part in parts:
            for group in part.groups:
                one, other = sorted((root(f"{task}:{group}"), root(next(alike))))
                forest[other] = one
    return {
        task: [[root(f"{task}:{group}") for group in part.groups] for part in parts]
        for task, parts in examples.items()
    }


def _components(
    parts: Sequence[Part], threshold: float
) -> tuple[list[list[str]], list[NDArray[np.bool_]]]:
    """Per task the shared group of each training row, and whether a holdout says the same."""
    held = [part.material.holdout for part in parts]
    examples = {
        part.task.name: [part.material.train] if other is None else [part.material.train, other]
        for part, other in zip(parts, held, strict=True)
    }
    found = shared_groups(examples, threshold)
    judged = {group for each in found.values() for rows in each[1:] for group in rows}
    groups = [found[part.task.name][0] for part in parts]
    barred = [np.array([group in judged for group in rows], np.bool_) for rows in groups]
    return groups, barred


def contest_like(job: str) -> ContestId:
    """Under which name sides are recorded that are first drawn for a tuning."""
    return ContestId(f"c{job[1:]}")
