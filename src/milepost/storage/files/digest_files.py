"""What every artifact store needs: checked digests, whole files or none, plain errors."""

import contextlib
import errno
import hashlib
import os
import secrets
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from milepost._base.digest import sha256_bytes
from milepost.entities.errors import CorruptError, InputError, StorageError, WorkspaceError
from milepost.entities.ids import Digest

CHUNK = 1 << 20
"""Bytes that are read at a time."""

TEMPORARY = ".tmp"
"""How the names of files end that are still being written."""

READ_ONLY = 0o444
"""Permissions of stored bytes: content that is found by its digest is never edited."""

_HEX = frozenset("0123456789abcdef")
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FORBIDDEN = {errno.EROFS, errno.EACCES, errno.EPERM}
_UNSYNCED = {errno.EACCES, errno.EPERM, errno.EINVAL}

# Folders whose names this process has seen flushed.
_settled: set[Path] = set()


def is_digest(text: str, length: int = 64) -> bool:
    """Whether ``text`` is that many lower-case hex digits."""
    return len(text) == length and _HEX.issuperset(text)


def check_digest(text: str) -> Digest:
    """``text`` as a digest.

    Raises:
        InputError: If it is not 64 lower-case hex digits.
    """
    if not isinstance(text, str) or not is_digest(text):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InputError(
            f"{str(text)[:80]!r} is not a digest.", advice="A digest is 64 lower-case hex digits."
        )
    return Digest(text)


def verified(data: bytes, digest: str, where: str) -> bytes:
    """``data`` if it has that digest.

    Raises:
        CorruptError: If it has not.
    """
    if sha256_bytes(data) != digest:
        raise corrupt(digest, where)
    return data


def corrupt(digest: str, where: str) -> CorruptError:
    """The error for bytes that are not what their digest says."""
    return CorruptError(
        f"the bytes of the artifact {digest} are not what they were when they were stored.",
        where=where,
        advice="Restore it from a backup, or make it again.",
    )


def missing(digest: str, where: str) -> StorageError:
    """The error for a digest without bytes."""
    return StorageError(
        f"there is no artifact {digest}.",
        where=where,
        advice="Restore it from a backup, or make it again.",
    )


@contextmanager
def explained(path: Path | str) -> Generator[None]:
    """Turn errors of the file system into errors that say what to do.

    Raises:
        StorageError: If the disk is full, or for any other failure.
        WorkspaceError: If the place may not be read or written.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise StorageError(
                "the disk is full; nothing was stored.",
                where=str(path),
                advice="Free some space and try again.",
            ) from error
        if error.errno in _FORBIDDEN:
            raise WorkspaceError(
                "access is not permitted.",
                where=str(path),
                advice="Check the permissions of the file and of its folder.",
            ) from error
        raise StorageError(
            f"reading or writing failed: {str(error.strerror or error).rstrip('.')}.",
            where=str(path),
        ) from error


def write_file(path: Path, source: BinaryIO, digest: str, *, mode: int = 0o666) -> None:
    """Write a file if what ``source`` still holds has that digest; leave ``path`` as it is if not.

    The bytes go to a file beside it, are flushed to the disk and renamed.

    Args:
        path: Where to; its folder must exist.
        source: Read from where it stands to its end.
        digest: What the bytes must have.
        mode: Permissions, less the process's mask.

    Raises:
        CorruptError: If the bytes do not have that digest.
        StorageError: If the disk is full or anything else fails.
        WorkspaceError: If the folder may not be written.
    """
    beside = path.with_name(f".{secrets.token_hex(8)}{TEMPORARY}")
    with explained(path):
        try:
            handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
            with os.fdopen(handle, "wb") as target:
                seen = copy_bytes(source, target)
                target.flush()
                os.fsync(target.fileno())
            if seen != digest:
                raise corrupt(digest, str(path))
            beside.replace(path)
            sync_folder(path.parent)
        finally:
            # Gone already when all went well. What went wrong matters more than this.
            with contextlib.suppress(OSError):
                beside.unlink(missing_ok=True)


def copy_bytes(source: BinaryIO, target: BinaryIO) -> str:
    """Copy to the end in bounded memory; returns the SHA-256 of what was copied."""
    seen = hashlib.sha256()
    while chunk := source.read(CHUNK):
        seen.update(chunk)
        target.write(chunk)
    return seen.hexdigest()


def make_folders(path: Path) -> None:
    """Make a folder and those above it, so that they are still there after a power cut.

    One that is there may be another process's that has not flushed its name, or was killed before:
    it is flushed here, once per process.
    """
    if path.is_dir():
        if path not in _settled:
            try:
                sync_folder(path.parent)
            except OSError as error:
                # A folder that may be passed through but not read, or that cannot be flushed.
                if error.errno not in _UNSYNCED:
                    raise
            _settled.add(path)
        return
    make_folders(path.parent)
    path.mkdir(exist_ok=True)
    sync_folder(path.parent)
    _settled.add(path)


def sync_folder(path: Path) -> None:
    """Flush a folder's entries. Only POSIX has this; elsewhere the rename itself is durable."""
    if os.name != "posix":
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
