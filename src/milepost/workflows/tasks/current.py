"""Tasks as the workflows see them: read from YAML at each command, versioned in the ledger."""

import msgspec

from milepost._base.digest import sha256_bytes
from milepost.entities.errors import UnknownNameError
from milepost.entities.ids import Digest
from milepost.entities.task import Task
from milepost.workflows.context import Context
from milepost.workflows.tasks.files import read_task


def version_of(task: Task) -> Digest:
    """Digest of a task: equal for equal content, whatever the file looks like.

    The order of the labels counts, because it is the order of the probabilities.
    """
    return Digest(sha256_bytes(msgspec.json.encode(task)))


def current_task(context: Context, name: str) -> Task:
    """The task as its file says now; a changed one becomes a new version in the ledger.

    Raises:
        UnknownNameError: If there is no such task.
        TaskFileError: With every problem of its file.
    """
    task = read_task(context.root, name)
    version = version_of(task)
    try:
        known = context.ledger.task(name).digest == version
    except UnknownNameError:
        known = False
    if not known:
        context.ledger.save_task(task, version, actor=context.actor)
    return task
