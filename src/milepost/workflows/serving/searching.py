"""Candidates for the queries that a server is asked: found in what the task's files say now."""

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from milepost.entities.errors import InputError
from milepost.entities.serving import ServedTask
from milepost.entities.task import Task
from milepost.models.searching.finding import FOUND, Collection
from milepost.serving.engine.engine import Engine
from milepost.serving.engine.work import TrunkKey
from milepost.workflows.context import Context
from milepost.workflows.serving.loading import Loader

Stamp = tuple[object, ...]
"""Equal where neither the release nor a file of candidates is another one."""


@dataclass(frozen=True, slots=True, eq=False)
class _Opened:
    """A collection in memory, what it was made from, and whose vectors it is searched by."""

    stamp: Stamp
    collection: Collection
    trunk: TrunkKey | None


class Searching:
    """Finds candidates for queries. ``find`` is used on one event loop.

    A collection is read, and encoded as far as the workspace has no vectors of it, when it is first
    asked for, and again when a file of it or the release has changed.

    Args:
        context: The workspace.
        engine: Encodes queries.
        loader: Gives releases and their encoders.
    """

    def __init__(self, context: Context, engine: Engine, loader: Loader) -> None:
        self._context = context
        self._engine = engine
        self._loader = loader
        self._lock = threading.Lock()
        self._known: dict[str, _Opened] = {}

    async def find(
        self, served: ServedTask, queries: Sequence[str], deadline: float | None
    ) -> list[list[str]]:
        """Candidates for each query, in no order that means anything.

        Raises:
            InputError: If the task does not rank, or a query is empty.
            DataError: If the candidates cannot be read.
            OverloadedError: If the queue is full.
            LateError: If the deadline passed.
        """
        if served.kind != "rank":
            raise InputError(
                f"the task {served.name} is of the kind {served.kind}, and orders no candidates.",
                where="inputs",
            )
        if not all(query.strip() for query in queries):
            raise InputError("a query is empty.", where="inputs", advice="Give each some words.")
        opened = await asyncio.to_thread(self._opened, served)
        vectors: NDArray[np.float32] | None = None
        if opened.trunk is not None:
            vectors, _, _ = await self._engine.embed(list(queries), opened.trunk, deadline)
        texts = opened.collection.texts
        return [
            [
                texts[row]
                for row in opened.collection.find(
                    query, None if vectors is None else vectors[at], FOUND
                )
            ]
            for at, query in enumerate(queries)
        ]

    def _opened(self, served: ServedTask) -> _Opened:
        task = self._context.ledger.task(served.name).task
        stamp = self._stamp(task, served.production)
        with self._lock:
            known = self._known.get(served.name)
            if known is None or known.stamp != stamp:
                known = self._known[served.name] = self._open(task, served.production, stamp)
            return known

    def _stamp(self, task: Task, release: int) -> Stamp:
        files = task.data.candidate_files or task.data.example_files
        paths = [self._context.root / file for file in files]
        seen = [(path.stat().st_mtime_ns, path.stat().st_size) for path in paths if path.exists()]
        return (release, files, tuple(seen))

    def _open(self, task: Task, release: int, stamp: Stamp) -> _Opened:
        # What reads files is not loaded by a server that never needs it.
        from milepost.workflows.answering.collecting import collection_of

        loaded = self._loader.release(task.name, release)
        digest = loaded.manifest.encoder
        if loaded.predictor.uses != "vectors" or digest is None:
            return _Opened(stamp, collection_of(self._context, task, None), None)
        collection = collection_of(self._context, task, self._context.reading(digest).encoder())
        if collection.vectors is not None:
            self._loader.remember(digest, collection.texts, collection.vectors)
        return _Opened(stamp, collection, self._loader.reference(digest))
