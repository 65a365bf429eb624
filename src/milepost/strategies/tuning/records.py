"""What goes into a tuning and what comes out of it; no torch here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from milepost.models.adapters import Adapter
from milepost.models.graphs.bert import ADAPTABLE
from milepost.strategies.problems import framed

State = Adapter | Mapping[str, NDArray[np.generic]]
"""What tuning changed: an adapter, or all weights of the encoder by their names."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Corpus:
    """The examples of one task, to tune an encoder on.

    Attributes:
        name: What the task is called.
        labels: The ``k`` labels as texts to read, such as ``card arrival``.
        texts: ``n`` examples.
        y: ``(n,) int64`` index into ``labels``.
        descriptions: One per label, possibly empty, in the same order; none at all for ``()``.
        weight: How often it is drawn in relation to the others, > 0.
        sets: ``(n, k)``, above 0 where a label holds, of a task where any number may: ``y`` then
            only says which examples are alike. ``None`` where ``y`` is the label.

    Raises:
        ValueError: If the sizes do not fit each other.
    """

    name: str
    labels: tuple[str, ...]
    texts: tuple[str, ...]
    y: NDArray[np.int64]
    descriptions: tuple[str, ...] = ()
    weight: float = 1.0
    sets: NDArray[np.integer] | None = None

    def __post_init__(self) -> None:
        if len(self.texts) != len(self.y) or len(self.descriptions) not in {0, len(self.labels)}:
            raise ValueError("texts and y, labels and descriptions must be of equal length")
        if not self.weight > 0:
            raise ValueError("weight must be above 0")

    def with_labels(self) -> tuple[tuple[str, ...], NDArray[np.int64]]:
        """The examples followed by names, in all frames, and descriptions of the labels."""
        own = self._told()
        y = np.array([label for _, label in own], np.int64)
        return (*self.texts, *(text for text, _ in own)), np.concatenate([self.y, y])

    def targets(self) -> NDArray[np.float32] | None:
        """Which labels hold for the rows of ``with_labels``, ``(m, k)`` of 0 and 1."""
        if self.sets is None:
            return None
        k = len(self.labels)
        own = np.eye(k, dtype=np.float32)[[label for _, label in self._told()]]
        return np.vstack([(self.sets[:, :k] > 0).astype(np.float32), own.reshape(-1, k)])

    def _told(self) -> list[tuple[str, int]]:
        names = [
            (text, label)
            for label, name in enumerate(self.labels)
            if name.strip()
            for text in framed(name.strip())
        ]
        return names + [
            (text.strip(), label) for label, text in enumerate(self.descriptions) if text.strip()
        ]


_LEAST = {"layers": 1, "rank": 1, "steps": 1, "batch": 2, "max_tokens": 2, "decay": 0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """How an encoder is tuned.

    Attributes:
        layers: How many of the upper transformer layers are tuned, ≥ 1; those below run once per
            text. More than there are means all.
        parts: Which linear layers of them, of ``milepost.models.graphs.bert.ADAPTABLE``.
        rank: Width of the adapter, ≥ 1.
        alpha: Its scale; ``alpha / rank`` multiplies the product.
        steps: Steps of the optimiser, ≥ 1.
        batch: Examples in a step, ≥ 2.
        rate: Largest step size of AdamW, > 0; it rises over the first tenth and falls to 0.
        decay: Weight decay, ≥ 0.
        temperature: Of the similarities in the loss, > 0.
        contrast: Share of the contrastive loss in [0, 1]; the rest is that of one anchor per label.
        max_tokens: Longest text while tuning, in tokens, ≥ 2.
        keep: Shares of the steps after which the adapter is kept too, each in (0, 1).
        whole: Whether the layers' own weights are tuned, all of them, instead of an adapter.
        cutoff: Share of the tokens of each text that a step leaves out, in [0, 1) (Shen et al.
            2020, token cutoff).
        strength: Share of the change that is used, in (0, 1]: a point between the encoder's own
            weights and the tuned ones (Wortsman et al. 2022).
    """

    layers: int = 3
    parts: tuple[str, ...] = ("query", "value")
    rank: int = 8
    alpha: float = 16.0
    steps: int = 200
    batch: int = 64
    rate: float = 1e-3
    decay: float = 0.01
    temperature: float = 0.1
    contrast: float = 0.5
    max_tokens: int = 96
    keep: tuple[float, ...] = ()
    whole: bool = False
    cutoff: float = 0.0
    strength: float = 1.0

    def __post_init__(self) -> None:
        for name, least in _LEAST.items():
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}")
        for name in ("rate", "temperature", "alpha"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be above 0")
        if not self.parts or not set(self.parts) <= set(ADAPTABLE):
            raise ValueError(f"parts must be some of {', '.join(ADAPTABLE)}")
        if not 0 <= self.contrast <= 1 or not all(0 < share < 1 for share in self.keep):
            raise ValueError("contrast must lie in [0, 1], keep in (0, 1)")
        if not 0 <= self.cutoff < 1 or not 0 < self.strength <= 1:
            raise ValueError("cutoff must lie in [0, 1), strength in (0, 1]")


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Tuned:
    """What a tuning came to.

    Attributes:
        state: After the last step.
        kept: After the shares of ``Tuning.keep``, in its order; fewer where time ran out.
        losses: Mean loss of each step.
        steps: Steps that were taken.
    """

    state: State
    kept: Sequence[State] = ()
    losses: Sequence[float] = ()
    steps: int = 0

    @property
    def adapter(self) -> Adapter:
        """The state, of a tuning that was not ``whole``.

        Raises:
            TypeError: If it was.
        """
        return _adapter(self.state)

    def scaled(self, share: float) -> "Tuned":
        """With so much of the change.

        Raises:
            TypeError: If whole layers were tuned.
        """
        kept = [_adapter(each).scaled(share) for each in self.kept]
        return replace(self, state=self.adapter.scaled(share), kept=kept)


def _adapter(state: State) -> Adapter:
    if not isinstance(state, Adapter):
        raise TypeError("a tuning of whole layers has no adapter")
    return state


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """Examples of one corpus in a step.

    Attributes:
        corpus: Its index.
        rows: ``(b,) int64`` rows of ``Corpus.with_labels``.
    """

    corpus: int
    rows: NDArray[np.int64]
