"""The endpoint and the clients that ``bench.upstream_overhead`` compares.

Runs in other environments too: imports nothing of milepost before it knows that it is the one.
"""

import asyncio
import json
import os
import resource
import sys
import time
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection
from typing import Any

ANSWER = json.dumps(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "sports"},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 120, "completion_tokens": 2, "total_tokens": 122},
    }
).encode()
REPLY = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: "
    + str(len(ANSWER)).encode()
    + b"\r\n\r\n"
    + ANSWER
)
PROMPT = "Which topic is it? Answer with one of: sports, business, world, science.\n" + "word " * 80
WARM = 64
"""Calls before those that are timed."""

Call = Callable[[], Awaitable[str]]


class _Endpoint(asyncio.Protocol):
    """Answers every request with the same bytes, after a while."""

    def __init__(self, delay: float) -> None:
        self._delay = delay
        self._held = b""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._held += data
        head = self._held.find(b"\r\n\r\n")
        if head < 0:
            return
        lower = self._held[:head].lower()
        at = lower.find(b"content-length:")
        length = int(lower[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        if len(self._held) < head + 4 + length:
            return
        self._held = self._held[head + 4 + length :]
        if self._delay:
            asyncio.get_running_loop().call_later(self._delay, self._transport.write, REPLY)
        else:
            self._transport.write(REPLY)


def serve(delay: float, line: Connection) -> None:
    """Serve until terminated; tells its port."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-1:])

    async def forever() -> None:
        server = await asyncio.get_running_loop().create_server(
            lambda: _Endpoint(delay), "127.0.0.1", 0, backlog=512
        )
        line.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(forever())


def bare(base_url: str, at_once: int) -> Call:
    import httpx
    import msgspec

    client = httpx.AsyncClient(limits=httpx.Limits(max_connections=at_once), timeout=60.0)
    body = {
        "model": "m",
        "messages": [{"role": "user", "content": PROMPT}],
        "max_tokens": 16,
        "temperature": 0.0,
    }
    headers = {"content-type": "application/json", "authorization": "Bearer none"}

    async def call() -> str:
        answer = await client.post(
            f"{base_url}/chat/completions", content=msgspec.json.encode(body), headers=headers
        )
        return msgspec.json.decode(answer.content)["choices"][0]["message"]["content"]

    return call


def ours(base_url: str, at_once: int, *, whole: bool) -> Call:
    """Resilience over the wire format; with ``whole`` also cache (which never has the answer)."""
    from milepost.entities.language import Message, ModelRequest
    from milepost.entities.upstream import Endpoint, Upstream
    from milepost.models.language.asking import LanguageModel, Terms
    from milepost.models.language.caching.exact import Cached
    from milepost.models.language.caching.stores import MemoryAnswers
    from milepost.models.language.http import HttpModel
    from milepost.models.language.resilience.fallback import FallingBack
    from milepost.models.language.resilience.resilient import Resilient

    row = Upstream(
        name="big",
        model="m",
        endpoints=(Endpoint(base_url=base_url, private=True),),
        at_once=at_once,
    )
    model: LanguageModel = Resilient(row, [HttpModel(row, row.endpoints[0])])
    if whole:
        model = FallingBack(Cached(model, MemoryAnswers()), [])
    terms = Terms()
    number = 0

    async def call() -> str:
        nonlocal number
        number += 1
        text = f"{PROMPT}{number}" if whole else PROMPT
        request = ModelRequest(messages=(Message(role="user", content=text),), max_tokens=16)
        return (await model.complete(request, terms)).text

    return call


def litellm(base_url: str, at_once: int) -> Call:
    import litellm

    litellm.suppress_debug_info = True

    async def call() -> str:
        answer = await litellm.acompletion(
            model="openai/m",
            messages=[{"role": "user", "content": PROMPT}],
            max_tokens=16,
            temperature=0.0,
            api_base=base_url,
            api_key="none",
        )
        return answer.choices[0].message.content

    return call


CLIENTS: dict[str, Callable[[str, int], Call]] = {
    "httpx": bare,
    "milepost": lambda base_url, at_once: ours(base_url, at_once, whole=False),
    "milepost, all layers": lambda base_url, at_once: ours(base_url, at_once, whole=True),
    "litellm": litellm,
}


async def measure(call: Call, calls: int, at_once: int) -> dict[str, float]:
    """Latencies in a closed loop of so many callers, and CPU of this process."""
    left = WARM
    took: list[float] = []

    async def caller() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            began = time.perf_counter()
            assert await call() == "sports"
            took.append(time.perf_counter() - began)

    await asyncio.gather(*[caller() for _ in range(at_once)])
    took.clear()
    left = calls
    before, began = _cpu(), time.perf_counter()
    await asyncio.gather(*[caller() for _ in range(at_once)])
    wall = time.perf_counter() - began
    took.sort()
    return {
        "p50_ms": 1000.0 * took[len(took) // 2],
        "p99_ms": 1000.0 * took[int(0.99 * len(took))],
        "cpu_us": 1e6 * (_cpu() - before) / calls,
        "calls_per_s": calls / wall,
    }


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main() -> None:
    asked = json.loads(sys.argv[1])
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])

    async def all_of_it() -> dict[str, float]:
        call = CLIENTS[asked["system"]](asked["base_url"], asked["at_once"])
        return await measure(call, asked["calls"], asked["at_once"])

    print(json.dumps(asyncio.run(all_of_it())))


if __name__ == "__main__":
    main()
