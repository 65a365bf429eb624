"""Would labels drawn by strata save any? Exact tests, nothing drawn: what is not done, and why.

On the synthetic pools (`bench/cascades_grid.py`) the surest items are left to the proxy, as many as
make three fifths of the allowed mistakes. `even`: labels that it takes to show that with a power of
0.8, drawn evenly, by the exact binomial test. `stratified`: the same with two strata by the proxy's
doubt, known in size, by the exact test of the stratified estimate at the worst pair of risks that
breaks the promise; the fewest of several cuts, and of labels shared out by size, as is best for the
variance (Neyman 1934), and half by either. `foreseen`: what the variance alone would promise.
"""

from collections.abc import Callable
from functools import partial
from itertools import pairwise

import numpy as np
from scipy.stats import binom

from bench.cascades_grid import DELTA, RATES, STRENGTHS, TARGET, pool

AT_MOST = 1.0 - TARGET
SEEN, POWER = 0.6, 0.8
DRAWS = 100
CUTS = (0.5, 0.7, 0.9)
MOST = 2
"""How many times as many labels are tried at most."""
NUISANCE = 40


def compared(*, quick: bool) -> dict[str, dict[str, float]]:
    """Labels that either way takes, for each cell of the grid."""
    cells = [(name, rate) for name in STRENGTHS for rate in RATES[1::2] + RATES[-1:]]
    return {
        f"{name} {rate:g}": _cell(STRENGTHS[name], rate)
        for name, rate in cells[: 2 if quick else None]
    }


def _cell(strength: float, rate: float) -> dict[str, float]:
    chance = np.concatenate([pool(rate, strength, repeat)[0] for repeat in range(DRAWS)])
    doubt = np.sort(np.minimum(chance, 1.0 - chance))
    share = doubt.cumsum() / np.arange(1, len(doubt) + 1)
    doubt = doubt[: max(int((share <= SEEN * AT_MOST).sum()), 1)]
    risk = float(doubt.mean())
    even = _fewest(partial(_even, risk), 20, 5000)
    stratified, foreseen = MOST * even, 1.0
    for cut in CUTS:
        weights, risks = _strata(doubt, cut)
        spread = _spread(weights, risks)
        neyman = spread / spread.sum()
        foreseen = min(foreseen, float(spread.sum() ** 2 / (risk * (1.0 - risk))))
        for shares in (weights, neyman, (weights + neyman) / 2.0):
            power = partial(_power, weights, risks, shares)
            if power(stratified) >= POWER:
                stratified = _fewest(power, 20, stratified)
    return {
        "risk": risk,
        "even": even,
        "stratified": stratified,
        "ratio": stratified / even,
        "foreseen": foreseen,
    }


def _strata(doubt: np.ndarray, cut: float) -> tuple[np.ndarray, np.ndarray]:
    at = max(int(cut * len(doubt)), 1)
    parts = doubt[:at], doubt[at:]
    return np.array([len(p) / len(doubt) for p in parts]), np.array([p.mean() for p in parts])


def _spread(weights: np.ndarray, risks: np.ndarray) -> np.ndarray:
    """What Neyman's allocation is in proportion to."""
    return weights * np.sqrt(risks * (1.0 - risks))


def _fewest(power: Callable[[int], float], low: int, high: int) -> int:
    """The fewest labels with enough power, about, where ``high`` have it."""
    while high - low > 1 + low // 50:
        middle = (low + high) // 2
        low, high = (low, middle) if power(middle) >= POWER else (middle, high)
    return high


def _even(risk: float, n: int) -> float:
    wrong = np.arange(n + 1)
    passed = binom.cdf(wrong, n, AT_MOST) <= DELTA
    return float(binom.pmf(wrong, n, risk)[passed].sum())


def _power(weights: np.ndarray, risks: np.ndarray, shares: np.ndarray, n: int) -> float:
    sizes = np.maximum(np.round(n * shares).astype(int), 5)
    estimate = np.add.outer(
        *(w * np.arange(m + 1) / m for w, m in zip(weights, sizes, strict=True))
    )
    order = np.argsort(estimate, axis=None, kind="stable")
    ties = np.searchsorted(estimate.ravel()[order], estimate.ravel()[order] + 1e-12) - 1
    first = np.linspace(0.0, min(1.0, AT_MOST / weights[0]), NUISANCE)
    worst = np.zeros(len(order))
    for low, high in pairwise(first):
        # Of all pairs between two steps none makes so few mistakes more likely than this corner.
        other = min(max((AT_MOST - weights[0] * high) / weights[1], 0.0), 1.0)
        worst = np.maximum(worst, _mass(sizes, (low, other))[order].cumsum()[ties])
    return float(_mass(sizes, tuple(risks))[order][worst <= DELTA].sum())


def _mass(sizes: np.ndarray, risks: tuple[float, ...]) -> np.ndarray:
    one, two = (binom.pmf(np.arange(m + 1), m, r) for m, r in zip(sizes, risks, strict=True))
    return np.outer(one, two).ravel()
