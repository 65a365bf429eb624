"""Keys of upstreams: read where their reference says, and struck out wherever they come back.

A reference is ``env:NAME`` or ``file:PATH``. Neither a record nor an error, a log line or a
``repr`` ever holds a key itself.
"""

import os
from pathlib import Path

from milepost.entities.errors import UpstreamError

MOST = 8_192
"""Longest key in characters; signed tokens may have a few thousand."""

SHARED = 8
"""Characters of a key in a row that are struck out, so that a shortened key is found as well."""

STRUCK = "[key]"


class Secrets:
    """Keys by reference; a variable is read each time, a file again once it has changed.

    Thread safe: what it holds is replaced whole.
    """

    def __init__(self) -> None:
        self._files: dict[str, tuple[tuple[int, int], str]] = {}

    def read(self, reference: str, *, upstream: str = "") -> str:
        """The key itself.

        Args:
            reference: ``env:NAME`` or ``file:PATH``.
            upstream: Who needs it, for the words of the error.

        Raises:
            UpstreamError: ``no_key``, with the variable or the file that should hold it.
        """
        kind, _, place = reference.partition(":")
        if kind == "env" and place:
            return _usable(os.environ.get(place, ""), f"environment variable {place}", upstream)
        if kind == "file" and place:
            return self._from_file(place, upstream)
        # The reference is not shown: whoever got it wrong may have put the key itself there.
        raise UpstreamError(
            "no_key",
            "The reference of its key is neither env:NAME nor file:PATH.",
            upstream=upstream,
            advice="Register it again with the name of a variable or the path of a file.",
        )

    def _from_file(self, place: str, upstream: str) -> str:
        path = Path(place).expanduser()
        try:
            found = path.stat()
            state = (found.st_mtime_ns, found.st_size)
            held = self._files.get(place)
            if held is not None and held[0] == state:
                return held[1]
            text = "" if found.st_size > MOST else path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            text, state = "", (0, 0)
        key = _usable(text.strip(), f"file {place}", upstream)
        self._files[place] = (state, key)
        return key

    def __repr__(self) -> str:
        return "Secrets()"


def secret(reference: str, *, upstream: str = "") -> str:
    """The key that a reference stands for, read now.

    Raises:
        UpstreamError: ``no_key``.
    """
    return Secrets().read(reference, upstream=upstream)


def hidden(text: str, key: str | None) -> str:
    """A text without the key, nor any eight characters in a row of it.

    Providers repeat keys in their errors, whole or shortened.
    """
    if not key:
        return text
    text = text.replace(key, STRUCK)
    if len(key) <= SHARED:
        return text
    parts: list[str] = []
    position = 0
    while position < len(text):
        length = _shared(text, position, key)
        parts.append(STRUCK if length else text[position])
        position += length or 1
    return "".join(parts)


def _shared(text: str, position: int, key: str) -> int:
    """Length of the longest part of the key that stands at a position; 0 if it is too short."""
    length = SHARED
    if text[position : position + length] not in key or position + length > len(text):
        return 0
    while position + length < len(text) and text[position : position + length + 1] in key:
        length += 1
    return length


def _usable(key: str, place: str, upstream: str) -> str:
    if key and len(key) <= MOST and key.isascii() and key.isprintable() and " " not in key:
        return key
    kind, _, name = place.rpartition(" ")
    what = f"The {place} holds no key."
    if key:
        what = f"What the {place} holds cannot be a key: it is too long or more than one word."
    advice = f"Write it to {name}." if kind == "file" else f"Set {name} to it."
    raise UpstreamError("no_key", what, upstream=upstream, advice=advice)
