"""The language of a text from its script and its most frequent words, cheaply.

A guess for forming slices: sure enough to say that the German texts are worse, not to route one.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

import numpy as np

from milepost.evaluation.slicing.condition import Condition

_LETTERS = re.compile(r"[^\W\d_]+")
_LOOKED_AT = 300
_SCRIPTS = {
    "CYRILLIC": "Cyrillic", "ARABIC": "Arabic", "HEBREW": "Hebrew", "GREEK": "Greek",
    "DEVANAGARI": "Devanagari", "BENGALI": "Bengali", "TAMIL": "Tamil", "THAI": "Thai",
    "ETHIOPIC": "Ethiopic", "HANGUL": "Hangul", "HIRAGANA": "Japanese", "KATAKANA": "Japanese",
    "CJK": "Han", "GEORGIAN": "Georgian", "ARMENIAN": "Armenian",
}  # fmt: skip
_FREQUENT = {
    "English": "the and is of to in that it you for on with this are my was have not be i",
    "German": "der die das und ist nicht ich ein eine zu mit auf für den dem sie wir es von im",
    "French": "le la les des et est une un que qui dans pour pas je vous nous sur avec ce du",
    "Spanish": "el la los las y es una un que en por para no con se del lo mi su como",
    "Italian": "il la i gli e è una un che di per non con sono del della mi si nel come",
    "Portuguese": "o a os as e é uma um que em para não com se do da no na meu por",
    "Dutch": "de het een en is niet ik van dat op te met voor zijn er aan maar heb je die",
    "Polish": "i w nie na się jest to z do że jak co po ale za od mam jestem tak czy",
    "Swedish": "och att det är en som på jag med för inte av till den har ett om vi så kan",
    "Turkish": "ve bir bu da de için çok ne ben mi var ile ama gibi daha olarak değil sen o en",
}
_PROFILES = {name: frozenset(words.split()) for name, words in _FREQUENT.items()}
FREQUENT_WORDS = frozenset().union(*_PROFILES.values())
"""Words that are frequent in every text of their language and tell nothing about its topic."""

_HITS = 2


def language_of(text: str) -> str | None:
    """Language or, where the script alone tells, script; ``None`` where nothing tells."""
    words = _LETTERS.findall(text[:_LOOKED_AT].lower())
    if not words:
        return None
    if not text.isascii():
        script = Counter(map(_script, words)).most_common(1)[0][0]
        if script != "LATIN":
            return _SCRIPTS.get(script)
    hits = {name: len(known.intersection(words)) for name, known in _PROFILES.items()}
    best, second = sorted(hits.values(), reverse=True)[:2]
    if best < _HITS or best == second:
        return None
    return max(hits, key=lambda name: hits[name])


def by_language(texts: Sequence[str], least: int) -> list[Condition]:
    """One condition a language; none where all texts that tell are in one."""
    found = [language_of(text) for text in texts]
    counts = Counter(name for name in found if name)
    frequent = [name for name, count in counts.most_common() if count >= least]
    if len(frequent) < 2:
        return []
    return [
        Condition(
            description=f"texts that seem to be {_said(name)}",
            kind="language",
            mask=np.array([each == name for each in found]),
            about="language",
        )
        for name in frequent
    ]


def _script(word: str) -> str:
    if word[0].isascii():
        return "LATIN"
    return unicodedata.name(word[0], "UNKNOWN").split()[0].split("-")[0]


def _said(name: str) -> str:
    return f"in {name}" if name in _FREQUENT else f"in {name} script"
