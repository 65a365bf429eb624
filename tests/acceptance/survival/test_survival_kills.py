"""Killed at a random moment, nothing acknowledged is lost and nothing is half there."""

import json
import time
import tomllib
from pathlib import Path

import pytest
import sqlalchemy as sa

import milepost as mp
from milepost.entities.errors import StorageError
from milepost.storage import tables
from milepost.storage.database import Database
from milepost.storage.ledger import Ledger
from milepost.storage.migrations.upgrade import upgrade
from milepost.storage.transfer import counted, fill, parse, tables_in
from milepost.workflows.upkeep.migrate_store import migrate_store

OLD = Path(__file__).parents[2] / "unit" / "storage" / "ledgers" / "0001.json"
FEW = pytest.param(2, id="few")


def many(number, when=pytest.mark.slow):
    return pytest.param(number, id="many", marks=[when, pytest.mark.timeout(900)])


def killed(child, seconds):
    """Kill a child after so many seconds, or let it be done before."""
    time.sleep(seconds)
    child.kill()
    return child.wait()


def contest_in(child):
    """The id of the contest that a finished improvement printed as JSON; notes stand around it."""
    document = json.JSONDecoder().raw_decode(child.said[child.said.index("{") :])[0]
    return document["tasks"][0]["id"]


@pytest.mark.parametrize("kills", [FEW, many(34)])
def test_killed_in_a_promotion(kills, desk, warm, moments, invariants, sleep_until, opened):
    acknowledged = 0
    for _ in range(kills):
        child = warm.start("moves", workspace=desk)
        sleep_until(lambda child=child: child.lines)
        killed(child, moments.uniform(0.0, 0.3))
        assert "Traceback" not in child.said
        acknowledged += len(child.lines)
        version, release = map(int, child.lines[-1].split())
        invariants.of_workspace(desk)
        with opened(desk) as context:
            stands = context.ledger.channel("route", "production")
        # The last move may have been made and not yet said.
        assert (stands.version, stands.release) in {(version, release), (version + 1, 3 - release)}
        again = warm.run("-w", desk, "promote", "route", 3 - stands.release)
        assert again.code == 0, again.said
    assert acknowledged >= kills


@pytest.mark.parametrize("kills", [FEW, many(34, pytest.mark.exhaustive)])
def test_killed_in_an_improvement(kills, desk, warm, moments, invariants, opened):
    def improve(seed):
        # With the same seed it goes on where the killed one stopped.
        return warm.command(
            "-w", desk, "improve", "route", "--strategy", "tfidf_linear", "--strategy", "majority",
            "--seed", seed, "--json",
        )  # fmt: skip

    began = time.monotonic()
    assert improve(0).wait() in {0, 1}
    whole = time.monotonic() - began
    done: list[str] = []
    for number in range(kills):
        child = improve(number + 1)
        code = killed(child, moments.uniform(0.05, whole))
        assert code in {0, 1, -9}, child.said
        if code != -9:
            done.append(contest_in(child))
        invariants.of_workspace(desk)
        assert warm.run("-w", desk, "releases", "route", "--json").code == 0
        if number % 4 == 0:
            again = improve(number + 1)
            assert again.wait() in {0, 1}, again.said
            done.append(contest_in(again))
    with opened(desk) as context, context.ledger.database.read() as connection:
        stored = set(connection.scalars(sa.select(tables.contests.c.id)))
    assert set(done) <= stored
    invariants.of_workspace(desk)


@pytest.fixture
def old_ledger(new_database, request):
    """Makes ledgers of the first schema, with the rows of a real one."""
    content = json.loads(OLD.read_text())

    def make() -> str:
        url = new_database()
        database = Database(url)
        upgrade(database, "0001")
        with database.migrate() as connection:
            found = tables_in(connection, content["tables"])

            def rows(table):
                return [
                    parse(table, json.dumps(fitted(table, row)).encode())
                    for row in content["tables"][table.name]
                ]

            fill(connection, found, lambda table: sorted(rows(table), key=keys(table)))
        database.close()
        return url

    return make


def fitted(table, row):
    """A row as SQLite keeps it, as JSON that says what its types are."""
    plain = dict(row)
    for column in table.columns:
        value = plain[column.name]
        if isinstance(column.type, tables.UtcDateTime):
            plain[column.name] = f"{value.replace(' ', 'T')}Z"
        elif isinstance(column.type, sa.Boolean):
            plain[column.name] = bool(value)
    return plain


def keys(table):
    names = [column.name for column in table.primary_key]
    return lambda row: [v.encode() if isinstance(v := row[n], str) else v for n in names]


@pytest.mark.parametrize("kills", [FEW, many(17, pytest.mark.exhaustive)])
def test_killed_in_a_migration_of_the_tables(kills, old_ledger, warm, moments, invariants):
    began = time.monotonic()
    assert warm.start("upgrade", url=old_ledger()).wait() == 0
    whole = time.monotonic() - began
    halfway = 0
    for number in range(kills):
        url = old_ledger()
        child = warm.start("upgrade", url=url)
        # The first is killed at once, however fast the machine is today.
        code = killed(child, moments.uniform(0.0, whole) if number else 0.0)
        assert code in {0, -9}, child.said
        halfway += code == -9
        with Ledger.open(url) as ledger:
            tasks = set(ledger.tasks())
            invariants.of_ledger(ledger)
            with ledger.database.read() as connection:
                held = {n: c.rows for n, c in counted(connection, tables_in(connection)).items()}
        content = json.loads(OLD.read_text())["tables"]
        assert {name: held[name] for name in content} == {n: len(r) for n, r in content.items()}
        assert tasks == {row["name"] for row in content["tasks"]}
    assert halfway


@pytest.fixture
def content(opened):
    """Everything but the audit log and settings, which say that the ledger moved."""

    def rows(desk):
        with opened(desk) as context, context.ledger.database.read() as connection:
            found = counted(connection, tables_in(connection))
        return {n: c for n, c in found.items() if n not in {"audit", "configurations"}}

    return rows


def ledger_of(desk):
    return tomllib.loads((desk / "milepost.toml").read_text())["ledger"]


@pytest.mark.parametrize("kills", [FEW, many(15, pytest.mark.exhaustive)])
def test_killed_in_a_move_to_another_database(
    kills, desk, kind, warm, moments, invariants, new_server_database, content
):
    before = content(desk)
    for number in range(kills):
        to_server = (kind == "sqlite") == (number % 2 == 0)
        url = new_server_database() if to_server else f"sqlite:///.milepost/moved-{number}.db"
        child = warm.command("-w", desk, "migrate-store", url)
        code = killed(child, moments.uniform(0.05, 0.5))
        assert code in {0, -9}, child.said
        stands = warm.run("-w", desk, "releases", "route", "--json")
        assert stands.code == 0, stands.said
        invariants.of_workspace(desk)
        assert content(desk) == before
        assert ledger_of(desk) == url or code != 0
        if ledger_of(desk) != url:
            # What was left half-way in the new database is no obstacle.
            again = warm.run("-w", desk, "migrate-store", url)
            assert again.code == 0, again.said
        assert ledger_of(desk) == url
        assert content(desk) == before
    invariants.of_workspace(desk)


def test_who_had_the_old_ledger_open_is_told(desk, new_database, opened):
    """A move waits for nobody's connection; what is written to the old ledger is refused."""
    with opened(desk) as slow:
        with opened(desk) as context:
            migrate_store(context, new_database())
        now = slow.ledger.channel("route", "production")
        with pytest.raises(StorageError, match="moved to another database"):
            slow.ledger.move_channel(
                "route", "production", 3 - now.release, expected_version=now.version, reason="late"
            )
        old = slow.ledger.database.address.url.render_as_string(hide_password=False)
    with opened(desk) as context:
        assert context.ledger.channel("route", "production") == now
    with pytest.raises(mp.MilepostError, match="moved to another database"):
        Ledger.open(old)
