"""One self-contained HTML page about a workspace: no script, no request, light and dark.

It knows records and the template; every text of a user is escaped by the template engine.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING

from markupsafe import Markup

from milepost.entities.contest import Contest
from milepost.entities.scorecard import Scorecard
from milepost.evaluation.promises import told
from milepost.reports import words
from milepost.reports.asked import asked_sentences
from milepost.reports.cascades import MARKS, rungs_grid, saving
from milepost.reports.charts import charts_of
from milepost.reports.document import Document, grid_html
from milepost.reports.examination.charts import charts_by_section
from milepost.reports.examination.looks import looks_left
from milepost.reports.examination.section import check_mark
from milepost.reports.examination.sheet import absent, checks_in_order, sections, what_it_is
from milepost.reports.leaderboard import leaderboard_grid, ranked_apart, size_grid
from milepost.reports.records import Examined, ReportSubject
from milepost.reports.tables import metrics_grid, releases_grid, slices_grid
from milepost.reports.theme import Chart, dark_css

if TYPE_CHECKING:
    from jinja2 import Template

PAIRS_SHOWN = 6
MISTAKES_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Fact:
    """A number worth a large font: what it is, the number, and what goes with it."""

    name: str
    value: str
    remark: str = ""


@dataclass(frozen=True, slots=True)
class Figure:
    """A drawn chart on the page."""

    title: str
    description: str
    svg: Markup


def render_report(subjects: Sequence[ReportSubject], title: str, made: datetime) -> str:
    """The page as one string of HTML.

    Args:
        subjects: One per task, in the order of the page.
        title: Heading of the page, such as the workspace's name.
        made: When, timezone-aware.
    """
    return _template("report.html.j2").render(
        title=title,
        made=words.day(made),
        tasks=[_section(subject, i) for i, subject in enumerate(subjects, start=1)],
        dark=Markup(dark_css("figure svg")),  # noqa: S704 — built from the palette alone
        several=len(subjects) > 1,
    )


def render_examination(examined: Examined, made: datetime) -> str:
    """A page of one examination alone, as one string of HTML.

    Args:
        examined: The candidate and its records.
        made: When, timezone-aware.
    """
    return _template("examination.html.j2").render(
        title=f"{examined.task.name}: examination",
        made=words.day(made),
        task=examined.task,
        what=what_it_is(examined),
        metric=words.metric_name(examined.scorecard.metric),
        quality=words.measured(examined.scorecard.objective),
        regime=words.regime_words(examined.scorecard),
        candidate=examined.candidate.id,
        examination=_examination(examined, "examination"),
        dark=Markup(dark_css("figure svg")),  # noqa: S704 — built from the palette alone
    )


@cache
def _template(name: str) -> "Template":
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("milepost.reports"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    filters: dict[str, Callable[..., str]] = {
        "shorten": words.shorten,
        "count": words.count,
        "percent": words.percent,
        "truths": words.truths,
    }
    environment.filters.update(filters)
    return environment.get_template(name)


def _shown(value: object) -> object:
    """Text without control characters; markup of our own as it is."""
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    return words.clean(value)


def _section(subject: ReportSubject, number: int) -> dict[str, object]:
    """What the template reads about one task."""
    contest = subject.contest
    card = words.shown_scorecard(contest) if contest else None
    drawn = contest.chosen if contest else None
    return {
        "id": f"task-{number}",
        "task": subject.task,
        "contest": contest,
        "card": card,
        "verdict": _verdict(contest),
        "strategy": drawn.strategy if drawn else "",
        "metric": words.metric_name(subject.task.objective.metric),
        "quality": words.measured(card.objective) if card else "",
        "cost": words.usd(card.latency.cost_per_1k_usd) if card and card.latency else "",
        "p50": words.milliseconds(card.latency.p50_ms) if card and card.latency else "",
        "production": subject.channel.release if subject.channel else None,
        "facts": _facts(subject, card),
        "leaderboard": _html(contest),
        "sizes": Markup(grid_html(size_grid(contest))) if contest else "",  # noqa: S704
        "ranked_apart": contest is not None and ranked_apart(contest),
        "asked": asked_sentences(contest) if contest else (),
        "promise": _promise(contest),
        "figures": _figures(subject),
        "metrics": Markup(grid_html(metrics_grid(card))) if card else "",  # noqa: S704
        "slices": _slices(card),
        "examination": _examination_of(subject, f"task-{number}"),
        "predicates": card.slices if card else (),
        "pairs": _pairs(card),
        "datasets": _datasets(subject),
        "releases": _releases(subject),
        "regime": words.regime_sentence(card) if card else "",
        "provenance": _provenance(contest, card),
    }


def _verdict(contest: Contest | None) -> dict[str, str]:
    if contest is None:
        return {"icon": "○", "words": "not improved yet", "role": "calm"}
    icon, _, role = words.VERDICTS[contest.decision.verdict]
    return {"icon": icon, "words": words.verdict_words(contest), "role": role}


def _facts(subject: ReportSubject, card: Scorecard | None) -> list[Fact]:
    """The numbers that decide, largest first."""
    if card is None:
        return []
    bound = words.asked(subject.task.objective)
    remark = words.bounds(card.objective) + (f", {bound[0]} {bound[1]:g}" if bound else "")
    facts = [
        Fact(words.metric_in_full(card), words.score(card.objective.value), remark),
        Fact("judged on", words.count(card.objective.n), words.kind_of(card.metric).over[1]),
    ]
    if card.latency:
        p95 = words.milliseconds(card.latency.p95_ms)
        facts += [
            Fact(
                "median latency", f"{words.milliseconds(card.latency.p50_ms)} ms", f"p95 {p95} ms"
            ),
            Fact("cost", words.usd(card.latency.cost_per_1k_usd), "per 1,000 predictions"),
        ]
    if card.calibration:
        chance = f"{words.score(card.calibration.ece_if_perfect)} by chance"
        facts.append(Fact("calibration error", words.score(card.calibration.ece), chance))
    if card.naive is not None:
        facts.append(Fact("with leaks", words.score(card.naive.value), words.bounds(card.naive)))
    if card.spent is not None:
        seen = f"{card.spent.look} of {card.spent.most}"
        facts.append(Fact("looks used", seen, f"{looks_left(card.spent)} left"))
    return facts


def _html(contest: Contest | None) -> Markup:
    return Markup(grid_html(leaderboard_grid(contest))) if contest else Markup()  # noqa: S704


def _promise(contest: Contest | None) -> dict[str, object] | None:
    """What the contest's cascade promises, whether it was chosen or not."""
    for each in contest.candidates if contest else ():
        score = each.scorecard.cascade if each.scorecard else None
        if contest is None or score is None:
            continue
        return {
            "chosen": contest.chosen is not None and contest.chosen.id == each.id,
            "outcome": score.outcome,
            "mark": MARKS[score.outcome],
            "facts": [Fact(t.name, t.value, t.remark) for t in told(score)],
            "rungs": Markup(grid_html(rungs_grid(score))),  # noqa: S704 — escapes every text
            "saving": saving(score),
            "method": score.promise.method,
        }
    return None


def _figures(subject: ReportSubject) -> list[Figure]:
    return [_figure(chart) for chart in charts_of(subject)]


def _figure(chart: Chart) -> Figure:
    return Figure(chart.title, chart.description, Markup(chart.svg()))  # noqa: S704 — escaped by Vega


def _examination_of(subject: ReportSubject, prefix: str) -> dict[str, object] | None:
    """The examination of the last contest's chosen candidate, where it was examined."""
    contest = subject.contest
    chosen = contest.chosen if contest else None
    if contest is None or chosen is None or chosen.scorecard is None:
        return None
    if chosen.scorecard.examination is None:
        return None
    examined = Examined(
        task=subject.task, contest=contest, candidate=chosen, release=contest.release
    )
    return _examination(examined, prefix)


def _examination(examined: Examined, prefix: str) -> dict[str, object]:
    """What the template reads about an examination."""
    shown = sections(examined, full=True)
    charts = charts_by_section(examined)
    return {
        "recorded": examined.scorecard.examination is not None,
        "checks": [
            {"mark": check_mark(check)[0], "role": check_mark(check)[1],
             "outcome": check.outcome, "sentence": check.sentence}
            for check in checks_in_order(examined)
        ],
        "sections": [
            {
                "id": f"{prefix}-{section.name}",
                "title": section.title,
                "body": Markup(Document(section.parts).html()),  # noqa: S704 — escapes every text
                "advice": section.advice,
                "figures": [_figure(chart) for chart in charts.get(section.name, ())],
            }
            for section in shown
            if not section.absent
        ],
        "absent": absent(examined, shown),
    }  # fmt: skip


def _slices(card: Scorecard | None) -> Markup:
    if card is None or not card.slices:
        return Markup()
    return Markup(grid_html(slices_grid(card)))  # noqa: S704 — grid_html escapes every text


def _pairs(card: Scorecard | None) -> list[dict[str, object]]:
    """The most confused pairs that have examples to read."""
    if card is None:
        return []
    read = sorted((pair for pair in card.confusions if pair.examples), key=lambda pair: -pair.n)
    return [
        {
            "actual": pair.actual,
            "predicted": pair.predicted,
            "times": words.count(pair.n, "time"),
            "examples": pair.examples[:MISTAKES_SHOWN],
        }
        for pair in read[:PAIRS_SHOWN]
    ]


def _datasets(subject: ReportSubject) -> list[dict[str, object]]:
    named = (("Examples", subject.quality), ("Test file", subject.test_quality))
    return [{"name": name, "quality": quality} for name, quality in named if quality is not None]


def _releases(subject: ReportSubject) -> Markup:
    if not subject.releases:
        return Markup()
    return Markup(grid_html(releases_grid(subject.releases, subject.channel)))  # noqa: S704


def _provenance(contest: Contest | None, card: Scorecard | None) -> list[tuple[str, str, str]]:
    """Name, shown value and whole value of what the numbers rest on."""
    if contest is None:
        return []
    rows = [
        ("contest", contest.id, contest.id),
        ("started", words.day(contest.started), contest.started.isoformat()),
        ("took", words.duration(contest.seconds), f"{contest.seconds:.3f} s"),
        ("seed", str(contest.seed), str(contest.seed)),
        ("milepost", contest.code, contest.code),
        ("task", words.digest(contest.task_version), contest.task_version),
        ("examples", words.digest(contest.examples), contest.examples),
    ]
    if contest.holdout:
        rows.append(("holdout", words.digest(contest.holdout), contest.holdout))
    known = {row[0] for row in rows} | {"code"}
    extra = card.provenance if card else {}
    rows += [(k, words.digest(v), v) for k, v in extra.items() if k not in known]
    if card and card.looks:
        rows.append(("looks at it", str(card.looks), str(card.looks)))
    return rows
