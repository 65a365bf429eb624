"""Membership inference on real sets: what the attack finds, and that it finds nothing in the null.

Sixteen predictors are fitted to random halves of each set, by each strategy, and attacked as the
examination does. Beside it: `loss`, the simple attack of Yeom et al. (2018), which takes what is
answered surely for a member; `label_only`, the same attack on whether the answer is right, all that
a service tells that gives no confidence; and two nulls, which must read 1 %: `unseen`, where each
target was fitted to other rows and whose "members" are drawn by lot, and `shuffled`, where the
memberships of real attacks are. Nulls are means over `LOTS` lots. `coverage` says how often the
interval holds the rate of unlimited rows, in simulation, and so how many rows are needed.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.common import Options
from bench.vectors import Held, Texts, load, problem

SETS = ("banking77", "clinc150", "hwu64", "trec", "emotion", "sst2", "sms_spam", "snips")
ROWS, SHADOWS, LOTS, LEVEL, CONFIDENCE = 600, 16, 20, 0.01, 0.95
REPEATS, LIMIT_ROWS = 1000, 20_000
Attacked = tuple[NDArray[np.float64], NDArray[np.bool_]]
"""Scores and memberships, both ``(s, n)``."""

SHIFTS = ("none", "even", "exponential", "few")


def run(options: Options) -> dict[str, object]:
    """Rates by set and strategy, milder settings on one set, and coverage of the interval."""
    from milepost.strategies.head_logistic import HeadLogistic

    names = options.only or (SETS[3:4] if options.quick else SETS)
    table: dict[str, dict[str, Any]] = {}
    for name in names:
        whole = load(name)
        for strategy in _strategies():
            table[f"{name} {strategy.name}"] = row = _measured(whole, strategy)
            _show(f"{name} {strategy.name}", row)
    whole = load(names[0])
    milder: dict[str, dict[str, Any]] = {}
    for rows in (ROWS,) if options.quick else (ROWS, 2400):
        for c in (10.0, 1.0, 0.1):
            key = f"{rows} rows, c {c:g}"
            milder[key] = _measured(whole, HeadLogistic(c=c), rows, nulls=False)
            _show(key, milder[key])
    coverage = _coverage(50 if options.quick else REPEATS)
    nulls = {
        null: {
            part: [
                float(f([row[null][part] for row in table.values()])) for f in (min, np.mean, max)
            ]
            for part in ("value", "held")
        }
        for null in ("unseen", "shuffled")
    }
    print(nulls)
    return {
        "rows": ROWS,
        "shadows": SHADOWS,
        "lots": LOTS,
        "table": table,
        "nulls_min_mean_max": nulls,
        "milder": {"set": names[0], "head_logistic": milder},
        "coverage": coverage,
    }


def _strategies() -> list[Any]:
    from milepost.strategies.head_closed_form import HeadClosedForm
    from milepost.strategies.head_logistic import HeadLogistic
    from milepost.strategies.neighbours import Neighbours
    from milepost.strategies.tfidf_linear import TfidfLinear

    return [HeadClosedForm(), HeadLogistic(), Neighbours(), TfidfLinear()]


def _measured(whole: Texts, strategy: Any, most: int = ROWS, *, nulls: bool = True):
    """Rates of one strategy on the first rows of a set; the next ones are the unseen null's."""
    from milepost.contests.runner import predict
    from milepost.evaluation.examination.privacy import draw_members
    from milepost.metrics.auditing.membership import (
        likelihood_ratios,
        logit_confidence,
        rate_estimate,
    )

    n = min(most, len(whole.y) // 2 if nulls else len(whole.y))
    rows, other = np.arange(n), np.arange(n, min(2 * n, len(whole.y)))
    encoder, y = Held(whole), whole.y[:n]
    texts = [whole.texts[i] for i in rows.tolist()]
    _, groups = np.unique(np.asarray(whole.groups[:n]), return_inverse=True)
    members = draw_members(groups, SHADOWS, 0)

    def answers(fitted_on: NDArray[np.int64]) -> NDArray[np.float32]:
        fitted = strategy.fit(problem(whole, fitted_on, whole.y[fitted_on], encoder))
        return predict(fitted, texts, encoder)

    answered = np.stack([answers(rows[inside]) for inside in members])
    confidences = np.stack([logit_confidence(each, y) for each in answered])
    right = answered.argmax(axis=2) == y

    def rate(scores: NDArray[np.float64]) -> dict[str, float]:
        found = rate_estimate(scores, members, groups, LEVEL, CONFIDENCE)
        return {"value": found.value, "low": found.low, "high": found.high}

    row: dict[str, Any] = {
        "groups": int(groups.max()) + 1,
        "labels": len(whole.labels),
        "accuracy": float(right[~members].mean()),
        "attack": rate(likelihood_ratios(confidences, members).scores),
        "loss": rate(confidences),
        "label_only": rate(likelihood_ratios(right.astype(float), members).scores),
    }
    if nulls:
        others = draw_members(np.arange(len(other)), SHADOWS, 1)
        unseen = np.stack([logit_confidence(answers(other[half]), y) for half in others])
        row["unseen"] = _unseen(confidences, members, unseen, groups)
        row["shuffled"] = _shuffled(confidences, groups)
    return row


def _unseen(
    confidences: NDArray[np.float64],
    members: NDArray[np.bool_],
    unseen: NDArray[np.float64],
    groups: NDArray[np.int64],
) -> dict[str, float]:
    """Rate against targets that saw none of the rows, with shadows that saw theirs."""
    from milepost.evaluation.examination.privacy import draw_members
    from milepost.metrics.auditing.membership import likelihood_ratios

    attacks: list[Attacked] = []
    for lot in range(LOTS):
        drawn = draw_members(groups, SHADOWS, 100 + lot)
        scores = [
            likelihood_ratios(np.vstack([target, confidences]), np.vstack([lots, members])).scores[
                0
            ]
            for target, lots in zip(unseen, drawn, strict=True)
        ]
        attacks.append((np.stack(scores), drawn))
    return _null(attacks, groups)


def _shuffled(confidences: NDArray[np.float64], groups: NDArray[np.int64]) -> dict[str, float]:
    """Rate of the whole attack with memberships that are drawn after the fits."""
    from milepost.evaluation.examination.privacy import draw_members
    from milepost.metrics.auditing.membership import likelihood_ratios

    drawn = [draw_members(groups, SHADOWS, 200 + lot) for lot in range(LOTS)]
    return _null([(likelihood_ratios(confidences, each).scores, each) for each in drawn], groups)


def _null(attacks: list[Attacked], groups: NDArray[np.int64]) -> dict[str, float]:
    """Mean rate, and the share of attacks whose interval holds the rate of guessing."""
    from milepost.metrics.auditing.membership import rate_estimate

    found = [rate_estimate(s, m, groups, LEVEL, CONFIDENCE) for s, m in attacks]
    held = float(np.mean([each.low <= LEVEL <= each.high for each in found]))
    return {"value": float(np.mean([each.value for each in found])), "held": held}


def _coverage(repeats: int) -> dict[str, dict[str, float]]:
    """How often the interval holds the rate of ``LIMIT_ROWS`` rows, by kind of shift and size."""
    from milepost.metrics.auditing.membership import (
        likelihood_ratios,
        rate_estimate,
        true_positive_rate,
    )

    found: dict[str, dict[str, float]] = {}
    for shift in SHIFTS:
        for shadows in (6, 16):
            rng = np.random.default_rng(1)
            drawn = (_simulated(rng, LIMIT_ROWS, shadows, shift) for _ in range(5))
            limit = np.mean(
                [true_positive_rate(likelihood_ratios(c, m).scores, m, LEVEL) for c, m in drawn]
            )
            for n in (40, 100, 300, 1000):
                results: list[tuple[float, bool, float]] = []
                for _ in range(repeats):
                    confidences, members = _simulated(rng, n, shadows, shift)
                    scores = likelihood_ratios(confidences, members).scores
                    each = rate_estimate(scores, members, np.arange(n), LEVEL, CONFIDENCE)
                    covered = bool(each.low <= limit <= each.high)
                    results.append((each.value, covered, each.high - each.low))
                mean, covered, width = (float(v) for v in np.mean(results, axis=0))
                key = f"{shift}, {shadows} predictors, {n} rows"
                found[key] = {
                    "limit": float(limit),
                    "mean": mean,
                    "covered": covered,
                    "width": width,
                }
                _show(key, found[key])
    return found


def _simulated(rng: np.random.Generator, n: int, shadows: int, shift: str):
    """Normal confidences of ``n`` rows that rise by some deviations where a row was fitted to."""
    rises = {
        "none": np.zeros(n),
        "even": np.full(n, 2.0),
        "exponential": rng.exponential(1.5, n),
        "few": np.where(rng.random(n) < 0.1, 6.0, 0.3),
    }
    members = rng.random((shadows, n)) < 0.5
    noise = rng.normal(0.0, 3.0, n) + rng.normal(0.0, 1.0, (shadows, n))
    return noise + rises[shift] * members, members


def _show(name: str, row: dict[str, Any]) -> None:
    parts = [f"{k} {v['value'] if isinstance(v, dict) else v:.3f}" for k, v in row.items()]
    print(f"{name:<34}{' '.join(parts)}", flush=True)
