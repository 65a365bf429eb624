"""How a model inside of this process writes what it decided: label, letter, JSON, call of a tool.

Its tokens are words, marks and runs of space. Probabilities of labels become those of tokens by the
chain rule over the answers that could have been written.
"""

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, cast

import msgspec

from milepost.entities.language import (
    Completion,
    Finish,
    ModelRequest,
    Piece,
    TokenAlternative,
    TokenChoice,
    ToolCall,
)
from milepost.models.language.inside.reading import Asked, Shown, words_of
from milepost.models.language.lengths import CHARACTERS, IMAGE, MESSAGE, characters, images

Slip = Literal["", "wordy", "unsure"]
TOKEN = re.compile(r"\s*[^\W_]+|\s*[^\w\s]|_|\s+")
DEEPEST = 16
"""Nesting of a schema below which nothing is filled in."""


@dataclass(frozen=True, slots=True)
class Spoken:
    """What is written; ``tokens`` counts those of the calls of tools as well."""

    text: str
    tokens: int
    finish: Finish = "stop"
    logprobs: tuple[TokenChoice, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()


def sees(request: ModelRequest) -> bool:
    """Whether a request holds an image."""
    return images(request) > 0


def read_tokens(request: ModelRequest) -> int:
    """Tokens of a request: four characters each, and what stands around each message."""
    around = MESSAGE * len(request.messages) + IMAGE * images(request)
    return math.ceil(characters(request) / CHARACTERS) + around


def split(text: str) -> list[str]:
    """Tokens of a text; joined they are the text again."""
    return TOKEN.findall(text)


def spell(request: ModelRequest, asked: Asked, shares: Mapping[str, float], slip: Slip) -> Spoken:
    """The answer to a request whose labels have these probabilities."""
    best = max(shares, key=lambda name: shares[name]) if shares else ""
    called = _call(request, best)
    if called is not None:
        return Spoken("", len(split(called.arguments)) + 4, "tool_calls", (), (called,))
    answers = {_written(request, asked, label): shares[label.name] for label in asked.labels}
    if answers:
        chosen = max(answers, key=lambda text: answers[text])
        if slip == "wordy":
            answers = {f"I would say that the answer is {chosen} here.": 1.0}
        elif slip == "unsure":
            answers = {"I cannot tell from this alone.": 1.0}
    elif request.schema is not None:
        answers = {_json(request.schema, ""): 1.0}
    else:
        answers = {_echo(request): 1.0}
    return told(request, answers)


def told(request: ModelRequest, answers: Mapping[str, float]) -> Spoken:
    """The most probable of some texts, as far as the request lets it be written."""
    text = max(answers, key=lambda t: answers[t])
    tokens = split(text)
    finish: Finish = "stop"
    for stop in request.stop:
        if stop and stop in text:
            text = text[: text.index(stop)]
            tokens = split(text)
    if len(tokens) > request.max_tokens:
        tokens, finish = tokens[: request.max_tokens], "length"
        text = "".join(tokens)
    choices = ()
    if request.top_logprobs is not None:
        choices = chain(answers, tokens, request.top_logprobs)
    return Spoken(text, max(len(tokens), 1), finish, choices)


def chain(
    answers: Mapping[str, float], tokens: Sequence[str], most: int
) -> tuple[TokenChoice, ...]:
    """Log-probability of each token given those before it, with the most probable alternatives."""
    left = [(split(text), share) for text, share in answers.items()]
    found: list[TokenChoice] = []
    for place, token in enumerate(tokens):
        mass: dict[str, float] = {}
        for spelled, share in left:
            following = spelled[place] if place < len(spelled) else ""
            mass[following] = mass.get(following, 0.0) + share
        whole = sum(mass.values())
        logs = {t: math.log(m / whole) if m < whole else 0.0 for t, m in mass.items()}
        ordered = sorted(logs, key=lambda t: (-logs[t], t))[:most]
        found.append(
            TokenChoice(
                token=token,
                logprob=logs[token],
                alternatives=tuple(TokenAlternative(token=t, logprob=logs[t]) for t in ordered),
            )
        )
        left = [(s, share) for s, share in left if place < len(s) and s[place] == token]
    return tuple(found)


def pieces(completion: Completion) -> list[Piece]:
    """A whole answer as it would have come, each piece with what was read and written so far."""
    if completion.tool_calls:
        parts = [Piece(tool_calls=(call,)) for call in completion.tool_calls]
    else:
        choices = completion.logprobs
        parts = [
            Piece(text=token, logprobs=choices[n : n + 1])
            for n, token in enumerate(split(completion.text))
        ] or [Piece()]
    thought = completion.tokens.reasoning
    for n, part in enumerate(parts):
        written = min(thought + n + 1, completion.tokens.output)
        so_far = msgspec.structs.replace(completion.tokens, output=written)
        parts[n] = msgspec.structs.replace(part, tokens=so_far)
    parts[-1] = msgspec.structs.replace(parts[-1], tokens=completion.tokens, whole=completion)
    return parts


def _written(request: ModelRequest, asked: Asked, label: Shown) -> str:
    if asked.form == "json" and request.schema is not None:
        return _json(request.schema, label.name, label.letter)
    return label.letter if asked.form == "letter" and label.letter else label.name


def _echo(request: ModelRequest) -> str:
    last = request.messages[-1]
    head = "The tool said" if last.role == "tool" else "You said"
    return f"{head}: {' '.join(words_of(last).split()[:12])}"


def _call(request: ModelRequest, label: str) -> ToolCall | None:
    choice = request.tool_choice or "auto"
    after = request.messages[-1].role == "tool"
    if not request.tools or choice == "none" or (choice == "auto" and after):
        return None
    tool = next((t for t in request.tools if t.name == choice), request.tools[0])
    arguments = _json(tool.parameters, label)
    digest = hashlib.sha256(f"{tool.name}\0{arguments}".encode()).hexdigest()
    return ToolCall(id=f"call_{digest[:24]}", name=tool.name, arguments=arguments)


def _json(schema: Mapping[str, object], *wanted: str) -> str:
    return msgspec.json.encode(_instance(schema, schema, wanted, 0)).decode()


def _instance(
    schema: object, root: Mapping[str, object], wanted: Sequence[str], depth: int
) -> object:
    """A value that follows a JSON Schema, with the wanted text where an enumeration allows it."""
    if not isinstance(schema, dict) or depth > DEEPEST:
        return None
    table = cast("dict[str, object]", schema)
    if isinstance(table.get("$ref"), str):
        target: object = root
        for step in str(table["$ref"]).removeprefix("#/").split("/"):
            target = cast("dict[str, object]", target).get(step, {})
        return _instance(target, root, wanted, depth + 1)
    if isinstance(table.get("enum"), list):
        values = cast("list[object]", table["enum"])
        return next((value for value in values if value in wanted), values[0] if values else None)
    if "const" in table:
        return table["const"]
    for several in ("anyOf", "oneOf", "allOf"):
        if isinstance(table.get(several), list) and table[several]:
            return _instance(cast("list[object]", table[several])[0], root, wanted, depth + 1)
    return _of_type(table, root, wanted, depth)


def _of_type(
    table: dict[str, object], root: Mapping[str, object], wanted: Sequence[str], depth: int
) -> object:
    kind = table.get("type")
    if kind == "object" or "properties" in table:
        fields = cast("dict[str, object]", table.get("properties", {}))
        return {name: _instance(s, root, wanted, depth + 1) for name, s in fields.items()}
    if kind == "array":
        return [_instance(table.get("items", {}), root, wanted, depth + 1)]
    plain: dict[object, object] = {
        "string": wanted[0] if wanted else "", "integer": 1, "number": 0.5, "boolean": True,
    }  # fmt: skip
    return plain.get(kind)
