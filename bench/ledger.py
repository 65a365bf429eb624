"""A large ledger: a million audit entries and 10,000 releases, verified and listed.

Two floors in the same run: reading the same rows with the bare driver, and nothing but SHA-256 of
texts of the same length. Targets: verification at 100,000 entries a second at least, and each
listing in 100 ms at most. `query` is the ledger's method alone, in wall time; `command` is the CPU
time of the whole command less that of the same command on a workspace that is nearly empty, so
that its start is left out.
"""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

from bench.common import Options, alternate, milepost, scratch, summary
from bench.ledger_rows import AUDIT, Size, fill

VERIFY_TARGET = 100_000
LISTING_TARGET_MS = 100.0
TASK = "route"
COMMANDS = (
    ("tasks",),
    ("releases", TASK),
    ("candidates", TASK),
    ("jobs",),
    ("audit", "log"),
    ("audit", "log", "--subject", f"{TASK}@production"),
)


def run(options: Options) -> dict[str, object]:
    """A million entries, twenty thousand when quick; on each database that is installed."""
    size = Size(20_000, 1_000, 20) if options.quick else Size(1_000_000, 10_000, 100)
    wanted = options.only or ("sqlite", "postgresql")
    results: dict[str, object] = {"entries": size.entries, "releases": size.releases}
    with scratch() as folder, _keys(folder):
        small = _workspace(folder / "small", None)
        if "sqlite" in wanted:
            results["sqlite"] = _measured(folder / "sqlite", small, None, size, options)
        if "postgresql" in wanted and _program("initdb"):
            with _postgres() as url:
                # Beside one on the same kind of database, so that its driver's start is left out.
                small = _workspace(folder / "small-pg", _another(url))
                results["postgresql"] = _measured(folder / "pg", small, url, size, options)
    return results


def _measured(
    folder: Path, small: Path, url: str | None, size: Size, options: Options
) -> dict[str, object]:
    from milepost.workspace import Workspace

    name = "postgresql" if url else "sqlite"
    root = _workspace(folder, url)
    workspace = Workspace.open(root)
    ledger = workspace._context.ledger
    started = time.perf_counter()
    fill(ledger, TASK, size)
    filled = time.perf_counter() - started
    ledger.record_look(TASK, "0" * 64, "the last entry", actor="bench")
    ledger.database.witness.flush()
    parts: dict[str, Callable[[], Mapping[str, float]]] = {
        "verify": lambda: _rate(lambda: _verified(workspace)),
        "bare driver": lambda: _rate(lambda: _bare_rows(ledger)),
        "sha256 alone": lambda: _rate(lambda: _hashed(size.entries)),
    }
    rates = alternate(1 if options.quick else 3, parts)
    queries = _queries(ledger, 3 if options.quick else 20)
    commands = _commands(root, small, 2 if options.quick else 5)
    for part, numbers in rates.items():
        print(f"{name:<11}{part:<14}{numbers['rows_per_s']['median']:>12,.0f} rows/s")
    for kind, rows, field in (("query", queries, "median"), ("command", commands, "beyond")):
        for part, numbers in rows.items():
            print(f"{name:<11}{kind:<9}{part:<42}{numbers[field]:8.1f} ms")
    slowest = max(
        *(row["median"] for row in queries.values()), *(row["beyond"] for row in commands.values())
    )
    rate = rates["verify"]["rows_per_s"]["median"]
    return {
        "filled_s": filled,
        "rates": rates,
        "query_ms": queries,
        "command_ms": commands,
        "verify_within_target": rate >= VERIFY_TARGET,
        "listings_within_target": slowest <= LISTING_TARGET_MS,
    }


def _rate(act: Callable[[], int]) -> dict[str, float]:
    started, busy = time.perf_counter(), time.process_time()
    rows = act()
    wall = time.perf_counter() - started
    return {"rows_per_s": rows / wall, "wall_s": wall, "cpu_s": time.process_time() - busy}


def _verified(workspace: Any) -> int:
    report = workspace.verify_audit()
    assert report.intact, report.findings[:3]
    assert not report.findings, report.findings[:3]
    return report.tenants[0].entries


def _bare_rows(ledger: Any) -> int:
    """All columns of all entries by the database's own driver, in one pass."""
    text = f"SELECT {', '.join(AUDIT)} FROM audit ORDER BY tenant, sequence"  # noqa: S608
    with ledger.database.engine.connect() as connection:
        driver = connection.connection.driver_connection
        # A named cursor of PostgreSQL's streams, as SQLite's does anyway.
        cursor = driver.cursor() if ledger.database.is_sqlite else driver.cursor("bench")
        cursor.execute(text)
        count = 0
        while rows := cursor.fetchmany(10_000):
            count += len(rows)
        cursor.close()
    return count


def _hashed(rows: int) -> int:
    text = b"x" * 300
    for _ in range(rows):
        sha256(text).hexdigest()
    return rows


def _queries(ledger: Any, repeats: int) -> dict[str, dict[str, float | int]]:
    asked: dict[str, Callable[[], object]] = {
        "tasks": ledger.tasks,
        "newest 20 releases of a task": lambda: ledger.releases(TASK, 20),
        "production of a task": lambda: ledger.channel(TASK),
        "last contest of a task": lambda: ledger.contests(TASK, 1),
        "last 20 entries": lambda: ledger.audit(20),
        "last 20 entries on a channel": lambda: ledger.audit(20, subject=f"{TASK}@production"),
        "last 20 entries of a kind": lambda: ledger.audit(20, action="release.made"),
        "last 20 entries of both": lambda: ledger.audit(
            20, subject=f"{TASK}@production", action="channel.moved"
        ),
        "unfinished jobs": ledger.jobs,
        "head of the log": ledger.audit_head,
    }
    times: dict[str, dict[str, float | int]] = {}
    for name, ask in asked.items():
        taken: list[float] = []
        for _ in range(repeats):
            started = time.perf_counter()
            ask()
            taken.append(1000 * (time.perf_counter() - started))
        times[name] = summary(taken)
    return times


def _commands(root: Path, small: Path, repeats: int) -> dict[str, dict[str, float | int]]:
    """CPU milliseconds beyond the same command on a nearly empty workspace, best of all runs.

    Whatever else the machine does only adds to a run, and it adds more than what is measured here.
    """
    rows: dict[str, dict[str, float | int]] = {}
    for command in COMMANDS:
        runs = [
            [1000 * milepost("-w", place, *command).cpu for place in (root, small)]
            for _ in range(repeats)
        ]
        large, bare = (min(column) for column in zip(*runs, strict=True))
        beyond = max(0.0, large - bare)
        rows[" ".join(command)] = {"n": repeats, "large": large, "bare": bare, "beyond": beyond}
    return rows


def _workspace(folder: Path, url: str | None) -> Path:
    """A workspace with one task, improved once, so that every listing has something to show."""
    examples = folder.with_suffix(".csv")
    words = ("refund", "card lost", "parcel late")
    lines = [f"my {words[i % 3]} number {i},{words[i % 3].split()[0]}" for i in range(60)]
    examples.write_text("text,label\n" + "\n".join(lines) + "\n")
    milepost("init", folder, "--from", examples, "--task", TASK)
    if url:
        file = folder / "milepost.toml"
        old = 'ledger = "sqlite:///.milepost/ledger.db"'
        file.write_text(file.read_text().replace(old, f'ledger = "{url}"'))
    milepost("-w", folder, "improve", TASK, "--strategy", "majority", codes=(0, 1))
    return folder


@contextmanager
def _keys(folder: Path) -> Generator[None]:
    """A signing key of the benchmark's own."""
    old = os.environ.get("MILEPOST_KEYS")
    os.environ["MILEPOST_KEYS"] = str(folder / "keys")
    try:
        yield
    finally:
        if old is None:
            del os.environ["MILEPOST_KEYS"]
        else:
            os.environ["MILEPOST_KEYS"] = old


def _program(name: str) -> str | None:
    found = shutil.which(name)
    # Debian keeps the server's programs off the path.
    installed = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return found or (str(installed[-1]) if installed else None)


def _another(url: str) -> str:
    """A second, empty database of the same server."""
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE small")
    return url.replace("/postgres?", "/small?")


@contextmanager
def _postgres() -> Generator[str]:
    """A fresh server with its usual settings, on a Unix socket only."""
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    as_root = os.geteuid() == 0
    if as_root:
        shutil.chown(folder, "nobody")
    user = ["runuser", "-u", "nobody", "--"] if as_root else []

    def done(program: str, *words: str) -> None:
        command = [*user, str(_program(program)), *words]
        subprocess.run(command, check=True, capture_output=True, cwd="/")

    data = str(folder / "data")
    try:
        done("initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C")
        listen = f"-c listen_addresses= -c unix_socket_directories={folder}"
        done("pg_ctl", "-D", data, "-l", str(folder / "log"), "-o", listen, "-w", "start")
        try:
            yield f"postgresql://postgres@/postgres?host={folder}"
        finally:
            done("pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder)
