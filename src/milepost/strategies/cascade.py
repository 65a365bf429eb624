"""Predictors in order of cost, with a promise about what is answered before the last one.

The rows are parted once, by folds. On the first part the rungs are fitted, and chosen by answers
that are out of fold within it; the second part certifies the threshold. What is shipped is what was
certified: a rung that were fitted on everything afterwards would be another one, with confidences
of its own, and the promise would not be about it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from milepost.entities.cascade import PERSON, TRUTH, Promise, PromisedRung
from milepost.entities.prompts import CascadeRule
from milepost.metrics.risk.cascading import (
    Ladder,
    Tally,
    affordable,
    certified,
    fast_enough,
    path,
    rows_needed,
    start,
    tally,
)
from milepost.metrics.risk.testing import binomial_p, fewest_labels
from milepost.metrics.scoring.calibration import fit_temperature
from milepost.metrics.scoring.deciding import decided, is_right
from milepost.predictors.base import Batch, Predictor, softmax
from milepost.predictors.cascade import CascadePredictor, cascade_of
from milepost.strategies.problems import encode
from milepost.strategy import Contender, DeclinedError, Problem

CERTIFIED_BY = 0.4
"""Share of the folds whose rows certify; the rungs are fitted on the others."""

WORTH = 0.02
"""Share of the cost that a further rung must save to be taken in."""

TRIED = 6
"""Most predictors that rungs are chosen among: those that save most by themselves."""

_FLOOR = "majority"
_SMALLEST = 1e-30

Array = NDArray[np.float64]
Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class _Parts:
    """The two parts of the rows."""

    fitting: Rows
    certifying: Rows
    fold_of: Rows


@dataclass(frozen=True, slots=True, eq=False)
class _Candidate:
    """What could be a rung, with its honest answers.

    Attributes:
        contender: What it is.
        temperature: Of its predictor on the first part; ``None`` for what is taken as it is.
        answers: ``(n, k) float32`` for all rows, of which those of the second part are missing
            until it is fitted.
    """

    contender: Contender
    temperature: float | None
    answers: NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class _Chain:
    """Rungs before the last one, and where certifying begins."""

    rungs: tuple[_Candidate, ...]
    thresholds: Array
    begin: int
    seen: Tally
    cost: float


@dataclass(frozen=True, slots=True)
class Cascade:
    """Cheap predictors first and a dear one for the rest, with a promise about the cheap ones.

    What is promised stands in ``problem.cascade``.

    Attributes:
        most_rungs: Most rungs before the last one, 1 to 4.
    """

    name: ClassVar[str] = "cascade"

    most_rungs: int = 3

    def __post_init__(self) -> None:
        if not 1 <= self.most_rungs <= 4:
            raise ValueError("most_rungs must be between 1 and 4")

    def supports(self, problem: Problem) -> str | None:
        """It is made of others, so that the problem alone says nothing."""
        del problem
        return None

    def fit(self, problem: Problem) -> Predictor:
        """Not without others.

        Raises:
            DeclinedError: Always; ``combine`` is what makes one.
        """
        del problem
        raise DeclinedError("A cascade is made of what other strategies came to.")

    def combine(
        self, problem: Problem, fold_of: Rows, others: Sequence[Contender]
    ) -> tuple[Predictor, NDArray[np.float32]]:
        """See :class:`milepost.strategy.Combining`."""
        rule = problem.cascade
        parts = _parts(problem, fold_of)
        last, lower = _sides(problem, parts, others)
        _check_labels(rule, parts)
        candidates = [_candidate(problem, parts, each) for each in lower]
        problem.progress(0.7)
        chain = self._chosen(problem, parts, candidates, last)
        chain = replace(chain, rungs=tuple(_fitted(problem, parts, c) for c in chain.rungs))
        problem.progress(0.9)
        found = tally(_ladder(problem, parts.certifying, chain.rungs), chain.thresholds)
        at = _certified(rule, found, chain, last, len(problem.texts))
        predictor = _predictor(problem, parts, chain, last, found, at)
        problem.progress(1.0)
        return predictor, _answers(predictor, chain, last, len(problem.texts))

    def _chosen(
        self,
        problem: Problem,
        parts: _Parts,
        candidates: Sequence[_Candidate],
        last: Contender | None,
    ) -> _Chain:
        """The chain that costs least where it seems safe, on answers out of fold."""
        rows = parts.fitting
        alone = sorted(
            (_chain(problem, parts, rows, (each,), last) for each in candidates),
            key=lambda chain: chain.cost,
        )
        promising = sorted(
            (chain.rungs[0] for chain in alone[:TRIED]),
            key=lambda each: (each.contender.micro_usd_per_1k, each.contender.p50_ms),
        )
        best = alone[0]
        for count in range(2, min(self.most_rungs, len(promising)) + 1):
            chains = [
                _chain(problem, parts, rows, rungs, last)
                for rungs in combinations(promising, count)
            ]
            cheapest = min(chains, key=lambda chain: chain.cost)
            if cheapest.cost < best.cost * (1.0 - WORTH):
                best = cheapest
        return best


def _parts(problem: Problem, fold_of: Rows) -> _Parts:
    count = int(fold_of.max()) + 1
    cut = min(max(round(count * (1.0 - CERTIFIED_BY)), 1), count - 1)
    if cut < 2:
        raise DeclinedError(
            "A cascade needs three groups of examples at least: two that its rungs are chosen by, "
            "and one that certifies them."
        )
    evidence = np.arange(len(fold_of)) if problem.evidence is None else problem.evidence
    return _Parts(
        fitting=np.flatnonzero(fold_of < cut),
        certifying=evidence[fold_of[evidence] >= cut],
        fold_of=fold_of,
    )


def _sides(
    problem: Problem, parts: _Parts, others: Sequence[Contender]
) -> tuple[Contender | None, list[Contender]]:
    """The last rung, ``None`` for people, and what is cheaper than it.

    Raises:
        DeclinedError: If there is no last rung, or nothing before it.
    """
    useful = [each for each in others if each.strategy != _FLOOR]
    if problem.cascade.last == PERSON:
        last, lower = None, useful
    else:
        asking = [each for each in useful if each.predictor.upstreams]
        if not asking:
            raise DeclinedError(
                "There is no language model to climb to. Register one with `milepost upstreams "
                "add`, or let people answer what is left: `cascade: {last: person}`."
            )
        y = problem.y[parts.fitting]

        def worth(each: Contender) -> tuple[float, float]:
            right = is_right(decided(each.out_of_fold[parts.fitting]), y)
            return float(right.mean()), -each.micro_usd_per_1k

        last = max(asking, key=worth)
        lower = [each for each in useful if each.micro_usd_per_1k < last.micro_usd_per_1k]
    lower = [each for each in lower if each.refit is not None or each.predictor.upstreams]
    if not lower:
        raise DeclinedError("Nothing is cheaper than the last rung, so that nothing would climb.")
    return last, sorted(lower, key=lambda each: (each.micro_usd_per_1k, each.p50_ms))


def _check_labels(rule: CascadeRule, parts: _Parts) -> None:
    fewest, have = fewest_labels(rule.at_most_wrong, rule.confidence), len(parts.certifying)
    if have < fewest:
        raise DeclinedError(
            f"{_promised(rule)} cannot be promised on {have:,} examples: that takes {fewest:,} "
            f"without a mistake, besides those that the rungs are fitted on. Label about "
            f"{_round(fewest / CERTIFIED_BY)} examples in all, or allow more mistakes "
            "(`cascade.at_most_wrong`)."
        )


def _candidate(problem: Problem, parts: _Parts, contender: Contender) -> _Candidate:
    """Its answers to the first part, out of fold within that part."""
    if contender.refit is None:
        return _Candidate(contender, None, contender.out_of_fold)
    n = len(problem.texts)
    logits = np.zeros((n, len(problem.labels)))
    rows = parts.fitting
    for fold in np.unique(parts.fold_of[rows]).tolist():
        inside = rows[parts.fold_of[rows] == fold]
        outside = rows[parts.fold_of[rows] != fold]
        logits[inside] = _logits(problem, contender.refit(outside), inside)
    temperature = fit_temperature(logits[rows], problem.y[rows])
    return _Candidate(contender, temperature, softmax(logits / temperature))


def _fitted(problem: Problem, parts: _Parts, candidate: _Candidate) -> _Candidate:
    """The candidate fitted on the whole first part, with its answers to the second."""
    contender, temperature = candidate.contender, candidate.temperature
    if contender.refit is None or temperature is None:
        return candidate
    predictor = contender.refit(parts.fitting).calibrated(temperature)
    rest = np.setdiff1d(np.arange(len(problem.texts)), parts.fitting)
    answers = candidate.answers.copy()
    answers[rest] = softmax(_logits(problem, predictor, rest) / temperature)
    return _Candidate(replace(contender, predictor=predictor), temperature, answers)


def _logits(problem: Problem, predictor: Predictor, rows: Rows) -> Array:
    texts = tuple(problem.texts[row] for row in rows.tolist())
    vectors = encode(problem.encoder, texts) if predictor.uses == "vectors" else None
    return predictor.logits(Batch(texts, vectors))


def _ladder(problem: Problem, rows: Rows, rungs: Sequence[_Candidate]) -> Ladder:
    answers = [rung.answers[rows] for rung in rungs]
    said = [decided(each) for each in answers]
    sure = [
        np.where(label < 0, -1.0, each.max(axis=1).astype(np.float64))
        for each, label in zip(answers, said, strict=True)
    ]
    right = [is_right(label, problem.y[rows]) for label in said]
    return Ladder(np.stack(sure), np.stack(right))


def _chain(
    problem: Problem,
    parts: _Parts,
    rows: Rows,
    rungs: tuple[_Candidate, ...],
    last: Contender | None,
) -> _Chain:
    """Its path and beginning, and its cost at the threshold that these rows would certify.

    Where they would certify none the cost is that of asking all rungs, and more the less sure it
    is, so that the surest of such chains is tried.
    """
    rule = problem.cascade
    ladder = _ladder(problem, rows, rungs)
    thresholds = path(ladder.confidence)
    seen = tally(ladder, thresholds)
    begin = start(seen, rule.at_most_wrong, len(parts.certifying))
    costs = _costs([each.contender for each in rungs], last)
    at = certified(seen, rule.at_most_wrong, 1.0 - rule.confidence, begin)
    if at is None:
        p = binomial_p(seen.wrong, seen.answered, rule.at_most_wrong)[begin]
        return _Chain(rungs, thresholds, begin, seen, float(costs.sum() * (1.0 + p)))
    return _Chain(rungs, thresholds, begin, seen, float(seen.reached[at] @ costs / len(rows)))


def _costs(rungs: Sequence[Contender], last: Contender | None) -> Array:
    """What asking each rung costs, in micro-USD per thousand.

    People have no price here: they cost so much more than anything else that as few inputs as
    possible reach them.
    """
    own = [each.micro_usd_per_1k for each in rungs]
    end = 1e9 + 1e6 * sum(own) if last is None else last.micro_usd_per_1k
    return np.array([*own, end], np.float64)


def _certified(
    rule: CascadeRule, found: Tally, chain: _Chain, last: Contender | None, n: int
) -> int:
    """The threshold that keeps all that is to be promised.

    With limits on cost or time the error is shared out among the statements, and the strictest
    threshold that keeps them all is taken: what may be spent is spent on being right.

    Raises:
        DeclinedError: If there is none; with what it would take.
    """
    contenders = [each.contender for each in chain.rungs]
    capped = rule.max_cost_per_1k_usd is not None and last is not None
    timed = rule.max_p95_ms is not None and last is not None
    delta = (1.0 - rule.confidence) / (1 + capped + timed)
    safe = certified(found, rule.at_most_wrong, delta, chain.begin)
    if safe is None:
        raise DeclinedError(_refusal(rule, found, chain, delta, n))
    strictest = 0
    if capped and rule.max_cost_per_1k_usd is not None:
        limit = rule.max_cost_per_1k_usd * 1e6
        within = affordable(found, _costs(contenders, last), limit, delta)
        if within is None or within > safe:
            raise DeclinedError(
                f"{_promised(rule)} is not shown to cost at most "
                f"{rule.max_cost_per_1k_usd:g} USD per 1,000 answers: too many inputs climb."
            )
        strictest = max(strictest, within)
    if timed and rule.max_p95_ms is not None and last is not None:
        times = np.cumsum([each.p50_ms for each in [*contenders, last]])
        slow_from = int(np.searchsorted(times, rule.max_p95_ms, side="right"))
        quick = fast_enough(found, slow_from, delta)
        if quick is None or quick > safe:
            raise DeclinedError(
                f"{_promised(rule)} is not shown to take at most {rule.max_p95_ms:g} ms for 95 % "
                "of the inputs: too many climb to a slower rung."
            )
        strictest = max(strictest, quick)
    return max(strictest, chain.begin) if capped or timed else safe


def _refusal(rule: CascadeRule, found: Tally, chain: _Chain, delta: float, n: int) -> str:
    p = binomial_p(found.wrong, found.answered, rule.at_most_wrong)
    best = int(p.argmin())
    told = (
        f"{_promised(rule)} is not shown on the {found.rows:,} examples that could certify it: "
        f"nearest, {found.wrong[best]:,} of {found.answered[best]:,} answers were wrong."
    )
    rows = rows_needed(chain.seen, rule.at_most_wrong, delta)
    if rows is None or rows <= found.rows:
        return f"{told} The rungs before the last one are not right often enough."
    return f"{told} About {_round(rows * n / found.rows)} labelled examples would show it."


def _promised(rule: CascadeRule) -> str:
    wrong, sure = rule.at_most_wrong * 100, rule.confidence * 100
    return f"At most {wrong:g} % wrong with {sure:g} % confidence"


def _round(rows: float) -> str:
    step = 10 ** max(len(str(int(rows))) - 2, 0)
    return f"{int(-(-rows // step) * step):,}"


def _predictor(
    problem: Problem,
    parts: _Parts,
    chain: _Chain,
    last: Contender | None,
    found: Tally,
    at: int,
) -> CascadePredictor:
    rungs = [each.contender for each in chain.rungs]
    everyone = rungs if last is None else [*rungs, last]
    predictors = tuple(each.predictor for each in everyone)
    names = tuple(each.strategy for each in everyone)
    return cascade_of(predictors)(
        labels=problem.labels,
        rungs=predictors,
        names=names if last is not None else (*names, PERSON),
        threshold=float(found.thresholds[at]),
        promise=_promise(problem, parts, chain, last, found, at),
    )


def _promise(
    problem: Problem,
    parts: _Parts,
    chain: _Chain,
    last: Contender | None,
    found: Tally,
    at: int,
) -> Promise:
    rule, threshold = problem.cascade, float(found.thresholds[at])
    ladder = _ladder(problem, parts.certifying, chain.rungs)
    rung = ladder.rungs(threshold)
    rows = np.arange(ladder.rows)
    told = [
        PromisedRung(
            name=each.contender.strategy,
            answered=int((rung == r).sum()),
            wrong=int((~ladder.right[r, rows[rung == r]]).sum()),
            usd_per_1k=each.contender.micro_usd_per_1k / 1e6,
            p50_ms=each.contender.p50_ms,
        )
        for r, each in enumerate(chain.rungs)
    ]
    end = PromisedRung(
        name=PERSON if last is None else last.strategy,
        answered=int((rung == len(told)).sum()),
        wrong=None,
        usd_per_1k=0.0 if last is None else last.micro_usd_per_1k / 1e6,
        p50_ms=0.0 if last is None else last.p50_ms,
    )
    costs = np.array([each.usd_per_1k for each in (*told, end)])
    return Promise(
        at_most_wrong=rule.at_most_wrong,
        confidence=rule.confidence,
        threshold=threshold,
        against=rule.labels_by or TRUTH,
        labels=ladder.rows,
        fitted=len(parts.fitting),
        answered=int(found.answered[at]),
        wrong=int(found.wrong[at]),
        rungs=(*told, end),
        usd_per_1k=float(found.reached[at] @ costs / ladder.rows),
        last_usd_per_1k=None if last is None else last.micro_usd_per_1k / 1e6,
        most_usd_per_1k=rule.max_cost_per_1k_usd if last is not None else None,
        most_p95_ms=rule.max_p95_ms if last is not None else None,
        method=_method(chain),
    )


def _method(chain: _Chain) -> str:
    told = (
        "Learn then Test: exact binomial tests in a fixed sequence, on examples that neither the "
        "rungs nor the choice of them saw"
    )
    asked = [c.contender.strategy for c in chain.rungs if c.contender.refit is None]
    if not asked:
        return told
    return f"{told}; the answers of {', '.join(asked)} to them are out of fold"


def _answers(
    predictor: CascadePredictor, chain: _Chain, last: Contender | None, n: int
) -> NDArray[np.float32]:
    """Honest answers of the cascade to all rows.

    To the first part those out of fold within it, to the second those of the rungs as they are.
    """
    k = len(predictor.labels)
    end = np.full((n, k), 1.0 / k, np.float32) if last is None else last.out_of_fold
    answers = np.array(end, np.float32)
    left = np.ones(n, np.bool_)
    for each in chain.rungs:
        own = each.answers
        sure = left & (decided(own) >= 0)
        sure &= own.max(axis=1).astype(np.float64) >= predictor.threshold
        answers[sure] = own[sure]
        left &= ~sure
    return answers
