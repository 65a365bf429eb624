import dataclasses
from datetime import UTC, datetime
from html.parser import HTMLParser

import msgspec
import pytest

from milepost.entities.asked import Asked
from milepost.entities.inputs import MARK
from milepost.entities.scorecard import Confusion, Mistake
from milepost.entities.upstream import NO_DAY, Price
from milepost.reports import backups, words
from milepost.reports.page import render_report
from milepost.reports.records import ReportSubject

MADE = datetime(2026, 3, 14, 15, 9, tzinfo=UTC)
VOID = {"meta", "br", "img", "input", "hr", "link"}


class Outline(HTMLParser):
    """Tags, attributes, headings and unbalanced elements of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.headings: list[int] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, key, value or "") for key, value in attrs]
        if tag not in VOID:
            self.open.append(tag)
        if len(tag) == 2 and tag[0] == "h" and tag[1].isdigit():
            self.headings.append(int(tag[1]))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def outline(html: str) -> Outline:
    parser = Outline()
    parser.feed(html)
    parser.close()
    return parser


@pytest.fixture(scope="module")
def page(
    banking: ReportSubject,
    churn: ReportSubject,
    foreign: ReportSubject,
    doomed: ReportSubject,
    untouched: ReportSubject,
) -> str:
    return render_report((banking, churn, foreign, doomed, untouched), "support <desk>", MADE)


def test_candidates_have_their_time_size_and_throughput(banking: ReportSubject) -> None:
    contest = banking.contest
    assert contest is not None
    first = msgspec.structs.replace(contest.candidates[0], fit_seconds=33.0, size_bytes=4096)
    contest = msgspec.structs.replace(contest, candidates=(first, *contest.candidates[1:]))
    html = render_report((dataclasses.replace(banking, contest=contest),), "desk", MADE)
    for said in ("fitted in", "texts/s", words.duration(33.0), backups.size(4096)):
        assert said in html
    assert outline(html).open == []


def test_it_is_balanced_and_its_headings_never_skip_a_level(page: str) -> None:
    parsed = outline(page)
    assert parsed.open == []
    assert parsed.headings[0] == 1
    assert parsed.headings.count(1) == 1
    steps = zip(parsed.headings, parsed.headings[1:], strict=False)
    assert all(after - before <= 1 for before, after in steps)


def test_it_needs_nothing_from_outside_and_runs_nothing(page: str) -> None:
    parsed = outline(page)
    assert not {"script", "iframe", "link", "img", "object"} & set(parsed.tags)
    for _, key, value in parsed.attributes:
        assert not key.startswith("on")
        if key in ("href", "src"):
            assert value.startswith("#")
    assert "url(" not in page
    assert "@import" not in page


def test_text_of_users_is_escaped_and_brings_its_own_direction(page: str) -> None:
    assert "support &lt;desk&gt;" in page
    assert "<script" not in page
    assert "\x00" not in page
    assert "\u202e" not in page
    assert '<blockquote dir="auto">لم أستلم' in page
    page.encode("utf-8")


def test_every_chart_has_words_for_those_who_cannot_see_it(page: str) -> None:
    figures = [
        value
        for tag, key, value in outline(page).attributes
        if (tag, key) == ("figure", "aria-label")
    ]
    assert len(figures) == page.count("<figure") == 6 + 5 + 6
    assert all(len(text) > 20 for text in figures)


def test_ids_are_unique_and_links_lead_to_them(page: str) -> None:
    attributes = outline(page).attributes
    ids = [value for tag, key, value in attributes if key == "id" and tag in ("h2", "main")]
    assert len(ids) == len(set(ids))
    links = {value[1:] for tag, key, value in attributes if (tag, key) == ("a", "href")}
    assert links <= set(ids)


def test_verdict_reasons_regime_and_provenance_are_there(page: str) -> None:
    assert "released as release 1" in page
    assert "insufficient evidence" in page
    assert "not improved yet" in page
    assert "never used to choose" in page
    assert "53aa51172d14" in page
    assert "2026-03-14 15:09 UTC" in page
    assert "7 texts have more than one label" in page
    assert "prefers-color-scheme: dark" in page


def test_one_task_needs_no_overview(churn: ReportSubject) -> None:
    html = render_report((churn,), "churn", MADE)
    assert "Overview" not in html
    assert "1 task." in html


def test_an_empty_workspace_has_a_page() -> None:
    assert "There are no tasks yet." in render_report((), "empty", MADE)


def test_the_same_records_give_the_same_page(churn: ReportSubject) -> None:
    assert render_report((churn,), "x", MADE) == render_report((churn,), "x", MADE)


def test_what_language_models_cost_stands_below_the_table(churn: ReportSubject) -> None:
    assert churn.contest is not None
    asked = Asked(
        upstream="big",
        model="<tiny>",
        price=Price(since=NO_DAY, input=2_500_000, output=10_000_000),
    )
    first, *rest = churn.contest.candidates
    paid = msgspec.structs.replace(
        churn.contest,
        budget_micro_usd=500_000,
        spent_micro_usd=312_000,
        candidates=(msgspec.structs.replace(first, asked=(asked,)), *rest),
    )
    html = render_report((dataclasses.replace(churn, contest=paid),), "x", MADE)
    assert "Language models cost $0.312 of $0.50" in html
    # A price that nobody gave a day has none.
    assert "big: model &lt;tiny&gt;, $2.50 in and $10.00 out per million tokens." in html
    assert "Language models cost" not in render_report((churn,), "x", MADE)


def test_a_mistake_says_how_sure_it_was_where_that_is_known(churn: ReportSubject) -> None:
    contest = churn.contest
    assert contest is not None
    chosen = contest.chosen
    assert chosen is not None
    assert chosen.scorecard is not None
    replace = msgspec.structs.replace

    def page(confidence: float | None) -> str:
        told = Mistake(id="row-1", text=f"a lamp {MARK} a chair", confidence=confidence)
        pairs = (Confusion(actual="1", predicted="4", n=1, examples=(told,)),)
        mine = replace(chosen, scorecard=replace(chosen.scorecard, confusions=pairs))
        subject = dataclasses.replace(churn, contest=replace(contest, candidates=(mine,)))
        html = render_report((subject,), "desk", MADE)
        assert "a lamp ↔ a chair</blockquote>" in html
        assert MARK not in html
        return html

    assert "91 % sure<" in page(0.91)
    assert "% sure<" not in page(None)
