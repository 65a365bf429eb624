"""A section of an examination, and how the inputs that it shows are written."""

from collections.abc import Sequence
from dataclasses import dataclass

from milepost.entities.examination import Case, Check, Outcome
from milepost.reports import words
from milepost.reports.document import Cell, Column, Grid, Line, Part, Role, Row

OUTCOMES: dict[Outcome, tuple[str, Role]] = {
    "passed": ("✔", "good"),
    "failed": ("✘", "bad"),
    "open": ("?", "warn"),
}
"""Mark and role of each outcome."""
ORDER: dict[Outcome, int] = {"failed": 0, "open": 1, "passed": 2}
"""Most urgent outcome first."""
MATTERS = 0.05
"""Loss or gap that a tick rules out where the task declares no limit, in the metric itself."""
CASES = 2
"""Cases below a table in a terminal."""
CASES_IN_FULL = 8
"""Cases of one kind on a page."""
CASE_LENGTH = 96
CASE_LENGTH_IN_FULL = 260


@dataclass(frozen=True, slots=True)
class Section:
    """One section, from top to bottom.

    Attributes:
        name: Short name, for links.
        title: Heading.
        parts: What was found; empty where it was not examined.
        advice: What to do next; empty where there is nothing to do.
        absent: Why it was not examined; empty where it was.
    """

    name: str
    title: str
    parts: tuple[Part, ...] = ()
    advice: tuple[str, ...] = ()
    absent: str = ""


def check_mark(check: Check) -> tuple[str, Role]:
    """Mark and role of a check: a tick only for what is shown."""
    return OUTCOMES[check.outcome if check.proven else "open"]


def said(text: str, mark: str = "", role: Role = "") -> Line:
    """A sentence, with a mark in the margin where one is given."""
    return Line(((text, ""),), mark=(mark, role) if mark else None)


def cases_shown(cases: Sequence[Case], *, full: bool, title: str = "") -> list[Part]:
    """Inputs with their answers: lines in a terminal, a table on a page.

    Args:
        cases: Most telling first.
        full: Whether there is room.
        title: What they are; stands above a table.
    """
    if not cases:
        return []
    if not full:
        return [_line(case) for case in cases[:CASES]]
    heading: list[Part] = [Line(((title, "strong"),))] if title else []
    return [*heading, _table(cases[:CASES_IN_FULL])]


def _line(case: Case) -> Line:
    text = words.shorten(case.text, CASE_LENGTH)
    if case.changed is not None:
        text = f"{text} → {words.shorten(case.changed, CASE_LENGTH)}"
    return Line(((f"{text} ", ""), (_answered(case), "dim")), indent=2, mark=("·", "dim"))


def _answered(case: Case) -> str:
    """What was answered to a case, and what was right, in a few words."""
    before = f"{case.answer} {words.confidence(case.confidence)}"
    actual = f"is {case.actual}, " if case.actual is not None else ""
    if case.answer_then is None:
        return f"({actual}answered {before})"
    then = case.answer_then if case.answer_then != case.answer else ""
    sure = "" if case.confidence_then is None else words.confidence(case.confidence_then)
    return f"({actual}answered {before}, then {' '.join(filter(None, (then, sure)))})"


def _table(cases: Sequence[Case]) -> Grid:
    """Cases as a table with the columns that they fill."""
    changed = any(case.changed is not None for case in cases)
    told = any(case.confidence_then is not None for case in cases)
    actual = any(case.actual is not None for case in cases)
    columns = (
        Column("input", wraps=True),
        *([Column("changed to", wraps=True)] if changed else []),
        *([Column("is", wraps=True)] if actual else []),
        Column("answered", wraps=True),
        Column("sure", "right"),
        *([Column("then answered", wraps=True)] if changed else []),
        *([Column("sure", "right")] if told else []),
    )
    rows = [
        Row(
            (
                Cell(_in_full(case.text)),
                *([Cell(_in_full(case.changed or ""))] if changed else []),
                *([Cell(case.actual if case.actual is not None else "–")] if actual else []),
                Cell(case.answer, "bad" if case.actual not in (None, case.answer) else ""),
                Cell(words.confidence(case.confidence)),
                *([Cell(case.answer_then or "–", "bad")] if changed else []),
                *([Cell(_sure(case.confidence_then))] if told else []),
            )
        )
        for case in cases
    ]
    return Grid(columns, tuple(rows))


def _in_full(text: str) -> str:
    return words.shorten(text, CASE_LENGTH_IN_FULL)


def _sure(confidence: float | None) -> str:
    return "–" if confidence is None else words.confidence(confidence)
