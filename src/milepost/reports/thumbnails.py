"""Small pictures on a page, in front of the names of the images that it speaks of.

Knows neither where images are kept nor how they are read: it is given what it shows.
"""

import re
from collections.abc import Callable
from html import escape

from milepost.entities.images import NAMED

MOST = 300
"""Most pictures of a page; images named after them have their names alone."""

_NO_TEXT = re.compile(r"(<(svg|style|title)\b.*?</\2>|<[^>]*>)", re.DOTALL)
"""What is no running text of a page: drawings, styles, and tags with their attributes."""


def with_thumbnails(page: str, thumbnail: Callable[[str], str | None]) -> str:
    """The page with a picture in front of each image's name.

    Args:
        page: HTML in which every text of a user is escaped.
        thumbnail: From the digits in an image's name to a data URI; ``None`` where there is none.
    """
    known: dict[str, str | None] = {}
    shown = 0

    def picture(found: re.Match[str]) -> str:
        nonlocal shown
        digits = found[1]
        if digits not in known:
            known[digits] = thumbnail(digits) if shown < MOST else None
        uri = known[digits]
        if uri is None or shown >= MOST:
            return found[0]
        shown += 1
        return f'<img class="seen" src="{escape(uri)}" alt="">{found[0]}'

    parts: list[str] = []
    end = 0
    for tag in _NO_TEXT.finditer(page):
        parts += [NAMED.sub(picture, page[end : tag.start()]), tag[0]]
        end = tag.end()
    return "".join([*parts, NAMED.sub(picture, page[end:])])
