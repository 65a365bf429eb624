"""Zero-shot: the task's words and nothing else are shown; examples say what answers are worth."""

from dataclasses import dataclass
from typing import ClassVar

from milepost.entities.kinds import Kind
from milepost.predictors.prompting.predictor import PromptedPredictor
from milepost.strategies.prompting.fitting import (
    asked_of,
    cannot_ask,
    fitted,
    stable_rows,
    start,
)
from milepost.strategy import Problem


@dataclass(frozen=True, slots=True)
class Prompted:
    """One prompt, without examples.

    Attributes:
        counted_on: Most solved examples whose answers are counted, >= 0. In a contest these are
            asked about anyway, and cost nothing more.
        samples: How often the same is asked, >= 1; beyond the first, answers are drawn at
            temperature 0.7 and weighed together (self-consistency, Wang et al. 2023).
    """

    name: ClassVar[str] = "prompted"
    kinds: ClassVar[tuple[Kind, ...]] = ("classify", "match")
    asks: ClassVar[bool] = True

    counted_on: int = 2000
    samples: int = 1

    def __post_init__(self) -> None:
        if self.counted_on < 0 or not 1 <= self.samples <= 16:
            raise ValueError("counted_on must be at least 0, and samples lie between 1 and 16")

    def supports(self, problem: Problem) -> str | None:
        """It needs a language model, and labels that answers can tell apart."""
        return cannot_ask(problem)

    def fit(self, problem: Problem) -> PromptedPredictor:
        """Ask about the examples, and count what the answers are worth."""
        template = start(problem)
        asked = [asked_of(problem, template, sample) for sample in range(self.samples)]
        rows = stable_rows(problem)[: self.counted_on]
        return fitted(problem, asked, rows, progress=problem.progress)
