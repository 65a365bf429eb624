"""What an artifact store promises, whatever it is kept in."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol

from milepost.entities.ids import Digest


class Stored(NamedTuple):
    """One artifact as a listing gives it: digest, size in bytes, and when it was last put (UTC)."""

    digest: Digest
    size: int
    modified: datetime


class Usage(NamedTuple):
    """A number of artifacts and the bytes that they take together."""

    artifacts: int = 0
    size: int = 0


class Artifacts(Protocol):
    """A content-addressed store. Safe to share between threads and processes.

    Every method that takes a digest raises ``InputError`` when it is not 64 hex digits. Those that
    read raise ``StorageError`` when there are no such bytes (``exists`` answers instead).

    Bytes that nothing needs are found by their age, so whoever is about to record a digest puts
    its bytes first: a put of bytes that are there makes them young again. ``delete`` and ``put``
    agree on it: once ``put`` or ``refresh`` has returned, a ``delete`` that is under way, or begins
    later with an earlier ``unless_newer_than``, does not take the bytes.
    """

    def put(self, data: bytes) -> Digest:
        """Store bytes and return their digest; bytes that are there already become young.

        Raises:
            StorageError: If they cannot be stored; nothing is left under the digest then.
        """
        ...

    def put_file(self, path: Path) -> Digest:
        """Store the bytes of a file, in bounded memory, and return their digest.

        Raises:
            StorageError: If they cannot be stored; nothing is left under the digest then.
        """
        ...

    def refresh(self, digest: str) -> bool:
        """Make the bytes young, as a put of them would; False when they are not there."""
        ...

    def get(self, digest: str) -> bytes:
        """The bytes.

        Raises:
            CorruptError: If they are not what the digest says.
        """
        ...

    def open(self, digest: str) -> BinaryIO:
        """The bytes as a readable, seekable file, verified before the first one is handed out.

        Raises:
            CorruptError: If they are not what the digest says.
        """
        ...

    def exists(self, digest: str) -> bool:
        """Whether there are such bytes; does not verify them."""
        ...

    def size(self, digest: str) -> int:
        """How many bytes there are; does not verify them."""
        ...

    def copy(self, digest: str, path: Path) -> None:
        """Write the verified bytes to ``path``, replacing what is there, all or nothing.

        Raises:
            CorruptError: If the bytes are not what the digest says.
            StorageError: If the file cannot be written.
        """
        ...

    def list(self) -> Iterator[Stored]:
        """All artifacts, in the order of their digests; what comes or goes meanwhile may lack.

        Raises:
            StorageError: If the place cannot be read.
        """
        ...

    def usage(self) -> Usage:
        """How many artifacts there are, and their bytes together; lists them all."""
        ...

    def delete(self, digest: str, unless_newer_than: datetime) -> bool:
        """Delete bytes that were last put at or before that moment.

        Returns:
            Whether this call deleted them; False when they are younger, or not there.

        Raises:
            StorageError: If the place cannot be written.
        """
        ...

    def sweep(self, older_than: datetime, *, dry_run: bool = False) -> Usage:
        """Remove what puts that were killed left half-written, and undo killed deletes.

        Args:
            older_than: A put that began after this moment may still be under way.
            dry_run: Only count.

        Returns:
            The half-written files and their bytes.

        Raises:
            StorageError: If the place cannot be written.
        """
        ...
