"""What a person writes into a model card: front matter and sections of ``cards/<task>.md``."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import StringIO
from typing import Any

from milepost.entities.errors import InputError, UnknownNameError

MARKER = "> **To be written by a person:**"
"""How a line begins that waits for a person."""

SECTIONS: dict[str, str] = {
    "Intended use": "who may use its answers, for what, and who looks at them.",
    "Out of scope": "what it must not be used for, and what would go wrong.",
    "Origin of the data": "who collected and labelled the texts, when, how, and with what right.",
    "Risks": "who is affected by a wrong answer, which groups are at risk, and what limits harm.",
    "Contact": "who answers for this release and can be asked.",
}
"""Heading of each section that only a person can write, with what belongs there."""

LICENSE = "license"
FIELDS = ("license", "license_name", "license_link", "language", "datasets", "tags")
"""Metadata that only a person can know; the others come from the ledger."""

_FRONT = re.compile(r"\A---\s*\n(.*?)^---\s*$\n?", re.DOTALL | re.MULTILINE)
_HEADING = re.compile(r"^##[ \t]+(.+?)[ \t#]*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class PersonWords:
    """What a person has written.

    Attributes:
        metadata: Fields of the front matter.
        sections: Markdown by heading.
    """

    metadata: Mapping[str, object] = field(default_factory=dict[str, object])
    sections: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def blanks(self) -> tuple[str, ...]:
        """What is still to be written, as a person would begin to write it."""
        lacking = tuple(f"## {name}" for name in SECTIONS if name not in self.sections)
        return lacking if LICENSE in self.metadata else (*lacking, f"{LICENSE}: …")


def read_words(text: str, where: str) -> PersonWords:
    """What a person has written.

    Args:
        text: Markdown, with or without front matter between two lines of ``---``.
        where: What to call the file in messages.

    Raises:
        UnknownNameError: If a field or a heading is not one that a card has.
        InputError: If the front matter is not YAML, or there is text above the first heading.
    """
    text = text.replace("\r\n", "\n").removeprefix("\ufeff")
    front = _FRONT.match(text)
    metadata = _metadata(front.group(1), where) if front else {}
    body = text[front.end() :] if front else text
    pieces = _HEADING.split(body)
    if pieces[0].strip():
        raise InputError(
            "there is text above the first heading.",
            where=where,
            advice=f"Write it under one of: {', '.join(f'## {name}' for name in SECTIONS)}.",
        )
    sections: dict[str, str] = {}
    for heading, written in zip(pieces[1::2], pieces[2::2], strict=True):
        if heading not in SECTIONS:
            raise UnknownNameError("section", heading, SECTIONS, where=where)
        if written.strip() and MARKER not in written:
            sections[heading] = written.strip()
    return PersonWords(metadata, sections)


def _metadata(text: str, where: str) -> dict[str, object]:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        read: Any = YAML(typ="safe", pure=True).load(StringIO(text)) or {}
    except YAMLError as error:
        why = str(error).splitlines()[0]
        raise InputError(f"the front matter is not YAML: {why}.", where=where) from error
    if not isinstance(read, dict):
        raise InputError("the front matter is not a mapping.", where=where)
    metadata: dict[str, object] = {}
    for name, value in read.items():
        if name not in FIELDS:
            raise UnknownNameError("field", str(name), FIELDS, where=where)
        listed = name in ("language", "datasets", "tags")
        values = value if isinstance(value, list) and listed else [value]
        if not all(isinstance(each, str) and each.strip() for each in values):
            raise InputError(f"{name} is not text.", where=where, advice="Write words.")
        metadata[name] = list(values) if listed else value
    return metadata
