"""What is asked of a language model through a server, and what it answers."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from milepost.entities.language import Completion, ModelRequest, Piece, Tokens
from milepost.entities.serving import Verdict
from milepost.entities.upstream import Upstream
from milepost.models.language.asking import Terms
from milepost.serving.recording.ids import new_trace_id

CHANNEL = "upstream"
"""What stands for the channel in traces of such answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PassAsk:
    """A question of a client to a language model.

    Attributes:
        upstream: Name of the upstream.
        question: What is asked.
        key: Id of the key that asks; ``None`` where none is needed.
        subject: For whom, such as a user's id; only its digest is kept.
        deadline: ``time.monotonic()`` after which nobody waits; ``None`` for never.
        cache: Whether an answer from a cache of ours may be given.
        request: Id of the request, for traces and logs.
        parent: ``traceparent`` header (W3C Trace Context); ``None`` without.
        protocol: ``openai`` for chat completions, ``openai-responses`` for responses.
        trace_id: Under which the answer is recorded.
    """

    upstream: str
    question: ModelRequest
    key: str | None = None
    subject: str | None = None
    deadline: float | None = None
    cache: bool = True
    request: str = ""
    parent: str | None = None
    protocol: str = "openai"
    trace_id: str = field(default_factory=new_trace_id)

    @property
    def terms(self) -> Terms:
        """Under what the language model is asked."""
        return Terms(
            purpose="pass",
            key=self.key,
            deadline=self.deadline,
            cache=self.cache,
            parent=self.parent,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Passed:
    """What came of it.

    Attributes:
        trace_id: Under which it is recorded.
        completion: The answer; without text and tools where a guard blocked it.
        guards: Verdicts on what was asked, by the guard's task.
        answer_guards: Verdicts on what was answered.
        blocked: The guard that blocked it; ``None`` where none did.
    """

    trace_id: str
    completion: Completion
    guards: dict[str, Verdict] = field(default_factory=dict[str, Verdict])
    answer_guards: dict[str, Verdict] = field(default_factory=dict[str, Verdict])
    blocked: str | None = None

    @property
    def refusal(self) -> str | None:
        """Why the answer is not given, in words; ``None`` where it is."""
        if self.blocked is None:
            return None
        said = self.guards.get(self.blocked)
        if said is None or not said.tripped:
            said = self.answer_guards.get(self.blocked)
        score = f" with a score of {said.score:.2f}" if said is not None else ""
        return f"Blocked by {self.blocked}{score}."


Coming = AsyncGenerator[Piece | Passed]
"""Pieces as they come; at last what came of it all, whose text was told piece by piece."""


class Passing(Protocol):
    """Language models that clients ask themselves. All methods are called on one event loop."""

    def upstreams(self) -> Sequence[Upstream]:
        """All that are registered, by name."""
        ...

    def upstream(self, name: str) -> Upstream:
        """One of them.

        Raises:
            UnknownNameError: If there is none; names the nearest.
        """
        ...

    async def complete(self, ask: PassAsk) -> Passed:
        """The whole answer.

        Raises:
            UnknownNameError: If there is no such upstream.
            UpstreamError: If it did not answer; says how.
            OverloadedError: If a guard cannot speak: nothing goes past a guard that is out.
            InputError: If what is asked or answered is too long for the guards.
            RecordingError: If the answer cannot be recorded, and must be.
        """
        ...

    def stream(self, ask: PassAsk) -> Coming:
        """The answer as it comes; closing the iterator ends the call, and settles what it cost.

        Raises:
            MilepostError: As ``complete``.
        """
        ...

    async def embed(self, ask: "EmbedAsk") -> tuple[list[list[float]], Tokens]:
        """Vectors of texts; they are guarded and recorded as questions are not.

        Raises:
            UnknownNameError: If there is no such upstream.
            UpstreamError: If it did not answer.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedAsk:
    """Texts that a client wants vectors of.

    Attributes:
        upstream: Name of the upstream.
        texts: At least one.
        terms: Under what it is asked.
    """

    upstream: str
    texts: Sequence[str]
    terms: Terms
