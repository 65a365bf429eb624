"""The images of a workspace by the digest of their bytes: kept in a folder, or held for a while.

Bytes are kept as they came, what a camera wrote into them included. What is only asked about is
held in memory, as long as whoever asks holds it, and never written.
"""

import base64
import binascii
import os
import re
import threading
import uuid
from collections.abc import Callable
from pathlib import Path
from weakref import WeakValueDictionary

from milepost._base.untrusted import read_plain
from milepost.entities.errors import CorruptError, InputError, StorageError
from milepost.entities.images import digest_in, image_text, is_image
from milepost.models.images.picture import MOST_BYTES, decoded, look_of, sha256_of

_DATA_URI = re.compile(r"data:image/[\w.+-]+;base64,", re.ASCII)
_DIGITS = re.compile(r"[0-9a-f]{2,64}")
_SHOWN = 80


class Held:
    """An image that is there as long as somebody refers to this.

    Attributes:
        text: Stands for the image.
    """

    __slots__ = ("__weakref__", "_bytes", "text")

    def __init__(self, text: str, bytes_: Callable[[], bytes]) -> None:
        self.text = text
        self._bytes = bytes_

    def read(self) -> bytes:
        """Its bytes; those of a file may have changed."""
        return self._bytes()


class Holding:
    """Holds the images of what is asked, as long as somebody holds this.

    Args:
        images: Where they are found while they are held.
    """

    def __init__(self, images: "Images") -> None:
        self._images = images
        self._held: list[Held] = []

    def __call__(self, cell: str | bytes, base: Path | None = None) -> str:
        """What stands for an image; see :meth:`Images.hold`."""
        held = self._images.hold(cell, base)
        self._held.append(held)
        return held.text

    def keep(self) -> None:
        """Keeps what is held for good; see :meth:`Images.keep`."""
        for held in self._held:
            if not self._images.has(held.text):
                self._images.keep(held.read())


class Images:
    """Images by what stands for them. Thread safe.

    Args:
        folder: Where images are kept, in files named by digest and look; ``None`` keeps none.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._held: WeakValueDictionary[str, Held] = WeakValueDictionary()

    def hold(self, cell: str | bytes, base: Path | None = None) -> Held:
        """An image to be asked about, decoded once so that it is known to be one.

        Args:
            cell: Its bytes; a ``data:image/…;base64,`` URI; what stands for an image that is kept;
                or a path.
            base: Folder that paths start from; ``None`` where a path must not be read, such as
                one that came over a network.

        Raises:
            InputError: If it is none of these, or no image that can be read.
        """
        if isinstance(cell, str) and is_image(cell):
            self.bytes_of(cell)
            return Held(cell, lambda: self.bytes_of(cell))
        data, path = _read(cell, base)
        text = self._known(data) or image_text(sha256_of(data), look_of(decoded(data)))
        held = Held(text, (lambda: data) if path is None else (lambda: _of_file(path)))
        with self._lock:
            return self._held.setdefault(text, held)

    def keep(self, cell: str | bytes, base: Path | None = None) -> str:
        """Keeps an image, and gives what stands for it; one that is kept is only looked up.

        Raises:
            InputError: As :meth:`hold`; also if this keeps none.
            StorageError: If it cannot be written.
        """
        if self.folder is None:
            raise InputError("images are kept in a workspace, and there is none here.")
        if isinstance(cell, str) and is_image(cell):
            if not self._file(cell).is_file():
                raise _gone(cell)
            return cell
        data, _ = _read(cell, base)
        known = self._known(data)
        if known is not None:
            return known
        text = image_text(sha256_of(data), look_of(decoded(data)))
        _write(self._file(text), data)
        return text

    def has(self, text: str) -> bool:
        """Whether the image that a text stands for is kept."""
        return self.folder is not None and self._file(text).is_file()

    def beginning(self, digits: str) -> str | None:
        """What stands for the image that is kept and whose digest begins so.

        Args:
            digits: At least two digits in hex.

        Returns:
            ``None`` where there is none, or more than one.
        """
        if self.folder is None or not _DIGITS.fullmatch(digits):
            return None
        found = list((self.folder / digits[:2]).glob(f"{digits}*.*"))
        return f"image:{found[0].name}" if len(found) == 1 else None

    def bytes_of(self, text: str) -> bytes:
        """The bytes of the image that a text stands for, verified.

        Raises:
            InputError: If nobody keeps or holds it.
            CorruptError: If they are not what they were.
        """
        held = self._held.get(text)
        if held is not None:
            data = held.read()
        else:
            if self.folder is None:
                raise _gone(text)
            try:
                data = read_plain(self._file(text), MOST_BYTES)
            except OSError as error:
                raise _gone(text) from error
        if sha256_of(data) != digest_in(text):
            raise CorruptError(
                "the bytes of an image are not what they were.",
                where=text[:_SHOWN],
                advice="Restore it from a backup, or bring the data again.",
            )
        return data

    def delete(self, text: str) -> bool:
        """Deletes an image that is kept; whether it was there.

        Raises:
            StorageError: If it cannot be deleted.
        """
        if self.folder is None:
            return False
        try:
            self._file(text).unlink()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise StorageError(f"an image cannot be deleted: {error}.", where=text) from error
        return True

    def _known(self, data: bytes) -> str | None:
        """What stands for these bytes if they are kept."""
        if self.folder is None:
            return None
        digest = sha256_of(data)
        found = next((self.folder / digest[:2]).glob(f"{digest}.*"), None)
        return None if found is None else f"image:{found.name}"

    def _file(self, text: str) -> Path:
        digest = digest_in(text)  # what is no digest never becomes a path
        assert self.folder is not None  # noqa: S101 - asked by every caller
        return self.folder / digest[:2] / text.removeprefix("image:")


def _read(cell: str | bytes, base: Path | None) -> tuple[bytes, Path | None]:
    """The bytes of an image, and the file that they are in.

    Raises:
        InputError: If there are none.
    """
    if isinstance(cell, bytes):
        return cell, None
    uri = _DATA_URI.match(cell)
    if uri is not None:
        try:
            return base64.b64decode(cell[uri.end() :].strip(), validate=True), None
        except (binascii.Error, ValueError) as error:
            raise InputError("the data URI of an image is not valid base64.") from error
    if base is None:
        raise InputError(
            f"this is no image: {cell[:_SHOWN]!r}.",
            advice="Send it as data:image/png;base64,… (or another format that is read).",
        )
    path = base / cell.strip()
    return _of_file(path), path


def _of_file(path: Path) -> bytes:
    try:
        if not path.is_file():
            raise InputError(
                "there is no such image file.",
                where=str(path)[:500],
                advice="Paths start from the folder of the data file.",
            )
        if path.stat().st_size > MOST_BYTES:
            raise InputError(
                f"the image has more than {MOST_BYTES:,} bytes.", where=str(path)[:500]
            )
        return path.read_bytes()
    except (OSError, ValueError) as error:
        raise InputError(f"the image cannot be read ({error}).", where=str(path)[:500]) from error


def _write(file: Path, data: bytes) -> None:
    """Writes a file so that it is there whole or not at all."""
    draft = file.with_name(f".{uuid.uuid4().hex}.tmp")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with draft.open("wb") as opened:
            opened.write(data)
            opened.flush()
            os.fsync(opened.fileno())
        draft.replace(file)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise StorageError(f"an image cannot be kept: {error}.", where=str(file.parent)) from error


def _gone(text: str) -> InputError:
    return InputError(
        "the image is not kept here.",
        where=text[:_SHOWN],
        advice="Give it as a file or a data URI.",
    )
