"""The predictor of a certified chain, the promise that it carries, and its honest answers."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from milepost.entities.cascade import PERSON, TRUTH, Promise, PromisedCost, PromisedRung
from milepost.metrics.risk.cascading import Ladder, Tally
from milepost.metrics.risk.costs import Costs
from milepost.metrics.scoring.deciding import decided
from milepost.predictors.cascade import CascadePredictor, cascade_of
from milepost.strategies.cascading.certifying import Chain
from milepost.strategies.cascading.rungs import Parts, ladder_of
from milepost.strategy import Contender, Problem


@dataclass(frozen=True, slots=True, eq=False)
class Settled:
    """A chain whose threshold is certified.

    Attributes:
        chain: Its rungs.
        last: The last rung; ``None`` for people.
        found: What the certifying rows say of each threshold.
        at: Index of the threshold that was certified.
    """

    chain: Chain
    last: Contender | None
    found: Tally
    at: int

    @property
    def threshold(self) -> float:
        """The threshold."""
        return float(self.found.thresholds[self.at])


def predictor_of(problem: Problem, parts: Parts, settled: Settled) -> CascadePredictor:
    """What is shipped: what was certified."""
    rungs, last = [each.contender for each in settled.chain.rungs], settled.last
    everyone = rungs if last is None else [*rungs, last]
    predictors = tuple(each.predictor for each in everyone)
    names = tuple(each.strategy for each in everyone)
    return cascade_of(predictors)(
        labels=problem.labels,
        rungs=predictors,
        names=names if last is not None else (*names, PERSON),
        threshold=settled.threshold,
        promise=_promise(problem, parts, settled),
    )


def _promise(problem: Problem, parts: Parts, settled: Settled) -> Promise:
    rule, found, at, last = problem.cascade, settled.found, settled.at, settled.last
    ladder = ladder_of(problem, parts.certifying, settled.chain.rungs)
    rungs = _rungs(ladder, settled)
    costs = np.array([each.usd_per_1k for each in rungs])
    cost = _cost(problem, settled)
    return Promise(
        at_most_wrong=rule.at_most_wrong if cost is None else None,
        cost=cost,
        confidence=rule.confidence,
        threshold=settled.threshold,
        against=rule.labels_by or TRUTH,
        labels=ladder.rows,
        fitted=len(parts.fitting),
        answered=int(found.answered[at]),
        wrong=int(found.wrong[at]),
        rungs=rungs,
        usd_per_1k=float(found.reached[at] @ costs / ladder.rows),
        last_usd_per_1k=None if last is None else last.micro_usd_per_1k / 1e6,
        most_usd_per_1k=rule.max_cost_per_1k_usd if last is not None else None,
        most_p95_ms=rule.max_p95_ms if last is not None else None,
        method=_method(problem, settled.chain),
    )


def _rungs(ladder: Ladder, settled: Settled) -> tuple[PromisedRung, ...]:
    """What each rung did on the certifying rows."""
    rung, rows, last = ladder.rungs(settled.threshold), np.arange(ladder.rows), settled.last
    told = [
        PromisedRung(
            name=each.contender.strategy,
            answered=int((rung == r).sum()),
            wrong=int((~ladder.right[r, rows[rung == r]]).sum()),
            usd_per_1k=each.contender.micro_usd_per_1k / 1e6,
            p50_ms=each.contender.p50_ms,
        )
        for r, each in enumerate(settled.chain.rungs)
    ]
    end = PromisedRung(
        name=PERSON if last is None else last.strategy,
        answered=int((rung == len(told)).sum()),
        wrong=None,
        usd_per_1k=0.0 if last is None else last.micro_usd_per_1k / 1e6,
        p50_ms=0.0 if last is None else last.p50_ms,
    )
    return (*told, end)


def _cost(problem: Problem, settled: Settled) -> PromisedCost | None:
    limit = problem.cascade.at_most_cost
    if limit is None or problem.costs is None:
        return None
    costs = Costs(problem.costs)
    losses = settled.found.losses[settled.at]
    return PromisedCost(
        at_most=limit,
        mean=costs.least + costs.span * float(losses.mean()),
        costs=tuple(tuple(row) for row in problem.costs.tolist()),
    )


def _method(problem: Problem, chain: Chain) -> str:
    test = "exact binomial tests" if problem.cascade.shown_by == "binomial" else "betting"
    told = (
        f"Learn then Test: {test} in a fixed sequence, on examples that neither the rungs nor the "
        "choice of them saw"
    )
    asked = [c.contender.strategy for c in chain.rungs if c.contender.refit is None]
    if not asked:
        return told
    return f"{told}; the answers of {', '.join(asked)} to them are out of fold"


def answers_of(predictor: CascadePredictor, settled: Settled, n: int) -> NDArray[np.float32]:
    """Honest answers of the cascade to all ``n`` rows, ``(n, k)``.

    To the first part those out of fold within it, to the second those of the rungs as they are.
    """
    k, last = len(predictor.labels), settled.last
    end = np.full((n, k), 1.0 / k, np.float32) if last is None else last.out_of_fold
    answers = np.array(end, np.float32)
    left = np.ones(n, np.bool_)
    for each in settled.chain.rungs:
        own = each.answers
        sure = left & (decided(own) >= 0)
        sure &= own.max(axis=1).astype(np.float64) >= predictor.threshold
        answers[sure] = own[sure]
        left &= ~sure
    return answers
