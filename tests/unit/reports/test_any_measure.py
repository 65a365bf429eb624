"""Measures that are better when lower, that nothing bounds, or that a user wrote."""

import re
from datetime import UTC, datetime

import msgspec
import pytest

from milepost.entities.contest import Candidate, Contest
from milepost.entities.estimate import Estimate
from milepost.entities.task import Objective
from milepost.reports import words
from milepost.reports.charts import charts_of
from milepost.reports.leaderboard import Leaderboard
from milepost.reports.page import render_report
from milepost.reports.records import ReportSubject
from milepost.reports.scales import bar, leaders_scale
from milepost.reports.tables import metrics_grid

LOSSES = {
    "log_loss": "log loss in nats, lower is better",
    "brier": "Brier score, lower is better",
    "own:metrics/value.py:regret": "regret, lower is better",
}


def estimate(value: float, half: float) -> Estimate:
    low, high = value - half, value + half
    return Estimate(
        value=value, low=low, high=high, n=300, method="gaffke", at_least=low, at_most=high
    )


def judged_by(subject: ReportSubject, metric: str, objective: Objective) -> ReportSubject:
    """The subject with the best candidate at 0.4 and each later one 0.5 worse, lower is better."""
    assert subject.contest is not None
    replace, candidates = msgspec.structs.replace, []
    for rank, candidate in enumerate(subject.contest.candidates):
        card = candidate.scorecard
        if card is not None:
            found = estimate(0.4 + 0.5 * rank, 0.05)
            metrics = {**card.metrics, metric: found}
            card = replace(card, metric=metric, metrics=metrics, lower_is_better=True)
            candidate = replace(candidate, scorecard=card, selection=found)  # noqa: PLW2901
        candidates.append(candidate)
    contest = replace(subject.contest, candidates=tuple(candidates))
    task = replace(subject.task, objective=objective)
    return ReportSubject(task=task, contest=contest)


@pytest.fixture
def lossy(banking: ReportSubject) -> ReportSubject:
    return judged_by(banking, "log_loss", Objective(metric="log_loss", at_most=0.6))


def contest_of(subject: ReportSubject) -> Contest:
    assert subject.contest is not None
    return subject.contest


@pytest.mark.parametrize("metric", LOSSES)
def test_the_table_says_which_way_is_better(banking: ReportSubject, metric: str) -> None:
    subject = judged_by(banking, metric, Objective(metric=metric))
    text = str(Leaderboard(contest_of(subject)))
    assert LOSSES[metric] in " ".join(text.split())
    assert "own:" not in text
    # The best candidate is the best one: no other is said to have been better out of fold.
    assert "within one standard error" not in text


def test_bars_of_losses_show_the_best_apart_and_the_worst_beyond() -> None:
    found = [estimate(value, 0.02) for value in (0.4, 0.45, 9.0)]
    scale = leaders_scale(found, lower=True)
    assert [bar(each, scale).beyond for each in found] == ["", "", "▸"]
    assert bar(found[2], scale).text(10).plain.strip() == "▸"
    rising = leaders_scale([estimate(value, 0.02) for value in (0.9, 0.85, -7.0)])
    assert bar(estimate(-7.0, 0.02), rising).beyond == "◂"


def test_charts_of_losses_are_drawn_the_right_way_round(lossy: ReportSubject) -> None:
    charts = {chart.name: chart for chart in charts_of(lossy)}
    cost = charts["quality-against-cost"]
    assert "log loss in nats, lower is better" in cost.svg()
    # Cheaper and better is on the frontier: the dearest candidate has the lowest loss here.
    first = next(c for c in contest_of(lossy).candidates if c.chosen)
    assert first.scorecard is not None
    ends = [layer for layer in cost.spec["layer"] if "line" in str(layer.get("mark"))]  # type: ignore[attr-defined, index]
    line = cost.spec["datasets"] if "datasets" in cost.spec else ends[0]["data"]["values"]
    assert f"{first.scorecard.objective.value}" in str(line)
    slices = charts["slices"]
    values = [float(each) for each in re.findall(r" (\d\.\d+) \(n", slices.description)]
    assert values[1:] == sorted(values[1:], reverse=True), "worst slice first"
    curve = charts["learning-curve"].svg()
    assert "ceiling 0.6" in curve
    assert "floor" not in curve


def test_the_page_names_the_ceiling_and_the_direction(lossy: ReportSubject) -> None:
    page = render_report([lossy], "Losses", datetime(2026, 3, 14, tzinfo=UTC))
    assert "ceiling 0.6" in page
    assert "log loss in nats, lower is better" in page


def test_only_comparable_metrics_share_bars(lossy: ReportSubject) -> None:
    chosen: Candidate | None = contest_of(lossy).chosen
    assert chosen is not None
    assert chosen.scorecard is not None
    rows = {row.cells[1].text: row.cells[3].bar for row in metrics_grid(chosen.scorecard).rows}
    assert rows["log loss ↓"] is None
    assert rows["accuracy"] is not None


@pytest.mark.parametrize(
    ("value", "low", "high", "shown"),
    [
        (0.9123, 0.88, 0.94, "0.912 [0.88, 0.94]"),
        (-0.0001, -0.2, 0.2, "0.000 [-0.20, 0.20]"),
        (1.8114, 1.774, 1.838, "1.811 [1.77, 1.84]"),
        (-12.3456, -14.2, -10.1, "-12.35 [-14.2, -10.1]"),
        (123456.7, 120000.0, 130000.4, "123,457 [120,000, 130,000]"),
        (0.9951, 0.991, 0.998, "0.995 [0.991, 0.998]"),
    ],
)
def test_numbers_have_the_digits_that_tell_something(
    value: float, low: float, high: float, shown: str
) -> None:
    found = Estimate(value=value, low=low, high=high, n=9, method="bca", at_least=low, at_most=high)
    assert words.measured(found) == shown


def test_a_metric_of_another_version_keeps_its_name() -> None:
    assert words.metric_name("span_overlap") == "span overlap"
    assert words.metric_name("own:value.py:profit") == "profit"
