"""One suite over all wire formats, against a real server that speaks each of them."""

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from email.utils import format_datetime
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest

from milepost.entities.errors import UpstreamError
from milepost.entities.language import (
    Completion,
    Endpoint,
    Message,
    ModelRequest,
    Part,
    Piece,
    Price,
    TokenAlternative,
    TokenChoice,
    Tokens,
    Tool,
    ToolCall,
    Upstream,
    Wire,
)
from milepost.models.language.asking import Terms
from milepost.models.language.http import HttpModel
from milepost.models.language.inside.faults import Fault
from milepost.models.language.opening import open_endpoint
from milepost.models.language.transport import network
from milepost.testing.upstreams import OpenAI, Reply, UpstreamServer, serving
from milepost.testing.upstreams.anthropic import Anthropic
from milepost.testing.upstreams.gemini import Gemini
from milepost.testing.upstreams.responses import OpenAIResponses

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
    reasoning=4_000_000,
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


@pytest.fixture
def scripted() -> Scripted:
    return Scripted()


@pytest.fixture
def server(scripted: Scripted) -> Iterator[UpstreamServer]:
    formats = (OpenAIResponses(), Anthropic(), Gemini())
    with serving(scripted, formats=formats) as running:
        yield running


@pytest.fixture(params=WIRES)
def wire(request: pytest.FixtureRequest) -> Wire:
    return request.param


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


# What is asked and answered.


def test_a_conversation_arrives_as_it_was_meant_and_its_answer_is_counted(
    wire: Wire, server: UpstreamServer, scripted: Scripted
) -> None:
    request = ModelRequest(
        messages=(
            Message(role="system", content="Be short."),
            Message(role="user", content="Which colour?"),
            Message(role="assistant", content="Of what?"),
            Message(role="user", content="Of the sky: \u201ctoday\u201d\n\u00e9"),
        ),
        max_tokens=31, temperature=0.5, top_p=0.9,
    )  # fmt: skip
    completion = asyncio.run(asked(opened(wire, server.base_url), request))
    assert scripted.asked == [request]
    assert completion.text == ANSWER.text
    assert completion.finish == "stop"
    assert completion.tokens == TOKENS
    assert (completion.upstream, completion.region, completion.attempts) == ("big", "here", 1)
    # 40 read anew, 60 from the cache, 15 said, 5 thought.
    assert completion.micro_usd == 40 * 2 + 60 * 1 + 15 * 8 + 5 * 4
    assert completion.model == ("gemini-test" if wire == "gemini" else "m-1")


def test_a_stream_is_the_same_answer_in_pieces(wire: Wire, server: UpstreamServer) -> None:
    pieces = asyncio.run(streamed(opened(wire, server.base_url)))
    whole = pieces[-1].whole
    assert whole is not None
    assert [piece.text for piece in pieces if piece.text] == ["Blue,", " I", " should", " say."]
    assert whole.text == ANSWER.text
    assert whole.tokens == TOKENS == pieces[-1].tokens
    assert whole.micro_usd == PRICE.cost(TOKENS)
    assert all(piece.whole is None for piece in pieces[:-1])


def test_reasons_for_the_end_are_told(
    wire: Wire, server: UpstreamServer, scripted: Scripted
) -> None:
    for finish in ("stop", "length", "content_filter"):
        scripted.answer = msgspec.structs.replace(ANSWER, finish=finish)
        if finish == "content_filter" and wire == "openai-responses":
            scripted.answer = msgspec.structs.replace(scripted.answer, text="I will not.")
        assert asyncio.run(asked(opened(wire, server.base_url))).finish == finish
        last = asyncio.run(streamed(opened(wire, server.base_url)))[-1].whole
        assert last is not None
        assert last.finish == finish


def test_a_schema_arrives_whole(wire: Wire, server: UpstreamServer, scripted: Scripted) -> None:
    scripted.answer = Completion(text='{"label": "a"}')
    request = msgspec.structs.replace(HELLO, schema=SCHEMA)
    assert asyncio.run(asked(opened(wire, server.base_url), request)).text == '{"label": "a"}'
    assert scripted.asked[0].schema == SCHEMA


@pytest.mark.parametrize("choice", ["auto", "none", "required", "weather"])
def test_tools_are_offered_with_the_choice_among_them(
    wire: Wire, server: UpstreamServer, scripted: Scripted, choice: str
) -> None:
    request = msgspec.structs.replace(HELLO, tools=(WEATHER,), tool_choice=choice)
    asyncio.run(asked(opened(wire, server.base_url), request))
    assert scripted.asked[0].tools == (WEATHER,)
    assert scripted.asked[0].tool_choice == choice


def test_calls_of_tools_come_back_whole_and_in_pieces(
    wire: Wire, server: UpstreamServer, scripted: Scripted
) -> None:
    calls = (
        ToolCall(id="call_0", name="weather", arguments='{"town":"Aix"}'),
        ToolCall(id="call_1", name="weather", arguments='{"town":"Ulm"}'),
    )
    scripted.answer = Completion(text="", tool_calls=calls, finish="tool_calls", tokens=TOKENS)
    request = msgspec.structs.replace(HELLO, tools=(WEATHER,))
    completion = asyncio.run(asked(opened(wire, server.base_url), request))
    assert completion.tool_calls == calls
    assert completion.finish == "tool_calls"
    pieces = asyncio.run(streamed(opened(wire, server.base_url), request))
    if wire != "openai":  # Whose test server gives every call the same place.
        assert pieces[-1].whole is not None
        assert pieces[-1].whole.tool_calls == calls
    said: dict[str, str] = {}
    for piece in pieces[:-1]:
        for call in piece.tool_calls:
            said[call.id] = said.get(call.id, "") + call.arguments
    assert said["call_0"].startswith('{"town":"Aix"}')


def test_what_a_tool_answered_goes_back_to_the_model(
    wire: Wire, server: UpstreamServer, scripted: Scripted
) -> None:
    name = "weather" if wire == "gemini" else "call_7"  # Gemini answers by name.
    call = ToolCall(id=name, name="weather", arguments='{"town":"Aix"}')
    messages = (
        Message(role="user", content="And in Aix?"),
        Message(role="assistant", tool_calls=(call,)),
        Message(role="tool", content="Rain", tool_call_id=name),
    )
    request = ModelRequest(messages=messages, tools=(WEATHER,))
    asyncio.run(asked(opened(wire, server.base_url), request))
    assert scripted.asked[0].messages == messages


def test_images_arrive_beside_their_text(
    wire: Wire, server: UpstreamServer, scripted: Scripted
) -> None:
    parts = (Part(text="What is it?"), Part(image="iVBORw0KGgo=", media_type="image/png"))
    request = ModelRequest(messages=(Message(role="user", content=parts),))
    asyncio.run(asked(opened(wire, server.base_url), request))
    assert scripted.asked[0].messages == request.messages


def test_log_probabilities_where_the_format_has_them(
    wire: Wire, server: UpstreamServer, scripted: Scripted
) -> None:
    other = "no"
    logprobs = tuple(
        TokenChoice(token=token, logprob=p, alternatives=(
            TokenAlternative(token=token, logprob=p), TokenAlternative(token=other, logprob=-9.5),
        ))
        for token, p in (("Bl", -0.25), ("ue", 0.0))
    )  # fmt: skip
    scripted.answer = Completion(text="Blue", logprobs=logprobs)
    request = msgspec.structs.replace(HELLO, top_logprobs=2)
    model = opened(wire, server.base_url)
    if wire == "anthropic":
        error = failure(asked(model, request))
        assert (error.outcome, error.attempts) == ("unsupported", 0)
        assert server.connections == 0
        return
    assert asyncio.run(asked(model, request)).logprobs == logprobs
    assert scripted.asked[0].top_logprobs == 2
    pieces = asyncio.run(streamed(opened(wire, server.base_url), request))
    assert pieces[-1].whole is not None
    assert pieces[-1].whole.logprobs == logprobs


def test_embeddings_where_the_format_has_them(wire: Wire, server: UpstreamServer) -> None:
    if wire == "gemini":
        body = b'{"embeddings": [{"values": [1, 1.0]}, {"values": [3, 1.0]}]}'
        server.replies.append(Reply(200, body))
    model = opened(wire, server.base_url)
    if wire == "anthropic":
        assert failure(model.embed(["a"], Terms())).outcome == "unsupported"
        return
    vectors, tokens = done(model, model.embed(["a", "abc"], Terms()))
    assert vectors == [[1.0, 1.0], [3.0, 1.0]]
    assert tokens.input == (0 if wire == "gemini" else 7)
    server.replies.append(Reply(200, b'{"data": [], "embeddings": []}'))
    with pytest.raises(UpstreamError, match="one vector for each text"):
        done(model, model.embed(["a", "abc"], Terms()))


def test_models_are_listed_without_a_call(wire: Wire, server: UpstreamServer) -> None:
    model = opened(wire, server.base_url)
    assert done(model, model.models(Terms())) == ["fake"]


# What goes wrong.

STATUSES = (
    (400, "bad_request"), (401, "bad_key"), (402, "over_budget"), (403, "bad_key"),
    (404, "not_found"), (408, "timeout"), (413, "too_long"), (418, "bad_request"),
    (422, "bad_request"), (429, "rate_limited"), (500, "server_error"), (502, "server_error"),
    (503, "overloaded"), (504, "timeout"), (529, "overloaded"),
)  # fmt: skip


def test_every_status_has_its_outcome(wire: Wire, server: UpstreamServer) -> None:
    async def all_of_them() -> list[str]:
        model, found = opened(wire, server.base_url), []
        for status, _ in STATUSES:
            server.replies.append(Reply(status, b"<html>no JSON</html>"))
            with pytest.raises(UpstreamError) as caught:
                await model.complete(HELLO, Terms())
            assert caught.value.attempts == 1
            assert str(status) in str(caught.value)
            found.append(caught.value.outcome)
        await model.close()
        return found

    assert asyncio.run(all_of_them()) == [outcome for _, outcome in STATUSES]
    assert server.connections == 1


@pytest.mark.parametrize(
    ("fault", "outcomes"),
    [
        (Fault(kind="hang"), {"timeout"}),
        (Fault(kind="slow"), {"timeout"}),
        (Fault(kind="half"), {"cut_off"}),
        (Fault(kind="wrong_json"), {"malformed"}),
        (Fault(kind="reset"), {"reset"}),
        (Fault(kind="storm", retry_after=7.0), {"rate_limited"}),
        (Fault(kind="huge"), {"too_large"}),
        (Fault(kind="server_error"), {"server_error"}),
    ],
    ids=lambda value: getattr(value, "kind", ""),
)
def test_every_fault_ends_by_its_deadline_with_a_typed_error(
    wire: Wire, server: UpstreamServer, fault: Fault, outcomes: set[str]
) -> None:
    server.fault = fault
    wait = 0.3 if "timeout" in outcomes else 10.0
    model = opened(wire, server.base_url)
    terms = Terms(deadline=time.monotonic() + wait)
    error = failure(asked(model, terms=terms))
    assert error.outcome in outcomes
    assert error.attempts == 1
    if fault.kind == "storm":
        assert error.retry_after == 7.0
    if fault.kind == "huge" and wire != "gemini":
        return  # What comes after the event that ends an answer is not waited for.
    terms = Terms(deadline=time.monotonic() + wait)
    assert failure(streamed(opened(wire, server.base_url), terms=terms)).outcome in outcomes


def test_a_provider_that_tells_its_error_in_a_stream(wire: Wire, server: UpstreamServer) -> None:
    data = {
        "openai": b'{"error": {"message": "too busy", "code": "unavailable_error"}}',
        "openai-responses": b'{"type": "error", "code": "unavailable_error", "message": "busy"}',
        "anthropic": b'{"type": "error", "error": {"type": "overloaded_error", "message": "b"}}',
        "gemini": b'{"error": {"code": 503, "status": "UNAVAILABLE", "message": "busy"}}',
    }[wire]
    reply = Reply(200, b"data: " + data + b"\n\n", {"content-type": "text/event-stream"})
    server.replies.append(reply)
    assert failure(streamed(opened(wire, server.base_url))).outcome == "overloaded"


def test_redirects_are_never_followed(wire: Wire, server: UpstreamServer) -> None:
    where = "http://user:secret@169.254.169.254/latest/meta-data?token=secret"
    for status in (301, 302, 307, 308):
        server.replies.append(Reply(status, b"", {"location": where}))
        error = failure(asked(opened(wire, server.base_url)))
        assert error.outcome == "blocked_address"
        assert "169.254.169.254" in str(error)
        assert "secret" not in str(error)
    assert len(server.seen) == 4


def test_addresses_that_are_not_public_are_for_admins(
    wire: Wire, server: UpstreamServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def told(base_url: str) -> UpstreamError:
        row = upstream(wire, base_url)
        endpoint = msgspec.structs.replace(row.endpoints[0], private=False)
        return failure(open_endpoint(row, endpoint).complete(HELLO, Terms()))

    for base_url in (
        f"https://127.0.0.1:{server.port}/v1", f"https://localhost:{server.port}/v1",
        "https://169.254.169.254/v1", "https://10.1.2.3/v1", "https://[::ffff:10.1.2.3]/v1",
        "https://[fd00:ec2::254]/v1", "https://0.0.0.0/v1", "https://100.64.0.1/v1",
        server.base_url, "http://93.184.215.14/v1",
    ):  # fmt: skip
        error = told(base_url)
        assert (error.outcome, error.attempts) == ("blocked_address", 0), base_url
        assert "--private" in str(error)

    # A name with a public address beside a private one is as bad.
    def both(*_args: object, **_more: object) -> list[tuple[object, ...]]:
        return [(2, 1, 6, "", (place, 443)) for place in ("93.184.215.14", "192.168.0.9")]

    monkeypatch.setattr("socket.getaddrinfo", both)
    assert told("https://models.invalid/v1").outcome == "blocked_address"
    assert server.connections == 0


def test_the_address_that_was_checked_is_the_one_that_is_called(
    wire: Wire, server: UpstreamServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_up: list[object] = []

    def rebinding(host: object, *_args: object, **_more: object) -> list[tuple[object, ...]]:
        looked_up.append(host)
        place = "127.0.0.1" if len(looked_up) == 1 else "203.0.113.9"
        return [(2, 1, 6, "", (place, server.port))]

    monkeypatch.setattr("socket.getaddrinfo", rebinding)
    model = opened(wire, f"http://models.invalid:{server.port}/v1")
    assert asyncio.run(asked(model)).text == ANSWER.text
    assert looked_up == ["models.invalid"]
    assert server.seen[0].headers["host"] == f"models.invalid:{server.port}"


# Keys.


def test_a_key_is_sent_and_never_told(
    wire: Wire, server: UpstreamServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    server.key = CANARY
    monkeypatch.setenv("BIG_KEY", CANARY)
    model = opened(wire, server.base_url, key="env:BIG_KEY")
    assert asyncio.run(asked(model)).text == ANSWER.text
    assert CANARY not in repr(model) + repr(vars(model)["_connections"])
    for words in (CANARY, f"{CANARY[:20]}\u2026", f"key={CANARY}&more", CANARY[-12:]):
        body = msgspec.json.encode({"error": {"message": f"Not a key: {words}", "code": words}})
        server.replies.append(Reply(401, body))
        error = failure(asked(opened(wire, server.base_url, key="env:BIG_KEY")))
        assert error.outcome == "bad_key"
        shown = f"{error} {error!r} {error.__dict__} {error.__cause__!r}"
        assert not any(CANARY[n : n + 8] in shown for n in range(len(CANARY) - 8))
    file = tmp_path / "key"
    file.write_text(f"{CANARY}\n", encoding="utf-8")
    model = opened(wire, server.base_url, key=f"file:{file}")
    assert asyncio.run(asked(model)).text == ANSWER.text


def test_a_missing_key_names_its_variable(wire: Wire, server: UpstreamServer) -> None:
    error = failure(asked(opened(wire, server.base_url, key="env:NO_SUCH_KEY")))
    assert (error.outcome, error.attempts) == ("no_key", 0)
    assert "NO_SUCH_KEY" in str(error)
    assert server.connections == 0


# Connections.


def test_connections_are_kept_and_broken_ones_replaced(wire: Wire, server: UpstreamServer) -> None:
    async def calls() -> None:
        model = opened(wire, server.base_url)
        for _ in range(3):
            await model.complete(HELLO, Terms(parent="00-" + "1" * 32 + "-" + "2" * 16 + "-01"))
            assert [p async for p in model.stream(HELLO, Terms())][-1].whole is not None
        assert server.connections == 1
        async for _piece in model.stream(HELLO, Terms()):
            break  # Whoever leaves a stream ends the call.
        pieces = model.stream(HELLO, Terms())
        await anext(pieces)
        await pieces.aclose()  # type: ignore[attr-defined]
        task = asyncio.create_task(model.complete(HELLO, Terms()))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await model.complete(HELLO, Terms())).text == ANSWER.text
        await model.close()

    asyncio.run(calls())
    assert server.connections > 1
    assert server.seen[0].headers["traceparent"].startswith("00-1")


def test_a_server_that_does_not_stream(
    wire: Wire, server: UpstreamServer, scripted: Scripted
) -> None:
    async def calls() -> list[list[Piece]]:
        model = opened(wire, server.base_url)
        formats = {
            "openai": OpenAI(), "openai-responses": OpenAIResponses(), "anthropic": Anthropic(),
            "gemini": Gemini(),
        }  # fmt: skip
        body = msgspec.json.encode(formats[wire].answer(ANSWER, {"model": "m-1"}))
        server.replies.append(Reply(200, body))
        found = [[piece async for piece in model.stream(HELLO, Terms())]]
        # The connection is kept once, not twice.
        both = await asyncio.gather(*(model.complete(HELLO, Terms()) for _ in range(2)))
        assert [completion.text for completion in both] == [ANSWER.text] * 2
        await model.close()
        return found

    ((piece,),) = asyncio.run(calls())
    assert piece.whole is not None
    assert piece.text == piece.whole.text == ANSWER.text
    assert piece.whole.tokens == TOKENS


def test_many_calls_at_once(wire: Wire, server: UpstreamServer) -> None:
    async def calls() -> list[Completion]:
        model = opened(wire, server.base_url)
        found = await asyncio.gather(*(model.complete(HELLO, Terms()) for _ in range(40)))
        found += await asyncio.gather(*(model.complete(HELLO, Terms()) for _ in range(40)))
        await model.close()
        return found

    assert {completion.text for completion in asyncio.run(calls())} == {ANSWER.text}
    assert server.connections <= 40


# What only some formats know.


def test_fields_that_an_endpoint_does_not_know_are_left_out_from_then_on(
    server: UpstreamServer,
) -> None:
    for message, param in (
        ("Unsupported parameter: 'max_tokens' is not supported with this model.", "max_tokens"),
        ("Unsupported value: 'temperature' does not support 0 with this model.", "temperature"),
    ):
        told = {"message": message, "param": param, "code": "unsupported_parameter"}
        server.replies.append(Reply(400, msgspec.json.encode({"error": told})))

    async def calls() -> tuple[Completion, Completion]:
        model = opened("openai", server.base_url)
        first, second = [await model.complete(HELLO, Terms()) for _ in range(2)]
        await model.close()
        return first, second

    first, second = asyncio.run(calls())
    assert (first.attempts, second.attempts) == (3, 1)
    assert len(server.seen) == 4
    body = server.seen[-1].body
    assert body["max_completion_tokens"] == 256
    assert "temperature" not in body
    assert "max_tokens" not in body


def test_several_answers_of_one_call_are_refused(server: UpstreamServer) -> None:
    request = msgspec.structs.replace(HELLO, extra={"n": 3})
    assert failure(asked(opened("openai", server.base_url), request)).outcome == "unsupported"
    request = msgspec.structs.replace(HELLO, extra={"user": "u-1", "model": "dearer"})
    asyncio.run(asked(opened("openai", server.base_url), request))
    assert server.seen[-1].body["user"] == "u-1"
    assert server.seen[-1].body["model"] == "m-1"


def test_waits_that_providers_ask_for(server: UpstreamServer) -> None:
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    google = {"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "details": [
        {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "17s"},
    ]}}  # fmt: skip
    for headers, body, least, most in (
        ({"retry-after": "12"}, {}, 12, 12),
        ({"retry-after": "1", "retry-after-ms": "250"}, {}, 0.25, 0.25),
        ({"retry-after": soon}, {}, 60, 90),
        ({}, google, 17, 17),
        ({"retry-after": "-5"}, {}, None, None),
        ({"retry-after": "soon"}, {}, None, None),
    ):
        server.replies.append(Reply(429, msgspec.json.encode(body), headers))
        found = failure(asked(opened("openai", server.base_url))).retry_after
        if least is None or most is None:
            assert found is None
        else:
            assert found is not None
            assert least <= found <= most


def test_proxies_of_the_environment_are_used(
    server: UpstreamServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", server.origin)
    model = opened("openai", "http://models.invalid/v1")
    assert asyncio.run(asked(model)).text == ANSWER.text
    assert server.seen[0].path == "http://models.invalid:80/v1/chat/completions"
    monkeypatch.setenv("no_proxy", "models.invalid")
    error = failure(asked(opened("openai", "http://models.invalid/v1")))
    assert error.outcome == "unreachable"


def test_an_endpoint_that_is_not_there(server: UpstreamServer) -> None:
    port = server.port
    server.close()
    while True:
        error = failure(asked(opened("openai", f"http://127.0.0.1:{port}/v1")))
        if error.outcome == "unreachable":  # The server's thread closes its socket in its own time.
            break
    assert error.attempts == 0
    assert "refused" in str(error)


def _certificate(folder: Path, name: str) -> tuple[Path, Path]:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), 1, now, now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName(
                [x509.DNSName(name), x509.IPAddress(IPv4Address("127.0.0.9"))]
            ),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem, private = folder / "cert.pem", folder / "key.pem"
    pem.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ))  # fmt: skip
    return pem, private


async def _tunnel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A proxy that connects whoever asks, until one of the two leaves."""
    head = await reader.readuntil(b"\r\n\r\n")
    method, target, _ = head.split(b" ", 2)
    assert method == b"CONNECT"
    there, back = await asyncio.open_connection("127.0.0.1", int(target.rpartition(b":")[2]))
    writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")

    async def pipe(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65_536):
                sink.write(data)
                await sink.drain()
        sink.close()

    await asyncio.gather(pipe(reader, back), pipe(there, writer))


@pytest.mark.parametrize("known", [True, False], ids=["known", "unknown"])
def test_certificates_are_verified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    pem, private = _certificate(tmp_path, "localhost")
    if known:
        monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    network.trust.cache_clear()
    body = b'{"choices": [{"message": {"content": "Secure."}, "finish_reason": "stop"}]}'
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pem, private)

    async def answering(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()

    async def calls() -> list[str]:
        secure = await asyncio.start_server(answering, "127.0.0.1", 0, ssl=context)
        port = secure.sockets[0].getsockname()[1]
        found = []
        for host in ("localhost", "127.0.0.1"):
            try:
                model = opened("openai", f"https://{host}:{port}/v1")
                found.append((await asked(model)).text)
            except UpstreamError as error:
                found.append(error.outcome)
        proxy = await asyncio.start_server(_tunnel, "127.0.0.1", 0)
        where = proxy.sockets[0].getsockname()[1]
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{where}")
        try:
            found.append((await asked(opened("openai", f"https://localhost:{port}/v1"))).text)
        except UpstreamError as error:
            found.append(error.outcome)
        proxy.close()
        secure.close()
        return found

    try:
        expected = ["Secure.", "unreachable", "Secure."] if known else ["unreachable"] * 3
        assert asyncio.run(calls()) == expected
    finally:
        network.trust.cache_clear()
