"""The text of a piece of HTML. Never fails, and takes time that grows with its length only."""

import html
import re

# Possessive throughout: an attempt that fails has looked at each character once.
_TAG = re.compile(r"""</?([a-zA-Z][^\s/>]*+)(?:[^>"']++|"[^"]*+"|'[^']*+')*+>""")
_NAME = re.compile(r"</?([a-zA-Z][^\s/>]*+)")
_HIDDEN = frozenset({"script", "style", "template", "head"})
_LINES = frozenset(
    {"address", "article", "aside", "blockquote", "br", "dd", "div", "dl", "dt", "figcaption"}
    | {"figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "li", "main"}
    | {"nav", "ol", "p", "pre", "section", "table", "tbody", "tfoot", "thead", "title", "tr", "ul"}
)
_CELLS = frozenset({"td", "th"})


def strip_html(text: str) -> str:
    """The text without tags, comments, scripts, styles and head; entities become characters.

    A block begins on a new line and a cell after a space. A ``<`` that opens nothing stays, so that
    "a < b" is as it was. Not idempotent: ``&lt;b&gt;`` becomes ``<b>``, which is a tag.
    """
    if "<" not in text:
        return html.unescape(text) if "&" in text else text
    parts: list[str] = []
    at, quotes, lowered = 0, True, ""
    while (start := text.find("<", at)) >= 0:
        parts.append(text[at:start])
        end, name = -1, ""
        if text.startswith("<!--", start):
            end = _after(text, "-->", start + 4)
        elif text.startswith(("<!", "<?"), start):
            end = _after(text, ">", start)
        elif found := _NAME.match(text, start):
            name = found[1].lower()
            whole = _TAG.match(text, start) if quotes else None
            # A quote that is never closed: from here on, quotes mean nothing. Trying again at each
            # tag would read the rest of the text once for each.
            quotes = quotes and whole is not None
            end = whole.end() if whole else _after(text, ">", start)
        else:
            parts.append("<")
            end = start + 1
        at = end
        if name in _HIDDEN and text[start + 1] != "/":
            lowered = lowered or _lower(text)
            close = lowered.find(f"</{name}", end)
            at = len(text) if close < 0 else _after(text, ">", close)
        elif name in _LINES:
            parts.append("\n")
        elif name in _CELLS:
            parts.append(" ")
    parts.append(text[at:])
    return html.unescape("".join(parts))


def _after(text: str, mark: str, start: int) -> int:
    """Where the first ``mark`` from ``start`` ends; the end of the text where there is none."""
    found = text.find(mark, start)
    return len(text) if found < 0 else found + len(mark)


def _lower(text: str) -> str:
    """Lower case of ASCII letters alone, which keeps every position."""
    return text.translate({upper: upper + 32 for upper in range(65, 91)})
