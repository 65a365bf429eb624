"""Prompts: templates that turn inputs into messages, as immutable versions with aliases."""

from datetime import datetime
from typing import Annotated, Literal

import msgspec

from milepost.entities.expectations import Name, NonEmpty, Share
from milepost.entities.ids import Digest

AnswerForm = Literal["label", "letter", "json"]
"""How a model is asked to answer: the label's name, a letter per label, or JSON by a schema."""


class LanguageRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which language models may compete on a task, and what they are asked.

    Attributes:
        upstreams: Names of upstreams, preferred ones first; empty for all that are registered.
        prompt: File of the workspace that holds the prompt to start from (TOML or a Jinja
            template of the user message); ``None`` takes what the alias ``production`` points to,
            else the built-in one.
    """

    upstreams: tuple[Name, ...] = ()
    prompt: NonEmpty | None = None


class CascadeRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a cascade promises of the answers that it gives without its last rung.

    Attributes:
        at_most_wrong: Largest share of these answers that may be wrong, between 0 and 1.
        confidence: How sure that is, between 0 and 1: over the examples that it was set on.
        audit_share: Share of served answers that people are asked to check, 0 to 1.
    """

    at_most_wrong: Annotated[float, msgspec.Meta(gt=0.0, lt=1.0)] = 0.05
    confidence: Annotated[float, msgspec.Meta(gt=0.0, lt=1.0)] = 0.95
    audit_share: Share = 0.0


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
