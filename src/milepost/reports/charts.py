"""Charts of a contest, made once and written as SVG or PNG from the same specification."""

import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from milepost.entities.contest import Candidate, Contest, CurvePoint
from milepost.entities.scorecard import Calibration
from milepost.reports import theme, words
from milepost.reports.axes import Axis, Quality, finish, fit
from milepost.reports.placing import Box, Mark, place_labels
from milepost.reports.records import ReportSubject
from milepost.reports.row_charts import confusions_chart, labels_chart, slices_chart
from milepost.reports.theme import Chart

if TYPE_CHECKING:
    import altair as alt

PLOT = 474
"""Width of a plot that has an axis on its left, in pixels; with the axis about ``theme.WIDTH``."""
HEIGHT = 270
Rows = list[dict[str, object]]


def charts_of(subject: ReportSubject) -> tuple[Chart, ...]:
    """Every chart that the subject's last contest has data for, in reading order."""
    contest = subject.contest
    scorecard = words.shown_scorecard(contest) if contest else None
    if contest is None or scorecard is None:
        return ()
    drawn = (
        quality_against_cost(contest),
        reliability_chart(scorecard.calibration, scorecard.objective.n),
        slices_chart(scorecard),
        learning_curve(contest, words.asked(subject.task.objective)),
        confusions_chart(scorecard.confusions),
        labels_chart(scorecard.labels),
    )
    return tuple(chart for chart in drawn if chart is not None)


def write_charts(subject: ReportSubject, directory: Path, scale: float = 2.0) -> tuple[Path, ...]:
    """Write each chart as ``<task>-<chart>.png`` and return the paths.

    Args:
        subject: What to draw.
        directory: Made when it is missing; files of the same name are replaced.
        scale: Pixels per unit; 2 gives about 1,080 pixels across.

    Raises:
        OSError: If the directory cannot be written.
    """
    directory.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    for chart in charts_of(subject):
        path = directory / f"{subject.task.name}-{chart.name}.png"
        path.write_bytes(chart.png(scale))
        written.append(path)
    return tuple(written)


def quality_against_cost(contest: Contest) -> Chart | None:
    """Quality against cost per thousand predictions; ``None`` when nothing was timed."""
    timed = [c for c in contest.candidates if c.scorecard and c.scorecard.latency]
    lower = words.lower_is_better(contest)
    kept, left_out = _apart_from_far_off(timed, -1 if lower else 1)
    if not kept:
        return None
    rows = _cost_rows(kept)
    metric = words.metric_of(contest)
    title = f"{words.capital(metric)} against cost"
    subtitle = ["Whiskers: intervals. Line: nothing is both cheaper and better."]
    beyond = "Above" if lower else "Below"
    subtitle += [f"{beyond} this drawing: {_named(candidate)}." for candidate in left_out]
    said = "; ".join(_named(candidate) for candidate in timed)
    chosen = contest.chosen
    tail = f" Chosen: {chosen.strategy}." if chosen else ""
    spec = _cost_spec(rows, Quality.of(words.shown_scorecard(contest)), title, subtitle)
    return Chart("quality-against-cost", title, f"Scatter plot. {said}.{tail}", spec)


def _named(candidate: Candidate) -> str:
    card = candidate.scorecard
    if card is None or card.latency is None:
        return candidate.strategy
    cost = words.usd(card.latency.cost_per_1k_usd)
    return f"{words.clean(candidate.strategy)} {words.score(card.objective.value)} at {cost}"


def _apart_from_far_off(
    candidates: Sequence[Candidate], sign: int
) -> tuple[list[Candidate], list[Candidate]]:
    """Leave the worst out where it would take more than half of the height for itself."""

    def quality(candidate: Candidate) -> float:
        return sign * candidate.scorecard.objective.value if candidate.scorecard else 0.0

    ranked = sorted(candidates, key=quality, reverse=True)
    values = [quality(candidate) for candidate in ranked if candidate.scorecard]
    if len(values) >= 3 and values[-2] - values[-1] > values[0] - values[-2]:
        return ranked[:-1], ranked[-1:]
    return ranked, []


def _cost_rows(candidates: Sequence[Candidate]) -> Rows:
    """One row per candidate, the chosen one first; no cost is drawn below the cheapest one."""
    costs = [
        c.scorecard.latency.cost_per_1k_usd
        for c in candidates
        if c.scorecard and c.scorecard.latency
    ]
    positive = [cost for cost in costs if cost > 0] or [1e-4]
    rows: Rows = []
    for candidate in sorted(candidates, key=lambda c: not c.chosen):
        card = candidate.scorecard
        if card is None or card.latency is None:
            continue
        cost, estimate = card.latency.cost_per_1k_usd, card.objective
        rows.append(
            {
                "strategy": fit(candidate.strategy, 150),
                "cost": cost if cost > 0 else min(positive) / 3,
                "value": estimate.value,
                "low": estimate.low,
                "high": estimate.high,
                "chosen": candidate.chosen,
            }
        )
    return rows


def _cost_spec(rows: Rows, quality: Quality, title: str, subtitle: list[str]) -> dict[str, object]:
    import altair as alt

    costs = [_number(row["cost"]) for row in rows]
    spread = max(1.4, (max(costs) / min(costs)) ** 0.16)
    domain_x = [min(costs) / spread, max(costs) * spread**1.8]
    y = quality.axis([_number(row[key]) for row in rows for key in ("low", "high")])
    ticks_x = _log_ticks(*domain_x)
    x = Axis("USD per 1,000 predictions", domain_x, ticks_x, log=True, format="$~r", grid=False)
    base = alt.Chart(alt.Data(values=rows)).encode(x=x.x("cost"))
    color = alt.condition("datum.chosen", alt.value(theme.ACCENT), alt.value(theme.OTHER))
    edge = _frontier(rows, quality.sign)
    frontier = alt.Chart(alt.Data(values=edge))
    return finish(
        [
            frontier.mark_line(
                interpolate="step-after", color=theme.OTHER, strokeWidth=1.2, strokeDash=[4, 3]
            ).encode(x=x.x("cost"), y=y.y("value")),
            base.mark_rule(strokeWidth=1.8).encode(y=y.y("low"), y2="high:Q", color=color),
            base.mark_circle(opacity=1).encode(
                y=y.y("value"),
                color=color,
                size=alt.condition("datum.chosen", alt.value(130), alt.value(75)),
            ),
            *_cost_labels(rows, edge, domain_x, y.domain),
        ],
        height=HEIGHT,
        width=PLOT,
        title=title,
        subtitle=subtitle,
    )


def _cost_labels(
    rows: Rows, edge: Rows, domain_x: Sequence[float], domain_y: Sequence[float]
) -> list["alt.Chart"]:
    """Names beside their points, each where it hides least."""
    import altair as alt

    def across(cost: float) -> float:
        reach = math.log(domain_x[1] / domain_x[0])
        return PLOT * math.log(cost / domain_x[0]) / reach

    def down(value: float) -> float:
        return HEIGHT * (domain_y[1] - value) / (domain_y[1] - domain_y[0])

    marks = [
        Mark(
            across(_number(row["cost"])),
            down(_number(row["value"])),
            down(_number(row["high"])),
            down(_number(row["low"])),
            str(row["strategy"]),
        )
        for row in rows
    ]
    corners = [(across(_number(r["cost"])), down(_number(r["value"]))) for r in edge]
    lines = [
        line
        for (x0, y0), (x1, y1) in itertools.pairwise(corners)
        for line in (
            Box(x0, y0 - 2, x1, y0 + 2),
            Box(x1 - 2, min(y0, y1), x1 + 2, max(y0, y1)),
        )
    ]
    places = place_labels(marks, PLOT, HEIGHT, theme.LABEL_SIZE, lines)
    layers: list[alt.Chart] = []
    for mark, place, row in zip(marks, places, rows, strict=True):
        chosen = bool(row["chosen"])
        text = alt.Chart(alt.Data(values=[{"strategy": mark.text}])).mark_text(
            align=place.align,
            fontWeight="bold" if chosen else "normal",
            color=theme.ACCENT if chosen else theme.INK,
        )
        layers.append(text.encode(x=alt.value(place.x), y=alt.value(place.y), text="strategy:N"))
        if abs(place.y - mark.y) > 20:
            layers.append(_leader(mark, place.x, place.y))
    return layers


def _leader(mark: Mark, x: float, y: float) -> "alt.Chart":
    """A thin line from a point to a label that had to move away from it."""
    import altair as alt

    end = y + (6 if y < mark.y else -6)
    return (
        alt.Chart(alt.Data(values=[{}]))
        .mark_rule(color=theme.OTHER, strokeWidth=0.8)
        .encode(x=alt.value(mark.x), y=alt.value(mark.y), x2=alt.value(x + 2), y2=alt.value(end))
    )


def _frontier(rows: Rows, sign: int) -> Rows:
    """Candidates that none is both cheaper and better than, by cost."""
    best, kept = -math.inf, []
    for row in sorted(rows, key=lambda r: (_number(r["cost"]), -sign * _number(r["value"]))):
        if sign * _number(row["value"]) > best:
            best = sign * _number(row["value"])
            kept.append({"cost": row["cost"], "value": row["value"]})
    return kept


def _log_ticks(low: float, high: float) -> list[float]:
    """At most six round values on a log axis, finer ones where less than a decade is shown."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in ((1, 1.5, 2, 3, 4, 5, 7), (1, 2, 5), (1, 3), (1,)):
        ticks = [float(f"{step}e{decade}") for decade in decades for step in steps]
        ticks = [tick for tick in ticks if low <= tick <= high]
        if len(ticks) <= 6:
            return ticks
    return ticks[:: math.ceil(len(ticks) / 6)]


def reliability_chart(calibration: Calibration | None, n: int) -> Chart | None:
    """Observed accuracy against stated confidence; ``None`` when there are no bins."""
    if calibration is None or not calibration.bins:
        return None
    import altair as alt

    rows: Rows = [
        {"confidence": b.confidence, "accuracy": b.accuracy, "low": b.low, "high": b.high}
        for b in calibration.bins
    ]
    lowest = min(min(b.low, b.confidence) for b in calibration.bins)
    start = 0.0 if lowest < 0.25 else math.floor(lowest * 10) / 10
    domain, ticks = [start, 1.0], [start + 0.1 * i for i in range(round((1 - start) * 10) + 1)]
    ticks = [round(t, 1) for t in ticks[:: 2 if len(ticks) > 7 else 1]]
    y = Axis("observed accuracy", domain, ticks)
    x = Axis("stated confidence", domain, ticks).x("confidence")
    base = alt.Chart(alt.Data(values=rows)).encode(x=x)
    diagonal = alt.Chart(
        alt.Data(values=[{"confidence": v, "accuracy": v} for v in domain])
    ).mark_line(color=theme.OTHER, strokeDash=[4, 3], strokeWidth=1.2)
    title = "Are the confidences true?"
    subtitle = [
        f"ECE {words.score(calibration.ece)}; a perfect model would show about "
        f"{words.score(calibration.ece_if_perfect)} at n = {n:,}.",
        f"{len(rows)} bins of equal mass. Temperature {calibration.temperature:.2f}.",
    ]
    spec = finish(
        [
            diagonal.encode(x=x, y=y.y("accuracy")),
            base.mark_rule(color=theme.ACCENT, strokeWidth=1.8).encode(y=y.y("low"), y2="high:Q"),
            base.mark_circle(color=theme.ACCENT, size=65, opacity=1).encode(y=y.y("accuracy")),
            _note("too modest", 10, 12, "left"),
            _note("too sure", PLOT - 10, HEIGHT - 12, "right"),
        ],
        height=HEIGHT,
        width=PLOT,
        title=title,
        subtitle=subtitle,
    )
    said = "; ".join(f"{b.confidence:.2f} stated, {b.accuracy:.2f} right" for b in calibration.bins)
    return Chart("reliability", title, f"Reliability diagram. {' '.join(subtitle)} {said}.", spec)


def _note(text: str, x: float, y: float, align: str) -> "alt.Chart":
    import altair as alt

    return (
        alt.Chart(alt.Data(values=[{}]))
        .mark_text(align=align, color=theme.MUTED, fontSize=theme.SMALL_SIZE, fontStyle="italic")  # pyright: ignore[reportArgumentType]
        .encode(x=alt.value(x), y=alt.value(y), text=alt.value(text))
    )


def learning_curve(contest: Contest, bound: tuple[str, float] | None) -> Chart | None:
    """Quality at growing numbers of examples; ``None`` with fewer than two points.

    Args:
        contest: The contest.
        bound: Floor or ceiling to draw, with its name.
    """
    points = sorted(contest.curve, key=lambda point: point.examples)
    if len(points) < 2:
        return None
    import altair as alt

    metric = words.metric_of(contest)
    rows: Rows = [_curve_row(point) for point in points]
    values = [_number(row[key]) for row in rows for key in ("low", "high")]
    values += [bound[1]] if bound is not None else []
    y = Quality.of(words.shown_scorecard(contest)).axis(values)
    last = points[-1]
    x = alt.X(
        "examples:Q",
        title="training examples",
        scale=alt.Scale(domain=[points[0].examples, last.examples * 1.08], nice=False),
        axis=alt.Axis(format=",d", grid=False, tickCount=6),
    )
    base = alt.Chart(alt.Data(values=rows)).encode(x=x)
    layers = [
        base.mark_area(color=theme.BAND, opacity=1).encode(y=y.y("low"), y2="high:Q"),
        base.mark_line(color=theme.ACCENT, strokeWidth=2.2).encode(y=y.y("value")),
        base.mark_circle(color=theme.ACCENT, size=50, opacity=1).encode(y=y.y("value")),
        alt.Chart(alt.Data(values=rows[-1:]))
        .mark_text(align="left", dx=8, color=theme.ACCENT, fontWeight="bold")
        .encode(x=x, y=y.y("value"), text=alt.Text("value:Q", format=".2f")),
    ]
    if bound is not None:
        layers += _bound_line(*bound, y)
    title = "Would more labels help?"
    subtitle = ["Closed-form head, measured out of fold. Band: interval."]
    spec = finish(layers, height=HEIGHT, width=PLOT, title=title, subtitle=subtitle)
    said = "; ".join(f"{p.examples:,} examples {p.estimate.value:.2f}" for p in points)
    return Chart("learning-curve", title, f"Learning curve, {metric}. {said}.", spec)


def _curve_row(point: CurvePoint) -> dict[str, object]:
    estimate = point.estimate
    return {
        "examples": point.examples,
        "value": estimate.value,
        "low": estimate.low,
        "high": estimate.high,
    }


def _bound_line(name: str, value: float, y: Axis) -> list["alt.Chart"]:
    import altair as alt

    base = alt.Chart(alt.Data(values=[{"value": value}])).encode(y=y.y("value"))
    return [
        base.mark_rule(color=theme.WARM, strokeDash=[5, 3], strokeWidth=1.4),
        base.mark_text(align="left", dy=-8, color=theme.WARM, fontSize=theme.SMALL_SIZE).encode(
            x=alt.value(6), text=alt.value(f"{name} {value:g}")
        ),
    ]


def _number(value: object) -> float:
    return float(str(value))
