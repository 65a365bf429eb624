"""Makes a backup of a workspace while it is in use.

The ledger is copied as it is at one moment. Artifacts never change, so those that it needs can be
copied afterwards: they are pinned first, so that no garbage collection takes them meanwhile.
"""

import re
import secrets
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from milepost._base.digest import sha256_file
from milepost.entities.backup import BackupFile, BackupMade, BackupManifest, TableCount
from milepost.entities.errors import (
    CorruptError,
    InputError,
    MilepostError,
    StorageError,
    WorkspaceError,
)
from milepost.entities.ids import Digest
from milepost.storage.database import Database
from milepost.storage.driver_errors import Address
from milepost.storage.files.digest_files import explained, make_folders
from milepost.storage.migrations.upgrade import VERSIONS
from milepost.storage.moving import Act, Journal
from milepost.storage.proof.checkpoints import Checkpoints
from milepost.storage.proof.places import open_place
from milepost.storage.proof.verification import verify
from milepost.storage.transfer import Tally, rows_of, snapshot, tables_in
from milepost.workflows.context import Context
from milepost.workflows.ledger_address import FILE, ledger_url
from milepost.workflows.tasks.files import FOLDER, read_task, task_names, write_whole
from milepost.workflows.upkeep.backup_pins import blame, pin, unpin
from milepost.workflows.upkeep.backup_place import MANIFEST, BackupPlace, FileWriter

CHECKPOINTS = "checkpoints"
_OF_ROWS = {"edited", "deleted", "reordered", "inserted", "record"}
"""Kinds of faults that the rows of a ledger show by themselves, without checkpoints."""

_STARS = "***"
# A reference to an environment variable, ``${NAME}``, is no password.
_USER = re.compile(r"(://[^/@\s:\"']*):(?!\$\{\w+\}@)[^@\s\"']*@")
_PARAMETER = re.compile(
    r"([?&][^=&\"']*(?:password|secret|token|key|sig)[^=&\"']*)=[^&\"'\s]*", re.I
)


@dataclass(slots=True)
class _Draft:
    """What a backup holds so far."""

    id: str
    folder: Path
    tables: dict[str, TableCount] = field(default_factory=dict)
    heads: dict[str, str] = field(default_factory=dict)
    files: list[BackupFile] = field(default_factory=list)
    artifacts: list[BackupFile] = field(default_factory=list)
    data: list[BackupFile] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)
    added_files: int = 0
    added_bytes: int = 0


def backup(context: Context, place: str) -> BackupMade:
    """Write a new backup of the workspace under a folder; what is there already is shared.

    Args:
        context: The workspace; it may be in use.
        place: A new or empty folder, or one with backups, outside the workspace.

    Raises:
        WorkspaceError: If the place is an address, lies in the workspace, or holds something else.
        CorruptError: If an artifact that is needed is damaged, or the ledger's rows are not what
            its audit log recorded: a restore would refuse them.
        StorageError: If something cannot be read or written; the backup does not count then.
    """
    there = BackupPlace.at(place)
    if there.root.resolve().is_relative_to(context.root):
        raise WorkspaceError(
            "the backups would lie inside the workspace, and be lost with it.",
            where=place,
            advice="Name a folder elsewhere, best on another disk.",
        )
    label = context.ledger.database.address.label
    check_recorded(context.ledger.database, label, "Look at `milepost audit verify`.")
    there.prepare()
    with there.alone():
        cleaned = _clean(context, there)
        now = context.clock()
        backup_id = f"{now:%Y%m%dT%H%M%S.%fZ}-{secrets.token_hex(2)}"
        draft = _Draft(backup_id, there.folder(backup_id))
        with explained(draft.folder):
            make_folders(draft.folder)
        try:
            manifest = _written(context, there, draft)
        except BaseException:
            # What went wrong matters more; the next backup cleans up what is left.
            with suppress(MilepostError):
                _forget(context, there, backup_id)
            raise
        unpin(context, backup_id)
        there.sweep(now)
    head = manifest.heads.get(context.ledger.tenant, "")
    act = Act(
        actor=context.actor,
        action="backup.made",
        subject=backup_id,
        reason="asked for",
        details={"head": head, "rows": manifest.rows, "artifacts": len(manifest.artifacts)},
    )
    Journal.of(context.ledger).record(act)
    return BackupMade(
        place=str(there.root),
        manifest=manifest,
        added_files=draft.added_files,
        added_bytes=draft.added_bytes,
        cleaned=cleaned,
    )


def _written(context: Context, there: BackupPlace, draft: _Draft) -> BackupManifest:
    needed = pin(context, draft.id)
    created = context.clock()
    context.on_event("backup", "copying the ledger", 0.0)
    with explained(draft.folder):
        # Before the ledger: what these sign was committed, so that the copied log reaches as far.
        _copy_checkpoints(context, draft)
        _copy_ledger(context, draft)
        _copy_files(context, there, draft)
    # Rows that came since the first look are in the snapshot too.
    needed |= pin(context, draft.id)
    _copy_artifacts(context, there, draft, sorted(needed))
    manifest = BackupManifest(
        id=draft.id,
        created=created,
        actor=context.actor,
        milepost=version("milepost"),
        schema=VERSIONS[-1],
        source=context.ledger.database.address.label,
        tables=draft.tables,
        heads=draft.heads,
        files=tuple(draft.files),
        artifacts=tuple(draft.artifacts),
        data=tuple(draft.data),
        outside=tuple(draft.outside),
    )
    context.on_event("backup", "verifying", 0.9)
    there.check(manifest)
    text = msgspec.json.format(msgspec.json.encode(manifest), indent=1)
    write_whole(draft.folder / MANIFEST, text)
    draft.added_bytes += sum(file.size for file in draft.files)
    return manifest


def _copy_ledger(context: Context, draft: _Draft) -> None:
    with snapshot(context.ledger.database, draft.folder) as connection:
        for table in tables_in(connection):
            file, tally = FileWriter(draft.folder, f"ledger/{table.name}.jsonl"), Tally(table)
            for row in rows_of(connection, table):
                file.write(tally.add(row))
                if table.name == "audit":
                    draft.heads[row["tenant"]] = f"{row['sequence']}:{row['hash']}"
            draft.files.append(file.close())
            draft.tables[table.name] = tally.count


def _copy_files(context: Context, there: BackupPlace, draft: _Draft) -> None:
    root = context.root
    text = (root / FILE).read_text(encoding="utf-8-sig")
    _write(draft, FILE, without_passwords(text, context).encode())
    for name in task_names(root):
        path = f"{FOLDER}/{name}.yaml"
        _write(draft, path, (root / path).read_bytes())
    for name in _data_files(context):
        path = (root / name).resolve()
        if not path.is_relative_to(root):
            draft.outside.append(name)
        elif path.is_file():
            draft.data.append(_share(there, draft, path, name))


def _copy_artifacts(context: Context, there: BackupPlace, draft: _Draft, needed: list[str]) -> None:
    with explained(draft.folder), TemporaryDirectory(dir=draft.folder, prefix=".copy-") as scratch:
        for number, digest in enumerate(needed):
            context.on_event("backup", "copying artifacts", 0.1 + 0.8 * number / len(needed))
            if _whole(there, digest):
                size = there.artifacts.size(digest)
                draft.artifacts.append(BackupFile(name="", sha256=Digest(digest), size=size))
            else:
                path = Path(scratch) / "artifact"
                try:
                    context.artifacts.copy(digest, path)
                except StorageError:
                    blame(context, digest)
                    raise
                draft.artifacts.append(_share(there, draft, path, ""))


def _share(there: BackupPlace, draft: _Draft, path: Path, name: str) -> BackupFile:
    """Put a file among the shared artifacts; what is there already costs nothing."""
    new = not there.artifacts.exists(sha256_file(path))
    digest = there.artifacts.put_file(path)
    size = there.artifacts.size(digest)
    draft.added_files += new
    draft.added_bytes += size * new
    return BackupFile(name=name, sha256=digest, size=size)


def _whole(there: BackupPlace, digest: str) -> bool:
    if not there.artifacts.exists(digest):
        return False
    try:
        there.artifacts.open(digest).close()
    except CorruptError:
        return False
    return True


def _write(draft: _Draft, name: str, data: bytes) -> None:
    file = FileWriter(draft.folder, name)
    file.write(data)
    draft.files.append(file.close())


def _data_files(context: Context) -> list[str]:
    """Files that tasks name, each once; a task file that is not valid names none."""
    names: set[str] = set()
    for name in task_names(context.root):
        with suppress(InputError):
            data = read_task(context.root, name).data
            names.update(data.example_files + data.test_files + data.unlabeled_files)
    kept = context.images.folder
    if kept is not None and kept.is_dir():
        names.update(str(file.relative_to(context.root)) for file in kept.glob("??/*.*"))
    return sorted(names)


def _copy_checkpoints(context: Context, draft: _Draft) -> None:
    written = context.configuration.checkpoints
    place = open_place(written if "://" in written else context.root / written)
    for name, data in Checkpoints(place).all():
        _write(draft, f"{CHECKPOINTS}/{name}", data)


def check_recorded(database: Database, where: str, advice: str) -> None:
    """Hold a ledger's rows against its audit log, and the log against its own hashes.

    Raises:
        CorruptError: If they do not fit; says the first thing that does not.
    """
    # Checkpoints are judged by `milepost audit verify`: whose signatures count is set there.
    with TemporaryDirectory(prefix="milepost-none-") as nothing:
        report = verify(database, Checkpoints(open_place(Path(nothing))), ())
    for found in report.findings:
        if found.kind in _OF_ROWS:
            raise CorruptError(
                f"the ledger is not what its audit log says: {found.what}",
                where=where,
                advice=advice,
            )


def _clean(context: Context, there: BackupPlace) -> tuple[str, ...]:
    """Remove what broken-off backups left; nobody else writes here now."""
    broken = tuple(there.broken())
    for name in broken:
        _forget(context, there, name)
    return broken


def _forget(context: Context, there: BackupPlace, backup_id: str) -> None:
    there.remove(backup_id)
    unpin(context, backup_id)


def without_passwords(text: str, context: Context) -> str:
    """The text of ``milepost.toml`` with stars for every password in an address."""
    for secret in Address.parse(ledger_url(context.root, context.configuration.ledger)).secrets:
        text = text.replace(secret, _STARS)
    return _PARAMETER.sub(rf"\1={_STARS}", _USER.sub(rf"\1:{_STARS}@", text))
