"""What is certified of answers to similar questions, as tables."""

from collections.abc import Sequence

from milepost.entities.money import usd
from milepost.entities.similar import SimilarFound, SimilarState
from milepost.reports import words
from milepost.reports.document import (
    BLANK,
    Cell,
    Column,
    Document,
    Grid,
    Line,
    Part,
    Row,
    sentence,
)


def similar_table(states: Sequence[SimilarState]) -> Document:
    """All banks, and which of them answer."""
    if not states:
        said = "No task answers similar questions: `milepost upstreams similar TASK` certifies it."
        return Document((sentence(said),))
    columns = (
        Column("task", wraps=True),
        Column("release", "right"),
        Column("upstream", wraps=True),
        Column("holds", "right"),
        Column("at most wrong", "right"),
        Column("saves", "right"),
        Column("until"),
        Column(""),
    )
    parts: list[Part] = [Grid(columns, tuple(map(_row, states))), BLANK]
    parts.append(sentence("saves: share of the questions it was tried with that were hits.", "dim"))
    for each in states:
        if each.lapsed is not None:
            said = f"{each.task}: {each.lapsed}. Certify it anew, or take it out of the task file."
            parts += [BLANK, Line(((said, ""),), mark=("!", "warn"))]
    return Document(tuple(parts))


def certified_sheet(found: SimilarFound) -> Document:
    """What certifying a task came to, in words."""
    asked = f"release {found.release} of {found.task}: {found.questions:,} questions"
    parts: list[Part] = [
        Line(((found.task, "accent"), (f"  {asked}, {usd(found.micro_usd)} spent", "dim")))
    ]
    for bank in found.banks:
        parts += [BLANK, Line(((promise(bank), ""),), mark=("✔", "good"))]
    for why in found.refused:
        parts += [BLANK, Line(((f"{why[:1].upper()}{why[1:]}", ""),), mark=("✘", "bad"))]
    if found.banks:
        said = "Running servers follow. Contests and evaluations go on asking the model itself."
        parts += [BLANK, sentence(said, "dim")]
    return Document(tuple(parts))


def promise(bank: SimilarState) -> str:
    """What is promised, and on what it rests, in one sentence."""
    claimed = bank.certificate
    return (
        f"Of the questions that are answered as similar ones were, {bank.upstream} would have "
        f"answered at most {100 * claimed.at_most_wrong:g} % otherwise, with "
        f"{100 * claimed.confidence:g} % confidence: {claimed.wrong:,} of {claimed.hits:,} hits "
        f"among {claimed.tried:,} questions, from a similarity of {claimed.threshold:.3f} to one "
        f"of {bank.questions:,}. It holds until {bank.expires:%Y-%m-%d}, for this prompt, model "
        "and encoder."
    )


def _row(state: SimilarState) -> Row:
    claimed = state.certificate
    ends = Cell("lapsed", "warn") if state.lapsed is not None else Cell("answers", "good")
    return Row(
        (
            Cell(state.task, "strong"),
            Cell(str(state.release)),
            Cell(words.clean(state.upstream)),
            Cell(f"{state.questions:,}"),
            Cell(f"{100 * claimed.at_most_wrong:g} %"),
            Cell(f"{100 * claimed.hits / max(1, claimed.tried):.0f} %"),
            Cell(f"{state.expires:%Y-%m-%d}"),
            ends,
        )
    )
