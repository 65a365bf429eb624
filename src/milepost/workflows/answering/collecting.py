"""What may answer the queries of a task, read from its files and ready to be searched."""

from milepost.data.ranking import candidates_of
from milepost.entities.task import Task
from milepost.models.encoder import Encoder
from milepost.models.searching.finding import Collection
from milepost.workflows.context import Context


def collection_of(context: Context, task: Task, encoder: Encoder | None) -> Collection:
    """What may answer a query of a task, as its files are now.

    Raises:
        DataError: If a file cannot be read, or there is no candidate.
    """
    texts = candidates_of(task, (), context.root)
    return Collection(texts, None if encoder is None else encoder.encode(texts))
