"""``milepost verify TASK N``: are the numbers of a release what its data gives?"""

import json
import sqlite3

import psycopg
import pytest

import milepost as mp

TAMPERED = "scorecard.metrics.macro_f1.low"


def tampered(record):
    """A candidate's record as JSON with one number made better."""
    plain = json.loads(record)
    plain["scorecard"]["metrics"]["macro_f1"]["low"] += 0.01
    return json.dumps(plain)


def chosen(folder, number):
    return mp.Workspace.open(folder).releases("route")[-number].candidate


def test_a_release_is_recomputed(milepost, improved, is_refusal):
    done = milepost.ok("-w", improved, "verify", "route", "1")
    assert "numbers are the same" in done.out
    assert "Not recomputed: latency" in " ".join(done.out.split())
    assert max(map(len, done.out.splitlines())) <= 80
    is_refusal(milepost("-w", improved, "verify", "route", "9"), "9")
    is_refusal(milepost("-w", improved, "verify", "rout", "1"), "route")
    is_refusal(milepost("-w", improved, "verify", "route", "1", "--tolerance", "2"), "tolerance")


@pytest.mark.slow
def test_one_that_reads_vectors_is_recomputed_too(milepost, improved):
    found = milepost.ok("-w", improved, "verify", "route", "2", "--json").json
    assert found["holds"] is True
    assert found["reproduction"]["unequal"] == []
    assert found["reproduction"]["vectors"] == 54


def test_a_number_that_was_made_better_is_found_and_named(milepost, improved, is_valid):
    candidate = chosen(improved, 1)
    with sqlite3.connect(improved / ".milepost/ledger.db") as connection:
        for (name,) in connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        ).fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        (record,) = connection.execute(
            "SELECT record FROM candidates WHERE id = ?", (candidate,)
        ).fetchone()
        connection.execute(
            "UPDATE candidates SET record = ? WHERE id = ?", (tampered(record), candidate)
        )
    connection.close()
    done = milepost("-w", improved, "verify", "route", "1")
    assert done.code == 1
    assert f"the first that is not: {TAMPERED}." in " ".join(done.out.split())
    done = milepost("-w", improved, "verify", "route", "1", "--json", "--tolerance", "1e-6")
    assert done.code == 1
    is_valid(done.json, "verify")
    assert done.json["holds"] is False
    (unequal,) = done.json["reproduction"]["unequal"]
    assert unequal["where"] == TAMPERED
    assert unequal["apart"] == pytest.approx(0.01)


def test_a_stored_snapshot_with_other_bytes_is_refused(milepost, improved, is_refusal):
    with sqlite3.connect(improved / ".milepost/ledger.db") as connection:
        (artifact,) = connection.execute("SELECT DISTINCT artifact FROM datasets").fetchone()
    connection.close()
    (path,) = (improved / ".milepost/artifacts").rglob(artifact)
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2] ^= 1
    path.chmod(0o600)
    path.write_bytes(whole)
    is_refusal(milepost("-w", improved, "verify", "route", "1"), artifact[:12])


def test_on_a_server_it_holds_and_finds_the_same(milepost, improved, new_postgres_database):
    url = new_postgres_database()
    milepost.environment["DB_WORD"] = "s3cret"
    try:
        milepost.ok("-w", improved, "migrate-store", url.replace("s3cret", "${DB_WORD}"))
        milepost.ok("-w", improved, "verify", "route", "1")
        candidate = milepost.ok("-w", improved, "releases", "route", "--json").json
        candidate = next(r["candidate"] for r in candidate["releases"] if r["number"] == 1)
        with psycopg.connect(url) as connection:
            connection.execute("SET session_replication_role = replica")  # triggers do not fire
            (record,) = connection.execute(
                "SELECT record FROM candidates WHERE id = %s", (candidate,)
            ).fetchone()
            text = record if isinstance(record, str) else json.dumps(record)
            connection.execute(
                "UPDATE candidates SET record = %s WHERE id = %s", (tampered(text), candidate)
            )
        done = milepost("-w", improved, "verify", "route", "1", "--json")
        assert done.code == 1
        assert [u["where"] for u in done.json["reproduction"]["unequal"]] == [TAMPERED]
    finally:
        del milepost.environment["DB_WORD"]
