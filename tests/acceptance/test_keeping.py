"""``gc`` and ``verify`` as somebody types them."""

import json
import os
import re
import socket
import sqlite3
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

import milepost as mp
from milepost._base import process
from milepost.cli.app import run
from milepost.storage.ledger import Ledger
from milepost.workflows.upkeep.collect import collect

MONTH = 30 * 24 * 3600


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


class InProcess:
    """The command line in this process: a command costs no start."""

    def __init__(self, capsys) -> None:
        self.capsys = capsys

    def __call__(self, *arguments: object) -> Done:
        self.capsys.readouterr()
        code = run([str(argument) for argument in arguments])
        said = self.capsys.readouterr()
        return Done(code, said.out, said.err)

    def ok(self, *arguments: object) -> Done:
        done = self(*arguments)
        assert done.code == 0, f"{arguments}: {done.code}\n{done.out}{done.err}"
        return done


@pytest.fixture
def inside(capsys) -> InProcess:
    return InProcess(capsys)


def artifacts(workspace: Path) -> Path:
    return workspace / ".milepost/artifacts"


def stored(workspace: Path) -> set[str]:
    return {p.name for p in artifacts(workspace).rglob("*") if p.is_file()}


def place(workspace: Path, digest: str) -> Path:
    return artifacts(workspace) / digest[:2] / digest[2:4] / digest


def make_old(workspace: Path) -> None:
    for path in artifacts(workspace).rglob("*"):
        if path.is_file():
            found = path.stat()
            os.utime(path, (found.st_atime - MONTH, found.st_mtime - MONTH))


def put(workspace: Path, data: bytes) -> str:
    from milepost.storage.files.artifacts import open_artifacts

    return open_artifacts(artifacts(workspace)).put(data)


def settings(workspace: Path, *lines: str) -> None:
    path = workspace / "milepost.toml"
    path.write_text(path.read_text() + "\n".join(lines) + "\n")


def bundle_files(workspace: Path, release: int) -> dict[str, str]:
    found = {r.number: r for r in mp.Workspace.open(workspace).releases("route")}[release]
    manifest = json.loads(place(workspace, found.bundle).read_text())
    return {
        "manifest.json": found.bundle,
        **{file["name"]: file["sha256"] for file in manifest["files"]},
    }


def spoil(path: Path) -> None:
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))


def test_gc_deletes_what_nothing_needs_and_only_when_it_is_old(inside, improved) -> None:
    make_old(improved)
    inside.ok("-w", improved, "gc")
    needed = stored(improved)
    loose = put(improved, b"left by a command that was broken off")
    half = place(improved, loose).with_name(".0123456789abcdef.tmp")
    half.write_bytes(b"half")
    first = inside.ok("-w", improved, "gc", "--json").json
    assert (first["deleted"], first["young"], first["temporaries"]) == (0, 1, 0)
    make_old(improved)
    dry = inside.ok("-w", improved, "gc", "--dry-run")
    assert "would be deleted" in dry.out
    assert "Nothing was deleted" in dry.out
    assert loose in stored(improved)
    done = inside.ok("-w", improved, "gc", "--json").json
    assert (done["deleted"], done["deleted_bytes"]) == (1, 37)
    assert (done["temporaries"], done["temporary_bytes"]) == (1, 4)
    assert done["needed"] == len(needed)
    assert stored(improved) == needed
    inside.ok("-w", improved, "verify", "--all")
    inside.ok("-w", improved, "predict", "route", "--release", 1, "my card was stolen")
    entry = mp.Workspace.open(improved)._context.ledger.audit(1)[0]
    assert (entry.action, entry.actor) == ("artifacts.collected", "tester")
    assert entry.details == {"artifacts": 2, "bytes": 41}


def test_a_put_keeps_old_bytes_from_the_collector(inside, improved) -> None:
    loose = put(improved, b"old bytes that a command is about to record")
    make_old(improved)
    put(improved, b"old bytes that a command is about to record")
    assert inside.ok("-w", improved, "gc", "--json").json["young"] == 1
    assert loose in stored(improved)


def test_what_is_pinned_stays_with_the_files_of_a_pinned_manifest(inside, improved) -> None:
    ledger = mp.Workspace.open(improved)._context.ledger
    file = put(improved, b"arrays")
    files = json.loads(place(improved, bundle_files(improved, 1)["manifest.json"]).read_text())
    for each in files["files"]:
        each["sha256"], each["size"] = file, 6
    manifest = put(improved, json.dumps(files).encode())
    ledger.pin("backup:1", [manifest])
    make_old(improved)
    inside.ok("-w", improved, "gc")
    assert {file, manifest} <= stored(improved)
    ledger.unpin("backup:1")
    inside.ok("-w", improved, "gc")
    assert not {file, manifest} & stored(improved)


def test_gc_deletes_nothing_when_a_manifest_cannot_be_read(inside, improved, is_refusal) -> None:
    put(improved, b"loose")
    make_old(improved)
    manifest = bundle_files(improved, 1)["manifest.json"]
    spoil(place(improved, manifest))
    before = stored(improved)
    is_refusal(inside("-w", improved, "gc"), manifest, "nothing was deleted")
    place(improved, manifest).unlink()
    is_refusal(inside("-w", improved, "gc"), manifest, "nothing was deleted")
    assert stored(improved) == before - {manifest}


def test_the_youngest_stay_whatever_age_is_asked_for(inside, improved) -> None:
    loose = put(improved, b"put by a command that will record it in a moment")
    assert inside.ok("-w", improved, "gc", "--older-than", "0s", "--json").json["young"] >= 1
    assert loose in stored(improved)
    context = mp.Workspace.open(improved)._context
    assert collect(context, older_than=0, least=timedelta(0)).deleted >= 1
    assert loose not in stored(improved)


def test_what_was_put_since_a_running_job_began_stays(inside, improved) -> None:
    context = mp.Workspace.open(improved)._context
    began = context.clock() - timedelta(hours=3)
    with Ledger.open(f"sqlite:///{improved}/.milepost/ledger.db", clock=lambda: began) as earlier:
        lease = earlier.acquire("improve route", process.identity(), 24 * 3600)
    its, before = put(improved, b"of the job"), put(improved, b"of nobody")
    make_old(improved)
    hour_ago = context.clock().timestamp() - 3600
    os.utime(place(improved, its), (hour_ago, hour_ago))
    done = inside.ok("-w", improved, "gc", "--older-than", "0s")
    assert f"A job runs since {began:%Y-%m-%d %H:%M} UTC" in " ".join(done.out.split())
    assert its in stored(improved)
    assert before not in stored(improved)
    context.ledger.give_back(lease)
    assert inside.ok("-w", improved, "gc", "--older-than", "0s", "--json").json["deleted"] == 1
    assert its not in stored(improved)


@pytest.mark.parametrize("break_it", [spoil, Path.unlink])
def test_a_lost_manifest_of_a_candidate_is_told_and_stops_nothing(
    inside, improved, break_it
) -> None:
    contest = mp.Workspace.open(improved).contest("route")
    unreleased = next(c for c in contest.candidates if c.predictions and not c.chosen)
    files = json.loads(place(improved, unreleased.bundle).read_text())["files"]
    loose = put(improved, b"loose")
    break_it(place(improved, unreleased.bundle))
    make_old(improved)
    done = inside.ok("-w", improved, "gc")
    assert unreleased.bundle in done.out
    assert loose not in stored(improved)
    assert {unreleased.predictions, *(file["sha256"] for file in files)} <= stored(improved)
    assert len(inside.ok("-w", improved, "gc", "--json").json["faults"]) == 1


def test_a_contest_concluded_meanwhile_gives_nothing_up(inside, improved, monkeypatch) -> None:
    assert inside("-w", improved, "improve", "route", "--strategy", "majority").code == 1
    ledger = mp.Workspace.open(improved)._context.ledger
    newest = ledger.contests("route")[0]
    bundles = {c.bundle for c in newest.candidates if c.bundle}
    assert bundles
    really = Ledger.give_up

    def give_up_and_conclude(self, *given, **named):
        gone = really(self, *given, **named)
        later = [msgspec.structs.replace(c, id=f"later-{c.strategy}") for c in newest.candidates]
        none = [msgspec.structs.replace(c, bundle=None, predictions=None) for c in later]
        self.save_contest(msgspec.structs.replace(newest, id="later", candidates=tuple(none)))
        return gone

    monkeypatch.setattr(Ledger, "give_up", give_up_and_conclude)
    settings(improved, "keep_contests = 1")
    make_old(improved)
    inside.ok("-w", improved, "gc")
    assert ledger.contests("route")[0].id == "later"
    assert bundles <= stored(improved)


@pytest.mark.parametrize("what", ["artifacts", "checkpoints"])
def test_a_server_that_cannot_be_reached_is_said_without_its_password(
    inside, improved, is_refusal, caplog, what
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        closed = f"127.0.0.1:{free.getsockname()[1]}"
    path = improved / "milepost.toml"
    text = re.sub(rf"(?m)^{what} = .*$", "", path.read_text())
    path.write_text(f'{what} = "ftp://u:s3cret@{closed}/x"\n{text}')
    if what == "artifacts":
        done = inside("-w", improved, "verify")
        is_refusal(done, "cannot be reached", closed)
    else:
        done = inside("-w", improved, "audit", "verify")
        is_refusal(done, "cannot be reached", closed)
        written = inside.ok("-w", improved, "promote", "route", "1")
        assert "is now release 1" in written.out
        assert caplog.text.count("checkpoints cannot be reached") == 1
        assert "s3cret" not in written.out + written.err + caplog.text
    assert "s3cret" not in done.out + done.err


def test_gc_deletes_nothing_when_the_ledger_cannot_be_read(inside, improved, is_refusal) -> None:
    put(improved, b"loose")
    make_old(improved)
    before = stored(improved)
    ledger = improved / ".milepost/ledger.db"
    whole = ledger.read_bytes()
    ledger.write_bytes(whole[:2000] + b"\xff" * 6000 + whole[8000:])
    is_refusal(inside("-w", improved, "gc"))
    assert stored(improved) == before


def test_retention_gives_up_old_candidates_and_says_so(inside, improved, is_refusal) -> None:
    ledger = mp.Workspace.open(improved)._context.ledger
    assert inside("-w", improved, "improve", "route", "--strategy", "majority").code == 1
    newest, before, _first = ledger.contests("route")
    released = {r.candidate for r in ledger.releases("route")}
    old = next(
        c.id
        for c in before.candidates
        if c.bundle and c.id not in released and c.strategy != "majority"
    )
    inside.ok("-w", improved, "predict", "route", "--candidate", old, "my card was stolen")
    settings(improved, "keep_contests = 1")
    make_old(improved)
    said = inside.ok("-w", improved, "gc", "--dry-run").out
    assert "would give up the predictors and predictions of" in said
    done = inside.ok("-w", improved, "gc", "--json").json
    assert old in done["given_up"]
    assert done["deleted"] >= 3
    record = ledger.candidate(old)
    assert not {record.bundle, record.predictions} & stored(improved)
    is_refusal(
        inside("-w", improved, "predict", "route", "--candidate", old, "x"),
        "was collected on 20",
        "keep_contests",
    )
    kept = next(c.id for c in newest.candidates if c.bundle)
    inside.ok("-w", improved, "predict", "route", "--candidate", kept, "x")
    inside.ok("-w", improved, "predict", "route", "--release", 1, "x")
    inside.ok("-w", improved, "verify", "--all")
    assert inside.ok("-w", improved, "gc", "--json").json["given_up"] == []


def test_a_quota_refuses_what_is_too_much(inside, improved, is_refusal) -> None:
    settings(improved, "artifacts_quota_bytes = 1000")
    before = stored(improved)
    done = inside("-w", improved, "improve", "route", "--strategy", "majority", "--seed", 7)
    is_refusal(done, "of the 1,000 bytes", "milepost gc")
    assert stored(improved) == before
    assert "of the 1.00 kB allowed" in inside.ok("-w", improved, "gc").out.replace(
        "1 kB", "1.00 kB"
    )
    inside.ok("-w", improved, "predict", "route", "my card was stolen")


def test_the_installed_command_verifies_and_collects(milepost, improved) -> None:
    assert "every byte is what it was" in milepost.ok("-w", improved, "verify", "--all").out
    assert "something needs it" in milepost.ok("-w", improved, "gc").out


def test_verify_reads_every_release(inside, improved) -> None:
    done = inside.ok("-w", improved, "verify")
    assert "✔ 2 releases: every byte is what it was" in done.out
    for target, numbers in (("route", [1, 2]), ("route#1", [1]), ("route@production", [2])):
        found = inside.ok("-w", improved, "verify", target, "--json").json
        assert found["sound"]
        assert [r["number"] for r in found["verification"]["releases"]] == numbers
    everything = inside.ok("-w", improved, "verify", "--all", "--json").json["verification"]
    assert everything["artifacts"] == len(stored(improved))
    assert everything["size"] == sum(place(improved, d).stat().st_size for d in stored(improved))


def test_verify_names_what_is_wrong_and_the_other_release_answers(inside, improved) -> None:
    for name, digest in bundle_files(improved, 1).items():
        path = place(improved, digest)
        whole = path.read_bytes()
        for break_it, words in ((spoil, "not what they were"), (Path.unlink, "missing")):
            break_it(path)
            done = inside("-w", improved, "verify")
            assert done.code == 1
            said = " ".join(done.out.split())
            assert "route#1" in said
            assert name in said
            assert digest in said
            assert words in said
            assert "Restore it from a backup" in said
            assert inside("-w", improved, "verify", "route@production").code == 0
            path.unlink(missing_ok=True)
            path.write_bytes(whole)
    inside.ok("-w", improved, "predict", "route", "my card was stolen")
    inside.ok("-w", improved, "verify")


def test_verify_all_finds_missing_and_spoilt_artifacts_and_counts_orphans(inside, improved) -> None:
    # What jobs left, so that only one artifact is loose.
    make_old(improved)
    inside.ok("-w", improved, "gc")
    put(improved, b"loose")
    done = inside.ok("-w", improved, "verify", "--all")
    assert "Nothing needs 1 artifact (5 B)" in done.out
    contest = mp.Workspace.open(improved).contest("route")
    unreleased = next(c for c in contest.candidates if c.predictions and not c.chosen)
    spoil(place(improved, unreleased.predictions))
    place(improved, unreleased.bundle).unlink()
    done = inside("-w", improved, "verify", "--all")
    assert done.code == 1
    for digest in (unreleased.predictions, unreleased.bundle):
        assert digest in done.out
    assert inside("-w", improved, "verify").code == 0


def test_verify_finds_rows_that_were_edited(inside, improved) -> None:
    ledger = improved / ".milepost/ledger.db"
    releases = {r.number: r for r in mp.Workspace.open(improved).releases("route")}
    edits = {
        f"UPDATE releases SET bundle = '{releases[2].bundle}' WHERE number = 1": "not what it was",  # noqa: S608
        "UPDATE releases SET actor = 'mallory' WHERE number = 1": "not what it was",
        "DELETE FROM audit WHERE subject = 'route#1'": "0 audit entries",
        "UPDATE audit SET details = replace(details, 'bundle', 'bindle') WHERE subject = 'route#1'":
            "another bundle",
    }  # fmt: skip
    whole = ledger.read_bytes()
    for edit, words in edits.items():
        with sqlite3.connect(ledger) as connection:
            for (name,) in connection.execute(
                "SELECT name FROM sqlite_master WHERE type = 'trigger'"
            ).fetchall():
                connection.execute(f"DROP TRIGGER {name}")
            connection.execute(edit)
        connection.close()
        done = inside("-w", improved, "verify", "route#1")
        assert done.code == 1, edit
        assert words in " ".join(done.out.split()), edit
        ledger.write_bytes(whole)
    inside.ok("-w", improved, "verify")
