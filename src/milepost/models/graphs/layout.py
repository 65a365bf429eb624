"""How tokens are handed to a graph: padded to a rectangle, or flat with the padding left out.

Knows numpy alone. In the flat layout all linear layers run on the ``t`` tokens of a batch, and only
attention sees a rectangle; a short text beside a long one then costs next to nothing.
"""

from collections.abc import Sequence
from itertools import chain
from typing import Literal

import numpy as np
from numpy.typing import NDArray

IDS, MASK = "input_ids", "attention_mask"
POSITIONS, LENGTHS, GRID, PLACES = "positions", "lengths", "grid", "places"
TILES, TILE_ADAPTER, UNTILED = "tiles", "tile_adapter", "untiled"
TILE = 16
"""Tokens of one adapter that are multiplied together; see ``tiled``."""

Layout = Literal["padded", "flat", "pixels"]
Feeds = dict[str, NDArray[np.generic]]


def padded(tokens: Sequence[Sequence[int]], pad_id: int) -> Feeds:
    """Inputs ``input_ids`` and ``attention_mask``, both ``(b, s) int64``."""
    mask, _ = _mask(tokens)
    ids = np.full(mask.shape, pad_id, np.int64)
    ids[mask] = _joined(tokens)
    return {IDS: ids, MASK: mask.astype(np.int64)}


def flat(tokens: Sequence[Sequence[int]]) -> Feeds:
    """Inputs of a flat graph for ``b`` rows of ``t`` tokens in all, the longest of ``s``.

    Returns:
        ``input_ids``, ``positions`` and ``places`` ``(t,) int64``: of each token its id, its
        position in its row, and its cell in the rectangle; ``grid (b, s) int64``: of each cell its
        token (0 where there is none); ``lengths (b,) int32``; ``attention_mask (b, s) int64``.
    """
    mask, lengths = _mask(tokens)
    ids = _joined(tokens)
    places = np.flatnonzero(mask)
    grid = np.zeros(mask.shape, np.int64)
    grid[mask] = np.arange(len(ids))
    return {
        IDS: ids,
        POSITIONS: places % mask.shape[1],
        LENGTHS: lengths,
        GRID: grid,
        PLACES: places,
        MASK: mask.astype(np.int64),
    }


def tiled(lengths: Sequence[int], slots: Sequence[int]) -> Feeds:
    """Inputs that say which adapter each token uses.

    The tokens of one adapter are cut into tiles of ``TILE``, so that many rows with few adapters
    are a few products of a useful size, and no adapter is copied once per row.

    Args:
        lengths: Tokens of each row.
        slots: Number of the adapter of each row in the stacks; 0 is the one that changes nothing.

    Returns:
        ``tiles (c, TILE) int64``: tokens of each tile; ``tile_adapter (c,) int64``; ``untiled
        (t,) int64``: where each token went.
    """
    owners = np.repeat(np.asarray(slots, np.int64), lengths)
    order = np.argsort(owners, kind="stable")
    sizes = np.bincount(owners)
    per_owner = -(-sizes // TILE)
    first = np.concatenate([[0], np.cumsum(per_owner * TILE)[:-1]])
    begins = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    cells = first[owners[order]] + np.arange(len(order)) - begins[owners[order]]
    tiles = np.zeros(int(per_owner.sum()) * TILE, np.int64)
    tiles[cells] = order
    untiled = np.empty(len(order), np.int64)
    untiled[order] = cells
    return {
        TILES: tiles.reshape(-1, TILE),
        TILE_ADAPTER: np.repeat(np.arange(len(sizes)), per_owner),
        UNTILED: untiled,
    }


def _mask(tokens: Sequence[Sequence[int]]) -> tuple[NDArray[np.bool_], NDArray[np.int32]]:
    lengths = np.fromiter(map(len, tokens), np.int32, len(tokens))
    return np.arange(int(lengths.max())) < lengths[:, None], lengths


def _joined(tokens: Sequence[Sequence[int]]) -> NDArray[np.int64]:
    return np.fromiter(chain.from_iterable(tokens), np.int64)
