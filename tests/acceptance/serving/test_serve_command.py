"""``milepost serve`` and ``milepost keys``: a real process, real HTTP, real keys."""

import json
import os
import signal
import socket
import subprocess
import sys

import httpx
import psutil
import pytest

HEAVY = (
    "torch", "transformers", "sentence_transformers", "sklearn", "pandas", "polars", "duckdb",
    "altair", "typer", "onnx", "starlette",
)  # fmt: skip


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@pytest.fixture
def server(improved, serve):
    return serve(improved)


def test_from_a_key_to_an_answer_and_to_its_end(server, improved, milepost, steps):
    with httpx.Client(base_url=server.address) as client:
        assert client.get("/health/ready").json() == {"status": "ok"}
        refused = client.post("/v1/tasks/route/predict", json={"inputs": ["a"]})
        assert refused.status_code == 401
        assert "milepost keys create" in refused.json()["error"]["hint"]

        made = milepost.ok("-w", improved, "keys", "create", "--task", "route", "--expires", "30d")
        key = made.out.strip()
        assert key.startswith("mp_")
        assert len(key) == 46
        body = {"inputs": ["where is my parcel?", {"text": "I was charged twice"}]}
        answer = client.post("/v1/tasks/route/predict", json=body, headers=bearer(key)).json()
        assert (answer["task"], answer["release"]) == ("route", 2)
        assert len(answer["predictions"]) == 2
        assert answer["usage"]["inputs"] == 2

        other = milepost.ok("-w", improved, "keys", "create", "--role", "admin", "--json").json
        listed = milepost.ok("-w", improved, "keys", "list", "--json").json["keys"]
        assert [each["role"] for each in listed] == ["consumer", "admin"]
        assert client.get("/metrics", headers=bearer(key)).status_code == 403
        metrics = client.get("/metrics", headers=bearer(other["secret"])).text
        assert "milepost_http_requests_total" in metrics

        gone = milepost.ok("-w", improved, "keys", "revoke", listed[0]["id"], "--reason", "lost")
        assert "revoked" in gone.out

        def is_refused() -> bool:
            asked = client.post("/v1/tasks/route/predict", json=body, headers=bearer(key))
            return asked.status_code == 401 and "revoked" in asked.text

        steps(is_refused, 10.0)

    assert server.stop() == 0
    audit = milepost.ok("-w", improved, "audit", "log", "--json").out
    assert "key.created" in audit
    assert "key.revoked" in audit
    kept = b"".join(p.read_bytes() for p in improved.rglob("*") if p.is_file())
    for secret in (key, other["secret"]):
        assert secret not in "".join(server.output)
        assert secret.encode() not in kept


def test_what_it_says_can_be_pasted(improved, serve, milepost, environment):
    server = serve(improved)
    while "Ctrl-C" not in server.output[-1]:
        assert server.process.poll() is None
    said = "".join(server.output)
    assert "✔  route" in said
    commands = said[said.index("KEY=") : said.index("http://", said.index("-d '"))]
    script = commands.replace("milepost", str(milepost_path()), 1)
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=environment)
    assert json.loads(done.stdout)["task"] == "route", done.stderr


def milepost_path() -> str:
    return os.path.join(os.path.dirname(sys.executable), "milepost")  # noqa: PTH118, PTH120


def test_ctrl_c_ends_it_without_a_word_of_python(server):
    with httpx.Client(base_url=server.address) as client:  # keeps its connection
        assert client.get("/health/live").status_code == 200
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(30) == 0
    assert "Traceback" not in "".join(server.output)


def test_workers_end_with_the_one_that_watches(server, steps):
    workers = server.below
    assert workers
    server.process.kill()
    server.process.wait()
    steps(lambda: not any(_alive(each) for each in workers), 30.0)


def _alive(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.slow
def test_a_worker_that_is_told_to_end_is_replaced_without_a_loss(
    improved, serve, load, answering, steps
):
    server = serve(improved, "--workers", 2, "--insecure")
    with load(server.address, rate=60) as good:
        good.until(30)
        first = answering(server)
        assert len(first) == 2
        first[0].send_signal(signal.SIGTERM)
        steps(lambda: first[0].pid not in {each.pid for each in answering(server)}, 30.0)
        good.until(30)
    assert good.traffic.failed.total() == 0
    assert server.stop() == 0


class TestRefused:
    def test_a_port_in_use(self, improved, milepost, is_refusal):
        with socket.create_server(("127.0.0.1", 0)) as there:
            port = there.getsockname()[1]
            is_refusal(milepost("-w", improved, "serve", "--port", port), f"port {port}", "in use")

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (("--host", "0.0.0.0", "--insecure"), ("--insecure", "milepost keys create")),  # noqa: S104 - refused
            (("--host", "nowhere.invalid"), ("--host", "nowhere.invalid")),
            (("--port", "70000"), ("--port", "65535")),
            (("--workers", "0"), ("--workers", "0 workers")),
            (("--reload-every", "soon"), ("--reload-every", "soon")),
        ],
    )
    def test_what_cannot_be_served(self, improved, milepost, is_refusal, arguments, words):
        is_refusal(milepost("-w", improved, "serve", *arguments), *words)

    def test_a_folder_without_a_workspace(self, milepost, tmp_path, is_refusal):
        is_refusal(milepost("-w", tmp_path / "none", "serve", "--port", 0), "milepost init")

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (("create", "--task", "rout"), ("--task", "Did you mean 'route'")),
            (("create", "--role", "boss"), ("--role", "consumer")),
            (("create", "--per-second", "0"), ("limit above 0",)),
            (("create", "--expires", "never"), ("--expires", "never")),
            (("create", "--expires", "99999999999d"), ("no key works for so long",)),
            (("revoke", "k123456789abc"), ("there is no key",)),
            (("revoke", "mp_abc"), ("secret of a key",)),
        ],
    )
    def test_keys(self, improved, milepost, is_refusal, arguments, words):
        is_refusal(milepost("-w", improved, "keys", *arguments), *words)


SERVES = """
import asyncio, json, sys
from milepost.gateway import app
from milepost.gateway.application import Options

async def main():
    gateway = app(sys.argv[1], options=Options(insecure=True))
    await gateway.open()
    said = []
    body = {"type": "http.request", "body": b'{"inputs":["where is it?"]}', "more_body": False}
    async def receive():
        return body
    async def send(message):
        said.append(message)
    scope = {"type": "http", "method": "POST", "path": "/v1/tasks/route/predict",
             "headers": [], "query_string": b""}
    await gateway(scope, receive, send)
    await gateway.close(5.0)
    print(json.dumps({"status": said[0]["status"], "modules": sorted(sys.modules)}))

asyncio.run(main())
"""


def test_the_process_that_answers_loads_nothing_heavy(improved, environment):
    done = subprocess.run(
        [sys.executable, "-c", SERVES, improved], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["status"] == 200
    loaded = {name.partition(".")[0] for name in found["modules"]}
    assert loaded.isdisjoint(HEAVY), loaded & set(HEAVY)
