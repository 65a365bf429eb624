"""What is asked of the engine and what it answers. Knows no thread and no queue."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from milepost.models.adapters import Adapter
from milepost.models.trunk import Passed
from milepost.models.words import WordTokens
from milepost.predictors.base import Predictor
from milepost.predictors.reading import space_name, spaces_of
from milepost.serving.engine.heads import blocks_of

Vectors = Mapping[str | None, NDArray[np.float32]]
"""Vectors of one text by the name of the space, see ``space_name``; states of its words, too."""

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

    def forward(
        self,
        tokens: Sequence[Sequence[int]],
        *,
        states: bool = False,
        adapters: Sequence[Adapter | None] | None = None,
    ) -> Passed:
        """One pass on the calling thread, each row with its adapter."""
        ...

    def word_tokens(self, texts: Sequence[str]) -> list[WordTokens]:
        """Tokens of each text by word; any thread may call."""
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

    Built once per plan, never changes, shared by all threads. Heads of one trunk that run with
    different adapters are asked together: the text is then a row per adapter of the same pass.

    Args:
        heads: In the order of the answers; those that read vectors share one trunk. None where
            only the vector is wanted.
        trunk: Whose vectors are wanted; ``None`` takes that of the heads.
        own: How many of the first heads no other stack asks, such as answering head and shadow;
            the rest, such as guards, is in memory once for all stacks that ask the same.
        states: Whether the states of the tokens are wanted too, of the trunk without an adapter.

    Raises:
        ValueError: If the heads read vectors of several trunks, or states are wanted of none.
    """

    __slots__ = ("__weakref__", "blocks", "heads", "key", "spaces", "states", "trunk")

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
        spaces = spaces_of([each.predictor for each in self.heads])
        if self.trunk is not None and (states or not spaces):
            spaces = (*spaces, None)
        self.spaces = {space_name(each): each for each in spaces}
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
        vectors: ``(d,) float32`` of each space that was read, by its name.
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
    vectors: Vectors = field(default_factory=dict[str | None, NDArray[np.float32]])
    tokens: int = 0
    spared: int = 0
    cached: bool = False
    error: Exception | None = None
    failures: dict[int, Exception] | None = None
    states: NDArray[np.float32] | None = None
    told: object = None

    @property
    def vector(self) -> NDArray[np.float32] | None:
        """That of the trunk without an adapter; ``None`` where nothing reads it."""
        return self.vectors.get(None)

    def read_by(self, predictor: Predictor) -> NDArray[np.float32] | None:
        """What a predictor reads of the vectors, ``(d,)`` or side by side; ``None`` for text."""
        names = [space_name(each) for each in predictor.spaces]
        if not names or not all(name in self.vectors for name in names):
            return None
        return np.concatenate([self.vectors[name] for name in names])
