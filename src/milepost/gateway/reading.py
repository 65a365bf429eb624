"""Strict JSON into records: duplicate keys, NaN and deep nesting are refused.

msgspec refuses all of that but keys that stand twice in one object, of which it takes the last. So
bytes that cannot hold such a key, which a few counts show, are read by msgspec alone; the others by
the reader of ``milepost._base.untrusted`` first.
"""

import re
from collections.abc import Sequence
from typing import Any, Generic, TypeVar, cast

import msgspec

from milepost._base.untrusted import strict_json
from milepost.entities.errors import nearest
from milepost.gateway.errors import RefusedError

T = TypeVar("T")

_ESCAPED_LETTER = re.compile(rb"\\u00[4-7]")


class Reader(Generic[T]):
    """Reads JSON objects of one kind.

    Args:
        kind: A msgspec struct.
    """

    def __init__(self, kind: type[T]) -> None:
        self._kind = kind
        self._decode = msgspec.json.Decoder(kind).decode
        struct = cast("type[msgspec.Struct]", kind)
        # Unknown fields are skipped unread where they are allowed, and may hold anything.
        self._closed = struct.__struct_config__.forbid_unknown_fields
        self._names = struct.__struct_encode_fields__
        self._keys = tuple(b'"%s"' % name.encode() for name in struct.__struct_encode_fields__)

    def __call__(self, body: bytes) -> T:
        """The record that a body holds.

        Raises:
            RefusedError: 400 with what is wrong, and where as a JSON path.
        """
        try:
            if self._closed and self._simple(body):
                return self._decode(body)
            return msgspec.convert(strict_json(body), self._kind)
        except msgspec.ValidationError as error:
            raise _wrong_field(str(error), self._names) from None
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            raise not_json(body, error) from None

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
    said = "it is not UTF-8" if isinstance(error, UnicodeError) else _lower(str(error))
    return RefusedError(
        400, "not_json", f"the body is not usable JSON: {said}.", advice="See RFC 8259."
    )


def _wrong_field(message: str, names: Sequence[str]) -> RefusedError:
    what, _, place = message.partition(" - at ")
    advice = None
    path = place.strip("`").removeprefix("$").lstrip(".").removeprefix("[...]") or None
    code = "wrong_field"
    if "unknown field" in what:
        name = what.rsplit("`", 2)[-2]
        near = None if path else nearest(name, names)
        advice = f"Did you mean {near!r}? " if near else ""
        advice = None if path else f"{advice}Allowed: {', '.join(names)}."
        path, code = (f"{path}.{name}" if path else name), "unknown_field"
        what = f"there is no field {name[:100]!r} here"
    elif "missing required field" in what:
        name = what.rsplit("`", 2)[-2]
        path, code = (f"{path}.{name}" if path else name), "missing_field"
        what = f"the field {name!r} is missing"
    elif what.startswith("Expected `object`"):
        what = f"the body must be a JSON object: {_lower(what)}"
    return RefusedError(400, code, f"{_lower(what)}.", param=path and path[:200], advice=advice)


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:].rstrip(".")


def plain(record: object) -> Any:
    """A record as plain JSON values, for those who go on with parts of it."""
    return msgspec.to_builtins(record)
