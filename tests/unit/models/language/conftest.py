"""Time that passes only where somebody waits, and language models that follow a script."""

import asyncio
import selectors
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, TypeVar

import pytest

from milepost.entities.errors import UpstreamError
from milepost.entities.language import Completion, Message, ModelRequest, Piece, Tokens
from milepost.entities.upstream import Endpoint, Price, Upstream
from milepost.models.language.asking import Terms

T = TypeVar("T")


class _Skipping(selectors.DefaultSelector):
    """Waits for nothing: time jumps to when the next timer is due."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise RuntimeError("everybody waits for ever")
        self.now += max(0.0, timeout)
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock begins at 0 and only moves when all wait."""

    def __init__(self) -> None:
        self._skipping = _Skipping()
        super().__init__(self._skipping)

    def time(self) -> float:
        return self._skipping.now


def now() -> float:
    """The running loop's clock."""
    return asyncio.get_running_loop().time()


@dataclass
class Scripted:
    """Answers its ``n``-th call as ``script(n)`` says: after so many seconds, so.

    ``pieces`` says how many pieces of a stream come before the outcome.
    """

    upstream: Upstream
    script: Callable[[int], tuple[float, str]]
    pieces: int = 0
    retry_after: float | None = None
    cost: int = 10
    sent: list[float] = field(default_factory=list)
    ended: list[float] = field(default_factory=list)
    flying: int = 0
    most: int = 0
    cancelled: int = 0
    closed: bool = False

    async def complete(self, request: ModelRequest, terms: Terms) -> Completion:
        number = len(self.sent)
        self.sent.append(now())
        self.flying += 1
        self.most = max(self.most, self.flying)
        try:
            seconds, outcome = self.script(number)
            await asyncio.sleep(seconds)
            if outcome != "ok":
                raise UpstreamError(
                    outcome, "it failed.", retry_after=self.retry_after, micro_usd=self.cost
                )
            return Completion(
                text=str(number),
                tokens=Tokens(input=8, output=2),
                micro_usd=self.cost,
                upstream=self.upstream.name,
            )
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.flying -= 1
            self.ended.append(now())

    async def stream(self, request: ModelRequest, terms: Terms) -> AsyncIterator[Piece]:
        for number in range(self.pieces):
            yield Piece(text=str(number))
        whole = await self.complete(request, terms)
        yield Piece(text=whole.text, whole=whole)

    async def embed(self, texts: Sequence[str], terms: Terms) -> tuple[list[list[float]], Tokens]:
        await self.complete(asked("embed"), terms)
        return [[float(len(text))] for text in texts], Tokens(input=len(texts))

    async def close(self) -> None:
        self.closed = True


def asked(text: str, **fields: Any) -> ModelRequest:
    """A request with one message."""
    return ModelRequest(messages=(Message(role="user", content=text),), max_tokens=2, **fields)


def row(name: str = "big", endpoints: int = 1, **fields: Any) -> Upstream:
    """An upstream with so many endpoints; 1 micro-USD a token."""
    places = tuple(Endpoint(base_url=f"https://{n}.example/v1") for n in range(endpoints))
    price = Price(since=date(2020, 1, 1), input=1_000_000, output=1_000_000)
    return Upstream(name=name, model="m", endpoints=places, prices=(price,), **fields)


@dataclass(frozen=True)
class Stage:
    """What the tests of the layers are made of."""

    now: Callable[[], float] = field(default=now)
    Scripted: Callable[..., Any] = field(default=Scripted)
    asked: Callable[..., ModelRequest] = field(default=asked)
    row: Callable[..., Upstream] = field(default=row)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """What the coroutine comes to, in virtual time."""
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            return runner.run(work)


@pytest.fixture(scope="session")
def stage() -> Stage:
    """Virtual time and scripted models."""
    return Stage()
