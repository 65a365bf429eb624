"""Tries an upstream: whether its endpoints answer, what it can do, what a call costs.

Each try is one short call without retries, booked like every other; budgets hold for it, too.
"""

import asyncio
import contextlib
import struct
import time
import zlib
from base64 import b64encode
from collections.abc import Awaitable, Callable
from typing import cast

import msgspec
from msgspec import structs

from milepost.entities.errors import UpstreamError, nearest
from milepost.entities.language import Completion, Message, ModelRequest, Part, Tool
from milepost.entities.model_calls import Outcome
from milepost.entities.upstream import Endpoint, Upstream
from milepost.entities.upstream_check import CapabilityTried, EndpointTried, UpstreamCheck
from milepost.models.language.asking import LanguageModel, Terms
from milepost.models.language.http import HttpModel
from milepost.models.language.metering import Billed, Metered
from milepost.models.language.opening import open_endpoint
from milepost.workflows.context import Context
from milepost.workflows.language.meter import LedgerMeter

LONGEST_S = 30.0
"""Seconds that one try may take; the upstream's own limit where that is shorter."""

WORDS = 256
"""Tokens that an answer may have: models that think need some before they say anything."""

REFUSED: frozenset[Outcome] = frozenset({"unsupported", "bad_request", "not_found", "malformed"})
"""Outcomes that mean that it cannot do what was asked."""

SHOWN = 60
"""Characters of an answer that are shown."""

_SCHEMA: dict[str, object] = {
    "type": "object",
    "properties": {"ready": {"type": "boolean"}},
    "required": ["ready"],
    "additionalProperties": False,
}


def check(context: Context, name: str) -> UpstreamCheck:
    """Try an upstream, and keep what it was found to be able to do.

    Raises:
        UnknownNameError: If there is none of this name.
    """
    upstream = context.ledger.upstream(name)
    meter = LedgerMeter(context.ledger)
    try:
        endpoints, tried, cost = asyncio.run(_tried(context, upstream, meter))
    finally:
        meter.close()
    known, kept = _with(upstream, tried), None
    if known != upstream:
        context.record_configuration()
        kept = context.ledger.add_upstream(
            known, reason="found by a check", actor=context.actor, replace=True
        ).number
    return UpstreamCheck(
        upstream=known,
        price=upstream.price(context.clock().date()),
        endpoints=tuple(endpoints),
        capabilities=tuple(tried),
        micro_usd=cost,
        kept=kept,
    )


async def _tried(
    context: Context, upstream: Upstream, meter: LedgerMeter
) -> tuple[list[EndpointTried], list[CapabilityTried], int]:
    asked: list[EndpointTried] = []
    works: _Tries | None = None
    inner = [open_endpoint(upstream, each, root=context.root) for each in upstream.endpoints]
    tries = [_Tries(Metered(Billed(each), meter, context.clock)) for each in inner]
    try:
        for one, endpoint, model in zip(tries, upstream.endpoints, inner, strict=True):
            asked.append(await _endpoint(one, endpoint, model))
            works = works or (one if asked[-1].outcome == "ok" else None)
        found = [] if works is None else [await works.tried(each) for each in PROBES]
        return asked, found, sum(one.micro_usd for one in tries)
    finally:
        for one in tries:
            await one.model.close()


async def _endpoint(one: "_Tries", endpoint: Endpoint, inner: LanguageModel) -> EndpointTried:
    there = EndpointTried(
        base_url=endpoint.base_url, region=endpoint.region, private=endpoint.private
    )
    began = time.perf_counter()
    try:
        answer = await one.complete(_request())
    except UpstreamError as error:
        if error.outcome in REFUSED and await one.embeds():
            return structs.replace(there, text="(it embeds texts, and does not talk)")
        what = f"{error.what} {error.advice or ''}".strip()
        if error.outcome == "not_found":
            what = f"{what} {await _near(inner)}".strip()
        seconds = time.perf_counter() - began
        outcome = cast("Outcome", error.outcome)
        return structs.replace(there, outcome=outcome, what=what, seconds=seconds)
    return structs.replace(
        there,
        text=answer.text[:SHOWN],
        model=answer.model,
        tokens=answer.tokens,
        micro_usd=answer.micro_usd,
        seconds=time.perf_counter() - began,
    )


async def _near(inner: LanguageModel) -> str:
    """Which models the endpoint has; empty where it does not say."""
    if not isinstance(inner, HttpModel):
        return ""
    terms = Terms(purpose="check", deadline=time.monotonic() + LONGEST_S)
    names: list[str] = []
    with contextlib.suppress(UpstreamError):
        names = await inner.models(terms)
    if not names:
        return ""
    near = nearest(inner.upstream.model, names)
    also = f"Did you mean {near!r}? " if near else ""
    return f"{also}It has {', '.join(names[:10])}{', …' if len(names) > 10 else ''}."


class _Tries:
    """Calls of one endpoint, and what they cost together. One event loop."""

    def __init__(self, model: Metered) -> None:
        self.model = model
        self.micro_usd = 0

    def _terms(self) -> Terms:
        longest = min(LONGEST_S, self.model.upstream.timeout_s)
        return Terms(purpose="check", cache=False, deadline=time.monotonic() + longest)

    async def complete(self, request: ModelRequest) -> Completion:
        try:
            answer = await self.model.complete(request, self._terms())
        except UpstreamError as error:
            self.micro_usd += error.micro_usd
            raise
        self.micro_usd += answer.micro_usd
        return answer

    async def streams(self) -> bool:
        pieces, whole = 0, None
        async for piece in self.model.stream(_request(), self._terms()):
            pieces += 1
            whole = piece.whole or whole
        if whole is not None:
            self.micro_usd += whole.micro_usd
        return whole is not None and pieces > 0

    async def embeds(self) -> bool:
        try:
            vectors, tokens = await self.model.embed(["ready"], self._terms())
        except UpstreamError as error:
            self.micro_usd += error.micro_usd
            return False
        price = self.model.upstream.prices[-1] if self.model.upstream.prices else None
        self.micro_usd += 0 if price is None else price.cost(tokens)
        return len(vectors) == 1 and len(vectors[0]) > 0

    async def tried(self, name: str) -> CapabilityTried:
        """One capability, also one that was missing before: models change behind their names."""
        registered = cast("bool | None", getattr(self.model.upstream.capabilities, name))
        try:
            found, what = await PROBES[name](self), ""
        except UpstreamError as error:
            found, what = (False if error.outcome in REFUSED else None), error.what
        return CapabilityTried(name=name, found=found, registered=registered, what=what)

    async def follows_schema(self) -> bool:
        answer = await self.complete(_request("Are you ready?", schema=_SCHEMA))
        try:
            said = msgspec.json.decode(answer.text, type=dict[str, object])
        except msgspec.DecodeError:
            return False
        return set(said) == {"ready"} and isinstance(said["ready"], bool)

    async def calls_tools(self) -> bool:
        tool = Tool(name="ready", description="Say that you are ready.", parameters=_SCHEMA)
        answer = await self.complete(_request("Call it.", tools=(tool,), tool_choice="required"))
        return any(call.name == "ready" for call in answer.tool_calls)

    async def tells_logprobs(self) -> bool:
        return bool((await self.complete(_request(top_logprobs=2))).logprobs)

    async def sees(self) -> bool:
        parts = (Part(text="Which colour is this?"), Part(image=_picture()))
        answer = await self.complete(_request(parts))
        return bool(answer.text)


PROBES: dict[str, Callable[[_Tries], Awaitable[bool]]] = {
    "streaming": _Tries.streams,
    "schema": _Tries.follows_schema,
    "tools": _Tries.calls_tools,
    "logprobs": _Tries.tells_logprobs,
    "vision": _Tries.sees,
    "embeddings": _Tries.embeds,
}
"""How each capability is tried, in the order in which they are shown."""


def _request(
    content: str | tuple[Part, ...] = "Answer with the one word: ready",
    *,
    schema: dict[str, object] | None = None,
    tools: tuple[Tool, ...] = (),
    tool_choice: str | None = None,
    top_logprobs: int | None = None,
) -> ModelRequest:
    return ModelRequest(
        messages=(Message(role="user", content=content),),
        max_tokens=WORDS,
        schema=schema,
        tools=tools,
        tool_choice=tool_choice,
        top_logprobs=top_logprobs,
    )


def _with(upstream: Upstream, tried: list[CapabilityTried]) -> Upstream:
    """With what was found where nothing was known, or where it was known to be missing."""
    new = {each.name: each.found for each in tried if not each.registered}
    found = {name: value for name, value in new.items() if value is not None}
    capabilities = structs.replace(upstream.capabilities, **found)
    return structs.replace(upstream, capabilities=capabilities)


def _picture(side: int = 64) -> str:
    """A red square as PNG (ISO/IEC 15948), in base64."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        whole = kind + data
        return struct.pack(">I", len(data)) + whole + struct.pack(">I", zlib.crc32(whole))

    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    rows = zlib.compress((b"\0" + b"\xd0\x10\x10" * side) * side)
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    return b64encode(png).decode()
