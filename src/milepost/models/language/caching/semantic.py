"""Answers to questions that mean the same as one that was asked, as far as that was certified.

A bank holds questions of one task with one prompt, as vectors of the shared encoder, and what the
model answered. It never grows by itself: what was certified is a threshold for these questions. How
the threshold is found is not known here; without one there is no bank.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, cast

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from milepost._base.digest import digest_of, sha256_bytes
from milepost.entities.errors import InputError
from milepost.entities.language import Completion, ModelRequest, Piece, Tokens
from milepost.entities.similar import Certificate
from milepost.entities.upstream import Upstream
from milepost.models.language.asking import LanguageModel, Terms
from milepost.models.language.caching.exact import cacheable, identity

Vectors = NDArray[np.float32]

_BLANK = "\0"
"""Stands for the input in a frame; no input that is asked about holds it."""


@dataclass(frozen=True, slots=True, eq=False)
class Bank:
    """Questions and answers of a task with one prompt to one model.

    Attributes:
        frame: Digest of all that requests have in common, see ``frame``.
        vectors: ``(m, d) float32``, rows of length 1.
        answers: ``m`` answers in their order.
        certificate: From when on a question is near enough, and what that rests on.
        expires: Until when it answers, UTC; ``None`` for ever.
    """

    frame: str
    vectors: Vectors
    answers: Sequence[Completion]
    certificate: Certificate
    expires: datetime | None = None

    def __post_init__(self) -> None:
        """Refuse what does not fit together.

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


class Banks(Protocol):
    """The banks of a workspace and its encoder. Used on one event loop."""

    def holds(self, task: str) -> bool:
        """Whether there is any of a task."""
        ...

    def bank(self, task: str, frame: str) -> Bank | None:
        """The one of a task for such requests; ``None`` where nothing is certified any more."""
        ...

    async def vector(self, text: str, deadline: float | None) -> Vectors | None:
        """What the encoder makes of a text: ``(d,) float32`` of length 1; ``None`` if it cannot."""
        ...


def model_digest(upstream: Upstream) -> str:
    """Digest of what makes a model another one: its wire format, its name, and where it is."""
    return sha256_bytes(identity(upstream))


def frame(upstream: Upstream, request: ModelRequest, about: str) -> str | None:
    """Digest of a model and of a request without what it is about.

    Two requests with one frame are the same prompt to the same model, filled in with two inputs.

    Args:
        upstream: Who is asked.
        request: What is asked.
        about: The input that the prompt shows.

    Returns:
        ``None`` where the last message is no text of a user that shows the input as it stands.
    """
    last = request.messages[-1]
    if last.role != "user" or not isinstance(last.content, str):
        return None
    if not about or _BLANK in about or about not in last.content:
        return None
    blank = replace(last, content=last.content.replace(about, _BLANK))
    asked = replace(request, messages=(*request.messages[:-1], blank))
    return digest_of([model_digest(upstream), asked])


class Similar:
    """A language model whose task may be answered from a bank. Used on one event loop.

    Stands around ``Cached``, so that what was certified is what is looked up. Only answers that are
    served to a task are looked up, with a bank's prompt and without sampling; all others pass:
    what a contest or an evaluation measures is the model itself.

    Args:
        inner: Asked for what no bank holds.
        banks: Of the workspace.
    """

    def __init__(self, inner: LanguageModel, banks: Banks) -> None:
        self._inner = inner
        self._banks = banks

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
        task, about = terms.task, terms.about
        if task is None or about is None or not self._banks.holds(task):
            return None
        if terms.purpose != "serve" or not terms.cache or not cacheable(request):
            return None
        asked = frame(self.upstream, request, about)
        bank = None if asked is None else self._banks.bank(task, asked)
        if bank is None:
            return None
        vector = await self._banks.vector(about, terms.deadline)
        answer = None if vector is None else bank.find(vector)
        if answer is None:
            return None
        return replace(answer, micro_usd=0, attempts=0, cached="similar")
