"""A head on an encoder that was tuned over many tasks at once."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from milepost.models.encoder import Adaptable, adapted
from milepost.predictors.base import Predictor
from milepost.strategies.problems import too_few_labels
from milepost.strategies.tuned_encoder import FEWEST, TunedEncoder
from milepost.strategies.tuning.foreseen import steps_for
from milepost.strategies.tuning.heads import Head, Space
from milepost.strategies.tuning.mixing import Mix
from milepost.strategies.tuning.records import Tuning
from milepost.strategy import DeclinedError, Problem

FEWEST_STEPS = 50
"""Steps by default: a third of those that a task of so many examples alone would take, and at least
these. On 19 small tasks 50 steps on 1,000 examples were enough."""

ALONE = TunedEncoder(strength=1.0, unlabeled=0)
"""How the encoder is tuned on the task's own examples: as by ``tuned_encoder``, whose work is taken
over where it is recent."""

_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Multitask:
    """Logistic regression on the vectors of ``Problem.joint``, adapters tuned over many tasks.

    The adapters come with the problem: tuning them is the work of all tasks together. A fit takes
    the one that saw none of the task's rows but those that the fit is given, so that whatever is
    cross-fitted on the problem's own folds is honest. A third of its change and two thirds of what
    ``tuned_encoder`` makes of these rows alone are added: a mean of both (Wortsman et al. 2022, on
    weights of full models) answers better than either.

    Attributes:
        c: Inverse strength of the L2 penalty, > 0.
        label_weight: How many examples a label's name and description count for together, >= 0.
        strength: Share of the change by all tasks that is used, in (0, 1].
        own: Share of the change by the task's own examples that is added, in [0, 1]; 0 tunes
            nothing for the task alone, and all tasks are served with one adapter.
        layers: How many upper layers of the encoder are tuned; as all that follows it is about
            the tuning of all tasks, and set for the call (``--set multitask.layers=6``).
        rank: Width of the adapter, >= 1.
        rate: Largest step size, > 0.
        temperature: Of similarities in the loss, > 0.
        contrast: Share of the contrastive loss in [0, 1].
        steps: Steps of tuning, >= 1; ``None`` takes them from the number of examples.
        batch: Examples in a step, >= 2, divided among the tasks of the step.
        at_once: Tasks in a step, >= 1.
        cap: Examples of a task that count when it is drawn, >= 1.
        exponent: A task is drawn by its capped size to this power, in [0, 1].
        weighting: How the losses of a step's tasks are weighed; see ``Mix``.
        conflicts: Whether gradients that point against each other are projected; see ``Mix``.
    """

    name: ClassVar[str] = "multitask"

    c: float = 10.0
    label_weight: float = 2.0
    strength: float = 0.33
    own: float = 0.67
    layers: int = 3
    rank: int = 8
    rate: float = 3e-3
    temperature: float = 0.1
    contrast: float = 0.5
    steps: int | None = None
    batch: int = 64
    at_once: int = 4
    cap: int = 1000
    exponent: float = 0.5
    weighting: Literal["uniform", "uncertainty", "famo"] = "uniform"
    conflicts: Literal["sum", "project"] = "sum"

    def __post_init__(self) -> None:
        if self.c <= 0 or self.label_weight < 0:
            raise ValueError("c must be above 0, label_weight at least 0")
        if not 0 < self.strength <= 1:
            raise ValueError("strength must be above 0 and at most 1")
        if not 0 <= self.own <= 1:
            raise ValueError("own must lie in [0, 1]")
        self.tuning(2)  # checks what it takes over
        self.mix()

    def tuning(self, rows: int) -> Tuning:
        """How the encoder is tuned on so many examples of all tasks, label names included."""
        return Tuning(
            layers=self.layers,
            rank=self.rank,
            rate=self.rate,
            temperature=self.temperature,
            contrast=self.contrast,
            steps=self._steps(rows) if self.steps is None else self.steps,
            batch=self.batch,
        )

    def _steps(self, rows: int) -> int:
        return max(FEWEST_STEPS, steps_for(rows, self.batch) // 3)

    def mix(self) -> Mix:
        """How the tasks share the tuning."""
        return Mix(
            at_once=self.at_once,
            cap=self.cap,
            exponent=self.exponent,
            weighting=self.weighting,
            conflicts=self.conflicts,
        )

    def supports(self, problem: Problem) -> str | None:
        """It needs tasks that were tuned together, and two labels with an example."""
        if problem.joint is None:
            return "It takes several tasks tuned together: milepost improve --together."
        if not isinstance(problem.encoder, Adaptable):
            return f"The encoder {problem.encoder.name} runs without adapters."
        few = too_few_labels(problem)
        return few or (ALONE.supports(problem) if self._tunes(problem) else None)

    def seconds(self, problem: Problem) -> float:
        """Those of tuning on the task's own rows; what all tasks took together is done."""
        return _SECONDS + (ALONE.seconds(problem) if self._tunes(problem) else 0.0)

    def _tunes(self, problem: Problem) -> bool:
        """Whether the task's own examples tune, too: some, and enough."""
        return self.own > 0 and len(problem.texts) >= FEWEST

    def fit(self, problem: Problem) -> Predictor:
        """Tune on the task's own rows, encode with the mean of both adapters, and fit the head.

        Raises:
            DeclinedError: If every adapter saw a row that the fit must not know, or tuning fails.
        """
        joint = problem.joint
        adapter = None if joint is None else joint.adapter_for(problem.texts)
        if adapter is None:
            raise DeclinedError("Every adapter was tuned on rows that this fit must not know.")
        adapter = adapter.scaled(self.strength)
        if self._tunes(problem):
            adapter = adapter.plus(ALONE.adapter(problem).scaled(self.own))
        space = Space(adapted(problem.encoder, adapter), adapter=adapter)
        head = Head(problem, self.c, self.label_weight)
        predictor = head.predictor(space, np.arange(len(problem.texts)))
        problem.progress(1.0)
        return predictor
