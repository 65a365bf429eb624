"""What a service is made of, and what it shows of itself."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from milepost._base.clock import Clock, utc_now
from milepost.entities.errors import InputError
from milepost.entities.serving import Feedback, PassingRule, RecordingRule, ServedTask, Trace
from milepost.models.images.store import Images
from milepost.serving.asking import Embedded, Said, ServedEncoder
from milepost.serving.language import Languages, NoLanguages
from milepost.serving.passes import Running
from milepost.serving.routing.router import Router
from milepost.serving.shadows import ShadowCounts

Finding = Callable[[ServedTask, Sequence[str], float | None], Awaitable[list[list[str]]]]
"""Finds candidates for queries of a task until a moment."""


class Recording(Protocol):
    """What is needed of the recorder here."""

    def record(self, traces: Sequence[Trace], rule: RecordingRule) -> None:
        """Keep traces soon; never blocks."""
        ...

    async def commit(self, traces: Sequence[Trace], rule: RecordingRule) -> None:
        """Keep traces now, or raise ``RecordingError``."""
        ...

    @property
    def lost(self) -> int:
        """Answers whose trace was lost."""
        ...

    def unready(self) -> str | None:
        """Why nothing can be recorded now; ``None`` when it can."""
        ...


async def _nothing_found(
    served: ServedTask, queries: Sequence[str], deadline: float | None
) -> list[list[str]]:
    raise InputError(f"nothing is searched here for {served.name}.", where="inputs")


class Vectors(Protocol):
    """Turns texts into vectors for whoever asks for them."""

    @property
    def served(self) -> ServedEncoder | None:
        """The encoder; ``None`` where there is none."""
        ...

    async def embed(self, texts: Sequence[str], deadline: float | None) -> Embedded:
        """Vectors of texts."""
        ...


@dataclass(frozen=True, slots=True)
class Loading:
    """How the following of the ledger goes.

    Attributes:
        problems: What could not be loaded, and why, by the name of the task; the release before
            goes on answering where there is one.
        lost: Seconds since the ledger could last be read; 0 while it can be.
        swaps: Times that the routing table was replaced.
    """

    problems: dict[str, str]
    lost: float = 0.0
    swaps: int = 0


@dataclass(frozen=True, slots=True)
class State:
    """What readiness and metrics show of a service.

    Attributes:
        tasks: Tasks that answer.
        in_flight: Requests that are being answered.
        queued_texts: Texts that wait for the engine.
        queued_tokens: Their tokens, as guessed from their lengths.
        running: Batches that run.
        traces_lost: Answers whose trace was lost.
        loading: How the following of the ledger goes.
        shadows: What became of the releases in the shadow.
    """

    tasks: int
    in_flight: int
    queued_texts: int
    queued_tokens: int
    running: int
    traces_lost: int
    loading: Loading
    shadows: ShadowCounts


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Parts:
    """What a service is made of.

    Attributes:
        router: Holds the routing table.
        engine: Answers texts.
        vectors: Gives vectors.
        feedback: Keeps what somebody said about an answer.
        recorder: Keeps traces; ``None`` keeps none.
        languages: Language models that releases, and clients themselves, may ask.
        passing: Guards and recording of what clients ask language models themselves.
        candidates: Finds what may answer the queries of a task that ranks.
        loading: How the following of the ledger goes.
        closing: Ends what runs beside, in this order, each given the seconds that are left.
        clock: Gives the time.
        images: Where images of a request are found while it is answered.
    """

    router: Router
    engine: Running
    vectors: Vectors
    feedback: Callable[[Said], Awaitable[tuple[Feedback, bool]]]
    recorder: Recording | None = None
    languages: Languages = field(default_factory=NoLanguages)
    passing: PassingRule = field(default_factory=PassingRule)
    candidates: Finding = _nothing_found
    loading: Callable[[], Loading] = lambda: Loading({})
    closing: Sequence[Callable[[float], Awaitable[None]]] = ()
    clock: Clock = utc_now
    images: Images = field(default_factory=Images)
