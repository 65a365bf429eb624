"""Task files on disk: one YAML per task under ``tasks/``, the truth, read at each command."""

import os
import tempfile
from collections.abc import Generator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

from milepost.entities.errors import (
    InputError,
    Problem,
    TaskFileError,
    UnknownNameError,
    WorkspaceError,
)
from milepost.entities.task import Task
from milepost.entities.taskfile import add_to_list, dump_task, parse_task
from milepost.storage.files.digest_files import make_folders, sync_folder

FOLDER = "tasks"


def task_names(root: Path) -> list[str]:
    """Names of all tasks, sorted, whether their files are valid or not.

    Raises:
        InputError: If the name of a file is not text.
    """
    names = sorted(path.stem for path in (root / FOLDER).glob("*.yaml"))
    for name in names:
        if not _is_text(name):
            raise InputError(
                f"the name of the file {name!r} is not UTF-8 text.",
                where=FOLDER,
                advice="Rename the file.",
            )
    return names


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def task_path(root: Path, name: str) -> Path:
    """The file of an existing task.

    Raises:
        UnknownNameError: If there is no such task. A name never becomes a path before it was
            found among the files that exist.
    """
    names = task_names(root)
    if name not in names:
        raise UnknownNameError("task", name, names)
    return root / FOLDER / f"{name}.yaml"


def read_task(root: Path, name: str) -> Task:
    """The task of that name.

    Raises:
        UnknownNameError: If there is no such task.
        TaskFileError: With every problem of its file.
    """
    path = task_path(root, name)
    shown = f"{FOLDER}/{path.name}"
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        what = f"this is not UTF-8 text: {error.reason} at byte {error.start}."
        raise TaskFileError([Problem(file=shown, line=None, field="", what=what)]) from error
    task = _parsed(text, shown)
    if task.name != name:
        what = f"{task.name!r} is not the name of the file."
        advice = f"Write name: {name}, or rename the file to {task.name}.yaml."
        raise TaskFileError([Problem(file=shown, line=1, field="name", what=what, advice=advice)])
    return task


@lru_cache(maxsize=256)
def _parsed(text: str, shown: str) -> Task:
    """The task of a file's text; YAML with many labels takes longer to read than an answer."""
    return parse_task(text, shown)


def write_task(root: Path, task: Task) -> Path:
    """Write a new task file.

    Raises:
        InputError: If a task of that name exists.
    """
    path = root / FOLDER / f"{task.name}.yaml"
    if path.exists():
        raise InputError(
            f"there is a task {task.name!r} already.",
            where=f"{FOLDER}/{path.name}",
            advice=f"Add labels to it with `milepost add {task.name} FILE`, or edit the file.",
        )
    write_whole(path, dump_task(task).encode())
    return path


def append_data_file(root: Path, name: str, role: str, file: str) -> None:
    """Name one more data file in a task file; comments and order stay."""
    path = task_path(root, name)
    text = add_to_list(path.read_text(encoding="utf-8-sig"), "data", role, file)
    parse_task(text, f"{FOLDER}/{path.name}")
    write_whole(path, text.encode())


def write_whole(path: Path, data: bytes) -> None:
    """Write a file whole or not at all: temporary file, fsync, rename, fsync of the folder.

    Raises:
        WorkspaceError: If the folder cannot be written.
    """
    with whole_file(path) as file:
        file.write(data)


@contextmanager
def whole_file(path: Path) -> Generator[BinaryIO]:
    """A file to write that is there whole once the block has ended well, and not before.

    Raises:
        WorkspaceError: If the folder cannot be written.
    """
    try:
        make_folders(path.parent)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise cannot_write(path, error) from error
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        # Gone already when all went well. What went wrong matters more than this.
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def cannot_write(path: Path, error: OSError | ValueError) -> WorkspaceError:
    """The error for a place that cannot be written, or a name that no file system takes."""
    why = error.strerror if isinstance(error, OSError) else None
    return WorkspaceError(
        f"cannot write here: {why or error}.",
        where=str(path)[:500],
        advice="Check the permissions and the free space, or choose another folder.",
    )
