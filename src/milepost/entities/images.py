"""The text that stands for an image: the digest of its bytes, and how it looks in 128 bits.

All that keeps, splits, caches and compares inputs goes on with texts. Only what reads an image asks
for its bytes.
"""

import re
from collections.abc import Sequence

PREFIX = "image:"
"""How the text that stands for an image begins."""

LOOK_BITS = 128
"""Bits that say how an image looks, see ``milepost.models.images.picture.look_of``."""

BLANK = f"{PREFIX}{'0' * 64}.{'0' * 32}"
"""Stands for a grey image that nobody sent, such as one that a server warms itself with."""

NAMED = re.compile(r"\bimage ([0-9a-f]{8})\b")
"""How people read what stands for an image, with the first digits of its digest."""

_REFERENCE = re.compile(rf"{PREFIX}([0-9a-f]{{64}})\.([0-9a-f]{{32}})")
_BEGUN = re.compile(rf"{PREFIX}([0-9a-f]{{8}})[0-9a-f]{{0,56}}(?:\.[0-9a-f]{{0,32}})?")


def image_text(digest: str, look: str) -> str:
    """The text that stands for an image.

    Args:
        digest: SHA-256 of its bytes in hex.
        look: Its look in hex, 32 digits.
    """
    return f"{PREFIX}{digest}.{look}"


def is_image(text: str) -> bool:
    """Whether a text stands for an image."""
    return _REFERENCE.fullmatch(text) is not None


def digest_in(text: str) -> str:
    """SHA-256 of the bytes of the image that a text stands for.

    Raises:
        ValueError: If it stands for none.
    """
    found = _REFERENCE.fullmatch(text)
    if found is None:
        raise ValueError(f"{text[:80]!r} stands for no image")
    return found[1]


def images_in(text: str) -> tuple[str, ...]:
    """The texts that stand for images in a longer one, in their order."""
    return tuple(found.group() for found in _REFERENCE.finditer(text))


def looks_in(text: str) -> tuple[int, ...]:
    """How the images look that a text speaks of, each ``LOOK_BITS`` bits."""
    return tuple(int(found[2], 16) for found in _REFERENCE.finditer(text))


def named(text: str) -> str:
    """A text for people: with a short name, such as ``image 1a2b3c4d``, where one of images stands.

    One that was cut off is named, too.
    """
    return _BEGUN.sub(r"image \1", text) if PREFIX in text else text


def called(texts: Sequence[str]) -> str:
    """What inputs like these are, as a noun: ``text``, ``image``, or ``input`` for several."""
    first = texts[0] if len(texts) else ""
    return "image" if is_image(first) else "input" if images_in(first) else "text"
