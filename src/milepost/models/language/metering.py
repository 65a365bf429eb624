"""Two layers that count what calls cost: one around each endpoint, one around the whole stack.

``Billed`` reserves before each attempt and counts what it cost, so that a retry, a hedge or a
fallback is allowed and billed like a first attempt. ``Metered`` stands outermost and books calls.
"""

import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import cast

import msgspec

from milepost._base.clock import Clock, utc_now
from milepost.entities.errors import UpstreamError
from milepost.entities.language import Completion, ModelRequest, Piece, Tokens
from milepost.entities.model_calls import Outcome
from milepost.entities.upstream import Upstream
from milepost.models.language.asking import LanguageModel, Terms
from milepost.models.language.tabs import (
    MESSAGE_TOKENS,
    Attempt,
    Meter,
    Payer,
    Tab,
    most_tokens,
)


class Billed:
    """A layer around one endpoint: each call of it is one attempt. One event loop.

    Without a tab in its terms nobody counts, and it hands everything through.
    """

    def __init__(self, inner: LanguageModel) -> None:
        self._inner = inner

    @property
    def upstream(self) -> Upstream:
        """Where it is and what it costs."""
        return self._inner.upstream

    async def complete(self, request: ModelRequest, terms: Terms) -> Completion:
        """The whole answer, with what this attempt cost.

        Raises:
            UpstreamError: As the endpoint, or if a budget does not allow it.
        """
        if terms.tab is None:
            return await self._inner.complete(request, terms)
        attempt = await terms.tab.begin(self.upstream, most_tokens(request))
        try:
            completion = await self._inner.complete(request, terms)
        except BaseException as error:
            _failed(attempt, error)
            raise
        cost = attempt.ended(completion.tokens)
        if completion.micro_usd == cost:
            return completion
        return msgspec.structs.replace(completion, micro_usd=cost)

    async def stream(self, request: ModelRequest, terms: Terms) -> AsyncIterator[Piece]:
        """The answer as it comes; one that is broken off costs what was told until then.

        Raises:
            UpstreamError: As ``complete``.
        """
        attempt = (
            None
            if terms.tab is None
            else await terms.tab.begin(self.upstream, most_tokens(request))
        )
        pieces = self._inner.stream(request, terms)
        try:
            async for piece in pieces:
                yield _counted(piece, attempt)
        except BaseException as error:
            if attempt is not None and attempt.outcome is None:
                _failed(attempt, error)
            raise
        finally:
            await closed(pieces)
            if attempt is not None and attempt.outcome is None:
                attempt.failed("cut_off", 0, sent=True)

    async def embed(self, texts: Sequence[str], terms: Terms) -> tuple[list[list[float]], Tokens]:
        """Vectors of texts, and what was read.

        Raises:
            UpstreamError: As ``complete``.
        """
        if terms.tab is None:
            return await self._inner.embed(texts, terms)
        most = sum(len(text.encode("utf-8", "replace")) + MESSAGE_TOKENS for text in texts)
        attempt = await terms.tab.begin(self.upstream, Tokens(input=most))
        try:
            vectors, tokens = await self._inner.embed(texts, terms)
        except BaseException as error:
            _failed(attempt, error)
            raise
        attempt.ended(tokens)
        return vectors, tokens

    async def close(self) -> None:
        """Let go of connections."""
        await self._inner.close()


class Metered:
    """The outermost layer: every call is booked, whether it was sent or not. One event loop.

    Args:
        inner: The stack; its endpoints are ``Billed``.
        meter: Keeps the books.
        clock: Gives the day of the price and the time in the books.
    """

    def __init__(self, inner: LanguageModel, meter: Meter, clock: Clock = utc_now) -> None:
        self._inner, self._meter, self._clock = inner, meter, clock

    @property
    def upstream(self) -> Upstream:
        """Where it is and what it costs."""
        return self._inner.upstream

    async def complete(self, request: ModelRequest, terms: Terms) -> Completion:
        """The whole answer, with what all its attempts cost.

        Raises:
            UpstreamError: However it failed, with what that cost.
        """
        tab, began = self._tab(terms), time.perf_counter()
        try:
            completion = await self._inner.complete(request, replace(terms, tab=tab))
        except BaseException as error:
            self._close(tab, error, began)
            raise
        self._answered(tab, completion, began)
        return _costing(completion, tab)

    async def stream(self, request: ModelRequest, terms: Terms) -> AsyncIterator[Piece]:
        """The answer as it comes; closing it early books what it cost until then.

        Raises:
            UpstreamError: As ``complete``.
        """
        tab, began = self._tab(terms), time.perf_counter()
        pieces = self._inner.stream(request, replace(terms, tab=tab))
        whole: Completion | None = None
        try:
            async for piece in pieces:
                if piece.whole is None:
                    yield piece
                else:
                    whole = _costing(piece.whole, tab)
                    yield msgspec.structs.replace(piece, whole=whole)
        except BaseException as error:
            await closed(pieces)
            if whole is None:
                self._close(tab, error, began)
            else:
                # It was whole; whoever read it did not read on to the end.
                self._answered(tab, whole, began)
            raise
        await closed(pieces)
        if whole is None:
            self._close(tab, UpstreamError("cut_off", "the stream ended early."), began)
        else:
            self._answered(tab, whole, began)

    async def embed(self, texts: Sequence[str], terms: Terms) -> tuple[list[list[float]], Tokens]:
        """Vectors of texts, and what was read.

        Raises:
            UpstreamError: As ``complete``.
        """
        tab, began = self._tab(terms), time.perf_counter()
        try:
            vectors, tokens = await self._inner.embed(texts, replace(terms, tab=tab))
        except BaseException as error:
            self._close(tab, error, began)
            raise
        tab.close(self.upstream.name, "ok", time.perf_counter() - began)
        return vectors, tokens

    async def close(self) -> None:
        """Let go of connections."""
        await self._inner.close()

    def _tab(self, terms: Terms) -> Tab:
        payer = Payer(purpose=terms.purpose, task=terms.task, key=terms.key, job=terms.job)
        return Tab(self._meter, payer, self._clock)

    def _answered(self, tab: Tab, completion: Completion, began: float) -> None:
        answered = completion.upstream or self.upstream.name
        tab.close(answered, "ok", time.perf_counter() - began, completion.cached)

    def _close(self, tab: Tab, error: BaseException, began: float) -> None:
        name, outcome = self.upstream.name, _outcome(error)
        if isinstance(error, UpstreamError):
            name = error.upstream or name
        tab.close(name, outcome, time.perf_counter() - began)
        if isinstance(error, UpstreamError):
            error.micro_usd, error.attempts = tab.micro_usd, tab.sent


async def closed(pieces: AsyncIterator[Piece]) -> None:
    """Close a stream whether or not it was read to its end."""
    close = getattr(pieces, "aclose", None)
    if close is not None:
        await close()


def _counted(piece: Piece, attempt: Attempt | None) -> Piece:
    """A piece that was counted; with the last one the attempt has ended."""
    if attempt is None:
        return piece
    if piece.whole is not None:
        cost = attempt.ended(piece.whole.tokens)
        return msgspec.structs.replace(
            piece, whole=msgspec.structs.replace(piece.whole, micro_usd=cost)
        )
    if piece.tokens is not None:
        attempt.tokens = piece.tokens
    return piece


def _failed(attempt: Attempt, error: BaseException) -> None:
    if isinstance(error, UpstreamError):
        attempt.failed(cast("Outcome", error.outcome), error.micro_usd, sent=error.attempts > 0)
    else:
        attempt.failed("cancelled", 0, sent=True)


def _outcome(error: BaseException) -> Outcome:
    """How a call ended that was broken off by an error, or by whoever asked."""
    return cast("Outcome", error.outcome) if isinstance(error, UpstreamError) else "cancelled"


def _costing(completion: Completion, tab: Tab) -> Completion:
    cost, sent = tab.micro_usd, tab.sent
    if completion.cached or (completion.micro_usd == cost and completion.attempts == sent):
        return completion
    return msgspec.structs.replace(completion, micro_usd=cost, attempts=sent)
