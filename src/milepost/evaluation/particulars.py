"""What scorecards say of any number of labels, of scores, and of orders of candidates."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from milepost.entities.estimate import Estimate
from milepost.entities.inputs import sides
from milepost.entities.kinds import KINDS
from milepost.entities.prediction import HOLDS
from milepost.entities.scorecard import Calibration, Confusion, LabelScore, Mistake
from milepost.evaluation.evidence import Evidence
from milepost.evaluation.measuring import OF_SCORES, OF_SETS, rank_measure
from milepost.metrics.inference.intervals import estimate_of, proportion
from milepost.metrics.scoring import ranks
from milepost.metrics.scoring.calibration import calibration
from milepost.metrics.scoring.label_sets import counts_of
from milepost.metrics.scoring.measures import Measure

MOST_SHOWN = 20
"""Labels that were missed or wrongly given, or far-off scores, that a scorecard keeps."""

EXAMPLES_EACH = 3
"""Examples that each of these keeps."""

SHOWN_CHARS = 300
"""Characters of an example's text that are kept."""

CANDIDATE_CHARS = 60
"""Characters of a candidate that stand for it."""

MISSED = "(not given)"
"""Stands for the answer where a label holds that was not given."""

UNFOUNDED = "(does not hold)"
"""Stands for the truth where a label was given that does not hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Particulars:
    """What only a scorecard of the kind says; as in ``milepost.entities.scorecard.Scorecard``."""

    metrics: Mapping[str, Estimate]
    labels: tuple[LabelScore, ...] = ()
    calibration: Calibration | None = None
    confusions: tuple[Confusion, ...] = ()
    notes: tuple[str, ...] = ()
    unknown: int = 0


def of_sets(evidence: Evidence) -> Particulars:
    """Where each row has any number of labels.

    Calibration is that of each label on each row, all together; intervals of a label take its rows
    as independent.
    """
    sample, sampling, k = evidence.sample, evidence.sampling, len(evidence.labels)
    right, actual, given = counts_of(sample)
    unknown = int((sample.y[:, k:] > 0).any(axis=1).sum())
    notes = [*evidence.notes]
    if unknown:
        notes.append(
            f"{unknown} of {len(sample.y)} rows carry a label that the task does not know; it "
            "counts as missed."
        )
    missing = int((actual == 0).sum())
    if missing:
        notes.append(
            f"{missing} of {k} labels hold for none of these rows; nothing is known about them."
        )

    def share(part: int, of: int) -> Estimate | None:
        return proportion(part, of, sampling.confidence) if of else None

    truth = (sample.y[:, :k] > 0).astype(np.int64).ravel()
    each = evidence.probabilities.ravel()
    return Particulars(
        metrics=estimates(evidence, OF_SETS),
        labels=tuple(
            LabelScore(
                label=label,
                n=int(actual[at]),
                precision=share(int(right[at]), int(given[at])),
                recall=share(int(right[at]), int(actual[at])),
                f1=2.0 * float(right[at]) / float(actual[at] + given[at])
                if actual[at] + given[at]
                else None,
            )
            for at, label in enumerate(evidence.labels)
        ),
        calibration=calibration(
            truth, np.stack([1.0 - each, each], axis=1), evidence.temperature, sampling
        ),
        confusions=_wrong_labels(evidence),
        notes=tuple(notes),
        unknown=unknown,
    )


def of_scores(evidence: Evidence) -> Particulars:
    """Where each row has a score: the rows that are furthest off stand among the confusions."""
    given = evidence.probabilities[:, 0].astype(np.float64)
    off = np.abs(evidence.y - given)
    furthest = np.argsort(-off, kind="stable")[:MOST_SHOWN]
    return Particulars(
        metrics=estimates(evidence, OF_SCORES),
        confusions=tuple(
            Confusion(
                actual=f"{evidence.y[row]:.4g}",
                predicted=f"{given[row]:.4g}",
                n=1,
                examples=(_example(evidence, row, None),),
            )
            for row in furthest.tolist()
            if off[row] > 0
        ),
        notes=evidence.notes,
    )


def of_ranks(evidence: Evidence) -> Particulars:
    """Where candidates are ordered: queries whose right candidate stands lowest are confusions."""
    found = ranks.ranked(evidence.sample)
    named = {name: partial(rank_measure, name) for name in KINDS["rank"].metrics}
    metrics = estimates(evidence, named)
    reciprocal = ranks.first_reciprocal(found)
    lowest = np.argsort(reciprocal, kind="stable")[:MOST_SHOWN]
    wrong = [_misplaced(evidence, found, query) for query in lowest.tolist()
             if reciprocal[query] < 1.0]  # fmt: skip
    silent = len(np.unique(evidence.y[:, 1])) - found.queries
    said = f"{silent:,} queries have no relevant candidate among these rows and are left out."
    return Particulars(
        metrics=metrics,
        confusions=tuple(wrong),
        notes=(*evidence.notes, *([said] if silent else [])),
    )


def _misplaced(evidence: Evidence, found: ranks.Ranked, query: int) -> Confusion:
    """A query whose first candidate is not relevant: which stands first, which should."""
    own = np.flatnonzero(found.query == query)
    right = own[int(found.relevance[own].argmax())]
    asked, first = sides(evidence.texts[int(found.rows[own[0]])])
    row = int(found.rows[right])
    return Confusion(
        actual=sides(evidence.texts[row])[1][:CANDIDATE_CHARS],
        predicted=first[:CANDIDATE_CHARS],
        n=int(found.place[right]),
        examples=(Mistake(id=evidence.ids[row], text=asked[:SHOWN_CHARS]),),
    )


def estimates(
    evidence: Evidence, table: Mapping[str, Callable[[], Measure]]
) -> dict[str, Estimate]:
    """Every measure of a table, the objective's among them, with its interval."""
    measures = {name: make() for name, make in table.items()}
    measures[evidence.objective.metric] = evidence.judged_by
    sampling = evidence.sampling
    return {
        name: estimate_of(
            each.found(evidence.beliefs if name == "log_loss" else evidence.sample),
            sampling.confidence,
            sampling.one_sided,
        )
        for name, each in measures.items()
    }


def _wrong_labels(evidence: Evidence) -> tuple[Confusion, ...]:
    """Labels that were most often missed or wrongly given, with the surest examples."""
    k = len(evidence.labels)
    truth, p = evidence.y[:, :k] > 0, evidence.probabilities
    held = evidence.sample.probabilities >= HOLDS
    found: list[Confusion] = []
    for at, label in enumerate(evidence.labels):
        for actual, predicted, given, wrong in (
            (label, MISSED, False, truth[:, at] & ~held[:, at]),
            (UNFOUNDED, label, True, held[:, at] & ~truth[:, at]),
        ):
            rows = np.flatnonzero(wrong)
            sure = np.abs(p[rows, at] - HOLDS)
            surest = rows[np.argsort(-sure, kind="stable")][:EXAMPLES_EACH]
            found += [
                Confusion(
                    actual=actual,
                    predicted=predicted,
                    n=len(rows),
                    examples=tuple(
                        _example(evidence, row, float(p[row, at] if given else 1.0 - p[row, at]))
                        for row in surest.tolist()
                    ),
                )
            ] * bool(len(rows))
    return tuple(sorted(found, key=lambda each: -each.n)[:MOST_SHOWN])


def _example(evidence: Evidence, row: int, confidence: float | None) -> Mistake:
    return Mistake(
        id=evidence.ids[row], text=evidence.texts[row][:SHOWN_CHARS], confidence=confidence
    )
