"""The installed command line, one improved workspace, and what a refusal must look like."""

import fcntl
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from importlib.resources import files
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

COMMAND = Path(sys.executable).with_name("milepost")
TICKETS = Path(__file__).with_name("data")


@dataclass(frozen=True)
class Done:
    """What a finished command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


@dataclass(frozen=True)
class WarmCommand:
    """The command line in a process that has imported it, see ``servers/warm_command.py``."""

    place: Path
    variables: Mapping[str, str] = field(repr=False)

    def run(
        self, arguments: list[str], folder: Path, variables: Mapping[str, str], stdin: bytes
    ) -> Done:
        """Run one command in a fork; its exit code is as of ``subprocess.run``."""
        asked = {"arguments": arguments, "folder": str(folder), "variables": dict(variables)}
        streams = [os.memfd_create(name) for name in ("stdin", "stdout", "stderr")]
        try:
            os.write(streams[0], stdin)
            os.lseek(streams[0], 0, os.SEEK_SET)
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as line:
                line.connect(str(self.place))
                socket.send_fds(line, [json.dumps(asked).encode()], streams)
                code = int(line.recv(16))
            out, err = (os.pread(each, os.fstat(each).st_size, 0) for each in streams[1:])
        finally:
            for each in streams:
                os.close(each)
        return Done(code, out.decode(), err.decode())

    def serves(self, variables: Mapping[str, str]) -> bool:
        """Whether nothing differs that an interpreter or a library heeds as it starts."""
        heeded = ("PYTHON", "LC_", "LANG", "LD_", "OMP_", "TZ")
        names = {name for name in (*variables, *self.variables) if name.startswith(heeded)}
        return all(variables.get(name) == self.variables.get(name) for name in names)


@dataclass(frozen=True)
class CommandLine:
    """The installed ``milepost``, run in a folder of the test's own."""

    folder: Path
    environment: Mapping[str, str] = field(repr=False)
    warm: WarmCommand | None = None

    def __call__(
        self, *arguments: object, stdin: bytes = b"", wrapped: tuple[str, ...] = ()
    ) -> Done:
        if self.warm and not wrapped and self.warm.serves(self.environment):
            said = [str(each) for each in arguments]
            return self.warm.run(said, self.folder, self.environment, stdin)
        done = subprocess.run(
            [*wrapped, COMMAND, *map(str, arguments)],
            cwd=self.folder,
            env=dict(self.environment),
            input=stdin,
            capture_output=True,
        )
        return Done(done.returncode, done.stdout.decode(), done.stderr.decode())

    def ok(self, *arguments: object, stdin: bytes = b"") -> Done:
        done = self(*arguments, stdin=stdin)
        assert done.code == 0, f"{arguments}: {done.code}\n{done.out}{done.err}"
        return done

    def start(self, *arguments: object) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [COMMAND, *map(str, arguments)],
            cwd=self.folder,
            env=dict(self.environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


@pytest.fixture(scope="session")
def environment() -> dict[str, str]:
    """Variables of a user who has set nothing but where encoders are kept."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MILEPOST_", "PYTEST_"))}
    # Exporting the encoder takes ten seconds: done once for all workers and runs.
    cache = Path(tempfile.gettempdir()) / f"milepost-test-cache-{os.getuid()}"
    return {
        **kept,
        "MILEPOST_CACHE": str(cache),
        "MILEPOST_KEYS": os.environ["MILEPOST_KEYS"],
        "MILEPOST_ACTOR": "tester",
        "OMP_NUM_THREADS": "1",
        "NO_COLOR": "1",
    }


@pytest.fixture(autouse=True)
def _same_for_python(environment, monkeypatch):
    """The Python API in this process finds what the command line finds."""
    monkeypatch.delenv("MILEPOST_WORKSPACE", raising=False)
    for name in ("MILEPOST_CACHE", "MILEPOST_ACTOR", "NO_COLOR"):
        monkeypatch.setenv(name, environment[name])


@pytest.fixture(scope="session")
def warm_command(environment, warm_place) -> WarmCommand | None:
    """A process to fork commands from; none where MILEPOST_TEST_INSTALLED is set."""
    return None if warm_place is None else WarmCommand(warm_place, environment)


@pytest.fixture
def milepost(request, tmp_path, environment, warm_command, monkeypatch) -> CommandLine:
    """The command line in an empty folder, which is this process's folder too.

    A test marked ``installed`` starts the installed command anew for every call.
    """
    monkeypatch.chdir(tmp_path)
    installed = request.node.get_closest_marker("installed")
    return CommandLine(tmp_path, environment, None if installed else warm_command)


@pytest.fixture(scope="session")
def tickets() -> Path:
    """Folder of a support desk's files: 54 labels, 36 later ones, 24 for testing."""
    return TICKETS


def _built_once(place: Path, build: Callable[[Path], None]) -> Path:
    """A folder that the first of several test processes makes."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with place.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.exists():
            draft = place.with_suffix(".draft")
            shutil.rmtree(draft, ignore_errors=True)
            build(draft)
            draft.rename(place)
    return place


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory) -> Path:
    """Where the processes of one test run keep what they share."""
    base = tmp_path_factory.getbasetemp()
    return (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared"


@pytest.fixture(scope="session")
def improved_template(shared_folder, environment, warm_command) -> Path:
    """A workspace with the task ``route`` and two releases: words first, then the encoder."""

    def build(folder: Path) -> None:
        run = CommandLine(folder.parent, environment, warm_command)
        run.ok("init", folder, "--from", TICKETS / "tickets.csv", "--task", "route",
               "--at-least", "0.1")  # fmt: skip
        run.ok("-w", folder, "improve", "route", "--strategy", "tfidf_linear")
        run.ok("-w", folder, "improve", "route")

    return _built_once(shared_folder / "improved", build)


@pytest.fixture
def improved(improved_template, tmp_path) -> Path:
    """A copy of that workspace in ``desk``: release 1 reads words, release 2 vectors."""
    return Path(shutil.copytree(improved_template, tmp_path / "desk"))


@pytest.fixture(scope="session")
def new_template(shared_folder, environment, warm_command) -> Path:
    """A workspace with the task ``route``, never improved."""

    def build(folder: Path) -> None:
        run = CommandLine(folder.parent, environment, warm_command)
        run.ok("init", folder, "--from", TICKETS / "tickets.csv", "--task", "route")

    return _built_once(shared_folder / "new", build)


@pytest.fixture
def fresh(new_template, tmp_path) -> Path:
    """A copy of that workspace in ``desk``."""
    return Path(shutil.copytree(new_template, tmp_path / "desk"))


@pytest.fixture
def tree() -> Callable[[Path], dict[str, str]]:
    """Everything in a folder by path: the digest of its bytes.

    The ledger notes versions of task files as they are read, so its bytes may change, and a signed
    checkpoint follows; vectors are a cache.
    """

    def content(folder: Path) -> dict[str, str]:
        found: dict[str, str] = {}
        for path in sorted(folder.rglob("*")):
            name = str(path.relative_to(folder))
            if "/vectors" in name or ".milepost/checkpoints" in name:
                continue
            whole = path.is_file() and path.suffix != ".db"
            found[name] = sha256(path.read_bytes()).hexdigest() if whole else "there"
        return found

    return content


@pytest.fixture
def bound() -> tuple[str, ...]:
    """What to put before a command so that file permissions bind it, even as root."""
    if os.geteuid() != 0:
        return ()
    powers = "-dac_override,-dac_read_search"
    drop = ("setpriv", f"--bounding-set={powers}", f"--inh-caps={powers}")
    if not shutil.which("setpriv") or subprocess.run([*drop, "true"]).returncode != 0:
        pytest.skip("permissions do not bind root, and setpriv cannot change that here")
    return drop


@pytest.fixture
def is_refusal() -> Callable[..., None]:
    """Exit code 2 and one clear paragraph on standard error, which holds the given words."""

    def check(done: Done, *words: str, lines: int = 1) -> None:
        assert done.code == 2, f"{done.code}\n{done.out}{done.err}"
        assert done.out == ""
        paragraph = done.err.rstrip("\n").split("\n")
        assert len(paragraph) <= lines, done.err
        assert paragraph[0].startswith("error: "), done.err
        assert len(done.err) < 900 * lines, done.err
        for unwanted in ("Traceback", "╭", "\x1b", "\x00"):
            assert unwanted not in done.err
        for word in words:
            assert word in done.err

    return check


@pytest.fixture(scope="session")
def is_valid() -> Callable[[object, str], None]:
    """Whether a JSON document keeps the published contract of its command."""

    def check(document: object, command: str) -> None:
        schema = json.loads((files("milepost.reports") / f"schemas/{command}.json").read_text())
        Draft202012Validator.check_schema(schema)
        Draft202012Validator(schema).validate(document)

    return check
