"""Changes to a text that a person would shrug off: a registry, and changes that a task declares.

A change is a pure function of the text and a seed. It never raises, works on any Unicode text,
tears no character from the marks that belong to it, and says when it has nothing to change.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random

from milepost.entities.errors import UnknownNameError
from milepost.evaluation.examination import edits
from milepost.evaluation.examination.edits import word_replacer

Edit = Callable[[str, Random], str]
"""Gives the changed text, or the text itself where there is nothing to change."""


@dataclass(frozen=True, slots=True)
class Change:
    """A way to change a text.

    Attributes:
        name: Its name, as task files and scorecards write it.
        what: What it does, in a sentence.
        careful: Where the meaning may not stay, in a sentence; empty where it always stays.
        edit: Does it.
    """

    name: str
    what: str
    careful: str
    edit: Edit

    def __call__(self, text: str, seed: int = 0) -> str | None:
        """The changed text, or ``None`` where there is nothing to change.

        Depends on the name, the text and the seed alone, not on other texts or their order.
        """
        key = f"{seed}\0{self.name}\0{text}".encode("utf-8", "surrogatepass")
        changed = self.edit(text, Random(hashlib.sha256(key).digest()))  # noqa: S311 — no secret
        return None if changed == text else changed


def change_named(name: str) -> Change:
    """A built-in change.

    Raises:
        UnknownNameError: If there is none of that name; offers the nearest one.
    """
    if name not in CHANGES:
        raise UnknownNameError("change", name, CHANGES)
    return CHANGES[name]


def replacing(words: Mapping[str, str], name: str = "replace") -> Change:
    """Replaces whole words, as ``word_replacer`` says."""
    replace = word_replacer(words)
    return Change(name, "Replaces words.", "", lambda text, _: replace(text))


def surrounding(prefix: str, suffix: str, name: str = "surround") -> Change:
    """Puts text before and behind the input, as it is written: spaces are the writer's."""
    return Change(name, "Adds text.", "", lambda text, _: f"{prefix}{text}{suffix}")


_NO_ENGLISH = "In another language than English the added sentence is foreign, if still harmless."
CHANGES: Mapping[str, Change] = {
    each.name: each
    for each in (
        Change(
            "typos",
            "Swaps, drops, doubles or mistypes inner letters: one in twenty, at least one.",
            "A typo can make another word.",
            edits.typos,
        ),
        Change("upper_case", "Writes everything in capitals.", "", edits.upper_case),
        Change(
            "lower_case",
            "Writes everything in small letters.",
            "Where capitals carry the meaning: US and us, German nouns.",
            edits.lower_case,
        ),
        Change(
            "no_punctuation",
            "Leaves out punctuation, but that inside words, numbers, addresses and handles.",
            "Where a question mark or quotation marks are all that tells.",
            edits.no_punctuation,
        ),
        Change(
            "repeated_punctuation",
            "Ends with three of its last mark, with three dots where it had none.",
            "Where emphasis is what the task is about.",
            edits.repeated_punctuation,
        ),
        Change(
            "whitespace", "Adds spaces within and around, and a line break.", "", edits.whitespace
        ),
        Change(
            "no_accents",
            "Leaves out the accents of Latin and Greek letters.",
            "Where an accent tells words apart: French ou and où, Spanish ano and año.",
            edits.no_accents,
        ),
        Change(
            "contractions",
            "Writes don't as do not, or, where there is none, do not as don't. English.",
            "",
            edits.contractions,
        ),
        Change(
            "look_alikes",
            "Writes a quarter of the letters that have one with their Latin or Cyrillic twin.",
            "",
            edits.look_alikes,
        ),
        Change(
            "full_width",
            "Writes ASCII in the full-width forms of East Asian typesetting.",
            "",
            edits.full_width,
        ),
        Change(
            "invisible",
            "Puts a zero-width space into every third word.",
            "",
            edits.invisible,
        ),
        Change(
            "cut_end",
            "Loses the last fifth of the words, of texts of five words and more.",
            "Where what matters comes last.",
            edits.cut_end,
        ),
        Change(
            "padding_before",
            "Begins with a sentence that says nothing.",
            _NO_ENGLISH,
            edits.padding_before,
        ),
        Change(
            "padding_after",
            "Ends with a sentence that says nothing.",
            _NO_ENGLISH,
            edits.padding_after,
        ),
    )
}
"""The built-in changes by name."""

STANDARD = (
    "typos",
    "upper_case",
    "no_punctuation",
    "look_alikes",
    "cut_end",
    "padding_before",
    "padding_after",
)
"""The changes that every candidate is asked about; the others are there for declared tests."""
