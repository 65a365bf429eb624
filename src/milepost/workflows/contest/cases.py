"""The cases that declared tests of behaviour name by file."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from milepost._base.settings import Settings
from milepost.data.read import Reading, read_examples
from milepost.entities.task import Task
from milepost.predictors.preparation import Preparation


def case_files(task: Task) -> tuple[str, ...]:
    """Files with cases that the task names, each once, relative to the workspace."""
    tests = task.behaviour if isinstance(task.behaviour, tuple) else ()
    return tuple(dict.fromkeys(test.file for test in tests if test.file is not None))


def read_cases(
    files: Sequence[str],
    task: Task,
    settings: Settings,
    *,
    root: Path | None = None,
    prepare: Preparation | None = None,
) -> dict[str, Reading]:
    """The cases of each file by its name; only the text and the label must have a column.

    Args:
        files: Paths as the task file names them.
        task: Names the columns.
        settings: As for examples.
        root: Folder that relative paths start from; ``None`` for the current one.
        prepare: As for examples.

    Raises:
        DataError: If a file or a column is missing or cannot be used.
    """
    plain = msgspec.structs.replace(
        task.data, id=None, group=msgspec.UNSET, time=msgspec.UNSET, test=()
    )
    read_as = msgspec.structs.replace(task, data=plain)
    return {
        file: read_examples(
            [file], read_as, settings, root=root, unknown_labels="keep", prepare=prepare
        )
        for file in files
    }
