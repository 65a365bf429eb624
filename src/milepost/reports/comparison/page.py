"""A comparison as one self-contained HTML page: no script, no request, light and dark."""

from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING

from markupsafe import Markup

from milepost.entities.difference import Changed, Difference
from milepost.evaluation.changes import CHARS
from milepost.evaluation.differences import apart, cases_words, unit_of
from milepost.reports import words
from milepost.reports.comparison import phrases
from milepost.reports.comparison.charts import difference_charts
from milepost.reports.comparison.table import MARKS, groups, parts_grid, sides_grid
from milepost.reports.document import grid_html
from milepost.reports.theme import dark_css

if TYPE_CHECKING:
    from jinja2 import Template


def render_difference(found: Difference, made: datetime) -> str:
    """The page as one string of HTML.

    Args:
        found: The comparison.
        made: When, timezone-aware.
    """
    mark, role = MARKS[found.told]
    return _template().render(
        found=found,
        title=f"{found.task}: {found.first.name} and {found.second.name}",
        made=words.day(made),
        mark=mark,
        role=role,
        dark=Markup(dark_css("figure svg")),  # noqa: S704 — built from the palette alone
        facts=_facts(found),
        sides=Markup(grid_html(sides_grid(found))),  # noqa: S704 — grid_html escapes every text
        figures=[
            (chart.title, chart.description, Markup(chart.svg()))  # noqa: S704 — escaped by Vega
            for chart in difference_charts(found)
        ],
        parts=[
            (heading, Markup(grid_html(parts_grid(rows, name, found))))  # noqa: S704
            for heading, name, rows in (
                ("Labels", "label", found.labels),
                ("Slices", "slice", found.slices),
            )
            if rows
        ],
        parts_said=_parts_said(found),
        groups=[
            (heading, _reading(found, said), [_example(found, e) for e in examples])
            for heading, said, examples in groups(found)
        ],
        cards=phrases.graded(found) and found.kind != "score",
    )


@cache
def _template() -> "Template":
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("milepost.reports"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    return environment.get_template("difference.html.j2")


def _shown(value: object) -> object:
    """Text without control characters; markup of our own as it is."""
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    return words.clean(value)


def _facts(found: Difference) -> list[tuple[str, str, str]]:
    """The numbers that decide: what it is, the number, and what goes with it."""
    counts, comparison, metric = found.counts, found.comparison, found.metric
    facts = [
        (
            f"difference in {words.metric_name(found.metric)}",
            apart(metric, comparison.difference),
            f"{unit_of(metric)}, {apart(metric, comparison.low)} to "
            f"{apart(metric, comparison.high)}",
        )
    ]
    if not phrases.graded(found):
        return [
            *facts,
            ("right answers won", words.count(counts.wins), f"only {found.second.name} is right"),
            ("right answers lost", words.count(counts.losses), f"only {found.first.name} is right"),
            ("same answer", words.percent(counts.agreement),
             f"of {words.count(counts.n)} examples"),
        ]  # fmt: skip
    level = counts.n - counts.wins - counts.losses
    of = f"of {cases_words(found.kind, counts.n)}"
    return [
        *facts,
        ("better on", words.count(counts.wins), of),
        ("worse on", words.count(counts.losses), of),
        ("as good on", words.count(level), of),
    ]


def _parts_said(found: Difference) -> str:
    """How the tables of labels and slices are to be read; empty where there are none."""
    bars = "are simultaneous intervals over all labels and slices"
    if phrases.graded(found):
        said = phrases.parts_words(found)
        return f"{said} Bars {bars}." if said else ""
    return (
        f"“difference” is in points of right answers; bars {bars}, and p is two-sided and "
        "adjusted by Holm over them."
    )


def _reading(found: Difference, said: str) -> str:
    """How the examples below a heading are to be read."""
    if phrases.graded(found):
        return f"{words.capital(said)}."
    return (
        f"Label: answer of {found.first.name} → answer of {found.second.name}, each with its "
        "confidence."
    )


def _example(found: Difference, each: Changed) -> dict[str, object]:
    return {
        "text": words.shorten(phrases.text_of(each), 240),
        "actual": each.actual,
        "first": phrases.answer_of(each.first, each.first_confidence, each.first_value),
        "second": phrases.answer_of(each.second, each.second_confidence, each.second_value),
        "rows": [
            (name, words.shorten(said, CHARS), number, role)
            for name, said, number, role in phrases.rows_of(found, each)
        ],
    }
