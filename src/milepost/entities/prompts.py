"""Prompts: templates that turn inputs into messages, as immutable versions with aliases."""

from datetime import datetime
from typing import Annotated, Literal

import msgspec

from milepost.entities.errors import FieldError
from milepost.entities.estimate import Estimate
from milepost.entities.expectations import Name, NonEmpty, Share
from milepost.entities.ids import CandidateId, ContestId, Digest

AnswerForm = Literal["label", "letter", "json"]
"""How a model is asked to answer: the label's name, a letter per label, or JSON by a schema."""


_AT_MOST_WRONG = 0.05


class SimilarRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is promised of questions that are answered as similar ones were.

    Nothing is answered so before `milepost upstreams similar` has certified it.

    Attributes:
        at_most_wrong: Largest share of these answers that the model itself would have given
            otherwise, between 0 and 1.
        confidence: How sure that is, between 0 and 1: over the questions that it was certified on.
        days: Days after which it has to be certified anew, > 0 and at most 365.
    """

    at_most_wrong: Annotated[float, msgspec.Meta(gt=0.0, lt=1.0)] = 0.05
    confidence: Annotated[float, msgspec.Meta(gt=0.0, lt=1.0)] = 0.95
    days: Annotated[float, msgspec.Meta(gt=0.0, le=365.0)] = 30.0


class LanguageRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which language models may compete on a task, and what they are asked.

    Attributes:
        upstreams: Names of upstreams, preferred ones first; empty for all that are registered.
        prompt: File of the workspace that holds the prompt to start from (TOML or a Jinja
            template of the user message); ``None`` takes what the alias ``production`` points to,
            else the built-in one.
        similar: Lets a server answer a question as the model answered a similar one; left out,
            only the same question is answered so.
    """

    upstreams: tuple[Name, ...] = ()
    prompt: NonEmpty | None = None
    similar: SimilarRule | msgspec.UnsetType = msgspec.UNSET


class CascadeRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a cascade promises of the answers that it gives without its last rung.

    Attributes:
        at_most_wrong: Largest share of these answers that may be wrong, between 0 and 1.
        at_most_cost: Promised instead: the largest mean cost of these answers, in the units of
            `objective.costs`. Left out, mistakes are counted.
        bound: How it is certified. ``binomial`` counts right and wrong exactly, and is the sharper
            one for that; ``betting`` takes any costs, and is the only one for them. Left out, the
            right one.
        confidence: How sure that is, between 0 and 1: over the examples that it was set on.
        audit_share: Share of served answers that people are asked to check, 0 to 1; drawn by
            chance, and what `milepost recheck` holds the promise against.
        last: Who answers what climbs to the end: the best language ``model``, or a ``person``,
            for whom the answer is withheld.
        labels_by: Who gave the labels, such as a language model that is taught by; then the promise
            is to agree with it. Left out, the labels are taken to be the truth.
        max_cost_per_1k_usd: Largest mean cost of a thousand answers, promised as well; what may be
            spent is spent on being right. Left out, as little climbs as the promise allows.
        max_p95_ms: Time that 95 % of the answers are to be within, likewise; by the median times of
            the rungs.
    """

    at_most_wrong: Annotated[float, msgspec.Meta(gt=0.0, lt=1.0)] = _AT_MOST_WRONG
    at_most_cost: float | None = None
    bound: Literal["binomial", "betting"] | None = None
    confidence: Annotated[float, msgspec.Meta(gt=0.0, lt=1.0)] = 0.95
    audit_share: Share = 0.0
    last: Literal["model", "person"] = "model"
    labels_by: NonEmpty | None = None
    max_cost_per_1k_usd: Annotated[float, msgspec.Meta(gt=0.0)] | None = None
    max_p95_ms: Annotated[float, msgspec.Meta(gt=0.0)] | None = None

    def __post_init__(self) -> None:
        """Check what the types cannot say.

        Raises:
            FieldError: If two promises are asked for, or a bound that cannot show the one.
        """
        if self.at_most_cost is None:
            return
        if self.at_most_wrong != _AT_MOST_WRONG:
            raise FieldError(
                "either at_most_wrong or at_most_cost is promised, not both", where="at_most_wrong"
            )
        if self.bound == "binomial":
            raise FieldError(
                "binomial counts right and wrong; a mean cost is shown by betting", where="bound"
            )

    @property
    def shown_by(self) -> Literal["binomial", "betting"]:
        """The bound that is used."""
        return self.bound or ("binomial" if self.at_most_cost is None else "betting")


class PromptTemplate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A prompt before it is filled in. Both texts are sandboxed Jinja templates.

    They may use ``instruction``, ``labels`` (each with ``name``, ``description``, ``letter``),
    ``examples`` (each with ``text`` and ``label``) and the task's input under its own name; nothing
    else.

    Attributes:
        system: Template of the system message; empty for none.
        user: Template of the user message.
        answer: How the model is asked to answer.
        shots: How many examples ``examples`` holds for each input; 0 for none.
    """

    system: str = ""
    user: Annotated[str, msgspec.Meta(min_length=1)]
    answer: AnswerForm = "label"
    shots: Annotated[int, msgspec.Meta(ge=0, le=100)] = 0


class PromptVersion(msgspec.Struct, frozen=True, kw_only=True):
    """A prompt of a task as it was kept; never changes.

    Attributes:
        task: Name of the task.
        number: 1 for its first; one more for each.
        digest: SHA-256 of the template's canonical JSON; a task has each template once.
        template: The prompt.
        parent: Number of the version that it was made from; ``None`` for a new one.
        origin: Who made it: ``hand``, ``milepost`` for the built-in one, or the id of the contest
            whose search found it.
        note: Why, in words.
        created: When, UTC.
        actor: Who.
    """

    task: str
    number: int
    digest: Digest
    template: PromptTemplate
    parent: int | None = None
    origin: str = "hand"
    note: str = ""
    created: datetime
    actor: str


class PromptAlias(msgspec.Struct, frozen=True, kw_only=True):
    """A name that points to a version of a task's prompt, and moves by compare-and-swap.

    Attributes:
        task: Name of the task.
        alias: Such as ``production``, which is what contests start from.
        number: The version.
        version: 1 for the first; one more for each move.
        updated: When it was moved, UTC.
        actor: Who moved it.
    """

    task: str
    alias: str
    number: int
    version: int
    updated: datetime
    actor: str


class PromptResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a candidate came to that asked a prompt.

    Attributes:
        contest: Id of the contest.
        candidate: Id of the candidate.
        strategy: Its name in the contest.
        upstream: Name of the upstream that was asked.
        metric: The task's metric then.
        score: It, certified.
        cost_per_1k_usd: Of a thousand answers, in USD.
        release: Number of the release that the candidate became; ``None`` for none.
        alone: Whether it asked this prompt and no other.
    """

    contest: ContestId
    candidate: CandidateId
    strategy: str
    upstream: str
    metric: str
    score: Estimate
    cost_per_1k_usd: float
    release: int | None = None
    alone: bool = True


class PromptState(msgspec.Struct, frozen=True, kw_only=True):
    """A version with what points at it and what came of it.

    Attributes:
        version: The prompt.
        aliases: Names that point at it.
        results: Of candidates that asked it, the newest contest first.
    """

    version: PromptVersion
    aliases: tuple[str, ...] = ()
    results: tuple[PromptResult, ...] = ()
