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
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

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


@dataclass(frozen=True)
class Desk:
    """A server and how to reach it.

    Attributes:
        address: Of HTTP.
        grpc: Host and port of gRPC.
        key: May ask everything.
        narrow: A key that may ask the guard alone.
    """

    address: str
    grpc: str
    key: str
    narrow: str


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
    keys = [
        json.loads(_run(folder, environment, "keys", "create", "--json", *more))["secret"]
        for more in ((), ("--task", "tone"))
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
        yield Desk(address, f"127.0.0.1:{grpc_port}", *keys)
        assert "Traceback" not in log.read_text(), log.read_text()
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
