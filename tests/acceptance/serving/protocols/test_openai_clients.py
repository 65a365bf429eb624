"""The public package openai against a running server, used as its documentation says."""

import asyncio
import json
import math

import numpy as np
import openai
import pytest
from pydantic import BaseModel

ENCODER = "all-MiniLM-L6-v2"
STOLEN = [{"role": "user", "content": "the courier never brought my parcel"}]
INSULT = [{"role": "user", "content": "you are all useless idiots"}]


@pytest.fixture
def client(desk):
    with openai.OpenAI(base_url=f"{desk.address}/v1", api_key=desk.key, max_retries=0) as made:
        yield made


def ask(client, **fields):
    return client.chat.completions.create(
        **{"model": "milepost/route", "messages": STOLEN} | fields
    )


def test_tasks_and_the_encoder_are_listed(client):
    listed = {model.id: model for model in client.models.list()}
    assert set(listed) == {"milepost/route", "milepost/tone", ENCODER}  # no language model
    assert listed["milepost/route"].created > 1_700_000_000
    for name, model in listed.items():
        assert client.models.retrieve(name) == model


def test_vectors_are_the_same_in_both_formats_and_of_unit_length(client):
    texts = ["where is my parcel", "hello"]
    packed = client.embeddings.create(model=ENCODER, input=texts)
    plain = client.embeddings.create(model=ENCODER, input=texts, encoding_format="float")
    vectors = np.array([each.embedding for each in packed.data])
    assert vectors.shape == (2, 384)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
    np.testing.assert_allclose(vectors, [each.embedding for each in plain.data], atol=1e-5)
    assert packed.usage.prompt_tokens == packed.usage.total_tokens > 4
    alone = client.embeddings.create(model=ENCODER, input="hello", dimensions=384)
    np.testing.assert_allclose(alone.data[0].embedding, vectors[1], atol=1e-5)


@pytest.mark.parametrize(
    "fields",
    [
        {"input": [1, 2, 3]},
        {"input": [[1, 2], [3]]},
        {"input": "a", "dimensions": 64},
        {"input": []},
    ],
)
def test_what_the_encoder_cannot_do_is_a_bad_request(client, fields):
    with pytest.raises(openai.BadRequestError) as refused:
        client.embeddings.create(model=ENCODER, **fields)
    assert refused.value.param in {"input", "dimensions"}
    assert refused.value.type == "invalid_request_error"


def test_guards_are_moderations(client):
    rude, fine = client.moderations.create(input=["what a bunch of idiots", "hello"]).results
    assert (rude.flagged, fine.flagged) == (True, False)
    assert rude.categories.model_extra == {"tone/rude": True}
    assert rude.category_scores.model_extra["tone/rude"] > 0.6
    for model in ("milepost/tone", "omni-moderation-latest"):
        (alone,) = client.moderations.create(input=INSULT[0]["content"], model=model).results
        assert alone.flagged
    with pytest.raises(openai.BadRequestError, match="milepost/tone"):
        client.moderations.create(input="hello", model="milepost/route")


def test_a_task_is_a_model(client):
    chat = ask(client, temperature=0, max_tokens=5, user="u1", logprobs=True, top_logprobs=3)
    choice = chat.choices[0]
    assert (choice.message.content, choice.finish_reason) == ("delivery", "stop")
    assert chat.system_fingerprint == "release-2"
    assert chat.usage.total_tokens == chat.usage.prompt_tokens + 1
    (token,) = choice.logprobs.content
    told = {each.token: math.exp(each.logprob) for each in token.top_logprobs}
    assert next(iter(told)) == token.token == "delivery"
    assert sum(told.values()) == pytest.approx(1.0, abs=1e-4)
    assert chat.milepost["guards"]["tone"]["label"] == "fine"


def test_a_release_can_be_pinned(client):
    assert ask(client, model="milepost/route@1").system_fingerprint == "release-1"
    by_header = ask(client, extra_headers={"X-Milepost-Release": "1"})
    assert by_header.system_fingerprint == "release-1"


def test_a_stream_is_the_answer_in_pieces(client):
    whole = ask(client)
    chunks = list(ask(client, stream=True, stream_options={"include_usage": True}))
    text = "".join(each.choices[0].delta.content or "" for each in chunks if each.choices)
    assert text == whole.choices[0].message.content
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].choices == []
    assert chunks[-1].usage.completion_tokens == 1


class Queue(BaseModel):
    label: str
    confidence: float


def test_structured_outputs_are_fields_of_the_answer(client):
    parsed = client.chat.completions.parse(
        model="milepost/route", messages=STOLEN, response_format=Queue
    )
    assert parsed.choices[0].message.parsed.label == "delivery"
    with client.chat.completions.stream(
        model="milepost/route", messages=STOLEN, response_format=Queue
    ) as stream:
        assert stream.get_final_completion().choices[0].message.parsed.confidence > 0.3
    whole = ask(client, response_format={"type": "json_object"}).choices[0].message.content
    assert {"label", "confidence", "guards", "trace_id"} <= set(json.loads(whole))


def test_a_blocked_answer_is_filtered(client):
    choice = ask(client, messages=INSULT).choices[0]
    assert (choice.message.content, choice.finish_reason) == (None, "content_filter")
    assert "tone" in choice.message.refusal
    with pytest.raises(openai.ContentFilterFinishReasonError):
        client.chat.completions.parse(
            model="milepost/route", messages=INSULT, response_format=Queue
        )


@pytest.mark.parametrize(
    ("fields", "error", "param"),
    [
        ({"model": "milepost/rute"}, openai.NotFoundError, "model"),
        ({"model": "gpt-4o"}, openai.NotFoundError, "model"),
        ({"n": 2}, openai.BadRequestError, "n"),
        ({"messages": []}, openai.BadRequestError, "messages"),
        ({"stream": True, "n": 2}, openai.BadRequestError, "n"),
        ({"temperature": "hot", "top_logprobs": 30}, openai.BadRequestError, "top_logprobs"),
        ({"model": "milepost/route@99"}, openai.NotFoundError, "release"),
    ],
)
def test_errors_are_the_clients_own(client, fields, error, param):
    with pytest.raises(error) as refused:
        ask(client, **fields)
    assert refused.value.param == param
    assert refused.value.request_id


def test_near_names_and_missing_upstreams_are_told(client):
    with pytest.raises(openai.NotFoundError, match="Did you mean 'milepost/route'"):
        ask(client, model="milepost/rute")
    with pytest.raises(openai.NotFoundError, match="There is no model 'gpt-4o'"):
        ask(client, model="gpt-4o")


def test_keys_decide_what_there_is(desk):
    address = f"{desk.address}/v1"
    with (
        openai.OpenAI(base_url=address, api_key="mp_no", max_retries=0) as nobody,
        pytest.raises(openai.AuthenticationError),
    ):
        nobody.models.list()
    with openai.OpenAI(base_url=address, api_key=desk.narrow, max_retries=0) as narrow:
        assert [model.id for model in narrow.models.list()] == ["milepost/tone", ENCODER]
        with pytest.raises(openai.NotFoundError) as refused:
            ask(narrow)
        assert "Known: milepost/tone" in refused.value.message


def test_many_at_once(desk):
    async def run() -> list[str]:
        address = f"{desk.address}/v1"
        async with openai.AsyncOpenAI(base_url=address, api_key=desk.key) as client:
            asked = [
                client.chat.completions.create(
                    model="milepost/route",
                    messages=[{"role": "user", "content": f"where is parcel {i}"}],
                )
                for i in range(40)
            ]
            return [each.choices[0].message.content for each in await asyncio.gather(*asked)]

    assert set(asyncio.run(run())) <= {"delivery", "payment", "account"}
