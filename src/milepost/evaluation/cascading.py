"""Whether a cascade kept its promise on rows that are judged."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from milepost.entities.cascade import (
    PERSON,
    TRUTH,
    CascadeScore,
    Promise,
    PromiseOutcome,
    RungShare,
)
from milepost.entities.estimate import Estimate
from milepost.metrics.inference.bounded import Draws
from milepost.metrics.inference.intervals import clopper_pearson, proportion
from milepost.metrics.risk.costs import Costs
from milepost.metrics.risk.testing import broken_evidence
from milepost.metrics.scoring.deciding import is_right

Labels = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Given:
    """Answers before the last rung and what they should have been.

    Attributes:
        answers: ``(n,) int64`` answered labels.
        actual: ``(n,) int64`` actual ones; -1 for a label that the task does not know.
    """

    answers: Labels
    actual: Labels

    @property
    def wrong(self) -> int:
        """How many are wrong."""
        return int((self.answers != self.actual).sum())

    def costs(self, promise: Promise) -> NDArray[np.float64] | None:
        """What each costs, ``(n,)``; ``None`` where no cost is promised."""
        if promise.cost is None:
            return None
        return Costs(np.array(promise.cost.costs)).of(self.actual, self.answers)

    def evidence(self, promise: Promise) -> float:
        """How much they speak against the promise, in the order in which they stand: an e-value."""
        if promise.cost is not None:
            table = Costs(np.array(promise.cost.costs))
            losses = table.scaled(table.of(self.actual, self.answers))
            return broken_evidence(losses, float(table.scaled(promise.cost.at_most)))
        return broken_evidence(self.answers != self.actual, promise.at_most_wrong or 0.0)

    def within(self, promise: Promise) -> bool:
        """Whether no more is wrong, or costs more, than promised, as measured."""
        costs = self.costs(promise)
        if costs is not None and promise.cost is not None:
            return not len(costs) or float(costs.mean()) <= promise.cost.at_most
        return self.wrong <= (promise.at_most_wrong or 0.0) * len(self.answers)

    def mean_cost(self, promise: Promise, confidence: float) -> Estimate | None:
        """Their mean cost and its interval; ``None`` where none is promised, or without answers."""
        costs = self.costs(promise)
        if costs is None or promise.cost is None or not len(costs):
            return None
        table = Costs(np.array(promise.cost.costs))
        draws = Draws.of(costs, table.least, table.least + table.span)
        tails = np.array([(1.0 - confidence) / 2.0, 1.0 - confidence])
        low, high = draws.bounds(tails)
        return Estimate(
            value=draws.mean,
            low=float(low[0]),
            high=float(high[0]),
            n=len(costs),
            method="bounded_mean",
            at_least=float(low[1]),
            at_most=float(high[1]),
        )


def cascade_score(
    promise: Promise,
    rungs: Labels | None,
    given: Given,
    confidence: float,
) -> CascadeScore:
    """A promise, held against rows that nothing of the cascade saw.

    Args:
        promise: What is promised.
        rungs: ``(n,) int64``, which rung answered each row; ``None`` where no rows were held out:
            then the rows that certified the promise are all that there is.
        given: The ``n`` answers; not looked at without ``rungs``.
        confidence: Of the intervals.
    """
    if rungs is None:
        return _certified_only(promise, confidence)
    names = [rung.name for rung in promise.rungs]
    right, last = is_right(given.answers, given.actual), len(names) - 1
    shares = tuple(
        RungShare(name=name, answered=int((rungs == at).sum()), right=int(right[rungs == at].sum()))
        for at, name in enumerate(names)
        if at < last or name != PERSON
    )
    n, here = len(rungs), rungs < last
    before = Given(given.answers[here], given.actual[here])
    answered = len(before.answers)
    risk = proportion(before.wrong, answered, confidence) if answered else None
    cost, outcome = before.mean_cost(promise, confidence), promise_outcome(promise, before)
    return CascadeScore(
        promise=promise,
        rungs=shares,
        n=n,
        answered=proportion(answered, n, confidence) if n else None,
        wrong=risk,
        cost=cost,
        outcome=outcome,
        sentence=_sentence(promise, n, before, (risk, cost), outcome),
    )


def _certified_only(promise: Promise, confidence: float) -> CascadeScore:
    """What the certifying rows said, where there are no others."""
    shares = tuple(
        RungShare(name=rung.name, answered=rung.answered, right=rung.answered - rung.wrong)
        for rung in promise.rungs
        if rung.wrong is not None
    )
    answered = promise.answered
    cost = f", at a mean cost of {promise.cost.mean:.3g}" if promise.cost is not None else ""
    return CascadeScore(
        promise=promise,
        rungs=shares,
        n=promise.labels,
        held_out=False,
        answered=proportion(answered, promise.labels, confidence) if promise.labels else None,
        wrong=proportion(promise.wrong, answered, confidence) if answered else None,
        outcome="kept",
        sentence=(
            f"{promised(promise)}: certified on {promise.labels:,} labels, of which {answered:,} "
            f"were answered and {promise.wrong:,} of those wrong{cost}. No examples are left to "
            "hold it against."
        ),
    )


def promise_outcome(promise: Promise, given: Given) -> PromiseOutcome:
    """Whether answers before the last rung keep, or break, a promise.

    Mistakes are counted exactly; costs are held against it by a bet.
    """
    if given.within(promise):
        return "kept"
    if promise.cost is not None:
        broken = given.evidence(promise) >= 1.0 / (1.0 - promise.confidence)
        return "broken" if broken else "open"
    low, _ = clopper_pearson(given.wrong, len(given.answers), 1.0 - promise.confidence)
    return "broken" if low > (promise.at_most_wrong or 0.0) else "open"


def promised(promise: Promise) -> str:
    """What is promised, as a sentence without its end."""
    last = promise.rungs[-1].name
    before = "a person" if last == PERSON else f"`{last}`"
    sure = f"with {100 * promise.confidence:g} % confidence"
    told = f"Of what is answered before {before} {claimed(promise)}, {sure}"
    limits = [
        f"a thousand answers cost at most {promise.most_usd_per_1k:g} USD"
        if promise.most_usd_per_1k is not None
        else "",
        f"95 % of the inputs climb no further than {promise.most_p95_ms:g} ms allow"
        if promise.most_p95_ms is not None
        else "",
    ]
    return "; ".join([told, *(each for each in limits if each)])


def claimed(promise: Promise) -> str:
    """What the answers before the last rung keep to, by whose labels."""
    against = promise.against
    if promise.cost is not None:
        by = "" if against == TRUTH else f", if what {against} says is right"
        return f"an answer costs at most {promise.cost.at_most:g} on average{by}"
    wrong = "is wrong" if against == TRUTH else f"differs from what {against} says"
    return f"at most {100 * (promise.at_most_wrong or 0.0):g} % {wrong}"


def _sentence(
    promise: Promise,
    n: int,
    given: Given,
    found: tuple[Estimate | None, Estimate | None],
    outcome: PromiseOutcome,
) -> str:
    certified = f"{promised(promise)}: certified on {promise.labels:,} labels"
    risk, cost = found
    if risk is None:
        return f"{certified}. Of {n:,} others none was answered before the last rung."
    said = {
        "kept": "as promised",
        "open": "more than promised, by no more than chance",
        "broken": "more than promised, and not by chance",
    }[outcome]
    told = (
        f"{given.wrong:,} of those wrong ({100 * risk.value:.1f} %, {100 * risk.low:.1f} to "
        f"{100 * risk.high:.1f})"
    )
    if cost is not None:
        told += f", at a mean cost of {cost.value:.3g} ({cost.low:.3g} to {cost.high:.3g})"
    return f"{certified}. On {n:,} others {len(given.answers):,} were answered and {told}: {said}."
