"""A cascade in tables: what it promises, which rung answers how much, and what that saves."""

from milepost.entities.cascade import PERSON, CascadeScore, PromisedRung, Recheck, RungShare
from milepost.entities.contest import Contest
from milepost.reports import words
from milepost.reports.document import BLANK, Cell, Column, Document, Grid, Line, Part, Role, Row

MARKS: dict[str, tuple[str, Role]] = {
    "kept": ("✔", "good"),
    "open": ("!", "warn"),
    "broken": ("✘", "bad"),
    "too_few": ("?", "warn"),
}


def cascade_parts(contest: Contest) -> list[Part]:
    """What the contest's cascade promises; nothing where there is none."""
    for candidate in contest.candidates:
        card = candidate.scorecard
        if card is not None and card.cascade is not None:
            return [BLANK, *score_parts(card.cascade)]
    return []


def score_parts(score: CascadeScore) -> list[Part]:
    """A promise, what was found of it, and its rungs."""
    mark = MARKS[score.outcome]
    parts: list[Part] = [Line((("Cascade: ", "strong"), (score.sentence, "")), mark=mark)]
    return [*parts, rungs_grid(score), Line(((saving(score), "dim"),), mark=("·", "dim"))]


def rungs_grid(score: CascadeScore) -> Grid:
    """The rungs, cheapest first, on the rows that the score is about."""
    columns = (
        Column("rung", wraps=True),
        Column("answers", "right"),
        Column("wrong of them", "right"),
        Column("USD/1k", "right"),
        Column("p50 ms", "right"),
    )
    shares = {share.name: share for share in score.rungs}
    answered = sum(share.answered for share in score.rungs)
    rows = [
        _row(rung, shares.get(rung.name), score.n, score.n - answered)
        for rung in score.promise.rungs
    ]
    return Grid(columns, tuple(rows))


def _row(rung: PromisedRung, share: RungShare | None, n: int, rest: int) -> Row:
    count = rest if share is None else share.answered
    wrong = "" if share is None else f"{share.answered - share.right:,} of {share.answered:,}"
    person = rung.name == PERSON
    return Row(
        (
            Cell(rung.name, "" if share is not None else "dim"),
            Cell(words.percent(count / n) if n else ""),
            Cell(wrong),
            Cell("" if person else words.usd(rung.usd_per_1k)),
            Cell("" if person else words.milliseconds(rung.p50_ms)),
        )
    )


def saving(score: CascadeScore) -> str:
    """What a thousand answers cost, beside what the last rung alone would."""
    promise = score.promise
    cost = f"{words.usd(promise.usd_per_1k)} for 1,000 answers"
    if promise.last_usd_per_1k is None:
        return f"{cost}, without what people cost."
    last = promise.rungs[-1].name
    return f"{cost}; {words.usd(promise.last_usd_per_1k)} were `{last}` asked every time."


def recheck_table(recheck: Recheck) -> Document:
    """Whether a release's promise still holds."""
    mark = MARKS[recheck.outcome]
    head = Line(((recheck.task, "accent"), (f"  release {recheck.release}", "")))
    facts = f"{recheck.asked:,} answers were drawn to be checked, {recheck.checked:,} of them were."
    if recheck.checked < recheck.asked:
        facts += f" The others: milepost recheck {recheck.task} --ask FILE"
    return Document(
        (
            head,
            BLANK,
            Line(((recheck.sentence, ""),), mark=mark),
            Line(((facts, "dim"),), mark=("·", "dim")),
        )
    )
