"""An ensemble: the weighted mean of what several predictors believe.

Knows nothing of how members and weights were chosen.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from milepost.predictors.base import Batch, Predictor, Spaces
from milepost.predictors.members import Member, arrays_of, corrupt, plain_of, restored
from milepost.predictors.parts import check_parameters
from milepost.predictors.reading import part_of, spaces_of

MOST_MEMBERS = 12
"""Most members that a bundle may have."""

_TINY = 1e-30
"""Smallest probability whose logarithm is taken."""

_WORD = "member"


class _Parameters(msgspec.Struct, frozen=True):
    """Parameters of the ensemble and of its members."""

    members: tuple[Member, ...]
    shares: tuple[float, ...]


@dataclass(frozen=True, eq=False, kw_only=True)
class EnsemblePredictor(Predictor):
    """The mean of its members' calibrated probabilities.

    Attributes:
        members: Predictors with the labels of this one.
        names: Name of each.
        shares: Weight of each in the mean, above 0; they add up to 1.
    """

    kind: ClassVar[str] = "ensemble"
    uses: ClassVar[Literal["text", "vectors"]] = "vectors"

    members: tuple[Predictor, ...]
    names: tuple[str, ...]
    shares: tuple[float, ...]

    @property
    def spaces(self) -> Spaces:
        """Those of all members, each once."""
        return spaces_of(self.members)

    def logits(self, batch: Batch) -> NDArray[np.float64]:
        """Logarithms of the mean probabilities, ``(n, k) float64``."""
        mean, spaces = np.zeros((len(batch), len(self.labels))), self.spaces
        for member, share in zip(self.members, self.shares, strict=True):
            mean += share * member.predict(part_of(batch, spaces, member)).probabilities
        return np.log(np.maximum(mean, _TINY))

    def arrays(self) -> Mapping[str, NDArray[np.generic]]:
        """Those of each member, under ``member0.``, ``member1.`` and so on."""
        return arrays_of(self.members, _WORD)

    def parameters(self) -> dict[str, object]:
        """Kind, name, temperature and parameters of each member; their shares."""
        return {"members": plain_of(self.names, self.members), "shares": list(self.shares)}

    @classmethod
    def from_parts(
        cls,
        labels: tuple[str, ...],
        temperature: float,
        arrays: Mapping[str, NDArray[np.generic]],
        parameters: Mapping[str, object],
    ) -> Self:
        """See :meth:`Predictor.from_parts`."""
        content = check_parameters(parameters, _Parameters)
        shares = np.array(content.shares)
        if not 1 <= len(content.members) <= MOST_MEMBERS:
            raise corrupt(f"it has {len(content.members)} members.")
        if len(shares) != len(content.members):
            raise corrupt("there are other numbers of members and shares.")
        if not (np.isfinite(shares).all() and (shares > 0).all() and abs(shares.sum() - 1) < 1e-6):
            raise corrupt("the shares are no positive numbers that add up to 1.")
        members = restored(labels, content.members, arrays, _WORD)
        if any(member.upstreams for member in members):
            raise corrupt("a member asks language models, which this kind never does.")
        if (cls.uses == "vectors") != any(member.uses == "vectors" for member in members):
            raise corrupt("this kind reads other inputs than its members.")
        return cls(
            labels=labels,
            temperature=temperature,
            members=members,
            names=tuple(each.name for each in content.members),
            shares=content.shares,
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class TextEnsemblePredictor(EnsemblePredictor):
    """An ensemble none of whose members reads vectors, so that no encoder runs for it."""

    kind: ClassVar[str] = "text_ensemble"
    uses: ClassVar[Literal["text", "vectors"]] = "text"


def ensemble_of(members: tuple[Predictor, ...]) -> type[EnsemblePredictor]:
    """The kind that such members need."""
    reads = any(member.uses == "vectors" for member in members)
    return EnsemblePredictor if reads else TextEnsemblePredictor
