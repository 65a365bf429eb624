"""Two texts as one vector: how near they are in meaning, and how alike letter by letter.

Knows pairs as ``milepost.entities.inputs`` writes them; each side is encoded once, by the encoder
that all other tasks share.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from threading import Lock

import msgspec
import numpy as np
from numpy.typing import NDArray

from milepost.entities.errors import EncoderError
from milepost.entities.inputs import VERSION, Composition, sides
from milepost.models.adapters import Adapter
from milepost.models.encoder import Encoder, Progress, WrappedEncoder
from milepost.models.images.beside import BesideEncoder
from milepost.models.likeness import count, likenesses
from milepost.models.trunk import Passed, Trunk
from milepost.models.words import WordTokens

PAIRS = {1: "+pairs", 2: "+pairs2"}
"""What stands behind the digest of a trunk that is asked for pairs, by the version."""

KEPT_SIDES = 20_000
"""Sides of pairs whose vectors a server keeps: about 30 MB at 384 dimensions."""

Vector = NDArray[np.float32]


class PairEncoder(WrappedEncoder):
    """Vectors of pairs from those of their sides. Thread safe when the inner encoder is.

    Of sides ``a`` and ``b`` with vectors of unit length: ``|a - b|``, ``a * b`` scaled by the root
    of the dimension so that both parts weigh alike (Conneau et al. 2017), their cosine, and
    likenesses of the strings, which tell numbers and names apart that mean nearly the same; from
    version 2 on those of the fields of records, too. Where a side is an image they are zeros.

    Its digest is that of the inner encoder: that pairs are read, and how, says the composition of a
    task's inputs.

    Args:
        inner: Encodes the sides.
        version: How vectors of pairs are made.
    """

    def __init__(self, inner: Encoder, version: int = VERSION) -> None:
        super().__init__(inner)
        self.version = version

    @property
    def dimensions(self) -> int:
        """Length of a pair's vector."""
        return 2 * self.inner.dimensions + 1 + count(self.version)

    def encode(self, texts: Sequence[str], progress: Progress | None = None) -> NDArray[np.float32]:
        """Vectors ``(n, 2 d + 1 + m) float32`` of pairs, in the order of ``texts``."""
        if not texts:
            return np.zeros((0, self.dimensions), np.float32)
        pairs = [sides(text) for text in texts]
        different = list(dict.fromkeys(side for pair in pairs for side in pair))
        rows = {side: row for row, side in enumerate(different)}
        vectors = self.inner.encode(different, progress)
        first = vectors[[rows[a] for a, _ in pairs]]
        second = vectors[[rows[b] for _, b in pairs]]
        return joined(first, second, pairs, self.version)


class PairTokens(list[int]):
    """Tokens of both sides, one after the other; none of a side whose vector is known.

    Args:
        pair: The sides.
        parts: Tokens of each.
        known: Vector ``(d,)`` of each, where it is known.
    """

    def __init__(
        self,
        pair: tuple[str, str],
        parts: tuple[list[int], list[int]],
        known: tuple[Vector | None, Vector | None],
    ) -> None:
        super().__init__([*parts[0], *parts[1]] or [0])
        self.pair = pair
        self.parts = parts
        self.known = known


class PairTrunk:
    """A trunk as a server asks it, for pairs: both sides go through the same pass. Thread safe.

    A side goes through it once, whatever it is paired with: vectors of the sides that were asked
    about last are kept.

    Args:
        inner: Encodes the sides.
        version: How vectors of pairs are made.
        keep: Sides whose vectors are kept, of about 1.5 kB each.
    """

    def __init__(self, inner: Trunk, version: int = VERSION, *, keep: int = KEPT_SIDES) -> None:
        self.inner = inner
        self.version = version
        self._keep = keep
        self._lock = Lock()
        self._sides: OrderedDict[str, Vector] = OrderedDict()

    @property
    def digest(self) -> str:
        """That of the trunk with ``PAIRS`` behind it: its vectors are kept and asked apart."""
        return paired(self.inner.digest, self.version)

    @property
    def variant(self) -> str:
        """Numeric variant that runs."""
        return self.inner.variant

    @property
    def max_tokens(self) -> int:
        """Most tokens of both sides together."""
        return 2 * self.inner.max_tokens

    def remember(self, texts: Sequence[str], vectors: NDArray[np.float32]) -> None:
        """Keep vectors ``(n, d) float32`` of sides that this trunk would give."""
        with self._lock:
            for text, vector in zip(texts, vectors, strict=True):
                self._sides[text] = vector
                self._sides.move_to_end(text)
            while len(self._sides) > self._keep:
                self._sides.popitem(last=False)

    def tokenise(self, texts: Sequence[str]) -> list[list[int]]:
        """Tokens of both sides of each pair; any thread may call."""
        pairs = [sides(text) for text in texts]
        known = self._known([side for pair in pairs for side in pair])
        new = [side for pair in pairs for side in dict.fromkeys(pair) if side not in known]
        new = list(dict.fromkeys(new))
        tokens = dict(zip(new, self.inner.tokenise(new), strict=True)) if new else {}
        return [
            PairTokens(
                (a, b),
                (tokens.get(a, []), tokens.get(b, [])),
                (known.get(a), known.get(b)),
            )
            for a, b in pairs
        ]

    def word_tokens(self, texts: Sequence[str]) -> list[WordTokens]:
        """Nothing: the words of a pair are those of two texts.

        Raises:
            ValueError: Always.
        """
        raise ValueError(f"The words of {len(texts)} pairs are wanted, and pairs have none.")

    def forward(
        self,
        tokens: Sequence[Sequence[int]],
        *,
        states: bool = False,
        adapters: Sequence[Adapter | None] | None = None,
    ) -> Passed:
        """One pass of the sides of all rows together, on the calling thread.

        Raises:
            ValueError: If rows are not what ``tokenise`` gave, or states of tokens are wanted.
        """
        rows = [row for row in tokens if isinstance(row, PairTokens)]
        if len(rows) != len(tokens) or states:
            raise ValueError("A pair has two sides, and no states of its own tokens.")
        given = [None] * len(rows) if adapters is None else adapters
        # One of each side and space: what is kept is of the trunk without an adapter.
        places: dict[tuple[str, str | None], Vector | None] = {}
        missing: dict[tuple[str, str | None], tuple[list[int], Adapter | None]] = {}
        for row, adapter in zip(rows, given, strict=True):
            space = None if adapter is None else adapter.digest
            for side, part, vector in zip(row.pair, row.parts, row.known, strict=True):
                if adapter is None and vector is not None:
                    places[side, space] = vector
                elif (side, space) not in missing:
                    own = part or self.inner.tokenise([side])[0]
                    missing[side, space] = own, adapter
        # Another pass of the same batch may have brought some since these were read.
        for side, vector in self._known([s for s, space in missing if space is None]).items():
            places[side, None] = vector
            del missing[side, None]
        if missing:
            parts = [part for part, _ in missing.values()]
            with_adapters = [adapter for _, adapter in missing.values()]
            found = self.inner.forward(
                parts, adapters=with_adapters if any(with_adapters) else None
            ).vectors
            places.update(zip(missing, found, strict=True))
            self._learn(missing, found)
        names = [(row.pair, None if a is None else a.digest) for row, a in
                 zip(rows, given, strict=True)]  # fmt: skip
        first = np.array([places[pair[0], space] for pair, space in names], np.float32)
        second = np.array([places[pair[1], space] for pair, space in names], np.float32)
        return Passed(joined(first, second, [row.pair for row in rows], self.version))

    def _known(self, texts: Sequence[str]) -> dict[str, Vector]:
        with self._lock:
            return {text: self._sides[text] for text in texts if text in self._sides}

    def _learn(
        self, asked: Mapping[tuple[str, str | None], object], vectors: NDArray[np.float32]
    ) -> None:
        plain = [at for at, (_, space) in enumerate(asked) if space is None]
        names = [side for side, _ in asked]
        self.remember([names[at] for at in plain], vectors[plain])

    def padded_cost(self, lengths: Sequence[int]) -> int:
        """Tokens that a pass of rows of these lengths works on, about: sides of equal length."""
        return self.inner.padded_cost([max(1, -(-n // 2)) for n in lengths for _ in range(2)])


def joined(
    first: NDArray[np.float32],
    second: NDArray[np.float32],
    pairs: Sequence[tuple[str, str]],
    version: int = VERSION,
) -> NDArray[np.float32]:
    """Vectors of pairs from the vectors ``(n, d)`` of their sides and the sides themselves."""
    products = first * second
    return np.concatenate(
        [
            np.abs(first - second),
            products * np.float32(np.sqrt(first.shape[1])),
            products.sum(axis=1, keepdims=True),
            likenesses(pairs, version),
        ],
        axis=1,
    ).astype(np.float32)


def cosine_at(dimensions: int) -> int:
    """Where the cosine stands in the vector of a pair; likenesses follow it."""
    return dimensions - 1 - count(VERSION)


def paired(digest: str, version: int) -> str:
    """Digest of a trunk that is asked for pairs."""
    return digest + PAIRS[version]


def unpaired(digest: str) -> tuple[str, int | None]:
    """Digest of the trunk alone, and how it reads pairs; ``None`` where it does not."""
    for version, mark in PAIRS.items():
        if digest.endswith(mark):
            return digest.removesuffix(mark), version
    return digest, None


def reads(inputs: Composition | msgspec.UnsetType | None, encoder: Encoder) -> Encoder:
    """What gives the vectors of inputs that are composed so.

    Args:
        inputs: Of a task or a manifest; ``None`` or unset where there is one input.
        encoder: Encodes texts.

    Raises:
        EncoderError: If another version of milepost made the vectors of pairs otherwise.
    """
    if not isinstance(inputs, Composition) or not inputs.pair:
        parts = inputs.parts if isinstance(inputs, Composition) else 1
        return BesideEncoder(encoder, parts) if parts > 1 else encoder
    _check(inputs)
    return PairEncoder(encoder, inputs.version)


def _check(inputs: Composition) -> None:
    if inputs.version not in PAIRS:
        raise EncoderError(
            f"it reads vectors of pairs of version {inputs.version}, and this is {VERSION}.",
            advice="Run `milepost improve` again, or use the milepost that made it.",
        )
