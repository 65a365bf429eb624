"""One slice that a search tries, and how values become SQL."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Kind = Literal["label", "metadata", "conjunction", "length", "language", "word", "token", "cluster"]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Condition:
    """A slice in words, in SQL where that can say it, and as rows.

    Attributes:
        description: Reads after "examples" or "where", such as ``the word "card"``.
        kind: How it is formed.
        mask: ``(n,)`` rows in it.
        predicate: SQL that gives the same rows; ``None`` where none does.
        about: What it is a condition on, such as a column; two conditions on the same are not
            joined.
    """

    description: str
    kind: Kind
    mask: NDArray[np.bool_]
    predicate: str | None = None
    about: str = ""


def quoted(name: str) -> str:
    """A column name in SQL."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A string in SQL."""
    return "'" + text.replace("'", "''") + "'"


def ranges(
    values: NDArray[np.float64], least: int, parts: int = 10, widths: tuple[int, ...] = (1, 2)
) -> list[tuple[float, float]]:
    """Ranges that hold one or several neighbouring parts of the values.

    Args:
        values: ``(n,)``; NaN where there is none.
        least: Fewest rows of a range.
        parts: Parts of about equal size that the values are cut into.
        widths: Numbers of parts that make a range.

    Returns:
        Smallest and largest value of each range, both in it; every range once.
    """
    known = np.sort(values[~np.isnan(values)])
    if len(known) < 2 * least or known[0] == known[-1]:
        return []
    n = len(known)
    cuts = [float(known[n * i // parts]) for i in range(parts)] + [np.inf]
    found: dict[tuple[float, float], None] = {}
    for width in widths:
        for low, high in zip(cuts[:-width], cuts[width:], strict=True):
            inside = known[(known >= low) & (known < high)]
            if len(inside) >= least:
                found.setdefault((float(inside[0]), float(inside[-1])))
    return list(found)
