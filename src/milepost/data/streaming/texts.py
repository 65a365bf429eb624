"""The text of a large file, line by line, in the encoding that its bytes show."""

import codecs
import io
from collections.abc import Generator
from contextlib import contextmanager
from typing import BinaryIO, NamedTuple

from milepost.data.encoding import encoding_of, mark_of, misread
from milepost.entities.example import Finding

_BLOCK = 1 << 20
_SAMPLE = 1 << 24
"""Bytes by which the encoding of a file that is not UTF-8 is guessed."""


class Encoded(NamedTuple):
    """How the bytes of a file are read.

    Attributes:
        name: The encoding.
        errors: What becomes of bytes that do not fit.
        skip: Bytes of the byte-order mark.
        findings: What had to be assumed.
    """

    name: str
    errors: str
    skip: int
    findings: tuple[Finding, ...]


def encoded(file: BinaryIO) -> Encoded:
    """How to read a file; all of it is read for that, in blocks."""
    file.seek(0)
    mark = mark_of(file.read(4))
    skip, name = mark or (0, "utf-8")
    for errors in ("strict", "surrogatepass"):
        if _replacements(file, skip, name, errors) is not None:
            return Encoded(name, errors, skip, ())
    if mark is None:
        file.seek(0)
        sample = file.read(_SAMPLE)
        name = encoding_of(sample[: sample.rfind(b"\n") + 1] or sample)
    bad = _replacements(file, skip, name, "replace") or 0
    said = bad or not name.startswith("utf")
    return Encoded(name, "replace", skip, (misread(name, bad),) if said else ())


def _replacements(file: BinaryIO, skip: int, name: str, errors: str) -> int | None:
    """Replacement characters in the text; ``None`` where it cannot be read so."""
    file.seek(skip)
    decoder = codecs.getincrementaldecoder(name)(errors)
    found = 0
    try:
        while block := file.read(_BLOCK):
            found += decoder.decode(block).count("\ufffd")
        return found + decoder.decode(b"", final=True).count("\ufffd")
    except UnicodeDecodeError:
        return None


@contextmanager
def text_of(file: BinaryIO, how: Encoded, newline: str) -> Generator[io.TextIOWrapper]:
    """The text from its beginning; the file stays open afterwards.

    Args:
        file: The file.
        how: Its encoding.
        newline: Empty where any line end counts and is kept, else the one that counts.
    """
    file.seek(how.skip)
    text = io.TextIOWrapper(file, how.name, how.errors, newline=newline)
    try:
        yield text
    finally:
        if not file.closed:  # it is when a reader is let go before its end
            text.detach()
