"""A limit on the bytes of an artifact store, as a layer around any of them."""

import threading
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from milepost._base.digest import sha256_bytes, sha256_file
from milepost.entities.errors import StorageError
from milepost.entities.ids import Digest
from milepost.storage.files.digest_files import explained
from milepost.storage.files.store import Artifacts, Stored, Usage

_COUNT_AGAIN = 60.0


class LimitedArtifacts:
    """A store that takes no more than so many bytes.

    The store is counted at the first put, then every 60 seconds, and once more before a put is
    refused; in between only this process's own puts are added. Processes that put at once can
    therefore pass the limit by what they put in a minute.

    Args:
        inner: The store.
        limit: The most bytes that its artifacts may take.
    """

    def __init__(self, inner: Artifacts, limit: int) -> None:
        self.inner = inner
        self.limit = limit
        self._used = 0
        self._counted = float("-inf")
        self._lock = threading.Lock()

    def put(self, data: bytes) -> Digest:
        """Store bytes if there is room; see ``Artifacts``.

        Raises:
            StorageError: If they would pass the limit; nothing is stored then.
        """
        self._reserve(sha256_bytes(data), len(data))
        return self.inner.put(data)

    def put_file(self, path: Path) -> Digest:
        """Store a file's bytes if there is room; see ``Artifacts``.

        Raises:
            StorageError: If they would pass the limit; nothing is stored then.
        """
        with explained(path):
            digest, size = sha256_file(path), path.stat().st_size
        self._reserve(digest, size)
        return self.inner.put_file(path)

    def refresh(self, digest: str) -> bool:
        """Make it young; see ``Artifacts``."""
        return self.inner.refresh(digest)

    def get(self, digest: str) -> bytes:
        """The verified bytes; see ``Artifacts``."""
        return self.inner.get(digest)

    def open(self, digest: str) -> BinaryIO:
        """A verified file; see ``Artifacts``."""
        return self.inner.open(digest)

    def exists(self, digest: str) -> bool:
        """Whether it is there; see ``Artifacts``."""
        return self.inner.exists(digest)

    def size(self, digest: str) -> int:
        """Its size in bytes; see ``Artifacts``."""
        return self.inner.size(digest)

    def copy(self, digest: str, path: Path) -> None:
        """Copy it to a file; see ``Artifacts``."""
        self.inner.copy(digest, path)

    def list(self) -> Iterator[Stored]:
        """All of them; see ``Artifacts``."""
        return self.inner.list()

    def usage(self) -> Usage:
        """Number and bytes; see ``Artifacts``."""
        return self.inner.usage()

    def delete(self, digest: str, unless_newer_than: datetime) -> bool:
        """Delete it if it is old; see ``Artifacts``."""
        return self.inner.delete(digest, unless_newer_than)

    def sweep(self, older_than: datetime, *, dry_run: bool = False) -> Usage:
        """Remove what was left half-written; see ``Artifacts``."""
        return self.inner.sweep(older_than, dry_run=dry_run)

    def _reserve(self, digest: str, size: int) -> None:
        if self.inner.exists(digest):
            return
        with self._lock:
            if time.monotonic() - self._counted > _COUNT_AGAIN:
                self._count()
            if self._used + size > self.limit:
                self._count()
            if self._used + size > self.limit:
                raise StorageError(
                    f"the artifacts take {self._used:,} of the {self.limit:,} bytes that they "
                    f"may; {size:,} more are too many, and nothing was stored.",
                    where="artifacts",
                    advice="Run `milepost gc`, set keep_contests, or raise artifacts_quota_bytes "
                    "in milepost.toml.",
                )
            self._used += size

    def _count(self) -> None:
        self._used = self.inner.usage().size
        self._counted = time.monotonic()
