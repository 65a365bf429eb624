"""Artifacts in memory, gone at the end of the process; for tests and trials."""

import io
import threading
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from milepost._base.clock import Clock, utc_now
from milepost._base.digest import sha256_bytes
from milepost.entities.ids import Digest
from milepost.storage.files.digest_files import (
    check_digest,
    explained,
    missing,
    verified,
    write_file,
)
from milepost.storage.files.store import Stored, Usage


class MemoryArtifacts:
    """A store that is gone at the end of the process.

    Args:
        clock: Gives the time at which bytes are put.
    """

    def __init__(self, clock: Clock = utc_now) -> None:
        self._clock = clock
        self._held: dict[str, tuple[bytes, datetime]] = {}
        self._lock = threading.Lock()

    def put(self, data: bytes) -> Digest:
        """Store bytes; see ``Artifacts``."""
        digest = sha256_bytes(data)
        with self._lock:
            self._held[digest] = (bytes(data), self._clock())
        return Digest(digest)

    def put_file(self, path: Path) -> Digest:
        """Store a file's bytes; see ``Artifacts``."""
        with explained(path):
            return self.put(path.read_bytes())

    def refresh(self, digest: str) -> bool:
        """Make it young; see ``Artifacts``."""
        check_digest(digest)
        with self._lock:
            held = self._held.get(digest)
            if held is not None:
                self._held[digest] = (held[0], self._clock())
        return held is not None

    def get(self, digest: str) -> bytes:
        """The verified bytes; see ``Artifacts``."""
        return verified(self._bytes(digest), digest, "memory")

    def open(self, digest: str) -> BinaryIO:
        """A verified file; see ``Artifacts``."""
        return io.BytesIO(self.get(digest))

    def exists(self, digest: str) -> bool:
        """Whether it is there; see ``Artifacts``."""
        return check_digest(digest) in self._held

    def size(self, digest: str) -> int:
        """Its size in bytes; see ``Artifacts``."""
        return len(self._bytes(digest))

    def copy(self, digest: str, path: Path) -> None:
        """Copy it to a file; see ``Artifacts``."""
        write_file(path, self.open(digest), digest)

    def list(self) -> Iterator[Stored]:
        """All of them; see ``Artifacts``."""
        with self._lock:
            held = sorted(self._held.items())
        yield from (Stored(Digest(name), len(data), put) for name, (data, put) in held)

    def usage(self) -> Usage:
        """Number and bytes; see ``Artifacts``."""
        with self._lock:
            return Usage(len(self._held), sum(len(data) for data, _ in self._held.values()))

    def delete(self, digest: str, unless_newer_than: datetime) -> bool:
        """Delete it if it is old; see ``Artifacts``."""
        check_digest(digest)
        with self._lock:
            held = self._held.get(digest)
            if held is None or held[1] > unless_newer_than:
                return False
            del self._held[digest]
            return True

    def sweep(self, older_than: datetime, *, dry_run: bool = False) -> Usage:
        """Nothing is ever half-written here; see ``Artifacts``."""
        del older_than, dry_run
        return Usage()

    def _bytes(self, digest: str) -> bytes:
        held = self._held.get(check_digest(digest))
        if held is None:
            raise missing(digest, "memory")
        return held[0]
