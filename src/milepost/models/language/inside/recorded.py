"""A language model that gives stored answers again, with what they cost and how long they took.

A recording is a file of JSON Lines. Each line is an ``Answer``: it says which request it answers,
by the digest of the request or by the text that was asked about, and what the answer was::

    {"request": "9f2c…", "text": "card-lost", "tokens": {"input": 212, "output": 3}, "seconds": 0.8}
    {"input": "My card is gone", "label": "card-lost", "micro_usd": 590, "seconds": 0.8}

An answer by the digest goes before one by the text. ``text`` is given as it stands; ``label`` is
written in the form that the request asks for (name, letter or JSON). What is not recorded is an
``UpstreamError`` of outcome ``not_found``, never a guess.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path

import msgspec

from milepost._base.digest import digest_of
from milepost.entities.errors import DataError, UpstreamError
from milepost.entities.language import (
    Completion,
    Finish,
    ModelRequest,
    Piece,
    TokenChoice,
    Tokens,
    ToolCall,
)
from milepost.entities.money import Micro
from milepost.entities.upstream import Endpoint, Upstream
from milepost.models.language.asking import LanguageModel, Terms
from milepost.models.language.inside import spelling
from milepost.models.language.inside.options import Replay, lines_of, options, place
from milepost.models.language.inside.reading import Known, last_text, read


class Answer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A line of a recording.

    Attributes:
        request: Digest of the request that it answers (``request_digest``).
        input: Text asked about, for answers to whatever request holds it.
        text: The answer as it was.
        label: The label answered, where only that is known.
        finish: Why it ended.
        tokens: What was read and written; ``None`` counts four characters a token.
        micro_usd: What it cost; ``None`` takes the upstream's price of the day.
        seconds: How long it took.
        model: The model as the provider named it.
        tool_calls: Tools that were asked for.
        logprobs: Tokens with log-probabilities.
    """

    request: str | None = None
    input: str | None = None
    text: str | None = None
    label: str | None = None
    finish: Finish = "stop"
    tokens: Tokens | None = None
    micro_usd: Micro | None = None
    seconds: float = 0.0
    model: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    logprobs: tuple[TokenChoice, ...] = ()


def request_digest(request: ModelRequest) -> str:
    """SHA-256 of a request's canonical JSON: equal requests have equal ones."""
    return digest_of(request)


class Recorded:
    """Gives the answers of a recording; implements ``LanguageModel``. Any thread may ask.

    Args:
        upstream: Its row; its prices count where the recording says no cost.
        endpoint: Whose ``base_url`` is ``recorded:FILE?OPTIONS`` (``Replay``); ``None`` for the
            first one.
        root: Folder that the file is relative to; ``None`` for the current one.
        clock: Monotonic seconds, as deadlines are given in.
        today: The day whose price counts.

    Raises:
        InputError: If the options or the recording cannot be read.
    """

    def __init__(
        self,
        upstream: Upstream,
        endpoint: Endpoint | None = None,
        *,
        root: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
        today: Callable[[], date] = lambda: datetime.now(UTC).date(),
    ) -> None:
        self._upstream = upstream
        self._endpoint = endpoint or upstream.endpoints[0]
        self._speed = options(self._endpoint.base_url, Replay).speed
        self._by_request, self._by_input = load(place(self._endpoint.base_url), root)
        self._known = Known(self._by_input)
        self._clock = clock
        self._today = today

    @property
    def upstream(self) -> Upstream:
        """Its row."""
        return self._upstream

    def say(self, request: ModelRequest) -> Completion:
        """The recorded answer without waiting for it.

        Raises:
            UpstreamError: ``not_found`` if there is none.
        """
        answer = self._find(request)
        if answer.text is not None or answer.tool_calls:
            text, written = answer.text or "", len(spelling.split(answer.text or ""))
        else:
            asked = read(request)
            shares = {label.name: float(label.name == answer.label) for label in asked.labels}
            fits = answer.label in shares
            spoken = spelling.spell(request, asked, shares, "") if fits else None
            text = spoken.text if spoken else answer.label or ""
            written = len(spelling.split(text))
        tokens = answer.tokens or Tokens(
            input=spelling.read_tokens(request), output=max(written, 1)
        )
        return Completion(
            text=text,
            finish=answer.finish,
            tokens=tokens,
            tool_calls=answer.tool_calls,
            logprobs=answer.logprobs if request.top_logprobs is not None else (),
            model=answer.model or self._upstream.model,
            upstream=self._upstream.name,
            region=self._endpoint.region,
            micro_usd=self._cost(tokens) if answer.micro_usd is None else answer.micro_usd,
            seconds=answer.seconds / self._speed if self._speed else 0.0,
        )

    async def complete(self, request: ModelRequest, terms: Terms) -> Completion:
        """The recorded answer, after as long as it took."""
        completion = self.say(request)
        await self._wait(completion.seconds, terms)
        return completion

    async def stream(self, request: ModelRequest, terms: Terms) -> AsyncIterator[Piece]:
        """The recorded answer token by token, at an even pace."""
        completion = self.say(request)
        pieces = spelling.pieces(completion)
        for piece in pieces:
            await self._wait(completion.seconds / len(pieces), terms)
            yield piece

    async def embed(self, texts: Sequence[str], terms: Terms) -> tuple[list[list[float]], Tokens]:
        """Never: recordings hold no vectors."""
        raise UpstreamError(
            "unsupported", "a recording holds no vectors.", upstream=self._upstream.name, attempts=1
        )

    async def close(self) -> None:
        """Nothing is held."""

    def _find(self, request: ModelRequest) -> Answer:
        digest = request_digest(request)
        found = self._by_request.get(digest)
        if found is None and self._by_input:
            text = self._known.find(last_text(request))
            found = self._by_input[text] if text is not None else None
        if found is None:
            raise UpstreamError(
                "not_found",
                f"nothing is recorded for the request {digest[:12]}….",
                upstream=self._upstream.name,
                advice="Record it once around a real upstream.",
                attempts=1,
            )
        return found

    def _cost(self, tokens: Tokens) -> int:
        price = self._upstream.price(self._today())
        return 0 if price is None else price.cost(tokens)

    async def _wait(self, seconds: float, terms: Terms) -> None:
        left = None if terms.deadline is None else terms.deadline - self._clock()
        if left is not None and left < seconds:
            await asyncio.sleep(max(left, 0.0))
            raise UpstreamError(
                "timeout", "the deadline passed before it answered.",
                upstream=self._upstream.name, attempts=1,
            )  # fmt: skip
        if seconds > 0:
            await asyncio.sleep(seconds)


def load(path: str, root: Path | None) -> tuple[Mapping[str, Answer], Mapping[str, Answer]]:
    """Answers of a recording by digest of the request and by text; the last of equal ones counts.

    Raises:
        DataError: If the file or a line of it cannot be read.
    """
    file, lines = lines_of(path, root)
    requests: dict[str, Answer] = {}
    inputs: dict[str, Answer] = {}
    for number, line in enumerate(lines, 1):
        try:
            answer = msgspec.json.decode(line, type=Answer)
        except msgspec.DecodeError as error:
            raise DataError(f"is no answer: {error}.", where=f"{file}:{number}") from None
        if answer.text is None and answer.label is None and not answer.tool_calls:
            raise DataError("has neither text nor label.", where=f"{file}:{number}")
        if answer.request is not None:
            requests[answer.request] = answer
        elif answer.input is not None and answer.input.strip():
            inputs[answer.input.strip()] = answer
        else:
            raise DataError("says neither request nor input.", where=f"{file}:{number}")
    return requests, inputs


class Recording:
    """Writes what another model answers to a recording; implements ``LanguageModel``.

    Used on one event loop. A line is written at once and whole, before the answer is given.

    Args:
        inner: Who answers.
        path: File that lines are added to.
    """

    def __init__(self, inner: LanguageModel, path: Path) -> None:
        self._inner = inner
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    @property
    def upstream(self) -> Upstream:
        """That of the model inside."""
        return self._inner.upstream

    async def complete(self, request: ModelRequest, terms: Terms) -> Completion:
        """What the model inside answers, once it is written down."""
        completion = await self._inner.complete(request, terms)
        self._write(request, completion)
        return completion

    async def stream(self, request: ModelRequest, terms: Terms) -> AsyncIterator[Piece]:
        """As ``complete``; an answer that is not read to its end is not recorded."""
        async for piece in self._inner.stream(request, terms):
            if piece.whole is not None:
                self._write(request, piece.whole)
            yield piece

    async def embed(self, texts: Sequence[str], terms: Terms) -> tuple[list[list[float]], Tokens]:
        """What the model inside embeds; not recorded."""
        return await self._inner.embed(texts, terms)

    async def close(self) -> None:
        """Closes the file and the model inside."""
        os.close(self._file)
        await self._inner.close()

    def _write(self, request: ModelRequest, completion: Completion) -> None:
        answer = Answer(
            request=request_digest(request),
            text=completion.text,
            finish=completion.finish,
            tokens=completion.tokens,
            micro_usd=completion.micro_usd,
            seconds=completion.seconds,
            model=completion.model,
            tool_calls=completion.tool_calls,
            logprobs=completion.logprobs,
        )
        os.write(self._file, msgspec.json.encode(answer) + b"\n")
