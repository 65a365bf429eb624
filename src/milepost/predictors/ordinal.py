"""The predictor of scores on a scale: one number per input, and cut points between levels."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from milepost.predictors.base import Batch, Predictor
from milepost.predictors.parts import Expected, check_arrays, check_parameters, corrupt_array

Answer = Literal["mean", "median"]
"""What of the levels' distribution is answered: the mean has the least squared error, the median,
which is one of the levels, the least absolute one."""


class _Parameters(msgspec.Struct, frozen=True):
    """JSON-able parameters, named as in ``OrdinalPredictor``."""

    answer: Answer


@dataclass(frozen=True, eq=False, kw_only=True)
class OrdinalPredictor(Predictor):
    """A score from cumulative log odds (McCullagh 1980): ``x @ weights - cuts``.

    Attributes:
        weights: ``(d,) float32``.
        cuts: ``(m - 1,) float64``, ascending; that at ``j`` parts level ``j`` from the next.
        levels: ``(m,) float64`` the scores of the scale, ascending, each different.
        answer: What is answered.
    """

    kind: ClassVar[str] = "ordinal"
    uses: ClassVar[Literal["text", "vectors"]] = "vectors"

    weights: NDArray[np.float32]
    cuts: NDArray[np.float64]
    levels: NDArray[np.float64]
    answer: Answer

    def logits(self, batch: Batch) -> NDArray[np.float64]:
        """The scores, ``(n, 1) float64``, from the lowest level to the highest."""
        vectors = batch.require_vectors(len(self.weights))
        # A row by itself: a product of matrices rounds otherwise in other company, and a median
        # would jump to the next level.
        at = (vectors * self.weights).sum(axis=1, dtype=np.float64)
        return scores_of(at[:, None] - self.cuts, self.levels, self.answer)[:, None]

    def arrays(self) -> Mapping[str, NDArray[np.generic]]:
        """``weights``, ``cuts`` and ``levels``."""
        return {"weights": self.weights, "cuts": self.cuts, "levels": self.levels}

    def parameters(self) -> dict[str, object]:
        """``answer``."""
        return {"answer": self.answer}

    @classmethod
    def from_parts(
        cls,
        labels: tuple[str, ...],
        temperature: float,
        arrays: Mapping[str, NDArray[np.generic]],
        parameters: Mapping[str, object],
    ) -> Self:
        """See :meth:`Predictor.from_parts`."""
        given = arrays.get("levels")
        m = len(given) if given is not None and given.ndim else 0
        expected = {
            "weights": Expected(np.float32, (None,)),
            "cuts": Expected(np.float64, (max(m - 1, 0),)),
            "levels": Expected(np.float64, (m,)),
        }
        check_arrays(arrays, expected)
        cuts, levels = (np.asarray(arrays[name], np.float64)
                              for name in ("cuts", "levels"))  # fmt: skip
        if m == 0 or (np.diff(levels) <= 0).any():
            raise corrupt_array("levels", "is empty, or not in ascending order.")
        if (np.diff(cuts) < 0).any():
            raise corrupt_array("cuts", "is not in ascending order.")
        return cls(
            labels=labels,
            temperature=temperature,
            weights=np.asarray(arrays["weights"], np.float32),
            cuts=cuts,
            levels=levels,
            answer=check_parameters(parameters, _Parameters).answer,
        )


def scores_of(
    above: NDArray[np.float64], levels: NDArray[np.float64], answer: Answer
) -> NDArray[np.float64]:
    """Scores ``(n,)`` of the log odds ``(n, m - 1)`` of being above each level but the highest."""
    if answer == "median":
        return levels[(above > 0.0).sum(axis=1)]
    likely = 0.5 * (1.0 + np.tanh(0.5 * above))
    return levels[0] + (likely * np.diff(levels)).sum(axis=1)
