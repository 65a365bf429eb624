"""A comparison of two releases that is looked at after every result: errors, coverage and power.

Each repeat is a stream of results, each drawn for the canary with a fixed share, else for
production; ``milepost ab`` would be asked after every one of them. ``ever_rejects``: the interval
excluded a difference of 0 at any look. ``ever_misses``: it missed the true difference at any look.
Beside it stand Welch's t test at the end of the same stream, which may be looked at once, and the
same test looked at after every hundredth result until it says yes.
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from bench.common import Options

ALPHA = 0.05
REPEATS = 2000
LOOK_EVERY = 100

Draw = Callable[[np.random.Generator, int, NDArray[np.bool_]], NDArray[np.float64]]


def binary(production: float, canary: float) -> Draw:
    """Right or wrong, each with its probability."""
    return lambda rng, n, arm: (rng.random(n) < np.where(arm, canary, production)).astype(float)


def ratings(production: float, canary: float) -> Draw:
    """Ratings of 0, 1/4 ... 1: the mean of four that are right or wrong."""
    return lambda rng, n, arm: rng.binomial(4, np.where(arm, canary, production)) / 4.0


def drifting(start: float, end: float) -> Draw:
    """Both arms get worse together, from one probability to the other."""
    return lambda rng, n, arm: (rng.random(n) < np.linspace(start, end, n)).astype(float)


CASES: dict[str, tuple[Draw, float, float, int]] = {
    "no difference, 80 %, share 0.1": (binary(0.8, 0.8), 0.0, 0.1, 4000),
    "no difference, 80 %, share 0.5": (binary(0.8, 0.8), 0.0, 0.5, 4000),
    "no difference, 97 %, share 0.1": (binary(0.97, 0.97), 0.0, 0.1, 4000),
    "no difference, ratings, share 0.3": (ratings(0.7, 0.7), 0.0, 0.3, 4000),
    "no difference, both fall from 95 to 60 %": (drifting(0.95, 0.6), 0.0, 0.2, 4000),
    "80 % to 85 %, share 0.5": (binary(0.8, 0.85), 0.05, 0.5, 4000),
    "80 % to 90 %, share 0.1": (binary(0.8, 0.9), 0.1, 0.1, 4000),
    "80 % to 90 %, share 0.5": (binary(0.8, 0.9), 0.1, 0.5, 4000),
    "90 % to 80 %, share 0.1": (binary(0.9, 0.8), -0.1, 0.1, 4000),
    "97 % to 90 %, share 0.1": (binary(0.97, 0.9), -0.07, 0.1, 4000),
    "ratings 70 % to 75 %, share 0.3": (ratings(0.7, 0.75), 0.05, 0.3, 4000),
}
"""Draw, true difference, share of the canary, results."""


def run(options: Options) -> dict[str, object]:
    """All cases, a fiftieth of the repeats when quick."""
    repeats = REPEATS // 50 if options.quick else REPEATS
    rows: list[dict[str, object]] = []
    for at, (name, (draw, difference, share, results)) in enumerate(CASES.items()):
        row = case(draw, difference, share, results, np.random.SeedSequence((5, at)), repeats)
        rows.append({"case": name, "repeats": repeats, "results": results, **row})
        print(" ".join(f"{key}={value}" for key, value in rows[-1].items()))
    return {"alpha": ALPHA, "rows": rows}


def case(
    draw: Draw,
    difference: float,
    share: float,
    results: int,
    seed: np.random.SeedSequence,
    repeats: int,
) -> dict[str, object]:
    """Rates over the repeats of one case, and when the sequence decided."""
    from milepost.metrics.inference.sequential import bets, block_differences, log_capital

    truth = np.array([0.5, (1.0 + difference) / 2.0])
    bar = math.log(1.0 / ALPHA)
    ever = missed = fixed = peeked = 0
    decided: list[int] = []
    for child in seed.spawn(repeats):
        rng = np.random.default_rng(child)
        arm = rng.random(results) < share
        values = draw(rng, results, arm)
        d = block_differences(values.tolist(), arm.tolist())
        x = (1.0 + d) / 2.0
        up, down = log_capital(x, bets(x, ALPHA), truth)
        capital = np.logaddexp(up.cumsum(axis=0), down.cumsum(axis=0)) - math.log(2.0)
        crossed = capital.max(axis=0) >= bar
        ever, missed = ever + bool(crossed[0]), missed + bool(crossed[1])
        if crossed[0]:
            block = int(np.argmax(capital[:, 0] >= bar))
            decided.append(ends(arm)[block])
        looks = [welch(values[:n], arm[:n]) for n in range(LOOK_EVERY, results + 1, LOOK_EVERY)]
        fixed += looks[-1] < ALPHA
        peeked += min(looks) < ALPHA
    half = int(np.median(decided)) if 2 * len(decided) >= repeats else None
    return {
        "ever_rejects": ever / repeats,
        "ever_misses": missed / repeats,
        "median_results_until_decided": half,
        "t_test_once_at_the_end": fixed / repeats,
        "t_test_at_every_hundredth": peeked / repeats,
    }


def ends(arm: NDArray[np.bool_]) -> list[int]:
    """After how many results each block ends."""
    found: list[int] = []
    seen: set[bool] = set()
    for at, each in enumerate(arm.tolist(), start=1):
        seen.add(each)
        if len(seen) == 2:
            found.append(at)
            seen.clear()
    return found


def welch(values: NDArray[np.float64], arm: NDArray[np.bool_]) -> float:
    """Two-sided p value of Welch's test; 1 where an arm has fewer than two results."""
    a, b = values[arm], values[~arm]
    if len(a) < 2 or len(b) < 2:
        return 1.0
    spread = a.var(ddof=1) / len(a) + b.var(ddof=1) / len(b)
    if spread == 0.0:
        return 1.0 if a.mean() == b.mean() else 0.0
    # With hundreds of results the t distribution is the normal one.
    return math.erfc(abs(a.mean() - b.mean()) / math.sqrt(2.0 * spread))
