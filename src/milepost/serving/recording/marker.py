"""Counters that outlive their process, by which the next one knows what a killed one lost.

They stand in a small file that is mapped into memory: counting is a store of eight bytes, and what
was stored there is in the file however the process ends. It is not flushed to the disk, so after
a power cut or a crash of the system the counters may be those of some seconds before.
"""

import contextlib
import mmap
import os
import secrets
from collections.abc import Generator
from pathlib import Path

from milepost._base import process
from milepost.storage.files.digest_files import explained, make_folders

ACCEPTED, DROPPED, SETTLED = 0, 1, 2
"""Traces taken in, of them those dropped while they waited, and those written or refused. What is
left is waiting, or lost where the process is gone. Each has one thread that counts it."""

_SUFFIX = ".marker"
_NUMBERS = 24
_ROOM = 512


class Marker:
    """The counters of one recorder, at ``numbers``.

    Args:
        folder: Where markers lie; made where it is not there.

    Raises:
        StorageError: If no file can be made there.
        WorkspaceError: If the folder may not be written.
    """

    def __init__(self, folder: Path) -> None:
        name = process.identity().encode()
        with explained(folder):
            make_folders(folder)
            self.path = folder / f"{secrets.token_hex(8)}{_SUFFIX}"
            # Whole before it has its name: whoever counts must not read half of it.
            beside = self.path.with_suffix(".tmp")
            beside.write_bytes(bytes(_NUMBERS) + name.ljust(_ROOM))
            beside.rename(self.path)
            with self.path.open("r+b") as file:
                self._map = mmap.mmap(file.fileno(), _NUMBERS + _ROOM)
        self.numbers = memoryview(self._map)[:_NUMBERS].cast("Q")

    def close(self) -> None:
        """Remove the marker: whoever closes it knows what became of everything."""
        with contextlib.suppress(OSError):
            self.path.unlink()


def left_behind(folder: Path) -> Generator[tuple[int, str]]:
    """What recorders that were killed had taken in and not settled, each counted once.

    Where the process is seen to be gone, each number is at least what was lost, and more by at
    most the group that was being written. After a crash of the system it can be less.

    Yields:
        Number of traces, and whose they were, for people.
    """
    for path in sorted(folder.glob(f"*{_SUFFIX}")):
        try:
            holder = path.read_bytes()[_NUMBERS:].decode(errors="replace").strip()
            if not process.ended(holder):
                continue
            # Of two that start at once, one gets it.
            claimed = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
            path.rename(claimed)
            numbers = memoryview(claimed.read_bytes()[:_NUMBERS]).cast("Q")
            claimed.unlink()
        except (OSError, ValueError, TypeError):
            continue
        if (lost := numbers[ACCEPTED] - numbers[DROPPED] - numbers[SETTLED]) > 0:
            yield lost, process.described(holder)
