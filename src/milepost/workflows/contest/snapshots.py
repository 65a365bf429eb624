"""Snapshots as contests recorded them, also where forgetting has put them elsewhere since."""

from milepost.data.snapshot import read_snapshot
from milepost.entities.errors import StorageError
from milepost.entities.example import Examples
from milepost.entities.ids import Digest
from milepost.workflows.context import Context


def stored_examples(context: Context, artifact: Digest) -> Examples:
    """The examples of a snapshot by where its bytes were when a contest recorded them.

    Rows that were forgotten since are still there, with their ids and labels, and without text.

    Raises:
        StorageError: If the snapshot is gone or damaged.
    """
    try:
        return read_snapshot(context.artifacts.get(artifact))
    except StorageError:
        place = context.ledger.snapshot_place(artifact)
        if place is None:
            raise
        return read_snapshot(context.artifacts.get(place))
