"""A real server with a guarded task, two releases of it and a key, one for all tests here."""

import fcntl
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from milepost.entities.language import Completion, ModelRequest, Piece, Tokens, ToolCall
from milepost.models.language.asking import Terms
from milepost.models.language.inside.fake import Fake, fake_upstream
from milepost.testing.upstreams import UpstreamServer, serving

COMMAND = Path(sys.executable).with_name("milepost")
RUDE = (
    "you are all useless idiots", "stop wasting my time you fools", "shut up and pay me you clowns",
    "this is the dumbest company ever", "you stupid people never help", "what a bunch of idiots",
    "go to hell with your service", "you are incompetent liars", "idiots lost my parcel again",
    "damn fools answer me",
)  # fmt: skip
FINE = (
    "where is my parcel please", "I was charged twice", "could you reset my password",
    "thank you for your help", "my card was stolen", "the courier has not come",
    "please cancel my subscription", "I would like a refund", "how do I change my address",
    "the app does not open",
)  # fmt: skip
TONE = """\
name: tone
kind: classify
instruction: Is this message rude?
inputs: {text: string}
labels: {rude: It insults somebody, fine: It does not}
objective: {metric: accuracy, at_least: 0.1}
data: {examples: data/tone.csv}
"""
GUARDS = "guards:\n  - {task: tone, labels: [rude], at_least: 0.6, action: block}\n"


MOCK_KEY = "canary-of-a-provider-5f3d1c"
PASSING = """
[passing]
guards = [{task = "tone", labels = ["rude"], at_least = 0.6, action = "block"}]
answer_guards = [{task = "tone", labels = ["rude"], at_least = 0.6, action = "block"}]
"""
LONG = "".join(f"{text.capitalize()}. " for text in FINE)


def _blind(request: ModelRequest) -> ModelRequest:
    """Without its images, which a fake refuses."""
    seen = tuple(
        msgspec.structs.replace(each, content="an image")
        if isinstance(each.content, tuple)
        else each
        for each in request.messages
    )
    return msgspec.structs.replace(request, messages=seen)


SIGNED = "sIg+/=="
"""What the provider wants back with a call."""


class ToolUser(Fake):
    """A fake that calls the first tool it is given, and says what a text asks it to say."""

    def __init__(self) -> None:
        super().__init__(fake_upstream(base_url="fake:?says=All+is+well."))

    def _made(self, request: ModelRequest, whole: Completion) -> Completion:
        text = request.messages[-1].content
        if request.tools and request.tool_choice != "none":
            call = ToolCall(
                id="call_1", name=request.tools[0].name, arguments='{"city":"Bern"}', thought=SIGNED
            )
            return msgspec.structs.replace(whole, text="", tool_calls=(call,), finish="tool_calls")
        if isinstance(text, str) and "manual" in text:
            return msgspec.structs.replace(whole, text=LONG + ". ".join(RUDE))
        if request.schema is not None:
            return msgspec.structs.replace(whole, text='{"city":"Bern","people":134}')
        return whole

    async def complete(self, request: ModelRequest, terms: Terms) -> Completion:
        return self._made(request, await super().complete(_blind(request), terms))

    async def stream(self, request: ModelRequest, terms: Terms) -> AsyncIterator[Piece]:
        whole = self._made(request, await super().complete(_blind(request), terms))
        words = [word + " " for word in whole.text.split(" ")]
        words[-1] = words[-1][:-1]
        for word in words:
            if word:
                yield Piece(text=word, tokens=Tokens(input=3, output=1))
        yield Piece(tool_calls=whole.tool_calls, whole=whole)


@dataclass(frozen=True)
class Desk:
    """A server and how to reach it.

    Attributes:
        address: Of HTTP.
        grpc: Host and port of gRPC.
        key: May ask everything.
        narrow: A key that may ask the guard alone.
        passing: A key that may also ask the language model ``mock`` itself.
        poor: Another one, with a budget of a millionth of a dollar.
        mock: What answers as that language model, over HTTP.
        folder: The workspace.
    """

    address: str
    grpc: str
    key: str
    narrow: str
    passing: str
    poor: str
    mock: UpstreamServer
    folder: Path


def _run(folder: Path, environment: dict[str, str], *arguments: str) -> str:
    done = subprocess.run(
        [COMMAND, "-w", folder, *arguments], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def guarded_template(shared_folder, improved_template, environment) -> Path:
    """``route`` with releases 1 and 2, guarded by ``tone``."""
    place = shared_folder / "guarded"
    with place.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.exists():
            draft = place.with_suffix(".draft")
            shutil.rmtree(draft, ignore_errors=True)
            shutil.copytree(improved_template, draft)
            rows = [f"{text},rude" for text in RUDE] + [f"{text},fine" for text in FINE]
            (draft / "data/tone.csv").write_text("\n".join(["text,label", *rows, ""]))
            (draft / "tasks/tone.yaml").write_text(TONE)
            _run(draft, environment, "improve", "tone", "--strategy", "head_closed_form")
            with (draft / "tasks/route.yaml").open("a") as file:
                file.write(GUARDS)
            draft.rename(place)
    return place


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


@pytest.fixture(scope="session")
def desk(guarded_template, tmp_path_factory, environment) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("protocols") / "desk"
    shutil.copytree(guarded_template, folder)
    environment = environment | {"MOCK_KEY": MOCK_KEY}
    with serving(ToolUser(), key=MOCK_KEY) as mock:
        _run(
            folder, environment, "upstreams", "add", "mock", "--base-url", mock.base_url,
            "--model", "mock-1", "--private", "--key-env", "MOCK_KEY", "--timeout", "10",
            "--price-in", "2", "--price-out", "10",
        )  # fmt: skip
        with (folder / "milepost.toml").open("a") as file:
            file.write(PASSING)
        yield from _serving(folder, environment, mock)


def _serving(folder: Path, environment: dict[str, str], mock: UpstreamServer) -> Iterator[Desk]:
    mine = ("--upstream", "mock")
    asked = ((), ("--task", "tone"), mine, (*mine, "--budget-usd", "0.000001", "--per", "month"))
    keys = [
        json.loads(_run(folder, environment, "keys", "create", "--json", *more))["secret"]
        for more in asked
    ]
    grpc_port = _free_port()
    log = folder.with_suffix(".log")
    with log.open("w") as output:
        server = subprocess.Popen(
            [COMMAND, "-w", folder, "serve", "--port", "0", "--grpc-port", str(grpc_port)],
            env=environment, stdout=output, stderr=output,
        )  # fmt: skip
    try:
        address = _ready(server, log)
        yield Desk(address, f"127.0.0.1:{grpc_port}", *keys, mock=mock, folder=folder)
        said = log.read_text()
        assert "Traceback" not in said, said
        for secret in (MOCK_KEY, *keys):
            assert secret not in said
            ledger = (folder / ".milepost/ledger.db").read_bytes()
            assert secret.encode() not in ledger
    finally:
        server.send_signal(signal.SIGTERM)
        try:
            server.wait(30)
        except subprocess.TimeoutExpired:
            os.kill(server.pid, signal.SIGKILL)
            raise


def _ready(server: subprocess.Popen[bytes], log: Path) -> str:
    end = time.monotonic() + 60
    while time.monotonic() < end and server.poll() is None:
        found = re.search(r"milepost serves at (http://\S+)", log.read_text())
        if found is not None:
            with urllib.request.urlopen(f"{found[1]}/health/ready", timeout=10):  # noqa: S310
                return found[1]
        time.sleep(0.05)
    raise AssertionError(f"it does not serve:\n{log.read_text()}")
