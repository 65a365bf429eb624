"""Fifty looks at one holdout: how often something is released falsely, and what a look is worth.

Every candidate's true accuracy equals the floor (unless it says otherwise), so that each release is
a false one. The decision is that of the gate: the exact one-sided lower bound (Clopper & Pearson
1934) at the level of the look reaches the floor. Beside it the naive rule, 5 % at every look.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from bench.common import Options
from milepost.metrics.inference.spending import levels, margin

ALPHA = 0.05
LOOKS = 50
SIZES = ((400, 0.85), (100, 0.9), (1000, 0.8))
"""Rows of the holdout, and floor."""

REPEATS = 20_000
ROW_REPEATS = 2_000
"""Where every row is simulated."""

Chain = Callable[[np.random.Generator, int, int, float], NDArray[np.int64]]
"""Right answers ``(repeats, looks)`` of generator, repeats, rows and floor."""


def run(options: Options) -> dict[str, object]:
    """All studies; a fiftieth of the runs when quick."""
    part = 50 if options.quick else 1
    repeats, row_repeats = REPEATS // part, ROW_REPEATS // part
    studies = [
        _study(name, chain, n, floor, count)
        for name, chain, count in (
            ("independent candidates", independent, repeats),
            ("candidates that agree on most rows", dependent, row_repeats),
            ("what failed is changed a little", changed, repeats),
        )
        for n, floor in SIZES
    ]
    studies += [
        _study(f"hill-climbing on the shown score, {share:.0%} of the answers changed",
               _climbing(share), n, floor, row_repeats)
        for share in (0.05, 0.2, 0.5)
        for n, floor in SIZES[:1]
    ]  # fmt: skip
    attack = [_attack(n, row_repeats) for n in (400, 1000)]
    mixed = [_mixed(n, floor, repeats) for n, floor in SIZES]
    power = [_power(n, floor) for n, floor in SIZES]
    for study in studies:
        print(f"{study['what']}, {study['n']} rows, floor {study['floor']}: "
              f"{study['spending']:.4f} with spending, {study['naive']:.4f} without")  # fmt: skip
    for study in (*attack, *mixed, *power):
        print(study)
    return {"looks": LOOKS, "alpha": ALPHA, "peeking": studies, "good_candidates_among_them": mixed,
            "attack_from_the_answers": attack, "power": power}  # fmt: skip


def needed(n: int, floor: float, alpha: NDArray[np.float64]) -> NDArray[np.int64]:
    """Fewest right answers of ``n`` whose lower bound at each level reaches the floor.

    The bound reaches it exactly when so many right answers or more have probability at most
    ``alpha`` at a true accuracy equal to the floor.
    """
    from scipy.stats import binom

    tails = binom.sf(np.arange(n + 2) - 1, n, floor)
    return np.asarray([int(np.argmax(tails <= each)) for each in alpha], np.int64)


def independent(rng: np.random.Generator, repeats: int, n: int, floor: float) -> NDArray[np.int64]:
    """Candidates whose mistakes have nothing to do with each other."""
    return rng.binomial(n, floor, (repeats, LOOKS))


def dependent(rng: np.random.Generator, repeats: int, n: int, floor: float) -> NDArray[np.int64]:
    """Candidates that fail on the same hard rows: latent correlation 0.8 between any two."""
    from scipy.special import ndtr, ndtri

    shared = rng.standard_normal((repeats, n))
    chance = ndtr((ndtri(floor) - np.sqrt(0.8) * shared) / np.sqrt(0.2))
    right = np.empty((repeats, LOOKS), np.int64)
    for look in range(LOOKS):
        right[:, look] = (rng.random((repeats, n)) < chance).sum(axis=1)
    return right


def changed(rng: np.random.Generator, repeats: int, n: int, floor: float) -> NDArray[np.int64]:
    """Each candidate is the last one with a tenth of its answers anew; only verdicts are seen."""
    anew = n // 10
    right = np.empty((repeats, LOOKS), np.int64)
    right[:, 0] = rng.binomial(n, floor, repeats)
    for look in range(1, LOOKS):
        before = right[:, look - 1]
        lost = rng.hypergeometric(before, n - before, anew)
        right[:, look] = before - lost + rng.binomial(anew, floor, repeats)
    return right


def _climbing(share: float) -> Chain:
    """Each candidate is the best so far with some of its answers anew: the score is seen."""

    def chain(rng: np.random.Generator, repeats: int, n: int, floor: float) -> NDArray[np.int64]:
        anew = int(n * share)
        right = np.empty((repeats, LOOKS), np.int64)
        best = right[:, 0] = rng.binomial(n, floor, repeats)
        for look in range(1, LOOKS):
            lost = rng.hypergeometric(best, n - best, anew)
            right[:, look] = best - lost + rng.binomial(anew, floor, repeats)
            best = np.maximum(best, right[:, look])
        return right

    return chain


def _study(what: str, chain: Chain, n: int, floor: float, repeats: int) -> dict[str, object]:
    """Share of the repeats in which at least one of the looks releases."""
    right = chain(np.random.default_rng(0), repeats, n, floor)
    spent = np.asarray(levels(ALPHA, [False] * (LOOKS - 1)))
    paid = np.maximum.accumulate(right >= needed(n, floor, spent), axis=1).mean(axis=0)
    naive = np.maximum.accumulate(right >= needed(n, floor, np.full(LOOKS, ALPHA)), axis=1)
    return {
        "what": what, "n": n, "floor": floor, "repeats": repeats,
        "spending": float(paid[-1]), "naive": float(naive[:, -1].mean()),
        "spending_after": {str(looks): float(paid[looks - 1]) for looks in (1, 5, 10, 20, 50)},
    }  # fmt: skip


def _mixed(n: int, floor: float, repeats: int) -> dict[str, object]:
    """Every third candidate is five points better: its releases hand their error on."""
    rng = np.random.default_rng(1)
    good = rng.random((repeats, LOOKS)) < 1 / 3
    better = min(floor + 0.05, 0.99)
    right = rng.binomial(n, np.where(good, better, floor))
    spent = np.full(repeats, levels(ALPHA, [])[0])
    false_release = np.zeros(repeats, np.bool_)
    released = np.zeros(LOOKS)
    base = np.asarray(levels(ALPHA, [False] * (LOOKS - 1)))
    for look in range(LOOKS):
        passes = right[:, look] >= needed(n, floor, spent)
        false_release |= passes & ~good[:, look]
        released[look] = (passes & good[:, look]).sum() / max(1, good[:, look].sum())
        if look + 1 < LOOKS:
            spent = base[look + 1] + np.where(passes, spent, 0.0)
    return {
        "what": "a third of the candidates is five points better", "n": n, "floor": floor,
        "repeats": repeats, "any_false_release": float(false_release.mean()),
        "good_ones_released_at_first_look": float(released[0]),
        "good_ones_released_over_all_looks": float(released.mean()),
    }  # fmt: skip


def _attack(n: int, repeats: int) -> dict[str, object]:
    """Forty-nine coin-tossers, and at the last look the majority of those that did well.

    Two labels, floor one half: nobody has learned anything. The attacker reads every score.
    """
    rng = np.random.default_rng(2)
    spent = levels(ALPHA, [False] * (LOOKS - 1))
    bar, naive_bar = needed(n, 0.5, np.asarray([spent[-1], ALPHA]))
    hits = np.zeros(2)
    for _ in range(repeats):
        right = rng.random((LOOKS - 1, n)) < 0.5
        # One that did badly is turned round, so that it did well.
        turned = np.where(right.mean(axis=1) >= 0.5, 1, -1)[:, None] * np.where(right, 1, -1)
        score = int((turned.sum(axis=0) > 0).sum())
        hits += (score >= bar, score >= naive_bar)
    return {"what": "majority of those that did well", "n": n, "floor": 0.5, "repeats": repeats,
            "spending": float(hits[0] / repeats), "naive": float(hits[1] / repeats)}  # fmt: skip


def _power(n: int, floor: float) -> dict[str, object]:
    """Probability, exact, that a candidate so many points above the floor is released."""
    from scipy.stats import binom

    spent = np.asarray(levels(ALPHA, [False] * (LOOKS - 1)))
    bars = {
        "no_spending": ALPHA, "look_1": spent[0], "look_2_after_a_release": spent[0] + spent[1],
        "look_2": spent[1], "look_5": spent[4], "look_10": spent[9], "look_50": spent[49],
    }  # fmt: skip
    above = [points for points in (0.03, 0.05, 0.08) if floor + points < 1]
    return {
        "n": n, "floor": floor,
        "released": {
            name: {
                f"+{points:.2f}": float(binom.sf(needed(n, floor, np.asarray([level]))[0] - 1, n,
                                                 floor + points))
                for points in above
            }
            for name, level in bars.items()
        },
        "margin": {name: margin(ALPHA, float(level)) for name, level in bars.items()},
    }  # fmt: skip
