"""A planted key is found nowhere: every wire format, every fault, whole and streamed, seen by all.

Sought in errors with all that hangs on them, logs of every level, the OpenTelemetry spans that a
real receiver gets, metrics, the ledger and all other files.
"""

import asyncio
import gzip
import json
import logging
import threading
import time
import traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import get_args

import pytest

from milepost.entities.configuration import Configuration
from milepost.entities.language import Message, ModelRequest
from milepost.entities.upstream import Endpoint, Upstream, Wire
from milepost.gateway.errors import refusal
from milepost.gateway.telemetry import Telemetry
from milepost.gateway.telemetry.spans import open_spans
from milepost.models.language.asking import Terms
from milepost.models.language.inside.faults import Fault, Kind
from milepost.testing.upstreams import Reply, UpstreamServer, serving
from milepost.testing.upstreams.anthropic import Anthropic
from milepost.testing.upstreams.gemini import Gemini
from milepost.testing.upstreams.responses import OpenAIResponses
from milepost.workflows.context import Context
from milepost.workflows.language.opening import open_languages
from milepost.workflows.opening import create

CANARY = "sk-canary-8hT3nB6yW1cR5jF9"
OVER_HTTP = tuple(wire for wire in get_args(Wire) if wire not in ("fake", "recorded"))
STATUSES = (302, 400, 401, 402, 403, 404, 413, 429, 500, 503)
SECONDS = 0.3


@pytest.fixture
def receiver(monkeypatch):
    """Bodies that an OTLP/HTTP receiver on loopback got."""
    got: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            packed = self.headers.get("content-encoding") == "gzip"
            got.append(gzip.decompress(body) if packed else body)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    for name in ("OTEL_SDK_DISABLED", "OTEL_TRACES_EXPORTER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    yield got
    server.shutdown()
    server.server_close()
    thread.join()


def told(error: BaseException) -> str:
    """All that an error says to anybody, clients of a gateway included."""
    hangs = "".join(traceback.format_exception(error))
    refused = refusal(error, "r1")
    return f"{error!r}{error.args}{vars(error)}{hangs}{refused.body()!r}{refused.headers}"


async def asked(context: Context, telemetry: Telemetry, text: str) -> list[str]:
    """What comes of a question, whole and streamed, by layers that have seen nothing before."""
    languages = telemetry.watch_languages(open_languages(context))
    model = languages.get("big")
    request = ModelRequest(messages=(Message(role="user", content=text),), max_tokens=5)

    def terms() -> Terms:
        return Terms(purpose="pass", deadline=time.monotonic() + SECONDS)

    async def streamed() -> str:
        return "".join([repr(piece) async for piece in model.stream(request, terms())])

    calls = model.complete(request, terms()), streamed()
    found = await asyncio.gather(*calls, return_exceptions=True)
    await languages.close()
    return [told(each) if isinstance(each, BaseException) else repr(each) for each in found]


async def everything(context: Context, telemetry: Telemetry, server: UpstreamServer) -> list[str]:
    said = await asked(context, telemetry, "all is well")
    for status in STATUSES:
        words = {"error": {"message": f"bad key {CANARY}", "type": CANARY, "code": CANARY}}
        headers = {"x-key": CANARY, "location": f"http://127.0.0.1/{CANARY}"}
        server.replies.extend([Reply(status, json.dumps(words).encode(), headers)] * 8)
        said += await asked(context, telemetry, f"status {status}")
        server.replies.clear()
    for kind in get_args(Kind):
        server.fault = Fault(kind=kind)
        said += await asked(context, telemetry, f"fault {kind}")
        server.fault = None
    return said


@pytest.mark.parametrize(
    "wire",
    [pytest.param(wire, marks=[pytest.mark.slow][: wire != "openai"]) for wire in OVER_HTTP],
)
def test_a_planted_key_is_found_nowhere(
    tmp_path: Path, monkeypatch, caplog: pytest.LogCaptureFixture, receiver, wire: Wire
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("SOME_KEY", CANARY)
    context = create(tmp_path / "w", Configuration())
    telemetry = Telemetry(tmp_path, spans=open_spans())
    formats = (OpenAIResponses(), Anthropic(), Gemini())
    with serving(key=CANARY, formats=formats) as server:
        place = Endpoint(base_url=server.base_url, key="env:SOME_KEY", private=True)
        upstream = Upstream(name="big", model="fake", wire=wire, endpoints=(place,), timeout_s=5.0)
        context.ledger.add_upstream(upstream, reason="test")
        said = asyncio.run(everything(context, telemetry, server))
        assert any(CANARY in str(seen.headers) for seen in server.seen), "it was really sent"
        assert len(server.seen) > len(STATUSES)
    telemetry.close()
    assert sum("Completion(" in each for each in said) >= 1, "and really known there"
    assert sum("UpstreamError" in each for each in said) >= len(STATUSES)
    said += [f"{record.getMessage()}{record.args}{record.exc_info}" for record in caplog.records]
    said += [json.dumps(repr(call)) for call in context.ledger.model_calls(limit=1000)]
    context.ledger.close()
    for each in said:
        assert CANARY not in each
        assert CANARY[3:15] not in each
    assert receiver, "spans have come"
    kept = [file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()]
    for held in (*receiver, *kept):
        assert CANARY.encode() not in held
