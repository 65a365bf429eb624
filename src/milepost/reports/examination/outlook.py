"""What is told by answers, and what more labels would bring."""

from collections.abc import Iterator

from milepost.entities.contest import CurvePoint
from milepost.reports import words
from milepost.reports.document import BLANK, Cell, Column, Grid, Line, Part, Row
from milepost.reports.examination.section import MATTERS, Section, cases_shown, said
from milepost.reports.records import Examined
from milepost.reports.scales import bar, common_scale

GUESSING = 0.01
"""True positive rate of guessing at a false positive rate of 1 %."""


def privacy(examined: Examined, *, full: bool) -> Section:
    """What an attacker learns from its answers about the training examples."""
    title = "Whether it tells what it was trained on"
    found = examined.found.privacy
    if found is None:
        return Section("privacy", title, absent="No attack was run against it.")
    rate = found.tpr_at_1_fpr
    told = rate.low > GUESSING
    unsure = not told and rate.high > MATTERS
    times = f"{rate.value / GUESSING:.1f} times"
    compare = f"{times} what guessing would" if rate.value > GUESSING else "no more than guessing"
    parts: list[Part] = [
        said(
            f"An attacker who accuses 1 % of strangers recognises {words.share(rate)} of the "
            f"{words.count(found.members, 'training example')} attacked, {compare}"
            + (f"; so few cannot rule out more than {words.percent(MATTERS)}." if unsure else "."),
            "!" if told else "?" if unsure else "✔",
            "warn" if told or unsure else "good",
        ),
        said(
            f"AUROC of the attack: {words.measured(found.auroc)}; 0.5 is guessing. "
            f"{words.count(found.shadows, 'shadow predictor')}."
        ),
        Line(((words.capital(found.method), "dim"),)),
    ]
    if found.cases and told:
        heading = "Training examples that are told most surely"
        parts += [BLANK, *([] if full else [Line(((heading, "strong"),))])]
        parts += cases_shown(found.cases, full=full, title=heading)
    advice = (
        "Publish labels without confidences where outsiders can ask it, and look whether the "
        "examples above may be known.",
    )
    return Section("privacy", title, tuple(parts), advice if told else ())


def forecast(examined: Examined, *, full: bool) -> Section:
    """What more labels are expected to bring."""
    del full
    title = "What more labels would bring"
    points = examined.contest.forecast
    if not points:
        from milepost.evaluation.forecast import why_none

        why = why_none(examined.scorecard.metric, examined.contest.curve, examined.contest)
        return Section("forecast", title, absent=why or "No forecast was made.")
    now = examined.contest.curve[-1] if examined.contest.curve else None
    parts: list[Part] = [said(_whose(examined)), _points(examined, now, points)]
    bound = words.asked(examined.task.objective)
    advice = (
        ()
        if bound is None or now is None or _reaches(examined.scorecard.objective.value, *bound)
        else tuple(_worth(points, now, *bound))
    )
    return Section("forecast", title, tuple(parts), advice)


def _whose(examined: Examined) -> str:
    """What the numbers are of: not of what the scorecard is made of."""
    beside = ""
    if examined.scorecard.regime != "cross_fitted":
        where = "the test file" if examined.scorecard.regime == "test_file" else "the holdout"
        beside = f", not measured on {where} as the scorecard is"
    return f"Of the closed-form head, cross-fitted on the training examples{beside}."


def _points(examined: Examined, now: CurvePoint | None, points: tuple[CurvePoint, ...]) -> Grid:
    rows = [*([("now", now)] if now else []), *((_times(now, point), point) for point in points)]
    scale = common_scale([point.estimate for _, point in rows])
    metric = words.metric_name(examined.scorecard.metric)
    columns = (
        Column("labels"),
        Column("examples", "right"),
        Column(metric, "right"),
        Column("", width=24),
    )
    return Grid(
        columns,
        tuple(
            Row(
                (
                    Cell(name),
                    Cell(words.count(point.examples)),
                    Cell(words.measured(point.estimate)),
                    Cell(bar=bar(point.estimate, scale)),
                )
            )
            for name, point in rows
        ),
    )


def _times(now: CurvePoint | None, point: CurvePoint) -> str:
    return f"{point.examples / now.examples:.2g} times" if now and now.examples else "later"


def _worth(
    points: tuple[CurvePoint, ...], now: CurvePoint, name: str, bound: float
) -> Iterator[str]:
    """Whether more labels are expected to reach the floor, or to get below the ceiling."""
    if _reaches(now.estimate.value, name, bound):
        return
    reached = next((p for p in points if _reaches(p.estimate.value, name, bound)), None)
    if reached is not None:
        yield (
            f"The {name} of {bound:g} is expected to be reached at about "
            f"{words.count(reached.examples, 'example')}."
        )
        return
    last, rises = points[-1], name != "ceiling"
    if not _reaches(last.estimate.high if rises else last.estimate.low, name, bound):
        easier = "lower floor" if rises else "higher ceiling"
        yield (
            f"Even {words.count(last.examples, 'example')} are not expected to reach the {name} "
            f"of {bound:g}: other labels, a better encoder or a {easier} are needed."
        )


def _reaches(value: float, name: str, bound: float) -> bool:
    """Whether a value keeps the floor or ceiling."""
    return value <= bound if name == "ceiling" else value >= bound
