"""Whether a cascade kept its promise on rows that are judged."""

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
from milepost.metrics.inference.intervals import clopper_pearson, proportion


def cascade_score(
    promise: Promise,
    rungs: NDArray[np.int64] | None,
    right: NDArray[np.bool_],
    confidence: float,
) -> CascadeScore:
    """A promise, held against rows that nothing of the cascade saw.

    Args:
        promise: What is promised.
        rungs: ``(n,) int64``, which rung answered each row; ``None`` where no rows were held out:
            then the rows that certified the promise are all that there is.
        right: ``(n,) bool``, whether the answer is right; not looked at without ``rungs``.
        confidence: Of the intervals.
    """
    names = [rung.name for rung in promise.rungs]
    if rungs is None:
        shares = tuple(
            RungShare(name=rung.name, answered=rung.answered, right=rung.answered - rung.wrong)
            for rung in promise.rungs
            if rung.wrong is not None
        )
        n = promise.labels
    else:
        last = len(names) - 1
        shares = tuple(
            RungShare(
                name=name,
                answered=int((rungs == at).sum()),
                right=int(right[rungs == at].sum()),
            )
            for at, name in enumerate(names)
            if at < last or name != PERSON
        )
        n = len(rungs)
    before = [share for share in shares if share.name != names[-1]]
    answered = sum(share.answered for share in before)
    wrong = answered - sum(share.right for share in before)
    risk = proportion(wrong, answered, confidence) if answered else None
    outcome = promise_outcome(promise, wrong, answered)
    return CascadeScore(
        promise=promise,
        rungs=shares,
        n=n,
        answered=proportion(answered, n, confidence) if n else None,
        wrong=risk,
        outcome=outcome,
        sentence=_sentence(
            promise, n, (wrong, answered), risk if rungs is not None else None, outcome
        ),
    )


def promise_outcome(promise: Promise, wrong: int, answered: int) -> PromiseOutcome:
    """Whether so many mistakes among so many answers keep, or break, a promise."""
    if not answered or wrong <= promise.at_most_wrong * answered:
        return "kept"
    low, _ = clopper_pearson(wrong, answered, 1.0 - promise.confidence)
    return "broken" if low > promise.at_most_wrong else "open"


def promised(promise: Promise) -> str:
    """What is promised, as a sentence without its end."""
    last = promise.rungs[-1].name
    before = "a person" if last == PERSON else f"`{last}`"
    wrong = "is wrong" if promise.against == TRUTH else f"differs from what {promise.against} says"
    told = (
        f"Of what is answered before {before} at most {100 * promise.at_most_wrong:g} % {wrong}, "
        f"with {100 * promise.confidence:g} % confidence"
    )
    limits = [
        f"a thousand answers cost at most {promise.most_usd_per_1k:g} USD"
        if promise.most_usd_per_1k is not None
        else "",
        f"95 % of the inputs climb no further than {promise.most_p95_ms:g} ms allow"
        if promise.most_p95_ms is not None
        else "",
    ]
    return "; ".join([told, *(each for each in limits if each)])


def _sentence(
    promise: Promise,
    n: int,
    counts: tuple[int, int],
    risk: Estimate | None,
    outcome: PromiseOutcome,
) -> str:
    wrong, answered = counts
    certified = f"{promised(promise)}: certified on {promise.labels:,} labels"
    if risk is None:
        return (
            f"{certified}, of which {promise.answered:,} were answered and {promise.wrong:,} of "
            "those wrong. No examples are left to hold it against."
        )
    said = {
        "kept": "as promised",
        "open": "more than promised, by no more than chance",
        "broken": "more than promised, and not by chance",
    }[outcome]
    return (
        f"{certified}. On {n:,} others {answered:,} were answered and {wrong:,} of those wrong "
        f"({100 * risk.value:.1f} %, {100 * risk.low:.1f} to {100 * risk.high:.1f}): {said}."
    )
