"""Artifacts at any address that fsspec knows: object stores, web folders, remote disks.

Credentials belong in the environment or in fsspec's own configuration; no message repeats the
address as it was given.
"""

import contextlib
import secrets
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Self, cast
from urllib.parse import urlsplit

from fsspec import AbstractFileSystem
from fsspec.core import url_to_fs

from milepost._base.digest import sha256_bytes, sha256_file
from milepost.entities.errors import WorkspaceError
from milepost.entities.ids import Digest
from milepost.storage.files.digest_files import (
    check_digest,
    copy_bytes,
    corrupt,
    explained,
    missing,
    verified,
    write_file,
)

_HELD = 16 << 20


class RemoteArtifacts:
    """A store on an fsspec file system, with the bytes of ``abcd…`` in ``ab/cd/abcd…``.

    Bytes are sent under another name and moved, so that what has its name is whole even where the
    protocol can break off half-way. Bytes that are there with the right size are not sent again.

    Args:
        system: The file system.
        root: Folder in it, as the file system names it.
        label: For people; holds no credentials.
    """

    def __init__(self, system: AbstractFileSystem, root: str, label: str) -> None:
        self.system = system
        self.root = root.rstrip("/")
        self.label = label

    @classmethod
    def at(cls, url: str) -> Self:
        """The store at a URL.

        Raises:
            WorkspaceError: If the kind of address is unknown, or what it needs is not installed.
        """
        parts = urlsplit(url)
        label = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
        try:
            system, root = url_to_fs(url)
        except ImportError as error:
            # fsspec's own words name the package to install.
            raise WorkspaceError(
                f"what this kind of address needs is not installed: {error.msg}.", where=label
            ) from None
        except (ValueError, TypeError):
            raise WorkspaceError(
                "the artifacts' address cannot be used.",
                where=label,
                advice="Name a folder, or an address that fsspec knows, such as "
                "s3://bucket/folder.",
            ) from None
        return cls(cast("AbstractFileSystem", system), str(root), label)

    def put(self, data: bytes) -> Digest:
        """Store bytes; see ``Artifacts``."""
        digest = sha256_bytes(data)
        if not self._there(digest, len(data)):
            with explained(self.label), self._sent(digest) as name:
                self.system.pipe_file(name, data)
        return Digest(digest)

    def put_file(self, path: Path) -> Digest:
        """Store a file's bytes; see ``Artifacts``."""
        with explained(path):
            digest, size = sha256_file(path), path.stat().st_size
        if not self._there(digest, size):
            with explained(self.label), self._sent(digest) as name:
                self.system.put_file(str(path), name)
        return Digest(digest)

    def get(self, digest: str) -> bytes:
        """The verified bytes; see ``Artifacts``."""
        name = self._name(digest)
        with self._found(digest):
            data = cast("bytes", self.system.cat_file(name))
        return verified(data, digest, self.label)

    def open(self, digest: str) -> BinaryIO:
        """A verified file, fetched whole; see ``Artifacts``."""
        name = self._name(digest)
        held = cast("BinaryIO", tempfile.SpooledTemporaryFile(_HELD))  # noqa: SIM115 - handed out
        try:
            with self._found(digest), self.system.open(name, "rb") as source:
                seen = copy_bytes(cast("BinaryIO", source), held)
            if seen != digest:
                raise corrupt(digest, self.label)
            held.seek(0)
        except BaseException:
            held.close()
            raise
        return held

    def exists(self, digest: str) -> bool:
        """Whether it is there; see ``Artifacts``."""
        name = self._name(digest)
        with explained(self.label):
            return bool(self.system.isfile(name))

    def size(self, digest: str) -> int:
        """Its size in bytes; see ``Artifacts``."""
        name = self._name(digest)
        with self._found(digest):
            return int(self.system.info(name)["size"])

    def copy(self, digest: str, path: Path) -> None:
        """Copy it to a file; see ``Artifacts``."""
        with self.open(digest) as file:
            write_file(path, file, digest)

    def _name(self, digest: str) -> str:
        check_digest(digest)
        return f"{self.root}/{digest[:2]}/{digest[2:4]}/{digest}"

    def _there(self, digest: str, size: int) -> bool:
        return self.exists(digest) and self.size(digest) == size

    @contextmanager
    def _found(self, digest: str) -> Generator[None]:
        with explained(self.label):
            try:
                yield
            except FileNotFoundError:
                raise missing(digest, self.label) from None

    @contextmanager
    def _sent(self, digest: str) -> Generator[str]:
        """A name to send to; what was sent is moved to its place, or removed on failure."""
        name = self._name(digest)
        folder = name.rpartition("/")[0]
        beside = f"{folder}/.{secrets.token_hex(8)}.tmp"
        self.system.makedirs(folder, exist_ok=True)
        try:
            yield beside
            self.system.mv(beside, name)
        except BaseException:
            # What went wrong matters more than what cannot be cleaned up.
            with contextlib.suppress(OSError):
                self.system.rm_file(beside)
            raise
