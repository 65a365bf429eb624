"""Inputs of several parts, such as an image and what was written of it: their vectors side by side.

Knows inputs as ``milepost.entities.inputs`` writes them.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from milepost.entities.inputs import MARK
from milepost.models.adapters import Adapter
from milepost.models.encoder import Encoder, Progress, WrappedEncoder
from milepost.models.trunk import Passed, Trunk
from milepost.models.words import WordTokens

PARTS = "+parts"
"""What stands behind the digest of a trunk that is asked for several parts, before their number."""


class BesideEncoder(WrappedEncoder):
    """Vectors of inputs of several parts, one after the other. Thread safe when the inner one is.

    A text that is not in parts, such as the name of a label, stands for each of them. The digest is
    that of the inner encoder: that there are parts says the composition of a task's inputs.

    Args:
        inner: Encodes the parts.
        parts: How many, > 1.
    """

    def __init__(self, inner: Encoder, parts: int) -> None:
        super().__init__(inner)
        self.parts = parts

    @property
    def dimensions(self) -> int:
        """Length of the vectors of all parts together."""
        return self.parts * self.inner.dimensions

    def encode(self, texts: Sequence[str], progress: Progress | None = None) -> NDArray[np.float32]:
        """Vectors ``(n, parts · d) float32``, in the order of ``texts``."""
        if not texts:
            return np.zeros((0, self.dimensions), np.float32)
        rows = [parts_of(text, self.parts) for text in texts]
        different = list(dict.fromkeys(part for row in rows for part in row))
        place = {part: at for at, part in enumerate(different)}
        vectors = self.inner.encode(different, progress)
        return vectors[[[place[part] for part in row] for row in rows]].reshape(len(texts), -1)


class BesideTokens(list[int]):
    """Tokens of all parts, one after the other, and each by itself.

    Args:
        parts: Tokens of each part.
    """

    def __init__(self, parts: Sequence[list[int]]) -> None:
        super().__init__(token for part in parts for token in part)
        self.parts = tuple(parts)


class BesideTrunk:
    """A trunk as a server asks it, for inputs of several parts. Thread safe.

    Args:
        inner: Encodes the parts.
        parts: How many, > 1.
    """

    def __init__(self, inner: Trunk, parts: int) -> None:
        self.inner = inner
        self.parts = parts

    @property
    def digest(self) -> str:
        """That of the trunk with the number of parts behind it."""
        return f"{self.inner.digest}{PARTS}{self.parts}"

    @property
    def variant(self) -> str:
        """Numeric variant that runs."""
        return self.inner.variant

    @property
    def max_tokens(self) -> int:
        """Most tokens of all parts together."""
        return self.parts * self.inner.max_tokens

    def tokenise(self, texts: Sequence[str]) -> list[list[int]]:
        """Tokens of the parts of each text; any thread may call."""
        tokens = self.inner.tokenise([p for text in texts for p in parts_of(text, self.parts)])
        starts = range(0, len(tokens), self.parts)
        return [BesideTokens(tokens[at : at + self.parts]) for at in starts]

    def word_tokens(self, texts: Sequence[str]) -> list[WordTokens]:
        """Nothing: the words of several parts are those of several texts.

        Raises:
            ValueError: Always.
        """
        raise ValueError(f"The words of {len(texts)} inputs of several parts are wanted.")

    def forward(
        self,
        tokens: Sequence[Sequence[int]],
        *,
        states: bool = False,
        adapters: Sequence[Adapter | None] | None = None,
    ) -> Passed:
        """One pass of the parts of all rows together, on the calling thread.

        Raises:
            ValueError: If rows are not what ``tokenise`` gave, or states of tokens are wanted.
        """
        rows = [row for row in tokens if isinstance(row, BesideTokens)]
        if len(rows) != len(tokens) or states:
            raise ValueError("An input of several parts has no states of its own tokens.")
        parts = [part for row in rows for part in row.parts]
        spread = None if adapters is None else [a for a in adapters for _ in range(self.parts)]
        return Passed(self.inner.forward(parts, adapters=spread).vectors.reshape(len(rows), -1))

    def padded_cost(self, lengths: Sequence[int]) -> int:
        """Tokens that a pass of rows of these lengths works on, about."""
        return sum(lengths)


def parts_of(text: str, parts: int) -> list[str]:
    """The parts of an input; of a text that is not in parts, such as a label's name, the same."""
    found = [each.strip() for each in text.split(MARK)]
    return found if len(found) == parts else [text] * parts
