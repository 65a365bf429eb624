"""How much error a decision may spend when the same rows decide again and again.

Online Fallback (Tian & Ramdas 2021, "Online control of the familywise error rate"): look ``t`` is
decided at level ``alpha · gamma_t``, and what an earlier look did not lose is added: a look that
rejected its null hypothesis hands its whole level on to the next. The probability of any false
rejection among all looks is at most ``alpha`` under any dependence between the looks, provided
that each of them is decided by a test that holds its level.
"""

import math
from collections.abc import Sequence


def weight(look: int) -> float:
    """Share of the error that look ``look`` = 1, 2, … gets: ``6 / (pi² look²)``; they sum to 1.

    Raises:
        ValueError: If ``look`` is below 1.
    """
    if look < 1:
        raise ValueError(f"looks count from 1, not {look}")
    return 6.0 / (math.pi * look) ** 2


def level(alpha: float, look: int, handed_on: float = 0.0) -> float:
    """Level of a look (Tian & Ramdas 2021, the Online Fallback with all weight on the next).

    Args:
        alpha: Error allowed over all looks together, in (0, 1).
        look: Which one it is, from 1.
        handed_on: Level of the look before it where that one rejected, else 0.
    """
    if not 0.0 < alpha < 1.0 or handed_on < 0.0:
        raise ValueError(f"alpha {alpha} must lie in (0, 1) and {handed_on} not be negative")
    return alpha * weight(look) + handed_on


def levels(alpha: float, rejected: Sequence[bool]) -> tuple[float, ...]:
    """Level of every look so far and of the next one.

    Args:
        alpha: Error allowed over all looks together, in (0, 1).
        rejected: Of each look so far, whether it rejected: whether it ended in a release.

    Returns:
        One level more than there are looks so far.
    """
    found = [level(alpha, 1)]
    for look, handed_on in enumerate(rejected, start=2):
        found.append(level(alpha, look, found[-1] if handed_on else 0.0))
    return tuple(found)


def left(alpha: float, paid: Sequence[float]) -> float:
    """Error that is left once the looks that did not reject have paid their levels; at least 0."""
    return max(0.0, alpha - math.fsum(paid))


def margin(alpha: float, spent: float) -> float:
    """How many times the distance from a floor that level ``alpha`` asks for ``spent`` asks for.

    The ratio of normal quantiles: of two tests on equally many rows, how far above the floor a
    measured value must lie to be decided. 1 where nothing is lost.

    Args:
        alpha: Level without spending, in (0, 0.5].
        spent: Level of the look, in (0, 0.5].
    """
    from scipy.special import ndtri

    if alpha == 0.5:
        return 1.0
    return float(ndtri(spent) / ndtri(alpha))
