"""What a provider wants back with a call of a tool goes back to it as it came, and to no other."""

import asyncio
from typing import Any

import msgspec
import pytest
from tests.contract.wires.calls import (
    ANSWER,
    HELLO,
    PRICE,
    WEATHER,
    WIRES,
    Scripted,
    asked,
    failure,
    opened,
    streamed,
)

from milepost.entities.language import Message, ModelRequest, Piece, Tokens, ToolCall
from milepost.entities.upstream import Wire
from milepost.testing.upstreams import Reply, UpstreamServer

Body = dict[str, Any]
TOWNS = ({"town": "Aix"}, {"town": "Ulm"})
GOOGLE = {"google": {"thought_signature": "sIg+/=="}}
THOUGHTS = [
    {"type": "thinking", "thinking": "Two towns.", "signature": "EqQ="},
    {"type": "redacted_thinking", "data": "c2VhbGVk"},
]
REASONING = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"}


def _arguments(town: Body) -> str:
    return msgspec.json.encode(town).decode()


def _function(place: int, **more: Any) -> Body:
    function = {"name": "weather", "arguments": _arguments(TOWNS[place])}
    return {"id": f"c{place}", "type": "function", "function": function, **more}


def _item(place: int) -> Body:
    arguments = _arguments(TOWNS[place])
    return {
        "type": "function_call", "call_id": f"c{place}", "name": "weather", "arguments": arguments,
    }  # fmt: skip


def _use(place: int) -> Body:
    return {"type": "tool_use", "id": f"c{place}", "name": "weather", "input": TOWNS[place]}


def _part(place: int) -> Body:
    return {"functionCall": {"id": f"c{place}", "name": "weather", "args": TOWNS[place]}}


# Two calls at once, of which the providers' documents sign the first alone.
TURNS: dict[Wire, list[Body]] = {
    "openai": [_function(0, extra_content=GOOGLE), _function(1)],
    "openai-responses": [REASONING, _item(0), _item(1)],
    "anthropic": [*THOUGHTS, _use(0), _use(1)],
    "gemini": [{**_part(0), "thoughtSignature": "sIg+/=="}, _part(1)],
}
"""A turn of the model as each format has it, in the answer and in the request after."""


def _answer(wire: Wire) -> Body:
    turn = TURNS[wire]
    match wire:
        case "openai":
            message = {"role": "assistant", "content": None, "tool_calls": turn}
            return {"choices": [{"message": message, "finish_reason": "tool_calls"}]}
        case "openai-responses":
            return {"status": "completed", "output": turn}
        case "anthropic":
            return {"content": turn, "stop_reason": "tool_use"}
        case _:
            candidate = {"content": {"role": "model", "parts": turn}, "finishReason": "STOP"}
            return {"candidates": [candidate]}


def _events(wire: Wire) -> list[Body]:
    """The same in pieces, as a stream has it."""
    turn = TURNS[wire]
    match wire:
        case "openai":
            deltas = [{"tool_calls": [{**call, "index": n}]} for n, call in enumerate(turn)]
            last = {"delta": {}, "finish_reason": "tool_calls"}
            return [*({"choices": [{"delta": delta}]} for delta in deltas), {"choices": [last]}]
        case "openai-responses":
            return [{"type": "response.completed", "response": _answer(wire)}]
        case "anthropic":
            return [
                {"type": "message_start", "message": {"content": []}},
                _began(0, {"type": "thinking", "thinking": "", "signature": ""}),
                _delta(0, {"type": "thinking_delta", "thinking": "Two "}),
                _delta(0, {"type": "thinking_delta", "thinking": "towns."}),
                _delta(0, {"type": "signature_delta", "signature": "EqQ="}),
                {"type": "content_block_stop", "index": 0},
                _began(1, THOUGHTS[1]),
                {"type": "content_block_stop", "index": 1},
                *(each for place in (0, 1) for each in _streamed_use(place)),
                {"type": "message_delta", "delta": {"stop_reason": "tool_use"}},
                {"type": "message_stop"},
            ]
        case _:
            return [_answer(wire)]


def _began(index: int, block: Body) -> Body:
    return {"type": "content_block_start", "index": index, "content_block": block}


def _delta(index: int, delta: Body) -> Body:
    return {"type": "content_block_delta", "index": index, "delta": delta}


def _streamed_use(place: int) -> list[Body]:
    index, arguments = place + 2, _arguments(TOWNS[place])
    return [
        _began(index, {**_use(place), "input": {}}),
        _delta(index, {"type": "input_json_delta", "partial_json": arguments}),
        {"type": "content_block_stop", "index": index},
    ]


def _turn(wire: Wire, body: Body) -> list[Body]:
    """What the model said before, as the request after has it."""
    match wire:
        case "openai":
            return body["messages"][1]["tool_calls"]
        case "openai-responses":
            return body["input"][1:-2]
        case "anthropic":
            return body["messages"][1]["content"]
        case _:
            return body["contents"][1]["parts"]


def _next(calls: tuple[ToolCall, ...]) -> ModelRequest:
    told = [Message(role="tool", content="Rain", tool_call_id=call.id) for call in calls]
    said = Message(role="assistant", tool_calls=calls)
    return ModelRequest(messages=(*HELLO.messages, said, *told), tools=(WEATHER,))


def _called(wire: Wire, server: UpstreamServer) -> tuple[ToolCall, ...]:
    server.replies.append(Reply(200, msgspec.json.encode(_answer(wire))))
    return asyncio.run(asked(opened(wire, server.base_url))).tool_calls


def test_a_turn_goes_back_as_it_came(wire: Wire, server: UpstreamServer) -> None:
    calls = _called(wire, server)
    assert [call.id for call in calls] == ["c0", "c1"]
    assert calls[0].thought is not None
    assert calls[1].thought is None
    asyncio.run(asked(opened(wire, server.base_url), _next(calls)))
    assert _turn(wire, server.seen[-1].body) == TURNS[wire]


def test_a_streamed_turn_goes_back_as_it_came(wire: Wire, server: UpstreamServer) -> None:
    events = b"".join(b"data: " + msgspec.json.encode(each) + b"\n\n" for each in _events(wire))
    if wire == "openai":
        events += b"data: [DONE]\n\n"
    server.replies.append(Reply(200, events, {"content-type": "text/event-stream"}))
    pieces = asyncio.run(streamed(opened(wire, server.base_url)))
    whole = pieces[-1].whole
    assert whole is not None
    assert whole.tool_calls == _called(wire, server)
    if wire != "openai-responses":  # Which is told what was thought at the end only.
        assert _thoughts(pieces) == [whole.tool_calls[0].thought]
    asyncio.run(asked(opened(wire, server.base_url), _next(whole.tool_calls)))
    assert _turn(wire, server.seen[-1].body) == TURNS[wire]


def _thoughts(pieces: list[Piece]) -> list[str]:
    """What pieces say that must go back, for those who pass on pieces and never see the whole."""
    return [call.thought for piece in pieces for call in piece.tool_calls if call.thought]


def test_no_provider_is_told_the_thoughts_of_another(wire: Wire, server: UpstreamServer) -> None:
    for other in WIRES:
        if other == wire:
            continue
        calls = _called(other, server)
        asyncio.run(asked(opened(wire, server.base_url), _next(calls)))
        sent = msgspec.json.encode(server.seen[-1].body)
        for secret in (b"sIg", b"EqQ", b"c2VhbGVk", b"gAAA", b"thought"):
            assert secret not in sent


@pytest.mark.parametrize("other", ["openai", "openai-responses", "anthropic"])
def test_thoughts_that_were_changed_on_the_way_are_refused(
    other: Wire, server: UpstreamServer
) -> None:
    calls = _called(other, server)
    torn = msgspec.structs.replace(calls[0], thought=f"{other}:[{{")
    error = failure(asked(opened(other, server.base_url), _next((torn,))))
    assert (error.outcome, error.attempts) == ("bad_request", 0)


def test_calls_without_an_id_get_one_that_google_never_sees(server: UpstreamServer) -> None:
    call = {"functionCall": {"name": "weather", "args": TOWNS[0]}}
    turn = {"candidates": [{"content": {"parts": [call]}, "finishReason": "STOP"}]}
    server.replies.append(Reply(200, msgspec.json.encode(turn)))
    calls = asyncio.run(asked(opened("gemini", server.base_url))).tool_calls
    assert calls[0].id
    asyncio.run(asked(opened("gemini", server.base_url), _next(calls)))
    _, said, told = server.seen[-1].body["contents"]
    assert said["parts"] == [call]
    assert told["parts"][0]["functionResponse"]["name"] == "weather"
    assert "id" not in told["parts"][0]["functionResponse"]


def test_what_is_put_into_a_cache_is_counted_and_priced_apart(
    wire: Wire, server: UpstreamServer, scripted: Scripted
) -> None:
    tokens = Tokens(input=100, output=20, cached_input=30, cache_write=50)
    scripted.answer = msgspec.structs.replace(ANSWER, tokens=tokens)
    completion = asyncio.run(asked(opened(wire, server.base_url)))
    last = asyncio.run(streamed(opened(wire, server.base_url)))[-1].whole
    if wire == "gemini":  # Whose cache fills itself at no price of its own.
        tokens = msgspec.structs.replace(tokens, cache_write=0)
    assert last is not None
    assert completion.tokens == last.tokens == tokens
    own = 0 if wire == "gemini" else 50
    assert completion.micro_usd == PRICE.cost(tokens)
    assert completion.micro_usd == (70 - own) * 2 + 30 * 1 + own * 3 + 20 * 8


def test_settings_of_a_format_stand_beside_ours(server: UpstreamServer) -> None:
    schema = {"type": "object", "properties": {}}
    thinking = {"thinkingConfig": {"thinkingLevel": "low"}}
    settings: tuple[tuple[Wire, str, Body], ...] = (
        ("anthropic", "output_config", {"effort": "low"}),
        ("openai-responses", "text", {"verbosity": "low"}),
        ("gemini", "generationConfig", thinking),
    )
    for wire, name, theirs in settings:
        request = msgspec.structs.replace(HELLO, schema=schema, extra={name: theirs})
        asyncio.run(asked(opened(wire, server.base_url), request))
        sent = server.seen[-1].body[name]
        assert sent.items() >= theirs.items()
        assert len(sent) > len(theirs)
    more = {"include": ["reasoning.encrypted_content"], "reasoning_effort": "low"}
    request = msgspec.structs.replace(HELLO, top_logprobs=2, extra=more)
    asyncio.run(asked(opened("openai-responses", server.base_url), request))
    assert server.seen[-1].body["include"] == [
        "message.output_text.logprobs",
        "reasoning.encrypted_content",
    ]
    assert server.seen[-1].body["reasoning"] == {"effort": "low"}


def test_a_model_that_thinks_is_asked_without_a_temperature(server: UpstreamServer) -> None:
    words = "`temperature` may only be set to 1 when thinking is enabled."
    error = {"type": "error", "error": {"type": "invalid_request_error", "message": words}}
    server.replies.append(Reply(400, msgspec.json.encode(error)))
    assert asyncio.run(asked(opened("anthropic", server.base_url))).attempts == 2
    assert "temperature" not in server.seen[-1].body


def test_no_field_of_an_answer_has_to_be_there(server: UpstreamServer) -> None:
    server.replies.append(Reply(200, b'{"content": [{"type": "thinking"}]}'))
    completion = asyncio.run(asked(opened("anthropic", server.base_url)))
    assert (completion.text, completion.tool_calls) == ("", ())
    server.replies.append(Reply(200, b"{}"))
    assert failure(asked(opened("anthropic", server.base_url))).outcome == "malformed"
