"""What `milepost verify TASK N` prints: whether every number is the same."""

from milepost.entities.reproduction import VECTORS_AGREE, Reproduction, Unequal
from milepost.reports import words
from milepost.reports.document import (
    BLANK,
    Bullets,
    Document,
    Line,
    Part,
    Role,
)

SHOWN = 20
CHARS = 90
_WHY = (
    "Numbers differ where a record was changed, or where other versions of numpy, ONNX Runtime or "
    "another processor round otherwise: those differ by little, in many places. `milepost audit "
    "verify` tells whether the ledger was changed; --tolerance 1e-6 leaves rounding out."
)


def reproduction_table(found: Reproduction) -> Document:
    """The verdict, what was compared, and what differs."""
    mark: tuple[str, Role] = ("✔", "good") if found.holds else ("✘", "bad")
    head = f"{found.task}#{found.release}  {found.strategy}, contest {found.contest}"
    parts: list[Part] = [
        Line(((head, "strong"),)),
        BLANK,
        Line(((_numbers(found), "strong"),), mark=mark),
        _line(found.predictor, _predictor(found)),
        _line(found.answers_apart <= found.tolerance, _answers(found)),
    ]
    if found.vectors:
        parts.append(_line(found.vectors_apart <= VECTORS_AGREE, _vectors(found)))
    if found.unequal:
        parts += [BLANK, *(_unequal(each) for each in found.unequal[:SHOWN])]
        if len(found.unequal) > SHOWN:
            more = words.count(len(found.unequal) - SHOWN, "more difference")
            parts.append(Line(((f"{more}; see all with --json.", "dim"),)))
    notes = list(found.notes)
    if not found.holds:
        notes.insert(0, _WHY)
    return Document((*parts, BLANK, Bullets(tuple(notes))))


def _line(holds: bool, text: str) -> Line:  # noqa: FBT001 — one of two marks
    return Line(((text, ""),), mark=("✔", "good") if holds else ("✘", "bad"))


def _numbers(found: Reproduction) -> str:
    wrong = sum(each.apart is not None or _numeric(each) for each in found.unequal)
    same = found.numbers - wrong
    within = f" within {found.tolerance:g}" if found.tolerance else ""
    said = f"{same:,} of {found.numbers:,} numbers are the same{within}"
    other = len(found.unequal) - wrong
    said += f", and {found.texts - other:,} of {found.texts:,} sentences and names"
    first = f"; the first that is not: {found.unequal[0].where}" if found.unequal else ""
    return f"{said}{first}."


def _numeric(each: Unequal) -> bool:
    """Whether a number is on one side and nothing on the other."""
    text = each.recorded or each.recomputed
    return text[:1].isdigit() or text[:1] == "-"


def _predictor(found: Reproduction) -> str:
    return (
        "Fitted again, the predictor is the same to the byte."
        if found.predictor
        else "Fitted again, the predictor has other bytes."
    )


def _answers(found: Reproduction) -> str:
    said = f"{words.count(found.answers, 'stored probability', 'stored probabilities')} recomputed"
    apart = f"at most {found.answers_apart:.2g} apart" if found.answers_apart else "all the same"
    return f"{said}: {apart}."


def _vectors(found: Reproduction) -> str:
    apart = f"at most {found.vectors_apart:.1g} apart" if found.vectors_apart else "all the same"
    return (
        f"{words.count(found.vectors, 'text')} encoded again: vectors {apart} "
        f"({VECTORS_AGREE:g} is allowed, because a batch changes the last digit)."
    )


def _unequal(each: Unequal) -> Line:
    recorded, recomputed = (
        words.shorten(text, CHARS) or "nothing" for text in (each.recorded, each.recomputed)
    )
    apart = f", {each.apart:.2g} apart" if each.apart is not None else ""
    said = f": recorded {recorded}, recomputed {recomputed}{apart}"
    return Line(((each.where, "strong"), (said, "")), mark=("·", "dim"))
