"""A task's answer as a chat completion: what stands where, and what is refused."""

import math

import msgspec
import pytest

from milepost.entities.serving import Answer, Answers, FailedCall, Usage, Verdict
from milepost.gateway.errors import RefusedError
from milepost.gateway.openai.chat import chat_events, chat_response, chat_text, chat_top
from milepost.gateway.openai.wire import ChatRequest


def request(**fields) -> ChatRequest:
    asked = {"model": "milepost/route", "messages": [{"role": "user", "content": "hello"}]}
    return msgspec.convert(asked | fields, ChatRequest)


def answers(**fields) -> Answers:
    shares = {"card": 0.75, "refund": 0.25, "none": 0.0}
    answer = Answer(
        **{
            "label": "card", "confidence": 0.75, "probabilities": shares, "abstained": False,
            "rung": "head", "guards": {}, "trace_id": "t1", **fields,
        }
    )  # fmt: skip
    usage = Usage(inputs=1, tokens=3, cached_tokens=2)
    return Answers(
        task="route", release=3, channel="production", predictions=(answer,), usage=usage
    )


def test_the_last_user_message_is_asked_and_its_parts_are_joined():
    messages = [
        {"role": "user", "content": "first"},
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        {"role": "assistant", "content": "card"},
    ]
    assert chat_text(request(messages=messages)) == "a\nb"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"n": 2}, "n"),
        ({"tools": [{"type": "function"}]}, "tools"),
        ({"functions": [{"name": "f"}]}, "functions"),
        ({"audio": {"voice": "x"}}, "audio"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"messages": [{"role": "system", "content": "x"}]}, "messages"),
        ({"messages": [{"role": "user", "content": None}]}, "messages[0].content"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
            "messages[0].content[0]",
        ),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema.schema"),
        (
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"schema": {"properties": {"mood": {}}}},
                }
            },
            "response_format.json_schema.schema",
        ),
    ],
)
def test_what_a_task_cannot_give_is_refused_by_its_field(fields, param):
    with pytest.raises(RefusedError) as refused:
        chat_text(request(**fields))
    assert (refused.value.status, refused.value.param) == (400, param)


def test_harmless_fields_are_read_over():
    asked = request(
        temperature=0.3, seed=1, max_tokens=5, n=1, tools=[], store=False, extra={"a": 1}
    )
    assert chat_text(asked) == "hello"


def test_the_answer_is_the_label():
    chat = chat_response(request(), answers())
    choice = chat.choices[0]
    assert (choice.message.content, choice.message.refusal) == ("card", None)
    assert (choice.finish_reason, choice.logprobs) == ("stop", None)
    assert (chat.id, chat.model, chat.system_fingerprint) == (
        "chatcmpl-t1", "milepost/route", "release-3",
    )  # fmt: skip
    usage = chat.usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (5, 1, 6)
    assert usage.prompt_tokens_details.cached_tokens == 2


def test_a_blocked_answer_is_filtered_and_says_by_which_guard():
    verdict = Verdict(label="abusive", score=0.9, tripped=True, action="block")
    blocked = answers(label=None, rung="guard:abuse", guards={"abuse": verdict})
    choice = chat_response(request(), blocked).choices[0]
    assert choice.message.content is None
    assert choice.message.refusal == "Blocked by abuse with a score of 0.90."
    assert choice.finish_reason == "content_filter"


def test_a_withheld_answer_is_a_refusal_that_ended_as_it_should():
    withheld = answers(label=None, abstained=True)
    chat = chat_response(request(response_format={"type": "json_object"}), withheld)
    choice = chat.choices[0]
    assert choice.message.content is None
    assert "0.75" in choice.message.refusal
    assert (choice.finish_reason, chat.usage.completion_tokens) == ("stop", 0)
    assert chat.milepost.abstained


def test_an_answer_without_its_language_model_says_why():
    failed = FailedCall(outcome="unreachable", message="No connection to it.")
    chat = chat_response(request(), answers(label=None, abstained=True, failed=failed))
    refusal = chat.choices[0].message.refusal
    assert refusal.endswith("did not answer (unreachable: No connection to it).")


def test_json_object_gives_the_whole_answer_and_a_schema_its_properties():
    whole = chat_response(request(response_format={"type": "json_object"}), answers())
    assert msgspec.json.decode(whole.choices[0].message.content, type=Answer) == whole.milepost
    schema = {"properties": {"confidence": {}, "label": {}}}
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    some = chat_response(request(response_format=wanted), answers())
    assert some.choices[0].message.content == '{"confidence":0.75,"label":"card"}'
    schema = {"properties": {"cached": {}, "label": {}}}
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    left_out = chat_response(request(response_format=wanted), answers())
    assert left_out.choices[0].message.content == '{"cached":null,"label":"card"}'


def test_probabilities_are_logprobs_of_one_token():
    asked = request(logprobs=True, top_logprobs=3)
    (token,) = chat_response(asked, answers()).choices[0].logprobs.content
    assert {token.token} == {"card"}
    assert math.exp(token.logprob) == pytest.approx(0.75)
    told = {each.token: each.logprob for each in token.top_logprobs}
    assert list(told) == ["card", "refund", "none"]
    assert math.exp(told["refund"]) == pytest.approx(0.25)
    assert told["none"] == -9999.0
    assert bytes(token.bytes).decode() == "card"


@pytest.mark.parametrize(
    ("fields", "top"),
    [({}, None), ({"top_logprobs": 0}, None), ({"top_logprobs": 3}, 5), ({"top_logprobs": 9}, 9)],
)
def test_as_many_labels_are_asked_for_as_are_told(fields, top):
    assert chat_top(request(logprobs=True, **fields)) == top


def events(body: bytes) -> list[dict]:
    *all_events, done, end = body.decode().split("\n\n")
    assert (done, end) == ("data: [DONE]", "")
    return [msgspec.json.decode(event.removeprefix("data: ")) for event in all_events]


def test_events_put_together_are_the_answer():
    asked = request(stream=True, stream_options={"include_usage": True})
    first, second, last, usage = events(chat_events(asked, answers()))
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert second["choices"][0]["delta"] == {"content": "card"}
    assert last["choices"][0] == {
        "delta": {}, "finish_reason": "stop", "logprobs": None, "index": 0,
    }  # fmt: skip
    assert last["milepost"]["trace_id"] == "t1"
    assert usage["choices"] == []
    assert usage["usage"]["total_tokens"] == 6


def test_without_being_asked_the_events_tell_no_usage():
    told = events(chat_events(request(stream=True), answers(label=None, abstained=True)))
    assert len(told) == 3
    assert "refusal" in told[1]["choices"][0]["delta"]
    assert all(event["usage"] is None for event in told)
