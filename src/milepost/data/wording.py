"""Sentences of findings: numbers, short quotations and their order."""

from collections.abc import Iterable, Sequence

from milepost.entities.example import Finding
from milepost.entities.images import is_image, named

SHOWN = 5
"""Examples that a finding shows at most."""

_WORST_FIRST = {"error": 0, "warning": 1, "note": 2}


def number_of(n: int, one: str, many: str | None = None) -> str:
    """``n`` with its noun: ``1 row``, ``1,234 rows``; ``many`` is the plural if irregular."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def verb(n: int, one: str, many: str) -> str:
    """The form of a verb that fits ``n`` things."""
    return one if n == 1 else many


def shorten(text: str, width: int = 80) -> str:
    """``text`` on one line, at most ``width`` characters, control characters made visible.

    What stands for an image becomes a short name.
    """
    text = named(text)
    flat = " ".join(text[: 4 * width].split())
    visible = "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in flat[: width + 1])
    cut = len(flat) > width or len(text) > 4 * width
    return f"{visible[: width - 1]}…" if cut or len(visible) > width else visible


def quote(text: str, width: int = 80) -> str:
    """``text`` shortened and in quotation marks, which an image's name needs not."""
    if is_image(text):
        return named(text)
    return f'"{shorten(text, width)}"'


def apart(one: str, other: str, width: int = 60) -> str:
    """Two texts that are almost equal, quoted from shortly before the place where they part."""
    same = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), 0)
    start = 0 if same < width - 10 else one.rfind(" ", 0, same - width // 3) + 1
    dots = "…" if start else ""
    return " ~ ".join(quote(dots + text[start:], width) for text in (one, other))


def listing(names: Sequence[str], most: int = SHOWN) -> str:
    """Quoted names with commas; says how many more there are."""
    shown = ", ".join(f"'{shorten(name, 40)}'" for name in names[:most])
    return f"{shown} and {len(names) - most:,} more" if len(names) > most else shown


def worst_first(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Findings by severity, then by count (largest first), then by name."""
    return tuple(sorted(findings, key=lambda f: (_WORST_FIRST[f.severity], -f.count, f.check)))
