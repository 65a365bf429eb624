"""Who watches a training, whatever is trained."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

from milepost._base.clock import Deadline
from milepost.strategy import Problem


@dataclass(frozen=True, slots=True)
class Watch:
    """When to stop, and who is told.

    Attributes:
        deadline: Moment after which no further step is begun.
        progress: Called with the share of the steps taken, in [0, 1].
        note: Called with what did not go as asked, as a sentence.
    """

    deadline: Deadline = field(default_factory=Deadline)
    progress: Callable[[float], None] = field(default=lambda share: None)
    note: Callable[[str], None] = field(default=lambda sentence: None)

    @classmethod
    def of(cls, problem: Problem, share: float = 1.0) -> Self:
        """Whoever watches a fit, of which the training is so large a share."""
        return cls(problem.deadline, lambda done: problem.progress(share * done), problem.note)

    def late(self, done: int, steps: int) -> None:
        """Tell that the time was up before all steps were taken."""
        self.note(f"The time was up after {done:,} of {steps:,} steps.")
