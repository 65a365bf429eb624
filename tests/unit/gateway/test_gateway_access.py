"""No key, no answer: every route of the table, with every kind of wrong key."""

import asyncio
import hashlib
import logging
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import msgspec
import pytest

from milepost.entities.errors import UnreachableError
from milepost.entities.serving import Key
from milepost.gateway.access import RIGHTS, Access, check_local
from milepost.gateway.application import Gateway, Options, app
from milepost.gateway.errors import RefusedError
from milepost.gateway.routes import Route
from milepost.gateway.table import ROUTES
from milepost.testing.answering import LengthService

NOW = datetime.now(UTC)


def made(number: int, **more: Any) -> Key:
    fields: dict[str, Any] = {"role": "consumer", "tasks": ()}
    return Key(
        id=f"k{number:012x}", name=f"key {number}", created=NOW, actor="ann", **(fields | more)
    )


KEYS: Mapping[str, Key] = {
    "mp_consumer": made(1),
    "mp_finetuner": made(2, role="finetuner"),
    "mp_provider": made(3, role="provider"),
    "mp_admin": made(4, role="admin"),
    "mp_revoked": made(5, revoked=NOW),
    "mp_expired": made(6, expires=NOW - timedelta(seconds=1)),
    "mp_abuse_only": made(7, tasks=("abuse",)),
    "mp_slow": made(8, per_second=2.0),
}


class Kept:
    """Keys as a ledger keeps them."""

    def __init__(self, keys: Mapping[str, Key] = KEYS) -> None:
        self.by_hash = {hashlib.sha256(s.encode()).hexdigest(): k for s, k in keys.items()}
        self.looked_up = 0
        self.broken = False

    def key_by_hash(self, sha256: str, /) -> Key | None:
        self.looked_up += 1
        if self.broken:
            raise UnreachableError("the database does not answer.")
        return self.by_hash.get(sha256)


def gateway(keys: Kept | None = None) -> Gateway:
    return app(service=LengthService(), keys=keys or Kept())


def ask(to: Gateway, method: str, path: str, key: str | None = None, **more: Any) -> httpx.Response:
    async def run() -> httpx.Response:
        headers = {} if key is None else {"authorization": f"Bearer {key}"}
        transport = httpx.ASGITransport(to)
        async with httpx.AsyncClient(transport=transport, base_url="http://d") as client:
            return await client.request(method, path, headers=headers, **more)

    return asyncio.run(run())


def filled(route: Route) -> str:
    return route.path.replace("{task}", "route").replace("{model}", "route").replace(
        "{version}", "2"
    ).replace("{", "").replace("}", "")  # fmt: skip


CLOSED = [route for route in ROUTES if route.right != "open"]


def test_only_these_routes_are_open():
    """A new route needs a key unless it is added here on purpose."""
    opened = {route.path for route in ROUTES if route.right == "open"}
    assert opened <= {
        "/", "/docs", "/openapi.json", "/health/live", "/health/ready",
        "/v2", "/v2/health/live", "/v2/health/ready",
    }  # fmt: skip


@pytest.mark.parametrize("route", CLOSED, ids=lambda route: f"{route.method} {route.path}")
@pytest.mark.parametrize(
    ("key", "code"),
    [
        (None, "no_key"),
        ("mp_nobody's", "wrong_key"),
        ("", "no_key"),
        ("mp_revoked", "revoked_key"),
        ("mp_expired", "expired_key"),
    ],
)
def test_every_closed_route_refuses(route: Route, key: str | None, code: str):
    answer = ask(gateway(), route.method, filled(route), key, content=b"{}")
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert code in answer.text or "key" in answer.text


@pytest.mark.parametrize("route", CLOSED, ids=lambda route: f"{route.method} {route.path}")
@pytest.mark.parametrize("role", sorted(RIGHTS))
def test_every_closed_route_asks_for_its_right(route: Route, role: Any):
    answer = ask(gateway(), route.method, filled(route), f"mp_{role}", content=b"{}")
    assert answer.status_code != 401
    if route.right in RIGHTS[role]:
        assert '"no_right"' not in answer.text
    else:
        assert answer.status_code == 403


@pytest.mark.parametrize("route", CLOSED, ids=lambda route: f"{route.method} {route.path}")
def test_a_key_of_another_task_gets_nothing_of_this_one(route: Route):
    if "{" not in route.path:
        return
    answer = ask(gateway(), route.method, filled(route), "mp_abuse_only", content=b"{}")
    assert answer.status_code in (400, 403, 404)
    assert "card" not in answer.text


def test_a_key_of_one_task_does_not_learn_of_others():
    listed = ask(gateway(), "GET", "/v1/tasks", "mp_abuse_only").json()
    assert [task["name"] for task in listed["tasks"]] == ["abuse"]
    for name in ("route", "nothing"):
        refused = ask(gateway(), "GET", f"/v1/tasks/{name}", "mp_abuse_only")
        assert refused.status_code == 403
        assert refused.json()["error"]["hint"] == "It may ask: abuse."


@pytest.mark.parametrize("value", ["Basic mp_consumer", "Bearer", "mp_consumer", "bearer  "])
def test_what_is_no_bearer_token_is_no_key(value):
    async def run() -> None:
        with pytest.raises(RefusedError) as caught:
            await Access(Kept()).caller(value.encode())
        assert (caught.value.status, caught.value.code) == (401, "no_key")

    asyncio.run(run())


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_revoked_key_stops_within_the_interval():
    async def run() -> None:
        clock, keys = Clock(), Kept()
        access = Access(keys, ttl=1.0, clock=clock)
        assert (await access.caller(b"Bearer mp_consumer")).key == "k000000000001"
        digest = hashlib.sha256(b"mp_consumer").hexdigest()
        keys.by_hash[digest] = msgspec.structs.replace(keys.by_hash[digest], revoked=NOW)
        await access.caller(b"Bearer mp_consumer")
        assert keys.looked_up == 1
        clock.now += 1.01
        with pytest.raises(RefusedError, match="revoked"):
            await access.caller(b"Bearer mp_consumer")

    asyncio.run(run())


def test_a_revoked_key_stops_at_once_when_the_watcher_says_so():
    async def run() -> None:
        keys = Kept()
        access = Access(keys, ttl=1000.0)
        await access.caller(b"Bearer mp_consumer")
        keys.by_hash.clear()
        access.forget()
        with pytest.raises(RefusedError, match="not known"):
            await access.caller(b"Bearer mp_consumer")

    asyncio.run(run())


def test_a_key_in_use_is_looked_up_before_it_is_too_old():
    async def run() -> None:
        clock, keys = Clock(), Kept()
        access = Access(keys, ttl=1.0, clock=clock)
        await access.caller(b"Bearer mp_consumer")
        clock.now += 0.6
        await access.caller(b"Bearer mp_consumer")
        while keys.looked_up < 2:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.01)
        clock.now += 0.6
        await access.caller(b"Bearer mp_consumer")
        assert keys.looked_up <= 3

    asyncio.run(run())


def test_known_keys_work_while_the_ledger_is_away():
    async def run() -> None:
        clock, keys = Clock(), Kept()
        access = Access(keys, ttl=1.0, clock=clock)
        await access.caller(b"Bearer mp_consumer")
        keys.broken = True
        clock.now += 60.0
        assert (await access.caller(b"Bearer mp_consumer")).key == "k000000000001"
        with pytest.raises(UnreachableError):
            await access.caller(b"Bearer mp_admin")
        clock.now += 1000.0
        with pytest.raises(UnreachableError):
            await access.caller(b"Bearer mp_consumer")

    asyncio.run(run())


def test_a_rate_is_told_from_an_overload():
    to = gateway()
    body = b'{"inputs":["a","b","c"]}'
    first = ask(to, "POST", "/v1/tasks/route/predict", "mp_slow", content=body)
    then = ask(to, "POST", "/v1/tasks/route/predict", "mp_slow", content=body)
    assert first.status_code == 200
    assert then.status_code == 429
    assert int(then.headers["retry-after"]) >= 1
    assert then.json()["error"]["code"] == "rate_limited"


def test_a_secret_is_nowhere_to_be_seen(caplog):
    """Not in an answer, a log, or a metric, whatever goes wrong with it."""
    caplog.set_level(logging.DEBUG)

    class Broken(Kept):
        def key_by_hash(self, sha256: str, /) -> Key | None:
            raise RuntimeError("boom")

    secret = "mp_S3cretS3cretS3cret"  # noqa: S105 - of nobody
    said: list[str] = []
    for keys in (Kept(), Broken(), Kept({secret: made(9)})):
        to = gateway(keys)
        for path in ("/v1/tasks", "/v1/tasks/nothing", "/nowhere"):
            answer = ask(to, "GET", path, secret)
            said += [answer.text, str(answer.headers)]
        said.append(ask(to, "GET", "/metrics", "mp_admin").text)
    digest = hashlib.sha256(secret.encode()).hexdigest()
    for text in [*said, caplog.text]:
        assert secret not in text
        assert digest not in text


LOCAL = {"host": "localhost:8400"}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        LOCAL,
        {"host": "127.0.0.1:8400"},
        {"host": "[::1]:8400"},
        {"host": "127.8.9.1"},
        {**LOCAL, "origin": "http://localhost:8400", "sec-fetch-site": "same-origin"},
        {**LOCAL, "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"},
    ],
)
def test_who_asks_this_machine_by_its_own_name_needs_no_key(headers: dict[str, str]):
    check_local({name.encode(): value.encode() for name, value in headers.items()})


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"host": "evil.example"}, "other_host"),
        ({"host": "127.0.0.1.evil.example"}, "other_host"),
        ({"host": "localhost@evil.example"}, "other_host"),
        ({"host": "192.168.1.7:8400"}, "other_host"),
        ({"host": "[::1"}, "other_host"),
        ({"host": ""}, "other_host"),
        ({**LOCAL, "origin": "http://evil.example"}, "other_origin"),
        ({**LOCAL, "origin": "http://localhost:3000"}, "other_origin"),
        ({**LOCAL, "origin": "null"}, "other_origin"),
        ({**LOCAL, "sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}, "other_origin"),
    ],
)
def test_a_page_of_another_site_gets_nothing_without_a_key(headers: dict[str, str], code: str):
    with pytest.raises(RefusedError) as caught:
        check_local({name.encode(): value.encode() for name, value in headers.items()})
    assert (caught.value.status, caught.value.code) == (403, code)
    assert caught.value.advice


def test_the_access_log_has_a_line_and_no_secret(caplog: pytest.LogCaptureFixture):
    to = app(service=LengthService(), keys=Kept(), options=Options(access_log=True))

    async def run() -> None:
        transport = httpx.ASGITransport(to)
        async with httpx.AsyncClient(transport=transport, base_url="http://d") as client:
            headers = {"authorization": "Bearer mp_consumer", "x-request-id": "mine"}
            await client.get("/v1/tasks%0aforged?key=mp_hidden", headers=headers)

    with caplog.at_level(logging.INFO, "milepost.access"):
        asyncio.run(run())
    (line,) = [each.getMessage() for each in caplog.records if each.name == "milepost.access"]
    assert line.startswith("GET /v1/tasks\\nforged 404 ")
    assert line.endswith("request=mine")
    assert "mp_" not in line
