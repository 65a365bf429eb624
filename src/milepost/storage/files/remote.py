"""Artifacts at any address that fsspec knows: object stores, web folders, remote disks.

Credentials belong in the environment or in fsspec's own configuration; no message repeats the
address as it was given.

**Why a delete cannot take what a put has promised.** Such a place has no rename that both could
meet at, so they leave marks and look for each other's, as in Dekker's algorithm. It holds where
what was written is seen by whoever looks next, as S3 has promised since December 2020.

``delete`` 1. copies the object to a mark, 2. looks at its age, 3. deletes it, 4. looks for a veto
on its mark and, if there is one, copies the mark back, 5. removes mark and veto. ``put`` writes the
object (again, if it is there, which makes it young), looks for marks, writes a veto on each, and
looks whether the object is still there; if not, it begins again. Say that a put has found the
object in the end. A delete whose mark it did not see either wrote the mark later, so that its step
2 sees a young object; or had removed it, and was done with the object before it was found. A delete
whose mark it saw either finds the veto in step 4 and puts the bytes back; or had passed step 4, and
so step 3, before the veto was written, and the object was found after that.

A delete that is killed between its steps leaves the mark, which holds the bytes. Readers look
there too, and ``sweep`` puts it back after an hour, which no delete takes.
"""

import contextlib
import secrets
import tempfile
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO, Literal, Self, TypeVar, cast
from urllib.parse import urlsplit

from fsspec import AbstractFileSystem
from fsspec.core import url_to_fs

from milepost._base.clock import Clock, utc_now
from milepost._base.digest import sha256_bytes, sha256_file
from milepost.entities.errors import MilepostError, StorageError, WorkspaceError
from milepost.entities.ids import Digest
from milepost.storage.files.digest_files import (
    TEMPORARY,
    check_digest,
    copy_bytes,
    corrupt,
    explained,
    is_digest,
    missing,
    verified,
    write_file,
)
from milepost.storage.files.store import Stored, Usage

WHOLE_OBJECTS = frozenset({"s3", "s3a"})
"""Protocols with which an object appears whole or not at all, and can be made only if absent."""

_HELD = 16 << 20
_MARK = ".trash"
_VETO = ".keep"
_DEAD = timedelta(hours=1)
_TRIES = 100
_RESOLUTION = timedelta(seconds=1)  # S3 tells the time of an object in whole seconds, cut off

# What file systems call the moment at which an object was written.
_MOMENTS = ("LastModified", "last_modified", "modified", "updated", "mtime", "created")


_Read = TypeVar("_Read")
_Mode = Literal["overwrite", "create"]


class RemoteArtifacts:
    """A store on an fsspec file system, with the bytes of ``abcd…`` in ``ab/cd/abcd…``.

    Bytes are sent under another name and moved, so that what has its name is whole even where the
    protocol can break off half-way. Where the protocol sends objects whole, they are sent to their
    name on the condition that it is free, so that of two writers one makes it.

    Args:
        system: The file system.
        root: Folder in it, as the file system names it.
        label: For people; holds no credentials.
        clock: Gives the time, to tell marks of the living from those of the dead.
    """

    def __init__(
        self, system: AbstractFileSystem, root: str, label: str, clock: Clock = utc_now
    ) -> None:
        self.system = system
        self.root = root.rstrip("/")
        self.label = label
        self._clock = clock
        protocols = {system.protocol} if isinstance(system.protocol, str) else set(system.protocol)
        self._whole = bool(protocols & WHOLE_OBJECTS)

    @classmethod
    def at(cls, url: str) -> Self:
        """The store at a URL.

        Raises:
            WorkspaceError: If the kind of address is unknown, or what it needs is not installed.
            StorageError: If a server that is asked at once, as one for FTP is, does not answer.
        """
        try:
            parts = urlsplit(url)
        except ValueError:
            raise _unusable("artifacts") from None
        label = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
        if parts.scheme in WHOLE_OBJECTS and "@" in parts.netloc:
            raise WorkspaceError(
                "the address of a bucket takes no credentials.",
                where=label,
                advice="Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment.",
            )
        try:
            system, root = url_to_fs(url)
        except ImportError as error:
            # fsspec's own words name the package to install.
            raise WorkspaceError(
                f"what this kind of address needs is not installed: {error.msg}.", where=label
            ) from None
        except (ValueError, TypeError):
            raise _unusable(label) from None
        except Exception as error:  # noqa: BLE001 - each protocol has its own, some with passwords
            raise StorageError(
                f"the artifact store cannot be reached ({type(error).__name__}).",
                where=label,
                advice="Check its address, the network, and the credentials in the environment.",
            ) from None
        return cls(cast("AbstractFileSystem", system), str(root), label)

    def put(self, data: bytes) -> Digest:
        """Store bytes; see ``Artifacts``."""
        digest = sha256_bytes(data)

        def send(name: str, mode: _Mode = "overwrite") -> None:
            self.system.pipe_file(name, data, mode=mode)

        self._store(digest, send)
        return Digest(digest)

    def put_file(self, path: Path) -> Digest:
        """Store a file's bytes; see ``Artifacts``."""
        with explained(path):
            digest = sha256_file(path)

        def send(name: str, mode: _Mode = "overwrite") -> None:
            self.system.put_file(str(path), name, mode=mode)

        self._store(digest, send)
        return Digest(digest)

    def refresh(self, digest: str) -> bool:
        """Make it young by sending it again; see ``Artifacts``."""
        if not self.exists(digest):
            return False
        self.put(self.get(digest))
        return True

    def get(self, digest: str) -> bytes:
        """The verified bytes; see ``Artifacts``."""
        data = self._found(digest, lambda name: cast("bytes", self.system.cat_file(name)))
        return verified(data, digest, self.label)

    def open(self, digest: str) -> BinaryIO:
        """A verified file, fetched whole; see ``Artifacts``."""
        held = cast("BinaryIO", tempfile.SpooledTemporaryFile(_HELD))  # noqa: SIM115 - handed out

        def fetch(name: str) -> str:
            held.seek(0)
            held.truncate()
            with self.system.open(name, "rb") as source:
                return copy_bytes(cast("BinaryIO", source), held)

        try:
            if self._found(digest, fetch) != digest:
                raise corrupt(digest, self.label)
            held.seek(0)
        except BaseException:
            held.close()
            raise
        return held

    def exists(self, digest: str) -> bool:
        """Whether it is there; see ``Artifacts``."""
        name = self._name(digest)
        with self._answered():
            return self._info(name) is not None or bool(self._marks(digest))

    def size(self, digest: str) -> int:
        """Its size in bytes; see ``Artifacts``."""
        return self._found(digest, lambda name: int(self.system.info(name)["size"]))

    def copy(self, digest: str, path: Path) -> None:
        """Copy it to a file; see ``Artifacts``."""
        with self.open(digest) as file:
            write_file(path, file, digest)

    def list(self) -> Iterator[Stored]:
        """All of them; see ``Artifacts``."""
        for name, info in self._all():
            last = name.rpartition("/")[2]
            if is_digest(last) and name == self._name(last):
                yield Stored(Digest(last), int(info["size"]), self._moment(name, info))

    def usage(self) -> Usage:
        """Number and bytes; see ``Artifacts``."""
        sizes = [stored.size for stored in self.list()]
        return Usage(len(sizes), sum(sizes))

    def delete(self, digest: str, unless_newer_than: datetime) -> bool:
        """Delete it if it is old; see ``Artifacts``, and above for why this is safe."""
        name = self._name(digest)
        mark = f"{self._folder(digest)}/.{digest}.{secrets.token_hex(8)}{_MARK}"
        with self._answered():
            if not self._older(name, unless_newer_than):
                return False
            try:
                self.system.cp_file(name, mark)
                deleted = self._older(name, unless_newer_than)
                if deleted:
                    self.system.rm_file(name)
                    deleted = self._info(mark + _VETO) is None
                    if not deleted:
                        self._put_back(mark, name)
            except FileNotFoundError:
                deleted = False  # another delete was first
            self._remove(mark, mark + _VETO)
        return deleted

    def sweep(self, older_than: datetime, *, dry_run: bool = False) -> Usage:
        """Remove half-sent objects and undo killed deletes; see ``Artifacts``."""
        count = size = 0
        dead = min(older_than, self._clock() - _DEAD)
        for name, info in self._all():
            last = name.rpartition("/")[2]
            when = self._moment(name, info)
            if last.endswith(TEMPORARY) and when <= older_than:
                count, size = count + 1, size + int(info["size"])
                if not dry_run:
                    with self._answered():
                        self._remove(name)
            elif last.endswith(_MARK) and is_digest(last[1:65]) and when <= dead and not dry_run:
                with self._answered():
                    self._put_back(name, self._name(last[1:65]))
                    self._remove(name, name + _VETO)
            elif last.endswith(_MARK + _VETO) and when <= dead and not dry_run:
                with self._answered():
                    self._remove(name)  # of a put that came just after its delete
        return Usage(count, size)

    def _folder(self, digest: str) -> str:
        check_digest(digest)
        return f"{self.root}/{digest[:2]}/{digest[2:4]}"

    def _name(self, digest: str) -> str:
        return f"{self._folder(digest)}/{digest}"

    def _store(self, digest: str, send: Callable[..., None]) -> None:
        """Send bytes to their name until no delete that began before can take them."""
        name = self._name(digest)
        with self._answered():
            self.system.makedirs(self._folder(digest), exist_ok=True)
            for _ in range(_TRIES):
                self._send(name, send)
                for mark in self._marks(digest):
                    self.system.pipe_file(mark + _VETO, b"")
                if self._info(name) is not None:
                    return
        raise StorageError(
            f"the artifact {digest} was deleted each time that it was stored.",
            where=self.label,
            advice="Wait until `milepost gc` is done, and try again.",
        )

    def _send(self, name: str, send: Callable[..., None]) -> None:
        if self._whole:
            if self._info(name) is None:
                try:
                    send(name, "create")
                except OSError:
                    if self._info(name) is None:
                        raise
                    # Somebody else was first, with the same bytes.
            else:
                send(name)
            return
        beside = f"{name.rpartition('/')[0]}/.{secrets.token_hex(8)}{TEMPORARY}"
        try:
            send(beside)
            self.system.mv(beside, name)
        except BaseException:
            # What went wrong matters more than what cannot be cleaned up.
            with contextlib.suppress(OSError):
                self.system.rm_file(beside)
            raise

    def _put_back(self, mark: str, name: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            if self._info(name) is None:
                self.system.cp_file(mark, name)

    def _remove(self, *names: str) -> None:
        for name in names:
            if self._info(name) is not None:
                with contextlib.suppress(FileNotFoundError):
                    self.system.rm_file(name)

    def _marks(self, digest: str) -> "list[str]":
        """Marks of the deletes of this artifact that are under way, or were killed."""
        self.system.invalidate_cache()
        try:
            found = cast("list[str]", self.system.ls(self._folder(digest), detail=False))
        except FileNotFoundError:
            return []
        start = f".{digest}."
        names = (str(name).rpartition("/")[2] for name in found)
        ours = [n for n in names if n.startswith(start) and n.endswith(_MARK)]
        return [f"{self._folder(digest)}/{name}" for name in ours]

    def _all(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        with self._answered():
            self.system.invalidate_cache()
            try:
                found = cast("dict[str, dict[str, Any]]", self.system.find(self.root, detail=True))
            except FileNotFoundError:
                return
        for name in sorted(found):
            yield name, found[name]

    def _info(self, name: str) -> Mapping[str, Any] | None:
        """What the file system says about an object now; ``None`` when there is none."""
        self.system.invalidate_cache()
        try:
            info = cast("dict[str, Any]", self.system.info(name))
        except FileNotFoundError:
            return None
        return info if info.get("type") == "file" else None

    def _older(self, name: str, moment: datetime) -> bool:
        info = self._info(name)
        return info is not None and self._moment(name, info) + _RESOLUTION <= moment

    def _moment(self, name: str, info: Mapping[str, Any]) -> datetime:
        """When an object was written, UTC; now, where the file system does not know it."""
        value = next((info[key] for key in _MOMENTS if info.get(key) is not None), None)
        if value is None:
            with contextlib.suppress(NotImplementedError, FileNotFoundError):
                value = self.system.modified(name)
        if isinstance(value, int | float):
            return datetime.fromtimestamp(value, UTC)
        if isinstance(value, str):
            value = datetime.fromisoformat(value)
        if not isinstance(value, datetime):
            return self._clock()
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)

    def _found(self, digest: str, read: Callable[[str], _Read]) -> _Read:
        """What ``read`` makes of the object, or of the mark of a delete that has not finished."""
        name = self._name(digest)
        with self._answered():
            for place in self._places(digest, name):
                with contextlib.suppress(FileNotFoundError):
                    return read(place)
        raise missing(digest, self.label)

    def _places(self, digest: str, name: str) -> Iterator[str]:
        yield name
        yield from self._marks(digest)
        yield name

    @contextmanager
    def _answered(self) -> Generator[None]:
        """Turn whatever the protocol's driver raises into an error without its words' secrets.

        Raises:
            StorageError: If the store does not answer, or refuses.
            WorkspaceError: If it may not be read or written.
        """
        try:
            with explained(self.label):
                yield
        except MilepostError as error:
            raise type(error)(error.what, where=error.where, advice=error.advice) from None
        except NotImplementedError:
            raise StorageError(
                "this kind of address cannot do what an artifact store needs.", where=self.label
            ) from None
        except Exception as error:
            # Drivers have errors of their own, and some repeat the address with its password.
            if isinstance(error, AttributeError | NameError | AssertionError):
                raise
            raise StorageError(
                f"the artifact store could not be used ({type(error).__name__}).",
                where=self.label,
                advice="Check its address, the network, and the credentials in the environment.",
            ) from None


def _unusable(label: str) -> WorkspaceError:
    return WorkspaceError(
        "the artifacts' address cannot be used.",
        where=label,
        advice="Name a folder, or an address that fsspec knows, such as s3://bucket/folder.",
    )
