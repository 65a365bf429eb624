"""A trunk without a model, and heads to put on it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from milepost._base.digest import digest_of
from milepost.models.adapters import Adapter
from milepost.models.trunk import Passed
from milepost.models.words import WordTokens, words_of
from milepost.predictors.base import Predictor
from milepost.testing.encoders import HashedEncoder


@dataclass
class HashedTrunk:
    """The vectors of ``HashedEncoder`` behind the interface of a trunk; microseconds per text.

    The tokens of a text are its code points, of which the first ``max_tokens`` are read.

    Attributes:
        encoder: What gives the vectors.
        variant: Numeric variant that it says it is.
        max_tokens: Longest input.
        passes: Texts of each pass so far.
    """

    encoder: HashedEncoder = field(default_factory=HashedEncoder)
    variant: str = "fp32"
    max_tokens: int = 256
    passes: list[list[str]] = field(default_factory=list[list[str]])

    @property
    def name(self) -> str:
        """Name for people."""
        return self.encoder.name

    @property
    def digest(self) -> str:
        """That of the encoder."""
        return self.encoder.digest

    @property
    def dimensions(self) -> int:
        """Length of a vector."""
        return self.encoder.dimensions

    def tokenise(self, texts: Sequence[str]) -> list[list[int]]:
        """Code points, at least one."""
        return [[ord(each) for each in text[: self.max_tokens]] or [0] for text in texts]

    def word_tokens(self, texts: Sequence[str]) -> list[WordTokens]:
        """All code points of a text, those of a word together."""
        found: list[WordTokens] = []
        for text in texts:
            at = np.full(max(len(text), 1), -1)
            for word, (begin, end) in enumerate(words_of(text)):
                at[begin:end] = word
            found.append(WordTokens([list(map(ord, text)) or [0]], [at], len(words_of(text))))
        return found

    def forward(
        self,
        tokens: Sequence[Sequence[int]],
        *,
        states: bool = False,
        adapters: Sequence[Adapter | None] | None = None,
    ) -> Passed:
        """Vectors of the rows; the states of a row are its vector once per token."""
        texts = ["".join(map(chr, row)) if list(row) != [0] else "" for row in tokens]
        self.passes.append(texts)
        vectors = self.encoder.encode(texts)
        for row, each in enumerate(adapters or ()):
            if each is not None:
                vectors[row] = self.encoder.adapted(each).encode([texts[row]])[0]
        if not states:
            return Passed(vectors)
        found = [np.tile(each, (len(row), 1)) for each, row in zip(vectors, tokens, strict=True)]
        return Passed(vectors, found)

    def padded_cost(self, lengths: Sequence[int]) -> int:
        """Rows times the longest of them."""
        return len(lengths) * max(lengths, default=0)


@dataclass(frozen=True, eq=False)
class Headed:
    """A predictor as an engine takes it.

    Attributes:
        predictor: What answers.
        trunk: Digest and variant of the encoder that it reads; ``None`` where it reads text.
        bundle: Digest that stands for it.
    """

    predictor: Predictor
    trunk: tuple[str, str] | None = None
    bundle: str = ""

    def __post_init__(self) -> None:
        """Derive the digest from the predictor's arrays unless one is given."""
        if not self.bundle:
            arrays = {
                name: array.tobytes().hex() for name, array in self.predictor.arrays().items()
            }
            content = [self.predictor.kind, self.predictor.temperature, arrays]
            content.append(repr(sorted(self.predictor.parameters().items())))
            object.__setattr__(self, "bundle", digest_of(content))
