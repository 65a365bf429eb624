"""Caches of vectors, in files or in memory. Knows no text and no encoder, only keys.

A space is a folder of immutable segments. A segment is written beside, synced and renamed, so that
any number of processes may read and write one space; each sees what the others have finished. As a
cache it may forget: a segment that is damaged is removed and its texts are encoded again.

Layout of a segment, little-endian: magic (8 bytes), rows ``n`` and dimensions ``d`` (uint32 each),
SHA-256 of all that follows (32 bytes), keys ``(n, 16) uint8``, vectors ``(n, d) float32``.
"""

import hashlib
import os
import struct
import threading
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from milepost.entities.errors import StorageError

KEY_BYTES = 16

_MAGIC = b"MPVEC\x00\x00\x01"
_HEADER = struct.Struct("<8sII32s")
_SUFFIX = ".vec"
_DRAFT = ".tmp"
_DRAFT_SECONDS = 3600.0
_MOST_SMALL = 64
_SMALL_ROWS = 1024

_Keys = NDArray[np.uint8]
_Vectors = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class _Segment:
    file: Path
    keys: _Keys
    vectors: _Vectors


class _Index:
    """Sorted keys of some segments, with the segment and row of each.

    Keys are compared by their first 8 bytes in the search and by all 16 afterwards. Two different
    keys that share their first half cost a miss, never a wrong answer.
    """

    def __init__(self, segments: list[_Segment]) -> None:
        self.segments = segments
        keys = [_halves(segment.keys) for segment in segments]
        sizes = [len(part) for part in keys]
        joined = np.concatenate(keys)
        order = np.argsort(joined[:, 0], kind="stable")
        self._first = np.ascontiguousarray(joined[order, 0])
        self._second = np.ascontiguousarray(joined[order, 1])
        self._segment = np.repeat(np.arange(len(sizes)), sizes)[order]
        self._row = np.concatenate([np.arange(size) for size in sizes])[order]

    def __len__(self) -> int:
        return len(self._first)

    def fill(self, wanted: NDArray[np.uint64], found: NDArray[np.bool_], out: _Vectors) -> None:
        """Writes the vectors of the keys that are not found yet and are here."""
        missing = np.flatnonzero(~found)
        first, second = wanted[missing, 0], wanted[missing, 1]
        at = np.searchsorted(self._first, first)
        at[at == len(self._first)] = 0
        here = (self._first[at] == first) & (self._second[at] == second)
        rows, at = missing[here], at[here]
        found[rows] = True
        segment = self._segment[at]
        for number in np.unique(segment):
            of_it = segment == number
            out[rows[of_it]] = self.segments[number].vectors[self._row[at[of_it]]]


class _Space:
    """One folder of segments and the indexes of those read so far.

    The indexes grow like a binary counter: a new one takes in those before it that are not larger,
    so that there are few and adding costs the logarithm of what is there.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._segments: dict[str, _Segment] = {}
        self._indexes: tuple[_Index, ...] = ()
        self._dimensions: int | None = None
        self._seen: set[str] = set()

    def get(self, keys: _Keys, dimensions: int) -> tuple[NDArray[np.bool_], _Vectors]:
        with self._lock:
            self._refresh(dimensions)
            indexes = self._indexes
        found = np.zeros(len(keys), bool)
        out = np.zeros((len(keys), dimensions), np.float32)
        wanted = _halves(keys)
        for index in indexes:
            index.fill(wanted, found, out)
        return found, out

    def put(self, keys: _Keys, vectors: _Vectors) -> None:
        with self._lock:
            self._write(keys, vectors)
            self._refresh(vectors.shape[1])
            self._merge_small(vectors.shape[1])

    def _refresh(self, dimensions: int) -> None:
        """Reads what others have written and drops what is gone."""
        names = _listed(self._folder)
        if dimensions != self._dimensions:
            self._segments, self._indexes, self._seen = {}, (), set()
            self._dimensions = dimensions
        if names == self._seen:
            return
        added: list[_Segment] = []
        for name in sorted(names - self._seen):
            segment = _read(self._folder / name, dimensions)
            if segment is not None:
                self._segments[name] = segment
                added.append(segment)
        gone = self._segments.keys() - names
        for name in gone:
            del self._segments[name]
        if gone:
            added, self._indexes = list(self._segments.values()), ()
        self._seen = names
        self._add(added)

    def _add(self, segments: list[_Segment]) -> None:
        indexes = list(self._indexes)
        while segments and indexes and len(indexes[-1]) <= sum(len(s.keys) for s in segments):
            segments = indexes.pop().segments + segments
        if segments:
            self._indexes = (*indexes, _Index(segments))

    def _write(self, keys: _Keys, vectors: _Vectors) -> str:
        payload = keys.tobytes() + np.ascontiguousarray(vectors, "<f4").tobytes()
        digest = hashlib.sha256(payload).digest()
        name = digest.hex()[:32] + _SUFFIX
        draft = self._folder / f"{uuid.uuid4().hex}{_DRAFT}"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with draft.open("wb") as file:
                file.write(_HEADER.pack(_MAGIC, *vectors.shape, digest))
                file.write(payload)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self._folder / name)
        except OSError as error:
            _remove(draft)
            raise StorageError(
                f"vectors cannot be cached: {error}.",
                where=str(self._folder),
                advice="Make room or make the folder writable; what was cached before stays.",
            ) from error
        return name

    def drop(self, wanted: frozenset[bytes]) -> int:
        """Writes every segment that holds one of the keys anew, without it."""
        dropped = 0
        with self._lock:
            for name in sorted(_listed(self._folder)):
                file = self._folder / name
                segment = _read(file, _width(file))
                if segment is None:
                    continue
                gone = np.asarray([key.tobytes() in wanted for key in segment.keys], np.bool_)
                if gone.any():
                    dropped += int(gone.sum())
                    if not gone.all():
                        self._write(segment.keys[~gone], segment.vectors[~gone])
                    _remove(file)
        return dropped

    def _merge_small(self, dimensions: int) -> None:
        """Turns many small segments into one, so that opening a space stays fast."""
        small = {
            name: segment
            for name, segment in self._segments.items()
            if len(segment.keys) < _SMALL_ROWS
        }
        if len(small) <= _MOST_SMALL:
            return
        keys = np.concatenate([segment.keys for segment in small.values()])
        vectors = np.concatenate([segment.vectors for segment in small.values()])
        merged = self._write(keys, vectors)
        for name in small.keys() - {merged}:
            _remove(self._folder / name)
        self._refresh(dimensions)


class FileVectorStore:
    """Vectors in a folder that several processes may share. Thread safe.

    Args:
        root: Each space is a folder in it; created at the first write.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._lock = threading.Lock()
        self._spaces: dict[str, _Space] = {}

    def get(self, space: str, keys: _Keys, dimensions: int) -> tuple[NDArray[np.bool_], _Vectors]:
        """Looks many keys up at once.

        Args:
            space: Hex digits.
            keys: ``(n, 16) uint8``.
            dimensions: Length ``d`` of a vector; segments of another length are not this space's.

        Returns:
            Which keys were found ``(n,) bool``, and ``(n, d) float32`` with zeros where not.
        """
        return self._space(space).get(keys, dimensions)

    def put(self, space: str, keys: _Keys, vectors: _Vectors) -> None:
        """Keeps ``vectors (n, d) float32`` under ``keys (n, 16) uint8`` as one segment.

        Raises:
            StorageError: If the segment cannot be written.
        """
        _check(keys, vectors)
        if len(keys):
            self._space(space).put(keys, vectors)

    def drop(self, keys: _Keys) -> int:
        """Forgets the vectors of ``keys (n, 16) uint8`` in every space, for good.

        Returns:
            How many there were.

        Raises:
            StorageError: If a segment cannot be written anew.
        """
        wanted = frozenset(key.tobytes() for key in keys)
        folders = sorted(self._root.iterdir()) if self._root.is_dir() else []
        return sum(self._space(each.name).drop(wanted) for each in folders if each.is_dir())

    def _space(self, name: str) -> _Space:
        with self._lock:
            if name not in self._spaces:
                folder = self._root / _safe(name)
                _sweep(folder)
                self._spaces[name] = _Space(folder)
            return self._spaces[name]


class MemoryVectorStore:
    """Vectors in memory, for tests and for a workspace that keeps nothing. Thread safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._spaces: dict[str, dict[bytes, _Vectors]] = {}

    def get(self, space: str, keys: _Keys, dimensions: int) -> tuple[NDArray[np.bool_], _Vectors]:
        """Which keys were found ``(n,) bool``, and ``(n, d) float32`` with zeros where not."""
        out = np.zeros((len(keys), dimensions), np.float32)
        found = np.zeros(len(keys), bool)
        with self._lock:
            known = self._spaces.get(space, {})
            for i, key in enumerate(keys):
                vector = known.get(key.tobytes())
                if vector is not None:
                    found[i], out[i] = True, vector
        return found, out

    def put(self, space: str, keys: _Keys, vectors: _Vectors) -> None:
        """Keeps copies of ``vectors (n, d) float32`` under ``keys (n, 16) uint8``."""
        _check(keys, vectors)
        with self._lock:
            known = self._spaces.setdefault(space, {})
            for key, vector in zip(keys, vectors, strict=True):
                known[key.tobytes()] = vector.copy()


def _check(keys: _Keys, vectors: _Vectors) -> None:
    if keys.shape != (len(vectors), KEY_BYTES) or vectors.ndim != 2:
        raise ValueError(f"keys {keys.shape} and vectors {vectors.shape} do not belong together")
    if not np.isfinite(vectors).all():
        raise StorageError(
            "a vector holds a value that is not finite, and is not cached.",
            advice="The encoder is damaged; export it again.",
        )


def _safe(space: str) -> str:
    if not space or not all(c in "0123456789abcdef" for c in space):
        raise ValueError(f"a space is named by hex digits, not {space!r}")
    return space


def _halves(keys: _Keys) -> NDArray[np.uint64]:
    """Keys ``(n, 16) uint8`` as ``(n, 2) uint64``."""
    return np.ascontiguousarray(keys).view(np.uint64).reshape(-1, 2)


def _listed(folder: Path) -> set[str]:
    try:
        with os.scandir(folder) as entries:
            return {entry.name for entry in entries if entry.name.endswith(_SUFFIX)}
    except FileNotFoundError:
        return set()


def _read(file: Path, dimensions: int) -> _Segment | None:
    """A verified segment, mapped into memory; ``None`` when it is gone, damaged or foreign."""
    try:
        with file.open("rb") as opened:
            header = opened.read(_HEADER.size)
        magic, rows, width, digest = _HEADER.unpack(header)
        size = _HEADER.size + rows * (KEY_BYTES + 4 * width)
        if magic != _MAGIC or rows == 0 or file.stat().st_size != size:
            raise ValueError("not a whole segment")
        if width != dimensions:
            return None
        mapped = np.memmap(file, np.uint8, "r", offset=_HEADER.size)
        if hashlib.sha256(mapped.data).digest() != digest:
            raise ValueError("not the bytes that were written")
    except FileNotFoundError:
        return None  # merged by another process; its content lies in a segment that follows
    except (OSError, ValueError, struct.error):
        _remove(file)
        return None
    split = rows * KEY_BYTES
    keys = np.array(mapped[:split]).reshape(rows, KEY_BYTES)
    vectors = mapped[split:].view("<f4").reshape(rows, width)
    return _Segment(file, keys, vectors)


def _width(file: Path) -> int:
    """Dimensions that a segment names; 0 where it names none."""
    try:
        with file.open("rb") as opened:
            return int(_HEADER.unpack(opened.read(_HEADER.size))[2])
    except (OSError, struct.error):
        return 0


def _remove(file: Path) -> None:
    try:
        file.unlink()
    except OSError:
        return  # gone already, or mapped by a process on a system that forbids it: harmless


def _sweep(folder: Path) -> None:
    """Removes drafts that a crash left behind."""
    for draft in folder.glob(f"*{_DRAFT}"):
        try:
            if time.time() - draft.stat().st_mtime > _DRAFT_SECONDS:
                draft.unlink()
        except OSError:
            continue  # another process was faster
