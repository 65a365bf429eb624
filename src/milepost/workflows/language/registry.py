"""Upstreams of a workspace: added, listed, removed. No key is ever read or kept here."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path
from urllib.parse import parse_qsl

import msgspec

from milepost.entities.errors import InputError, UnknownNameError, UpstreamError
from milepost.entities.money import MICRO
from milepost.entities.upstream import (
    NO_DAY,
    Balance,
    Endpoint,
    Price,
    Upstream,
    UpstreamVersion,
    Wire,
)
from milepost.models.language.addresses import site
from milepost.models.language.inside.opening import open_inside
from milepost.models.language.secrets import Secrets
from milepost.workflows.context import Context

INSIDE: dict[Wire, str] = {"fake": "fake:", "recorded": "recorded:answers.jsonl"}
"""Wires that need no network, and where they are without a base URL."""

MOST_USD = 1_000_000
"""A larger amount is a slip of the hand."""


MOST_NAME, MOST_SMALL = 100, 20
"""Characters of a variable's name, and of one with small letters that is not set: a longer text may
be a key that was given in the place of its name."""

TELLING = {"key", "api_key", "apikey", "api-key", "token", "access_token", "secret", "signature"}
"""Parameters of an address that hold secrets, which no record may."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """What tokens cost as somebody types it: USD per million tokens, as text.

    Attributes:
        read: Of a token read.
        written: Of a token written.
        cached: Of a token from the provider's prompt cache; ``None`` for that of ``read``.
        reasoning: Of a token thought; ``None`` for that of ``written``.
        kept: Of a token put into the provider's prompt cache; ``None`` for that of ``read``.
        call: Of a call, in USD.
        since: First day (UTC) that they hold; ``None`` for today, or for ever with a first price.
    """

    read: str | None = None
    written: str | None = None
    cached: str | None = None
    reasoning: str | None = None
    kept: str | None = None
    call: str | None = None
    since: date | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewUpstream:
    """An upstream as somebody types it; see ``Upstream`` and ``Endpoint``.

    Attributes:
        addresses: Base URLs of the endpoints, in order; empty only for those inside.
        weights: Of the endpoints, in their order; those that are missing are 1.
        regions: Of the endpoints, in their order.
        key_env: Variable that holds the key.
        key_file: File that holds the key.
        private: Whether addresses that are not public, and plain HTTP, are allowed.
        prices: What it costs; without any it is not known.
    """

    name: str
    model: str | None
    wire: Wire = "openai"
    addresses: Sequence[str] = ()
    weights: Sequence[float] = ()
    regions: Sequence[str] = ()
    key_env: str | None = None
    key_file: str | None = None
    private: bool = False
    prices: Prices = Prices()
    fallback: tuple[str, ...] = ()
    at_once: int | None = None
    timeout_s: float | None = None
    hedge_after_s: float | None = None
    context_tokens: int | None = None
    balance: Balance | None = None
    licence: str | None = None
    terms: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Added:
    """What came of adding an upstream.

    Attributes:
        version: The row as it stands now.
        missing: Variables and files of its keys that hold nothing now, in words.
    """

    version: UpstreamVersion
    missing: tuple[str, ...]


def add_upstream(
    context: Context, wanted: NewUpstream, *, reason: str, replace: bool = False
) -> Added:
    """Register an upstream. Nothing is called; ``check`` does that.

    With ``replace`` prices that hold until ``since`` are kept, so that earlier calls can still be
    explained, and so is what was found of its capabilities where the model stays the same.

    Raises:
        InputError: If a name, an address, a number or a fallback cannot be used, or an address is
            not public and ``private`` is not set.
        ConflictError: If there is another of this name and ``replace`` is not set.
    """
    known = {row.name: row for row in context.ledger.upstreams()}
    for name in wanted.fallback:
        if name not in known and name != wanted.name:
            raise UnknownNameError("upstream", name, known, where="--fallback")
    before = known.get(wanted.name) if replace else None
    upstream = _upstream(wanted, before, context.clock().date())
    _check_addresses(context, upstream)
    context.record_configuration()
    version = context.ledger.add_upstream(
        upstream, reason=reason, actor=context.actor, replace=replace
    )
    return Added(version=version, missing=missing_keys(upstream))


def remove_upstream(context: Context, name: str, *, reason: str) -> UpstreamVersion:
    """Let an upstream be asked no more; what it cost stays in the books.

    Raises:
        UnknownNameError: If there is none.
        InputError: If another one falls back on it.
    """
    context.ledger.upstream(name)
    users = [row.name for row in context.ledger.upstreams() if name in row.fallback]
    if users:
        raise InputError(
            f"{', '.join(users)} {'falls' if len(users) == 1 else 'fall'} back on {name!r}.",
            advice="Add these again without it first (--replace).",
        )
    context.record_configuration()
    return context.ledger.remove_upstream(name, reason=reason, actor=context.actor)


def versions(context: Context, name: str) -> list[UpstreamVersion]:
    """Everything that was ever known of an upstream, oldest first.

    Raises:
        UnknownNameError: If there never was one of this name.
    """
    found = context.ledger.upstream_versions(name)
    if not found:
        context.ledger.upstream(name)
    return list(found)


def missing_keys(upstream: Upstream) -> tuple[str, ...]:
    """Which of its keys cannot be read now, in words without them."""
    found: dict[str, None] = {}
    for endpoint in upstream.endpoints:
        if endpoint.key is None:
            continue
        try:
            Secrets().read(endpoint.key, upstream=upstream.name)
        except UpstreamError as error:
            found[f"{error.what} {error.advice or ''}".strip()] = None
    return tuple(found)


def micro(amount: str | float, where: str) -> int:
    """Micro-USD in an amount of USD such as ``2.5``, exactly.

    Raises:
        InputError: If it is none, has more than six decimals, is below 0 or too large.
    """
    try:
        exact = Decimal(str(amount).strip().removeprefix("$")) * MICRO
    except InvalidOperation:
        exact = Decimal("NaN")
    if not exact.is_finite() or not 0 <= exact <= MOST_USD * MICRO or exact % 1 != 0:
        raise InputError(
            f"{amount!r} is no amount of USD.",
            where=where,
            advice=f"Write a number such as 2.5: 0 to {MOST_USD:,}, with at most six decimals.",
        )
    return int(exact)


def _upstream(wanted: NewUpstream, before: Upstream | None, today: date) -> Upstream:
    model = wanted.model or ("fake" if wanted.wire in INSIDE else None)
    if model is None:
        raise InputError("which model is it?", where="--model", advice="Say it with --model NAME.")
    numbers = {
        "at_once": wanted.at_once,
        "timeout_s": wanted.timeout_s,
        "hedge_after_s": wanted.hedge_after_s,
        "context_tokens": wanted.context_tokens,
        "balance": wanted.balance,
        "licence": wanted.licence,
        "terms": wanted.terms,
    }
    same = before is not None and (before.model, before.wire) == (model, wanted.wire)
    plain = {
        "name": wanted.name,
        "wire": wanted.wire,
        "model": model,
        "endpoints": _endpoints(wanted),
        "prices": _prices(wanted.prices, before, today),
        "fallback": wanted.fallback,
        **({"capabilities": before.capabilities} if before is not None and same else {}),
        **{name: value for name, value in numbers.items() if value is not None},
    }
    try:
        return msgspec.convert(msgspec.to_builtins(plain), Upstream)
    except msgspec.ValidationError as error:
        what, _, place = str(error).partition(" - at ")
        field = place.strip("`$.")
        if field == "name":
            raise InputError(
                f"{wanted.name[:80]!r} is no name of an upstream.",
                advice="A letter first, then letters, digits, - and _; all lower case, at most 63.",
            ) from None
        raise InputError(f"{what[:1].lower()}{what[1:]}.", where=field or None) from None


def _endpoints(wanted: NewUpstream) -> list[Endpoint]:
    addresses = list(wanted.addresses)
    if not addresses and wanted.wire in INSIDE:
        addresses = [INSIDE[wanted.wire]]
    if not addresses:
        raise InputError(
            "where is it?", where="--base-url", advice="Say it with --base-url https://…."
        )
    for name, given in (("--weight", wanted.weights), ("--region", wanted.regions)):
        if len(given) > len(addresses):
            raise InputError(f"there are {len(given)} for {len(addresses)} --base-url.", where=name)
    if wanted.key_env is not None and wanted.key_file is not None:
        raise InputError("the key is in a variable or in a file.", where="--key-env, --key-file")
    key = None
    if wanted.key_env is not None:
        key = f"env:{_variable(wanted.key_env)}"
    elif wanted.key_file is not None:
        key = f"file:{Path(wanted.key_file).expanduser().absolute()}"
    weights = [*wanted.weights, *[1.0] * len(addresses)]
    regions = [*wanted.regions, *[""] * len(addresses)]
    return [
        Endpoint(base_url=address, key=key, weight=weight, region=region, private=wanted.private)
        for address, weight, region in zip(addresses, weights, regions, strict=False)
    ]


def _variable(name: str) -> str:
    """A name of a variable. What is none may be the key itself, so that it is not shown."""
    known = name in os.environ or name.upper() == name or len(name) < MOST_SMALL
    if known and name.isidentifier() and name.isascii() and len(name) <= MOST_NAME:
        return name
    raise InputError(
        "this is not the name of a variable, but perhaps a key: that must not stand here.",
        where="--key-env",
        advice="Put the key into a variable and give its name, such as OPENAI_API_KEY.",
    )


def _prices(wanted: Prices, before: Upstream | None, today: date) -> tuple[Price, ...]:
    """Dated prices: those that hold until the new one does, and the new one."""
    old = () if before is None else before.prices
    others = (wanted.cached, wanted.reasoning, wanted.kept, wanted.call)
    if wanted.read is None and wanted.written is None:
        if any(each is not None for each in others) or wanted.since is not None:
            raise InputError(
                "there is no price without that of a token read and of one written.",
                where="--price-in, --price-out",
            )
        return old
    # Only what is read costs with an embedding model, so one of the two may be left out.
    since = wanted.since or (today if old else NO_DAY)

    def given(value: str | None, option: str) -> int | None:
        return None if value is None else micro(value, option)

    new = Price(
        since=since,
        input=micro(wanted.read or "0", "--price-in"),
        output=micro(wanted.written or "0", "--price-out"),
        cached_input=given(wanted.cached, "--price-cached"),
        reasoning=given(wanted.reasoning, "--price-reasoning"),
        cache_write=given(wanted.kept, "--price-cache-write"),
        call=micro(wanted.call or "0", "--price-call"),
    )
    return (*(price for price in old if price.since < since), new)


def _check_addresses(context: Context, upstream: Upstream) -> None:
    """Find what cannot be used at all before it is kept.

    Raises:
        InputError: If an address is none, or not public and not private.
    """
    for endpoint in upstream.endpoints:
        if upstream.wire in INSIDE:
            open_inside(upstream, endpoint, context.root)
            continue
        try:
            found = site(upstream.name, endpoint)
            if TELLING & {name.lower() for name, _ in parse_qsl(found.query)}:
                raise InputError(
                    "an address must not hold a key: it is kept and shown.",
                    where="--base-url",
                    advice="Put the key into a variable, and give its name with --key-env.",
                )
        except UpstreamError as error:
            raise InputError(error.what, where="--base-url", advice=error.advice) from None
