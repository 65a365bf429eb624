"""What is particular to SQLite or PostgreSQL, and what is said when they refuse."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from milepost._base.digest import digest_of
from milepost.entities.errors import (
    CorruptError,
    MilepostError,
    StorageError,
    UnreachableError,
    WorkspaceError,
)
from milepost.entities.ids import Digest
from milepost.entities.task import Task
from milepost.storage.database import WAL_SAFE, Database, set_journal
from milepost.storage.ledger import Ledger
from milepost.storage.migrations.upgrade import VERSIONS

TASK = Task(name="route", labels={"a": "", "b": ""})
DIGEST = Digest(digest_of(TASK))


def at(folder: Path, name: str = "ledger.db") -> str:
    return f"sqlite:///{folder}/{name}"


def test_connections_are_set_up_for_safety(tmp_path: Path) -> None:
    with Ledger.open(at(tmp_path)) as ledger, ledger.database.read() as connection:

        def pragma(name: str) -> object:
            return connection.scalar(sa.text(f"PRAGMA {name}"))

        assert pragma("foreign_keys") == 1
        assert pragma("synchronous") == 3
        assert pragma("busy_timeout") == 30_000
        wal = sqlite3.sqlite_version_info >= WAL_SAFE
        assert pragma("journal_mode") == ("wal" if wal else "delete")


def test_the_write_ahead_log_is_used_only_where_it_is_safe(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "x.db", isolation_level=None)
    other = sqlite3.connect(tmp_path / "x.db", isolation_level=None)
    connection.execute("PRAGMA busy_timeout = 10")

    def mode() -> str:
        return connection.execute("PRAGMA journal_mode").fetchone()[0]

    connection.execute("CREATE TABLE t (x)")
    set_journal(connection, (3, 51, 2))
    assert mode() == "delete"
    set_journal(connection, (3, 51, 3))
    assert mode() == "wal"
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageError, match="newer SQLite"):
        set_journal(connection, (3, 40, 1))
    other.execute("ROLLBACK")
    other.close()
    set_journal(connection, (3, 40, 1))
    assert mode() == "delete"
    connection.close()


def test_the_write_ahead_log_can_wait(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "x.db", isolation_level=None, timeout=0)
    other = sqlite3.connect(tmp_path / "x.db", isolation_level=None)
    other.execute("CREATE TABLE t (x)")
    other.execute("BEGIN IMMEDIATE")
    set_journal(connection, WAL_SAFE)
    assert connection.execute("PRAGMA journal_mode").fetchone()[0] == "delete"
    connection.close()
    other.close()


def test_a_lock_that_is_not_given_up(tmp_path: Path) -> None:
    with Ledger.open(at(tmp_path), timeout=0.01) as ledger:
        other = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageError, match="locked"):
            ledger.save_task(TASK, DIGEST)
        other.close()
        assert ledger.save_task(TASK, DIGEST)


def test_a_lock_that_is_not_given_up_on_postgresql(postgres_url: str) -> None:
    with Ledger.open(postgres_url) as one, Ledger.open(postgres_url, timeout=1.0) as two:
        with one.database.write("default"), pytest.raises(StorageError, match="locked"):
            two.save_task(TASK, DIGEST)
        assert two.save_task(TASK, DIGEST)


def test_who_stands_still_in_a_transaction_is_cut_off_on_postgresql(postgres_url: str) -> None:
    with Ledger.open(postgres_url, timeout=0.3) as still, Ledger.open(postgres_url) as other:

        def stand_still() -> None:
            with still.database.write("default") as connection:
                assert other.save_task(TASK, DIGEST)  # waits for the server to cut the first off
                connection.execute(sa.text("SELECT 1"))

        with pytest.raises(UnreachableError, match="connection to the database server was lost"):
            stand_still()
        assert still.tasks() == other.tasks()


def test_a_full_disk_changes_nothing(tmp_path: Path) -> None:
    with Ledger.open(at(tmp_path)) as ledger:
        ledger.save_task(TASK, DIGEST)
        with ledger.database.read() as connection:
            pages = connection.scalar(sa.text("PRAGMA page_count"))
            connection.execute(sa.text(f"PRAGMA max_page_count = {pages}"))
        with pytest.raises(StorageError, match="disk of the ledger is full"):
            ledger.record_sides("route", {f"g{i}": "train" for i in range(10_000)})
        assert ledger.sides("route") == {}


def test_a_file_that_is_no_ledger(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").write_bytes(b"id,text,label\n" * 1000)
    with pytest.raises(CorruptError, match="not a ledger"):
        Ledger.open(at(tmp_path))


def test_a_record_that_is_not_one(tmp_path: Path) -> None:
    with Ledger.open(at(tmp_path)) as ledger:
        ledger.save_task(TASK, DIGEST)
        with ledger.database.write("default") as connection:
            connection.execute(sa.text("DROP TRIGGER task_versions_no_update"))
            connection.execute(sa.text("UPDATE task_versions SET record = '{\"name\": 1}'"))
        with pytest.raises(CorruptError, match="route"):
            ledger.task("route")


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match="folder exists"):
        Ledger.open(at(tmp_path / "nowhere"))


READ_ONLY = """
import os, sys
from milepost._base.digest import digest_of
from milepost.entities.errors import WorkspaceError
from milepost.entities.task import Task
from milepost.storage.ledger import Ledger
if os.geteuid() == 0:
    os.setuid(65534)
with Ledger.open("sqlite:///" + sys.argv[1] + "/ledger.db") as ledger:
    print(ledger.tasks())
    task = Task(name="other", labels={"a": "", "b": ""})
    try:
        ledger.save_task(task, digest_of(task))
    except WorkspaceError as error:
        print(error)
try:
    Ledger.open("sqlite:///" + sys.argv[1] + "/new.db")
except WorkspaceError as error:
    print(error)
"""


@pytest.mark.skipif(os.name != "posix", reason="only POSIX has permissions of this kind")
def test_a_read_only_folder_can_be_read(tmp_path: Path) -> None:
    with Ledger.open(at(tmp_path)) as ledger:
        ledger.save_task(TASK, DIGEST)
    (tmp_path / "ledger.db").chmod(0o444)
    # The user that root turns into must get there.
    for folder in (tmp_path, *tmp_path.parents[:3]):
        if folder.stat().st_uid == os.geteuid() and folder != Path("/"):
            folder.chmod(0o755 if folder != tmp_path else 0o555)
    done = subprocess.run(
        [sys.executable, "-c", READ_ONLY, str(tmp_path)], capture_output=True, text=True
    )
    tmp_path.chmod(0o755)
    seen, written, made = done.stdout.splitlines() or [done.stderr, "", ""]
    assert seen == "('route',)"
    assert "cannot be written" in written
    assert "Check" in written
    assert "cannot be opened" in made


def test_a_relative_address_stays_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with Ledger.open("sqlite:///ledger.db") as ledger:
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")
        ledger.database.engine.dispose()
        assert ledger.save_task(TASK, DIGEST)
    assert not list((tmp_path / "elsewhere").iterdir())


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ledger.db",
        "postgresql://ann:s3cret@host:port/name",
        "postgresql://ann:s3cret@[::1/name",
        "mysql://ann:s3cret@host/name",
        "postgresql://ann:s3cret@127.0.0.1:1/name",
        "postgresql://ann@127.0.0.1:1/name?password=s3cret",
        "postgresql://ann:s3cret@127.0.0.1:1/name?nonsense=s3cret",
    ],
)
def test_no_message_repeats_a_password(url: str) -> None:
    with pytest.raises(MilepostError) as caught:
        Ledger.open(url)
    assert isinstance(caught.value, (WorkspaceError, StorageError))
    seen: BaseException | None = caught.value
    while seen is not None:
        assert "s3cret" not in str(seen)
        seen = seen.__cause__
    assert caught.value.advice or "nonsense" in url


def test_a_server_that_does_not_answer() -> None:
    with pytest.raises(StorageError, match=r"postgresql://127.0.0.1:1/name: .*cannot be reached"):
        Ledger.open("postgres://ann:s3cret@127.0.0.1:1/name")


def test_a_database_that_is_not_there(new_postgres_database: Callable[[], str]) -> None:
    name = new_postgres_database().replace("/t", "/absent_", 1)
    with pytest.raises(WorkspaceError, match="does not exist") as caught:
        Ledger.open(name)
    assert "s3cret" not in str(caught.value)


def test_a_driver_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(WorkspaceError, match=r"milepost\[pg\]"):
        Ledger.open("postgresql://ann:s3cret@host/name")


def test_the_list_of_versions_is_the_chain_of_files() -> None:
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    from milepost.storage.migrations import upgrade

    config = Config()
    config.set_main_option("script_location", str(Path(upgrade.__file__).parent))
    chain = ScriptDirectory.from_config(config).walk_revisions()
    assert tuple(each.revision for each in chain)[::-1] == VERSIONS


def test_opening_what_is_up_to_date_does_not_load_alembic(tmp_path: Path) -> None:
    Ledger.open(at(tmp_path)).close()
    program = (
        "import sys; from milepost.storage.ledger import Ledger;"
        "Ledger.open(sys.argv[1]).close(); print('alembic' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, at(tmp_path)], capture_output=True, text=True
    )
    assert done.stdout.strip() == "False", done.stderr


def test_a_failed_migration_leaves_an_empty_database(tmp_path: Path) -> None:
    sqlite3.connect(tmp_path / "ledger.db").executescript("CREATE TABLE audit (x)")
    with pytest.raises(StorageError, match="audit"):
        Ledger.open(at(tmp_path))
    database = Database(at(tmp_path))
    assert sa.inspect(database.engine).get_table_names() == ["audit"]
    database.close()
