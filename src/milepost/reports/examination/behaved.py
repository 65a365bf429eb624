"""Declared tests of behaviour, run without a contest, as a document."""

from milepost.entities.examination import Behaved
from milepost.reports.document import BLANK, Document, Line, Part
from milepost.reports.examination.changes import behaviour_of


class BehaviourSheet(Document):
    """What the tests came to; prints itself in terminals and notebooks.

    Args:
        behaved: The record.
    """

    __slots__ = ("behaved",)

    behaved: Behaved

    def __init__(self, behaved: Behaved) -> None:
        what = f"release {behaved.release}" if behaved.release else behaved.candidate
        section = behaviour_of(behaved.behaviour, full=False, rest="with --json")
        parts: list[Part] = [
            Line(((behaved.task, "strong"), (f"  {what}", "dim"))),
            BLANK,
            *section.parts,
        ]
        parts += [Line(((note, ""),), mark=("·", "dim")) for note in behaved.notes]
        parts += [Line(((each, ""),), mark=("→", "calm")) for each in section.advice]
        super().__init__(tuple(parts))
        object.__setattr__(self, "behaved", behaved)
