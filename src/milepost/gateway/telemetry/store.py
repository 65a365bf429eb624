"""Numbers that a process counts and others may read at any moment: doubles in a mapped file.

A worker that is killed loses nothing that it had counted: the pages are the system's. Knows no
Prometheus.
"""

import fcntl
import mmap
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

SLOTS = 2**17
"""Most numbers of one process: 1 MiB of address space, of which only what is used takes memory."""

NOWHERE = 0
"""Where the numbers of a key go for which there is no room; nobody reads them."""

_WIDEST = 32
"""Most numbers of one key."""

_VALUES = ".values"
_INDEX = ".index"


class Key(NamedTuple):
    """A metric with the values of its labels."""

    metric: str
    labels: tuple[str, ...] = ()


class Entry(NamedTuple):
    """Where the numbers of a key are: ``size`` of them from ``start`` on."""

    metric: str
    labels: tuple[str, ...]
    start: int
    size: int


_DECODER = msgspec.json.Decoder(Entry)


class Store:
    """The numbers of this process. Any thread may call it; see :meth:`add`.

    Args:
        directory: Folder in which other processes find them; ``None`` keeps them here.
        worker: Name of this process among those that share the folder.
        slots: Most numbers.
    """

    def __init__(self, directory: Path | None, worker: str, slots: int = SLOTS) -> None:
        self.worker = worker
        self.dropped = 0
        self._slots = slots
        self._used = _WIDEST
        self._entries: dict[Key, Entry] = {}
        self._lock = threading.Lock()
        self._index: int | None = None
        self._file: int | None = None
        if directory is None:
            mapped = mmap.mmap(-1, slots * 8)
        else:
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            self._index = os.open(directory / f"{worker}{_INDEX}", flags | os.O_APPEND, 0o600)
            self._file = os.open(directory / f"{worker}{_VALUES}", flags, 0o600)
            # Held while this process lives, however it ends: who can take it knows that it is gone.
            fcntl.flock(self._file, fcntl.LOCK_EX)
            os.ftruncate(self._file, slots * 8)
            mapped = mmap.mmap(self._file, slots * 8)
        self._mapped = mapped
        self._view = memoryview(mapped).cast("d")

    def place(self, key: Key, size: int = 1) -> int:
        """Where the ``size`` numbers of a key begin; ``NOWHERE`` if there is no room for it."""
        entry = self._entries.get(key)
        if entry is not None:
            return entry.start
        with self._lock:
            entry = self._entries.get(key)
            if entry is not None:
                return entry.start
            if self._used + size > self._slots:
                self.dropped += 1
                return NOWHERE
            entry = Entry(key.metric, key.labels, self._used, size)
            if self._index is not None:
                os.write(self._index, msgspec.json.encode(entry) + b"\n")
            self._used += size
            self._entries[key] = entry
            return entry.start

    def add(self, *changes: tuple[int, float]) -> None:
        """Add to some numbers, each where it is.

        Takes no lock, for the event loop must not wait for a thread that was stopped while it held
        one: only one thread at a time may add to the same numbers.
        """
        view = self._view
        for where, value in changes:
            view[where] += value

    def put(self, start: int, value: float) -> None:
        """Set one number."""
        self._view[start] = value

    def read(self) -> list[tuple[Entry, tuple[float, ...]]]:
        """All numbers of this process."""
        return [
            (entry, tuple(self._view[entry.start : entry.start + entry.size]))
            for entry in list(self._entries.values())
        ]

    def close(self) -> None:
        """Let go of the numbers; what others see of them stays, as of a process that ended."""
        self._view.release()
        self._mapped.close()
        for each in (self._index, self._file):
            if each is not None:
                os.close(each)


class Other(NamedTuple):
    """The numbers of another process.

    Attributes:
        worker: Its name.
        alive: Whether it runs.
        numbers: Its entries with their numbers.
    """

    worker: str
    alive: bool
    numbers: list[tuple[Entry, tuple[float, ...]]]


def others(directory: Path, mine: str) -> Iterator[Other]:
    """What the other processes of a folder have counted; one that cannot be read is left out.

    Numbers are read while they grow: a sum may be ahead of its count by what was just added.
    """
    for path in sorted(directory.glob(f"*{_VALUES}")):
        if path.stem == mine:
            continue
        try:
            yield _read(path)
        except (OSError, ValueError, msgspec.MsgspecError):
            continue


def _read(path: Path) -> Other:
    index = path.with_suffix(_INDEX).read_bytes()
    with path.open("rb") as file:
        alive = _is_held(file.fileno())
        # The last line may be half written.
        entries = [_DECODER.decode(line) for line in index.split(b"\n")[:-1]]
        used = max((entry.start + entry.size for entry in entries), default=0)
        data = file.read(used * 8)
    if len(data) < used * 8:
        raise ValueError("it ends before its numbers do")
    view = memoryview(data).cast("d")
    numbers = [(each, tuple(view[each.start : each.start + each.size])) for each in entries]
    return Other(path.stem, alive, numbers)


def _is_held(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    fcntl.flock(file, fcntl.LOCK_UN)
    return False
