"""What the built-in changes do to a text: ``(text, random numbers) -> text``, pure functions.

Only ``Random.random`` is drawn from: its numbers are the same in every version of Python. A text
with nothing to change comes back as it is.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping
from random import Random

TYPO_RATE = 0.05
"""Typos per letter of the words that can have one."""

# What people take for one sign, and reads otherwise when a letter of it changes.
_SIGNS = re.compile(r"(?:https?://|www\.)\S+|\S+@\S+|[@#]\w+")
_WORD = re.compile(r"[^\W\d_]{4,}")
_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]")


def word_replacer(words: Mapping[str, str]) -> Callable[[str], str]:
    """Replaces whole words, all at once; two may be swapped for each other.

    Words are found in any case, and the replacement follows it: capitals for capitals, a capital
    first letter for one. Words with capitals inside, such as ``US`` or ``iPhone``, are found as
    they are written. In scripts without spaces between words a word may stand anywhere.
    """
    exact = {word: new for word, new in words.items() if word[1:] != word[1:].lower()}
    by_key = {word.casefold(): new for word, new in words.items() if word not in exact}
    longest = sorted(words, key=lambda word: (-len(word), word))
    pattern = re.compile(
        "|".join(f"(?{'' if word in exact else 'i'}:{_whole(word)})" for word in longest)
    )

    def put(found: re.Match[str]) -> str:
        word = found.group()
        if word in exact:
            return exact[word]
        new = by_key.get(word.casefold(), word)
        if len(word) > 1 and word.isupper():
            return new.upper()
        return new[:1].upper() + new[1:] if word[:1].isupper() else new

    return lambda text: pattern.sub(put, text)


def _whole(word: str) -> str:
    """Pattern of a whole word; no edge is asked for where the script has none."""
    left = r"(?<!\w)" if _has_edge(word[:1]) else ""
    right = r"(?!\w)" if _has_edge(word[-1:]) else ""
    return f"{left}{re.escape(word)}{right}"


def _has_edge(character: str) -> bool:
    return character.isalnum() and not _UNSPACED.match(character)


def _pick(rng: Random, n: int) -> int:
    return min(int(rng.random() * n), n - 1)


def _outside_signs(text: str, edit: Callable[[str], str]) -> str:
    """Edit what lies between addresses, handles and hashtags."""
    parts: list[str] = []
    end = 0
    for sign in _SIGNS.finditer(text):
        parts += [edit(text[end : sign.start()]), sign.group()]
        end = sign.end()
    return "".join([*parts, edit(text[end:])])


def _somewhere(places: list[int], share: float, rng: Random) -> list[int]:
    """A share of the places, at least one where there is one, ascending."""
    count = min(len(places), max(1, round(share * len(places))))
    left = list(places)
    return sorted(left.pop(_pick(rng, len(left))) for _ in range(count))


def _sign_free(text: str) -> list[bool]:
    """Per character, whether it lies outside addresses, handles and hashtags."""
    free = [True] * len(text)
    for sign in _SIGNS.finditer(text):
        free[sign.start() : sign.end()] = [False] * (sign.end() - sign.start())
    return free


def _is_letter_of_an_alphabet(character: str) -> bool:
    """Cased letters, Hebrew and Arabic: where one wrong letter leaves a word readable."""
    return character.islower() or character.isupper() or "\u05d0" <= character <= "\u064a"


_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_NEIGHBOURS = {
    key: row[max(at - 1, 0) : at] + row[at + 1 : at + 2]
    for row in _ROWS
    for at, key in enumerate(row)
}


def typos(text: str, rng: Random) -> str:
    """Inner letters of words of four letters and more (Pruthi et al. 2019)."""
    free = _sign_free(text)
    places = [
        at
        for word in _WORD.finditer(text)
        if free[word.start()] and all(map(_is_letter_of_an_alphabet, word.group()))
        for at in range(word.start() + 1, word.end() - 2)
    ]
    if not places:
        return text
    letters = list(text)
    last = -2
    for at in _somewhere(places, TYPO_RATE, rng):
        if at - last < 2:  # a swap has touched this letter already
            continue
        last = at
        near = _NEIGHBOURS.get(letters[at].lower(), "")
        kind = _pick(rng, 4 if near else 3)
        if kind == 0 and letters[at] != letters[at + 1]:
            letters[at], letters[at + 1] = letters[at + 1], letters[at]
        elif kind == 1:
            letters[at] = ""
        elif kind == 3:
            key = near[_pick(rng, len(near))]
            letters[at] = key.upper() if letters[at].isupper() else key
        else:
            letters[at] *= 2
    return "".join(letters)


def no_punctuation(text: str, _: Random) -> str:
    """Without marks that stand at the edge of a word; those inside words and numbers stay."""

    def edit(part: str) -> str:
        kept: list[str] = []
        for at, mark in enumerate(part):
            before, after = part[at - 1 : at], part[at + 1 : at + 2]
            inside = before.isalnum() and after.isalnum() and mark.isascii() | (mark == "’")
            if inside or not unicodedata.category(mark).startswith("P"):
                kept.append(mark)
            elif before.isalnum() and after.isalnum():
                kept.append(" ")  # a full stop of a script that sets no space behind it
        return "".join(kept)

    edited = _outside_signs(text, edit)
    return edited if edited.strip() else text


def repeated_punctuation(text: str, _: Random) -> str:
    """Three of the last mark; of full stops where a letter or a figure comes last."""
    body = text.rstrip()
    if not body or not (body[-1].isalnum() or body[-1] in ".!?。！？"):
        return text
    mark = "." if body[-1].isalnum() else body[-1]
    return f"{body.rstrip(mark)}{mark * 3}{text[len(body) :]}"


def whitespace(text: str, rng: Random) -> str:
    """Every third space doubled, two before, a space and a line break behind."""

    def wider(found: re.Match[str]) -> str:
        return found.group() + " " if rng.random() < 1 / 3 else found.group()

    return f"  {re.sub(' +', wider, text)} \n" if text.strip() else text


def no_accents(text: str, _: Random) -> str:
    """Without the marks on Latin and Greek letters; in other scripts marks are letters."""
    kept: list[str] = []
    bare = False
    for character in text:
        if "\u0300" <= character <= "\u036f":
            if not bare:
                kept.append(character)
            continue
        base = unicodedata.normalize("NFD", character)[:1]
        bare = base.isalpha() and unicodedata.name(base, "").startswith(("LATIN", "GREEK"))
        kept.append(base if bare else character)
    return "".join(kept)


_VERBS = ("do", "does", "did", "is", "are", "was", "were", "has", "have", "had", "would", "should",
          "could", "must", "need")  # fmt: skip
_NEGATED = {
    "cannot": "can't",
    "will not": "won't",
    **{f"{verb} not": f"{verb}n't" for verb in _VERBS},
}
_SHORT = {
    **_NEGATED,
    **{f"{who} are": f"{who}'re" for who in ("you", "we", "they")},
    **{f"{who} have": f"{who}'ve" for who in ("i", "you", "we", "they")},
    **{f"{who} will": f"{who}'ll" for who in ("i", "you", "he", "she", "it", "we", "they")},
    "i am": "i'm",
}
_LENGTHEN = word_replacer({short: long for long, short in _SHORT.items()})
_SHORTEN = word_replacer(_NEGATED)


def contractions(text: str, _: Random) -> str:
    """Written out; where there is none, ``not`` is contracted. English."""
    plain = text.replace("’", "'")
    longer = _LENGTHEN(plain)
    return longer if longer != plain else _SHORTEN(text)


_LATIN = "aceijopsxyABCEHIJKMOPSTXY"
_CYRILLIC = "асеіјорѕхуАВСЕНІЈКМОРЅТХУ"
_TWINS = {
    **dict(zip(_LATIN, _CYRILLIC, strict=True)),
    **dict(zip(_CYRILLIC, _LATIN, strict=True)),
}
_FULL_WIDTH = {code: code + 0xFEE0 for code in range(0x21, 0x7F)}


def look_alikes(text: str, rng: Random) -> str:
    """Letters that are taken for each other (Unicode's confusables, UTS #39)."""
    places = [at for at, letter in enumerate(text) if letter in _TWINS]
    letters = list(text)
    for at in _somewhere(places, 0.25, rng) if places else ():
        letters[at] = _TWINS[letters[at]]
    return "".join(letters)


def invisible(text: str, rng: Random) -> str:
    """Zero-width spaces between cased letters, where no script joins its letters."""
    words = [
        word
        for word in _WORD.finditer(text)
        if all(letter.islower() or letter.isupper() for letter in word.group())
    ]
    places = [(word.start() + word.end()) // 2 for word in words]
    letters = list(text)
    for at in _somewhere(places, 1 / 3, rng) if places else ():
        letters[at] = "\u200b" + letters[at]
    return "".join(letters)


def cut_end(text: str, _: Random) -> str:
    """Without the last fifth of the words, of texts of five and more."""
    words = list(re.finditer(r"\S+", text))
    if len(words) < 5:
        return text
    return text[: words[len(words) - max(1, len(words) // 5) - 1].end()]


_BEFORE = ("Hello, I hope you are well. ", "I am writing from my phone. ", "One more message: ")
_AFTER = (" Sent from my phone.", " This message was written on a Monday.", " End of message.")


def padding_before(text: str, rng: Random) -> str:
    """Behind a sentence that says nothing."""
    return _BEFORE[_pick(rng, len(_BEFORE))] + text


def padding_after(text: str, rng: Random) -> str:
    """Before a sentence that says nothing."""
    return text + _AFTER[_pick(rng, len(_AFTER))]


def full_width(text: str, _: Random) -> str:
    """ASCII in its full-width forms (U+FF01 to U+FF5E)."""
    return text.translate(_FULL_WIDTH)


def upper_case(text: str, _: Random) -> str:
    """All in capitals."""
    return text.upper()


def lower_case(text: str, _: Random) -> str:
    """All in small letters."""
    return text.lower()
