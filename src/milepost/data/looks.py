"""Which rows show the same images, if not byte for byte: near-duplicates by their look."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from milepost.entities.images import looks_in

NEAR = 6
"""Most of the 128 bits of a look by which two pictures of the same thing differ."""

TELLING = 12
"""Fewest bits that are set in a look that tells anything: a plain surface has next to none."""

_BLOCK = 1024
_WORD = (1 << 64) - 1


def joined_by_look(texts: Sequence[str], groups: Sequence[str]) -> tuple[str, ...]:
    """Groups that are joined where all images of two rows look the same.

    Args:
        texts: The inputs; those that show no image stay in their group.
        groups: Near-duplicate group of each, named by the smallest key in it.
    """
    looks = [looks_in(text) for text in texts]
    by_count: dict[int, dict[tuple[int, ...], list[int]]] = {}
    for row, look in enumerate(looks):
        if look and all(each.bit_count() >= TELLING for each in look):
            by_count.setdefault(len(look), {}).setdefault(look, []).append(row)
    if not by_count:
        return tuple(groups)
    parent = {group: group for group in groups}

    def root(group: str) -> str:
        while parent[group] != group:
            parent[group] = parent[parent[group]]
            group = parent[group]
        return group

    def join(one: int, other: int) -> None:
        first, second = sorted((root(groups[one]), root(groups[other])))
        parent[second] = first

    for count, rows_of in by_count.items():
        rows = list(rows_of.values())
        for same in rows:
            for row in same[1:]:
                join(same[0], row)
        for one, other in _near(list(rows_of), count):
            join(rows[one][0], rows[other][0])
    return tuple(root(group) for group in groups)


def _near(looks: Sequence[tuple[int, ...]], count: int) -> list[tuple[int, int]]:
    """Pairs of rows all of whose looks differ in ``NEAR`` bits or fewer; every pair is compared."""
    halves = [[h for each in look for h in (each >> 64, each & _WORD)] for look in looks]
    bits = np.array(halves, np.uint64).reshape(len(looks), count, 2)
    found: list[tuple[int, int]] = []
    for start in range(0, len(bits), _BLOCK):
        ours = bits[start : start + _BLOCK]
        near: NDArray[np.bool_] = np.ones((len(ours), len(bits)), np.bool_)
        for at in range(count):
            apart = np.zeros((len(ours), len(bits)), np.uint8)
            for half in range(2):
                apart += np.bitwise_count(ours[:, None, at, half] ^ bits[None, :, at, half])
            near &= apart <= NEAR
        one, other = np.nonzero(near)
        kept = one + start < other
        found += zip((one[kept] + start).tolist(), other[kept].tolist(), strict=True)
    return found
