"""Several phrasings of one question, weighed together."""

from dataclasses import dataclass
from typing import ClassVar

from milepost.entities.kinds import Kind
from milepost.predictors.prompting.builtin import PHRASINGS, builtin_prompt
from milepost.predictors.prompting.predictor import PromptedPredictor
from milepost.strategies.prompting.fitting import (
    asked_of,
    cannot_ask,
    fitted,
    form_of,
    stable_rows,
    start,
)
from milepost.strategy import Problem


@dataclass(frozen=True, slots=True)
class PromptEnsemble:
    """Ask Me Anything (Arora et al. 2022), with weights from solved examples.

    What each phrasing says is weighed by how often it is right, label by label, and the phrasings
    by how much they add to each other.

    Attributes:
        phrasings: How many, 2 to 4: the task's own prompt first, then built-in ones.
        counted_on: Most solved examples whose answers are counted, >= 0.
    """

    name: ClassVar[str] = "prompt_ensemble"
    kinds: ClassVar[tuple[Kind, ...]] = ("classify", "match")
    asks: ClassVar[bool] = True

    phrasings: int = 3
    counted_on: int = 2000

    def __post_init__(self) -> None:
        if not 2 <= self.phrasings <= len(PHRASINGS) or self.counted_on < 0:
            raise ValueError(
                f"phrasings must lie between 2 and {len(PHRASINGS)}, and counted_on be at least 0"
            )

    def supports(self, problem: Problem) -> str | None:
        """It needs a language model, and labels that answers can tell apart."""
        return cannot_ask(problem)

    def fit(self, problem: Problem) -> PromptedPredictor:
        """Ask every phrasing about the examples, and count what the answers are worth."""
        form = form_of(problem)
        others = [
            builtin_prompt(form, phrasing=phrasing, input_name=problem.input_name)
            for phrasing in PHRASINGS[1:]
        ]
        templates = [start(problem), *others][: self.phrasings]
        rows = stable_rows(problem)[: self.counted_on]
        asked = [asked_of(problem, template) for template in templates]
        return fitted(problem, asked, rows, progress=problem.progress)
