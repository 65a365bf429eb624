"""Strict JSON into records: duplicate keys, NaN and deep nesting are refused.

msgspec refuses all of that but keys that stand twice in one object, of which it takes the last. So
bytes that cannot hold such a key, which a few counts show, are read by msgspec alone; the others by
the reader of ``milepost._base.untrusted`` first.
"""

import json
import re
from typing import Any, Generic, TypeVar, cast

import msgspec

from milepost._base.untrusted import strict_json
from milepost.entities.errors import nearest
from milepost.gateway.errors import RefusedError

T = TypeVar("T")

_EXPECTED = re.compile(r"Expected `([^`]+)`(?:, got `([^`]+)`)?(.*)")
_KINDS = {
    "array": "a list",
    "bool": "true or false",
    "float": "a number",
    "int": "an integer",
    "object": "an object",
    "str": "a string",
}
"""Kinds of values, from msgspec's words to those of people who write JSON."""

_CAPITAL = re.compile(r"[A-Z][a-z]*(?![A-Za-z])")
"""A word that has a capital only because it begins a sentence, which JSON and NaN do not."""

_ESCAPED_LETTER = re.compile(rb"\\u00[4-7]")


class Reader(Generic[T]):
    """Reads JSON objects of one kind.

    Args:
        kind: A msgspec struct.
        values: Status for a value of the right kind that is out of its range.
    """

    def __init__(self, kind: type[T], *, values: int = 422) -> None:
        self._kind = kind
        self._values = values
        self._decode = msgspec.json.Decoder(kind).decode
        struct = cast("type[msgspec.Struct]", kind)
        # Unknown fields are skipped unread where they are allowed, and may hold anything.
        self._closed = struct.__struct_config__.forbid_unknown_fields
        self._names = struct.__struct_encode_fields__
        self._keys = tuple(b'"%s"' % name.encode() for name in struct.__struct_encode_fields__)

    def __call__(self, body: bytes) -> T:
        """The record that a body holds.

        Raises:
            RefusedError: 400, or that for values, with what is wrong, and where as a JSON path.
        """
        try:
            if self._closed and self._simple(body):
                return self._decode(body)
            return msgspec.convert(strict_json(body), self._kind)
        except msgspec.ValidationError as error:
            raise self._wrong(body, str(error)) from None
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            raise not_json(body, error) from None

    def with_plain(self, body: bytes) -> tuple[T, dict[str, Any]]:
        """The same with the plain JSON, for those who pass on what the record does not name.

        Raises:
            RefusedError: As a call.
        """
        try:
            content = strict_json(body)
            return msgspec.convert(content, self._kind), content
        except msgspec.ValidationError as error:
            raise self._wrong(body, str(error)) from None
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            raise not_json(body, error) from None

    def _wrong(self, body: bytes, message: str) -> RefusedError:
        what, _, place = message.partition(" - at ")
        path = _path(place.strip("`"), body)
        if "unknown field" in what:
            return self._unknown(what.rsplit("`", 2)[-2], path)
        if "missing required field" in what:
            name = what.rsplit("`", 2)[-2]
            param = f"{path}.{name}" if path else name
            missing = f"the field {name!r} is missing."
            return RefusedError(400, "missing_field", missing, param=param[:200])
        subject = f"the field {path[:200]!r}" if path else "the body"
        found = _EXPECTED.fullmatch(what)
        if found is None:
            status, code = 400, "wrong_field"
            if "out of range" in what:
                status, code = self._values, "wrong_value"
            what = f"{subject} cannot be used: {_lower(what)}."
            return RefusedError(status, code, what, param=path and path[:200])
        wanted, got, bounds = found.groups()
        what = f"{subject} must be {_kinds(wanted)}{bounds}"
        if got is None:
            return RefusedError(self._values, "wrong_value", f"{what}.", param=path and path[:200])
        advice = None
        if "array" in wanted and path in self._names:
            advice = f'Write a list, of one if need be: {{"{path}": ["..."]}}.'
        what = f"{what}, not {_kinds(got)}."
        return RefusedError(400, "wrong_field", what, param=path and path[:200], advice=advice)

    def _unknown(self, name: str, path: str | None) -> RefusedError:
        near = None if path else nearest(name, self._names)
        advice = f"Did you mean {near!r}? " if near else ""
        return RefusedError(
            400,
            "unknown_field",
            f"there is no field {name[:100]!r} here.",
            param=(f"{path}.{name}" if path else name)[:200],
            advice=None if path else f"{advice}Allowed: {', '.join(self._names)}.",
        )

    def _simple(self, body: bytes) -> bool:
        """Whether no key can stand twice: one object, each key at most once, none escaped."""
        if body.count(b"{") > 1:
            return False
        if b"\\u00" in body and _ESCAPED_LETTER.search(body):
            return False
        return all(body.count(key) <= 1 for key in self._keys)


def not_json(body: bytes, error: Exception) -> RefusedError:
    """The refusal of bytes that are not strict JSON."""
    if not body:
        return RefusedError(
            400, "empty_body", "the body is empty.", advice="Send a JSON object as the body."
        )
    what = f"the body is not usable JSON: {why_not_json(body, error)}."
    return RefusedError(400, "not_json", what, advice="See RFC 8259.")


def why_not_json(data: bytes, error: Exception) -> str:
    """What keeps bytes from being strict JSON, as the end of a sentence.

    Args:
        data: The bytes.
        error: What reading them raised.
    """
    if isinstance(error, msgspec.DecodeError):
        # Its own words are of the reader's making; ours know more mistakes.
        try:
            strict_json(data)
        except ValueError as better:
            error = better
    if isinstance(error, UnicodeEncodeError):
        return f"\\u{ord(error.object[error.start]):04x} is half of a character (a lone surrogate)"
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8"
    if isinstance(error, json.JSONDecodeError):
        if error.pos >= len(error.doc):
            return "it ends too soon"
        return f"{_lower(error.msg)} at line {error.lineno}, column {error.colno}"
    return _lower(str(error))[:300]


def _path(place: str, body: bytes) -> str | None:
    """A place as msgspec tells it, with the key that it leaves out in mappings."""
    path = place.removeprefix("$").lstrip(".")
    head, left_out, rest = path.partition("[...]")
    if not left_out:
        return path or None
    try:
        found = strict_json(body)
        for step in re.findall(r"[^.\[\]]+", head):
            found = found[int(step)] if isinstance(found, list) else found[step]
        key = next(key for key, value in found.items() if not isinstance(value, str))
    except (ValueError, LookupError, AttributeError, StopIteration):
        return head.rstrip(".") or None
    return f"{head}.{key[:100]}{rest}" if head else f"{key[:100]}{rest}"


def _kinds(names: str) -> str:
    """Kinds of values in words, such as ``a string or an object``."""
    words = [_KINDS.get(name, name) for name in names.split(" | ")]
    return " or ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def _lower(text: str) -> str:
    first = text[:1].lower() if _CAPITAL.match(text) else text[:1]
    return first + text[1:].rstrip(".")


def plain(record: object) -> Any:
    """A record as plain JSON values, for those who go on with parts of it."""
    return msgspec.to_builtins(record)
