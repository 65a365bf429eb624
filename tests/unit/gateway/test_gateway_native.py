"""The native protocol against a service that answers by the length of a text."""

import asyncio
import gzip
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from milepost._base.limits import Limits
from milepost.entities.errors import LateError, RecordingError, UnreachableError, WorkspaceError
from milepost.gateway import gate as gate_module
from milepost.gateway.application import Gateway, Options, app
from milepost.gateway.errors import TYPES
from milepost.testing.answering import LengthService

SMALL = Limits(body_bytes=4096, inputs=8)


def gateway(service: LengthService | None = None, limits: Limits | None = None) -> Gateway:
    options = Options(insecure=True, limits=limits)
    return app(service=service or LengthService(), options=options)


def ask(to: Gateway, path: str, method: str = "POST", **more: Any) -> httpx.Response:
    async def run() -> httpx.Response:
        transport = httpx.ASGITransport(to)
        async with httpx.AsyncClient(transport=transport, base_url="http://d") as client:
            return await client.request(method, path, **more)

    return asyncio.run(run())


def predict(to: Gateway, *inputs: Any, **more: Any) -> httpx.Response:
    return ask(to, "/v1/tasks/route/predict", json={"inputs": inputs, **more})


def error_of(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert set(error) == {"type", "code", "message", "param", "hint"}
    assert error["type"] == TYPES[status]
    assert answer.headers["content-type"] == "application/json"
    return error


def test_an_answer_has_its_release_and_usage():
    answer = predict(gateway(), "abc", {"text": "abcd"}, top_k=1).json()
    assert (answer["task"], answer["release"], answer["channel"]) == ("route", 2, "production")
    assert [each["label"] for each in answer["predictions"]] == ["card", "delivery"]
    assert list(answer["predictions"][0]["probabilities"]) == ["card"]
    assert answer["usage"]["inputs"] == 2


@pytest.mark.parametrize("empty", ["", " \n", {"text": ""}])
def test_an_empty_input_is_not_answered(empty):
    error = error_of(predict(gateway(), "abc", empty), 422)
    assert (error["code"], error["param"]) == ("empty_input", "inputs[1]")


def test_headers_reach_the_service():
    service = LengthService()
    headers = {
        "x-milepost-release": "2",
        "x-milepost-subject": "user-1",
        "x-request-timeout": "5",
        "x-request-id": "mine-7",
        "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    }
    answer = ask(
        gateway(service), "/v1/tasks/route/predict", json={"inputs": ["a"]}, headers=headers
    )
    assert answer.headers["x-request-id"] == "mine-7"
    asked = service.asked[0]
    assert (asked.release, asked.subject, asked.request) == (2, "user-1", "mine-7")
    assert asked.parent == headers["traceparent"]
    assert asked.deadline is not None


@pytest.mark.parametrize("given", ["a b\x7f", "x" * 129, "ä"])
def test_an_unusable_request_id_is_replaced(given):
    answer = ask(gateway(), "/health/live", "GET", headers={"x-request-id": given.encode()})
    assert answer.headers["x-request-id"].startswith("r")


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("X-Request-Timeout", "soon"),
        ("X-Request-Timeout", "nan"),
        ("X-Request-Timeout", "-1"),
        ("X-Request-Timeout", "1e9"),
        ("X-Milepost-Release", "latest"),
        ("X-Milepost-Release", "0"),
        ("X-Milepost-Release", "9" * 30),
        ("X-Milepost-Subject", "x" * 600),
    ],
)
def test_a_header_that_cannot_be_used_is_named(header, value):
    answer = ask(
        gateway(), "/v1/tasks/route/predict", json={"inputs": ["a"]}, headers={header: value}
    )
    assert error_of(answer, 400)["param"] == header


def test_unknown_names_come_with_the_nearest():
    to = gateway()
    assert "'route'" in error_of(ask(to, "/v1/tasks/rout", "GET"), 404)["hint"]
    answer = ask(to, "/v1/tasks/rout/predict", json={"inputs": ["a"]})
    assert error_of(answer, 404)["code"] == "unknown_task"
    headers = {"x-milepost-release": "7"}
    answer = ask(to, "/v1/tasks/route/predict", json={"inputs": ["a"]}, headers=headers)
    assert error_of(answer, 404)["code"] == "unknown_release"


def test_limits_are_named_with_what_was_given():
    to = gateway(limits=SMALL)
    error = error_of(predict(to, *["a"] * 9), 413)
    assert "8 inputs" in error["message"]
    assert "9" in error["message"]
    error = error_of(predict(gateway(), "a", "x" * 20_001), 413)
    assert error["param"] == "inputs[1]"
    assert "20,000" in error["message"]
    assert "20,001" in error["message"]
    error = error_of(predict(to, "x" * 5000), 413)
    assert error["code"] == "body_too_large"
    assert error_of(predict(gateway()), 422)["code"] == "no_inputs"


def test_a_body_without_an_end_is_not_read_on():
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 65_536
            yield b"x" * 65_536

    answer = ask(gateway(limits=SMALL), "/v1/tasks/route/predict", content=endless())
    error_of(answer, 413)
    assert answer.headers["connection"] == "close"
    assert sent < 40 * 1024 * 1024


def test_compressed_bodies_are_refused():
    bomb = gzip.compress(b"0" * 10_000_000)
    answer = ask(
        gateway(), "/v1/tasks/route/predict", content=bomb, headers={"content-encoding": "gzip"}
    )
    assert error_of(answer, 415)["param"] == "Content-Encoding"


@pytest.mark.parametrize(
    ("given", "name", "word"),
    [({"txt": "a"}, "txt", "Did you mean 'text'?"), ({}, "text", "one field")],
)
def test_a_wrong_field_of_an_input_is_named(given, name, word):
    error = error_of(predict(gateway(), "a", given), 400)
    assert error["param"] == f"inputs[1].{name}"
    assert word in error["hint"]


def test_paths_and_methods():
    to = gateway()
    assert error_of(ask(to, "/v1/nothing", "GET"), 404)["code"] == "unknown_path"
    answer = ask(to, "/v1/tasks/route/predict", "GET")
    assert error_of(answer, 405)["code"] == "wrong_method"
    assert answer.headers["allow"] == "POST"
    assert ask(to, "/v1/tasks/", "GET").status_code == 200
    assert ask(to, "/v1/tasks//", "GET").status_code == 404
    for path, near in [
        ("/v1/tasks/route/predct", "/v1/tasks/route/predict"),
        ("/v1/task", "/v1/tasks"),
        ("/health/raedy", "/health/ready"),
    ]:
        error = error_of(ask(to, path, "GET"), 404)
        assert error["hint"].startswith(f"Did you mean {near}? ")
        assert error["message"] == f"There is nothing at {path!r}."


@pytest.mark.parametrize(
    ("raised", "status", "code"),
    [
        (LateError("too late."), 504, "deadline_exceeded"),
        (RecordingError("not kept."), 503, "not_recorded"),
        (UnreachableError("not there.", where="postgresql://secret"), 503, "ledger_unreachable"),
        (WorkspaceError("nothing.", where="/secret/path"), 409, "nothing_to_serve"),
        (RuntimeError("/secret/internal"), 500, "internal"),
    ],
)
def test_errors_of_the_service(raised, status, code):
    class Failing(LengthService):
        async def answer(self, ask):
            raise raised

    answer = predict(gateway(Failing()), "a")
    assert error_of(answer, status)["code"] == code
    assert "secret" not in answer.text
    if status == 500:
        assert answer.headers["x-request-id"] in answer.text
    assert ("retry-after" in answer.headers) == (status == 503)


def test_a_deadline_that_has_passed_is_late():
    answer = ask(
        gateway(LengthService(seconds=0.0)),
        "/v1/tasks/route/predict",
        json={"inputs": ["a"]},
        headers={"x-request-timeout": "0.000000001"},
    )
    error_of(answer, 504)


@pytest.mark.parametrize("far", [10.0, 0.0])
def test_what_takes_too_long_is_late(monkeypatch, far):
    """By a timer of its own, and by the sweep that serves deadlines far away."""
    monkeypatch.setattr(gate_module, "FAR_SECONDS", far)
    monkeypatch.setattr(gate_module, "SWEEP_SECONDS", 0.01)
    answer = ask(
        gateway(LengthService(seconds=60.0)),
        "/v1/tasks/route/predict",
        json={"inputs": ["a"]},
        headers={"x-request-timeout": "0.02"},
    )
    assert error_of(answer, 504)["code"] == "deadline_exceeded"


def test_who_is_cancelled_is_not_late(monkeypatch):
    """By somebody else, before the deadline: that stays a cancellation."""

    async def run() -> None:
        late = gate_module.Deadlines()
        waiting = asyncio.create_task(
            late.before(time.monotonic() + 60.0, lambda: asyncio.sleep(60.0))
        )
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(run())


def test_feedback_is_kept_once():
    to = gateway()
    trace = predict(to, "a").json()["predictions"][0]["trace_id"]
    said = {"trace_id": trace, "label": "refund"}
    first, second = (ask(to, "/v1/feedback", json=said) for _ in range(2))
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json() == second.json()
    assert "text" not in first.json()
    assert error_of(ask(to, "/v1/feedback", json={"trace_id": trace}), 422)
    assert error_of(ask(to, "/v1/feedback", json={**said, "trace_id": "t1"}), 404)
    assert error_of(ask(to, "/v1/feedback", json={**said, "rating": 1.1}), 422)["param"] == "rating"


def test_readiness_tells_what_cannot_be_loaded_and_stays_ready():
    service = LengthService()
    service.broken = {f"t{n}": "there is no task 'spma'." for n in range(30)}
    answer = ask(gateway(service), "/health/ready", "GET")
    assert answer.status_code == 200
    said = answer.json()
    assert said["status"] == "ok"
    assert said["problems"]["t0"] == "there is no task 'spma'."
    assert len(said["problems"]) == 20


def test_readiness_means_it():
    service = LengthService()
    to = gateway(service)
    assert ask(to, "/health/ready", "GET").status_code == 200
    service.not_ready = "the recorder cannot write."
    answer = ask(to, "/health/ready", "GET")
    assert answer.status_code == 503
    assert answer.json() == {"status": "unready", "reason": "the recorder cannot write."}
    assert ask(to, "/health/live", "GET").status_code == 200


def test_the_lifespan_of_a_parent_closes_it():
    service = LengthService()
    to = gateway(service)

    async def run() -> None:
        async with to.lifespan():
            assert service.unready() is None

    asyncio.run(run())
    assert service.unready() == "it is closed."


def test_a_mounted_app_finds_its_paths():
    to = gateway()

    async def site(scope, receive, send):
        await to({**scope, "root_path": "/ai"}, receive, send)

    assert ask(site, "/ai/v1/tasks", "GET").status_code == 200  # type: ignore[arg-type]
    assert ask(site, "/ai/nothing", "GET").status_code == 404  # type: ignore[arg-type]


def test_metrics_count_by_the_template_of_a_path():
    to = gateway()
    predict(to, "a")
    ask(to, "/v1/whatever", "GET")
    said = ask(to, "/metrics", "GET").text
    assert 'route="/v1/tasks/{task}/predict"' in said
    assert "whatever" not in said
