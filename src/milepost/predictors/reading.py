"""Which vectors a predictor reads: those of the encoder, or of the encoder with its adapters.

Knows predictors and encoders; knows neither caches nor how an adapter runs.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from milepost._base.digest import digest_of
from milepost.models.adapters import Adapter
from milepost.models.encoder import Encoder, Progress, WrappedEncoder, adapted
from milepost.models.words import WordSpace, word_states
from milepost.predictors.base import Batch, Predictor, Spaces


def encoder_for(predictor: Predictor, encoder: Encoder) -> Encoder | None:
    """The encoder whose vectors a predictor reads; ``None`` where it reads text.

    Args:
        predictor: Any predictor.
        encoder: The plain encoder that it was fitted on.

    Raises:
        EncoderError: If an adapter was made for another encoder, or this one takes none.
    """
    spaces = predictor.spaces
    if not spaces:
        return None
    return _in_space(encoder, spaces[0]) if len(spaces) == 1 else SideBySide(encoder, spaces)


def batch_for(predictor: Predictor, texts: Sequence[str], encoder: Encoder) -> Batch:
    """The batch that a predictor reads, with vectors only where it reads them.

    Raises:
        EncoderError: See ``encoder_for``.
    """
    own = encoder_for(predictor, encoder)
    return Batch(tuple(texts), None if own is None else own.encode(texts))


def spaces_of(parts: Sequence[Predictor]) -> Spaces:
    """All spaces that some predictors read, each once, in the order of first use."""
    found: dict[str | None, Adapter | WordSpace | None] = {}
    for part in parts:
        for space in part.spaces:
            found.setdefault(space_name(space), space)
    return tuple(found.values())


def space_name(space: Adapter | WordSpace | None) -> str | None:
    """Digest of the adapter or of the space of words; ``None`` for the encoder alone."""
    return None if space is None else space.digest


def adapters_of(spaces: Spaces) -> list[Adapter]:
    """The adapters among spaces."""
    return [space for space in spaces if isinstance(space, Adapter)]


def part_of(batch: Batch, spaces: Spaces, part: Predictor) -> Batch:
    """What one of several predictors reads of the batch that is made for all of them.

    Args:
        batch: Its vectors lie side by side, one after the other as ``spaces``, all of one width.
        spaces: As ``spaces_of`` gave them for all.
        part: One of these predictors.
    """
    if not part.spaces:
        return Batch(batch.texts)
    if batch.vectors is None or len(spaces) == 1:
        return batch
    names = [space_name(space) for space in spaces]
    width = batch.vectors.shape[1] // len(spaces)
    chosen = [names.index(space_name(space)) for space in part.spaces]
    columns = [batch.vectors[:, at * width : (at + 1) * width] for at in chosen]
    vectors = columns[0] if len(columns) == 1 else np.concatenate(columns, axis=1)
    return Batch(batch.texts, vectors)


class SideBySide(WrappedEncoder):
    """The vectors of several spaces of one encoder, side by side.

    Args:
        encoder: The plain encoder.
        spaces: At least two.

    Raises:
        EncoderError: See ``encoder_for``.
    """

    def __init__(self, encoder: Encoder, spaces: Spaces) -> None:
        super().__init__(encoder)
        self._encoders = [_in_space(encoder, space) for space in spaces]

    @property
    def digest(self) -> str:
        """Over the digests of all, in order."""
        return digest_of([each.digest for each in self._encoders])

    @property
    def dimensions(self) -> int:
        """Of all together."""
        return sum(each.dimensions for each in self._encoders)

    def encode(self, texts: Sequence[str], progress: Progress | None = None) -> NDArray[np.float32]:
        """``(n, d * s) float32``; each of the ``s`` parts has unit length."""
        parts: list[NDArray[np.float32]] = []
        for at, each in enumerate(self._encoders):
            parts.append(each.encode(texts, None if progress is None else self._step(at, progress)))
        return np.concatenate(parts, axis=1)

    def _step(self, at: int, progress: Progress) -> Progress:
        """Progress of one encoder, told as progress of all."""
        count = len(self._encoders)
        return lambda done, total: progress((at * total + done) // count, total)


def _in_space(encoder: Encoder, space: Adapter | WordSpace | None) -> Encoder:
    if isinstance(space, WordSpace):
        return word_states(encoder)
    return encoder if space is None else adapted(encoder, space)
