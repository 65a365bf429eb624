"""How much is left to look at, and what rows that leak would have made of the number."""

from milepost.entities.scorecard import Scorecard, Spending
from milepost.reports import words
from milepost.reports.document import BLANK, Bar, Cell, Column, Grid, Line, Part, Row
from milepost.reports.examination.section import Section, said
from milepost.reports.records import Examined
from milepost.reports.scales import bar, common_scale

NAME = "looks"
TITLE = "What is left to look at"


def looks(examined: Examined, *, full: bool) -> Section:
    """How often these examples have been judged on, what that cost, and what leaks took off."""
    del full
    card = examined.scorecard
    parts: list[Part] = []
    if card.spent is not None:
        released = examined.contest.decision.verdict == "released"
        parts += [_spent(card.spent), said(_confidence(card.spent, released=released))]
    elif card.looks:
        parts.append(said(f"Look {card.looks} at these examples."))
    if card.naive is not None:
        parts += [*([BLANK] if parts else []), *_leaks(card)]
    if not parts:
        return Section(NAME, TITLE, absent="Looks were not recorded.")
    advice: tuple[str, ...] = ()
    if card.spent is not None and 2 * card.spent.look > card.spent.most:
        advice = (
            f"Label new examples before they are worn out: milepost looks {examined.task.name} "
            "says how many.",
        )
    return Section(NAME, TITLE, tuple(parts), advice)


def looks_left(spent: Spending) -> str:
    """Looks that these examples can still serve."""
    return words.count(max(0, spent.most - spent.look))


def _spent(spent: Spending) -> Grid:
    """Looks that were used, and those that are left, on one scale from the first to the last."""
    used, most = float(spent.look), float(max(spent.most, spent.look))
    columns = (Column("looks at these examples", wraps=True), Column("", width=24))
    rows = (
        (f"used: {spent.look} of {spent.most}", Bar(0.0, used, used, 0.0, most)),
        (f"left: {looks_left(spent)}", Bar(used, most, most, 0.0, most)),
    )
    return Grid(columns, tuple(Row((Cell(name), Cell(bar=span))) for name, span in rows))


def _confidence(spent: Spending, *, released: bool) -> str:
    """What this look's statements hold with, rounded so that nothing sounds surer than it is.

    A look that released has paid nothing: it hands its share on to the next one.
    """
    left = spent.left + (spent.alpha if released else 0.0)
    sure = f"{int((1 - spent.alpha) * 1e3 + 1e-6) / 10:g} %"
    return (
        f"This look decides with {sure} confidence, so that a false release stays rare over all "
        f"looks together; {words.error_left(left)}."
    )


def _leaks(card: Scorecard) -> list[Part]:
    """The honest number and the naive one beside it."""
    assert card.naive is not None  # noqa: S101 - asked by those who know that there is one
    metric = words.metric_name(card.metric)
    rows = (
        ("left out, as it counts", card.objective, "strong"),
        ("had it been trained on them", card.naive, "dim"),
    )
    scale = common_scale([estimate for _, estimate, _ in rows])
    columns = (
        Column("rows that leak into the test file", wraps=True),
        Column(metric, "right"),
        Column("", width=20),
    )
    grid = Grid(
        columns,
        tuple(
            Row((Cell(name), Cell(words.measured(each)), Cell(bar=bar(each, scale))), role)  # pyright: ignore[reportArgumentType]
            for name, each, role in rows
        ),
    )
    return [grid, Line(((words.capital(leaks(card)), ""),))]


def leaks(card: Scorecard) -> str:
    """The number that leaks would have given, beside the one without them; empty without leaks."""
    if card.naive is None:
        return ""
    metric = words.metric_name(card.metric)
    naive, honest = words.measured(card.naive), words.measured(card.objective)
    if naive == honest:
        return f"training on the rows that leak into the test file would not change the {metric}."
    return (
        f"trained on the rows that leak into the test file, {metric} would read {naive}; "
        f"without them it is {honest}."
    )
