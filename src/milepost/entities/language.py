"""Language models: what is asked of them, what they answer, where they are and what they cost.

An upstream is a row of data, never a module: its wire format names the code that speaks to it.
Money is counted in whole micro-USD (10⁻⁶ USD), prices in micro-USD per million tokens.
"""

from collections.abc import Iterable
from datetime import UTC, date, datetime
from typing import Annotated, Literal

import msgspec

from milepost.entities.errors import FieldError
from milepost.entities.expectations import Name

Wire = Literal["openai", "openai-responses", "anthropic", "gemini", "fake", "recorded"]
"""How an upstream is spoken to; ``fake`` and ``recorded`` are inside of this process."""

Role = Literal["system", "user", "assistant", "tool"]
Finish = Literal["stop", "length", "tool_calls", "content_filter"]
Micro = Annotated[int, msgspec.Meta(ge=0)]
"""Micro-USD, or micro-USD per million tokens."""

Count = Annotated[int, msgspec.Meta(ge=0)]

MICRO = 1_000_000
"""Micro-USD in a USD, and tokens in the million that prices are for."""


class Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A piece of a message.

    Attributes:
        text: Its text; ``None`` for an image.
        image: Base64 of an image's bytes; ``None`` for text. Images are never fetched for anybody.
        media_type: Of the image, such as ``image/png``.
    """

    text: str | None = None
    image: str | None = None
    media_type: str = "image/png"


class ToolCall(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A call of a tool that a model asks for; ``arguments`` is JSON text as the model wrote it."""

    id: str
    name: str
    arguments: str


class Tool(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A tool that a model may ask for; ``parameters`` is a JSON Schema."""

    name: str
    description: str = ""
    parameters: dict[str, object] = {}


class Message(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One message of a conversation.

    Attributes:
        role: Who says it.
        content: Text, or parts where there are images.
        tool_calls: Tools that the assistant asked for.
        tool_call_id: Which call a message of role ``tool`` answers.
    """

    role: Role
    content: str | tuple[Part, ...] = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None


class ModelRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One question to a language model, the same for every wire format.

    Attributes:
        messages: The conversation, at least one message.
        max_tokens: Most tokens of the answer; what a budget reserves for it.
        temperature: 0 for the most probable answer; ``None`` leaves it to the model.
        top_p: Nucleus sampling; ``None`` leaves it to the model.
        seed: For endpoints that take one.
        stop: Texts that end the answer.
        schema: JSON Schema that the answer must follow; ``None`` for free text.
        top_logprobs: How many alternatives of each token to tell with their log-probabilities;
            ``None`` for none at all.
        tools: Tools that the model may ask for.
        tool_choice: ``auto``, ``none``, ``required`` or the name of a tool.
        extra: Further fields as the wire format has them, for clients that speak it themselves.
    """

    messages: Annotated[tuple[Message, ...], msgspec.Meta(min_length=1)]
    max_tokens: Annotated[int, msgspec.Meta(ge=1)] = 256
    temperature: float | None = 0.0
    top_p: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    schema: dict[str, object] | None = None
    top_logprobs: Annotated[int, msgspec.Meta(ge=0, le=20)] | None = None
    tools: tuple[Tool, ...] = ()
    tool_choice: str | None = None
    extra: dict[str, object] = {}


class Tokens(msgspec.Struct, frozen=True, kw_only=True):
    """What a call read and wrote, as the provider counts.

    Attributes:
        input: Tokens read, those of ``cached_input`` included.
        output: Tokens written, those of ``reasoning`` included.
        cached_input: Of the input, what the provider had in its own prompt cache.
        reasoning: Of the output, what it thought and did not show.
    """

    input: Count = 0
    output: Count = 0
    cached_input: Count = 0
    reasoning: Count = 0

    def __add__(self, other: "Tokens") -> "Tokens":
        return Tokens(
            input=self.input + other.input,
            output=self.output + other.output,
            cached_input=self.cached_input + other.cached_input,
            reasoning=self.reasoning + other.reasoning,
        )


class TokenAlternative(msgspec.Struct, frozen=True, kw_only=True):
    """A token that could have stood there, and the natural logarithm of its probability."""

    token: str
    logprob: float


class TokenChoice(msgspec.Struct, frozen=True, kw_only=True):
    """A token of the answer with its log-probability and the most probable alternatives."""

    token: str
    logprob: float
    alternatives: tuple[TokenAlternative, ...] = ()


CacheKind = Literal["", "exact", "semantic"]


class Completion(msgspec.Struct, frozen=True, kw_only=True):
    """What a language model answered.

    Attributes:
        text: The answer.
        finish: Why it ended.
        tokens: What the call read and wrote.
        tool_calls: Tools that the model asks for.
        logprobs: Its tokens with log-probabilities, where they were asked for and given.
        model: The model as the provider names it.
        upstream: Name of the upstream that answered, which a fallback may have made another one.
        region: Of the endpoint that answered.
        micro_usd: What the call cost, all its attempts together; 0 from a cache of ours.
        attempts: How often it was sent.
        seconds: From the first attempt until the answer was whole.
        cached: Whether a cache of ours answered, and which.
    """

    text: str
    finish: Finish = "stop"
    tokens: Tokens = Tokens()
    tool_calls: tuple[ToolCall, ...] = ()
    logprobs: tuple[TokenChoice, ...] = ()
    model: str = ""
    upstream: str = ""
    region: str = ""
    micro_usd: Micro = 0
    attempts: int = 1
    seconds: float = 0.0
    cached: CacheKind = ""


class Piece(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of an answer that is streamed.

    Attributes:
        text: What comes next of the text.
        tool_calls: What comes next of calls of tools: pieces of one call share its ``id``.
        logprobs: Of the tokens of ``text``, where they were asked for.
        tokens: All that was read and written until here, where the provider says so on the way;
            what a stream that is broken off costs follows from it.
        whole: The whole answer, with the last piece only.
    """

    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    logprobs: tuple[TokenChoice, ...] = ()
    tokens: Tokens | None = None
    whole: Completion | None = None


class Price(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What tokens cost from a day on, in micro-USD per million tokens.

    Attributes:
        since: First day (UTC) that it holds.
        input: Of a token read.
        output: Of a token written.
        cached_input: Of a token from the provider's prompt cache; ``None`` for that of ``input``.
        reasoning: Of a token thought; ``None`` for that of ``output``.
        call: Of a call, whatever it holds, in micro-USD.
    """

    since: date
    input: Micro
    output: Micro
    cached_input: Micro | None = None
    reasoning: Micro | None = None
    call: Micro = 0

    def cost(self, tokens: Tokens) -> int:
        """Micro-USD of a call, to the nearest one, half to even."""
        cached = self.input if self.cached_input is None else self.cached_input
        thought = self.output if self.reasoning is None else self.reasoning
        total = (
            (tokens.input - tokens.cached_input) * self.input
            + tokens.cached_input * cached
            + (tokens.output - tokens.reasoning) * self.output
            + tokens.reasoning * thought
        )
        whole, rest = divmod(total, MICRO)
        up = rest * 2 > MICRO or (rest * 2 == MICRO and whole % 2 == 1)
        return self.call + whole + up


class Endpoint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One address at which an upstream's model answers.

    Attributes:
        base_url: ``https://…`` up to where the wire format's own paths begin.
        key: Where its key is: ``env:NAME`` or ``file:PATH``; ``None`` where none is needed. The
            key itself stands in no record.
        weight: Its share of the calls against the other endpoints.
        region: Where it computes, in the provider's words.
        private: Whether an address that is not public is allowed; an admin says so.
    """

    base_url: Annotated[str, msgspec.Meta(min_length=1)]
    key: str | None = None
    weight: Annotated[float, msgspec.Meta(gt=0.0)] = 1.0
    region: str = ""
    private: bool = False


class Capabilities(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an upstream can do; ``None`` where nobody has said or tried."""

    streaming: bool | None = None
    schema: bool | None = None
    tools: bool | None = None
    logprobs: bool | None = None
    vision: bool | None = None
    embeddings: bool | None = None


Balance = Literal["weighted", "fastest", "cheapest"]


class Upstream(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A language model behind one or more endpoints.

    Attributes:
        name: How tasks and clients call it.
        wire: How it is spoken to.
        model: The model as the endpoints call it.
        endpoints: Where it answers, at least one; of ``fake`` and ``recorded`` a ``base_url`` is
            what these make of it.
        prices: By day, oldest first; empty where no price is known, which no budget allows.
        capabilities: What it can do.
        context_tokens: Most tokens of a conversation; ``None`` where it is not known.
        at_once: Most calls at a time of one process.
        timeout_s: Longest that one call may take, all attempts together.
        hedge_after_s: Seconds after which a second endpoint is asked as well; ``None`` for never.
        balance: How endpoints are chosen.
        fallback: Upstreams that are asked in turn where this one cannot answer.
        licence: Of the model, as SPDX or in words.
        terms: Where its terms of use stand.
    """

    name: Name
    wire: Wire = "openai"
    model: Annotated[str, msgspec.Meta(min_length=1)]
    endpoints: Annotated[tuple[Endpoint, ...], msgspec.Meta(min_length=1)]
    prices: tuple[Price, ...] = ()
    capabilities: Capabilities = Capabilities()
    context_tokens: Annotated[int, msgspec.Meta(ge=1)] | None = None
    at_once: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 32
    timeout_s: Annotated[float, msgspec.Meta(gt=0.0, le=3600.0)] = 60.0
    hedge_after_s: Annotated[float, msgspec.Meta(gt=0.0)] | None = None
    balance: Balance = "weighted"
    fallback: tuple[Name, ...] = ()
    licence: str = ""
    terms: str = ""

    def __post_init__(self) -> None:
        """Check what the types cannot say.

        Raises:
            FieldError: If prices are not in order, or it is its own fallback.
        """
        days = [price.since for price in self.prices]
        if days != sorted(set(days)):
            raise FieldError("prices are not in the order of their days", where="prices")
        if self.name in self.fallback:
            raise FieldError("an upstream cannot be its own fallback", where="fallback")

    def price(self, day: date) -> Price | None:
        """The price of a day; ``None`` before the first one."""
        held = [price for price in self.prices if price.since <= day]
        return held[-1] if held else None


Outcome = Literal[
    "ok",
    "timeout",
    "unreachable",
    "reset",
    "cut_off",
    "malformed",
    "too_large",
    "rate_limited",
    "overloaded",
    "server_error",
    "bad_key",
    "no_key",
    "bad_request",
    "not_found",
    "too_long",
    "filtered",
    "unsupported",
    "blocked_address",
    "breaker_open",
    "over_budget",
    "no_price",
    "cancelled",
]
"""How a call can end. ``cut_off``: the stream ended early; ``malformed``: not the JSON that was
due; ``too_long``: more than the model's context; ``unsupported``: it cannot do what was asked."""

AGAIN: frozenset[Outcome] = frozenset(
    {
        "timeout", "unreachable", "reset", "cut_off", "malformed", "rate_limited", "overloaded",
        "server_error", "breaker_open",
    }
)  # fmt: skip
"""Outcomes after which the same call may succeed at another time or place."""

Purpose = Literal["serve", "improve", "evaluate", "check", "pass"]
"""Why a call is made; ``pass``: a client asked the upstream itself through the gateway."""


class ModelCall(msgspec.Struct, frozen=True, kw_only=True):
    """One call of a language model as the books have it; a cache hit is a call without cost.

    Attributes:
        id: ``m`` and 32 hex digits; sorts by time (RFC 9562, version 7).
        at: When it ended, UTC.
        upstream: Name of the upstream that answered, or would have.
        purpose: Why.
        task: Task that it was for; ``None`` where there is none.
        key: Id of the key that asked; ``None`` for nobody's.
        job: Job that it belongs to; ``None`` outside of one.
        outcome: How it ended.
        tokens: What it read and wrote, attempts that failed included where they were billed.
        micro_usd: What it cost.
        estimated: How much of that is not what the provider counted but the most that it can have
            been, such as for an attempt that was given up.
        attempts: How often it was sent.
        seconds: How long it took.
        cached: Which cache of ours answered, if any.
        priced: Whether a price was known; without one ``micro_usd`` is 0 whatever it cost.
    """

    id: str
    at: datetime
    upstream: str
    purpose: Purpose
    task: str | None = None
    key: str | None = None
    job: str | None = None
    outcome: Outcome = "ok"
    tokens: Tokens = Tokens()
    micro_usd: Micro = 0
    estimated: Micro = 0
    attempts: int = 1
    seconds: float = 0.0
    cached: CacheKind = ""
    priced: bool = True


class UpstreamVersion(msgspec.Struct, frozen=True, kw_only=True):
    """An upstream as it was at some time; a change adds one, none is ever changed.

    Attributes:
        name: Of the upstream.
        number: 1 for the first; one more for each change.
        upstream: As it was from then on; ``None`` where it was removed.
        created: When, UTC.
        actor: Who.
    """

    name: str
    number: int
    upstream: Upstream | None
    created: datetime
    actor: str


class Spending(msgspec.Struct, frozen=True, kw_only=True):
    """What calls cost together.

    Attributes:
        name: Of the upstream, task, key or day; empty for those without one.
        calls: How many there were, those from a cache included.
        cached: How many of them a cache of ours answered.
        failed: How many of them failed.
        unpriced: How many had no price, so that their cost is not known.
        tokens: What they read and wrote; what a cache of ours answered counts nothing.
        micro_usd: What they cost.
        estimated: How much of that is estimated.
    """

    name: str
    calls: int
    cached: int = 0
    failed: int = 0
    unpriced: int = 0
    tokens: Tokens = Tokens()
    micro_usd: Micro = 0
    estimated: Micro = 0


SpendBy = Literal["upstream", "task", "key", "day"]
Period = Literal["day", "month", "total"]
"""UTC day, UTC month, or all time."""

WORKSPACE = "workspace"
"""Scope of everything that is spent."""


def scopes(
    *, upstream: str, task: str | None = None, key: str | None = None, job: str | None = None
) -> tuple[str, ...]:
    """Scopes whose budgets a call counts in, in one order for everybody."""
    named = (("job", job), ("key", key), ("task", task), ("upstream", upstream))
    return (*(f"{kind}:{name}" for kind, name in named if name is not None), WORKSPACE)


def window_of(period: Period, now: datetime) -> datetime:
    """First moment of the period that ``now`` lies in, UTC."""
    if period == "total":
        return datetime(1970, 1, 1, tzinfo=UTC)
    day = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return day.replace(day=1) if period == "month" else day


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """The most that may be spent in a scope, and what was.

    Attributes:
        scope: ``workspace``, ``task:NAME``, ``key:ID``, ``upstream:NAME`` or ``job:ID``.
        micro_usd: Most in a period.
        period: UTC day, UTC month, or all time.
        window: First moment of the period that ``spent`` counts; earlier ones are over.
        spent: Settled in the period.
        reserved: Reserved by calls that have not ended.
    """

    scope: str
    micro_usd: Micro
    period: Period = "month"
    window: datetime | None = None
    spent: Micro = 0
    reserved: Micro = 0

    @property
    def left(self) -> int:
        """What a further call may reserve, in micro-USD; never below 0."""
        return max(0, self.micro_usd - self.spent - self.reserved)


def usd(micro: int) -> str:
    """Micro-USD in words, such as ``$0.31``; small amounts keep three figures."""
    if micro >= MICRO or micro == 0:
        return f"${micro / MICRO:,.2f}"
    # A micro-USD has six decimals; the digits before the third figure are zeros.
    decimals = max(2, min(6, 9 - len(str(micro))))
    exact = f"{micro / MICRO:.{decimals}f}"
    return f"${exact[:4]}{exact[4:].rstrip('0')}"


def total(tokens: Iterable[Tokens]) -> Tokens:
    """The sum."""
    return sum(tokens, Tokens())
