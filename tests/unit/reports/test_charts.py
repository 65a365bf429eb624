import math
import struct
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.entities.contest import Contest
from milepost.reports import theme
from milepost.reports.axes import fit, value_axis
from milepost.reports.charts import charts_of, quality_against_cost, write_charts
from milepost.reports.placing import text_width
from milepost.reports.records import ReportSubject

ALL = {
    "quality-against-cost",
    "reliability",
    "slices",
    "learning-curve",
    "confused-pairs",
    "labels",
}


def texts(svg: str) -> list[str]:
    root = ElementTree.fromstring(svg)  # noqa: S314 — drawn a moment ago
    return ["".join(node.itertext()) for node in root.iter("{http://www.w3.org/2000/svg}text")]


@pytest.mark.parametrize(
    ("name", "missing"),
    [
        ("banking", set[str]()),
        ("churn", {"slices"}),
        ("products", set[str]()),
        ("foreign", set[str]()),
        ("doomed", ALL),
        ("untouched", ALL),
    ],
)
def test_every_chart_with_data_is_drawn(
    request: pytest.FixtureRequest, name: str, missing: set[str]
) -> None:
    charts = charts_of(request.getfixturevalue(name))
    assert {chart.name for chart in charts} == ALL - missing
    for chart in charts:
        ElementTree.fromstring(chart.svg())  # noqa: S314 — drawn a moment ago
        assert chart.title
        assert chart.description.endswith(".")


def test_the_chosen_candidate_and_the_far_baseline_are_named(banking: ReportSubject) -> None:
    chart = charts_of(banking)[0]
    shown = texts(chart.svg())
    assert "head_logistic" in shown
    assert any("Below this drawing: majority 0.013 at <$0.00001." in text for text in shown)
    assert "Chosen: head_logistic." in chart.description
    assert "frontier" not in shown


def test_a_cost_of_zero_has_a_place_on_the_logarithmic_axis(churn: ReportSubject) -> None:
    assert churn.contest is not None
    free = [c for c in churn.contest.candidates if c.strategy in ("majority", "tfidf_linear")]
    contest: Contest = msgspec.structs.replace(churn.contest, candidates=tuple(free))
    chart = quality_against_cost(contest)
    assert chart is not None
    assert {"majority", "tfidf_linear"} <= set(texts(chart.svg()))


def test_text_of_users_is_escaped(foreign: ReportSubject) -> None:
    for chart in charts_of(foreign):
        assert "<script" not in chart.svg()
        assert "\x00" not in chart.svg()


def test_one_palette_so_that_dark_pages_can_exchange_it(banking: ReportSubject) -> None:
    known = {colour.lower() for colour in theme.DARK} | {"none", "transparent"}
    for chart in charts_of(banking):
        root = ElementTree.fromstring(chart.svg())  # noqa: S314 — drawn a moment ago
        used = {n.get(k) for n in root.iter() for k in ("fill", "stroke")} - {None}
        assert {str(colour).lower() for colour in used} <= known


def test_png_files_are_written_from_the_same_charts(banking: ReportSubject, tmp_path: Path) -> None:
    written = write_charts(banking, tmp_path / "new" / "charts", scale=1.0)
    assert {path.name for path in written} == {f"route-{name}.png" for name in ALL}
    for path in written:
        head = path.read_bytes()[:24]
        assert head[:8] == b"\x89PNG\r\n\x1a\n"
        width, height = struct.unpack(">II", head[16:24])
        assert 480 <= width <= 600
        assert 100 <= height <= 600


LIMITS = st.sampled_from([(0.0, 1.0), (-1.0, 1.0), (0.0, math.inf), (-math.inf, math.inf)])


@given(st.floats(0, 1), st.floats(0, 1), LIMITS, st.sampled_from([1.0, 7.3, 1e4]))
def test_quality_axes_hold_their_data_and_have_ticks(
    a: float, b: float, limits: tuple[float, float], scale: float
) -> None:
    """Whatever a metric can be: a share, a coefficient, a loss, an amount of money."""
    bottom = -1.0 if limits[0] < 0 else 0.0
    size = scale if limits[1] == math.inf else 1.0
    low, high = (size * (bottom + (1 - bottom) * each) for each in (min(a, b), max(a, b)))
    domain, ticks = value_axis(low, high, limits)
    assert limits[0] <= domain[0] <= low
    assert high <= domain[1] <= limits[1] + 1e-9
    assert 2 <= len(ticks) <= 9
    assert domain[0] <= ticks[0]
    assert ticks[-1] <= domain[1] + 1e-9


@given(st.text(min_size=1, max_size=200))
def test_names_are_fitted(name: str) -> None:
    shown = fit(name, 160)
    assert shown
    # A reader's machine may have a wider face, and what stands left of the drawing is cut off.
    assert 1.18 * text_width(shown, theme.LABEL_SIZE) <= 160 or len(shown) <= 4


def test_importing_reports_imports_no_renderer() -> None:
    code = (
        "import sys, milepost.reports.tables, milepost.reports.charts, milepost.reports.page, "
        "milepost.reports.plain; "
        "print([m for m in ('altair', 'vl_convert', 'jinja2', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
