"""What is asked and answered is the same over all wire formats, against a real server."""

import asyncio
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import msgspec
import pytest
from tests.contract.wires.calls import (
    ANSWER,
    HELLO,
    PRICE,
    SCHEMA,
    TOKENS,
    WEATHER,
    Scripted,
    asked,
    done,
    failure,
    opened,
    streamed,
)

from milepost.entities.errors import UpstreamError
from milepost.entities.language import (
    Completion,
    Message,
    ModelRequest,
    Part,
    TokenAlternative,
    TokenChoice,
    ToolCall,
)
from milepost.entities.upstream import Wire
from milepost.models.language.asking import Terms
from milepost.testing.upstreams import Reply, UpstreamServer


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
