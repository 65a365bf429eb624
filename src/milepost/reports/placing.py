"""Where labels of points go so that they do not hide each other: pure geometry in pixels."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

NARROW = frozenset("iljtfrI.,:;'|!()[]- ")
WIDE = frozenset("mwMW@%")


def text_width(text: str, size: float) -> float:
    """Approximate width of a text in a Helvetica-like face, in pixels at ``size`` pixels."""
    return size * sum(_em(character) for character in text)


def _em(character: str) -> float:
    if unicodedata.east_asian_width(character) in "WF":
        return 1.0
    if unicodedata.combining(character):
        return 0.0
    if character in NARROW:
        return 0.31
    if character in WIDE:
        return 0.86
    return 0.68 if character.isupper() else 0.555


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle; y grows downwards."""

    left: float
    top: float
    right: float
    bottom: float

    def overlap(self, other: "Box") -> float:
        """Area that both share."""
        across = min(self.right, other.right) - max(self.left, other.left)
        down = min(self.bottom, other.bottom) - max(self.top, other.top)
        return max(0.0, across) * max(0.0, down)

    def outside(self, width: float, height: float) -> float:
        """Area outside of a drawing of that size."""
        inside = self.overlap(Box(0, 0, width, height))
        return (self.right - self.left) * (self.bottom - self.top) - inside


@dataclass(frozen=True, slots=True)
class Mark:
    """A point with its error bar and its label's text; ``top`` is above ``bottom``."""

    x: float
    y: float
    top: float
    bottom: float
    text: str


@dataclass(frozen=True, slots=True)
class Place:
    """Anchor of a label: where its text begins (``left``) or ends (``right``), middle in height."""

    x: float
    y: float
    align: Literal["left", "right", "center"]


def place_labels(
    marks: Sequence[Mark],
    width: float,
    height: float,
    size: float,
    lines: Sequence[Box] = (),
) -> tuple[Place, ...]:
    """A place for each label, most important mark first; greedy, so deterministic.

    Each label takes the place near its point that hides least: other labels count most, then
    leaving the drawing, then points, then error bars and ``lines``. Nearer places win ties.
    """
    points = [Box(m.x - 5, m.y - 5, m.x + 5, m.y + 5) for m in marks]
    bars = [Box(m.x - 2, m.top, m.x + 2, m.bottom) for m in marks]
    taken: list[Box] = []
    places: list[Place] = []
    for mark in marks:
        best: tuple[float, Place, Box] | None = None
        for rank, place in enumerate(_places(mark)):
            box = _box(place, mark.text, size)
            cost = (
                5.0 * sum(box.overlap(other) for other in taken)
                + 4.0 * box.outside(width, height)
                + 2.0 * sum(box.overlap(other) for other in points)
                + 1.0 * sum(box.overlap(other) for other in (*bars, *lines))
                + 0.5 * rank
            )
            if best is None or cost < best[0]:
                best = (cost, place, box)
        if best is not None:
            places.append(best[1])
            taken.append(best[2])
    return tuple(places)


def _places(mark: Mark) -> list[Place]:
    """Places to try, the best-looking first."""
    near = [Place(mark.x + 9, mark.y, "left"), Place(mark.x - 9, mark.y, "right")]
    for step in (12, 18, 26, 36, 48, 62):
        near += [
            Place(mark.x + 9, mark.y - step, "left"),
            Place(mark.x + 9, mark.y + step, "left"),
            Place(mark.x - 9, mark.y - step, "right"),
            Place(mark.x - 9, mark.y + step, "right"),
        ]
    near += [
        Place(mark.x, mark.top - 9, "center"),
        Place(mark.x, mark.bottom + 9, "center"),
    ]
    return near


def _box(place: Place, text: str, size: float) -> Box:
    across = text_width(text, size)
    left = {"left": place.x, "right": place.x - across, "center": place.x - across / 2}
    return Box(
        left[place.align],
        place.y - 0.6 * size,
        left[place.align] + across,
        place.y + 0.6 * size,
    )
