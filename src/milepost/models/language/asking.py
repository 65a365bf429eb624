"""What everything above knows of a language model, and what it is given to ask one.

Layers implement the same protocol and stand around each other: a cache around a meter around
resilience around the wire formats of the endpoints.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from milepost.entities.errors import UpstreamError
from milepost.entities.language import Completion, ModelRequest, Piece, Tokens
from milepost.entities.model_calls import Purpose
from milepost.entities.upstream import Upstream
from milepost.models.language.tabs import Tab

Answered = Completion | UpstreamError
"""What came of a call; an error is a value where many calls are made at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """Under what a call is made; passed down through all layers.

    Attributes:
        purpose: Why.
        task: Task that it is for.
        key: Id of the key that asks.
        job: Job that it belongs to; its budget is then one that counts.
        deadline: ``time.monotonic()`` by which it ends whatever happens; ``None`` takes the
            upstream's ``timeout_s``.
        cache: Whether an answer from a cache of ours may be given.
        parent: ``traceparent`` header (W3C Trace Context) to hand on.
        about: The input of the task that is asked about, as the prompt shows it; ``None`` where
            nobody may be answered as for a similar one.
        tab: Where attempts are counted; set by the outermost layer, ``None`` where nobody counts.
    """

    purpose: Purpose = "serve"
    task: str | None = None
    key: str | None = None
    job: str | None = None
    deadline: float | None = None
    cache: bool = True
    parent: str | None = None
    about: str | None = None
    tab: Tab | None = field(default=None, compare=False, repr=False)


class LanguageModel(Protocol):
    """A language model; used on one event loop."""

    @property
    def upstream(self) -> Upstream:
        """Where it is and what it costs."""
        ...

    async def complete(self, request: ModelRequest, terms: Terms) -> Completion:
        """The whole answer.

        Raises:
            UpstreamError: However it failed, by the deadline and at most 50 ms.
        """
        ...

    def stream(self, request: ModelRequest, terms: Terms) -> AsyncIterator[Piece]:
        """The answer as it comes; the last piece holds it whole.

        Closing the iterator early ends the call, and settles what it cost.

        Raises:
            UpstreamError: As ``complete``; where pieces were given already, no retry is made.
        """
        ...

    async def embed(self, texts: Sequence[str], terms: Terms) -> tuple[list[list[float]], Tokens]:
        """Vectors of texts, for upstreams whose model embeds, and what was read.

        Raises:
            UpstreamError: As ``complete``.
        """
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


class Speaker(Protocol):
    """A language model for code that waits: contests and commands. Thread safe."""

    @property
    def upstream(self) -> Upstream:
        """Where it is and what it costs."""
        ...

    def ask(self, requests: Sequence[ModelRequest]) -> list[Answered]:
        """What comes of each, in order; many are on their way at once.

        What was asked before with the same words costs nothing again.

        Raises:
            UpstreamError: If no further call can be made at all: over the budget, without a key
                or a price. What was answered until then is kept in the cache.
        """
        ...

    def estimate(self, requests: Sequence[ModelRequest]) -> int:
        """Micro-USD that these would cost at about, from their lengths; what is cached is free.

        Raises:
            UpstreamError: If the upstream has no price.
        """
        ...

    def left(self) -> int | None:
        """Micro-USD that its budgets leave; ``None`` without a budget."""
        ...
