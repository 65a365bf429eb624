"""What is asked of a server and what it answers; guards and recording as a task file says them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Literal

import msgspec

from milepost.entities.errors import FieldError
from milepost.entities.expectations import Name, NonEmpty, Share
from milepost.entities.inputs import Composition
from milepost.entities.kinds import Kind
from milepost.entities.ranking import Placed
from milepost.entities.spans import FoundSpan

GuardAction = Literal["annotate", "block", "route"]
RecordedInput = Literal["full", "hashed", "nothing"]


class Guard(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A task whose verdict on an input says what happens to another task's answer.

    Attributes:
        task: Name of the guarding task.
        labels: Its labels that trip the guard.
        at_least: Smallest probability of those labels together that trips it, 0 to 1.
        action: ``annotate`` only tells, ``block`` withholds the answer, ``route`` lets the task
            ``to`` answer instead.
        to: The task that answers where ``action`` is ``route``.
    """

    task: Name
    labels: Annotated[tuple[NonEmpty, ...], msgspec.Meta(min_length=1)]
    at_least: Share = 0.5
    action: GuardAction = "annotate"
    to: Name | None = None


class RecordingRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is kept of the traffic of a task.

    Attributes:
        inputs: ``full`` keeps each input, ``hashed`` its SHA-256, ``nothing`` neither.
        strict: Whether a request is answered only after its record is committed, else refused.
        days: Days after which a trace is removed, > 0.
        share: Share of the answers that are recorded, 0 to 1; answers that a guard stopped or that
            were withheld always are.
    """

    inputs: RecordedInput = "full"
    strict: bool = False
    days: Annotated[float, msgspec.Meta(gt=0.0)] = 30.0
    share: Share = 1.0


class PassingRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What holds for clients that ask language models themselves, whichever they ask.

    Guards are tasks of the workspace. Those that block withhold; ``route`` is for tasks alone.

    Attributes:
        guards: Hold what is asked: all that users and tools said since the model spoke last.
        answer_guards: Hold what the model answers, the arguments of tools included.
        recording: What is kept of it.
    """

    guards: tuple[Guard, ...] = ()
    answer_guards: tuple[Guard, ...] = ()
    recording: RecordingRule = RecordingRule()

    def __post_init__(self) -> None:
        """Check what the types cannot say.

        Raises:
            FieldError: If a guard routes, or one stands twice.
        """
        for where, guards in (("guards", self.guards), ("answer_guards", self.answer_guards)):
            names = [guard.task for guard in guards]
            if any(guard.action == "route" or guard.to is not None for guard in guards):
                raise FieldError("a guard of language models annotates or blocks", where=where)
            if len(set(names)) < len(names):
                raise FieldError("a guard stands there twice", where=where)


class Verdict(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a guard said of one input.

    Attributes:
        label: Its most probable label.
        score: Probability of the labels that trip it, together, whatever ``label`` is; of a guard
            that names no such labels the probability of ``label``.
        tripped: Whether the score reaches the guard's ``at_least``.
        action: What follows from it where it is tripped.
    """

    label: str
    score: float
    tripped: bool = False
    action: GuardAction = "annotate"


class FailedCall(msgspec.Struct, frozen=True, kw_only=True):
    """A call of a language model that did not come to an answer.

    Attributes:
        outcome: How it ended, such as ``over_budget`` or ``unreachable``.
        message: Why, in words.
        retry_after: Seconds after which to try again; left out where nobody knows.
    """

    outcome: str
    message: str
    retry_after: float | msgspec.UnsetType = msgspec.UNSET


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to one input.

    Attributes:
        label: Most probable label; ``None`` where the answer is withheld or blocked. Of tasks of
            other kinds the answer as text: a JSON array of labels or of spans, or a number.
        confidence: Its calibrated probability; that all labels are right, or of the span that is
            least sure. ``None`` where none is stated: of a score, of how relevant a candidate is,
            and where no span was found.
        probabilities: The most probable labels, most probable first; empty of a score.
        abstained: Whether it was withheld because it was not sure enough.
        rung: What answered: name of the strategy, or of the rung of a cascade, ``cache`` never;
            ``guard:NAME`` where one stopped it.
        guards: Verdict of each guard by its task.
        trace_id: Under which the answer is recorded; feedback names it.
        cached: ``similar`` where a question to a language model was answered as a similar one was,
            ``exact`` where all of them had been asked before; left out otherwise.
        failed: Why a language model could not be asked, where the answer is withheld for that;
            left out otherwise.
        labels: All labels that hold, of a task where any number may; left out otherwise.
        score: The number, of a task that scores; how likely a candidate is relevant; left out
            otherwise.
        spans: The spans that were found, of a task that extracts; left out otherwise.
        ranking: Candidates for a bare query, best first; ``label`` is the first one. Left out
            otherwise.
    """

    label: str | None
    confidence: float | None
    probabilities: dict[str, float]
    abstained: bool
    rung: str
    guards: dict[str, Verdict]
    trace_id: str
    labels: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET
    score: float | msgspec.UnsetType = msgspec.UNSET
    spans: tuple[FoundSpan, ...] | msgspec.UnsetType = msgspec.UNSET
    ranking: tuple[Placed, ...] | msgspec.UnsetType = msgspec.UNSET
    cached: Literal["exact", "similar"] | msgspec.UnsetType = msgspec.UNSET
    failed: FailedCall | msgspec.UnsetType = msgspec.UNSET


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """What a request took.

    Attributes:
        inputs: Texts that were asked about.
        cached: Of these, how many were answered from the cache.
        tokens: Encoder tokens that were read, special tokens included.
        cached_tokens: Tokens that were not read, because the cache had what comes of them.
        cost_usd: Measured CPU time of the release at the workspace's price, in USD; of one that
            asks language models, what their calls cost.
        model_calls: Questions to language models, those that a cache answered included; left out
            where the task asks none.
    """

    inputs: int
    cached: int = 0
    tokens: int = 0
    cached_tokens: int = 0
    cost_usd: float = 0.0
    model_calls: int | msgspec.UnsetType = msgspec.UNSET


class Answers(msgspec.Struct, frozen=True, kw_only=True):
    """The answers to one request; all of one release.

    Attributes:
        task: Task that was asked.
        release: Number of the release that answered all of it.
        channel: Channel that led there, or ``pinned``.
        predictions: One answer per input, in order.
        usage: What it took.
        provisional: Whether the release has learned or forgotten examples since it was measured;
            left out where it has not.
    """

    task: str
    release: int
    channel: str
    predictions: tuple[Answer, ...]
    usage: Usage
    provisional: bool | msgspec.UnsetType = msgspec.UNSET


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One request for answers, whatever protocol it came by.

    Attributes:
        task: Name of the task.
        texts: What it is asked about, at least one.
        key: Id of the key that asks; ``None`` where none is needed.
        subject: Who or what the answers are for, such as a user's id: decides between
            production and canary, so that one subject always gets the same; ``None`` draws.
        release: Number of the release that must answer; ``None`` follows the channels.
        top: Most labels in ``probabilities``, ≥ 1; ``None`` takes the default of 5.
        deadline: ``time.monotonic()`` after which nobody waits any more; ``None`` for never.
        request: Id of the request, for traces and logs.
        parent: ``traceparent`` header (W3C Trace Context) of the request; ``None`` without.
        protocol: By which protocol: ``native``, ``openai``, ``oip-http``, ``oip-grpc``, ``batch``.
    """

    task: str
    texts: tuple[str, ...]
    key: str | None = None
    subject: str | None = None
    release: int | None = None
    top: int | None = None
    deadline: float | None = None
    request: str = ""
    parent: str | None = None
    protocol: str = "native"


_PASSED = "upstream/"


def trace_task(upstream: str) -> str:
    """What stands for the task where a client asked a language model itself: no task has a '/'."""
    return _PASSED + upstream


def passed_upstream(task: str) -> str | None:
    """The language model that a client asked itself; ``None`` where a task answered."""
    return task.removeprefix(_PASSED) if task.startswith(_PASSED) else None


class Trace(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One served answer, as it is kept.

    Attributes:
        id: ``t`` and 32 hex digits; sorts by time (RFC 9562, version 7).
        task: Task that was asked.
        release: Release that answered.
        channel: ``production``, ``canary`` or ``pinned``.
        at: When it was answered, UTC.
        key: Id of the key that asked.
        subject: Digest of the subject, never the subject itself.
        label: The label that was answered; ``None`` where it was withheld or blocked.
        confidence: As the answer stated it; ``None`` where it stated none: a score, or a language
            model that a client asked itself.
        probabilities: The most probable labels with their probabilities.
        abstained: Whether it was withheld.
        rung: What answered.
        guards: Verdicts of the guards.
        shadow: What the shadow release would have answered: release, label, confidence.
        text: The input, where the policy keeps it.
        text_sha256: Its digest, where the policy keeps that.
        seconds: From the moment that the request was accepted until the answer was there.
        cached: Whether it came from the cache.
        cost_usd: What it cost, in USD.
        protocol: By which protocol it was asked.
        request: Id of the request.
        said: What a language model answered a client that asked it itself, where the policy keeps
            inputs in full. Of such a trace ``task`` is ``upstream/NAME``, ``release`` 0, ``label``
            how the answer ended and ``rung`` the upstream that gave it.
        similar: Whether a question to a language model was answered as a similar one was.
    """

    id: str
    task: str
    release: int
    channel: str
    at: datetime
    key: str | None = None
    subject: str | None = None
    label: str | None = None
    confidence: float | None = 0.0
    probabilities: dict[str, float] = {}
    abstained: bool = False
    rung: str = ""
    guards: dict[str, Verdict] = {}
    shadow: "Shadowed | None" = None
    text: str | None = None
    text_sha256: str | None = None
    seconds: float = 0.0
    cached: bool = False
    cost_usd: float = 0.0
    protocol: str = "native"
    request: str = ""
    said: str | None = None
    similar: bool = False


class Shadowed(msgspec.Struct, frozen=True, kw_only=True):
    """What a release in the shadow would have answered."""

    release: int
    label: str | None
    confidence: float | None


class TraceFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which traces are wanted; what is ``None`` does not matter.

    Attributes:
        label: The label that was answered.
        release: Number of the release that answered.
        channel: Channel that led there.
        guard: A guard that was tripped, by the name of its task.
        key: Id of the key that asked.
        abstained: Whether the answer was withheld.
        request: Id of the request.
    """

    label: str | None = None
    release: int | None = None
    channel: str | None = None
    guard: str | None = None
    key: str | None = None
    abstained: bool | None = None
    request: str | None = None

    @property
    def in_columns(self) -> bool:
        """Whether only label, release and channel matter, which a ledger searches by itself."""
        return (self.guard, self.key, self.abstained, self.request) == (None, None, None, None)

    def takes(self, trace: Trace) -> bool:
        """Whether a trace is wanted."""
        verdict = None if self.guard is None else trace.guards.get(self.guard)
        return (
            self.label in {None, trace.label}
            and self.release in {None, trace.release}
            and self.channel in {None, trace.channel}
            and (self.guard is None or (verdict is not None and verdict.tripped))
            and self.key in {None, trace.key}
            and self.abstained in {None, trace.abstained}
            and self.request in {None, trace.request}
        )


class Feedback(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody said about an answer.

    Attributes:
        id: ``f`` and 32 hex digits.
        trace: Id of the trace.
        task: Task of the trace.
        release: Release that had answered.
        channel: Channel of the trace.
        at: When, UTC.
        key: Id of the key that said it.
        label: The right label, where it was said.
        rating: From 0 (useless) to 1 (right), where it was said.
        comment: In words, where it was said.
        text: The input that a correction is about; ``None`` where nobody kept it.
        answered: The label that had been answered; ``None`` where it was withheld.
    """

    id: str
    trace: str
    task: str
    release: int
    channel: str
    at: datetime
    key: str | None = None
    label: str | None = None
    rating: Share | None = None
    comment: str | None = None
    text: str | None = None
    answered: str | None = None


EVERY = "*"
"""Stands for all language models, whichever are registered."""

KeyRole = Literal["consumer", "finetuner", "provider", "admin"]


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """Who may ask, and what. The secret is known to nobody but its holder.

    Attributes:
        id: ``k`` and 12 hex digits; stands in traces and logs.
        name: For people.
        role: ``consumer`` may ask and give feedback; ``finetuner`` may also read traces and move
            channels of its tasks; ``provider`` and ``admin`` may do everything here.
        tasks: Tasks that it may ask; empty for all.
        created: When, UTC.
        actor: Who made it.
        upstreams: Language models that it may ask itself; ``*`` for all, empty for none. Roles
            ``provider`` and ``admin`` may ask all.
        expires: When it stops to work; ``None`` for never.
        revoked: When it was revoked; ``None`` while it works.
        per_second: Most inputs per second, > 0; ``None`` for no limit.
    """

    id: str
    name: str
    role: KeyRole
    tasks: tuple[str, ...]
    created: datetime
    actor: str
    expires: datetime | None = None
    revoked: datetime | None = None
    per_second: float | None = None
    upstreams: tuple[str, ...] = ()


class Fidelity(msgspec.Struct, frozen=True, kw_only=True):
    """How well the answers of a bundle on a fast variant of the encoder agree with the reference.

    Attributes:
        bundle: Digest of the bundle.
        encoder: Digest of the encoder.
        variant: The fast variant, such as ``int8``.
        reference: The variant it is held against, such as ``fp32``.
        n: Texts that were compared.
        agree: Of these, how many got the same label.
        loss: Points of accuracy lost on labelled texts, percent; ``None`` without labels.
        passed: Whether the release may serve on the variant.
        at: When, UTC.
    """

    bundle: str
    encoder: str
    variant: str
    reference: str
    n: int
    agree: int
    loss: float | None = None
    passed: bool
    at: datetime


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ServedTask:
    """A task as a server sees it now.

    Attributes:
        name: Its name.
        labels: Its labels in the order of the probabilities.
        production: Release in production.
        canary: Release in the canary channel; ``None`` without.
        share: Share of the traffic that the canary answers.
        shadow: Release in the shadow channel; ``None`` without.
        encoder: Digest of the encoder of the production release; ``None`` where it reads text.
        variant: Variant of the encoder that serves.
        variant_why: Why that one, in words.
        created: When the production release was made, UTC.
        guards: Its guards.
        instruction: The question in words.
        guards_for: Tasks whose traffic it guards.
        recording: What is kept of its traffic.
        descriptions: What each label means, by label.
        input: Name of its input, where somebody sends it by name.
        inputs: How several inputs become one text; ``None`` where there is one.
        kind: Kind of the task.
        asks: Whether a release that answers or guards it may ask language models.
    """

    name: str
    labels: tuple[str, ...]
    production: int
    canary: int | None = None
    share: float = 0.0
    shadow: int | None = None
    encoder: str | None = None
    variant: str | None = None
    variant_why: str = ""
    created: datetime | None = None
    guards: tuple[Guard, ...] = ()
    instruction: str = ""
    guards_for: tuple[str, ...] = ()
    descriptions: Mapping[str, str] = field(default_factory=dict[str, str])
    recording: RecordingRule = field(default_factory=RecordingRule)
    input: str = "text"
    inputs: Composition | None = None
    kind: Kind = "classify"
    asks: bool = False
