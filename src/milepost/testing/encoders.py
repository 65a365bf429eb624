"""A small encoder without a model, and the checks that every encoder must pass."""

import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from milepost._base.digest import digest_of
from milepost.models.adapters import Adapter, require_same
from milepost.models.encoder import Encoder, Progress, WrappedEncoder
from milepost.models.words import ragged, words_of

_BUCKETS = 4096
_VERSION = 1

CHECK_TEXTS: tuple[str, ...] = (
    "my card was stolen",
    "",
    "refund",
    "  leading and trailing spaces  ",
    "Grüße aus Köln, ça va?",
    "שלום עולם",
    "👩‍👩‍👧 🎉",
    "a much longer message " * 12,
    "word " * 2000,
    "my card was stolen",
    "tab\tand\nnewline and a NUL \x00 inside",
    "x" * 5000,
)
"""Texts of many kinds: empty, duplicated, long, right to left, emoji, control characters."""


@dataclass(frozen=True)
class HashedEncoder:
    """Deterministic vectors from hashed words and character 3-grams; microseconds per text.

    Features fall into 4096 buckets and are projected to ``dimensions`` by a fixed random matrix
    (Achlioptas 2003), so that texts that share words lie close and heads learn from them.

    Attributes:
        dimensions: Length of a vector, ≥ 2.
        seed: Chooses the projection.
    """

    dimensions: int = 64
    seed: int = 0

    @property
    def name(self) -> str:
        """Name for people."""
        return "hashed"

    @property
    def digest(self) -> str:
        """SHA-256 of the parameters."""
        return digest_of(["hashed", _VERSION, self.dimensions, self.seed])

    @property
    def variant(self) -> str:
        """Always ``fp32``."""
        return "fp32"

    def encode(self, texts: Sequence[str], progress: Progress | None = None) -> NDArray[np.float32]:
        """Vectors ``(n, d) float32`` of unit length, in the order of ``texts``."""
        signs = _projection(self.dimensions, self.seed)
        vectors = np.empty((len(texts), self.dimensions), np.float32)
        for i, text in enumerate(texts):
            buckets, counts = np.unique(np.array(_features(text), np.int64), return_counts=True)
            row = np.sqrt(counts) @ signs[buckets]
            length = float(np.linalg.norm(row))
            vectors[i] = row / length if length else signs[0] / np.sqrt(self.dimensions)
        if progress is not None and len(texts):
            progress(len(texts), len(texts))
        return vectors

    def adapted(self, adapter: Adapter) -> Encoder:
        """The vectors with signs that the adapter's digest draws; see ``Adaptable``."""
        require_same(adapter, self.digest)
        return _Signed(self, adapter)

    def words(self) -> Encoder:
        """The states of words; see ``milepost.models.words.Wording``."""
        return _Worded(self)


class _Worded(WrappedEncoder):
    """Each word's vector, half of it that of the word before: a state knows what stands near."""

    def encode(self, texts: Sequence[str], progress: Progress | None = None) -> NDArray[np.float32]:
        """States ``(words, d) float32`` of each text, as objects ``(n,)``."""
        states: list[NDArray[np.float32]] = []
        for text in texts:
            words = [text[begin:end] for begin, end in words_of(text)]
            own = self.inner.encode(words)
            before = np.concatenate([np.zeros((1, self.dimensions), np.float32), own])[: len(own)]
            states.append((own + before) / np.float32(2.0))
        if progress is not None and len(texts):
            progress(len(texts), len(texts))
        return ragged(states)


class _Signed(WrappedEncoder):
    """What an adapter does to hashed vectors: each dimension keeps its sign, or turns it."""

    def __init__(self, inner: HashedEncoder, adapter: Adapter) -> None:
        super().__init__(inner)
        self._digest = digest_of([inner.digest, adapter.digest])
        rng = np.random.default_rng(int(adapter.digest[:12], 16))
        self._signs = rng.choice(np.array([-1.0, 1.0], np.float32), inner.dimensions)

    @property
    def digest(self) -> str:
        """Over encoder and adapter."""
        return self._digest

    def encode(self, texts: Sequence[str], progress: Progress | None = None) -> NDArray[np.float32]:
        """Vectors ``(n, d) float32`` of unit length."""
        return self.inner.encode(texts, progress) * self._signs


def check_encoder(encoder: Encoder) -> None:
    """Runs every promise of ``Encoder`` against an implementation.

    Raises:
        AssertionError: Naming the promise that is broken.
    """
    texts = list(CHECK_TEXTS)
    _check_identity(encoder)
    vectors = encoder.encode(texts)
    _check_shape(encoder, texts, vectors)
    _check_invariance(encoder, texts, vectors)
    _check_threads(encoder, texts, vectors)
    _check_progress(encoder, texts)


def _check_identity(encoder: Encoder) -> None:
    members = ("name", "digest", "variant", "dimensions", "encode")
    lacks = [member for member in members if not hasattr(encoder, member)]
    _require(not lacks, f"it has every member of the protocol (it lacks {lacks})")
    _require(bool(encoder.name) and bool(encoder.variant), "name and variant are not empty")
    _require(
        len(encoder.digest) == 64 and set(encoder.digest) <= set("0123456789abcdef"),
        "the digest is 64 hex digits",
    )


def _check_shape(encoder: Encoder, texts: list[str], vectors: NDArray[np.float32]) -> None:
    _require(vectors.shape == (len(texts), encoder.dimensions), "vectors are (n, d)")
    _require(vectors.dtype == np.float32, "vectors are float32")
    _require(bool(np.isfinite(vectors).all()), "vectors are finite")
    lengths = np.linalg.norm(vectors, axis=1)
    _require(bool(np.allclose(lengths, 1, atol=1e-4)), "vectors have unit length")
    _require(texts == list(CHECK_TEXTS), "the texts are left unchanged")
    empty = encoder.encode([])
    _require(empty.shape == (0, encoder.dimensions), "no texts give (0, d)")
    _require(empty.dtype == np.float32, "no texts give float32")
    vectors[:] = 0
    again = encoder.encode(texts)
    _require(bool(np.any(again)), "an answer that is changed by the caller changes no other")
    vectors[:] = again


def _check_invariance(encoder: Encoder, texts: list[str], vectors: NDArray[np.float32]) -> None:
    alone = np.concatenate([encoder.encode([text]) for text in texts])
    _near(alone, vectors, "a text alone and in a batch gives the same vector")
    reverse = encoder.encode(tuple(reversed(texts)))[::-1]
    _near(reverse, vectors, "the order of the texts does not matter")
    twins = [i for i, text in enumerate(texts) if text == texts[0]]
    _near(vectors[twins], vectors[twins[0]], "equal texts give equal vectors")
    distinct = float(np.abs(vectors[0] - vectors[2]).max())
    _require(distinct > 1e-3, "different texts give different vectors")


def _check_threads(encoder: Encoder, texts: list[str], vectors: NDArray[np.float32]) -> None:
    with ThreadPoolExecutor(4) as pool:
        for answer in pool.map(encoder.encode, [texts] * 4):
            _near(answer, vectors, "several threads may call at once")


def _check_progress(encoder: Encoder, texts: list[str]) -> None:
    calls: list[tuple[int, int]] = []
    encoder.encode(texts, lambda done, total: calls.append((done, total)))
    _require(bool(calls) and calls[-1] == (len(texts), len(texts)), "progress ends at (n, n)")
    done = [done for done, _ in calls]
    _require(done == sorted(done), "progress never goes back")


@lru_cache(maxsize=8)
def _projection(dimensions: int, seed: int) -> NDArray[np.float64]:
    signs = np.array([-1.0, 1.0])
    return np.random.default_rng(seed).choice(signs, size=(_BUCKETS, dimensions))


def _features(text: str) -> list[int]:
    words = text.lower().split()
    grams = [
        padded[i : i + 3]
        for padded in (f"<{word}>" for word in words)
        for i in range(len(padded) - 2)
    ]
    return [
        zlib.crc32(feature.encode("utf-8", "surrogatepass")) % _BUCKETS
        for feature in (*(f"w:{word}" for word in words), *grams)
    ]


def _near(found: NDArray[np.float32], expected: NDArray[np.float32], promise: str) -> None:
    difference = float(np.abs(found - expected).max())
    _require(difference <= 1e-5, f"{promise} (difference {difference:.1e})")


def _require(holds: bool, promise: str) -> None:  # noqa: FBT001
    if not holds:
        raise AssertionError(f"the encoder breaks a promise: {promise}")
