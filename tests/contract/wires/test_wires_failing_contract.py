"""What goes wrong has the same typed outcome over all wire formats, and tells no key."""

import asyncio
import time
from pathlib import Path

import msgspec
import pytest
from tests.contract.wires.calls import (
    ANSWER,
    CANARY,
    HELLO,
    asked,
    failure,
    opened,
    streamed,
    upstream,
)

from milepost.entities.errors import UpstreamError
from milepost.entities.upstream import Wire
from milepost.models.language.asking import Terms
from milepost.models.language.inside.faults import Fault
from milepost.models.language.opening import open_endpoint
from milepost.testing.upstreams import Reply, UpstreamServer

STATUSES = (
    (400, "bad_request"), (401, "bad_key"), (402, "over_budget"), (403, "bad_key"),
    (404, "not_found"), (408, "timeout"), (413, "too_long"), (418, "bad_request"),
    (422, "bad_request"), (429, "rate_limited"), (500, "server_error"), (502, "server_error"),
    (503, "overloaded"), (504, "timeout"), (529, "overloaded"),
)  # fmt: skip


def test_every_status_has_its_outcome(wire: Wire, server: UpstreamServer) -> None:
    async def all_of_them() -> list[str]:
        model, found = opened(wire, server.base_url), []
        for status, _ in STATUSES:
            server.replies.append(Reply(status, b"<html>no JSON</html>"))
            with pytest.raises(UpstreamError) as caught:
                await model.complete(HELLO, Terms())
            assert caught.value.attempts == 1
            assert str(status) in str(caught.value)
            found.append(caught.value.outcome)
        await model.close()
        return found

    assert asyncio.run(all_of_them()) == [outcome for _, outcome in STATUSES]
    assert server.connections == 1


@pytest.mark.parametrize(
    ("fault", "outcomes"),
    [
        (Fault(kind="hang"), {"timeout"}),
        (Fault(kind="slow"), {"timeout"}),
        (Fault(kind="half"), {"cut_off"}),
        (Fault(kind="wrong_json"), {"malformed"}),
        (Fault(kind="reset"), {"reset"}),
        (Fault(kind="storm", retry_after=7.0), {"rate_limited"}),
        (Fault(kind="huge"), {"too_large"}),
        (Fault(kind="server_error"), {"server_error"}),
    ],
    ids=lambda value: getattr(value, "kind", ""),
)
def test_every_fault_ends_by_its_deadline_with_a_typed_error(
    wire: Wire, server: UpstreamServer, fault: Fault, outcomes: set[str]
) -> None:
    server.fault = fault
    wait = 0.3 if "timeout" in outcomes else 10.0
    model = opened(wire, server.base_url)
    terms = Terms(deadline=time.monotonic() + wait)
    error = failure(asked(model, terms=terms))
    assert error.outcome in outcomes
    assert error.attempts == 1
    if fault.kind == "storm":
        assert error.retry_after == 7.0
    if fault.kind == "huge" and wire != "gemini":
        return  # What comes after the event that ends an answer is not waited for.
    terms = Terms(deadline=time.monotonic() + wait)
    assert failure(streamed(opened(wire, server.base_url), terms=terms)).outcome in outcomes


def test_a_provider_that_tells_its_error_in_a_stream(wire: Wire, server: UpstreamServer) -> None:
    data = {
        "openai": b'{"error": {"message": "too busy", "code": "unavailable_error"}}',
        "openai-responses": b'{"type": "error", "code": "unavailable_error", "message": "busy"}',
        "anthropic": b'{"type": "error", "error": {"type": "overloaded_error", "message": "b"}}',
        "gemini": b'{"error": {"code": 503, "status": "UNAVAILABLE", "message": "busy"}}',
    }[wire]
    reply = Reply(200, b"data: " + data + b"\n\n", {"content-type": "text/event-stream"})
    server.replies.append(reply)
    assert failure(streamed(opened(wire, server.base_url))).outcome == "overloaded"


def test_redirects_are_never_followed(wire: Wire, server: UpstreamServer) -> None:
    where = "http://user:secret@169.254.169.254/latest/meta-data?token=secret"
    for status in (301, 302, 307, 308):
        server.replies.append(Reply(status, b"", {"location": where}))
        error = failure(asked(opened(wire, server.base_url)))
        assert error.outcome == "blocked_address"
        assert "169.254.169.254" in str(error)
        assert "secret" not in str(error)
    assert len(server.seen) == 4


def test_addresses_that_are_not_public_are_for_admins(
    wire: Wire, server: UpstreamServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def told(base_url: str) -> UpstreamError:
        row = upstream(wire, base_url)
        endpoint = msgspec.structs.replace(row.endpoints[0], private=False)
        return failure(open_endpoint(row, endpoint).complete(HELLO, Terms()))

    for base_url in (
        f"https://127.0.0.1:{server.port}/v1", f"https://localhost:{server.port}/v1",
        "https://169.254.169.254/v1", "https://10.1.2.3/v1", "https://[::ffff:10.1.2.3]/v1",
        "https://[fd00:ec2::254]/v1", "https://0.0.0.0/v1", "https://100.64.0.1/v1",
        server.base_url, "http://93.184.215.14/v1",
    ):  # fmt: skip
        error = told(base_url)
        assert (error.outcome, error.attempts) == ("blocked_address", 0), base_url
        assert "--private" in str(error)

    # A name with a public address beside a private one is as bad.
    def both(*_args: object, **_more: object) -> list[tuple[object, ...]]:
        return [(2, 1, 6, "", (place, 443)) for place in ("93.184.215.14", "192.168.0.9")]

    monkeypatch.setattr("socket.getaddrinfo", both)
    assert told("https://models.invalid/v1").outcome == "blocked_address"
    assert server.connections == 0


def test_the_address_that_was_checked_is_the_one_that_is_called(
    wire: Wire, server: UpstreamServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_up: list[object] = []

    def rebinding(host: object, *_args: object, **_more: object) -> list[tuple[object, ...]]:
        looked_up.append(host)
        place = "127.0.0.1" if len(looked_up) == 1 else "203.0.113.9"
        return [(2, 1, 6, "", (place, server.port))]

    monkeypatch.setattr("socket.getaddrinfo", rebinding)
    model = opened(wire, f"http://models.invalid:{server.port}/v1")
    assert asyncio.run(asked(model)).text == ANSWER.text
    assert looked_up == ["models.invalid"]
    assert server.seen[0].headers["host"] == f"models.invalid:{server.port}"


# Keys.


def test_a_key_is_sent_and_never_told(
    wire: Wire, server: UpstreamServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    server.key = CANARY
    monkeypatch.setenv("BIG_KEY", CANARY)
    model = opened(wire, server.base_url, key="env:BIG_KEY")
    assert asyncio.run(asked(model)).text == ANSWER.text
    assert CANARY not in repr(model) + repr(vars(model)["_connections"])
    for words in (CANARY, f"{CANARY[:20]}\u2026", f"key={CANARY}&more", CANARY[-12:]):
        body = msgspec.json.encode({"error": {"message": f"Not a key: {words}", "code": words}})
        server.replies.append(Reply(401, body))
        error = failure(asked(opened(wire, server.base_url, key="env:BIG_KEY")))
        assert error.outcome == "bad_key"
        shown = f"{error} {error!r} {error.__dict__} {error.__cause__!r}"
        assert not any(CANARY[n : n + 8] in shown for n in range(len(CANARY) - 8))
    file = tmp_path / "key"
    file.write_text(f"{CANARY}\n", encoding="utf-8")
    model = opened(wire, server.base_url, key=f"file:{file}")
    assert asyncio.run(asked(model)).text == ANSWER.text


def test_a_missing_key_names_its_variable(wire: Wire, server: UpstreamServer) -> None:
    error = failure(asked(opened(wire, server.base_url, key="env:NO_SUCH_KEY")))
    assert (error.outcome, error.attempts) == ("no_key", 0)
    assert "NO_SUCH_KEY" in str(error)
    assert server.connections == 0
