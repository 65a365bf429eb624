"""Which thresholds keep what is to be promised, and why none does where none does."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from milepost.entities.prompts import CascadeRule
from milepost.metrics.risk.cascading import (
    Limit,
    Tally,
    affordable,
    certified,
    fast_enough,
    path,
    rows_needed,
    start,
    tally,
)
from milepost.metrics.risk.costs import Costs
from milepost.metrics.risk.testing import fewest_labels, rows_for_betting
from milepost.strategies.cascading.rungs import CERTIFIED_BY, Parts, Rung, ladder_of
from milepost.strategy import Contender, DeclinedError, Problem

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Chain:
    """Rungs before the last one, and where certifying begins.

    Attributes:
        rungs: The rungs, cheapest first.
        thresholds: The path that is tested.
        begin: Index of the threshold to begin with.
        seen: What the first part says of each threshold.
        cost: What an answer costs at the threshold that the first part would certify.
    """

    rungs: tuple[Rung, ...]
    thresholds: Array
    begin: int
    seen: Tally
    cost: float


def limit_of(problem: Problem) -> Limit:
    """What is to be certified, as a mean of losses between 0 and 1."""
    rule = problem.cascade
    if rule.at_most_cost is None or problem.costs is None:
        return Limit(rule.at_most_wrong, rule.shown_by)
    return Limit(float(Costs(problem.costs).scaled(rule.at_most_cost)), rule.shown_by)


def check_labels(problem: Problem, parts: Parts) -> None:
    """Refuse what cannot be promised on so few labels, whatever they say.

    Raises:
        DeclinedError: With about how many it takes.
    """
    rule, have = problem.cascade, len(parts.certifying)
    limit = limit_of(problem)
    fewest = fewest_labels(limit.at_most, rule.confidence)
    if limit.bound == "betting":
        fewest = math.ceil(rows_for_betting(np.zeros(1), limit.at_most, 1.0 - rule.confidence))
    if have < fewest:
        raise DeclinedError(
            f"{promised(rule)} cannot be promised on {have:,} examples: that takes {fewest:,} "
            f"without a mistake, besides those that the rungs are fitted on. Label about "
            f"{_round(fewest / CERTIFIED_BY)} examples in all, or allow more mistakes "
            f"(`cascade.{'at_most_wrong' if rule.at_most_cost is None else 'at_most_cost'}`)."
        )


def chain_of(
    problem: Problem, parts: Parts, rungs: tuple[Rung, ...], last: Contender | None
) -> Chain:
    """Its path and beginning, and its cost at the threshold that the first part would certify.

    Where it would certify none the cost is that of asking all rungs, and more the less sure it
    is, so that the surest of such chains is tried.
    """
    ladder, limit = ladder_of(problem, parts.fitting, rungs), limit_of(problem)
    thresholds = path(ladder.confidence)
    seen = tally(ladder, thresholds)
    begin = start(seen, limit, len(parts.certifying))
    costs = costs_of([each.contender for each in rungs], last)
    at = certified(seen, limit, 1.0 - problem.cascade.confidence, begin)
    if at is None:
        p = limit.p_values(seen)[begin]
        return Chain(rungs, thresholds, begin, seen, float(costs.sum() * (1.0 + p)))
    return Chain(rungs, thresholds, begin, seen, float(seen.reached[at] @ costs / ladder.rows))


def costs_of(rungs: Sequence[Contender], last: Contender | None) -> Array:
    """What asking each rung costs, in micro-USD per thousand.

    People have no price here: they cost so much more than anything else that as few inputs as
    possible reach them.
    """
    own = [each.micro_usd_per_1k for each in rungs]
    end = 1e9 + 1e6 * sum(own) if last is None else last.micro_usd_per_1k
    return np.array([*own, end], np.float64)


def certified_at(problem: Problem, found: Tally, chain: Chain, last: Contender | None) -> int:
    """The threshold that keeps all that is to be promised.

    With limits on cost or time the error is shared out among the statements, and the strictest
    threshold that keeps them all is taken: what may be spent is spent on being right.

    Raises:
        DeclinedError: If there is none; with what it would take.
    """
    rule = problem.cascade
    contenders = [each.contender for each in chain.rungs]
    capped = rule.max_cost_per_1k_usd is not None and last is not None
    timed = rule.max_p95_ms is not None and last is not None
    delta = (1.0 - rule.confidence) / (1 + capped + timed)
    safe = certified(found, limit_of(problem), delta, chain.begin)
    if safe is None:
        raise DeclinedError(_refusal(problem, found, chain, delta))
    strictest = 0
    if capped and rule.max_cost_per_1k_usd is not None:
        limit = rule.max_cost_per_1k_usd * 1e6
        within = affordable(found, costs_of(contenders, last), limit, delta)
        if within is None or within > safe:
            raise DeclinedError(
                f"{promised(rule)} is not shown to cost at most "
                f"{rule.max_cost_per_1k_usd:g} USD per 1,000 answers: too many inputs climb."
            )
        strictest = max(strictest, within)
    if timed and rule.max_p95_ms is not None and last is not None:
        times = np.cumsum([each.p50_ms for each in [*contenders, last]])
        slow_from = int(np.searchsorted(times, rule.max_p95_ms, side="right"))
        quick = fast_enough(found, slow_from, delta)
        if quick is None or quick > safe:
            raise DeclinedError(
                f"{promised(rule)} is not shown to take at most {rule.max_p95_ms:g} ms for 95 % "
                "of the inputs: too many climb to a slower rung."
            )
        strictest = max(strictest, quick)
    return max(strictest, chain.begin) if capped or timed else safe


def _refusal(problem: Problem, found: Tally, chain: Chain, delta: float) -> str:
    rule, limit = problem.cascade, limit_of(problem)
    best = int(limit.p_values(found).argmin())
    seen = f"{found.wrong[best]:,} of {found.answered[best]:,} answers were wrong"
    if rule.at_most_cost is not None and problem.costs is not None and len(found.losses[best]):
        costs = Costs(problem.costs)
        mean = costs.least + costs.span * float(found.losses[best].mean())
        seen = f"{found.answered[best]:,} answers cost {mean:.3g} on average"
    told = (
        f"{promised(rule)} is not shown on the {found.rows:,} examples that could certify it: "
        f"nearest, {seen}."
    )
    rows = rows_needed(chain.seen, limit, delta)
    if rows is None or rows <= found.rows:
        return f"{told} The rungs before the last one are not right often enough."
    labels = _round(rows * len(problem.texts) / found.rows)
    return f"{told} About {labels} labelled examples would show it."


def promised(rule: CascadeRule) -> str:
    """What is to be promised, as the beginning of a sentence."""
    sure = f"with {rule.confidence * 100:g} % confidence"
    if rule.at_most_cost is not None:
        return f"A mean cost of at most {rule.at_most_cost:g} {sure}"
    return f"At most {rule.at_most_wrong * 100:g} % wrong {sure}"


def _round(rows: float) -> str:
    step = 10 ** max(len(str(int(rows))) - 2, 0)
    return f"{int(-(-rows // step) * step):,}"
