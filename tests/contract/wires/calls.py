"""What the suites over all wire formats ask, and how."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from datetime import date
from typing import Any, TypeVar

import pytest

from milepost.entities.errors import UpstreamError
from milepost.entities.language import Completion, Message, ModelRequest, Piece, Tokens, Tool
from milepost.entities.upstream import Endpoint, Price, Upstream, Wire
from milepost.models.language.asking import Terms
from milepost.models.language.http import HttpModel
from milepost.models.language.opening import open_endpoint

WIRES: tuple[Wire, ...] = ("openai", "openai-responses", "anthropic", "gemini")
T = TypeVar("T")
CANARY = "sk-canary-0123456789abcdefghijklmnopqrstuv"
SCHEMA = {
    "type": "object",
    "properties": {"label": {"type": "string", "enum": ["a", "b"]}},
    "required": ["label"],
    "additionalProperties": False,
}
WEATHER = Tool(name="weather", description="Of a town", parameters={
    "type": "object", "properties": {"town": {"type": "string"}}, "required": ["town"],
})  # fmt: skip
PRICE = Price(
    since=date(2025, 1, 1), input=2_000_000, output=8_000_000, cached_input=1_000_000,
    reasoning=4_000_000, cache_write=3_000_000,
)  # fmt: skip
TOKENS = Tokens(input=100, output=20, cached_input=60, reasoning=5)
ANSWER = Completion(text="Blue, I should say.", tokens=TOKENS)
HELLO = ModelRequest(messages=(Message(role="user", content="Which colour?"),))


class Scripted:
    """Answers what it was told to, in pieces of a word, and remembers what it was asked."""

    def __init__(self, answer: Completion = ANSWER) -> None:
        self.answer = answer
        self.asked: list[ModelRequest] = []
        self.upstream = upstream("openai", "http://nowhere.invalid")

    async def complete(self, request: ModelRequest, terms: Terms) -> Completion:
        self.asked.append(request)
        return self.answer

    async def stream(self, request: ModelRequest, terms: Terms) -> AsyncIterator[Piece]:
        self.asked.append(request)
        answer = self.answer
        if answer.logprobs:
            for choice in answer.logprobs:
                yield Piece(text=choice.token, logprobs=(choice,), tokens=answer.tokens)
        else:
            for word in answer.text.split(" "):
                text = word if word == answer.text.split(" ")[0] else f" {word}"
                yield Piece(text=text, tokens=answer.tokens)
        for call in answer.tool_calls:
            yield Piece(tool_calls=(call,), tokens=answer.tokens)
        yield Piece(tokens=answer.tokens, whole=answer)

    async def embed(self, texts: Sequence[str], terms: Terms) -> tuple[list[list[float]], Tokens]:
        return [[float(len(text)), 1.0] for text in texts], Tokens(input=7)

    async def close(self) -> None:
        """Nothing to let go of."""


def upstream(wire: Wire, base_url: str, **fields: Any) -> Upstream:
    endpoint = Endpoint(base_url=base_url, private=True, region="here", **fields)
    return Upstream(
        name="big", wire=wire, model="m-1", endpoints=(endpoint,), prices=(PRICE,), timeout_s=20.0
    )


def opened(wire: Wire, base_url: str, **fields: Any) -> HttpModel:
    row = upstream(wire, base_url, **fields)
    model = open_endpoint(row, row.endpoints[0])
    assert isinstance(model, HttpModel)
    return model


async def asked(
    model: HttpModel, request: ModelRequest = HELLO, terms: Terms | None = None
) -> Completion:
    try:
        return await model.complete(request, terms or Terms())
    finally:
        await model.close()


async def streamed(
    model: HttpModel, request: ModelRequest = HELLO, terms: Terms | None = None
) -> list[Piece]:
    try:
        return [piece async for piece in model.stream(request, terms or Terms())]
    finally:
        await model.close()


def done(model: HttpModel, call: Coroutine[Any, Any, T]) -> T:
    """What a call of a model comes to; the model is closed then."""

    async def both() -> T:
        try:
            return await call
        finally:
            await model.close()

    return asyncio.run(both())


def failure(call: Coroutine[Any, Any, object]) -> UpstreamError:
    with pytest.raises(UpstreamError) as caught:
        asyncio.run(call)
    return caught.value
