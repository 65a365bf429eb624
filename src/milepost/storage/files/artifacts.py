"""Bytes by their SHA-256: snapshots, bundles, predictions, exported encoders.

Knows no task and no meaning. No name comes from outside: where bytes are kept follows from their
digest, which is checked to be one before it becomes a path. What is read is always verified.
"""

import hashlib
import io
import threading
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO, Protocol

from milepost._base.digest import sha256_bytes, sha256_file
from milepost.entities.errors import StorageError
from milepost.entities.ids import Digest
from milepost.storage.files.digest_files import (
    READ_ONLY,
    check_digest,
    corrupt,
    explained,
    make_folders,
    missing,
    verified,
    write_file,
)


class Artifacts(Protocol):
    """A content-addressed store. Safe to share between threads and processes.

    Every method that takes a digest raises ``InputError`` when it is not 64 hex digits, and
    ``StorageError`` when there are no such bytes (``exists`` answers instead).
    """

    def put(self, data: bytes) -> Digest:
        """Store bytes and return their digest; storing them again changes nothing.

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
            CorruptError: If they are not what the digest says.
            StorageError: If the file cannot be written.
        """
        ...


def open_artifacts(url: str | Path) -> Artifacts:
    """The store at a local folder or at any URL that fsspec knows.

    Args:
        url: A folder, ``file://FOLDER``, or another address such as ``s3://bucket/folder``.

    Raises:
        WorkspaceError: If the kind of address is unknown, or what it needs is not installed.
    """
    text = str(url)
    if isinstance(url, Path) or "://" not in text:
        return LocalArtifacts(Path(url))
    if text.startswith("file://"):
        return LocalArtifacts(Path(text.removeprefix("file://")))
    from milepost.storage.files.remote import RemoteArtifacts

    return RemoteArtifacts.at(text)


class LocalArtifacts:
    """A folder with the bytes of digest ``abcd…`` in ``ab/cd/abcd…``.

    A file is written beside its place, flushed to the disk and renamed, so that what has its name
    is whole. Below the root no symbolic link is followed.

    Args:
        root: The folder; made with the first bytes that are stored.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(root).absolute()

    def put(self, data: bytes) -> Digest:
        """Store bytes; see ``Artifacts``."""
        return self._store(sha256_bytes(data), io.BytesIO(data))

    def put_file(self, path: Path) -> Digest:
        """Store a file's bytes; see ``Artifacts``."""
        with explained(path), path.open("rb") as source:
            digest = hashlib.file_digest(source, "sha256").hexdigest()
            source.seek(0)
            return self._store(digest, source)

    def get(self, digest: str) -> bytes:
        """The verified bytes; see ``Artifacts``."""
        with self._opened(digest) as file:
            return verified(file.read(), digest, str(self.root))

    def open(self, digest: str) -> BinaryIO:
        """A verified file; see ``Artifacts``."""
        file = self._opened(digest)
        try:
            if hashlib.file_digest(file, "sha256").hexdigest() != digest:
                raise corrupt(digest, str(self.root))
            file.seek(0)
        except BaseException:
            file.close()
            raise
        return file

    def exists(self, digest: str) -> bool:
        """Whether it is there; see ``Artifacts``."""
        return self._path(digest).is_file()

    def size(self, digest: str) -> int:
        """Its size in bytes; see ``Artifacts``."""
        with self._opened(digest) as file:
            return file.seek(0, io.SEEK_END)

    def copy(self, digest: str, path: Path) -> None:
        """Copy it to a file; see ``Artifacts``."""
        with self._opened(digest) as file:
            write_file(path, file, digest)

    def _path(self, digest: str) -> Path:
        check_digest(digest)
        path = self.root
        for part in (digest[:2], digest[2:4], digest):
            path = path / part
            if path.is_symlink():
                raise StorageError(
                    "there is a symbolic link inside the artifact folder.",
                    where=str(path),
                    advice="Replace it by what it points at.",
                )
        return path

    def _opened(self, digest: str) -> BufferedReader:
        path = self._path(digest)
        with explained(path):
            try:
                return path.open("rb")
            except FileNotFoundError:
                raise missing(digest, str(self.root)) from None

    def _store(self, digest: str, source: BinaryIO) -> Digest:
        path = self._path(digest)
        with explained(path):
            # Bytes that went bad under this name are put right by storing them again.
            if not path.is_file() or sha256_file(path) != digest:
                make_folders(path.parent)
                write_file(path, source, digest, mode=READ_ONLY)
        return Digest(digest)


class MemoryArtifacts:
    """A store that is gone at the end of the process; for tests and trials."""

    def __init__(self) -> None:
        self._held: dict[str, bytes] = {}
        self._lock = threading.Lock()

    def put(self, data: bytes) -> Digest:
        """Store bytes; see ``Artifacts``."""
        digest = sha256_bytes(data)
        with self._lock:
            self._held[digest] = bytes(data)
        return Digest(digest)

    def put_file(self, path: Path) -> Digest:
        """Store a file's bytes; see ``Artifacts``."""
        with explained(path):
            return self.put(path.read_bytes())

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

    def _bytes(self, digest: str) -> bytes:
        held = self._held.get(check_digest(digest))
        if held is None:
            raise missing(digest, "memory")
        return held
