"""Few-shot: each input is shown with solved examples, the nearest ones or a few chosen ones."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from milepost.entities.kinds import Kind
from milepost.predictors.prompting.predictor import PromptedPredictor
from milepost.strategies.prompting.fitting import (
    Rows,
    Store,
    asked_of,
    cannot_ask,
    directions,
    fitted,
    stable_rows,
    start,
)
from milepost.strategy import Problem


@dataclass(frozen=True, slots=True)
class PromptedExamples:
    """One prompt with solved examples (Brown et al. 2020; nearest ones: Liu et al. 2022).

    While the worth of answers is counted, no example is shown itself or what is like it.

    Attributes:
        shots: How many are shown, 1 to 64.
        choose: ``nearest``: those nearest to the input by the encoder. ``fixed``: the same for all
            inputs, all labels in turn, each time the one least like those that were chosen.
        counted_on: Most solved examples whose answers are counted, >= 0; each fold asks about its
            own, because other examples are nearest there.
        stored: Most solved examples that nearest ones are looked for among, >= 1.
    """

    name: ClassVar[str] = "prompted_examples"
    kinds: ClassVar[tuple[Kind, ...]] = ("classify", "match")
    asks: ClassVar[bool] = True

    shots: int = 8
    choose: Literal["nearest", "fixed"] = "nearest"
    counted_on: int = 60
    stored: int = 5000

    def __post_init__(self) -> None:
        if not 1 <= self.shots <= 64 or self.counted_on < 0 or self.stored < 1:
            raise ValueError(
                "shots must lie between 1 and 64, counted_on be at least 0 and stored at least 1"
            )

    def supports(self, problem: Problem) -> str | None:
        """It needs a language model, labels that answers can tell apart, and an example."""
        return cannot_ask(problem, examples=True)

    def fit(self, problem: Problem) -> PromptedPredictor:
        """Keep or choose examples, and count what answers beside them are worth."""
        order = stable_rows(problem)
        vectors = directions(problem, problem.texts)
        problem.progress(0.1)
        if self.choose == "nearest":
            kept = np.sort(order[: self.stored])
            store = Store(kept, vectors[kept])
            counted = order[: self.counted_on]
        else:
            store = Store(diverse(vectors, problem.y, order, self.shots))
            counted = order[~np.isin(order, store.rows)][: self.counted_on]
        shots = min(self.shots, len(store.rows))
        asked = [asked_of(problem, start(problem, shots))]
        return fitted(
            problem, asked, counted, store, lambda share: problem.progress(0.1 + 0.9 * share)
        )


def diverse(vectors: NDArray[np.float32], y: Rows, order: Rows, count: int) -> Rows:
    """Rows of a few examples: the labels in turn, each time the one least like those chosen.

    The first of a label is the one nearest to its mean (farthest-first traversal, Gonzalez 1985,
    within each label).

    Args:
        vectors: ``(n, d) float32`` of unit length.
        y: ``(n,)`` labels.
        order: ``(n,)`` rows in the order in which ties are decided.
        count: How many.
    """
    by_label = {label: order[y[order] == label] for label in np.unique(y).tolist()}
    chosen: list[int] = []
    while len(chosen) < min(count, len(y)):
        for label, rows in by_label.items():
            left = rows[~np.isin(rows, chosen)]
            if not len(left) or len(chosen) >= count:
                continue
            taken = [i for i in chosen if y[i] == label]
            if taken:
                far = -(vectors[left] @ vectors[taken].T).max(axis=1)
            else:
                far = vectors[left] @ vectors[rows].mean(axis=0)
            chosen.append(int(left[far.round(5).argmax()]))
    return np.array(chosen, np.int64)
