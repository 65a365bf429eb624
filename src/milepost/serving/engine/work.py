"""What is asked of the engine and what it answers. Knows no thread and no queue."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from milepost.models.trunk import Passed
from milepost.predictors.base import Predictor
from milepost.serving.engine.heads import blocks_of

TrunkKey = tuple[str, str]
"""Digest and variant of an encoder."""


class Encoding(Protocol):
    """What the engine needs of a trunk; ``milepost.models.trunk.Trunk`` is one."""

    @property
    def digest(self) -> str:
        """Digest of the encoder."""
        ...

    @property
    def variant(self) -> str:
        """Its numeric variant."""
        ...

    @property
    def max_tokens(self) -> int:
        """Longest input in tokens."""
        ...

    def tokenise(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids per text; any thread may call."""
        ...

    def forward(self, tokens: Sequence[Sequence[int]], *, states: bool = False) -> Passed:
        """One pass on the calling thread."""
        ...

    def padded_cost(self, lengths: Sequence[int]) -> int:
        """Tokens that a pass of rows of these lengths works on."""
        ...


class Head(Protocol):
    """A predictor that answers on a trunk, or on the text alone."""

    @property
    def bundle(self) -> str:
        """Digest of its bundle: equal digests give equal answers."""
        ...

    @property
    def predictor(self) -> Predictor:
        """What answers."""
        ...

    @property
    def trunk(self) -> TrunkKey | None:
        """Whose vectors it reads; ``None`` where it reads text."""
        ...


class Stack:
    """All that is asked of one text: the answering head, then shadow and guards.

    Built once per plan, never changes, shared by all threads.

    Args:
        heads: In the order of the answers; those that read vectors share one trunk. None where
            only the vector is wanted.
        trunk: Whose vectors are wanted; ``None`` takes that of the heads.
        own: How many of the first heads no other stack asks, such as answering head and shadow;
            the rest, such as guards, is in memory once for all stacks that ask the same.
        states: Whether the states of the tokens are wanted too.

    Raises:
        ValueError: If the heads read vectors of several trunks, or states are wanted of none.
    """

    __slots__ = ("__weakref__", "blocks", "heads", "key", "states", "trunk")

    def __init__(
        self,
        heads: Sequence[Head],
        trunk: TrunkKey | None = None,
        *,
        own: int = 1,
        states: bool = False,
    ) -> None:
        self.heads = tuple(heads)
        trunks = {each.trunk for each in self.heads} | {trunk}
        trunks.discard(None)
        if len(trunks) > 1:
            raise ValueError(f"the heads of a stack read vectors of {len(trunks)} trunks, not one.")
        self.trunk: TrunkKey | None = trunks.pop() if trunks else None
        if states and self.trunk is None:
            raise ValueError("a stack without a trunk has no states of tokens.")
        self.states = states
        self.blocks = blocks_of(self.heads, own)
        self.key = "|".join(each.bundle for each in self.heads)


@dataclass(slots=True)
class Work:
    """One text and what is asked of it.

    Attributes:
        text: Prepared as the heads were fitted.
        stack: What is asked.
        deadline: ``time.monotonic()`` after which nobody waits; ``None`` for never.
    """

    text: str
    stack: Stack
    deadline: float | None = None


@dataclass(slots=True, eq=False)
class Outcome:
    """What became of one text. Shared by all who asked the same: never change it.

    Attributes:
        probabilities: Per head ``(k,) float32``, calibrated; ``None`` for a head that failed.
        vector: ``(d,) float32``; ``None`` where nothing reads vectors.
        tokens: Encoder tokens that were read for it, special tokens included; 0 from the cache.
        spared: Its tokens where they were not read, because it or its vector was in the cache.
        cached: Whether it came from the cache.
        error: Why there is no answer at all: late, refused, or the encoder failed.
        failures: Why a head has no answer, by its place.
        states: ``(tokens, d) float32`` where they were asked for.
        told: What whoever asked made of it, kept with it: the same question needs it again. The
            engine does not look at it.
    """

    probabilities: tuple[NDArray[np.float32] | None, ...] = ()
    vector: NDArray[np.float32] | None = None
    tokens: int = 0
    spared: int = 0
    cached: bool = False
    error: Exception | None = None
    failures: dict[int, Exception] | None = None
    states: NDArray[np.float32] | None = None
    told: object = None
