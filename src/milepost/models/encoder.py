"""What an encoder promises, so that everything above can be written against it."""

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from milepost.entities.errors import EncoderError
from milepost.models.adapters import Adapter

Progress = Callable[[int, int], None]
"""Called with (texts done, texts in all) from time to time."""


@runtime_checkable
class Encoder(Protocol):
    """Turns text into vectors.

    The same text gives the same vector whatever else is in the batch (within 1e-5).
    """

    @property
    def name(self) -> str:
        """Name for people, such as ``all-MiniLM-L6-v2``."""
        ...

    @property
    def digest(self) -> str:
        """SHA-256 over weights, tokenizer, pooling, normalisation and token limit."""
        ...

    @property
    def variant(self) -> str:
        """Numeric variant that runs, such as ``fp32``."""
        ...

    @property
    def dimensions(self) -> int:
        """Length ``d`` of a vector."""
        ...

    def encode(self, texts: Sequence[str], progress: Progress | None = None) -> NDArray[np.float32]:
        """Vectors ``(n, d) float32`` of unit length, in the order of ``texts``."""
        ...


@runtime_checkable
class Adaptable(Protocol):
    """An encoder that can run with a low-rank adapter."""

    def adapted(self, adapter: Adapter) -> Encoder:
        """The same encoder with the adapter: other vectors under another digest.

        Raises:
            EncoderError: If the adapter was made for another encoder, or this one takes none.
        """
        ...


def adapted(encoder: Encoder, adapter: Adapter) -> Encoder:
    """An encoder with an adapter.

    Raises:
        EncoderError: If the adapter was made for another encoder, or this one takes none.
    """
    if not isinstance(encoder, Adaptable):
        raise EncoderError(
            f"the encoder {encoder.name!r} runs without adapters.",
            advice="Use an encoder of type bert.",
        )
    return encoder.adapted(adapter)


class WrappedEncoder:
    """Another encoder with something around it; the same vectors under the same name.

    Args:
        inner: The encoder that is wrapped.
    """

    def __init__(self, inner: Encoder) -> None:
        self.inner = inner

    @property
    def name(self) -> str:
        """As the inner encoder."""
        return self.inner.name

    @property
    def digest(self) -> str:
        """As the inner encoder: what is around it changes no vector."""
        return self.inner.digest

    @property
    def variant(self) -> str:
        """As the inner encoder."""
        return self.inner.variant

    @property
    def dimensions(self) -> int:
        """As the inner encoder."""
        return self.inner.dimensions
