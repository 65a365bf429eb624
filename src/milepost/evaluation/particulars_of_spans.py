"""What scorecards say of spans: how many of each label were found, and what went wrong."""

from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from milepost.entities.estimate import Estimate
from milepost.entities.scorecard import Confusion, LabelScore, Mistake
from milepost.entities.spans import OF_ANSWER, OF_TRUTH, listed, unpacked
from milepost.evaluation.evidence import Evidence
from milepost.evaluation.measuring import OF_SPANS
from milepost.evaluation.particulars import (
    EXAMPLES_EACH,
    MOST_SHOWN,
    Particulars,
    estimates,
)
from milepost.metrics.inference.intervals import proportion
from milepost.metrics.scoring.calibration import calibration
from milepost.metrics.scoring.links import judged_spans

MISSED = "(not found)"
"""Stands for the answer where a span was missed."""

UNFOUNDED = "(no span)"
"""Stands for the truth where what was found touches no span."""

BORDERS = "(other borders)"
"""Stands behind the label where it is right and the borders are not."""

_AROUND = 60
"""Characters of an example's text that are kept on either side of the span."""


class _Wrong(NamedTuple):
    """A span that went wrong: what was there, what was answered, where, and how surely."""

    actual: str
    predicted: str
    row: int
    begin: int
    end: int
    sure: float | None


def of_spans(evidence: Evidence) -> Particulars:
    """Where each row has spans.

    Calibration is that of each span that was found; intervals of a label take its spans as
    independent.
    """
    wanted, found = listed(evidence.y, OF_TRUTH), listed(evidence.probabilities, OF_ANSWER)
    right, likely = judged_spans(evidence.y, evidence.probabilities)
    k, confidence = len(evidence.labels), evidence.sampling.confidence
    unknown = wanted[:, 3] >= k
    notes = [*evidence.notes]
    if unknown.any():
        notes.append(
            f"{int(unknown.sum())} of {len(wanted)} spans carry a label that the task does not "
            "know; they count as missed."
        )
    hits, actual, given = (
        np.bincount(each, minlength=k + 1)[:k]
        for each in (found[right, 3], wanted[:, 3], found[:, 3])
    )
    missing = int((actual == 0).sum())
    if missing:
        notes.append(
            f"{missing} of {k} labels have no span in these rows; nothing is known about them."
        )

    def share(part: int, of: int) -> Estimate | None:
        return proportion(part, of, confidence) if of else None

    odds = np.stack([1.0 - likely, likely], axis=1).astype(np.float32)
    return Particulars(
        metrics=estimates(evidence, OF_SPANS),
        labels=tuple(
            LabelScore(
                label=label,
                n=int(actual[at]),
                precision=share(int(hits[at]), int(given[at])),
                recall=share(int(hits[at]), int(actual[at])),
                f1=2.0 * float(hits[at]) / float(actual[at] + given[at])
                if actual[at] + given[at]
                else None,
            )
            for at, label in enumerate(evidence.labels)
        ),
        calibration=calibration(
            right.astype(np.int64), odds, evidence.temperature, evidence.sampling
        )
        if len(right)
        else None,
        confusions=_confusions(evidence),
        notes=tuple(notes),
        unknown=len(np.unique(wanted[unknown, 0])),
    )


def _confusions(evidence: Evidence) -> tuple[Confusion, ...]:
    """What most often went wrong, the surest examples of each with the span in brackets."""
    kinds: defaultdict[tuple[str, str], list[_Wrong]] = defaultdict(list)
    for wrong in _wrong(evidence):
        kinds[wrong.actual, wrong.predicted].append(wrong)
    most = sorted(kinds.items(), key=lambda each: (-len(each[1]), each[0]))[:MOST_SHOWN]
    return tuple(
        Confusion(
            actual=actual,
            predicted=predicted,
            n=len(found),
            examples=tuple(
                _example(evidence, each)
                for each in sorted(found, key=_surest_first)[:EXAMPLES_EACH]
            ),
        )
        for (actual, predicted), found in most
    )


def _surest_first(wrong: _Wrong) -> tuple[float, int]:
    return -(wrong.sure or 0.0), wrong.row


def _wrong(evidence: Evidence) -> Iterator[_Wrong]:
    """Spans that were found and are none as they stand, and those that nothing found touches."""
    names = (*evidence.labels, "(unknown label)")
    wanted = unpacked(evidence.y, OF_TRUTH)
    answered = unpacked(evidence.probabilities, OF_ANSWER)
    for row, (truth, found) in enumerate(zip(wanted, answered, strict=True)):
        there = {tuple(map(int, each)) for each in truth}
        touched: set[tuple[int, ...]] = set()
        for span in found:
            begin, end, label = map(int, span[:3])
            over = [each for each in there if each[0] < end and begin < each[1]]
            touched.update(over)
            if (begin, end, label) in there:
                continue
            same = next((each for each in over if each[2] == label), None)
            actual, predicted = UNFOUNDED, names[label]
            if same is not None:
                actual, predicted = names[label], f"{names[label]} {BORDERS}"
            elif over:
                actual = names[min(over)[2]]
            yield _Wrong(actual, predicted, row, begin, end, float(span[3]))
        for begin, end, label in sorted(there - touched):
            yield _Wrong(names[label], MISSED, row, begin, end, None)


def _example(evidence: Evidence, wrong: _Wrong) -> Mistake:
    text = evidence.texts[wrong.row]
    begin, end = max(0, wrong.begin - _AROUND), wrong.end + _AROUND
    shown = (
        ("…" if begin else "")
        + text[begin : wrong.begin]
        + f"[{text[wrong.begin : wrong.end]}]"
        + text[wrong.end : end]
        + ("…" if end < len(text) else "")
    )
    return Mistake(id=evidence.ids[wrong.row], text=shown, confidence=wrong.sure)
