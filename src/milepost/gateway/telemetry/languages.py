"""Calls of language models seen from outside: each is counted and gets a span, whoever asked."""

import time
from bisect import bisect_left
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from milepost.entities.errors import UpstreamError
from milepost.entities.language import Completion, ModelRequest, Piece, Tokens
from milepost.entities.upstream import Upstream
from milepost.gateway.telemetry.model_spans import ModelSpan
from milepost.gateway.telemetry.series import CALL_SECONDS, CALL_SECONDS_SUM, MOST_SERIES
from milepost.models.language.asking import LanguageModel, Terms
from milepost.serving.language import Languages

if TYPE_CHECKING:
    from milepost.gateway.telemetry.telemetry import Telemetry

_KINDS = ("input", "cached_input", "cache_write", "output", "reasoning")


class _Places(NamedTuple):
    """Where the numbers are that each answered call of an upstream adds to."""

    calls: int
    seconds: int
    tokens: tuple[int, ...]
    micro_usd: int


class WatchedLanguages:
    """Language models that count; see ``Languages``.

    Args:
        inner: The language models.
        telemetry: Counts.
    """

    def __init__(self, inner: Languages, telemetry: "Telemetry") -> None:
        self._inner = inner
        self._telemetry = telemetry
        self._watched: dict[str, WatchedModel] = {}

    def names(self) -> Sequence[str]:
        """See ``Languages.names``."""
        return self._inner.names()

    def get(self, name: str) -> LanguageModel:
        """See ``Languages.get``."""
        model = self._inner.get(name)
        known = self._watched.get(name)
        if known is None or known.inner is not model:
            known = self._watched[name] = WatchedModel(model, self._telemetry)
        return known

    def refresh(self) -> None:
        """See ``Languages.refresh``."""
        self._inner.refresh()

    async def close(self) -> None:
        """See ``Languages.close``."""
        await self._inner.close()


class WatchedModel:
    """A language model whose calls are counted; used on its event loop.

    Args:
        inner: The language model.
        telemetry: Counts.
    """

    def __init__(self, inner: LanguageModel, telemetry: "Telemetry") -> None:
        self.inner = inner
        self._telemetry = telemetry
        self._known: dict[tuple[str, str, str], _Places] = {}
        self._first: int | None = None

    @property
    def upstream(self) -> Upstream:
        """See ``LanguageModel.upstream``."""
        return self.inner.upstream

    async def complete(self, request: ModelRequest, terms: Terms) -> Completion:
        """See ``LanguageModel.complete``."""
        began = time.perf_counter()
        span, terms = self._span(request, terms, stream=False)
        try:
            whole = await self.inner.complete(request, terms)
        except BaseException as error:
            self._failed(terms, error, began, span)
            raise
        self._answered(terms, whole, began, span)
        return whole

    async def stream(self, request: ModelRequest, terms: Terms) -> AsyncGenerator[Piece]:
        """See ``LanguageModel.stream``."""
        began, first = time.perf_counter(), True
        span, terms = self._span(request, terms, stream=True)
        pieces = self.inner.stream(request, terms)
        whole: Completion | None = None
        try:
            async for piece in pieces:
                if first:
                    first = False
                    self._begun(time.perf_counter() - began)
                whole = piece.whole
                yield piece
        except BaseException as error:
            if whole is None:
                self._failed(terms, error, began, span)
            raise
        finally:
            if whole is not None:
                self._answered(terms, whole, began, span)
            close = getattr(pieces, "aclose", None)
            if close is not None:
                await close()

    async def embed(self, texts: Sequence[str], terms: Terms) -> tuple[list[list[float]], Tokens]:
        """See ``LanguageModel.embed``."""
        began = time.perf_counter()
        try:
            vectors, tokens = await self.inner.embed(texts, terms)
        except BaseException as error:
            self._failed(terms, error, began, None)
            raise
        upstream = self.inner.upstream
        self._answered(terms, Completion(text="", tokens=tokens, upstream=upstream.name), began)
        return vectors, tokens

    async def close(self) -> None:
        """See ``LanguageModel.close``."""
        await self.inner.close()

    def _span(
        self, request: ModelRequest, terms: Terms, *, stream: bool
    ) -> tuple[ModelSpan | None, Terms]:
        """A span where somebody wants it, and the terms that hand it on."""
        spans = self._telemetry.spans
        if spans is None:
            return None, terms
        span = ModelSpan(spans, self.inner.upstream, request, terms, stream=stream)
        return span, replace(terms, parent=span.parent or terms.parent)

    def _begun(self, seconds: float) -> None:
        if self._first is None:
            labels = (self.inner.upstream.name,)
            self._first = self._telemetry.place("milepost_upstream_first_seconds", labels)
        self._telemetry.add(
            (self._first + bisect_left(CALL_SECONDS, seconds), 1.0),
            (self._first + CALL_SECONDS_SUM, seconds),
        )

    def _answered(
        self, terms: Terms, whole: Completion, began: float, span: ModelSpan | None = None
    ) -> None:
        seconds = time.perf_counter() - began
        places = self._places(terms, whole)
        tokens = whole.tokens if not whole.cached else Tokens()
        counts = [getattr(tokens, kind) for kind in _KINDS]
        self._telemetry.add(
            (places.calls, 1.0),
            (places.seconds + bisect_left(CALL_SECONDS, seconds), 1.0),
            (places.seconds + CALL_SECONDS_SUM, seconds),
            *zip(places.tokens, map(float, counts), strict=True),
            (places.micro_usd, whole.micro_usd),
        )
        if span is not None:
            span.answered(whole)

    def _failed(
        self, terms: Terms, error: BaseException, began: float, span: ModelSpan | None
    ) -> None:
        outcome = error.outcome if isinstance(error, UpstreamError) else "cancelled"
        name = self.inner.upstream.name
        labels = (name, terms.purpose, outcome, "")
        self._telemetry.count("milepost_upstream_calls_total", labels)
        place = self._telemetry.place("milepost_upstream_call_seconds", (name,))
        seconds = time.perf_counter() - began
        self._telemetry.add(
            (place + bisect_left(CALL_SECONDS, seconds), 1.0), (place + CALL_SECONDS_SUM, seconds)
        )
        if span is not None:
            span.failed(outcome)

    def _places(self, terms: Terms, whole: Completion) -> _Places:
        name = whole.upstream or self.inner.upstream.name
        key = (name, terms.purpose, whole.cached)
        places = self._known.get(key)
        if places is None:
            place = self._telemetry.place
            places = _Places(
                place("milepost_upstream_calls_total", (name, terms.purpose, "ok", whole.cached)),
                place("milepost_upstream_call_seconds", (name,)),
                tuple(place("milepost_upstream_tokens_total", (name, kind)) for kind in _KINDS),
                place("milepost_upstream_micro_usd_total", (name,)),
            )
            if len(self._known) < MOST_SERIES:
                self._known[key] = places
        return places
