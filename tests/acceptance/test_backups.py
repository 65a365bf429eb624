"""backup, restore and migrate-store as a person uses them."""

import json
import os
import shutil
import sqlite3
import time
from pathlib import Path

import pytest

import milepost as mp
from milepost._base.digest import sha256_file
from milepost.entities.errors import CorruptError
from milepost.workflows.opening import open_context


@pytest.fixture(scope="module")
def backed_up(improved_template, tmp_path_factory):
    """A workspace, two backups of it in one place, and what the second one said."""
    folder = tmp_path_factory.mktemp("kept")
    desk = Path(shutil.copytree(improved_template, folder / "desk"))
    ws = mp.Workspace.open(desk)
    ws.backup(folder / "backups")
    second = ws.backup(folder / "backups")
    return folder, second


@pytest.fixture
def kept(backed_up, tmp_path, monkeypatch):
    """A copy of them that a test may damage."""
    shutil.copytree(backed_up[0], tmp_path / "kept")
    return tmp_path / "kept"


def newest(place):
    return place / mp.Workspace.backups(place)[-1].id


def test_a_second_backup_adds_only_what_is_new(backed_up):
    folder, second = backed_up
    assert second.added_files == 0
    stored = [p for p in (folder / "backups" / "artifacts").rglob("*") if p.is_file()]
    # The data file that the task names is kept like an artifact.
    assert len(stored) == len(second.manifest.artifacts) + len(second.manifest.data)
    assert second.manifest.tables["releases"].rows == 2
    assert [file.name for file in second.manifest.data] == ["data/route.csv"]
    assert any(p.stat().st_mode & 0o222 == 0 for p in stored)


def test_restored_it_answers_the_same(milepost, kept):
    made = milepost.ok("-w", kept / "desk", "backup", kept / "backups")
    assert "Every byte was read back" in made.out
    before = milepost.ok("-w", kept / "desk", "predict", "route", "my card is gone", "--json").json
    whole = milepost.ok("restore", kept / "backups", "--check-only")
    assert "is whole" in whole.out
    shutil.rmtree(kept / "desk")
    done = milepost.ok("restore", kept / "backups", "again")
    assert "Restored backup" in done.out
    assert (
        milepost.ok("-w", "again", "predict", "route", "my card is gone", "--json").json == before
    )
    assert milepost("-w", "again", "improve", "route", "--strategy", "majority").code in {0, 1}
    ws = mp.Workspace.open("again")
    with open_context(Path("again")).ledger as ledger:
        entry = ledger.audit(action="ledger.restored")[0]
    assert entry.details["backup"] == mp.Workspace.backups(kept / "backups")[-1].id
    assert (ws.root / "data" / "route.csv").is_file()
    assert not list(ws.root.glob(".unfinished"))


def verified(milepost, desk):
    """What `audit verify` says of the log, all of it signed."""
    found = milepost.ok("-w", desk, "audit", "verify", "--json").json
    assert found["findings"] == []
    (log,) = found["tenants"]
    assert log["covered"] == log["entries"]
    return log


def test_the_restored_log_is_signed_to_its_end_and_goes_on(milepost, kept):
    before = verified(milepost, kept / "desk")
    made = milepost.ok("-w", kept / "desk", "backup", kept / "backups", "--json").json
    signed = [f for f in made["manifest"]["files"] if f["name"].startswith("checkpoints/")]
    assert len(signed) == before["checkpoints"]
    milepost.ok("restore", kept / "backups", "again")
    after = verified(milepost, "again")
    # The entry that says that it was restored has one of its own.
    assert after["entries"] == before["entries"] + 1
    assert after["checkpoints"] == before["checkpoints"] + 1
    milepost.ok("-w", "again", "promote", "route", "1")
    assert verified(milepost, "again")["entries"] == after["entries"] + 1


def test_an_old_backup_with_a_file_in_place_of_a_folder_of_checkpoints(milepost, kept):
    backup = newest(kept / "backups")
    manifest = json.loads((backup / "manifest.json").read_text())
    name = next(f["name"] for f in manifest["files"] if f["name"].startswith("checkpoints/"))
    folder = name.rpartition("/")[0]
    manifest["files"] = [
        file for file in manifest["files"] if not file["name"].startswith("checkpoints/")
    ]
    shutil.rmtree(backup / folder)
    (backup / folder).touch()
    manifest["files"].append({"name": folder, "sha256": sha256_file(backup / folder), "size": 0})
    (backup / "manifest.json").write_text(json.dumps(manifest))
    milepost.ok("restore", kept / "backups", "again", "--backup", backup.name)
    verified(milepost, "again")


def test_a_backup_is_noted_where_it_was_made(backed_up):
    folder, second = backed_up
    with open_context(folder / "desk").ledger as ledger:
        made = ledger.audit(action="backup.made")
        assert ledger.pins() == {}
    assert made[0].subject == second.manifest.id
    assert len(made) == 2


def files_of(backup):
    return [p for p in backup.rglob("*") if p.is_file() and p.stat().st_size]


def test_every_damaged_file_of_a_backup_is_found(kept, tmp_path):
    backup = newest(kept / "backups")
    files = [*files_of(backup), *files_of(kept / "backups" / "artifacts")]
    assert len(files) > 20
    for number, path in enumerate(files):
        whole = path.read_bytes()
        flipped = bytes([whole[0] ^ 1]) + whole[1:]
        bad = [whole[:-1], flipped, None][number % 3]
        path.unlink()
        if bad is not None:
            path.write_bytes(bad)
        with pytest.raises(mp.MilepostError):
            mp.Workspace.restore(kept / "backups", tmp_path / "new", backup=backup.name)
        assert not (tmp_path / "new").exists()
        path.write_bytes(whole)
    mp.Workspace.check_backup(kept / "backups", backup.name)


def rewritten(backup, table, change):
    """A backup in which rows were changed and the manifest was made to agree."""
    path = backup / "ledger" / f"{table}.jsonl"
    lines = change(path.read_bytes().splitlines(keepends=True))
    path.write_bytes(b"".join(lines))
    manifest = json.loads((backup / "manifest.json").read_text())
    digest = sha256_file(path)
    manifest["tables"][table] = {"rows": len(lines), "sha256": digest}
    for file in manifest["files"]:
        if file["name"] == f"ledger/{table}.jsonl":
            file |= {"sha256": digest, "size": path.stat().st_size}
    (backup / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    "change",
    [
        lambda lines: lines[:-1],
        lambda lines: lines[1:],
        lambda lines: [lines[1], lines[0], *lines[2:]],
        lambda lines: [lines[0].replace(b"tester", b"nobody"), *lines[1:]],
        lambda lines: [*lines, lines[-1]],
    ],
    ids=["cut off", "beginning gone", "swapped", "edited", "doubled"],
)
def test_an_audit_log_that_was_changed_with_its_digests(kept, change):
    backup = newest(kept / "backups")
    rewritten(backup, "audit", change)
    with pytest.raises(CorruptError, match="audit log"):
        mp.Workspace.check_backup(kept / "backups", backup.name)


@pytest.mark.parametrize(
    ("table", "old", "new"),
    [
        ("releases", b'"strategy":"tfidf_linear"', b'"strategy":"majority"'),
        ("releases", b'"number":1', b'"number":9'),
        ("channels", b'"release":2', b'"release":1'),
        ("approvals", b'"reason":"seen"', b'"reason":"never"'),
        ("tasks", b'"version":"', b'"version":"0'),
        ("datasets", b'"rows":', b'"rows":1'),
    ],
)
def test_rows_that_were_changed_with_their_digests(kept, tmp_path, table, old, new):
    asked = (kept / "desk" / "tasks" / "route.yaml").read_text()
    (kept / "desk" / "tasks" / "route.yaml").write_text(asked + "release: {approvals: 1}\n")
    ws = mp.Workspace.open(kept / "desk")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MILEPOST_ACTOR", "second")
        mp.Workspace.open(kept / "desk").approve("route", 1, reason="seen")
    made = ws.backup(kept / "backups").manifest.id
    backup = kept / "backups" / made

    def change(lines):
        assert any(old in line for line in lines)
        return [line.replace(old, new) for line in lines]

    rewritten(backup, table, change)
    with pytest.raises(mp.MilepostError):
        mp.Workspace.check_backup(kept / "backups", made)
    with pytest.raises(mp.MilepostError):
        mp.Workspace.restore(kept / "backups", tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_ledger_that_a_restore_would_refuse_is_not_backed_up(milepost, kept, is_refusal):
    with sqlite3.connect(kept / "desk" / ".milepost" / "ledger.db") as connection:
        connection.execute("UPDATE channels SET release = 1")
    connection.close()
    there = len(mp.Workspace.backups(kept / "backups"))
    done = milepost("-w", kept / "desk", "backup", kept / "backups")
    is_refusal(done, "route@production is not what", "audit verify")
    assert len(mp.Workspace.backups(kept / "backups")) == there


def test_a_damaged_artifact_is_named_with_what_needs_it(milepost, kept, is_refusal):
    with open_context(kept / "desk").ledger as ledger:
        digest = ledger.release("route", 1).bundle
    manifest = json.loads(next((kept / "desk").rglob(digest)).read_bytes())
    for bad in (manifest["files"][0]["sha256"], digest):
        path = next((kept / "desk").rglob(bad))
        path.chmod(0o644)
        path.write_bytes(b"damaged")
        # Elsewhere: a place that has the artifact does not read it again.
        done = milepost("-w", kept / "desk", "backup", milepost.folder / "elsewhere")
        is_refusal(done, "release route#1", ".milepost/artifacts", bad, "verify --all")
        assert ".copy-" not in done.err
    assert mp.Workspace.backups(milepost.folder / "elsewhere") == []


def test_the_newest_of_backups_made_within_a_second(backed_up):
    folder, second = backed_up
    names = [made.id for made in mp.Workspace.backups(folder / "backups")]
    times = [made.created for made in mp.Workspace.backups(folder / "backups")]
    assert names[-1] == second.manifest.id
    assert times == sorted(times)
    assert all(len(name) == len("20260131T235959.123456Z-3f2a") for name in names)


@pytest.mark.parametrize("name", ["../../x", "/etc/x", "tasks/../../x", "a\\b", "", "a//b"])
def test_names_in_a_manifest_never_leave_the_folder(kept, tmp_path, name):
    backup = newest(kept / "backups")
    for kind in ("files", "data"):
        manifest = json.loads((backup / "manifest.json").read_text())
        manifest[kind][0]["name"] = name
        (backup / "manifest.json").write_text(json.dumps(manifest))
        with pytest.raises(mp.MilepostError):
            mp.Workspace.restore(kept / "backups", tmp_path / "new", backup=backup.name)
    assert not list(tmp_path.rglob("x"))


def test_a_backup_of_a_newer_milepost(milepost, kept, is_refusal):
    backup = newest(kept / "backups")
    manifest = json.loads((backup / "manifest.json").read_text())
    (backup / "manifest.json").write_text(json.dumps({**manifest, "schema": "9999"}))
    is_refusal(milepost("restore", kept / "backups", "new"), "newer milepost", "Upgrade")
    (backup / "manifest.json").write_text(json.dumps({**manifest, "format": 99, "more": 1}))
    is_refusal(milepost("restore", kept / "backups", "new"), "format 99", "Upgrade")
    assert not (milepost.folder / "new").exists()


def test_places_that_are_refused(milepost, kept, is_refusal):
    desk, filled = kept / "desk", milepost.folder / "filled"
    filled.mkdir()
    (filled / "notes.txt").write_text("mine")
    is_refusal(milepost("-w", desk, "backup", desk / "backups"), "inside the workspace")
    is_refusal(milepost("-w", desk, "backup", filled), "not a folder of backups")
    is_refusal(milepost("-w", desk, "backup", "s3://key:geheim@bucket/x"), "folders only")
    assert "geheim" not in milepost("-w", desk, "backup", "s3://key:geheim@bucket/x").err
    is_refusal(milepost("restore", kept / "backups", filled), "not empty")
    is_refusal(milepost("restore", kept / "backups", desk), "workspace here already")
    is_refusal(milepost("restore", kept / "backups"), "new folder")
    is_refusal(milepost("restore", kept / "backups", "new", "--backup", "x"), "no backup 'x'")
    is_refusal(milepost("restore", filled, "new"), "not a folder of backups")
    is_refusal(milepost("restore", milepost.folder / "nowhere", "new"), "no whole backup")


def test_a_backup_that_was_broken_off_is_cleaned_up(milepost, kept):
    desk, place = kept / "desk", kept / "backups"
    process = milepost.start("-w", desk, "backup", place)
    until = time.monotonic() + 60
    while not any(not (path / "manifest.json").exists() for path in place.glob("2*Z-*")):
        assert process.poll() is None
        assert time.monotonic() < until
        os.sched_yield()
    process.kill()
    process.communicate()
    whole = [made.id for made in mp.Workspace.backups(place)]
    broken = [path.name for path in place.glob("2*Z-*") if path.name not in whole]
    done = milepost.ok("-w", desk, "backup", place, "--json").json
    assert done["cleaned"] == broken
    assert [made.id for made in mp.Workspace.backups(place)] == [*whole, done["manifest"]["id"]]
    with open_context(desk).ledger as ledger:
        assert ledger.pins() == {}


def test_a_backup_is_deleted_by_deleting_its_folder(kept):
    place, ws = kept / "backups", mp.Workspace.open(kept / "desk")
    ws.add(mp.Task(name="other", labels={"a": "", "b": ""}), TICKETS_FRAME)
    ws.improve("other", strategies=["majority"])
    third = ws.backup(place)
    assert third.added_files
    stored = len(list((place / "artifacts").rglob("????????????????*")))
    shutil.rmtree(place / third.manifest.id)
    desk = mp.Workspace.restore(place, kept / "again")[0]
    desk.backup(place)
    assert len(list((place / "artifacts").rglob("????????????????*"))) < stored
    mp.Workspace.check_backup(place)


TICKETS_FRAME = [{"text": f"{word} {n}", "label": word} for word in ("a", "b") for n in range(20)]


def test_a_password_is_in_no_backup(kept):
    desk = kept / "desk"
    text = (desk / "milepost.toml").read_text()
    (desk / "milepost.toml").write_text(
        text.replace("# openlineage is not set",
                     'openlineage = "https://me:geheim@lineage.invalid/x?api_key=geheim"')
    )  # fmt: skip
    made = mp.Workspace.open(desk).backup(kept / "backups")
    kept_text = (kept / "backups" / made.manifest.id / "milepost.toml").read_text()
    assert "geheim" not in kept_text
    assert "https://me:***@lineage.invalid/x?api_key=***" in kept_text


@pytest.mark.slow
def test_moved_to_a_server_and_back(milepost, kept, new_postgres_database, is_refusal):
    desk, url = kept / "desk", new_postgres_database()
    comment = "# where records are kept\n"
    toml = desk / "milepost.toml"
    toml.write_text(comment + toml.read_text())
    before = milepost.ok("-w", desk, "releases", "route", "--json").json
    is_refusal(milepost("-w", desk, "migrate-store", url), "holds a password", "PGPASSWORD")
    reference = url.replace("s3cret", "${DB_WORD}")
    is_refusal(milepost("-w", desk, "migrate-store", reference), "DB_WORD", "not set")
    milepost.environment["DB_WORD"] = "s3cret"
    done = milepost.ok("-w", desk, "migrate-store", reference)
    assert "copied and compared" in done.out
    assert "s3cret" not in done.out + toml.read_text()
    assert toml.read_text().startswith(comment)
    assert milepost.ok("-w", desk, "releases", "route", "--json").json == before
    is_refusal(milepost("-w", desk, "migrate-store", reference), "there already")
    is_refusal(
        milepost("-w", desk, "migrate-store", "sqlite:///.milepost/ledger.db"),
        "old copy",
        "Name another file",
    )
    verified(milepost, desk)
    milepost.ok("-w", desk, "migrate-store", "sqlite:///.milepost/home.db")
    assert milepost.ok("-w", desk, "releases", "route", "--json").json == before
    del milepost.environment["DB_WORD"]
    assert milepost.ok("-w", desk, "promote", "route", "1").code == 0
    milepost.environment["DB_WORD"] = "s3cret"
    is_refusal(
        milepost("restore", kept / "backups", "new", "--ledger", reference),
        "old copy",
    )
    again = ("restore", kept / "backups", "new", "--ledger")
    encoded = "postgresql://me:p%40ss%2Fword@localhost/x"
    for address in (url, encoded, "postgresql://me@localhost/x?password=p%2540ss"):
        for command in (("-w", desk, "migrate-store"), again):
            done = milepost(*command, address)
            is_refusal(done, "holds a password", "PGPASSWORD")
            assert "p%40" not in done.err
        assert not list((milepost.folder / "new").glob("*"))
    empty = new_postgres_database().replace("s3cret", "${DB_WORD}")
    milepost.ok("restore", kept / "backups", "new", "--ledger", empty)
    assert milepost.ok("-w", "new", "releases", "route", "--json").json == before
