"""Encodes a text once for all tasks, strategies and runs.

Knows keys and what is missing; where vectors lie is the store's business.
"""

import hashlib
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from milepost._base.digest import digest_of
from milepost.models.adapters import Adapter
from milepost.models.encoder import Encoder, Progress, WrappedEncoder, adapted
from milepost.models.words import word_states

KEY_BYTES = 16
SAVE_EVERY = 2048
"""Texts between two writes to the store. An interrupt loses at most these, some seconds' work."""


class VectorStore(Protocol):
    """Keeps vectors by key, in spaces that never mix. Thread safe. May forget anything."""

    def get(
        self, space: str, keys: NDArray[np.uint8], dimensions: int
    ) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
        """Looks many keys up at once.

        Args:
            space: Hex digits that name an encoder, its variant and its exporter.
            keys: ``(n, 16) uint8``.
            dimensions: Length ``d`` of a vector.

        Returns:
            Which keys were found ``(n,) bool``, and ``(n, d) float32`` with zeros where not. The
            array belongs to the caller.
        """
        ...

    def put(self, space: str, keys: NDArray[np.uint8], vectors: NDArray[np.float32]) -> None:
        """Keeps ``vectors (n, d) float32`` under ``keys (n, 16) uint8``.

        Raises:
            StorageError: If they cannot be written.
        """
        ...


class CachedEncoder(WrappedEncoder):
    """An encoder that asks a store first. Thread safe when both are.

    Args:
        inner: Encodes what the store does not have.
        store: Where vectors are looked up and kept.
        save_every: Texts between two writes, ≥ 1.
    """

    def __init__(self, inner: Encoder, store: VectorStore, save_every: int = SAVE_EVERY) -> None:
        super().__init__(inner)
        self._store = store
        self._save_every = save_every
        self._space = vector_space(inner)

    def encode(self, texts: Sequence[str], progress: Progress | None = None) -> NDArray[np.float32]:
        """Vectors ``(n, d) float32`` of unit length, in the order of ``texts``.

        Args:
            texts: Any text, also empty.
            progress: Called with texts done, those found in the store included.

        Raises:
            StorageError: If new vectors cannot be written.
        """
        keys = text_keys(texts)
        known, vectors = self._store.get(self._space, keys, self.dimensions)
        missing: list[int] = np.flatnonzero(~known).tolist()
        done = len(texts) - len(missing)
        if progress is not None and len(texts):
            progress(done, len(texts))
        if not missing:
            return vectors
        first: dict[str, int] = {}
        for i in missing:
            first.setdefault(texts[i], i)
        rows = np.fromiter(first.values(), np.int64, len(first))
        fresh = np.empty((len(rows), self.dimensions), np.float32)
        for start in range(0, len(rows), self._save_every):
            part = rows[start : start + self._save_every]
            step = _Scaled(progress, done, len(missing) / len(rows), start, len(texts))
            found = self.inner.encode([texts[int(i)] for i in part], step)
            self._store.put(self._space, keys[part], found)
            fresh[start : start + len(part)] = found
        rank = {text: i for i, text in enumerate(first)}
        vectors[missing] = fresh[[rank[texts[i]] for i in missing]]
        return vectors

    def adapted(self, adapter: Adapter) -> Encoder:
        """The inner encoder with the adapter, and without the store.

        Adapters come and go with each fold and each contest: their vectors would fill the store.

        Raises:
            EncoderError: If the adapter was made for another encoder, or the inner one takes none.
        """
        return adapted(self.inner, adapter)

    def words(self) -> Encoder:
        """The states of words from the inner encoder, without the store: they are large.

        Raises:
            EncoderError: If the inner encoder gives none.
        """
        return word_states(self.inner)

    def known(self, texts: Sequence[str]) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
        """Which texts are in the store ``(n,) bool``, and their vectors ``(n, d) float32``."""
        return self._store.get(self._space, text_keys(texts), self.dimensions)

    def keep(self, texts: Sequence[str], vectors: NDArray[np.float32]) -> None:
        """Keep vectors ``(n, d) float32`` of texts that were encoded elsewhere.

        Raises:
            StorageError: If they cannot be written.
        """
        self._store.put(self._space, text_keys(texts), vectors)


class _Scaled:
    """Progress of one part, told as progress of the whole."""

    def __init__(
        self, tell: Progress | None, done: int, copies: float, start: int, total: int
    ) -> None:
        self._tell = tell
        self._done = done
        self._copies = copies
        self._start = start
        self._total = total

    def __call__(self, done: int, total: int) -> None:
        if self._tell is not None:
            self._tell(self._done + round((self._start + done) * self._copies), self._total)


def text_keys(texts: Sequence[str]) -> NDArray[np.uint8]:
    """Keys ``(n, 16) uint8``: the first 16 bytes of each text's SHA-256 (UTF-8)."""
    sha256 = hashlib.sha256
    joined = b"".join(
        [sha256(text.encode("utf-8", "surrogatepass")).digest()[:KEY_BYTES] for text in texts]
    )
    return np.frombuffer(joined, np.uint8).reshape(-1, KEY_BYTES)


def vector_space(encoder: Encoder) -> str:
    """Names what decides the bits of a vector: encoder, variant, and exporter where it has one."""
    exporter = getattr(encoder, "exporter", "")
    return digest_of([encoder.digest, encoder.variant, str(exporter), encoder.dimensions])
