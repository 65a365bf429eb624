"""Wire formats over payloads as their documentation shows them, and over broken ones."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.entities.errors import UpstreamError
from milepost.entities.language import Completion, Message, ModelRequest, Tokens, ToolCall
from milepost.entities.upstream import Wire
from milepost.models.language.wires import WIRES
from milepost.models.language.wires.base import Events, strict
from milepost.models.language.wires.failures import failed, objection

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9**9) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(
        st.sampled_from(
            ["choices", "message", "content", "usage", "error", "output", "type", "text",
             "candidates", "parts", "delta", "tool_calls", "data", "embedding", "response"]
        ),
        inner, max_size=4,
    ),
    max_leaves=12,
)  # fmt: skip


@given(st.sampled_from(sorted(WIRES)), JSON | st.binary(max_size=60))
def test_whatever_comes_back_is_an_answer_or_a_typed_error(wire: Wire, body: object) -> None:
    content = body if isinstance(body, bytes) else msgspec.json.encode(body)
    reader = WIRES[wire].reader()
    for read in (
        WIRES[wire].answered, reader.read, lambda found: WIRES[wire].embedded(found, 1),
        lambda found: failed(400, {}, found),
    ):  # fmt: skip
        try:
            read(content)
        except UpstreamError as error:
            assert error.outcome != "ok"  # noqa: PT017
    assert failed(503, {}, content).attempts == 1
    objection(content, frozenset({"temperature"}))


@given(
    st.lists(st.text(alphabet="ab \u00e9", min_size=1).map(str.strip).filter(bool), max_size=6),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.lists(st.integers(0, 400), max_size=12),
    st.booleans(),
)
def test_events_are_the_same_wherever_the_bytes_are_cut(
    texts: list[str], line: str, cuts: list[int], closed: bool
) -> None:
    blocks = [f"event: e{line}: note{line}data: {text}" for text in texts]
    stream = (line * 2).join(blocks).encode()
    if closed and texts:
        stream += (line * 2).encode()
    events, found, start = Events(), [], 0
    for cut in [*sorted(c for c in cuts if c < len(stream)), len(stream)]:
        found += events.feed(stream[start:cut])
        start = cut
    assert [event.decode() for event in found + events.rest()] == texts


def test_anthropic_as_documented() -> None:
    reader = WIRES["anthropic"].reader()
    for event in (
        b'{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant",'
        b'"content":[],"model":"m","stop_reason":null,"stop_sequence":null,"usage":'
        b'{"input_tokens":25,"cache_read_input_tokens":10,"cache_creation_input_tokens":5,'
        b'"output_tokens":1}}}',
        b'{"type":"content_block_start","index":0,"content_block":{"type":"thinking",'
        b'"thinking":"","signature":""}}',
        b'{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"h"}}',
        b'{"type":"content_block_stop","index":0}',
        b'{"type":"ping"}',
        b'{"type":"content_block_start","index":1,"content_block":{"type":"text","text":""}}',
        b'{"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"Hello"}}',
        b'{"type":"content_block_stop","index":1}',
        b'{"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"toolu_1",'
        b'"name":"weather","input":{}}}',
        b'{"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta",'
        b'"partial_json":"{\\"town\\":"}}',
        b'{"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta",'
        b'"partial_json":" \\"Aix\\"}"}}',
        b'{"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},'
        b'"usage":{"output_tokens":15,"output_tokens_details":{"thinking_tokens":4}}}',
    ):
        reader.read(event)
    assert not reader.complete
    reader.read(b'{"type":"message_stop"}')
    assert reader.whole() == Completion(
        text="Hello",
        finish="tool_calls",
        tokens=Tokens(input=40, cached_input=10, cache_write=5, output=15, reasoning=4),
        tool_calls=(ToolCall(id="toolu_1", name="weather", arguments='{"town": "Aix"}'),),
        model="m",
    )


def test_gemini_as_documented() -> None:
    body = (
        b'{"candidates":[{"content":{"parts":[{"text":"I think","thought":true},{"text":"Hello"},'
        b'{"functionCall":{"name":"weather","args":{"town":"Aix"}},"thoughtSignature":"QUJD"}],'
        b'"role":"model"},"finishReason":"STOP","index":0,"avgLogprobs":-0.1}],"usageMetadata":'
        b'{"promptTokenCount":30,"candidatesTokenCount":8,"totalTokenCount":50,'
        b'"cachedContentTokenCount":20,"thoughtsTokenCount":12},"modelVersion":"g","responseId":"r"}'
    )
    assert WIRES["gemini"].answered(body) == Completion(
        text="Hello",
        finish="tool_calls",
        tokens=Tokens(input=30, cached_input=20, output=20, reasoning=12),
        tool_calls=(
            ToolCall(
                id="call_gemini_0",
                name="weather",
                arguments='{"town":"Aix"}',
                thought="gemini:QUJD",
            ),
        ),
        model="g",
    )
    with pytest.raises(UpstreamError) as caught:
        WIRES["gemini"].answered(b'{"promptFeedback":{"blockReason":"SAFETY"}}')
    assert caught.value.outcome == "filtered"


def test_chat_completions_of_compatible_servers() -> None:
    openai = WIRES["openai"]
    for usage, tokens in (
        (b'{"prompt_tokens":9,"completion_tokens":3,"total_tokens":12}', Tokens(input=9, output=3)),
        (b'{"prompt_tokens":9,"completion_tokens":3,"prompt_tokens_details":null}',
         Tokens(input=9, output=3)),
        (b'{"prompt_tokens":9,"completion_tokens":3,"prompt_cache_hit_tokens":4}',
         Tokens(input=9, output=3, cached_input=4)),
        (b"null", Tokens()),
    ):  # fmt: skip
        body = (
            b'{"choices":[{"message":{"role":"assistant","content":null,"tool_calls":[{"id":"c",'
            b'"type":"function","function":{"name":"f","arguments":{"a":1}}}],"reasoning":"x"},'
            b'"finish_reason":"stop"}],"usage":' + usage + b"}"
        )
        found = openai.answered(body)
        assert (found.text, found.finish, found.tokens) == ("", "tool_calls", tokens)
        assert found.tool_calls == (ToolCall(id="c", name="f", arguments='{"a":1}'),)
    reader = openai.reader()
    for event in (
        b'{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"c","function":'
        b'{"name":"f","arguments":""}}]}}]}',
        b'{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":'
        b'{"arguments":"{\\"a\\":"}}]}}]}',
        b'{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":'
        b'{"arguments":"1}"}}]},"finish_reason":"tool_calls"}]}',
    ):
        assert not reader.complete
        reader.read(event)
    assert reader.complete
    assert not reader.ended
    assert reader.whole().tool_calls == (ToolCall(id="c", name="f", arguments='{"a":1}'),)


def test_words_of_providers_say_more_than_the_status() -> None:
    for status, body, outcome in (
        (400, {"error": {"message": "Too long", "code": "context_length_exceeded"}}, "too_long"),
        (400, {"type": "error", "error": {"type": "invalid_request_error",
         "message": "prompt is too long: 210000 tokens > 200000 maximum"}}, "too_long"),
        (400, {"error": {"code": 400, "status": "INVALID_ARGUMENT", "message":
         "API key not valid. Please pass a valid API key."}}, "bad_key"),
        (400, {"error": {"code": "content_filter", "message": "m"}}, "filtered"),
        (429, {"error": {"code": "insufficient_quota", "message": "You exceeded"}}, "over_budget"),
        (400, {"type": "error", "error": {"type": "invalid_request_error",
         "message": "Your credit balance is too low"}}, "over_budget"),
        (422, {"detail": [{"loc": ["body", "seed"], "msg": "extra"}]}, "bad_request"),
        (500, {"error": "boom"}, "server_error"),
        (500, {"error": {"type": "overloaded_error"}}, "overloaded"),
    ):  # fmt: skip
        assert failed(status, {}, msgspec.json.encode(body)).outcome == outcome, body


def test_strict_schemas_are_told_apart() -> None:
    closed = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"],
              "additionalProperties": False}  # fmt: skip
    assert strict(closed)
    assert strict({"type": "array", "items": closed})
    assert not strict({**closed, "required": []})
    assert not strict({**closed, "additionalProperties": True})
    assert not strict({**closed, "properties": {"a": {"type": "object"}}})


def test_a_request_is_json_whatever_its_texts() -> None:
    request = ModelRequest(messages=(Message(role="user", content='"\u2028\x00\\ud800'),))
    for wire in WIRES.values():
        body = wire.asking("m/1 x", request, stream=True, refused=frozenset())
        assert isinstance(msgspec.json.decode(body.content), dict)
        assert " " not in body.path
