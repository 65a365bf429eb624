"""Many tests at once: p-values that stay honest when the smallest of several is looked at."""

import numpy as np
from numpy.typing import NDArray


def holm(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Adjusted p-values that control the family-wise error under any dependence (Holm 1979).

    Args:
        p_values: ``(m,)`` in [0, 1], in any order; may be empty.

    Returns:
        ``(m,)`` in the same order, each at least its raw value and at most 1.
    """
    order = np.argsort(p_values, kind="stable")
    factors = np.arange(len(p_values), 0, -1)
    stepped = np.maximum.accumulate(p_values[order] * factors)
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted
