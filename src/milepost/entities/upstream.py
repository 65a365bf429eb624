"""Upstreams: where language models answer, what they can do and what they cost.

An upstream is a row of data, never a module: its wire format names the code that speaks to it.
"""

from datetime import date, datetime
from typing import Annotated, Literal

import msgspec

from milepost.entities.errors import FieldError
from milepost.entities.expectations import Name
from milepost.entities.ids import Digest
from milepost.entities.language import Tokens
from milepost.entities.money import MICRO, Micro

Wire = Literal["openai", "openai-responses", "anthropic", "gemini", "fake", "recorded"]
"""How an upstream is spoken to; ``fake`` and ``recorded`` are inside of this process."""


NO_DAY = date(1970, 1, 1)
"""Day since when a price holds that nobody gave a day."""


class Price(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What tokens cost from a day on, in micro-USD per million tokens.

    Attributes:
        since: First day (UTC) that it holds.
        input: Of a token read.
        output: Of a token written.
        cached_input: Of a token from the provider's prompt cache; ``None`` for that of ``input``.
        reasoning: Of a token thought; ``None`` for that of ``output``.
        cache_write: Of a token put into the provider's prompt cache; ``None`` for that of
            ``input``.
        call: Of a call, whatever it holds, in micro-USD.
    """

    since: date
    input: Micro
    output: Micro
    cached_input: Micro | None = None
    reasoning: Micro | None = None
    cache_write: Micro | None = None
    call: Micro = 0

    def cost(self, tokens: Tokens) -> int:
        """Micro-USD of a call, to the nearest one, half to even."""
        cached = self.input if self.cached_input is None else self.cached_input
        kept = self.input if self.cache_write is None else self.cache_write
        thought = self.output if self.reasoning is None else self.reasoning
        total = (
            (tokens.input - tokens.cached_input - tokens.cache_write) * self.input
            + tokens.cached_input * cached
            + tokens.cache_write * kept
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


class UpstreamVersion(msgspec.Struct, frozen=True, kw_only=True):
    """An upstream as it was at some time; a change adds one, none is ever changed.

    Attributes:
        name: Of the upstream.
        number: 1 for the first; one more for each change.
        upstream: As it was from then on; ``None`` where it was removed.
        created: When, UTC.
        actor: Who.
        digest: SHA-256 of its record, as the audit log has it; ``None`` where it was removed.
    """

    name: str
    number: int
    upstream: Upstream | None
    created: datetime
    actor: str
    digest: Digest | None = None
