"""Where checkpoints are kept: a folder, or any address that fsspec knows. Objects never change."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast
from urllib.parse import urlsplit

from milepost.entities.errors import MilepostError, StorageError, WorkspaceError
from milepost.storage.files.digest_files import explained, make_folders
from milepost.storage.proof.new_files import write_new

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

_MOST_BYTES = 1 << 16


class Place(Protocol):
    """A folder somewhere, in which objects are made and never changed."""

    label: str

    def create(self, name: str, data: bytes) -> bool:
        """Make an object, whole or not at all; ``False`` when there is one of that name."""
        ...

    def read(self, names: Sequence[str]) -> list[bytes]:
        """What objects hold."""
        ...

    def names(self, folder: str) -> list[str]:
        """Names of what is in a folder, without the folder's; empty when it is not there."""
        ...


class LocalPlace:
    """A folder of this machine.

    Args:
        root: The folder; made with the first object.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.label = str(root)

    def create(self, name: str, data: bytes) -> bool:
        """Make an object; see ``Place``."""
        path = self.root / name
        with explained(path):
            make_folders(path.parent)
        return write_new(path, data)

    def read(self, names: Sequence[str]) -> list[bytes]:
        """Read objects; see ``Place``."""
        with explained(self.label):
            return [self._bytes(name) for name in names]

    def names(self, folder: str) -> list[str]:
        """List a folder; see ``Place``."""
        with explained(self.label):
            try:
                return [entry.name for entry in (self.root / folder).iterdir()]
            except (FileNotFoundError, NotADirectoryError):
                return []

    def _bytes(self, name: str) -> bytes:
        try:
            with (self.root / name).open("rb") as file:
                return file.read(_MOST_BYTES)
        except IsADirectoryError:
            raise StorageError(
                "there is a folder where a checkpoint should be.",
                where=str(self.root / name),
                advice="Find out who made it, and remove it.",
            ) from None


class RemotePlace:
    """A folder at any address that fsspec knows.

    Args:
        system: The file system.
        root: Folder in it, as the file system names it.
        label: For people; holds no credentials.
    """

    def __init__(self, system: "AbstractFileSystem", root: str, label: str) -> None:
        self.system = system
        self.root = root.rstrip("/")
        self.label = label

    def create(self, name: str, data: bytes) -> bool:
        """Make an object; see ``Place``. The object store itself refuses a second one."""
        path = f"{self.root}/{name}"
        with self._reached():
            try:
                self.system.makedirs(path.rpartition("/")[0], exist_ok=True)
                self.system.pipe_file(path, data, mode="create")
            except OSError:
                # A store says in its own words that the name is taken.
                self.system.invalidate_cache(path.rpartition("/")[0])
                if self.system.isfile(path):
                    return False
                raise
        return True

    def read(self, names: Sequence[str]) -> list[bytes]:
        """Read objects, several at a time where the protocol allows it; see ``Place``."""
        if not names:
            return []
        paths = [f"{self.root}/{name}" for name in names]
        with self._reached():
            if len(paths) == 1:
                return [cast("bytes", self.system.cat_file(paths[0]))]
            held = cast("dict[str, bytes]", self.system.cat(paths))
            by_name = {path.rpartition("/")[2]: data for path, data in held.items()}
            return [by_name[path.rpartition("/")[2]] for path in paths]

    def names(self, folder: str) -> list[str]:
        """List a folder as it is now; see ``Place``."""
        path = f"{self.root}/{folder}".rstrip("/")
        with self._reached():
            self.system.invalidate_cache(path)
            try:
                found = cast("list[str]", self.system.ls(path, detail=False))
            except FileNotFoundError:
                return []
        return [name.rstrip("/").rpartition("/")[2] for name in found]

    @contextmanager
    def _reached(self) -> Generator[None]:
        with explained(self.label):
            try:
                yield
            except (OSError, MilepostError):
                raise
            # Each protocol has errors of its own, and some repeat the address with its password.
            except Exception as error:  # noqa: BLE001
                raise _unreachable(self.label, error) from None


def _unreachable(label: str, error: Exception) -> StorageError:
    return StorageError(
        f"the checkpoints cannot be reached ({type(error).__name__}).",
        where=label,
        advice="Look at the address and at its credentials.",
    )


def open_place(place: str | Path) -> Place:
    """The place at a folder or at any URL that fsspec knows.

    Raises:
        WorkspaceError: If the kind of address is unknown, or what it needs is not installed.
        StorageError: If a server that is asked at once, as one for FTP is, does not answer.
    """
    text = str(place)
    if isinstance(place, Path) or "://" not in text:
        return LocalPlace(Path(place).absolute())
    if text.startswith("file://"):
        return LocalPlace(Path(text.removeprefix("file://")))
    from fsspec.core import url_to_fs

    label = "checkpoints"
    try:
        parts = urlsplit(text)
        label = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
        system, root = url_to_fs(text)
    except ImportError as error:
        raise WorkspaceError(
            f"what this kind of address needs is not installed: {error.msg}.", where=label
        ) from None
    except (ValueError, TypeError):
        raise WorkspaceError(
            "the checkpoints' address cannot be used.",
            where=label,
            advice="Name a folder, or an address that fsspec knows, such as s3://bucket/folder.",
        ) from None
    except Exception as error:  # noqa: BLE001 - each protocol has its own, some with passwords
        raise _unreachable(label, error) from None
    return RemotePlace(cast("AbstractFileSystem", system), str(root), label)
