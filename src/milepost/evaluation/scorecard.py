"""A scorecard from actual labels and probabilities."""

from collections.abc import Callable, Iterator, Mapping

import msgspec
import numpy as np
from numpy.typing import NDArray

from milepost.entities.estimate import Estimate
from milepost.entities.kinds import KINDS, Link
from milepost.entities.scorecard import Confusion, LabelScore, Mistake, Scorecard, SliceScore
from milepost.evaluation.evidence import Evidence
from milepost.evaluation.measuring import order_note
from milepost.evaluation.particulars import Particulars, of_ranks, of_scores, of_sets
from milepost.evaluation.particulars_of_spans import of_spans
from milepost.metrics.inference.comparison import independent_difference, independent_p_value
from milepost.metrics.inference.intervals import Bounded, estimate_of, proportion
from milepost.metrics.inference.multiplicity import holm
from milepost.metrics.scoring.calibration import calibration
from milepost.metrics.scoring.calibration_error import ece
from milepost.metrics.scoring.classification import METRICS, f1_terms
from milepost.metrics.scoring.confusion import Cells
from milepost.metrics.scoring.curves import auprc, auroc
from milepost.metrics.scoring.deciding import answer_name, is_right
from milepost.metrics.scoring.label_measures import precision, recall
from milepost.metrics.scoring.mean_measures import brier, log_loss
from milepost.metrics.scoring.measures import Measure, counted, design_effect

MOST_CONFUSIONS = 20
"""Confused pairs that a scorecard keeps."""

MISTAKES_PER_CONFUSION = 3
"""Examples that a confused pair keeps."""

MISTAKE_CHARS = 300
"""Characters of a mistake's text that are kept."""

UNKNOWN_LABEL = "(unknown label)"
"""Name under which rows with a label that the task does not know appear among confusions."""


def build_scorecard(evidence: Evidence) -> Scorecard:
    """Every number about quality, each with interval and sample size; latency is added by others.

    Metrics and slices: exact bounds on the effective sample size; losses, AUROC, utility and own
    measures: bounds of a bounded mean (Gaffke 2005); labels: exact bounds; calibration: 15
    equal-mass bins. Slice intervals are simultaneous (Bonferroni, the single-step form of Holm),
    their p-values adjusted by Holm.

    Raises:
        KeyError: If the objective names a slice without a mask.
    """
    found = _PARTICULARS[KINDS[evidence.kind].link](evidence)
    metrics, notes = dict(found.metrics), [*found.notes]
    if evidence.selection is not None:
        metrics[evidence.objective.metric] = evidence.selection
        notes.append(
            f"The {evidence.objective.metric} is corrected for having chosen the best candidate "
            "on the same predictions; the other numbers are not."
        )
    return Scorecard(
        regime=evidence.regime,
        metric=evidence.objective.metric,
        metrics=metrics,
        labels=found.labels,
        slices=_slices(evidence),
        calibration=found.calibration,
        confusions=found.confusions,
        looks=evidence.looks,
        unknown_labels=found.unknown,
        notes=tuple(notes),
        provenance=dict(evidence.provenance),
        lower_is_better=not evidence.judged_by.higher,
        groups=evidence.groups,
    )


def _of_classes(evidence: Evidence) -> Particulars:
    """Where each row has one label."""
    order = order_note(evidence.objective, evidence.labels)
    notes = [*([order] if order else []), *evidence.notes, *_unit_notes(evidence)]
    unknown = int((evidence.y < 0).sum())
    if unknown:
        notes.append(
            f"{unknown} of {len(evidence.y)} rows carry a label that the task does not know; "
            "they count as wrong."
        )
    silent = int((evidence.answers < 0).sum())
    if silent:
        notes.append(
            f"{silent} of {len(evidence.y)} rows got no answer, all labels being equally probable; "
            "they count as wrong."
        )
    missing = len(evidence.labels) - len(np.unique(evidence.y[evidence.y >= 0]))
    if missing:
        notes.append(
            f"{missing} of {len(evidence.labels)} labels have no example among these rows; "
            "nothing is known about them."
        )
    return Particulars(
        metrics=_metrics(evidence),
        labels=_labels(evidence),
        calibration=calibration(
            evidence.y, evidence.probabilities, evidence.temperature, evidence.sampling
        ),
        confusions=_confusions(evidence),
        notes=tuple(notes),
        unknown=unknown,
    )


_PARTICULARS: Mapping[Link, Callable[[Evidence], Particulars]] = {
    "softmax": _of_classes,
    "sigmoid": of_sets,
    "identity": of_scores,
    "spans": of_spans,
    "relevance": of_ranks,
}
"""What only a scorecard of the kind says."""


def _unit_notes(evidence: Evidence) -> Iterator[str]:
    """That rows which belong together count for less than as many others."""
    if evidence.units is None:
        return
    n, units = len(evidence.y), len(np.unique(evidence.units))
    right = is_right(evidence.answers, evidence.y).astype(np.float64)
    worth = n / design_effect(right, evidence.units)
    yield (
        f"The {n:,} rows are {units:,} groups of rows that are alike or belong together; for "
        f"accuracy they are worth {worth:,.0f} independent rows, and every interval pays for it."
    )


def _metrics(evidence: Evidence) -> dict[str, Estimate]:
    sampling, sample = evidence.sampling, evidence.sample
    others = (auroc(), auprc(), log_loss(), brier(), ece(), evidence.judged_by)
    measures = {each.name: each for each in (*map(counted, METRICS), *others)}
    return {
        name: estimate_of(each.found(sample), sampling.confidence, sampling.one_sided)
        for name, each in measures.items()
    }


def _labels(evidence: Evidence) -> tuple[LabelScore, ...]:
    counts = Cells.of(evidence.y, evidence.answers, len(evidence.labels)).totals()
    f1, present = f1_terms(counts.right, counts.answered, counts.actual)
    confidence, sample = evidence.sampling.confidence, evidence.sample

    def share(measure: Measure, right: float, of: float) -> Estimate | None:
        if not of:
            return None
        if evidence.units is None:
            return proportion(int(right), int(of), confidence)
        found = estimate_of(measure.found(sample), confidence)
        return msgspec.structs.replace(found, n=int(of))

    return tuple(
        LabelScore(
            label=label,
            n=int(counts.actual[i]),
            precision=share(precision(i, label), counts.right[i], counts.answered[i]),
            recall=share(recall(i, label), counts.right[i], counts.actual[i]),
            f1=float(f1[i]) if present[i] else None,
        )
        for i, label in enumerate(evidence.labels)
    )


def _slices(evidence: Evidence) -> tuple[SliceScore, ...]:
    """Each declared slice against the rows outside it."""
    inside: dict[str, Bounded | None] = {}
    outside: dict[str, Bounded | None] = {}
    sign = evidence.judged_by.sign
    for name in evidence.objective.slices:
        mask = evidence.slice_masks[name]
        inside[name] = _measure_rows(evidence, mask)
        outside[name] = _measure_rows(evidence, ~mask)
    judged = [name for name in inside if inside[name] is not None and outside[name] is not None]
    pairs = {name: (outside[name], inside[name]) for name in judged}
    raw = [
        independent_p_value(out, own) if sign > 0 else independent_p_value(own, out)
        for out, own in pairs.values()
        if out and own
    ]
    adjusted = dict(zip(judged, holm(np.array(raw)), strict=True)) if judged else {}
    tail = (1.0 - evidence.sampling.deciding) / (2.0 * max(len(judged), 1))
    scores: list[SliceScore] = []
    for name, predicate in evidence.objective.slices.items():
        own, out = inside[name], outside[name]
        score = SliceScore(
            name=name,
            predicate=predicate,
            n=own.n if own else 0,
            estimate=estimate_of(own, evidence.sampling.confidence) if own else None,
        )
        if own and out:
            # Positive is worse, whichever way the measure points.
            better, worse = (out, own) if sign > 0 else (own, out)
            low, high = independent_difference(better, worse, tail)
            score = SliceScore(
                name=name,
                predicate=predicate,
                n=own.n,
                estimate=score.estimate,
                gap=better.value - worse.value,
                gap_low=low,
                gap_high=high,
                p_value=float(adjusted[name]),
            )
        scores.append(score)
    return tuple(scores)


def _measure_rows(evidence: Evidence, mask: NDArray[np.bool_]) -> Bounded | None:
    if not mask.any():
        return None
    return evidence.judged_by.found(evidence.sample.take(mask))


def _confusions(evidence: Evidence) -> tuple[Confusion, ...]:
    """The most frequent wrong pairs, each with its most confident mistakes."""
    answers = evidence.answers
    confidence = evidence.probabilities.max(axis=1)
    wrong = np.flatnonzero(~is_right(answers, evidence.y))
    k = len(evidence.labels)
    code = (evidence.y[wrong] + 1) * (k + 1) + answers[wrong] + 1
    pairs, counts = np.unique(code, return_counts=True)
    kept = np.argsort(-counts, kind="stable")[:MOST_CONFUSIONS]
    confusions: list[Confusion] = []
    for pair, count in zip(pairs[kept], counts[kept], strict=True):
        rows = wrong[code == pair]
        rows = rows[np.argsort(-confidence[rows], kind="stable")][:MISTAKES_PER_CONFUSION]
        actual, predicted = divmod(int(pair), k + 1)
        confusions.append(
            Confusion(
                actual=evidence.labels[actual - 1] if actual else UNKNOWN_LABEL,
                predicted=answer_name(evidence.labels, predicted - 1),
                n=int(count),
                examples=tuple(
                    Mistake(
                        id=evidence.ids[i],
                        text=evidence.texts[i][:MISTAKE_CHARS],
                        confidence=float(confidence[i]),
                    )
                    for i in rows
                ),
            )
        )
    return tuple(confusions)
