"""Whether a candidate knows what it does not know: risk by coverage, abstention, sets, scope."""

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from milepost.entities.estimate import Estimate
from milepost.entities.examination import (
    Abstention,
    Check,
    Knowing,
    PredictionSets,
    RiskPoint,
    ScopeScore,
)
from milepost.entities.expectations import AbstainRule, ScopeRule
from milepost.evaluation.examination.subject import Subject
from milepost.metrics.inference.intervals import clopper_pearson, proportion
from milepost.metrics.knowing.conformal import (
    actual_scores,
    conformal_threshold,
    covered,
    prediction_sets,
)
from milepost.metrics.knowing.scope import auroc_estimate
from milepost.metrics.knowing.selective import (
    Given,
    area,
    certified,
    curve,
    given,
    p_value,
    risk_bounds,
    rows_to_certify,
    surest,
    thresholds,
)
from milepost.metrics.scoring.deciding import decided, is_right
from milepost.predictors.scoped import NOTHING

COVERAGES = (0.8, 0.9, 0.95)
"""What the prediction sets promise."""

SURE = 0.95
"""Confidence that a threshold of the sets, or of the scope, keeps its promise."""

_SET_METHOD = (
    "1 - probability (Sadinle et al. 2019), threshold with 95 % confidence (Vovk 2012); set"
)

KIND = "kind"
"""Metadata column that says what kind of input out of scope a row is."""

FEWEST = 20
"""Fewest rows that are worth cutting in two."""

Probabilities = NDArray[np.float32]


def knowing(subject: Subject) -> tuple[Knowing | None, tuple[Check, ...]]:
    """All parts, with the checks of the rules that the task declares."""
    if not len(subject.y):
        return None, ()
    confidence = subject.probabilities.max(axis=1)
    abstention, abstain_checks = _abstention(subject)
    scope, scope_checks = _scope(subject)
    found = Knowing(
        curve=_curve(confidence, subject.right, subject.sampling.confidence),
        area=area(confidence, subject.right, subject.sampling),
        abstention=abstention,
        sets=_sets(subject),
        scope=scope,
    )
    return found, (*abstain_checks, *scope_checks)


def _curve(
    confidence: Probabilities, right: NDArray[np.bool_], level: float
) -> tuple[RiskPoint, ...]:
    points: list[RiskPoint] = []
    for each in curve(confidence, right):
        low, high = risk_bounds(each, level)
        points.append(
            RiskPoint(
                threshold=each.threshold,
                coverage=each.answered / len(right),
                risk=each.wrong / each.answered,
                low=low,
                high=high,
            )
        )
    return tuple(points)


def _counted(subject: Subject) -> NDArray[np.int64]:
    """One training row per near-duplicate group and label: said twice is no more evidence."""
    first: dict[tuple[str, str | None], int] = {}
    for row, key in enumerate(zip(subject.train.groups, subject.train.labels, strict=True)):
        first.setdefault(key, row)
    return np.asarray(list(first.values()), np.int64)


def _abstention(subject: Subject) -> tuple[Abstention | None, tuple[Check, ...]]:
    """The lowest threshold that is certified on the judged rows.

    On a part set aside the training rows say where to begin, so that all of the error is spent
    where it counts. When cross-fitted they are the same rows and nothing may be looked up first.
    """
    rule = subject.task.abstain
    if isinstance(rule, msgspec.UnsetType):
        return None, ()
    tried = thresholds(rule.at_most_wrong)
    found = given(subject.probabilities.max(axis=1), subject.right, tried)
    n, start = len(subject.y), None
    if subject.regime == "cross_fitted":
        method = (
            "fallback testing over fixed thresholds, exact binomial, on out-of-fold answers; the "
            "released predictor learned from all rows and is taken to be no worse"
        )
    else:
        rows = _counted(subject)
        own = subject.out_of_fold[rows]
        right = is_right(decided(own), subject.train_y[rows])
        before = given(own.max(axis=1), right, tried)
        start = surest(before, rule.at_most_wrong, max(len(rows), 1), n)
        method = (
            "fixed-sequence testing, exact binomial, on the examples set aside, from the threshold "
            "that out-of-fold answers to training examples made the surest"
        )
    kept = certified(found, rule.at_most_wrong, rule.confidence, start)
    part = Abstention(
        at_most_wrong=rule.at_most_wrong,
        confidence=rule.confidence,
        threshold=None if kept is None else kept.threshold,
        answered=None if kept is None else proportion(kept.answered, n, rule.confidence),
        wrong=None if kept is None else proportion(kept.wrong, kept.answered, rule.confidence),
        method=method,
    )
    return part, (_abstain_check(rule, found, kept, n),)


def _abstain_check(rule: AbstainRule, found: list[Given], kept: Given | None, n: int) -> Check:
    sure = f"{rule.confidence * 100:g} % confidence"
    limit = f"{rule.at_most_wrong * 100:g} %"
    if kept is not None:
        return Check(
            name="abstain",
            outcome="passed",
            sentence=(
                f"Answers from a confidence of {kept.threshold:.3f} on are wrong at most {limit} "
                f"of the time with {sure}: {kept.wrong:,} of {kept.answered:,} were, and "
                f"{100 * kept.answered / n:.0f} % of {n:,} examples are answered."
            ),
        )
    shown = [
        each
        for each in found
        if each.answered
        and clopper_pearson(each.wrong, each.answered, (1.0 - rule.confidence) / len(found))[0]
        > rule.at_most_wrong
    ]
    answering = [each for each in found if each.answered]
    if len(shown) == len(answering):
        return Check(
            name="abstain",
            outcome="failed",
            sentence=(
                f"At every confidence more than {limit} of the answers are wrong, with {sure}, on "
                f"{n:,} examples. A better candidate or a higher `abstain.at_most_wrong` is needed."
            ),
        )
    best = min(answering, key=lambda each: p_value(each, rule.at_most_wrong))
    rows = rows_to_certify(found, rule.at_most_wrong, rule.confidence, n)
    more = (
        "More labels alone would not show it: nowhere is the risk below the limit."
        if rows is None
        else f"About {_round(rows)} examples to judge on would show it if the risk stays as seen."
    )
    return Check(
        name="abstain",
        outcome="open",
        sentence=(
            f"No threshold is shown to keep wrong answers at {limit} with {sure} on {n:,} "
            f"examples: nearest is {best.threshold:.3f} with {best.wrong:,} wrong of "
            f"{best.answered:,}. {more}"
        ),
    )


def _round(rows: int) -> str:
    step = 10 ** max(len(str(rows)) - 2, 0)
    return f"{-(-rows // step) * step:,}"


def _sets(subject: Subject) -> tuple[PredictionSets, ...]:
    """Sets at each promise, measured on rows that did not set their threshold.

    On a part set aside, out-of-fold answers to training examples set the threshold. When
    cross-fitted the judged rows are cut in two once: measuring each half by the other's threshold
    would look right whatever the threshold, because what one half overshoots the other misses.
    """
    level = subject.sampling.confidence
    judged, y = subject.probabilities, subject.y
    if subject.regime == "cross_fitted":
        setting, measuring = _halves(subject)
        scores = actual_scores(judged, y)
        method = f"{_SET_METHOD} on half of the out-of-fold answers, measured on the other half"
    else:
        rows = _counted(subject)
        scores = actual_scores(subject.out_of_fold[rows], subject.train_y[rows])
        setting, measuring = np.arange(len(scores)), np.arange(len(y))
        method = (
            f"{_SET_METHOD} on out-of-fold answers to training examples, measured on those set "
            "aside"
        )
    found: list[PredictionSets] = []
    for promise in COVERAGES:
        threshold = conformal_threshold(scores[setting], promise, SURE)
        if not np.isfinite(threshold):
            continue
        sets = prediction_sets(judged[measuring], threshold)
        sizes = sets.sum(axis=1)
        hits = int(covered(sets, y[measuring]).sum())
        found.append(
            PredictionSets(
                coverage=promise,
                covered=proportion(hits, len(measuring), level) if len(measuring) else None,
                size=float(sizes.mean()) if len(sizes) else 0.0,
                single=float((sizes == 1).mean()) if len(sizes) else 0.0,
                threshold=threshold,
                n=len(setting),
                method=method,
            )
        )
    return tuple(found)


def _halves(subject: Subject) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Two halves of the judged rows; no group is in both."""
    names = sorted(set(subject.examples.groups))
    if len(names) < FEWEST:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    order = np.random.default_rng(subject.sampling.seed).permutation(len(names))
    first = {names[i] for i in order[: len(names) // 2].tolist()}
    mask = np.array([group in first for group in subject.examples.groups])
    return np.flatnonzero(mask), np.flatnonzero(~mask)


def _scope(subject: Subject) -> tuple[ScopeScore | None, tuple[Check, ...]]:
    rule = subject.task.out_of_scope
    if isinstance(rule, msgspec.UnsetType) or rule.label not in subject.labels:
        return None, ()
    at = subject.labels.index(rule.label)
    out, away = subject.y == at, subject.answers == at
    if out.all():
        return None, ()
    level = subject.sampling.confidence
    known = np.delete(subject.probabilities, at, axis=1).astype(np.float64).max(axis=1)
    own = subject.probabilities[:, at].astype(np.float64)
    score = np.log(np.maximum(own, 1e-300)) - np.log(np.maximum(known, 1e-300))
    detector = subject.detector
    kept = _share(~away[~out], level)
    in_scope = _share((subject.right & ~out)[~out], level)
    if kept is None or in_scope is None:
        return None, ()  # nothing that was judged is in scope
    part = ScopeScore(
        score=detector.score_name if detector is not None else "own_class",
        compared=dict(detector.compared) if detector is not None else {},
        auroc=auroc_estimate(score, out, level),
        kept=kept,
        in_scope=in_scope,
        recall=_share(away[out], level),
        precision=_share(out[away], level),
        threshold=detector.threshold if detector is not None else 0.0,
        near=_by_kind(subject, out, away, level),
    )
    return part, (_scope_check(rule, part),)


def _share(hits: NDArray[np.bool_], level: float) -> Estimate | None:
    return proportion(int(hits.sum()), len(hits), level) if len(hits) else None


def _by_kind(
    subject: Subject, out: NDArray[np.bool_], away: NDArray[np.bool_], level: float
) -> dict[str, Estimate]:
    kinds: Sequence[object] = subject.examples.metadata.get(KIND, ())
    rows: dict[str, list[int]] = {}
    for row in np.flatnonzero(out).tolist() if len(kinds) else ():
        if kinds[row] is not None:
            rows.setdefault(str(kinds[row]), []).append(row)
    return {
        kind: proportion(int(away[mine].sum()), len(mine), level)
        for kind, mine in sorted(rows.items())
    }


def _scope_check(rule: ScopeRule, part: ScopeScore) -> Check:
    kept = part.kept
    told = ""
    if part.recall is not None:
        told = (
            f" {100 * part.recall.value:.1f} % of {part.recall.n:,} inputs out of scope are turned "
            f"away ({100 * part.recall.low:.1f} % to {100 * part.recall.high:.1f} %)."
        )
    if part.threshold >= NOTHING:
        rows = int(np.ceil(np.log(1.0 - SURE) / np.log(rule.keep)))
        return Check(
            name="out_of_scope",
            outcome="open",
            sentence=(
                f"Nothing is turned away: a threshold that keeps {100 * rule.keep:g} % of inputs "
                f"in scope with {100 * SURE:g} % confidence takes {rows:,} examples in scope. Add "
                "examples, or lower `out_of_scope.keep`."
            ),
        )
    facts = f"{100 * kept.value:.1f} % of {kept.n:,} inputs in scope are kept"
    if kept.at_most < rule.keep:
        return Check(
            name="out_of_scope",
            outcome="failed",
            sentence=f"{facts}, which is shown to be fewer than {100 * rule.keep:.1f} %.{told}",
        )
    if kept.at_least >= rule.keep:
        return Check(
            name="out_of_scope",
            outcome="passed",
            sentence=f"{facts}, which is shown to be at least {100 * rule.keep:.1f} %.{told}",
        )
    return Check(
        name="out_of_scope",
        outcome="passed",
        sentence=(
            f"{facts} (asked for: {100 * rule.keep:.1f} %, and these examples do not speak "
            "against it; the threshold keeps that share of training examples with 95 % "
            f"confidence).{told}"
        ),
    )
