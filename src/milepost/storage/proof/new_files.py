"""Files that are made once, whole or not at all, and never replaced."""

import contextlib
import errno
import os
import secrets
from pathlib import Path

from milepost.storage.files.digest_files import explained, sync_folder

_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}


def write_new(path: Path, data: bytes, *, mode: int = 0o666) -> bool:
    """Make a file that is not there yet; of several processes that try at once one succeeds.

    The bytes are flushed to the disk under another name before the file gets its own, and the
    folder's entry is flushed after it.

    Args:
        path: Where; its folder must exist.
        data: All that it holds.
        mode: Permissions, less the process's mask.

    Returns:
        Whether it was made; ``False`` when there was one already, which stays as it is.

    Raises:
        StorageError: If the disk is full or anything else fails; no part of it is left then.
        WorkspaceError: If the folder may not be written.
    """
    beside = path.with_name(f".{secrets.token_hex(8)}.tmp")
    with explained(path):
        if path.exists():
            return False
        try:
            handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            made = _named(beside, path)
        finally:
            with contextlib.suppress(OSError):
                beside.unlink(missing_ok=True)
        sync_folder(path.parent)
    return made


def _named(beside: Path, path: Path) -> bool:
    """Give a file its name unless that is taken: a link, unlike a renaming, replaces nothing."""
    try:
        os.link(beside, path)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        # A file system without links: two processes at the same instant are not told apart here.
        if path.exists():
            return False
        beside.replace(path)
    return True
