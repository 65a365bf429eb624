"""A workspace's folder in the making: whole in the end, or empty, or marked as unfinished."""

import shutil
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from milepost.entities.errors import WorkspaceError
from milepost.workflows.ledger_address import FILE
from milepost.workflows.tasks.files import cannot_write, write_whole

_MARK = ".unfinished"
_WORDS = b"This folder was being made. What makes it again in the same place removes it first.\n"


@contextmanager
def new_folder(root: Path) -> Generator[None]:
    """Fill a new or empty folder; the caller writes ``milepost.toml`` last.

    After an error it is empty again. A process that was killed leaves a mark, by which the next
    one that makes something here knows that what is there may go.

    Raises:
        WorkspaceError: If the folder holds something, or cannot be written.
    """
    mark = root / _MARK
    try:
        _require_free(root, mark)
        root.mkdir(parents=True, exist_ok=True)
        _clear(root, but=mark)
    except OSError as error:
        raise cannot_write(root, error) from error
    try:
        write_whole(mark, _WORDS)
        yield
        if not (root / FILE).is_file():
            raise AssertionError(f"{FILE} was not written")
    except BaseException:
        # What went wrong matters more than what cannot be removed.
        with suppress(OSError):
            _clear(root, but=mark)
            mark.unlink(missing_ok=True)
        raise
    with suppress(OSError):
        mark.unlink()


def _require_free(root: Path, mark: Path) -> None:
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return
    if root.is_dir() and mark.is_file() and not (root / FILE).exists():
        return
    what = "there is a workspace here already." if (root / FILE).exists() else (
        "the folder is not empty." if root.is_dir() else "this is a file."
    )  # fmt: skip
    raise WorkspaceError(
        what, where=str(root), advice="Name a new folder, or open the workspace with -w."
    )


def _clear(root: Path, *, but: Path) -> None:
    """Remove what is in a folder; the mark goes last, so that it can be done again."""
    for path in root.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path != but:
            path.unlink()
