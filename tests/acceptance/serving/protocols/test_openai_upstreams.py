"""The public package openai against language models behind a running server, over real HTTP."""

import asyncio
import json
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import openai
import pytest
from pydantic import BaseModel

from milepost.models.language.inside.faults import Fault
from milepost.testing.upstreams.server import Reply

COMMAND = Path(sys.executable).with_name("milepost")
LAST = "damn fools answer me"
HELLO = [{"role": "user", "content": "where is my parcel"}]
INSULT = [{"role": "user", "content": "you are all useless idiots"}]
WEATHER = [
    {
        "type": "function",
        "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}},
    }
]
SIGNED = {"google": {"thought_signature": "sIg+/=="}}
"""What the mock wants back with a call of a tool."""
PIXEL = "iVBORw0KGgoAAAANSUhEUg=="


class City(BaseModel):
    city: str
    people: int


@pytest.fixture
def client(desk):
    desk.mock.fault = None
    address = f"{desk.address}/v1"
    with openai.OpenAI(base_url=address, api_key=desk.passing, max_retries=0) as made:
        yield made


def ask(client, **fields):
    return client.chat.completions.create(**{"model": "mock", "messages": HELLO} | fields)


def test_only_whoever_was_given_leave_sees_and_asks_a_language_model(desk, client):
    assert "mock" in {model.id for model in client.models.list()}
    assert client.models.retrieve("mock").owned_by == "openai"
    for key in (desk.key, desk.narrow):
        other = client.with_options(api_key=key)
        assert "mock" not in {model.id for model in other.models.list()}
        with pytest.raises(openai.NotFoundError) as refused:
            ask(other)
        assert "mock" not in str(refused.value.body["message"]).replace("model 'mock'", "")
    with pytest.raises(openai.NotFoundError, match="Did you mean 'mock'"):
        ask(client, model="mok")


def test_a_whole_answer_says_where_it_came_from_and_what_it_cost(desk, client):
    told = client.chat.completions.with_raw_response.create(
        model="mock", messages=HELLO, temperature=0.5, max_tokens=50, seed=3, reasoning_effort="low"
    )
    chat = told.parse()
    assert chat.choices[0].message.content == "All is well."
    assert (chat.choices[0].finish_reason, chat.model) == ("stop", "mock-1")
    assert chat.usage.total_tokens == chat.usage.prompt_tokens + chat.usage.completion_tokens > 0
    passage = chat.model_extra["upstream"]
    assert (passage["upstream"], passage["cached"], passage["attempts"]) == ("mock", "", 1)
    assert passage["cost_usd"] > 0
    assert passage["guards"]["tone"]["label"] == "fine"
    assert told.headers["x-milepost-cache"] == "miss"
    assert chat.id == f"chatcmpl-{told.headers['x-milepost-trace']}"
    sent = desk.mock.seen[-1]
    assert (sent.body["temperature"], sent.body["seed"]) == (0.5, 3)
    assert sent.body["reasoning_effort"] == "low"
    assert desk.passing not in json.dumps([sent.headers, sent.body])


def test_the_same_question_is_paid_once(client):
    fields = {"model": "mock", "messages": HELLO, "temperature": 0, "max_tokens": 33}
    raw = client.chat.completions.with_raw_response
    assert raw.create(**fields).headers["x-milepost-cache"] == "miss"
    again = raw.create(**fields)
    assert again.headers["x-milepost-cache"] == "hit"
    assert again.parse().model_extra["upstream"]["cost_usd"] == 0
    streamed = raw.create(**fields, stream=True)
    assert streamed.headers["x-milepost-cache"] == "hit"
    assert "".join(c.choices[0].delta.content or "" for c in streamed.parse()) == "All is well."
    anew = raw.create(**fields, extra_headers={"Cache-Control": "no-cache"})
    assert anew.headers["x-milepost-cache"] == "miss"


def test_pieces_come_as_they_are_made(client):
    chunks = list(ask(client, stream=True, stream_options={"include_usage": True}))
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "All is well."
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    assert chunks[-1].usage.completion_tokens > 0
    assert len({c.id for c in chunks}) == 1


def test_many_at_once_by_the_asynchronous_client(desk):
    async def run():
        async with openai.AsyncOpenAI(base_url=f"{desk.address}/v1", api_key=desk.passing) as many:
            made = (
                many.chat.completions.create(
                    model="mock", messages=[{"role": "user", "content": f"parcel {n}"}]
                )
                for n in range(20)
            )
            return await asyncio.gather(*made)

    assert {each.choices[0].message.content for each in asyncio.run(run())} == {"All is well."}


def test_tools_and_their_answers_are_handed_on(desk, client):
    first = ask(client, tools=WEATHER, tool_choice="required")
    (call,) = first.choices[0].message.tool_calls
    assert (call.function.name, json.loads(call.function.arguments)) == (
        "weather",
        {"city": "Bern"},
    )
    assert first.choices[0].finish_reason == "tool_calls"
    turns = [*HELLO, first.choices[0].message, {
        "role": "tool", "tool_call_id": call.id, "content": "sunny"
    }]  # fmt: skip
    assert ask(client, messages=turns, tools=WEATHER, tool_choice="none").choices[0].message.content
    sent = desk.mock.seen[-1].body
    assert sent["messages"][-1]["tool_call_id"] == call.id
    assert sent["messages"][1]["tool_calls"][0]["extra_content"] == SIGNED
    with client.chat.completions.stream(model="mock", messages=HELLO, tools=WEATHER) as stream:
        final = stream.get_final_completion()
    streamed = final.choices[0].message.tool_calls[0]
    assert streamed.function.arguments == '{"city":"Bern"}'
    assert streamed.model_extra["extra_content"] == call.model_extra["extra_content"]


def test_answers_are_parsed_by_their_schema(desk, client):
    parsed = client.chat.completions.parse(model="mock", messages=HELLO, response_format=City)
    assert parsed.choices[0].message.parsed == City(city="Bern", people=134)
    assert desk.mock.seen[-1].body["response_format"]["type"] == "json_schema"
    answer = client.responses.parse(model="mock", input="where?", text_format=City)
    assert answer.output_parsed == City(city="Bern", people=134)


def test_images_are_handed_on_and_never_fetched(desk, client):
    def shown(url):
        picture = {"type": "image_url", "image_url": {"url": url}}
        content = [{"type": "text", "text": "what is it"}, picture]
        return [{"role": "user", "content": content}]

    assert ask(client, messages=shown(f"data:image/png;base64,{PIXEL}")).choices[0].message.content
    sent = desk.mock.seen[-1].body["messages"][0]["content"]
    assert sent[1]["image_url"]["url"].endswith(PIXEL)
    with pytest.raises(openai.BadRequestError, match="not fetched"):
        ask(client, messages=shown("http://169.254.169.254/latest"))


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"n": 2}, "n"),
        ({"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "messages[0]"),
        ({"temperature": 9}, "temperature"),
        ({"tools": [{"type": "web_search"}]}, "tools[0]"),
        ({"messages": []}, "messages"),
    ],
)
def test_what_cannot_be_passed_on_is_a_bad_request(client, fields, param):
    with pytest.raises(openai.BadRequestError) as refused:
        ask(client, **fields)
    assert refused.value.param.startswith(param)


def test_responses_whole_and_as_events(desk, client):
    said = client.responses.create(model="mock", input="hello", instructions="be kind")
    assert (said.output_text, said.status) == ("All is well.", "completed")
    assert said.usage.total_tokens > 0
    with client.responses.stream(model="mock", input="hello") as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_response()
    assert kinds[0] == "response.created"
    assert kinds[-1] == "response.completed"
    assert final.output_text == "All is well."
    tools = [{"type": "function", "name": "weather", "parameters": {}}]
    called = client.responses.create(model="mock", input="hello", tools=tools)
    thought, call = called.output
    assert (thought.type, call.name) == ("reasoning", "weather")
    with client.responses.stream(model="mock", input="hello", tools=tools) as stream:
        streamed = stream.get_final_response().output
    assert [item.type for item in streamed] == ["reasoning", "function_call"]
    assert streamed[0].encrypted_content == thought.encrypted_content
    told = {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}
    turns = [{"role": "user", "content": "hello"}, *(i.model_dump() for i in called.output), told]
    assert client.responses.create(model="mock", input=turns).output_text == "All is well."
    (back,) = desk.mock.seen[-1].body["messages"][1]["tool_calls"]
    assert back["extra_content"] == SIGNED
    with pytest.raises(openai.BadRequestError, match="chat completions"):
        client.responses.create(model="milepost/route", input="hello")
    with pytest.raises(openai.BadRequestError, match="conversation"):
        client.responses.create(model="mock", input="hello", previous_response_id="resp_1")


def test_vectors_of_a_language_model(client):
    made = client.embeddings.create(model="mock", input=["one", "two"])
    assert len(made.data) == 2
    assert len(made.data[0].embedding) == len(made.data[1].embedding) > 1
    assert made.usage.prompt_tokens > 0


def test_a_question_that_a_guard_blocks_is_put_to_nobody(desk, client):
    before = len(desk.mock.seen)
    (choice,) = ask(client, messages=INSULT).choices
    assert choice.finish_reason == "content_filter"
    assert choice.message.content is None
    assert choice.message.refusal.startswith("Blocked by tone with a score of ")
    *_, last = ask(client, messages=INSULT, stream=True)
    assert last.choices[0].finish_reason == "content_filter"
    said = client.responses.create(model="mock", input=INSULT[0]["content"])
    assert (said.status, said.incomplete_details.reason) == ("incomplete", "content_filter")
    assert len(desk.mock.seen) == before


def test_an_answer_that_a_guard_blocks_ends_where_it_becomes_rude(client):
    asked = [{"role": "user", "content": "what does the manual say"}]
    whole = ask(client, messages=asked).choices[0]
    assert (whole.message.content, whole.finish_reason) == (None, "content_filter")
    chunks = list(ask(client, messages=asked, stream=True))
    told = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert told.startswith("Where is my parcel please. I was charged twice.")
    assert LAST not in told
    assert chunks[-1].choices[0].finish_reason == "content_filter"
    assert chunks[-1].model_extra["upstream"]["answer_guards"]["tone"]["tripped"]


@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [
        ("server_error", 502, "upstream_error"),
        ("wrong_json", 502, "upstream_malformed"),
        ("storm", 503, "upstream_rate_limited"),
        ("hang", 504, "upstream_timeout"),
    ],
)
def test_what_fails_behind_is_told_by_its_kind_and_in_time(desk, client, kind, status, code):
    desk.mock.fault = Fault(kind=kind, retry_after=7.0)
    began = time.monotonic()
    with pytest.raises(openai.APIStatusError) as failed:
        ask(client, max_tokens=77, extra_headers={"X-Request-Timeout": "1.5"})
    assert time.monotonic() - began < 8.0
    # One that fails again and again, or asked to be left alone, is asked no more for a while.
    waits = {(503, "upstream_unavailable"), (503, "upstream_rate_limited")}
    assert (failed.value.status_code, failed.value.code) in {(status, code), *waits}
    if failed.value.status_code == 503:
        assert int(failed.value.response.headers["retry-after"]) >= 1


def test_a_budget_that_is_spent_is_told_with_what_is_left(desk, client):
    with pytest.raises(openai.APIStatusError) as refused:
        ask(client.with_options(api_key=desk.poor))
    assert refused.value.status_code == 402
    assert (refused.value.code, refused.value.type) == ("over_budget", "insufficient_quota")
    assert "left" in refused.value.message


def test_a_client_that_goes_away_ends_the_call(desk):
    desk.mock.fault = Fault(kind="slow", pause=0.3)
    body = json.dumps({"model": "mock", "messages": HELLO, "stream": True, "max_tokens": 78})
    host, port = httpx.URL(desk.address).host, httpx.URL(desk.address).port
    with socket.create_connection((host, port)) as raw:
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: {host}\r\n"
        head += f"authorization: Bearer {desk.passing}\r\ncontent-length: {len(body)}\r\n\r\n"
        raw.sendall((head + body).encode())
        end = time.monotonic() + 5
        while time.monotonic() < end and '"max_tokens": 78' not in json.dumps(
            [seen.body for seen in list(desk.mock.seen)[-3:]]
        ):
            time.sleep(0.02)
    desk.mock.fault = None
    end = time.monotonic() + 20
    cancelled = False
    while not cancelled and time.monotonic() < end:
        text = httpx.get(
            f"{desk.address}/metrics", headers={"authorization": f"Bearer {_watcher(desk)}"}
        ).text
        cancelled = 'outcome="cancelled"' in text
    assert cancelled


_KEYS: dict[Path, str] = {}


def _watcher(desk) -> str:
    if desk.folder not in _KEYS:
        made = subprocess.run(
            [COMMAND, "-w", desk.folder, "keys", "create", "--role", "finetuner", "--json"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        _KEYS[desk.folder] = json.loads(made.stdout)["secret"]
    return _KEYS[desk.folder]


def test_an_error_before_the_first_piece_is_an_answer_of_its_own(desk, client):
    desk.mock.replies.append(Reply(400, b'{"error": {"message": "no such thing"}}'))
    with pytest.raises(openai.BadRequestError):
        ask(client, stream=True, max_tokens=79)
