"""A PostgreSQL server and an S3 server of the tests' own, where their programs are installed."""

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import settings

# Small matrices gain nothing from threads, and those of several workers wait for each other: an
# improvement of 150 rows takes 12 seconds of processor time with one and 28 with two. Set before
# anything imports numpy, for this process and all that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Thousands of small files are written through to a disk, and soon deleted: a third of the time of
# many tests. Those that are about the disk itself bring their own.
_MEMORY = Path("/dev/shm")  # noqa: S108
_ROOM = 8 << 30
if (
    "TMPDIR" not in os.environ
    and os.access(_MEMORY, os.W_OK)
    and shutil.disk_usage(_MEMORY).free >= _ROOM
):
    _place = _MEMORY / f"milepost-tests-{os.getuid()}"
    _place.mkdir(exist_ok=True)
    os.environ["TMPDIR"] = tempfile.tempdir = str(_place)

# How long an example takes is measured by benchmarks, never by a test.
settings.register_profile("milepost", deadline=None)
settings.load_profile("milepost")

# A shell lets what it starts in the background ignore Ctrl-C, and all of its children with it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _own_signing_key() -> Iterator[None]:
    """No test makes or uses the signing key of whoever runs it; all processes share one."""
    folder = Path(tempfile.gettempdir()) / f"milepost-test-keys-{os.getuid()}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MILEPOST_KEYS", str(folder))
        patch.delenv("MILEPOST_SIGNING_KEY", raising=False)
        yield


@pytest.fixture(scope="session")
def warm_place() -> Iterator[Path | None]:
    """Where a process forks command lines that it has imported, see ``servers/warm_command.py``.

    ``None`` where MILEPOST_TEST_INSTALLED is set.
    """
    if os.environ.get("MILEPOST_TEST_INSTALLED"):
        yield None
        return
    server = Path(__file__).parent / "servers" / "warm_command.py"
    with tempfile.TemporaryDirectory(prefix="warm-") as folder:
        place = Path(folder) / "line"
        command = [sys.executable, str(server), str(place)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            yield place
            process.kill()


def _program(name: str) -> str | None:
    found = shutil.which(name)
    if found:
        return found
    # Debian keeps the server's programs off the path, newest version last.
    versions = sorted(
        Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda p: float(p.parts[4])
    )
    return str(versions[-1]) if versions else None


def _run(*command: str) -> None:
    # The server refuses to run as root.
    user = ["runuser", "-u", "nobody", "--"] if os.geteuid() == 0 else []
    done = subprocess.run(
        [*user, *command], capture_output=True, text=True, cwd=tempfile.gettempdir()
    )
    assert done.returncode == 0, f"{command[0]}: {done.stdout}{done.stderr}"


@pytest.fixture(scope="session")
def postgres_socket() -> Iterator[Path]:
    """Folder of the Unix socket of a fresh server that listens nowhere else."""
    initdb, pg_ctl = _program("initdb"), _program("pg_ctl")
    if not initdb or not pg_ctl:
        pytest.skip("PostgreSQL's initdb and pg_ctl are not installed")
    # Not below tmp_path: a socket's path may have only 107 characters, and nobody must reach it.
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, "nobody")
        data = str(folder / "data")
        _run(initdb, "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-N")
        options = f"-c listen_addresses= -c unix_socket_directories={folder} -c fsync=off"
        _run(pg_ctl, "-D", data, "-l", str(folder / "log"), "-o", options, "-w", "start")
        try:
            yield folder
        finally:
            _run(pg_ctl, "-D", data, "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def postgres_template(postgres_socket: Path) -> str:
    """Name of a database that holds an empty ledger."""
    # Imported here, so that tests without a ledger do not wait for SQLAlchemy.
    from milepost.storage.ledger import Ledger

    _create(postgres_socket, "ledger_template", "template1")
    Ledger.open(_url(postgres_socket, "ledger_template")).close()
    return "ledger_template"


@pytest.fixture
def postgres_url(postgres_socket: Path, postgres_template: str) -> str:
    """Address of a database of this test's own, with an empty ledger in it."""
    return _create(postgres_socket, f"t{uuid4().hex}", postgres_template)


@pytest.fixture
def new_postgres_database(postgres_socket: Path) -> Callable[[], str]:
    """Makes databases with nothing in them; returns the address of each."""
    return lambda: _create(postgres_socket, f"t{uuid4().hex}", "template1")


def _create(socket: Path, name: str, template: str) -> str:
    import psycopg

    with psycopg.connect(
        host=str(socket), user="postgres", dbname="postgres", autocommit=True
    ) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}".encode())
    return _url(socket, name)


def _url(socket: Path, name: str) -> str:
    return f"postgresql://postgres:s3cret@/{name}?host={socket}"


@pytest.fixture(scope="session")
def s3_server() -> Iterator[dict[str, str]]:
    """Variables that lead an S3 client to a fresh OpenStack Swift, a real object store."""
    if not importlib.util.find_spec("swift") or not importlib.util.find_spec("s3fs"):
        pytest.skip("the packages swift and s3fs are not installed")
    folder = Path(tempfile.mkdtemp(prefix="s3-", dir="/tmp"))
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port = listening.getsockname()[1]
    program = Path(__file__).with_name("servers") / "swift_s3.py"
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, program, folder / "swift", str(port)], stdout=log, stderr=log
        )
    try:
        _await_s3(f"http://127.0.0.1:{port}/healthcheck", server, folder / "log")
        yield {
            "AWS_ACCESS_KEY_ID": "test:tester",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
    finally:
        server.terminate()
        server.wait()
        shutil.rmtree(folder)


def _await_s3(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if server.poll() is not None:
            pytest.skip(f"OpenStack Swift does not run here: {log.read_text()[-500:]}")
        try:
            with urllib.request.urlopen(url, timeout=1):  # noqa: S310 - http, above
                return
        except OSError:
            time.sleep(0.05)
    pytest.fail(f"OpenStack Swift does not answer: {log.read_text()[-500:]}")


@pytest.fixture
def s3_store(s3_server: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> str:
    """Address of a folder in an empty bucket of this test's own; this process may use it."""
    import s3fs

    for name, value in s3_server.items():
        monkeypatch.setenv(name, value)
    bucket = f"b{uuid4().hex}"
    s3fs.S3FileSystem().mkdir(bucket)
    return f"s3://{bucket}/milepost"
