"""A folder that holds backups: one folder per backup, and the artifacts that they share.

::

    PLACE/milepost-backups.json          says what this folder is
    PLACE/artifacts/ab/cd/abcd…          bytes by their SHA-256, shared by all backups
    PLACE/20260131T235959.123456Z-3f2a/  a backup: ledger/*.jsonl, tasks/*.yaml, milepost.toml, …
                    manifest.json        written last: without it the backup was broken off

Knows no ledger and no workspace.
"""

import hashlib
import os
import re
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import msgspec

from milepost._base.digest import canonical_json, sha256_file
from milepost.entities.backup import BACKUP_FORMAT, BackupFile, BackupManifest
from milepost.entities.errors import CorruptError, StorageError, UnknownNameError, WorkspaceError
from milepost.entities.ids import Digest
from milepost.storage.files.artifacts import open_artifacts
from milepost.storage.files.digest_files import explained, make_folders, sync_folder
from milepost.storage.files.store import Artifacts
from milepost.workflows.tasks.files import write_whole

MANIFEST = "manifest.json"
_MARK = "milepost-backups.json"
_ARTIFACTS = "artifacts"
_LOCK = ".lock"
# Microseconds are in the order of the names too; the first backups had none.
_ID = re.compile(r"\d{8}T\d{6}(\.\d{6})?Z-[0-9a-f]{4}")


class BackupPlace:
    """A folder of backups.

    Args:
        root: The folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.artifacts: Artifacts = open_artifacts(self.root / _ARTIFACTS)

    @classmethod
    def at(cls, place: str) -> "BackupPlace":
        """The place at a folder, which may not be there yet.

        Raises:
            WorkspaceError: If it is an address, or a folder that holds something else.
        """
        if "://" in place:
            raise WorkspaceError(
                "backups are written to folders only.",
                where=place.partition("://")[0] + "://…",
                advice="Name a folder, and copy it with the tools of your object store: files in "
                "it are added and removed, never changed.",
            )
        found = cls(Path(place))
        with explained(found.root):
            taken = found.root.exists() and not (found.root.is_dir() and _is_empty(found.root))
        if taken and not (found.root / _MARK).is_file():
            raise WorkspaceError(
                "this is not a folder of backups.",
                where=place,
                advice="Name a new or empty folder, or one that `milepost backup` wrote to.",
            )
        return found

    def prepare(self) -> None:
        """Make the folder and say what it is."""
        if not (self.root / _MARK).is_file():
            write_whole(self.root / _MARK, canonical_json({"format": BACKUP_FORMAT}))

    @contextmanager
    def alone(self) -> Generator[None]:
        """Hold off other backups into this folder; the system ends it with the process.

        Raises:
            StorageError: If another backup is running.
        """
        if os.name != "posix":
            yield
            return
        import fcntl

        with explained(self.root), (self.root / _LOCK).open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise StorageError(
                    "another backup into this folder is running.",
                    where=str(self.root),
                    advice="Wait until it is done.",
                ) from None
            yield

    def ids(self) -> list[str]:
        """Names of the whole backups, oldest first."""
        return [name for name in self._folders() if (self.root / name / MANIFEST).is_file()]

    def broken(self) -> list[str]:
        """Names of the backups that were broken off."""
        return [name for name in self._folders() if not (self.root / name / MANIFEST).is_file()]

    def folder(self, backup: str) -> Path:
        """The folder of a backup."""
        return self.root / backup

    def remove(self, backup: str) -> None:
        """Remove a backup that was broken off."""
        with explained(self.root):
            shutil.rmtree(self.folder(backup))

    def newest(self, backup: str | None = None) -> str:
        """The name of the newest backup, or the given one if it is there.

        Raises:
            WorkspaceError: If there is none.
            UnknownNameError: If the given one is not there, or was broken off.
        """
        names = self.ids()
        if backup is not None and backup not in names:
            raise UnknownNameError("backup", backup, names, where=str(self.root))
        if not names:
            raise WorkspaceError(
                "there is no whole backup here.",
                where=str(self.root),
                advice="Make one with `milepost backup`.",
            )
        return backup or names[-1]

    def manifest(self, backup: str) -> BackupManifest:
        """What a backup says about itself.

        Raises:
            CorruptError: If it cannot be read.
            WorkspaceError: If a newer milepost wrote it.
        """
        path = self.folder(backup) / MANIFEST
        with explained(path):
            text = path.read_bytes()
        try:
            written = msgspec.json.decode(text, type=dict[str, object]).get("format")
            if isinstance(written, int) and written > BACKUP_FORMAT:
                raise WorkspaceError(
                    f"this backup has format {written}; this milepost reads up to {BACKUP_FORMAT}.",
                    where=str(path),
                    advice="Upgrade with: pip install --upgrade milepost.",
                )
            return msgspec.json.decode(text, type=BackupManifest)
        except msgspec.DecodeError as error:
            raise CorruptError(
                f"the manifest cannot be read: {error}.",
                where=str(path),
                advice="Use another backup.",
            ) from error

    def check(self, manifest: BackupManifest) -> None:
        """Read every byte that a backup names.

        Raises:
            CorruptError: If one is missing or not what it was; names the first.
        """
        for file in manifest.files:
            path = self.folder(manifest.id) / local(file.name)
            with explained(path):
                whole = path.is_file() and path.stat().st_size == file.size
                if not whole or sha256_file(path) != file.sha256:
                    raise CorruptError(
                        "this file of the backup is missing, or not what it was.",
                        where=str(path),
                        advice="Use another backup.",
                    )
        for file in (*manifest.artifacts, *manifest.data):
            self.artifacts.open(file.sha256).close()

    def sweep(self, now: datetime) -> None:
        """Remove the artifacts that no backup names; nothing, where a manifest cannot be read."""
        kept: set[str] = set()
        for name in self.ids():
            try:
                manifest = self.manifest(name)
            except (CorruptError, WorkspaceError):
                return
            kept.update(file.sha256 for file in (*manifest.artifacts, *manifest.data))
        for stored in list(self.artifacts.list()):
            if stored.digest not in kept:
                self.artifacts.delete(stored.digest, now)
        self.artifacts.sweep(now)

    def _folders(self) -> list[str]:
        with explained(self.root):
            if not self.root.is_dir():
                return []
            return sorted(path.name for path in self.root.iterdir() if _ID.fullmatch(path.name))


def _is_empty(folder: Path) -> bool:
    return next(folder.iterdir(), None) is None


class FileWriter:
    """Writes one file of a backup line by line, and digests it on the way.

    Args:
        folder: Of the backup.
        name: Path of the file in it.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        path = folder / local(name)
        self._folder = path.parent
        make_folders(self._folder)
        self._file = path.open("wb")
        self._hash = hashlib.sha256()
        self._size = 0

    def write(self, data: bytes) -> None:
        """Append bytes."""
        self._file.write(data)
        self._hash.update(data)
        self._size += len(data)

    def close(self) -> BackupFile:
        """Flush the file to the disk; says what it holds."""
        with self._file:
            self._file.flush()
            os.fsync(self._file.fileno())
        sync_folder(self._folder)
        return BackupFile(name=self.name, sha256=Digest(self._hash.hexdigest()), size=self._size)


def local(name: str) -> Path:
    """A name from a manifest as a path that stays below its folder.

    Raises:
        CorruptError: If it is absolute, climbs, or holds what no name holds.
    """
    path = Path(name)
    parts = name.split("/")
    if path.is_absolute() or "\\" in name or "\0" in name or {"", ".", ".."} & set(parts):
        raise CorruptError(
            f"{name[:80]!r} is no name of a file in a backup.", advice="Use another backup."
        )
    return path
