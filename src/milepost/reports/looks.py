"""Looks at judged messages as a table: who, when, what for, what they cost, what is left."""

from milepost.entities.looking import Looks, LookTaken
from milepost.reports import words
from milepost.reports.document import BLANK, Cell, Column, Document, Grid, Role, Row, sentence

_VERDICTS: dict[str | None, tuple[str, Role]] = {
    "released": ("released", "good"),
    "kept": ("kept", "accent"),
    "rejected": ("rejected", "bad"),
    "insufficient_evidence": ("insufficient evidence", "warn"),
}


def looks_table(looks: Looks) -> Document:
    """Looks in the order of time, and what the next one may spend."""
    if not looks.taken:
        return Document((sentence("Nobody has looked at what this task is judged on."),))
    columns = (
        Column("look", "right"),
        Column("when"),
        Column("who", wraps=True),
        Column("what for", wraps=True),
        Column("verdict"),
        Column("spent", "right"),
    )
    rows = tuple(_row(taken, looks.of_life) for taken in looks.taken)
    parts = [Grid(columns, rows)]
    summary = [sentence(line) for line in _summary(looks)]
    if looks.advice:
        summary.append(sentence(looks.advice, "warn"))
    return Document((*parts, BLANK, *summary))


def _row(taken: LookTaken, current: int) -> Row:
    verdict, role = _VERDICTS.get(taken.verdict, ("did not end", "dim"))
    if taken.look is None:
        verdict, role = "decides nothing", "dim"
    number = "" if taken.look is None else str(taken.look)
    if taken.of_life not in (None, current):
        number = f"{taken.of_life}/{number}"
    return Row(
        (
            Cell(number),
            Cell(words.day(taken.at)),
            Cell(words.clean(taken.actor)),
            Cell(words.clean(_purpose(taken))),
            Cell(verdict, role),
            Cell(_error(taken), "dim" if not taken.paid else ""),
        )
    )


def _purpose(taken: LookTaken) -> str:
    return f"contest {taken.contest}" if taken.contest else taken.purpose


def _error(taken: LookTaken) -> str:
    """What it cost, in percent; what a release hands on is in brackets."""
    if taken.alpha is None:
        return ""
    shown = words.error(taken.alpha)
    return shown if taken.paid else f"({shown})"


def _summary(looks: Looks) -> list[str]:
    lines: list[str] = []
    if looks.of_life:
        lines.append(
            f"{words.count(looks.used, 'look')} of at most {looks.most} at these messages; "
            f"{words.error_left(looks.left)}, of {words.error(looks.alpha)} in all."
        )
        if looks.next_alpha:
            lines.append(
                f"The next one decides with {100 * (1 - looks.next_alpha):.4g} % confidence."
            )
    if any(taken.alpha is not None and not taken.paid for taken in looks.taken):
        lines.append("In brackets: handed on to the next look by a release.")
    if looks.of_life > 1:
        lines.append(
            "The count began anew with new messages; 1/3 is the third look before that."
            if looks.of_life == 2
            else "The count began anew with new messages each time; 1/3 is the third look of the "
            "first count."
        )
    return lines
