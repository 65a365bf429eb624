"""Where the boxes of a layered drawing go, from left to right: pure geometry in pixels.

Layers are given; the order within a layer follows the barycentre heuristic of Sugiyama, Tagawa and
Toda (1981), and heights are the least-squares fit to the neighbours' that keeps boxes apart.
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

SWEEPS = 60


@dataclass(frozen=True, slots=True)
class Size:
    """Layer and size of one box."""

    layer: int
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Place:
    """A placed box; y grows downwards."""

    left: float
    top: float
    width: float
    height: float

    @property
    def middle(self) -> float:
        """Height of its middle."""
        return self.top + self.height / 2

    @property
    def right(self) -> float:
        """Its right edge."""
        return self.left + self.width


def place_boxes(
    sizes: Mapping[str, Size],
    edges: Iterable[tuple[str, str]],
    *,
    across: float,
    down: float,
) -> dict[str, Place]:
    """Places of all boxes, from (0, 0) on; none overlaps another.

    Args:
        sizes: Layer and size of each box.
        edges: Pairs of boxes that should be near to each other.
        across: Gap between layers.
        down: Least gap between boxes of a layer.
    """
    near: dict[str, list[str]] = {name: [] for name in sizes}
    for source, target in edges:
        near[source].append(target)
        near[target].append(source)
    layers: dict[int, list[str]] = {}
    for name, size in sizes.items():
        layers.setdefault(size.layer, []).append(name)
    middle: dict[str, float] = {}
    for members in layers.values():
        heights = [sizes[name].height for name in members]
        start = -(sum(heights) + down * (len(members) - 1)) / 2
        for name, height in zip(members, heights, strict=True):
            middle[name] = start + height / 2
            start += height + down
    order = sorted(layers)
    for sweep in range(SWEEPS):
        for layer in order if sweep % 2 else reversed(order):
            _settle(layers[layer], sizes, near, middle, down)
    return _placed(layers, sizes, middle, across)


def _settle(
    members: list[str],
    sizes: Mapping[str, Size],
    near: Mapping[str, Sequence[str]],
    middle: dict[str, float],
    down: float,
) -> None:
    """Order one layer by its neighbours' heights and move it as near to them as it fits."""
    wanted: dict[str, float] = {}
    for name in members:
        others = [middle[other] for other in near[name]]
        wanted[name] = sum(others) / len(others) if others else middle[name]
    members.sort(key=lambda name: (wanted[name], middle[name]))
    offsets = [0.0]
    for above, below in itertools.pairwise(members):
        offsets.append(offsets[-1] + (sizes[above].height + sizes[below].height) / 2 + down)
    # Without their offsets, boxes that keep apart are values that never fall.
    level = _never_falling([wanted[n] - o for n, o in zip(members, offsets, strict=True)])
    for name, offset, height in zip(members, offsets, level, strict=True):
        middle[name] = height + offset


def _never_falling(values: Sequence[float]) -> list[float]:
    """The nearest values, in least squares, that never fall (pool adjacent violators)."""
    pools: list[tuple[float, int]] = []
    for value in values:
        pools.append((value, 1))
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            (after, m), (before, n) = pools.pop(), pools.pop()
            pools.append(((before * n + after * m) / (n + m), n + m))
    return [mean for mean, count in pools for _ in range(count)]


def _placed(
    layers: Mapping[int, Sequence[str]],
    sizes: Mapping[str, Size],
    middle: Mapping[str, float],
    across: float,
) -> dict[str, Place]:
    highest = min(middle[name] - size.height / 2 for name, size in sizes.items())
    places: dict[str, Place] = {}
    left = 0.0
    for layer in sorted(layers):
        width = max(sizes[name].width for name in layers[layer])
        for name in layers[layer]:
            top = middle[name] - sizes[name].height / 2 - highest
            places[name] = Place(left, top, width, sizes[name].height)
        left += width + across
    return places
