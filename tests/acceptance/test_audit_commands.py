"""The audit log as a user and an attacker meet it: log, verify, export, key, checkpoints."""

import json
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import milepost as mp


def attack(desk: Path, *statements: str) -> None:
    """Write to the ledger's file past all guards."""
    with sqlite3.connect(desk / ".milepost" / "ledger.db") as connection:
        for act in ("update", "delete"):
            connection.execute(f"DROP TRIGGER IF EXISTS audit_no_{act}")
        for statement in statements:
            connection.execute(statement)
    connection.close()


def objects(desk: Path) -> list[Path]:
    return sorted((desk / ".milepost" / "checkpoints").rglob("*.json"))


def test_what_was_done_is_shown_and_proved(milepost, improved) -> None:
    milepost.ok("-w", improved, "rollback", "route", "--reason", "complaints about invoices")
    shown = milepost.ok("-w", improved, "audit", "log", "--limit", "1").out
    for words in ("channel.moved", "route@production", "complaints about", "tester"):
        assert words in shown
    assert max(map(len, shown.splitlines())) <= 80
    (entry,) = milepost.ok(
        "-w", improved, "audit", "log", "--subject", "route@production", "--action",
        "channel.moved", "--limit", "1", "--json",
    ).json  # fmt: skip
    assert entry["details"]["to"] == 1
    assert entry["reason"] == "complaints about invoices"
    done = milepost.ok("-w", improved, "audit", "verify")
    assert "follow from one another" in done.out
    assert "as recorded" in done.out
    assert f"--expect {entry['sequence']}:{entry['hash']}" in done.out
    found = milepost.ok(
        "-w", improved, "audit", "verify", "--json",
        "--expect", f"{entry['sequence']}:{entry['hash']}",
    ).json  # fmt: skip
    assert found["intact"] is True
    assert found["findings"] == []
    # Each command ended by itself, so nothing is left uncovered.
    assert found["tenants"][0]["covered"] == found["tenants"][0]["entries"] == entry["sequence"]


def test_tampering_ends_with_one_and_says_where(milepost, improved) -> None:
    attack(improved, "UPDATE audit SET reason = 'because' WHERE sequence = 3")
    done = milepost("-w", improved, "audit", "verify")
    assert done.code == 1
    assert "edited  Entry 3 was edited" in done.out
    assert done.err == ""
    found = milepost("-w", improved, "audit", "verify", "--json")
    assert found.code == 1
    assert found.json["intact"] is False
    (finding,) = found.json["findings"]
    assert set(finding) == {"kind", "severity", "tenant", "sequence", "until", "what", "advice"}
    assert (finding["kind"], finding["sequence"]) == ("edited", 3)


def test_a_truncated_log_is_seen_against_the_checkpoints(milepost, improved) -> None:
    last = milepost.ok("-w", improved, "audit", "verify", "--json").json["tenants"][0]["entries"]
    attack(improved, f"DELETE FROM audit WHERE sequence > {last - 3}")  # noqa: S608
    done = milepost("-w", improved, "audit", "verify")
    assert done.code == 1
    assert "truncated" in done.out
    assert f"entries {last - 2} to {last} are missing" in " ".join(done.out.split())


def test_checkpoints_elsewhere(milepost, improved, tmp_path) -> None:
    away = tmp_path / "safe"
    (improved / ".milepost" / "checkpoints").rename(away)
    blind = milepost("-w", improved, "audit", "verify")
    assert blind.code == 1
    said = " ".join(blind.out.split())
    assert "there is no checkpoint" in said.lower()
    assert "--checkpoints PLACE" in said
    assert milepost.ok("-w", improved, "audit", "verify", "--checkpoints", away).code == 0
    toml = improved / "milepost.toml"
    toml.write_text(toml.read_text().replace('".milepost/checkpoints"', f'"{away}"'))
    before = len(list(away.rglob("*.json")))
    milepost.ok("-w", improved, "rollback", "route")
    assert len(list(away.rglob("*.json"))) > before
    assert not objects(improved)


def test_reading_writes_no_checkpoint_and_makes_no_key(
    milepost, improved, tmp_path, environment
) -> None:
    # Whatever a newer milepost.toml or task file would have to note is noted first.
    milepost.ok("-w", improved, "tasks")
    before = objects(improved)
    for path in before:
        path.unlink()
    stranger = replace(
        milepost, environment={**environment, "MILEPOST_KEYS": str(tmp_path / "keys")}
    )
    for command in (
        ("tasks",), ("releases", "route"), ("candidates", "route"), ("audit", "log"),
        ("audit", "export"),
    ):  # fmt: skip
        stranger.ok("-w", improved, *command)
    assert stranger("-w", improved, "audit", "verify").code == 1
    assert objects(improved) == []
    assert not (tmp_path / "keys").exists()


def test_signers_are_believed_and_others_are_not(milepost, improved, tmp_path) -> None:
    key = milepost.ok("audit", "key").out.strip()
    assert key.startswith("ed25519:")
    toml = improved / "milepost.toml"
    other = "ed25519:" + "ab" * 32
    for signers, code in (([key], 0), ([key, other], 0), ([other], 1)):
        lines = [row for row in toml.read_text().splitlines() if not row.startswith("signers")]
        toml.write_text("\n".join([f"signers = {json.dumps(signers)}", *lines]))
        done = milepost("-w", improved, "audit", "verify")
        assert done.code == code, done.out
        assert ("which is not believed" in " ".join(done.out.split())) == (code == 1)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("verify", "--expect", "12"), ("SEQUENCE:HASH",)),
        (("export", "--format", "xml"), ("jsonl or cloudevents",)),
        (("export", "--after", "-1"), ("0 or more",)),
        (("log", "--limit", "-1"), ("0 or more",)),
        (("verify", "--checkpoints", "nothing://here"), ("fsspec",)),
    ],
)
def test_what_cannot_be_used_is_refused(milepost, improved, is_refusal, options, words) -> None:
    is_refusal(milepost("-w", improved, "audit", *options), *words)


def test_a_place_that_cannot_be_written_stops_nothing(milepost, improved) -> None:
    folder = improved / ".milepost" / "checkpoints"
    folder.rename(improved / "kept")
    folder.write_text("a file in its place")
    done = milepost("-w", improved, "rollback", "route")
    assert done.code == 0
    assert "is now release 1" in done.out
    assert done.err.startswith("warning: what was done is recorded, but the audit checkpoint")
    assert len(done.err.strip().splitlines()) == 1
    folder.unlink()
    (improved / "kept").rename(folder)
    found = milepost.ok("-w", improved, "audit", "verify", "--json").json
    assert [f["kind"] for f in found["findings"]] == ["uncovered"]
    milepost.ok("-w", improved, "promote", "route", "2")
    assert milepost.ok("-w", improved, "audit", "verify", "--json").json["findings"] == []


def test_exports(milepost, improved, tmp_path) -> None:
    milepost.ok("-w", improved, "audit", "export", "--output", tmp_path / "log.jsonl")
    lines = (tmp_path / "log.jsonl").read_text().splitlines()
    assert milepost.ok("-w", improved, "audit", "export").out.splitlines() == lines
    events = milepost.ok(
        "-w", improved, "audit", "export", "--format", "cloudevents", "--after", "2"
    )
    ids = [json.loads(line)["id"] for line in events.out.splitlines()]
    assert ids == [json.loads(line)["hash"] for line in lines[2:]]
    assert not list(tmp_path.glob(".*.part"))


def test_a_reader_that_has_enough_is_no_error(milepost, improved) -> None:
    process = milepost.start("-w", improved, "audit", "export")
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait() == 0
    process.stderr.close()


def test_the_exported_log_is_verified_without_milepost(milepost, improved, tmp_path) -> None:
    page = Path(__file__).parents[2] / "docs" / "how-to" / "audit.md"
    script = page.read_text().split(":caption: verify_export.py\n\n")[1].split("```")[0]
    (tmp_path / "verify_export.py").write_text(script)
    milepost.ok("-w", improved, "audit", "export", "--output", tmp_path / "log.jsonl")
    run = [sys.executable, "-I", "verify_export.py", "log.jsonl"]
    done = subprocess.run(run, capture_output=True, text=True, cwd=tmp_path)
    head = json.loads((tmp_path / "log.jsonl").read_text().splitlines()[-1])
    assert done.stdout == f"intact up to {head['sequence']} {head['hash']}\n", done.stderr
    text = (tmp_path / "log.jsonl").read_text()
    (tmp_path / "log.jsonl").write_text(text.replace('"tester"', '"somebody"', 1))
    done = subprocess.run(run, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode != 0
    assert "changed" in done.stderr


def test_from_python(improved) -> None:
    ws = mp.Workspace.open(improved)
    newest = ws.audit(1)[0]
    report = ws.verify_audit(expect=f"{newest.sequence}:{newest.hash}")
    assert report.intact
    assert report.tenants[0].head == newest.hash
    assert json.loads(next(ws.audit_lines()))["sequence"] == 1
    assert mp.Workspace.public_key().startswith("ed25519:")
