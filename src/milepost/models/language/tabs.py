"""What one call of a language model costs, attempt by attempt, and what is reserved for each.

Knows prices and scopes of budgets, and nothing of wire formats, retries or where the books are.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

from milepost._base.clock import Clock
from milepost._base.randomness import random64
from milepost.entities.errors import UpstreamError
from milepost.entities.language import CacheKind, ModelRequest, Tokens
from milepost.entities.model_calls import ModelCall, Outcome, Purpose
from milepost.entities.money import MICRO, scopes
from milepost.entities.upstream import Price, Upstream

IMAGE_TOKENS = 50_000
"""Most tokens that one image is taken to cost: eight tiles of the dearest published count."""

MESSAGE_TOKENS = 16
"""Most tokens that a provider writes around a message or a tool."""

MAYBE_BILLED: frozenset[Outcome] = frozenset(
    {"timeout", "reset", "cut_off", "malformed", "too_large", "cancelled"}
)
"""Outcomes of an attempt that was sent after which the provider may want its money all the same."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_VARIANT, _RANDOM = 1 << 63, (1 << 62) - 1
_OUTPUT_FIELDS = ("max_tokens", "max_completion_tokens", "max_output_tokens")


@dataclass(frozen=True, slots=True)
class Hold:
    """A reservation.

    Attributes:
        holder: Under which id the ledger has it.
        scopes: Budgets that hold it; empty where none applies.
        micro_usd: How much, in each.
    """

    holder: str
    scopes: tuple[str, ...]
    micro_usd: int


class Meter(Protocol):
    """Keeps the books and watches the budgets. Thread safe."""

    async def reserve(self, scopes: tuple[str, ...], micro_usd: int | None) -> Hold:
        """Set money aside in every one of these scopes that has a budget, or in none.

        Args:
            scopes: Of the call, as ``milepost.entities.money.scopes`` gives them.
            micro_usd: The most that it can cost; ``None`` where no price is known.

        Raises:
            UpstreamError: ``over_budget``, or ``no_price`` where a budget applies.
        """
        ...

    def settle(self, calls: Sequence[ModelCall], holds: Sequence[Hold]) -> None:
        """Book what calls did cost, and end their reservations. Never blocks and never raises."""
        ...

    def left(self, scopes: tuple[str, ...]) -> int | None:
        """Micro-USD that the tightest budget leaves; ``None`` where none applies."""
        ...


def new_call_id(at: datetime) -> str:
    """An id of a call that ended then (RFC 9562, section 5.7); ids sort by milliseconds."""
    milliseconds, rest = divmod((at - _EPOCH) // timedelta(microseconds=1), 1000)
    variant = _VARIANT | (random64() & _RANDOM)
    return f"m{milliseconds:012x}7{(rest << 12) // 1000:03x}{variant:016x}"


def most_tokens(request: ModelRequest) -> Tokens:
    """Tokens that a request can cost at most, whatever the model's tokenizer is.

    No token of a byte-level or byte-fallback tokenizer stands for less than a byte of UTF-8, so
    the bytes of a text are a bound of its tokens.
    """
    read = MESSAGE_TOKENS
    for message in request.messages:
        read += MESSAGE_TOKENS
        if isinstance(message.content, str):
            read += _bytes(message.content)
        else:
            for part in message.content:
                read += IMAGE_TOKENS if part.image is not None else _bytes(part.text or "")
        for call in message.tool_calls:
            read += MESSAGE_TOKENS + _bytes(call.name) + _bytes(call.arguments)
            read += _bytes(call.thought or "")
    for tool in request.tools:
        read += MESSAGE_TOKENS + _bytes(tool.name) + _bytes(tool.description)
        read += _bytes(repr(tool.parameters))
    if request.schema is not None:
        read += _bytes(repr(request.schema))
    written = request.max_tokens
    if request.extra:
        read += _bytes(repr(request.extra))
        written = max(written, *(_count(request.extra.get(name)) for name in _OUTPUT_FIELDS))
        written *= max(1, _count(request.extra.get("n")))
    return Tokens(input=read, output=written)


def most_cost(price: Price, tokens: Tokens) -> int:
    """Most micro-USD of so many tokens, however many are cached or thought; rounded up."""
    read = max(price.input, price.cached_input or 0, price.cache_write or 0)
    written = max(price.output, price.reasoning or 0)
    return price.call - (-(tokens.input * read + tokens.output * written) // MICRO)


def _bytes(text: str) -> int:
    # Half a character, which UTF-8 has not, is sent as one that takes three bytes.
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def _count(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


class Attempt:
    """One attempt of a call; begun by ``Tab.begin``, ended exactly once. One event loop.

    Attributes:
        upstream: Name of the upstream that is tried.
        tokens: What the provider counted, so far as it said.
        micro_usd: What it cost.
        estimated: How much of that the provider did not say.
        outcome: How it ended; ``None`` while it has not.
        sent: Whether it was sent at all.
    """

    __slots__ = (
        "_began", "_hold", "_most", "_price", "_tab", "estimated", "micro_usd", "outcome",
        "seconds", "sent", "tokens", "upstream",
    )  # fmt: skip

    def __init__(self, tab: "Tab", upstream: str, price: Price | None, most: int) -> None:
        self.upstream = upstream
        self.tokens = Tokens()
        self.micro_usd = self.estimated = 0
        self.outcome: Outcome | None = None
        self.sent = True
        self.seconds = 0.0
        self._tab, self._price, self._most = tab, price, most
        self._hold: Hold | None = None
        self._began = time.perf_counter()

    @property
    def priced(self) -> bool:
        """Whether a price was known."""
        return self._price is not None

    def ended(self, tokens: Tokens) -> int:
        """It answered, or told its usage before it failed; what it cost, in micro-USD."""
        self.tokens = tokens
        self.micro_usd = 0 if self._price is None else self._price.cost(tokens)
        self._end("ok")
        return self.micro_usd

    def failed(self, outcome: Outcome, told: int, *, sent: bool) -> None:
        """It did not answer.

        Args:
            outcome: How it failed.
            told: Micro-USD of the usage that was told until then; 0 where nothing was.
            sent: Whether it was sent at all.
        """
        self.sent = sent
        if self.tokens != Tokens() and self._price is not None:
            self.micro_usd = self._price.cost(self.tokens)
        elif told:
            self.micro_usd = told
        elif sent and outcome in MAYBE_BILLED:
            self.micro_usd = self.estimated = self._tab.about(self.upstream, self._most, outcome)
        self._end(outcome)

    def _end(self, outcome: Outcome) -> None:
        self.outcome = outcome
        self.seconds = time.perf_counter() - self._began
        self._tab.ended(self)

    @property
    def hold(self) -> Hold | None:
        """What is reserved for it."""
        return self._hold

    @hold.setter
    def hold(self, hold: Hold) -> None:
        self._hold = hold


@dataclass(frozen=True, slots=True, kw_only=True)
class Payer:
    """In whose name a call is made, as the books have it; see ``ModelCall``."""

    purpose: Purpose
    task: str | None = None
    key: str | None = None
    job: str | None = None


class Tab:
    """The attempts of one call. One event loop.

    Args:
        meter: Keeps the books.
        payer: In whose name.
        clock: Gives the day of the price and the time in the books.
    """

    __slots__ = ("_attempts", "_clock", "_closed", "_meter", "_payer")

    def __init__(self, meter: Meter, payer: Payer, clock: Clock) -> None:
        self._meter, self._payer, self._clock = meter, payer, clock
        self._attempts: list[Attempt] = []
        self._closed = False

    async def begin(self, upstream: Upstream, most: Tokens) -> Attempt:
        """Reserve what an attempt can cost at most; it may be sent then.

        Raises:
            UpstreamError: If a budget does not allow it, or no price is known where one applies.
        """
        price = upstream.price(self._clock().date())
        cost = None if price is None else most_cost(price, most)
        payer = self._payer
        named = scopes(upstream=upstream.name, task=payer.task, key=payer.key, job=payer.job)
        try:
            hold = await self._meter.reserve(named, cost)
        except UpstreamError as error:
            # The meter knows scopes; which upstream was to be asked stands here.
            raise UpstreamError(
                error.outcome,
                error.what,
                upstream=upstream.name,
                advice=error.advice,
                retry_after=error.retry_after,
            ) from None
        attempt = Attempt(self, upstream.name, price, cost or 0)
        attempt.hold = hold
        self._attempts.append(attempt)
        return attempt

    @property
    def micro_usd(self) -> int:
        """What the attempts that have ended cost together."""
        return sum(attempt.micro_usd for attempt in self._attempts)

    @property
    def sent(self) -> int:
        """How many attempts were sent."""
        return sum(attempt.sent for attempt in self._attempts)

    def about(self, upstream: str, most: int, outcome: Outcome) -> int:
        """What an attempt cost at about of which the provider said nothing.

        The loser of a race wrote about what the winner did; of others the most is taken.
        """
        if outcome == "cancelled":
            for other in self._attempts:
                if other.upstream == upstream and other.outcome == "ok":
                    return min(most, other.micro_usd)
        return most

    def ended(self, attempt: Attempt) -> None:
        """Told by an attempt; one that ends after the call is booked by itself."""
        if self._closed:
            self._book([attempt], attempt.outcome or "ok", attempt.seconds, "")

    def close(
        self, upstream: str, outcome: Outcome, seconds: float, cached: CacheKind = ""
    ) -> None:
        """Book the call: one entry for each upstream that was tried, at least one.

        Args:
            upstream: Name of the one that answered, or would have.
            outcome: How the call ended.
            seconds: How long it took.
            cached: Which cache of ours answered, if any.
        """
        self._closed = True
        over = [attempt for attempt in self._attempts if attempt.outcome is not None]
        names = list(dict.fromkeys([*(attempt.upstream for attempt in over), upstream]))
        for name in names:
            own = [attempt for attempt in over if attempt.upstream == name]
            if name == upstream:
                self._book(own, outcome, seconds, cached, name)
            else:
                last = own[-1].outcome or "cancelled"
                self._book(own, last, sum(attempt.seconds for attempt in own), "")

    def _book(
        self,
        attempts: list[Attempt],
        outcome: Outcome,
        seconds: float,
        cached: CacheKind,
        upstream: str = "",
    ) -> None:
        now, payer, tokens = self._clock(), self._payer, Tokens()
        for attempt in attempts:
            if attempt.tokens is not tokens:
                tokens = tokens + attempt.tokens
        call = ModelCall(
            id=new_call_id(now),
            at=now,
            upstream=upstream or attempts[0].upstream,
            purpose=payer.purpose,
            task=payer.task,
            key=payer.key,
            job=payer.job,
            outcome=outcome,
            tokens=tokens,
            micro_usd=sum(attempt.micro_usd for attempt in attempts),
            estimated=sum(attempt.estimated for attempt in attempts),
            attempts=sum(attempt.sent for attempt in attempts),
            seconds=seconds,
            cached=cached,
            priced=all(attempt.priced for attempt in attempts),
        )
        holds = [attempt.hold for attempt in attempts if attempt.hold is not None]
        self._meter.settle([call], holds)
