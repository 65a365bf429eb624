"""Whether a candidate knows what it does not know: withheld answers, sets of labels, scope."""

from collections.abc import Iterator, Sequence

from milepost.entities.examination import (
    Abstention,
    Knowing,
    PredictionSets,
    RiskPoint,
    ScopeScore,
)
from milepost.reports import words
from milepost.reports.document import BLANK, Bar, Cell, Column, Grid, Line, Part, Row
from milepost.reports.examination.section import Section, said
from milepost.reports.records import Examined

NAME = "knowing"
TITLE = "What it knows that it does not know"
STOPS = (1.0, 0.9, 0.8, 0.7, 0.5, 0.3)
"""Shares answered that a table shows."""


def knowing(examined: Examined, *, full: bool) -> Section:
    """Risk at falling coverage, the abstention rule, prediction sets and inputs out of scope."""
    del full
    found = examined.found.knowing
    if found is None:
        return Section(NAME, TITLE, absent="Its confidences were not examined.")
    parts: list[Part] = []
    for part in (
        _curve(found.curve),
        _abstention(found.abstention),
        _sets(found.sets),
        _scope(found.scope),
    ):
        shown = list(part)
        parts += [*([BLANK] if parts and shown else []), *shown]
    return Section(NAME, TITLE, tuple(parts), _advice(examined, found))


def at_stops(curve: Sequence[RiskPoint]) -> list[RiskPoint]:
    """The points of a curve that lie nearest to round shares, most answered first."""
    chosen = [min(curve, key=lambda p: abs(p.coverage - stop)) for stop in STOPS] if curve else []
    return list({point.coverage: point for point in chosen}.values())


def _curve(curve: Sequence[RiskPoint]) -> Iterator[Part]:
    points = at_stops(curve)
    if not points:
        return
    most = max(0.01, *(point.high for point in points))
    columns = (
        Column("answered", "right"),
        Column("if at least this sure", "right"),
        Column("wrong of those", "right"),
        Column("", width=20),
    )
    yield Line((("If unsure answers are withheld", "strong"),))
    yield Grid(
        columns,
        tuple(
            Row(
                (
                    Cell(words.percent(point.coverage)),
                    Cell(f"{point.threshold:.2f}"),
                    Cell(_risk(point)),
                    Cell(bar=Bar(point.low, point.risk, point.high, 0.0, most)),
                )
            )
            for point in points
        ),
    )


def _risk(point: RiskPoint) -> str:
    low, high = point.low * 100, point.high * 100
    return f"{point.risk * 100:.1f} % [{low:.1f}, {high:.1f}]"


def _abstention(rule: Abstention | None) -> Iterator[Part]:
    if rule is None:
        return
    promise = f"at most {words.percent(rule.at_most_wrong)} of its answers wrong"
    sure = f"with {words.percent(rule.confidence)} confidence"
    yield Line((("Abstention", "strong"), (f", {promise}, {sure}", "")))
    if rule.threshold is None:
        yield said("No threshold keeps that on these examples.", "✘", "bad")
    else:
        given = f"Answers from {rule.threshold:.2f} confidence on"
        answered = f": {words.share(rule.answered)} are answered" if rule.answered else ""
        wrong = f"; {words.share(rule.wrong)} of those were wrong" if rule.wrong else ""
        yield said(f"{given}{answered}{wrong}.", "✔", "good")
    yield Line(((words.capital(rule.method), "dim"),))


def _sets(sets: Sequence[PredictionSets]) -> Iterator[Part]:
    if not sets:
        return
    columns = (
        Column("holds the right label", "right"),
        Column("did", "right"),
        Column("labels in a set", "right"),
        Column("just one label", "right"),
        Column("set on", "right"),
    )
    yield Line((("Sets of labels instead of one", "strong"),))
    yield Grid(
        columns,
        tuple(
            Row(
                (
                    Cell(words.percent(each.coverage)),
                    Cell(words.share(each.covered) if each.covered else "not measured"),
                    Cell(f"{each.size:.2f}"),
                    Cell(words.percent(each.single)),
                    Cell(words.count(each.n)),
                )
            )
            for each in sets
        ),
    )
    yield Line(((words.capital(sets[0].method), "dim"),))


def _scope(scope: ScopeScore | None) -> Iterator[Part]:
    if scope is None:
        return
    auroc = f", AUROC {words.measured(scope.auroc)}" if scope.auroc else ""
    yield Line((("Inputs out of scope", "strong"), (f", told by {_score(scope.score)}{auroc}", "")))
    rows = [
        ("in scope and not turned away", scope.kept),
        ("in scope and answered right", scope.in_scope),
        ("out of scope and turned away", scope.recall),
        ("turned away and out of scope", scope.precision),
        *((f"out of scope, {name}, and turned away", each) for name, each in scope.near.items()),
    ]
    columns = (
        Column("share of inputs", wraps=True),
        Column("", "right"),
        Column("", width=20),
        Column("n", "right"),
    )
    yield Grid(
        columns,
        tuple(
            Row(
                (
                    Cell(name),
                    Cell(words.share(each)),
                    Cell(bar=Bar(each.low, each.value, each.high, 0.0, 1.0)),
                    Cell(words.count(each.n)),
                )
            )
            for name, each in rows
            if each is not None
        ),
    )
    if len(scope.compared) > 1:
        tried = sorted(scope.compared.items(), key=lambda pair: -pair[1])
        listed = ", ".join(f"{_score(name)} {value:.3f}" for name, value in tried)
        yield Line(((f"Scores tried, AUROC out of fold: {listed}.", "dim"),))


def _score(name: str) -> str:
    return name.replace("_", " ")


def _advice(examined: Examined, found: Knowing) -> tuple[str, ...]:
    advice: list[str] = []
    refused = examined.task.no_room_for
    if found.abstention is None and found.curve and "abstain" not in refused:
        advice.append(
            "To have unsure answers withheld under a guarantee, declare "
            "`abstain: {at_most_wrong: 0.05}` in the task file."
        )
    elif found.abstention is not None and found.abstention.threshold is None:
        advice.append("Raise abstain.at_most_wrong, or label more examples.")
    if found.scope is None and not (examined.task.out_of_scope or "out_of_scope" in refused):
        advice.append(
            "If inputs may belong to none of the labels, label some as such and name that label "
            "under `out_of_scope`."
        )
    return tuple(advice)
