"""What a request to a language model holds: its labels, its examples and the text asked about.

Reads what templates of any making usually write: labels as an enumeration of a JSON Schema, as a
list of lines or after "one of:", examples as turns or as paragraphs that end with a label. Knows
nothing of who wrote the prompt.
"""

import itertools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import cast

import msgspec

from milepost.entities.language import Message, ModelRequest
from milepost.entities.prompts import AnswerForm

ITEM = re.compile(r"^\s*(?:[-*•]\s+|\(?(?P<letter>[A-Za-z]{1,2}|\d{1,3})[).:]\s+)(?P<rest>\S.*)$")
NAMED = re.compile(r"^[`'\"*]*(?P<name>.+?)[`'\"*]*(?:\s*:\s+|\s+[-–—]\s+|\s*$)(?P<said>.*)$")
ONE_OF = re.compile(
    r"\b(?:one of|labels?|options?|categories|classes|choices)\b[^:\n]*:\s*(?P<names>[^\n]+)$",
    re.IGNORECASE | re.MULTILINE,
)
FIELD = re.compile(r"^\s*(?:#+\s*)?[A-Za-z][\w ]{0,30}:(?:\s+|$)")
QUOTES = "`'\"“”«»"
KEYED = 24
"""First characters of a known text by which it is looked up."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A label as a prompt shows it; ``letter`` is empty where it has none."""

    name: str
    description: str = ""
    letter: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request holds.

    Attributes:
        labels: To choose from; empty where none are found.
        examples: Text and name of the label of each example shown.
        text: What is asked about, as far as it can be told from the rest.
        form: How the answer is wanted.
    """

    labels: tuple[Shown, ...]
    examples: tuple[tuple[str, str], ...]
    text: str
    form: AnswerForm


def words_of(message: Message) -> str:
    """All text of a message."""
    if isinstance(message.content, str):
        return message.content
    return "\n".join(part.text for part in message.content if part.text)


def last_text(request: ModelRequest) -> str:
    """Text of the last message of a user."""
    said = [words_of(m) for m in request.messages if m.role == "user"]
    return said[-1] if said else words_of(request.messages[-1])


def read(request: ModelRequest) -> Asked:
    """What a request holds."""
    before = "\n".join(words_of(m) for m in request.messages if m.role == "system")
    last = last_text(request)
    listed, end = _listed(last)
    shown = listed or _listed(before)[0]
    names = enumerated(request.schema) if request.schema else ()
    labels = _enumerated(names, shown) if names else shown
    turns = _turns(request.messages, labels)
    inline, text = _split(last[end:] if listed else last, labels)
    if not text.strip() and listed:
        inline, text = (), _before_list(last)
    form: AnswerForm = "label"
    if request.schema is not None:
        form = "json"
    elif any(label.letter for label in labels) and re.search(
        r"\bletters?\b", f"{before}\n{last}", re.IGNORECASE
    ):
        form = "letter"
    return Asked(labels=labels, examples=(*turns, *inline), text=text.strip(), form=form)


def enumerated(schema: object) -> tuple[str, ...]:
    """The first enumeration of texts in a JSON Schema; empty where there is none."""
    if isinstance(schema, dict):
        table = cast("dict[str, object]", schema)
        values = table.get("enum")
        if isinstance(values, list):
            return tuple(str(v) for v in cast("list[object]", values) if isinstance(v, str))
        inside: Iterable[object] = table.values()
    elif isinstance(schema, list):
        inside = cast("list[object]", schema)
    else:
        return ()
    return next((found for found in map(enumerated, inside) if found), ())


def label_of(answer: str, labels: Sequence[Shown]) -> str | None:
    """Name of the label that an answer consists of and nothing else; ``None`` for any other."""
    said = answer.strip().strip(QUOTES).rstrip(".").casefold()
    for label in labels:
        if said == label.name.casefold() or (label.letter and said == label.letter.casefold()):
            return label.name
    if answer.lstrip().startswith("{"):
        try:
            fields = msgspec.json.decode(answer, type=dict[str, object])
        except msgspec.DecodeError:
            return None
        texts = [v for v in fields.values() if isinstance(v, str)]
        return next((found for text in texts if (found := label_of(text, labels))), None)
    return None


def _listed(text: str) -> tuple[tuple[Shown, ...], int]:
    """The first list of at least two items, and where it ends; else what follows "one of:"."""
    found: list[Shown] = []
    place = end = 0
    for line in text.splitlines(keepends=True):
        place += len(line)
        item = ITEM.match(line.rstrip())
        if item is not None:
            found.append(_shown(item["rest"], item["letter"] or ""))
            end = place
        elif len(found) >= 2:
            break
        else:
            found = []
    if len(found) >= 2:
        return tuple(found), end
    inline = ONE_OF.search(text)
    if inline is None:
        return (), 0
    names = re.split(r"\s*[,;|]\s*(?:or\s+|and\s+)?|\s+or\s+", inline["names"].strip().rstrip("."))
    shown = tuple(Shown(name.strip(QUOTES)) for name in names if name.strip(QUOTES))
    return (shown, inline.end()) if len(shown) >= 2 else ((), 0)


def _shown(rest: str, letter: str) -> Shown:
    named = NAMED.match(rest.strip())
    if named is None:
        return Shown(rest.strip(), letter=letter)
    return Shown(named["name"].strip(), named["said"].strip(), letter)


def _enumerated(names: Sequence[str], shown: Sequence[Shown]) -> tuple[Shown, ...]:
    by_name = {s.name: s for s in shown}
    by_letter = {s.letter: s for s in shown if s.letter}
    if by_letter and all(name in by_letter for name in names):
        return tuple(by_letter[name] for name in names)
    return tuple(by_name.get(name, Shown(name)) for name in names)


def _turns(messages: Sequence[Message], labels: Sequence[Shown]) -> tuple[tuple[str, str], ...]:
    found: list[tuple[str, str]] = []
    for asked, answered in itertools.pairwise(messages):
        if asked.role == "user" and answered.role == "assistant":
            label = label_of(words_of(answered), labels)
            if label is not None:
                found.append((_plain(_split(words_of(asked), labels)[1]), label))
    return tuple(found)


def _split(text: str, labels: Sequence[Shown]) -> tuple[tuple[tuple[str, str], ...], str]:
    """Examples of a text, and what follows the last of them."""
    found: list[tuple[str, str]] = []
    rest: list[str] = []
    for line in text.splitlines():
        field = FIELD.match(line)
        label = label_of(line[field.end() :], labels) if field else None
        if label is not None and any(r.strip() for r in rest):
            found.append((_plain("\n".join(rest)), label))
            rest = []
        else:
            rest.append(line)
    return tuple(found), _plain("\n".join(rest))


def _plain(text: str) -> str:
    """A text without the name of its field before it, the empty field after it, and quotes."""
    lines = text.strip().splitlines()
    while lines and FIELD.fullmatch(lines[-1].strip()):
        lines.pop()
    first = next((n for n, line in enumerate(lines) if FIELD.match(line)), None)
    if first is not None:
        lines = lines[first:]
        field = FIELD.match(lines[0])
        lines[0] = lines[0][field.end() :] if field else lines[0]
    return "\n".join(lines).strip().strip(QUOTES)


def _before_list(text: str) -> str:
    head: list[str] = []
    for line in text.splitlines():
        if ITEM.match(line):
            break
        head.append(line)
    return _plain("\n".join(head))


class Known:
    """Finds which of many texts a message asks about. Never changed: any thread may ask.

    Args:
        texts: The texts; what is around them does not count.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        self._longer: dict[str, list[str]] = {}
        self._short: set[str] = set()
        for text in {t.strip() for t in texts} - {""}:
            if len(text) < KEYED:
                self._short.add(text)
            else:
                self._longer.setdefault(text[:KEYED], []).append(text)

    def find(self, message: str) -> str | None:
        """The known text that ends last in a message, the longest of these; ``None`` for none."""
        best: tuple[int, int] | None = None
        found = None
        for place in _starts(message):
            for text in self._at(message, place):
                mark = (place + len(text), len(text))
                if best is None or mark > best:
                    best, found = mark, text
        return found

    def _at(self, message: str, place: int) -> Iterable[str]:
        for text in self._longer.get(message[place : place + KEYED], ()):
            if message.startswith(text, place):
                yield text
        line = message[place : place + KEYED].split("\n", 1)[0].rstrip()
        for short in (line, line.rstrip(QUOTES)):
            if short in self._short:
                yield short


def _starts(message: str) -> Iterable[int]:
    """Where a text may begin: a line, behind a colon, a quote or a tag."""
    yield len(message) - len(message.lstrip())
    for found in re.finditer(r"\n\s*|:\s+|[`'\"“«>]+", message):
        yield found.end()
