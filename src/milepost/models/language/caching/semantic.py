"""Answers to questions that mean the same as one that was asked, as far as that was certified.

A bank holds questions of one task with one prompt, as vectors of the shared encoder, and what the
model answered. It never grows by itself: what was certified is a threshold for these questions. How
the threshold is found is not known here; without one there is no bank.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from milepost._base.digest import digest_of
from milepost.entities.errors import InputError
from milepost.entities.language import (
    Completion,
    Message,
    ModelRequest,
    Piece,
    Tokens,
    Upstream,
)
from milepost.models.language.asking import LanguageModel, Terms
from milepost.models.language.caching.exact import cacheable

Vectors = NDArray[np.float32]


class Certificate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is claimed of a bank's hits, and what the claim rests on.

    Attributes:
        at_most: Largest share of hits that the model itself would have answered otherwise.
        confidence: How sure that is, over the questions that it was tried with.
        threshold: Smallest cosine similarity of a hit.
        tried: Questions that it was tried with, none of them in the bank.
        hits: Those that would have been hits at the threshold.
        wrong: Those of the hits that the model answered otherwise.
    """

    at_most: float
    confidence: float
    threshold: float
    tried: int
    hits: int
    wrong: int


@dataclass(frozen=True, slots=True, eq=False)
class Bank:
    """Questions and answers of a task with one prompt to one model.

    Attributes:
        frame: Digest of all that requests have in common, see ``frame``.
        vectors: ``(m, d) float32``, rows of length 1.
        answers: ``m`` answers in their order.
        certificate: What is claimed of its hits.
    """

    frame: str
    vectors: Vectors
    answers: Sequence[Completion]
    certificate: Certificate

    def __post_init__(self) -> None:
        """Check that it can be used.

        Raises:
            InputError: If the parts do not fit, or a vector is not of length 1.
        """
        if len(self.vectors) != len(self.answers) or not len(self.answers):
            raise InputError("a bank needs as many answers as questions, at least one.")
        lengths = np.linalg.norm(self.vectors.astype(np.float64), axis=1)
        if not np.allclose(lengths, 1.0, atol=1e-3):
            raise InputError("the vectors of a bank must have length 1.")

    def find(self, vector: Vectors) -> Completion | None:
        """The answer to the nearest question, ``None`` if that is not near enough.

        Args:
            vector: ``(d,) float32`` of length 1.
        """
        similar = self.vectors @ vector
        nearest = int(similar.argmax())
        if float(similar[nearest]) < self.certificate.threshold:
            return None
        return self.answers[nearest]


def frame(request: ModelRequest) -> str | None:
    """Digest of a request without the text of its last message; ``None`` where that is no text."""
    last = request.messages[-1]
    if last.role != "user" or not isinstance(last.content, str):
        return None
    blank = Message(role="user")
    return digest_of(msgspec.structs.replace(request, messages=(*request.messages[:-1], blank)))


def question(request: ModelRequest) -> str:
    """The text of the last message, which tells one request of a frame from another."""
    content = request.messages[-1].content
    return content if isinstance(content, str) else ""


class Similar:
    """A language model whose task may be answered from a bank. Used on one event loop.

    Stands around ``Cached``. Only calls of the bank's task, with its prompt and without sampling,
    are looked up; all others pass.

    Args:
        inner: Asked for what the bank does not hold.
        banks: The bank of a task with this model; ``None`` where nothing is certified.
        embed: The shared encoder: a text to ``(d,) float32`` of length 1.
    """

    def __init__(
        self,
        inner: LanguageModel,
        banks: Callable[[str], Bank | None],
        embed: Callable[[str], Awaitable[Vectors]],
    ) -> None:
        self._inner = inner
        self._banks = banks
        self._embed = embed

    @property
    def upstream(self) -> Upstream:
        """Where it is and what it costs."""
        return self._inner.upstream

    async def complete(self, request: ModelRequest, terms: Terms) -> Completion:
        """The whole answer; see ``LanguageModel``."""
        found = await self._found(request, terms)
        return found or await self._inner.complete(request, terms)

    async def stream(self, request: ModelRequest, terms: Terms) -> AsyncGenerator[Piece]:
        """The answer as it comes; one from the bank comes as a single piece."""
        found = await self._found(request, terms)
        if found is not None:
            yield Piece(text=found.text, whole=found)
            return
        async with aclosing(cast(Any, self._inner.stream(request, terms))) as pieces:
            async for piece in pieces:
                yield piece

    async def embed(self, texts: Sequence[str], terms: Terms) -> tuple[list[list[float]], Tokens]:
        """Vectors of texts, which are not remembered."""
        return await self._inner.embed(texts, terms)

    async def close(self) -> None:
        """Let go of connections."""
        await self._inner.close()

    async def _found(self, request: ModelRequest, terms: Terms) -> Completion | None:
        if terms.task is None or not terms.cache or not cacheable(request):
            return None
        bank = self._banks(terms.task)
        if bank is None or bank.frame != frame(request):
            return None
        answer = bank.find(await self._embed(question(request)))
        if answer is None:
            return None
        return msgspec.structs.replace(answer, micro_usd=0, attempts=0, cached="semantic")
