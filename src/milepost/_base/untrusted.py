"""Reading what may have been written by anybody: plain files only, and strict JSON (RFC 8259)."""

import json
import math
import os
import stat
from pathlib import Path
from typing import Any

MAX_DEPTH = 32
"""Deepest nesting of JSON that is read."""


def read_plain(path: Path, most: int) -> bytes:
    """Bytes of a plain file, never through a link, never from a pipe or device.

    Args:
        path: The file; folders above it may be links.
        most: The most bytes that it may have.

    Raises:
        OSError: If it cannot be read, is not a plain file, or is larger.
    """
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0)
    # Opening a pipe would wait for somebody to write into it.
    flags |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    if not stat.S_ISREG(path.lstat().st_mode):
        raise OSError("it is not a plain file")
    with os.fdopen(os.open(path, flags), "rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise OSError("it is not a plain file")
        if found.st_size > most:
            raise OSError(f"it is larger than {most:,} bytes")
        return file.read(most)


def strict_json(data: bytes) -> Any:
    """JSON in UTF-8 without NaN, duplicate keys, half characters or deep nesting.

    Raises:
        ValueError: If it is anything else.
    """
    try:
        content = json.loads(
            data.decode(),
            object_pairs_hook=_unique_keys,
            parse_constant=_no_constants,
            parse_float=_finite,
        )
        _check(content, MAX_DEPTH)
    except RecursionError:
        raise ValueError(f"it is nested more than {MAX_DEPTH} deep") from None
    return content


def _unique_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))
        raise ValueError(f"the key {twice[:100]!r} stands twice")
    return result


def _no_constants(name: str) -> object:
    raise ValueError(f"{name} is no JSON number")


def _finite(number: str) -> float:
    value = float(number)
    if not math.isfinite(value):
        raise ValueError(f"{number} is too large")
    return value


def _check(content: object, depth: int) -> None:
    if isinstance(content, str):
        content.encode()  # half a character is no text: UnicodeEncodeError is a ValueError
    elif isinstance(content, dict | list):
        if depth == 0:
            raise ValueError(f"it is nested more than {MAX_DEPTH} deep")
        if isinstance(content, dict):
            for key in content:
                _check(key, depth)
        for value in content.values() if isinstance(content, dict) else content:
            _check(value, depth - 1)
