"""The predictor that gives every input the same answer: the log prior."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from milepost.entities.spans import NONE
from milepost.predictors.base import Batch, Predictor
from milepost.predictors.parts import Expected, check_arrays, check_parameters

_FIRST = 1e-5
"""Added to the first label's logit where all are as good as equal: enough to be seen in float32."""


class _NoParameters(msgspec.Struct, frozen=True):
    """This kind has none."""


@dataclass(frozen=True, eq=False, kw_only=True)
class ConstantPredictor(Predictor):
    """Answers the prior, whatever the input.

    It always decides: where all labels are equally frequent it is for the first one.

    Attributes:
        log_prior: ``(k,) float64``, logarithm of the probability of each label; its log odds where
            any number of labels hold, and the answer where that is a number.
    """

    kind: ClassVar[str] = "constant"
    uses: ClassVar[Literal["text", "vectors"]] = "text"

    log_prior: NDArray[np.float64]

    def logits(self, batch: Batch) -> NDArray[np.float64]:
        """The log prior in every row, ``(n, k) float64``; of spans always none."""
        if self.link == "spans":
            return np.full((len(batch), self.width), float(NONE))
        log_prior = self.log_prior
        if self.link == "softmax" and np.ptp(log_prior) < _FIRST:
            log_prior = log_prior.copy()
            log_prior[0] += _FIRST
        return np.tile(log_prior, (len(batch), 1))

    def arrays(self) -> Mapping[str, NDArray[np.generic]]:
        """``log_prior``."""
        return {"log_prior": self.log_prior}

    @classmethod
    def from_parts(
        cls,
        labels: tuple[str, ...],
        temperature: float,
        arrays: Mapping[str, NDArray[np.generic]],
        parameters: Mapping[str, object],
    ) -> Self:
        """See :meth:`Predictor.from_parts`."""
        check_arrays(arrays, {"log_prior": Expected(np.float64, (len(labels),))})
        check_parameters(parameters, _NoParameters)
        log_prior = np.asarray(arrays["log_prior"], np.float64)
        return cls(labels=labels, temperature=temperature, log_prior=log_prior)
