"""Texts cut into windows that a guard can read whole. Pure."""

import re

WINDOW = 800
"""Most characters of a window: about what an encoder of 256 tokens reads."""

FEWEST = 200
"""Characters from which a window may end with a sentence."""

_END = re.compile(r"[.!?…。！？]+[\"')\]»”’]*\s|\n")
_SPACE = re.compile(r"\s")


def cut(text: str, *, ended: bool) -> int:
    """Where the first window of a text ends; 0 where it may still grow.

    After the first sentence that ends beyond ``FEWEST`` characters, else before the last space
    within ``WINDOW``, else there.

    Args:
        text: What was not judged yet.
        ended: Whether nothing more will come.
    """
    end = _END.search(text, FEWEST, WINDOW)
    if end is not None:
        return end.end()
    if len(text) <= WINDOW:
        return len(text) if ended else 0
    spaces = [each.end() for each in _SPACE.finditer(text, FEWEST, WINDOW)]
    return spaces[-1] if spaces else WINDOW


def windows(text: str) -> list[str]:
    """All windows of a text that has something to read in it; together they are the text."""
    found: list[str] = []
    while text:
        end = cut(text, ended=True)
        found.append(text[:end])
        text = text[end:]
    return [each for each in found if not each.isspace()]
