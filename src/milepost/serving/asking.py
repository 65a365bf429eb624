"""What the faces of a server are written against: answers, vectors, feedback, readiness."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from milepost.entities.serving import Answers, Ask, Feedback, ServedTask
from milepost.serving.passing.asking import Passing


@dataclass(frozen=True, slots=True, eq=False)
class Embedded:
    """Vectors of some texts.

    Attributes:
        vectors: ``(n, d) float32`` of unit length.
        tokens: Encoder tokens read, special tokens included.
        encoder: Name of the encoder.
        cached_tokens: Tokens of the texts whose vectors came from the cache; these were not read.
    """

    vectors: NDArray[np.float32]
    tokens: int
    encoder: str
    cached_tokens: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedEncoder:
    """The encoder that turns texts into vectors for whoever asks for them.

    Attributes:
        name: Its name, such as ``all-MiniLM-L6-v2``.
        dimensions: Numbers in a vector.
        max_tokens: Longest input, in tokens; what is longer is cut.
    """

    name: str
    dimensions: int
    max_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """Feedback as it came in; at least one of label, rating and comment.

    Attributes:
        trace: Id of the trace.
        label: The right label.
        rating: 0 (useless) to 1 (right).
        comment: In words.
        text: The input, for a trace whose input was not kept.
        key: Id of the key that says it.
        tasks: Tasks that the key may speak of; empty for all.
    """

    trace: str
    label: str | None = None
    rating: float | None = None
    comment: str | None = None
    text: str | None = None
    key: str | None = None
    tasks: tuple[str, ...] = ()


class Answering(Protocol):
    """A workspace that answers. All methods are called on one event loop."""

    async def answer(self, ask: Ask) -> Answers:
        """Answers of one release to all texts of a request.

        Raises:
            UnknownNameError: If there is no such task or release.
            WorkspaceError: If the task has nothing in production.
            InputError: If a text cannot be read.
            OverloadedError: If the queue is full.
            LateError: If the deadline passed before there was an answer.
            RecordingError: If the answer cannot be recorded, and must be.
            UpstreamError: If a language model that it needs did not answer.
        """
        ...

    async def embed(self, texts: Sequence[str], deadline: float | None = None) -> Embedded:
        """Vectors of texts from the workspace's encoder.

        Raises:
            OverloadedError: If the queue is full.
            LateError: If the deadline passed.
        """
        ...

    async def candidates(
        self, task: str, queries: Sequence[str], deadline: float | None = None
    ) -> list[list[str]]:
        """What may answer each query of a task that ranks, in no order.

        Raises:
            UnknownNameError: If there is no such task.
            InputError: If it does not rank, or a query is empty.
            OverloadedError: If the queue is full.
            LateError: If the deadline passed.
        """
        ...

    def encoder(self) -> ServedEncoder | None:
        """The encoder that ``embed`` uses; ``None`` where no task reads vectors."""
        ...

    def task(self, name: str) -> ServedTask:
        """A task that is served.

        Raises:
            UnknownNameError: If there is none; names the nearest.
        """
        ...

    def asks(self, task: str) -> bool:
        """Whether answers of a task may wait for language models; ``False`` of unknown ones."""
        ...

    @property
    def passing(self) -> Passing:
        """Language models that clients ask themselves."""
        ...

    def tasks(self) -> Sequence[ServedTask]:
        """All tasks that have something in production, by name."""
        ...

    async def feedback(self, said: Said) -> tuple[Feedback, bool]:
        """Keep what somebody said about an answer.

        Returns:
            The record, and whether it is new: the same said again by the same key is kept once.

        Raises:
            UnknownNameError: If there is no such trace, or it is of a task that the key may not
                speak of.
            InputError: If the label is none of the task's, or nothing was said.
        """
        ...

    def unready(self) -> str | None:
        """Why no traffic should come here now; ``None`` when it should."""
        ...

    def problems(self) -> Mapping[str, str]:
        """What of a task cannot be loaded, and why, by its name; the rest goes on answering."""
        ...

    async def close(self, grace: float) -> None:
        """Take no more, finish what was begun within ``grace`` seconds, and flush all records."""
        ...
