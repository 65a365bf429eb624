"""The examination: every section asked about one subject, each on its own."""

from milepost.entities.examination import Check, Examination
from milepost.evaluation.examination.subject import Subject


def examine(subject: Subject) -> Examination:
    """What all sections found about a candidate, with the checks that the gate reads."""
    checks: list[Check] = []
    notes: list[str] = []
    return Examination(checks=tuple(checks), notes=tuple(notes))
