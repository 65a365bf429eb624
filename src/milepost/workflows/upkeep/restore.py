"""Makes a workspace from a backup, after every byte of the backup was verified.

``milepost.toml`` comes last, and until then the new folder is marked as unfinished: a restore that
was broken off is begun again in the same folder, and in the same database.
"""

import socket
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir

from milepost._base.clock import Clock, utc_now
from milepost._base.digest import digest_of
from milepost.entities.backup import BackupManifest, Restored
from milepost.entities.configuration import Configuration, parse_configuration
from milepost.entities.errors import CorruptError, WorkspaceError
from milepost.storage.chain import GENESIS, entry_hash
from milepost.storage.database import Database
from milepost.storage.files.artifacts import open_artifacts
from milepost.storage.files.digest_files import explained, make_folders
from milepost.storage.migrations.upgrade import VERSIONS
from milepost.storage.moving import Act, Arrival
from milepost.storage.records.needs import NeedRecords
from milepost.storage.tables import DEFAULT, audit
from milepost.storage.transfer import Plain, Table, parse
from milepost.workflows.context import local_actor
from milepost.workflows.ledger_address import (
    FILE,
    ledger_url,
    refuse_password,
    sign_head,
    with_places,
)
from milepost.workflows.new_folder import new_folder
from milepost.workflows.tasks.files import write_whole
from milepost.workflows.upkeep.backup import CHECKPOINTS, check_recorded
from milepost.workflows.upkeep.backup_pins import PINNED
from milepost.workflows.upkeep.backup_place import BackupPlace, local

HIDDEN = ".milepost"


def backups(place: str) -> list[BackupManifest]:
    """The whole backups in a folder, oldest first.

    Raises:
        WorkspaceError: If it is no folder of backups.
        CorruptError: If a manifest cannot be read.
    """
    there = BackupPlace.at(place)
    return [there.manifest(name) for name in there.ids()]


def check_backup(place: str, backup: str | None = None) -> Restored:
    """Read every byte of a backup and every link of its audit chain; writes nothing to it.

    Its rows are put into a ledger for the moment, among the temporary files of the system, and
    held there against the audit entries that recorded them.

    Raises:
        WorkspaceError: If there is no backup, or a newer milepost made it.
        CorruptError: If anything of it is missing or not what it was.
        StorageError: If there is no room for the temporary ledger.
    """
    there = BackupPlace.at(place)
    manifest = there.manifest(there.newest(backup))
    if manifest.schema not in VERSIONS:
        raise WorkspaceError(
            f"the backup is from a newer milepost (its tables are version {manifest.schema}, this "
            f"one knows up to {VERSIONS[-1]}).",
            where=str(there.folder(manifest.id)),
            advice="Upgrade with: pip install --upgrade milepost.",
        )
    there.check(manifest)
    _check_tables(there, manifest)
    return Restored(directory=None, manifest=manifest)


def restore(
    place: str,
    directory: Path,
    *,
    clock: Clock = utc_now,
    backup: str | None = None,
    ledger: str | None = None,
) -> Restored:
    """Make a workspace from a backup.

    Args:
        place: Folder of backups.
        directory: A new or empty folder, or one in which a restore was broken off.
        clock: Gives the time of the audit entry.
        backup: Name of the backup; ``None`` takes the newest.
        ledger: Address of an empty database for the ledger, as ``milepost.toml`` will name it;
            ``None`` makes a SQLite file in the new folder.

    Raises:
        WorkspaceError: If the folder or the database holds something, or as ``check_backup``.
        InputError: If the ledger's address holds a password.
        CorruptError: If the backup is damaged; nothing is written then.
        StorageError: If something cannot be written; the folder is empty again then.
    """
    if ledger is not None:
        refuse_password(ledger)
    checked = check_backup(place, backup)
    manifest, there = checked.manifest, BackupPlace.at(place)
    directory = directory.absolute()
    text = _configuration_text(there, manifest, ledger)
    configuration = parse_configuration(text, FILE)
    target = Database(ledger_url(directory, configuration.ledger))
    try:
        with new_folder(directory):
            _restore_files(there, manifest, directory, configuration)
            stored = _restore_ledger(there, manifest, target, directory, clock)
            write_whole(directory / FILE, text.encode())
        stored.finish()
        sign_head(target, directory)
    finally:
        target.close()
    return Restored(
        directory=str(directory),
        manifest=manifest,
        ledger=target.address.label,
        migrated=manifest.schema if manifest.schema != VERSIONS[-1] else None,
    )


def _check_tables(there: BackupPlace, manifest: BackupManifest) -> None:
    files = {file.name: file for file in manifest.files}
    for name, count in manifest.tables.items():
        file = files.get(_table_file(name))
        path = there.folder(manifest.id) / local(_table_file(name))
        if file is None or file.sha256 != count.sha256:
            raise CorruptError("the rows are not those that the manifest counts.", where=str(path))
        with explained(path), path.open("rb") as lines:
            if sum(1 for _ in lines) != count.rows:
                raise CorruptError("rows are missing.", where=str(path))
    if manifest.schema == VERSIONS[-1]:
        _check_chains(there, manifest)
    _check_records(there, manifest)


def _check_chains(there: BackupPlace, manifest: BackupManifest) -> None:
    """Follow the audit log of every tenant to the head that the manifest names."""
    heads: dict[str, tuple[int, str]] = {}
    for row in _rows(there, manifest, audit):
        sequence, before = heads.get(row["tenant"], (0, GENESIS))
        row_hash = row.pop("hash")
        if row["sequence"] != sequence + 1 or row_hash != entry_hash(before, **row):
            raise CorruptError(
                f"the audit log breaks at entry {row['sequence']} of {row['tenant']!r}.",
                where=str(there.folder(manifest.id)),
                advice="Use another backup, and look at `milepost audit verify`.",
            )
        heads[row["tenant"]] = (row["sequence"], row_hash)
    if manifest.heads != {tenant: f"{n}:{end}" for tenant, (n, end) in heads.items()}:
        raise CorruptError(
            "the audit log does not end where the manifest says.",
            where=str(there.folder(manifest.id)),
            advice="Use another backup.",
        )


def _check_records(there: BackupPlace, manifest: BackupManifest) -> None:
    """Hold the rows against the audit entries that recorded them."""
    temporary = Path(gettempdir())
    with explained(temporary), TemporaryDirectory(prefix="milepost-check-") as scratch:
        copy = Database(f"sqlite:///{scratch}/ledger.db")
        try:
            _restore_ledger(there, manifest, copy, Path(scratch), utc_now)
            check_recorded(copy, str(there.folder(manifest.id)), "Use another backup.")
        finally:
            copy.close()


def _rows(there: BackupPlace, manifest: BackupManifest, table: Table) -> Iterator[Plain]:
    path = there.folder(manifest.id) / local(_table_file(table.name))
    with explained(path), path.open("rb") as lines:
        for line in lines:
            yield parse(table, line)


def _table_file(name: str) -> str:
    return f"ledger/{name}.jsonl"


def _configuration_text(there: BackupPlace, manifest: BackupManifest, ledger: str | None) -> str:
    """``milepost.toml`` for the new folder, which shares nothing with the old one.

    The ledger, the artifacts and the checkpoints of the workspace that was backed up may still be
    in use: what lay outside its folder is put inside the new one.
    """
    path = there.folder(manifest.id) / FILE
    with explained(path):
        text = path.read_text(encoding="utf-8")
    before, default = parse_configuration(text, FILE), Configuration()
    own_ledger = default.ledger
    if before.ledger.startswith("sqlite:///") and _inside(before.ledger.removeprefix("sqlite:///")):
        own_ledger = before.ledger
    places = {"ledger": ledger or own_ledger}
    for field in ("artifacts", "checkpoints"):
        written = str(getattr(before, field))
        places[field] = written if _inside(written) else str(getattr(default, field))
    return with_places(text, **places)


def _inside(path: str) -> bool:
    """Whether it is a relative path that stays in the workspace."""
    return "://" not in path and not Path(path).is_absolute() and ".." not in Path(path).parts


def _restore_files(
    there: BackupPlace, manifest: BackupManifest, root: Path, configuration: Configuration
) -> None:
    source = there.folder(manifest.id)
    with explained(root):
        for folder in ("tasks", "data", HIDDEN):
            make_folders(root / folder)
    write_whole(root / HIDDEN / ".gitignore", b"*\n")
    for file in manifest.files:
        kind, _, rest = file.name.partition("/")
        goal = {"tasks": Path("tasks"), CHECKPOINTS: Path(configuration.checkpoints)}.get(kind)
        # The first backups held an empty file in place of a folder of checkpoints.
        if goal is not None and (kind != CHECKPOINTS or file.size):
            path = root / goal / local(rest)
            with explained(path):
                make_folders(path.parent)
                write_whole(path, (source / local(file.name)).read_bytes())
    for file in manifest.data:
        path = root / local(file.name)
        with explained(path):
            make_folders(path.parent)
        there.artifacts.copy(file.sha256, path)
    artifacts = open_artifacts(root / configuration.artifacts)
    with explained(root), TemporaryDirectory(dir=root, prefix=".copy-") as scratch:
        for file in manifest.artifacts:
            path = Path(scratch) / "artifact"
            there.artifacts.copy(file.sha256, path)
            artifacts.put_file(path)


def _restore_ledger(
    there: BackupPlace, manifest: BackupManifest, target: Database, root: Path, clock: Clock
) -> Arrival:
    arrival = Arrival(target, clock, DEFAULT)
    act = Act(
        actor=local_actor(),
        action="ledger.restored",
        subject=FILE,
        reason="restored from a backup",
        details={
            "backup": manifest.id,
            "made": manifest.created.isoformat(),
            "head": manifest.heads.get(DEFAULT, ""),
        },
    )
    stored = arrival.fill_from(
        manifest.schema,
        manifest.tables,
        lambda table: _rows(there, manifest, table),
        digest_of([socket.gethostname(), str(root), manifest.id]),
        act,
    )
    if stored != manifest.tables:
        raise CorruptError(
            "the rows are not those that the backup counts.",
            where=str(there.folder(manifest.id)),
            advice="Use another backup.",
        )
    records = NeedRecords(target, clock, DEFAULT)
    for owner in records.pins():
        # Backups of the old workspace will never let go of them here.
        if owner.startswith(PINNED):
            records.unpin(owner)
    return arrival
