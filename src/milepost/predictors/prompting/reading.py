"""Answers read strictly: a label of the task, or nothing.

An answer is right or it is none: no nearest label, no label somewhere within a sentence. What is
tolerated around a label is listed here, and nothing else is.
"""

import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from milepost.entities.prompts import AnswerForm
from milepost.predictors.prompting.templates import LETTERS

NOTHING = -1
"""What an answer is read as that names no label."""

MOST_READ = 20_000
"""Longest answer that is looked at, in characters; a label is shorter."""

PAIRS = (('"', '"'), ("'", "'"), ("`", "`"), ("**", "**"), ("*", "*"), ("[", "]"), ("(", ")"),
         ("<", ">"), ("“", "”"), ("‘", "’"), ("«", "»"))  # fmt: skip
"""Marks that may stand around a label, one on each side."""

LEADS = ("label:", "answer:", "the answer is", "the label is", "category:", "class:", "- ")
"""Words that may stand before a label."""

_FENCE = re.compile(r"\A```[a-z]*\s*\n(.*?)\n?```\Z", re.DOTALL)
_THOUGHT = "</think>"
_SPACE = re.compile(r"\s+")


def normalised(text: str) -> str:
    """Text as labels are compared: NFKC, case folded, each run of spaces one space."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return _SPACE.sub(" ", unicodedata.normalize("NFKC", folded)).strip()


def key_of(text: str) -> str:
    """What two spellings of one label have in common: normalised, and without wrappings."""
    return _unwrapped(normalised(text))[-1]


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads the answers to one prompt.

    Attributes:
        form: How the model was asked to answer.
        by_name: Position of each label by its ``key_of``.
        by_letter: Position of each label by its letter, where there are letters.
    """

    form: AnswerForm
    by_name: Mapping[str, int]
    by_letter: Mapping[str, int]

    @staticmethod
    def of(form: AnswerForm, labels: Sequence[str]) -> "Reader":
        """A reader of answers among the labels, which must differ after normalisation."""
        letters = LETTERS if len(labels) <= len(LETTERS) else ""
        return Reader(
            form,
            {key_of(label): at for at, label in enumerate(labels)},
            {letter: at for at, letter in zip(range(len(labels)), letters, strict=False)},
        )

    def __call__(self, answer: str) -> int:
        """Position of the label that an answer names; ``NOTHING`` where it names none."""
        said = _said(answer)
        if self.form == "json":
            return self._in_json(said)
        if self.form == "letter":
            return self._letter(said)
        return self._name(said)

    def _name(self, said: str) -> int:
        return self.by_name.get(key_of(said), NOTHING)

    def _letter(self, said: str) -> int:
        """A letter alone, or with the name of its own label behind it."""
        for each in _unwrapped(_SPACE.sub(" ", unicodedata.normalize("NFKC", said)).strip()):
            at = self.by_letter.get(each.strip(".):( ").upper(), NOTHING)
            if at != NOTHING:
                return at
            found = re.fullmatch(r"\(?([A-Za-z])[.):]? +(.+)", each)
            if found:
                at = self.by_letter.get(found[1].upper(), NOTHING)
                if at != NOTHING and self._name(found[2]) == at:
                    return at
        return NOTHING

    def _in_json(self, said: str) -> int:
        """The text at ``label`` of a JSON object; other fields are not looked at."""
        fenced = _FENCE.match(said)
        try:
            content = json.loads(fenced[1] if fenced else said, object_pairs_hook=_once)
        except (ValueError, RecursionError):
            return NOTHING
        label = cast("dict[str, object]", content).get("label") if type(content) is dict else None
        return self._name(label) if isinstance(label, str) else NOTHING


def same_to_prompts(labels: Sequence[str]) -> tuple[str, str] | None:
    """Two labels that no answer can tell apart, or ``None``; an empty one is like any other.

    Args:
        labels: Label names.
    """
    seen: dict[str, str] = {}
    for label in labels:
        key = key_of(label)
        if key in seen:
            return seen[key], label
        seen[key] = label
    return None


def _said(answer: str) -> str:
    """The answer without what a model thought aloud before it."""
    if len(answer) > MOST_READ:
        return ""
    return answer.rpartition(_THOUGHT)[2].strip() or answer.strip()


def _unwrapped(text: str) -> list[str]:
    """The text, and what is left as tolerated wrappings are taken off it, one after the other."""
    found = [text]
    for _ in range(4):
        inner = _less(found[-1])
        if inner == found[-1] or not inner:
            break
        found.append(inner)
    return found


def _less(text: str) -> str:
    lowered = text.casefold()
    for lead in LEADS:
        if lowered.startswith(lead):
            return text[len(lead) :].strip()
    for before, after in PAIRS:
        inside = text[len(before) : -len(after)]
        if text.startswith(before) and text.endswith(after) and inside.strip():
            return inside.strip()
    return text[:-1].strip() if text.endswith((".", ",")) and len(text) > 1 else text


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """An object whose keys stand there once.

    Raises:
        ValueError: If one stands there twice.
    """
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands there twice")
    return found
