"""A local file to which groups of lines are appended, each flushed to the disk before it counts."""

import contextlib
import os
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path

from milepost._base import process
from milepost.entities.errors import StorageError
from milepost.storage.files.digest_files import explained, make_folders, sync_folder

_SUFFIX = ".journal"


class Journal:
    """A new file of lines, whose first line says whose it is. Used by one thread.

    Args:
        folder: Where it lies; made where it is not there.

    Raises:
        StorageError: If no file can be made there.
        WorkspaceError: If the folder may not be written.
    """

    def __init__(self, folder: Path) -> None:
        self.rows = 0
        self.size = 0
        self.path = folder / f"{secrets.token_hex(8)}{_SUFFIX}"
        with explained(folder):
            make_folders(folder)
            self._handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            self._append(process.identity().encode() + b"\n")
            sync_folder(folder)

    def append(self, lines: Sequence[bytes]) -> None:
        """Add whole lines, all or none of them.

        Raises:
            StorageError: If the disk is full or anything else fails.
        """
        with explained(self.path):
            self._append(b"".join(lines))
        self.rows += len(lines)

    def close(self) -> None:
        """Close the file; it stays where it is."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def _append(self, data: bytes) -> None:
        try:
            left = memoryview(data)
            while left:
                left = left[os.write(self._handle, left) :]
            os.fsync(self._handle)
        except OSError:
            # What was half written would spoil the line that comes after it.
            with contextlib.suppress(OSError):
                os.ftruncate(self._handle, self.size)
                os.lseek(self._handle, self.size, os.SEEK_SET)
            raise
        self.size += len(data)


def lines_of(path: Path) -> list[bytes]:
    """The whole lines of a journal, without the first; empty where it is gone.

    A last line without an end was being written when its process ended, and never counted.

    Raises:
        StorageError: If it cannot be read.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StorageError(
            f"a journal cannot be read: {error.strerror}.", where=str(path)
        ) from error
    return data.split(b"\n")[1:-1]


def journals(folder: Path) -> list[Path]:
    """The journals of a folder, of whatever process."""
    return sorted(folder.glob(f"*{_SUFFIX}"))


def abandoned(folder: Path) -> Iterator[Path]:
    """Journals whose process is known to have ended, each claimed for this one."""
    for path in journals(folder):
        try:
            with path.open("rb") as file:
                holder = file.readline().decode(errors="replace").strip()
            if not process.ended(holder):
                continue
            # Of two that start at once, one gets it. It must still be found by readers, and by the
            # next start if this one ends before it is done.
            claimed = path.with_name(f"{secrets.token_hex(8)}{_SUFFIX}")
            path.rename(claimed)
        except OSError:
            continue
        yield claimed
