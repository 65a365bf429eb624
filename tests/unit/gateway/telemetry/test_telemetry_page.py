"""The pages tell every metric and every step as the code has them."""

import re
from pathlib import Path

from milepost.entities.preparation import STEPS
from milepost.gateway.telemetry.series import METRICS, MOST_SERIES

DOCS = Path(__file__).parents[4] / "docs" / "how-to"


def rows(page: str) -> list[list[str]]:
    lines = (DOCS / page).read_text(encoding="utf-8").splitlines()
    told = [line.strip("|").split(" | ") for line in lines if line.startswith("| `")]
    return [[row[0].strip(" `"), *(cell.strip() for cell in row[1:])] for row in told]


def test_every_metric_is_on_the_page_with_its_meaning():
    expected = []
    for name, metric in METRICS.items():
        labels = (*metric.labels, "worker") if metric.each else metric.labels
        expected.append(
            [name, metric.kind, ", ".join(f"`{label}`" for label in labels) or "–", metric.help]
        )
    assert rows("observe.md") == expected
    assert f"{MOST_SERIES:,} combinations" in (DOCS / "observe.md").read_text(encoding="utf-8")


def test_every_step_is_on_the_page_with_its_meaning():
    assert rows("prepare.md") == [[name, meaning] for name, meaning in STEPS.items()]


def test_the_alerts_name_metrics_that_there_are():
    text = (DOCS / "observe.md").read_text(encoding="utf-8")
    block = text.partition("milepost.rules.yml")[2].partition("```")[0]
    named = set(re.findall(r"milepost_\w+", block))
    assert len(named) >= 6
    for name in named:
        known = {name, name.removesuffix("_bucket")} & set(METRICS)
        assert known, name
