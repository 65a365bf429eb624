from datetime import UTC, datetime
from xml.etree import ElementTree

from milepost.reports import theme
from milepost.reports.examination.charts import charts_by_section
from milepost.reports.page import render_examination, render_report
from milepost.reports.records import Examined, ReportSubject

MADE = datetime(2026, 3, 14, 15, 9, tzinfo=UTC)
NAMES = {
    "weakness": ["found-slices"],
    "groups": ["groups-1", "groups-2"],
    "robustness": ["robustness"],
    "behaviour": ["behaviour", "behaviour-derogation-of-groups"],
    "knowing": ["risk-coverage", "prediction-sets", "scope"],
    "forecast": ["forecast"],
}


def test_every_section_has_its_charts_in_one_palette(examined: Examined) -> None:
    drawn = charts_by_section(examined)
    assert {name: [chart.name for chart in charts] for name, charts in drawn.items()} == NAMES
    known = {colour.lower() for colour in theme.DARK} | {"none", "transparent"}
    for chart in (chart for charts in drawn.values() for chart in charts):
        root = ElementTree.fromstring(chart.svg())  # noqa: S314 - drawn a moment ago
        used = {node.get(key) for node in root.iter() for key in ("fill", "stroke")} - {None}
        assert {str(colour).lower() for colour in used} <= known
        assert chart.description.endswith(".")


def test_nothing_examined_draws_nothing(barely_examined: Examined) -> None:
    assert charts_by_section(barely_examined) == {}


def test_the_page_holds_findings_and_escapes_them(examined: Examined) -> None:
    page = render_examination(examined, MADE)
    assert page.count("<figure") == sum(map(len, NAMES.values()))
    assert "<script" not in page
    assert "\x00" not in page
    assert "counter_quote_nh" in page
    assert "functionality_09_h" in page
    assert "country-12" in page
    assert page == render_examination(examined, MADE)


def test_the_report_has_the_same_section(banking: ReportSubject, examined: Examined) -> None:
    assert ">Examination</h3>" not in render_report((banking,), "x", MADE)
    subject = ReportSubject(task=banking.task, contest=examined.contest)
    page = render_report((subject,), "x", MADE)
    assert ">Examination</h3>" in page
    assert 'id="task-1-robustness"' in page
