import asyncio

import httpx
import openai
import pytest

from milepost.entities.errors import UpstreamError
from milepost.entities.language import Message, ModelRequest
from milepost.models.language.asking import Terms
from milepost.models.language.inside.fake import fake_upstream
from milepost.models.language.inside.faults import OUTCOMES, Fault
from milepost.models.language.inside.opening import open_inside
from milepost.testing.upstreams import Reply, serving

PROMPT = "Which?\n- refund: money back\n- card: lost card\n\nText: my card is lost"
REQUEST = ModelRequest(messages=(Message(role="user", content=PROMPT),))
BODY = {"model": "m", "messages": [{"role": "user", "content": PROMPT}]}


def model(options: str):
    return open_inside(fake_upstream(base_url=f"fake:?{options}"))


@pytest.mark.parametrize("kind", sorted(OUTCOMES))
def test_each_fault_of_a_wrapper_is_its_typed_error(kind: str) -> None:
    async def complete() -> None:
        await model(f"fault={kind}").complete(REQUEST, Terms())

    async def stream() -> None:
        async for _ in model(f"fault={kind}").stream(REQUEST, Terms()):
            pass

    for call in (complete, stream):
        with pytest.raises(UpstreamError) as caught:
            asyncio.run(call())
        assert caught.value.outcome == OUTCOMES[kind][0]
        assert (caught.value.retry_after is not None) == (kind == "storm")


def test_half_a_stream_gives_something_before_it_ends() -> None:
    found: list[str] = []

    async def read() -> None:
        async for piece in model("says=one+two+three&fault=half").stream(REQUEST, Terms()):
            found.append(piece.text)

    with pytest.raises(UpstreamError):
        asyncio.run(read())
    assert found == ["one"]


def test_a_hanging_call_never_ends_by_itself() -> None:
    async def ask() -> None:
        await asyncio.wait_for(model("fault=hang").complete(REQUEST, Terms()), 0.02)

    with pytest.raises(TimeoutError):
        asyncio.run(ask())


def test_a_share_of_calls_and_the_first_calls_have_a_fault() -> None:
    fault = Fault(kind="reset", share=0.3, seed=1)
    hits = [fault.hits(number) for number in range(2000)]
    assert 0.26 < sum(hits) / 2000 < 0.34
    assert hits == [fault.hits(number) for number in range(2000)]
    first = Fault(kind="reset", first=3)
    assert [first.hits(number) for number in range(5)] == [True, True, True, False, False]


def test_the_server_speaks_so_that_the_public_client_understands() -> None:
    with serving(key="k") as server, openai.OpenAI(base_url=server.base_url, api_key="k") as client:
        messages = BODY["messages"]
        whole = client.chat.completions.create(
            model="m", messages=messages, logprobs=True, top_logprobs=2
        )
        assert whole.choices[0].message.content == "card"
        assert whole.usage.prompt_tokens > 0
        assert len(whole.choices[0].logprobs.content[0].top_logprobs) == 2
        pieces = client.chat.completions.create(model="m", messages=messages, stream=True)
        assert "".join(p.choices[0].delta.content or "" for p in pieces) == "card"
        assert len(client.embeddings.create(model="m", input=["a", "b"]).data) == 2
        assert server.seen[0].headers["authorization"] == "Bearer k"


def test_faults_of_the_server_happen_on_a_real_connection() -> None:
    with serving() as server, httpx.Client(timeout=20) as client:
        url = f"{server.base_url}/chat/completions"

        def post(kind: str, *, stream: bool = False, timeout: float = 20.0) -> httpx.Response:
            server.fault = Fault(kind=kind, retry_after=7.0)
            return client.post(url, json={**BODY, "stream": stream}, timeout=timeout)

        for stream in (False, True):
            storm = post("storm", stream=stream)
            assert (storm.status_code, storm.headers["retry-after"]) == (429, "7")
            assert post("server_error", stream=stream).status_code == 500
            assert len(post("huge", stream=stream).content) > 10 * 1024 * 1024
            with pytest.raises(httpx.RemoteProtocolError):
                post("half", stream=stream)
            with pytest.raises(httpx.ReadError):
                post("reset", stream=stream)
            with pytest.raises(httpx.ReadTimeout):
                post("hang", stream=stream, timeout=0.1)
        with pytest.raises(ValueError, match="Unterminated"):
            post("wrong_json").json()
        server.fault = None
        server.replies.append(Reply(302, b"", {"location": "http://192.0.2.1/"}))
        assert client.post(url, json=BODY).status_code == 302
        assert client.post(url, json=BODY).json()["choices"][0]["message"]["content"] == "card"


def test_the_server_says_what_was_wrong_with_a_request() -> None:
    with serving(key="k") as server, httpx.Client(headers={"authorization": "Bearer k"}) as client:
        url = f"{server.base_url}/chat/completions"
        assert client.post(url, json={"model": "m"}).status_code == 400
        assert client.post(url, json=BODY, headers={"authorization": "Bearer x"}).status_code == 401
        assert client.get(f"{server.origin}/nowhere").status_code == 404
