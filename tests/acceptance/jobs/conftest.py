"""A process that improves a task and can be ended at any moment, and a workspace for it.

The encoder is the fake that ships with milepost, so that a process is at work within a second. One
strategy is a plug-in that notes each of its fits in a file.
"""

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

from milepost.entities.configuration import Configuration
from milepost.workflows.context import Context
from milepost.workflows.opening import create, open_context
from milepost.workspace import Workspace

STRATEGIES = ("majority", "tfidf_linear", "head_closed_form", "counted")
WORDS = ("alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel", "india", "julia")

PLUGIN = '''
"""A strategy that notes each fit."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from milepost.strategies.neighbours import Neighbours


@dataclass(frozen=True)
class Counted(Neighbours):
    name: ClassVar[str] = "counted"

    def fit(self, problem):
        with Path(os.environ["FITS"]).open("a") as file:
            file.write(f"{len(problem.texts)}\\n")
        return super().fit(problem)
'''

DRIVER = '''
"""Improves a task; a plan says what happens at which moment: {"moment": "what"}."""

import json
import os
import resource
import signal
import sys
from dataclasses import replace
from pathlib import Path

from milepost.entities.errors import MilepostError
from milepost.testing.encoders import HashedEncoder
from milepost.workflows.contest.improve import improve
from milepost.workflows.contest.options import Options
from milepost.workflows.opening import open_context
from milepost.workflows.upkeep import jobs

root, plan, signals = Path(sys.argv[1]), json.loads(sys.argv[2]), Path(sys.argv[3])
jobs.RECONNECT_SECONDS = plan.pop("reconnect", jobs.RECONNECT_SECONDS)
budget = plan.pop("budget", None)
moments = []


def moment(what):
    moments.append(what)
    act = plan.get(what) or plan.get(str(len(moments)))
    if act == "wait":
        (signals / "there").touch()
        while not (signals / "go").exists():
            pass
    elif act == "full disk":
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))
    elif act:
        os.kill(os.getpid(), getattr(signal, act))


context = open_context(root)
encoder = HashedEncoder()
context = replace(
    context,
    encoder=lambda: encoder,
    bare_encoder=lambda: encoder,
    on_event=lambda task, what, share: moment(what),
)
conclude = context.ledger.conclude


def concluded(*given, **named):
    contest = conclude(*given, **named)
    moment("concluded")
    return contest


context.ledger.conclude = concluded
try:
    done = improve(context, "things", Options(budget=budget, strategies=STRATEGIES))
except MilepostError as error:
    print(f"error: {error}", file=sys.stderr)
    sys.exit(2)
print(json.dumps({"contest": done.contest.id, "moments": moments}))
'''


@dataclass
class Desk:
    """A workspace with the task ``things``, and processes that improve it."""

    root: Path
    environment: Mapping[str, str]

    @property
    def signals(self) -> Path:
        return self.root / "signals"

    @property
    def fits(self) -> list[int]:
        """Examples in each fit of the plug-in, all processes together."""
        path = Path(self.environment["FITS"])
        return [int(line) for line in path.read_text().split()] if path.exists() else []

    @cached_property
    def context(self) -> Context:
        return open_context(self.root)

    @property
    def workspace(self) -> Workspace:
        return Workspace(self.context)

    def start(self, **plan: object) -> subprocess.Popen[str]:
        """A process that improves the task; ``plan`` says what happens at which moment."""
        return subprocess.Popen(
            [sys.executable, self.root / "driver.py", self.root, json.dumps(plan), self.signals],
            env=dict(self.environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, **plan: object) -> tuple[int, str, str]:
        process = self.start(**plan)
        out, err = process.communicate()
        return process.returncode, out, err


@pytest.fixture(scope="session")
def plugins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an installed plug-in, to be put on the path."""
    folder = tmp_path_factory.mktemp("plugins")
    (folder / "counted_strategy.py").write_text(PLUGIN)
    info = folder / "counted_strategy-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: counted-strategy\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[milepost.strategies]\ncounted = counted_strategy:Counted\n"
    )
    return folder


@pytest.fixture
def make_desk(tmp_path: Path, plugins: Path) -> Iterator[Callable[..., Desk]]:
    """Makes a desk: in SQLite, or in the given ledger."""
    desks: list[Desk] = []

    def made(name: str, **configuration: object) -> Desk:
        root = tmp_path / name
        create(root, Configuration(**configuration)).ledger.close()  # pyright: ignore[reportArgumentType]
        (root / "signals").mkdir()
        with (root / "data" / "things.csv").open("w", newline="") as file:
            out = csv.writer(file)
            out.writerow(["id", "text", "label"])
            for i, word in enumerate(WORDS):
                for label, thing in (("fruit", "ripe apples and pears of"), ("tool", "a hammer")):
                    out.writerow([f"r{i}-{label}", f"{thing} {word}", label])
        (root / "tasks" / "things.yaml").write_text(
            "name: things\nlabels: {fruit: '', tool: ''}\n"
            "data: {examples: data/things.csv, id: id}\n"
        )
        driver = DRIVER.replace("STRATEGIES", repr(STRATEGIES))
        (root / "driver.py").write_text(driver)
        environment = {
            **os.environ,
            "PYTHONPATH": str(plugins),
            "FITS": str(root / "fits"),
            "OMP_NUM_THREADS": "1",
        }
        desks.append(Desk(root, environment))
        return desks[-1]

    yield made
    for desk in desks:
        desk.context.ledger.close()
