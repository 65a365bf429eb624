"""The books of language models: each call, how it ended and what it cost; answers that are kept."""

from datetime import datetime
from typing import Literal

import msgspec

from milepost.entities.language import CacheKind, Tokens
from milepost.entities.money import Micro

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


class KeptAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """An answer of a language model that may be given again.

    Attributes:
        scope: Who may be given it, as a cache names them.
        digest: Of the request.
        upstream: Name of the upstream that gave it.
        answer: A ``Completion`` as JSON.
        expires: Until when it may be given again; ``None`` for ever.
    """

    scope: str
    digest: str
    upstream: str
    answer: bytes
    expires: datetime | None = None


class Spending(msgspec.Struct, frozen=True, kw_only=True):
    """What calls cost together.

    Attributes:
        name: Of the upstream, task, key or day; empty for those without one.
        calls: How many there were, those from a cache included.
        cached: How many of them a cache of ours answered.
        similar: How many of those as a similar question was answered.
        failed: How many of them failed.
        unpriced: How many had no price, so that their cost is not known.
        tokens: What they read and wrote; what a cache of ours answered counts nothing.
        micro_usd: What they cost.
        estimated: How much of that is estimated.
    """

    name: str
    calls: int
    cached: int = 0
    similar: int = 0
    failed: int = 0
    unpriced: int = 0
    tokens: Tokens = Tokens()
    micro_usd: Micro = 0
    estimated: Micro = 0


SpendBy = Literal["upstream", "task", "key", "day"]
