"""Artifacts in a local folder.

**Why a delete cannot take what a put has promised.** Age is the file's modification time. ``put``
of bytes that are there sets it to now *and then* looks whether the file still has its name; if
not, it writes the file anew. ``delete`` first renames the file to a name of its own and *then*
looks at its age: what is young goes back to its name. Say that a put finds the file under its name
after it has made it young. Then each rename of that file either came before that look, and was
taken back by then, so that only another name of the same file is still to be removed; or it comes
after, and its look at the age, later still, sees a young file. Going back is a hard link, which
never replaces a file that another put has written under the name meanwhile. The name aside is
random, so that two deletes never remove each other's.

A delete that is killed between its steps leaves the file under the name aside. Readers look there
too, and ``sweep`` puts it back, where the next collection finds it.
"""

import hashlib
import io
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO

from milepost._base.digest import sha256_bytes, sha256_file
from milepost.entities.errors import StorageError
from milepost.entities.ids import Digest
from milepost.storage.files.digest_files import (
    READ_ONLY,
    TEMPORARY,
    check_digest,
    corrupt,
    explained,
    is_digest,
    make_folders,
    missing,
    sync_folder,
    verified,
    write_file,
)
from milepost.storage.files.store import Stored, Usage

_ASIDE = ".trash"


class LocalArtifacts:
    """A folder with the bytes of digest ``abcd…`` in ``ab/cd/abcd…``.

    A file is written beside its place, flushed to the disk and renamed, so that what has its name
    is whole. Below the root no symbolic link is followed, and only plain files are read.

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

    def refresh(self, digest: str) -> bool:
        """Make it young; see ``Artifacts``."""
        path = self._path(digest)
        with explained(path):
            try:
                os.utime(path, follow_symlinks=False)
                if not path.is_file():
                    return False
                self._settle(path.parent)
                return True
            except FileNotFoundError:
                return False
            except PermissionError:
                # Somebody else's file: a copy of our own takes its place.
                with self._opened(digest) as source:
                    write_file(path, source, digest, mode=READ_ONLY)
                return True

    def get(self, digest: str) -> bytes:
        """The verified bytes; see ``Artifacts``."""
        with self._opened(digest) as file, explained(self.root):
            return verified(file.read(), digest, str(self.root))

    def open(self, digest: str) -> BinaryIO:
        """A verified file; see ``Artifacts``."""
        file = self._opened(digest)
        try:
            with explained(self.root):
                seen = hashlib.file_digest(file, "sha256").hexdigest()
            if seen != digest:
                raise corrupt(digest, str(self.root))
            file.seek(0)
        except BaseException:
            file.close()
            raise
        return file

    def exists(self, digest: str) -> bool:
        """Whether it is there; see ``Artifacts``."""
        return any(place.is_file() for place in self._places(digest))

    def size(self, digest: str) -> int:
        """Its size in bytes; see ``Artifacts``."""
        with self._opened(digest) as file:
            return file.seek(0, io.SEEK_END)

    def copy(self, digest: str, path: Path) -> None:
        """Copy it to a file; see ``Artifacts``."""
        with self._opened(digest) as file:
            write_file(path, file, digest)

    def list(self) -> Iterator[Stored]:
        """All of them; see ``Artifacts``."""
        with explained(self.root):
            for folder in self._folders():
                start = folder.parent.name + folder.name
                for name, found in _plain_files(folder):
                    if name.startswith(start) and is_digest(name):
                        when = datetime.fromtimestamp(found.st_mtime, UTC)
                        yield Stored(Digest(name), found.st_size, when)

    def usage(self) -> Usage:
        """Number and bytes; see ``Artifacts``."""
        sizes = [stored.size for stored in self.list()]
        return Usage(len(sizes), sum(sizes))

    def delete(self, digest: str, unless_newer_than: datetime) -> bool:
        """Delete it if it is old; see ``Artifacts``, and above for why this is safe."""
        path = self._path(digest)
        aside = path.with_name(f".{digest}.{secrets.token_hex(8)}{_ASIDE}")
        limit = unless_newer_than.timestamp()
        with explained(path):
            try:
                if os.stat(path, follow_symlinks=False).st_mtime > limit:  # noqa: PTH116 - as below
                    return False
                os.rename(path, aside)  # noqa: PTH104 - the steps of the argument, one call each
                young = os.stat(aside, follow_symlinks=False).st_mtime > limit  # noqa: PTH116
            except FileNotFoundError:
                return False
            if young:
                _put_back(aside, path)
                return False
            aside.unlink(missing_ok=True)
        return True

    def sweep(self, older_than: datetime, *, dry_run: bool = False) -> Usage:
        """Remove half-written files and undo killed deletes; see ``Artifacts``."""
        limit, count, size = older_than.timestamp(), 0, 0
        with explained(self.root):
            for folder in self._folders():
                for name, found in _plain_files(folder):
                    path = folder / name
                    if name.endswith(TEMPORARY) and found.st_mtime <= limit:
                        count, size = count + 1, size + found.st_size
                        if not dry_run:
                            path.unlink(missing_ok=True)
                    elif name.endswith(_ASIDE) and is_digest(name[1:65]) and not dry_run:
                        _put_back(path, path.with_name(name[1:65]))
        return Usage(count, size)

    def _folders(self) -> Iterator[Path]:
        for first in _hex_folders(self.root):
            yield from _hex_folders(first)

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

    def _places(self, digest: str) -> Iterator[Path]:
        """Where the bytes may be: at their name, set aside by a delete, or back again."""
        path = self._path(digest)
        yield path
        yield from path.parent.glob(f".{digest}.*{_ASIDE}")
        yield path

    def _settle(self, folder: Path) -> None:
        """Flush the names in a folder; whoever gave them may have been killed before it did."""
        for each in (self.root, folder.parent, folder):
            make_folders(each)
        sync_folder(folder)

    def _opened(self, digest: str) -> BufferedReader:
        with explained(self.root):
            for place in self._places(digest):
                with suppress(FileNotFoundError):
                    return _open_plain(place)
        raise missing(digest, str(self.root))

    def _store(self, digest: str, source: BinaryIO) -> Digest:
        path = self._path(digest)
        with explained(path):
            # Bytes that went bad under this name are put right by storing them again.
            if not (_is_sound(path, digest) and self.refresh(digest)):
                make_folders(path.parent)
                write_file(path, source, digest, mode=READ_ONLY)
        return Digest(digest)


def _is_sound(path: Path, digest: str) -> bool:
    try:
        return path.is_file() and sha256_file(path) == digest
    except FileNotFoundError:
        return False  # a delete took it between the two


def _open_plain(path: Path) -> BufferedReader:
    """A plain file, never through a link; a pipe or a device is refused, not waited for."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    handle = os.open(path, flags | getattr(os, "O_BINARY", 0))
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise StorageError(
            "there is something else than a plain file inside the artifact folder.",
            where=str(path),
            advice="Remove it, and restore the artifact from a backup.",
        )
    return os.fdopen(handle, "rb")


def _put_back(aside: Path, path: Path) -> None:
    """Give a file that was set aside its name again, unless another one has it by now."""
    try:
        os.link(aside, path)
    except FileExistsError:
        pass
    except FileNotFoundError:
        return  # a sweep has put it back already
    except OSError:
        aside.replace(path)  # a file system without hard links
        return
    aside.unlink(missing_ok=True)


def _hex_folders(folder: Path) -> list[Path]:
    """Folders with two hex digits for a name, sorted, links left out; none where there is none."""
    try:
        with os.scandir(folder) as entries:
            found = [e.name for e in entries if e.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return []
    return [folder / name for name in sorted(found) if is_digest(name, length=2)]


def _plain_files(folder: Path) -> list[tuple[str, os.stat_result]]:
    """Plain files of a folder, sorted by name; what goes away meanwhile is left out."""
    found: list[tuple[str, os.stat_result]] = []
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):
                if entry.is_file(follow_symlinks=False):
                    found.append((entry.name, entry.stat(follow_symlinks=False)))
    return sorted(found, key=lambda each: each[0])
