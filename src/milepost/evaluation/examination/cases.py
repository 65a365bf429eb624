"""Inputs with their answers, for people to read."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from milepost.entities.examination import Case
from milepost.evaluation.examination.subject import Subject
from milepost.metrics.scoring.deciding import answer_name, decided

CASE_CHARS = 300
"""Characters of a text that a case keeps."""


def shortened(text: str) -> str:
    """The text, or its beginning with an ellipsis."""
    return text if len(text) <= CASE_CHARS else text[: CASE_CHARS - 1] + "…"


def case_of(
    subject: Subject, row: int, changed: str | None = None, answer_then: str | None = None
) -> Case:
    """One judged row; with a changed text and the answer to that, where there is one."""
    return Case(
        id=subject.examples.ids[row],
        text=shortened(subject.examples.texts[row]),
        actual=subject.examples.labels[row],
        answer=answer_name(subject.labels, int(decided(subject.probabilities[row]))),
        confidence=float(subject.probabilities[row].max()),
        changed=None if changed is None else shortened(changed),
        answer_then=answer_then,
    )


def most_confident(
    subject: Subject, rows: NDArray[np.int64] | Sequence[int], most: int
) -> tuple[Case, ...]:
    """The rows answered with the most confidence, once a text."""
    rows = np.asarray(rows, np.int64)
    order = rows[np.argsort(-subject.probabilities[rows].max(axis=1), kind="stable")]
    once: dict[str, int] = {}
    for row in order.tolist():
        once.setdefault(subject.examples.texts[row], row)
    return tuple(case_of(subject, row) for row in list(once.values())[:most])
