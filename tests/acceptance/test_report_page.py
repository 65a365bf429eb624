"""The report as a person opens it: one file, in a real browser, by day and by night."""

import shutil

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    "--no-first-run",
]


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("no Chromium: install Debian's package chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield running
        running.close()


@pytest.fixture
def report(milepost, improved_template, tmp_path):
    shutil.copytree(improved_template, tmp_path / "support")
    milepost.ok("-w", "support", "report", "--output", "report.html", "--charts", "charts")
    return tmp_path / "report.html"


def opened(browser, report, **context):
    page = browser.new_context(**context).new_page()
    seen = {"requests": [], "errors": []}
    page.on("request", lambda request: seen["requests"].append(request.url))
    page.on("pageerror", lambda error: seen["errors"].append(str(error)))
    page.on("console", lambda line: seen["errors"].append(line.text))
    page.goto(report.as_uri())
    return page, seen


def test_the_page_stands_alone_and_says_what_happened(browser, report):
    page, seen = opened(browser, report)
    assert seen == {"requests": [report.as_uri()], "errors": []}
    assert page.get_by_role("heading", name="route").first.is_visible()
    text = page.inner_text("body")
    assert "head_logistic" in text
    assert "cross-fitted" in text
    charts = page.get_by_role("img")
    assert charts.count() >= 4
    assert all(charts.nth(i).bounding_box()["width"] > 200 for i in range(charts.count()))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_and_charts_can_be_read_in_both_schemes(browser, report, scheme):
    page, _ = opened(browser, report, color_scheme=scheme)
    ink, paper = page.evaluate(
        """() => {
            const style = getComputedStyle(document.body);
            const light = c => c.match(/[\\d.]+/g).slice(0, 3).reduce((a, b) => a + +b, 0) / 765;
            return [light(style.color), light(style.backgroundColor)];
        }"""
    )
    assert abs(ink - paper) > 0.6
    assert (paper > 0.5) == (scheme == "light")
    axis = page.evaluate(
        """() => getComputedStyle(document.querySelector('svg text')).fill.match(/\\d+/g)"""
    )
    assert abs(sum(map(int, axis[:3])) / 765 - paper) > 0.3


def test_it_fits_a_telephone(browser, report):
    page, _ = opened(browser, report, viewport={"width": 400, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 400


def test_the_charts_are_pictures_too(report):
    pictures = sorted((report.parent / "charts").rglob("*.png"))
    assert len(pictures) >= 4
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in pictures)
    assert all(path.stat().st_size > 5_000 for path in pictures)
