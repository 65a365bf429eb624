"""The extension point: a strategy fits a predictor to a problem.

A plug-in needs this module and ``milepost.predictors`` and nothing above them. A strategy is a
frozen dataclass of parameters; what it learns is in the predictor that it returns.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from milepost._base.clock import Deadline
from milepost.models.encoder import Encoder
from milepost.predictors.base import Predictor


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """All that a strategy may know.

    Attributes:
        labels: The ``k`` label names, in the order that the predictor's columns must have.
        descriptions: A description per label, possibly empty, in the same order.
        instruction: The task's question in words; may be empty.
        texts: The ``n`` training inputs.
        y: ``(n,) int64``, index into ``labels``. A label may have no example at all.
        encoder: Turns text into vectors; vectors of texts seen before come from a cache.
        seed: Makes the fit deterministic.
        deadline: When to stop; a strategy that cannot stop early may ignore it.
        progress: Called with a share in [0, 1] from time to time.
    """

    labels: tuple[str, ...]
    descriptions: tuple[str, ...]
    instruction: str
    texts: tuple[str, ...]
    y: NDArray[np.int64]
    encoder: Encoder
    seed: int = 0
    deadline: Deadline = field(default_factory=Deadline)
    progress: Callable[[float], None] = field(default=lambda share: None)

    def take(self, rows: NDArray[np.int64]) -> "Problem":
        """The same problem with only the examples at ``rows``."""
        return Problem(
            labels=self.labels,
            descriptions=self.descriptions,
            instruction=self.instruction,
            texts=tuple(self.texts[i] for i in rows),
            y=self.y[rows],
            encoder=self.encoder,
            seed=self.seed,
            deadline=self.deadline,
            progress=self.progress,
        )


@runtime_checkable
class Strategy(Protocol):
    """A way to solve a task. Implementations are frozen dataclasses of parameters."""

    name: ClassVar[str]

    def supports(self, problem: Problem) -> str | None:
        """Why it cannot solve this problem, as a sentence, or ``None`` when it can."""
        ...

    def fit(self, problem: Problem) -> Predictor:
        """A predictor whose ``labels`` are ``problem.labels``; never changes the problem."""
        ...
