"""A prompt ready to be filled in: texts go in as data, messages come out."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from milepost.entities.errors import InputError
from milepost.entities.inputs import MARK, sides
from milepost.entities.language import Message
from milepost.entities.prompts import PromptTemplate
from milepost.predictors.prompting.sandbox import compiled, names_of, variable_of

if TYPE_CHECKING:
    from jinja2 import Template

MOST_OUTPUT = 400_000
"""Longest message that a template may come to, in characters."""

MOST_SECONDS = 2.0
"""Longest that filling in one message may take, in seconds of the thread's own processor time."""

LOOKED_AT = 64
"""After so many pieces of a message the time is looked at, which takes longer than a piece does."""

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
"""Letters of labels, one token each for most models."""


@dataclass(frozen=True, slots=True)
class ShownLabel:
    """A label as a template sees it; ``letter`` is empty where there are too many labels."""

    name: str
    description: str
    letter: str


@dataclass(frozen=True, slots=True)
class ShownExample:
    """A solved example as a template sees it: ``label`` is the answer as it should be written."""

    text: str
    label: str


@dataclass(frozen=True, slots=True)
class Wording:
    """What a task puts into any prompt.

    Attributes:
        instruction: The task's question in words; may be empty.
        labels: The labels, each with a description that may be empty.
        input_name: What the task calls its input.
    """

    instruction: str
    labels: tuple[ShownLabel, ...]
    input_name: str = "text"

    @staticmethod
    def of(
        instruction: str, labels: Sequence[str], descriptions: Sequence[str], input_name: str
    ) -> "Wording":
        """The wording of a task; labels get letters where these suffice."""
        letters = LETTERS if len(labels) <= len(LETTERS) else [""] * len(labels)
        shown = tuple(
            ShownLabel(name, description.strip(), letter)
            for name, description, letter in zip(labels, descriptions, letters, strict=False)
        )
        return Wording(instruction.strip(), shown, input_name)


@dataclass(frozen=True, slots=True)
class Prompt:
    """A template that was checked for a task.

    Attributes:
        template: What it was made of.
        wording: What the task puts in.
    """

    template: PromptTemplate
    wording: Wording

    def messages(self, text: str, examples: Sequence[ShownExample] = ()) -> tuple[Message, ...]:
        """The conversation that asks about a text.

        Raises:
            InputError: If what the template comes to is empty, too long or takes too long.
        """
        system, user = _both(self.template, self.wording.input_name)
        values = {
            "instruction": self.wording.instruction,
            "labels": self.wording.labels,
            "examples": tuple(replace(each, text=read_out(each.text)) for each in examples),
            variable_of(self.wording.input_name): read_out(text),
        }
        said = _filled(user, values, "prompt: user").strip()
        if not said:
            raise InputError(
                "the prompt says nothing for this input.",
                where="prompt: user",
                advice="Let the template say something whatever the input is.",
            )
        first = _filled(system, values, "prompt: system").strip()
        before = (Message(role="system", content=first),) if first else ()
        return (*before, Message(role="user", content=said))


def read_out(text: str) -> str:
    """An input as a prompt shows it: of a pair each side in a line of its own."""
    if MARK not in text:
        return text
    first, second = sides(text)
    return f"\nFirst: {first}\nSecond: {second}"


def prepare(template: PromptTemplate, wording: Wording) -> Prompt:
    """A prompt of a task, checked before anything is asked or paid.

    Raises:
        UnknownNameError: If the template uses a name that there is not.
        InputError: If it holds what a prompt must not, never shows the input, asks for letters
            that it does not show or that the labels do not have, or has examples and no place for
            them.
    """
    variable = variable_of(wording.input_name)
    _both(template, wording.input_name)
    used = names_of(template.user) | names_of(template.system)
    if variable not in used:
        raise InputError(
            f"the prompt never shows the input: neither template uses {variable!r}.",
            where="prompt",
            advice=f"Write {{{{ {variable} }}}} where the input belongs.",
        )
    if template.answer == "letter":
        if len(wording.labels) > len(LETTERS):
            raise InputError(
                f"{len(wording.labels)} labels are too many for letters; {len(LETTERS)} have one.",
                where="prompt: answer",
                advice='Use answer "label" or "json".',
            )
        if ".letter" not in used:
            raise InputError(
                "the prompt asks for a letter and shows none.",
                where="prompt: answer",
                advice="Write {{ label.letter }} beside {{ label.name }}.",
            )
    if template.shots and "examples" not in used:
        raise InputError(
            f"the prompt has {template.shots} examples for each input and shows none.",
            where="prompt: shots",
            advice="Loop over examples in a template, or set shots to 0.",
        )
    prompt = Prompt(template, wording)
    prompt.messages("x", [ShownExample("x", wording.labels[0].name)] * min(1, template.shots))
    return prompt


def _both(template: PromptTemplate, input_name: str) -> "tuple[Template, Template]":
    variable = variable_of(input_name)
    return (
        compiled(template.system, variable, "prompt: system"),
        compiled(template.user, variable, "prompt: user"),
    )


def _filled(template: "Template", values: Mapping[str, object], where: str) -> str:
    """The text of a template, in bounded space and time.

    Raises:
        InputError: If a bound is passed.
    """
    from jinja2 import TemplateError

    try:
        return _joined(template, values, where)
    except (TemplateError, TypeError) as error:
        raise InputError(
            f"the prompt cannot be filled in: {str(error).rstrip('.')}.",
            where=where,
            advice="Ask whether a label or an example is there before showing it.",
        ) from error


def _joined(template: "Template", values: Mapping[str, object], where: str) -> str:
    until = time.thread_time() + MOST_SECONDS
    parts: list[str] = []
    length = 0
    for piece in template.generate(values):
        parts.append(piece)
        length += len(piece)
        if length > MOST_OUTPUT:
            raise InputError(
                f"the prompt comes to more than {MOST_OUTPUT:,} characters.",
                where=where,
                advice="Show fewer examples, or shorten them.",
            )
        if len(parts) % LOOKED_AT == 0 and time.thread_time() > until:
            raise InputError(
                f"filling in the prompt takes longer than {MOST_SECONDS:g} s.",
                where=where,
                advice="Use fewer loops.",
            )
    return "".join(parts)
