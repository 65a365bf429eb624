"""Charts of an examination, each under the section that it belongs to."""

from collections.abc import Sequence

from milepost.entities.contest import CurvePoint
from milepost.entities.examination import (
    AttributeScore,
    BehaviourScore,
    Discovery,
    GroupScore,
    Knowing,
    RiskPoint,
    ScopeScore,
)
from milepost.reports import theme, words
from milepost.reports.axes import Axis, Quality, finish, value_axis
from milepost.reports.examination.changes import change_name, failures_first, worst_first
from milepost.reports.examination.groups import ordered
from milepost.reports.forest import ForestPlot, ForestRow, Number
from milepost.reports.records import Examined
from milepost.reports.theme import Chart

SHOWN = 16
"""Most rows of a chart; the tables beside it hold more."""
PARTS_SHOWN = 32
PLOT = 474
HEIGHT = 250


def charts_by_section(examined: Examined) -> dict[str, tuple[Chart, ...]]:
    """The charts that there are records for, by the name of their section."""
    found = examined.found
    drawn: dict[str, list[Chart | None]] = {
        "weakness": [found_slices(found.discovery)],
        "groups": [group_chart(examined, score, i) for i, score in enumerate(found.fairness)],
        "robustness": [robustness_chart(examined)],
        "behaviour": [
            behaviour_chart(found.behaviour),
            *(parts_chart(score) for score in found.behaviour),
        ],
        "knowing": _knowing(found.knowing),
        "forecast": [forecast_chart(examined)],
    }
    kept = {name: tuple(c for c in charts if c is not None) for name, charts in drawn.items()}
    return {name: charts for name, charts in kept.items() if charts}


def _knowing(found: Knowing | None) -> list[Chart | None]:
    return [risk_chart(found), sets_chart(found), scope_chart(found.scope)] if found else []


def _chart(name: str, plot: ForestPlot) -> Chart:
    said = f"Forest plot. {' '.join(plot.subtitle)} {plot.spoken()}."
    return Chart(name, plot.title, said, plot.spec())


def found_slices(discovery: Discovery | None) -> Chart | None:
    """The slices that were found, worst first, each with its accuracy."""
    if discovery is None or not discovery.found:
        return None
    shown = discovery.found[:SHOWN]
    rows = [
        ForestRow(each.description, (Number.of(each.estimate, "worse"),), f"n {each.n:,}",
                  each.estimate.value + each.gap)
        for each in shown
    ]  # fmt: skip
    plot = ForestPlot(
        rows=rows,
        title="Slices that were found",
        subtitle=["Accuracy in the slice with its interval. Tick: accuracy of the rest."],
        axis="accuracy",
    )
    return _chart("found-slices", plot)


def group_chart(examined: Examined, score: AttributeScore, number: int) -> Chart | None:
    """Rates by group, or the objective's metric where the rule is about no label."""
    groups = [group for group in ordered(score) if _numbers(group)]
    if not groups:
        return None
    rows = [ForestRow(each.name, _numbers(each), f"n {each.n:,}") for each in _ends(groups)]
    fewer = f" {len(rows)} of {len(groups)} groups." if len(rows) < len(groups) else ""
    if score.label is None:
        metric = words.metric_name(score.metric)
        title, axis = f"{words.capital(metric)} by {score.attribute}", metric
        subtitle = [f"Whiskers: intervals.{fewer}"]
    else:
        title, axis = f"Answers “{score.label}” by {score.attribute}", "share of inputs"
        subtitle = [
            "Orange: of those that are not, wrongly answered so (false positives).",
            f"Blue: of those that are, rightly answered so (true positives).{fewer}",
        ]
    plot = ForestPlot(
        rows=rows,
        title=title,
        subtitle=subtitle,
        axis=axis,
        shares=score.label is not None,
        limits=words.metric_range(score.metric) if score.label is None else (0.0, 1.0),
    )
    return _chart(f"groups-{number + 1}", plot)


def _numbers(group: GroupScore) -> tuple[Number, ...]:
    wrongly, found = group.false_positive_rate, group.true_positive_rate
    if wrongly is not None or found is not None:
        both = ((wrongly, "worse"), (found, "plain"))
        return tuple(Number.of(rate, kind) for rate, kind in both if rate is not None)  # pyright: ignore[reportArgumentType]
    return (Number.of(group.estimate),) if group.estimate is not None else ()


def _ends(groups: Sequence[GroupScore]) -> Sequence[GroupScore]:
    """The groups with the most to complain about, and a few at the other end."""
    return groups if len(groups) <= SHOWN else [*groups[: SHOWN - 4], *groups[-4:]]


def robustness_chart(examined: Examined) -> Chart | None:
    """What each change of the inputs costs."""
    scores = worst_first(examined.found.robustness)
    if not scores:
        return None
    metric = words.metric_name(scores[0].metric)
    rows = [
        ForestRow(
            change_name(score.change),
            (Number(score.drop, score.drop_low, score.drop_high,
                    "worse" if score.drop_low > 0 else "plain"),),
            f"n {score.n:,}",
        )
        for score in scores[:SHOWN]
    ]  # fmt: skip
    plot = ForestPlot(
        rows=rows,
        title="What changed inputs cost",
        subtitle=["Whiskers: intervals that hold for all together. Orange: shown to be worse."],
        axis=f"{metric} lost",
        reference=0.0,
        limits=(-2.0, 2.0),
    )
    return _chart("robustness", plot)


def behaviour_chart(scores: Sequence[BehaviourScore]) -> Chart | None:
    """Pass rates of the declared tests, failures first."""
    rows = [
        ForestRow(
            score.name,
            (Number.of(score.passed, "worse" if score.outcome == "failed" else "plain"),),
            f"n {score.n:,}",
            score.at_least,
        )
        for score in failures_first(scores)
        if score.passed is not None
    ]
    if not rows:
        return None
    plot = ForestPlot(
        rows=rows[:SHOWN],
        title="Declared tests",
        subtitle=["Share that passed. Tick: share that must. Orange: failed."],
        axis="share that passed",
        shares=True,
    )
    return _chart("behaviour", plot)


def parts_chart(score: BehaviourScore) -> Chart | None:
    """Pass rates of a declared minimum by the values of its column."""
    if not score.parts:
        return None
    rows = [
        ForestRow(
            part.name,
            (Number.of(part.passed, "worse" if part.outcome == "failed" else "plain"),),
            f"n {part.n:,}",
            score.at_least,
        )
        for part in score.parts[:PARTS_SHOWN]
    ]
    plot = ForestPlot(
        rows=rows,
        title=f"{score.name} by {score.by}",
        subtitle=["Share that passed. Tick: share that must. Orange: failed."],
        axis="share that passed",
        shares=True,
    )
    return _chart(f"behaviour-{score.name}", plot)


def risk_chart(found: Knowing) -> Chart | None:
    """Share of wrong answers at each share answered (El-Yaniv & Wiener 2010)."""
    points = sorted(found.curve, key=lambda point: point.coverage)
    if len(points) < 2:
        return None
    import altair as alt

    rule = found.abstention
    bound = rule.at_most_wrong if rule else None
    # The first points rest on a handful of answers: their intervals would take all the height.
    top = max(0.05, bound or 0.0, *(p.high for p in points if p.coverage >= 0.2))
    domain, ticks = value_axis(0.0, min(1.0, top))
    # Cut here rather than by a clip path: those have ids that differ from drawing to drawing.
    rows = [
        {"coverage": p.coverage, **{k: min(v, domain[1]) for k, v in _ends_of(p).items()}}
        for p in points
    ]
    x = Axis("share answered, surest first", [0, 1], [0, 0.2, 0.4, 0.6, 0.8, 1], shares=True,
             grid=False).x("coverage")  # fmt: skip
    y = Axis("wrong of those", domain, ticks, shares=True)
    base = alt.Chart(alt.Data(values=rows)).encode(x=x)
    layers = [
        base.mark_area(color=theme.BAND, opacity=1).encode(y=y.y("low"), y2="high:Q"),
        base.mark_line(color=theme.ACCENT, strokeWidth=2.2).encode(y=y.y("risk")),
    ]
    if bound is not None:
        line = alt.Chart(alt.Data(values=[{"risk": bound}])).encode(y=y.y("risk"))
        layers.append(line.mark_rule(color=theme.WARM, strokeDash=[5, 3], strokeWidth=1.4))
    if rule is not None and rule.answered is not None and rule.wrong is not None:
        place = [{"coverage": rule.answered.value, "risk": rule.wrong.value}]
        mark = alt.Chart(alt.Data(values=place)).mark_circle(color=theme.WARM, size=90, opacity=1)
        layers.append(mark.encode(x=x, y=y.y("risk")))
    subtitle = ["Band: interval."]
    if rule is not None:
        subtitle = [f"Band: interval. Orange: the rule, at most {words.percent(rule.at_most_wrong)}"
                    " wrong."]  # fmt: skip
    title = "What withholding unsure answers brings"
    spec = finish(layers, height=HEIGHT, width=PLOT, title=title, subtitle=subtitle)
    said = "; ".join(
        f"{words.percent(p.coverage)} answered, {words.percent(p.risk)} of those wrong"
        for p in points[:: max(1, len(points) // 8)]
    )
    return Chart("risk-coverage", title, f"Risk–coverage curve. {subtitle[0]} {said}.", spec)


def _ends_of(point: RiskPoint) -> dict[str, float]:
    return {"risk": point.risk, "low": point.low, "high": point.high}


def sets_chart(found: Knowing) -> Chart | None:
    """How often sets of labels held the right one, against what they promise."""
    rows = [
        ForestRow(
            f"{words.percent(each.coverage)}, {each.size:.1f} labels",
            (Number.of(each.covered, "worse" if each.covered.high < each.coverage else "plain"),),
            f"{words.percent(each.single)} single",
            each.coverage,
        )
        for each in found.sets
        if each.covered is not None
    ]
    if not rows:
        return None
    plot = ForestPlot(
        rows=rows,
        title="Sets of labels",
        subtitle=["How often a set held the right label. Tick: what it promises.",
                  "Left: the promise and the mean size. Right: sets with just one label."],
        axis="held the right label",
        shares=True,
    )  # fmt: skip
    return _chart("prediction-sets", plot)


def scope_chart(scope: ScopeScore | None) -> Chart | None:
    """What becomes of inputs in and out of scope."""
    if scope is None:
        return None
    named = [
        ("in scope: kept", scope.kept),
        ("in scope: answered right", scope.in_scope),
        ("out of scope: turned away", scope.recall),
        *((f"{name}: turned away", each) for name, each in scope.near.items()),
    ]
    rows = [
        ForestRow(name, (Number.of(each),), f"n {each.n:,}")
        for name, each in named
        if each is not None
    ]
    plot = ForestPlot(
        rows=rows,
        title="Inputs out of scope",
        subtitle=[f"Told by {scope.score.replace('_', ' ')}. Whiskers: intervals."],
        axis="share of inputs",
        shares=True,
    )
    return _chart("scope", plot)


def forecast_chart(examined: Examined) -> Chart | None:
    """The learning curve, and where it is expected to go with more labels."""
    measured = sorted(examined.contest.curve, key=lambda point: point.examples)
    if len(measured) < 2 or not examined.contest.forecast:
        return None
    import altair as alt

    expected = [measured[-1], *examined.contest.forecast]
    rows, later = _curve(measured), _curve(expected)
    ends = [point.estimate for point in (*measured, *expected)]
    y = Quality.of(examined.scorecard).axis([end for e in ends for end in (e.low, e.high)])
    sizes = [point.examples for point in (measured[0], *expected)]
    metric = words.metric_name(examined.scorecard.metric)
    x = Axis("training examples", [sizes[0], sizes[-1] * 1.05], sizes, log=True, format=",d",
             grid=False).x("examples")  # fmt: skip
    known = alt.Chart(alt.Data(values=rows)).encode(x=x)
    ahead = alt.Chart(alt.Data(values=later)).encode(x=x)
    layers = [
        ahead.mark_area(color=theme.RULE, opacity=1).encode(y=y.y("low"), y2="high:Q"),
        known.mark_area(color=theme.BAND, opacity=1).encode(y=y.y("low"), y2="high:Q"),
        ahead.mark_line(color=theme.OTHER, strokeDash=[4, 3]).encode(y=y.y("value")),
        known.mark_line(color=theme.ACCENT, strokeWidth=2.2).encode(y=y.y("value")),
        known.mark_circle(color=theme.ACCENT, size=50, opacity=1).encode(y=y.y("value")),
        alt.Chart(alt.Data(values=later[1:]))
        .mark_point(color=theme.OTHER, size=55, filled=False, opacity=1)
        .encode(x=x, y=y.y("value")),
    ]
    title = "What more labels would bring"
    subtitle = [
        "The closed-form head, cross-fitted on the training examples.",
        "Blue: measured. Grey: expected. Bands: intervals.",
    ]
    spec = finish(layers, height=HEIGHT, width=PLOT, title=title, subtitle=subtitle)
    said = "; ".join(
        f"{point.examples:,} examples {words.measured(point.estimate)}" for point in expected
    )
    return Chart("forecast", title, f"Learning curve with forecast, {metric}. {said}.", spec)


def _curve(points: Sequence[CurvePoint]) -> list[dict[str, float]]:
    return [
        {"examples": p.examples, "value": p.estimate.value,
         "low": p.estimate.low, "high": p.estimate.high}
        for p in points
    ]  # fmt: skip
