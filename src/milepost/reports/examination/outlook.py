"""What is told by answers, and what more labels would bring."""

from collections.abc import Iterator

from milepost.entities.contest import CurvePoint
from milepost.evaluation.forecast import why_none
from milepost.reports import words
from milepost.reports.document import BLANK, Cell, Column, Grid, Line, Part, Row
from milepost.reports.examination.section import Section, cases_shown, said
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
    times = f"{rate.value / GUESSING:.1f} times"
    compare = f"{times} what guessing would" if rate.value > GUESSING else "no more than guessing"
    parts: list[Part] = [
        said(
            f"An attacker who accuses 1 % of strangers recognises {words.share(rate)} of the "
            f"{words.count(found.members, 'training example')} attacked, {compare}.",
            "!" if told else "✔",
            "warn" if told else "good",
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
        why = why_none(examined.scorecard.metric, examined.contest.curve)
        return Section("forecast", title, absent=why or "No forecast was made.")
    now = examined.contest.curve[-1] if examined.contest.curve else None
    parts: list[Part] = [_points(examined, now, points)]
    bound = words.asked(examined.task.objective)
    advice = () if bound is None or now is None else tuple(_worth(points, now, *bound))
    return Section("forecast", title, tuple(parts), advice)


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
    sign = -1.0 if name == "ceiling" else 1.0

    def reaches(value: float) -> bool:
        return sign * value >= sign * bound

    if reaches(now.estimate.value):
        return
    reached = next((point for point in points if reaches(point.estimate.value)), None)
    if reached is not None:
        yield (
            f"The {name} of {bound:g} is expected to be reached at about "
            f"{words.count(reached.examples, 'example')}."
        )
        return
    last = points[-1]
    if not reaches(last.estimate.high if sign > 0 else last.estimate.low):
        easier = "lower floor" if sign > 0 else "higher ceiling"
        yield (
            f"Even {words.count(last.examples, 'example')} are not expected to reach the {name} "
            f"of {bound:g}: other labels, a better encoder or a {easier} are needed."
        )
