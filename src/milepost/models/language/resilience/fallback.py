"""Other upstreams for when one cannot answer. Stands outside of all other layers.

Each upstream keeps its own cache, price, budget and endpoints: what a fallback answers is cached
and paid for as its own.
"""

import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import TypeVar

from msgspec.structs import replace as with_fields

from milepost.entities.errors import UpstreamError
from milepost.entities.language import Completion, ModelRequest, Piece, Tokens
from milepost.entities.model_calls import AGAIN, Outcome
from milepost.entities.upstream import Upstream
from milepost.models.language.asking import LanguageModel, Terms
from milepost.models.language.resilience.lane import OF_THE_ENDPOINT
from milepost.models.language.resilience.streaming import first_piece

T = TypeVar("T")

FURTHER: frozenset[Outcome] = frozenset({"too_long", "too_large", "unsupported"})
CANNOT = AGAIN | OF_THE_ENDPOINT | FURTHER
"""Outcomes after which another upstream is asked. Not where the request itself is wrong, where a
filter refused it, or where a budget is spent."""


class FallingBack:
    """A language model with others behind it. Used on one event loop.

    The time that is left is shared out equally over the upstreams that have not been asked: a first
    one that hangs must leave some.

    Args:
        first: Asked first; the whole is called by its name.
        others: Asked in turn when it cannot answer; none of them falls back further.
        clock: Seconds that never go back, as ``Terms.deadline`` counts them.
    """

    def __init__(
        self,
        first: LanguageModel,
        others: Sequence[LanguageModel],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._models = (first, *others)
        self._clock = clock

    @property
    def upstream(self) -> Upstream:
        """That of the first."""
        return self._models[0].upstream

    async def complete(self, request: ModelRequest, terms: Terms) -> Completion:
        """The whole answer; see ``LanguageModel``."""
        found, lost = await self._first(terms, lambda model, terms: model.complete(request, terms))
        return found if lost is None else _with(found, lost)

    async def stream(self, request: ModelRequest, terms: Terms) -> AsyncGenerator[Piece]:
        """The answer as it comes; another upstream is asked only before the first piece."""

        async def opened(model: LanguageModel, terms: Terms) -> tuple[Piece, AsyncGenerator[Piece]]:
            pieces = _generator(model, request, terms)
            return await first_piece(pieces), pieces

        (piece, pieces), lost = await self._first(terms, opened)
        async with aclosing(pieces):
            yield _piece(piece, lost)
            async for piece in pieces:
                yield _piece(piece, lost)

    async def embed(self, texts: Sequence[str], terms: Terms) -> tuple[list[list[float]], Tokens]:
        """Vectors of texts by the first upstream: those of another model mean something else."""
        return await self._models[0].embed(texts, terms)

    async def close(self) -> None:
        """Close the first; the others are used, and closed, on their own as well."""
        await self._models[0].close()

    async def _first(
        self, terms: Terms, ask: Callable[[LanguageModel, Terms], Awaitable[T]]
    ) -> tuple[T, UpstreamError | None]:
        """What the first that can answer gives, and what was lost on those before it."""
        deadline = terms.deadline
        if deadline is None:
            deadline = self._clock() + self.upstream.timeout_s
        lost: UpstreamError | None = None
        for place, model in enumerate(self._models):
            behind = len(self._models) - place
            now = self._clock()
            by = deadline if behind == 1 else now + max(0.0, deadline - now) / behind
            try:
                return await ask(model, replace(terms, deadline=by)), lost
            except UpstreamError as error:
                lost = _both(lost, error)
                if error.outcome not in CANNOT or self._clock() >= deadline:
                    break
        assert lost is not None  # there is at least one model  # noqa: S101
        raise lost


async def _generator(
    model: LanguageModel, request: ModelRequest, terms: Terms
) -> AsyncGenerator[Piece]:
    """The stream of any model as a generator, which can be closed."""
    async for piece in model.stream(request, terms):
        yield piece


def _both(before: UpstreamError | None, error: UpstreamError) -> UpstreamError:
    """The later error with what both cost."""
    if before is None:
        return error
    return UpstreamError(
        error.outcome,
        error.what,
        upstream=error.upstream,
        advice=error.advice,
        retry_after=error.retry_after,
        micro_usd=before.micro_usd + error.micro_usd,
        attempts=before.attempts + error.attempts,
    )


def _with(found: Completion, lost: UpstreamError) -> Completion:
    return with_fields(
        found,
        micro_usd=found.micro_usd + lost.micro_usd,
        attempts=found.attempts + lost.attempts,
    )


def _piece(piece: Piece, lost: UpstreamError | None) -> Piece:
    if lost is None or piece.whole is None:
        return piece
    return with_fields(piece, whole=_with(piece.whole, lost))
