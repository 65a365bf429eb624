"""The built-in steps: pure functions from text to text whose time grows with its length only.

A text may be anything that somebody sends, and up to some hundred thousand characters long: no
step backtracks over it.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping
from typing import Literal

from milepost.predictors.preparation.html_text import strip_html

Step = Callable[[str], str]

# Possessive, and begun only where no earlier attempt has been: each character is seen once.
_EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]++@[\w-]++(?:\.[\w-]++)++(?:@[\w.-]*+)*+")
_NUMBER = re.compile(r"\d++")
_URL = re.compile(r"\b(?:https?://|www\.)\S++", re.IGNORECASE)
_MARKS = re.compile(r"[^\x00-\u02ff\u0370-\u0482\u3100-\ua66e\uac00-\udfff]{11,}")
_MOST_MARKS = 30
"""Marks in a row that are kept, as in Unicode's stream-safe text (UAX #15, section 13): ordering
more takes time that grows with their square."""

_ACCENT = 200
"""Smallest canonical combining class of a mark that is attached to, above or below a letter; the
vowel signs of Indic scripts, Hebrew and Arabic have smaller ones and stay (UAX #44, table 15)."""

_WROTE = (("on ", "wrote:"), ("am ", ":"), ("le ", "a écrit :"), ("el ", "escribió:"))
_HEADERS = (
    ("from:", ("sent:", "date:", "to:", "subject:")),
    ("von:", ("gesendet:", "datum:", "an:", "betreff:")),
)
_BREAKS = ("original message", "forwarded message", "ursprüngliche nachricht", "message d'origine")
_LONGEST_LINE = 500
"""Characters of a line that is looked at as the head of a quoted mail."""


def collapse_space(text: str) -> str:
    """One space for every run of white space, none at the ends. Idempotent."""
    return " ".join(text.split())


def lower_case(text: str) -> str:
    """Small letters (Unicode's full lower case). Idempotent."""
    return text.lower()


def mask_emails(text: str) -> str:
    """``EMAIL`` for each e-mail address. Idempotent."""
    return _EMAIL.sub("EMAIL", text) if "@" in text else text


def mask_numbers(text: str) -> str:
    """``0`` for each run of digits of any script. Idempotent."""
    return _NUMBER.sub("0", text)


def strip_urls(text: str) -> str:
    """The text without web addresses. Idempotent."""
    return _URL.sub("", text)


def unicode_nfkc(text: str) -> str:
    """Normalisation form KC (UAX #15); of a row of marks the first 30 are kept. Idempotent."""
    return text if text.isascii() else unicodedata.normalize("NFKC", _few_marks(text, "NFKD"))


def strip_accents(text: str) -> str:
    """The letters without the marks that are attached to, above or below them. Idempotent."""
    if text.isascii():
        return text
    apart = unicodedata.normalize("NFD", _few_marks(text, "NFD"))
    kept = "".join(each for each in apart if unicodedata.combining(each) < _ACCENT)
    return unicodedata.normalize("NFC", kept)


def strip_quotes(text: str) -> str:
    """A mail without what it quotes: lines that begin with ``>``, and an older mail below.

    An older mail begins at a line such as "On Monday, Ann wrote:" (also German, French and
    Spanish), "-----Original Message-----", or "From:" followed by "Sent:" or the like. Where
    nothing would be left, the text stays. Idempotent.
    """
    lines = [line for line in text.split("\n") if not line.lstrip().startswith(">")]
    cut = next((at for at in range(len(lines)) if _older_begins(lines, at)), len(lines))
    kept = "\n".join(lines[:cut])
    return kept if kept.strip() else text


def strip_signature(text: str) -> str:
    """A mail without the line ``--`` and what follows; stays where nothing is left. Idempotent."""
    lines = text.split("\n")
    cut = next((at for at, line in enumerate(lines) if line.rstrip() == "--"), len(lines))
    kept = "\n".join(lines[:cut])
    return kept if kept.strip() else text


def _older_begins(lines: list[str], at: int) -> bool:
    line = _plain(lines[at])
    if not line:
        return False
    if line.startswith(("-", "_")) and line.strip("-_ ") in _BREAKS:
        return True
    below = _plain(lines[at + 1]) if at + 1 < len(lines) else ""
    for first, following in _HEADERS:
        if line.startswith(first) and below.startswith(following):
            return True
    for whole in (line, f"{line} {below}"):  # mail programs break the line where it is long
        for begins, ends in _WROTE:
            if whole.startswith(begins) and whole.endswith(ends):
                # "Am" begins many a German line; only "schrieb" makes it the head of a mail.
                return begins != "am " or " schrieb " in whole
    return False


def _plain(line: str) -> str:
    return line.strip().lower() if len(line) <= _LONGEST_LINE else ""


def _few_marks(text: str, form: Literal["NFD", "NFKD"]) -> str:
    """The text with at most 30 marks in a row once it is decomposed."""

    def short(found: re.Match[str]) -> str:
        kept: list[str] = []
        marks = 0
        for each in found[0]:
            for part in unicodedata.normalize(form, each):
                marks = marks + 1 if unicodedata.combining(part) else 0
            if marks <= _MOST_MARKS:
                kept.append(each)
        return "".join(kept)

    return _MARKS.sub(short, text)


BUILT_IN: Mapping[str, Step] = {
    step.__name__: step
    for step in (
        collapse_space,
        lower_case,
        mask_emails,
        mask_numbers,
        strip_accents,
        strip_html,
        strip_quotes,
        strip_signature,
        strip_urls,
        unicode_nfkc,
    )
}
"""The steps by the names that stand in ``milepost.entities.preparation``."""

NOT_IDEMPOTENT = frozenset({"strip_html"})
"""Steps whose result may change when they are applied to it again."""
