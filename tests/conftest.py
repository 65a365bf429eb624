"""A PostgreSQL server of the tests' own, where its programs are installed."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest


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
