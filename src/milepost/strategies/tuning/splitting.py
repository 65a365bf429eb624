"""Which examples stand aside while an encoder is tuned, so that it can be stopped early."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]


def held_out(
    texts: Sequence[str], y: NDArray[np.int64], share: float, seed: int
) -> tuple[Rows, Rows]:
    """Rows inside and outside, both ascending: of each label ``share`` stand outside, rounded down.

    Texts that are equal but for case and spaces stay on one side.

    Args:
        texts: ``n`` examples.
        y: ``(n,) int64``.
        share: In [0, 0.5].
        seed: Of the draw.
    """
    rng = np.random.default_rng(seed)
    outside: set[str] = set()
    plain = np.array([" ".join(text.lower().split()) for text in texts], dtype=object)
    for label in np.unique(y):
        own = np.unique(plain[y == label].astype(str))
        count = int(share * len(own))
        outside.update(rng.permutation(own)[:count].tolist())
    chosen = np.array([text in outside for text in plain], dtype=bool)
    return np.flatnonzero(~chosen), np.flatnonzero(chosen)
