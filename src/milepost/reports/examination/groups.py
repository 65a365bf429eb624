"""How groups of people fare: rates by group, the largest gaps, and swapped identity terms."""

from collections.abc import Iterator, Sequence

from milepost.entities.estimate import Estimate
from milepost.entities.examination import AttributeScore, Gap, GroupFinding, GroupScore
from milepost.entities.expectations import FairnessRule
from milepost.reports import words
from milepost.reports.document import BLANK, Cell, Column, Grid, Line, Part, Row
from milepost.reports.examination.section import MATTERS, Section, cases_shown, said
from milepost.reports.records import Examined
from milepost.reports.scales import bar, common_scale

NAME = "groups"
TITLE = "How groups fare"
HIGHEST = 6
LOWEST = 3
FINDINGS = 3
HARMS = {
    "false_positive_rate": "flagged wrongly",
    "true_positive_rate": "missed",
    "metric": "answered wrong",
}
"""What happened to the examples of a finding, by its rate."""
GAPS = {
    "equal_opportunity": "equal opportunity",
    "equalised_odds": "equalised odds",
    "demographic_parity": "demographic parity",
}


def groups(examined: Examined, *, full: bool) -> Section:
    """Who is treated worse, a table of groups per attribute with its gaps, and swapped terms."""
    scores = examined.found.fairness
    if not scores:
        why = "The task names no groups; name columns or terms under `fairness`."
        refused = examined.task.no_room_for.get("fairness")
        if refused is not None:
            why = f"Groups are not compared in {refused}."
        return Section(NAME, TITLE, absent=why)
    rule = examined.task.fairness
    declared = rule.max_gap if isinstance(rule, FairnessRule) else None
    limit = MATTERS if declared is None else declared
    parts: list[Part] = [*_differ(scores, limit), *_worse(scores, full=full)]
    for score in scores:
        metric = words.metric_name(score.metric)
        parts += [*([BLANK] if parts else []), *_attribute(score, metric, full=full)]
    return Section(NAME, TITLE, tuple(parts), _advice(scores))


def _differ(scores: Sequence[AttributeScore], limit: float) -> Iterator[Part]:
    """What all gaps and findings together show; a tick only where gaps that matter are ruled out.

    Args:
        scores: Every attribute with every label.
        limit: The largest gap that does not matter.
    """
    shown = shown_gaps(scores)
    if shown:
        named = [_in_short(score, gap) for score, gap in shown[:FINDINGS]]
        more = f"; and {len(shown) - FINDINGS} more" if len(shown) > FINDINGS else ""
        gaps = words.count(len(shown), "gap between groups is", "gaps between groups are")
        yield said(f"{gaps} shown: {'; '.join(named)}{more}.", "!", "warn")
        return
    gaps_found = [gap for score in scores for gap in score.gaps]
    if _findings(scores) or not gaps_found:
        # What was found stands below; without a gap there was nothing to compare.
        return
    widest = max(gap.high for gap in gaps_found)
    alike = "No group is shown to be treated worse than the rest"
    if widest <= limit:
        yield said(f"{alike}, and every gap is shown to be at most {limit:g}.", "✔", "good")
        return
    yield said(
        f"{alike}, but these examples cannot rule it out: gaps may reach {widest:.2f}, and above "
        f"{limit:g} they matter.",
        "?",
        "warn",
    )


def _in_short(score: AttributeScore, gap: Gap) -> str:
    """A gap in a few words: what, by what, how much, between whom."""
    about = f', answer "{score.label}"' if score.label is not None and gap.name != "metric" else ""
    name = gap_name(gap, words.metric_name(score.metric))
    between = f"{words.middle(gap.highest, 24)} and {words.middle(gap.lowest, 24)}"
    return f"{name} by {score.attribute}{about} {gap.value:.3f} ({between})"


def _worse(scores: Sequence[AttributeScore], *, full: bool) -> Iterator[Part]:
    """Groups that are shown to be treated worse than the rest, in words, with examples."""
    found = _findings(scores)
    shown = found if full else found[:FINDINGS]
    for each in shown:
        yield said(each.sentence, "!", "warn")
        if not full:
            yield from cases_shown(each.cases[:1], full=False)
    if len(found) > len(shown):
        rest = words.count(len(found) - len(shown), "more finding")
        yield Line(((f"{rest} on the page (--output).", "dim"),))
    if full:
        for each in shown:
            yield from _cases(each)


def _cases(found: GroupFinding) -> Iterator[Part]:
    if found.cases:
        yield BLANK
        yield from cases_shown(found.cases, full=True, title=f"{found.group}: {HARMS[found.rate]}")


def _findings(scores: Sequence[AttributeScore]) -> list[GroupFinding]:
    """All findings, the largest gaps first."""
    return sorted((each for score in scores for each in score.findings), key=lambda f: -f.gap)


def gap_name(gap: Gap, metric: str) -> str:
    """A gap in words; ``metric`` is that of the attribute in words."""
    return metric if gap.name == "metric" else GAPS[gap.name]


def ordered(score: AttributeScore) -> list[GroupScore]:
    """Groups with the most to complain about first."""
    return sorted(score.groups, key=lambda group: (-_wrong(group), group.name))


def _wrong(group: GroupScore) -> float:
    if group.false_positive_rate is not None:
        return group.false_positive_rate.value
    return -group.estimate.value if group.estimate is not None else -2.0


def _attribute(score: AttributeScore, metric: str, *, full: bool) -> Iterator[Part]:
    about = f", answer {score.label}" if score.label is not None else ""
    yield Line(((score.attribute, "strong"), (f"{about}, {len(score.groups)} groups", "")))
    rows = ordered(score)
    hidden = 0 if full else max(0, len(rows) - HIGHEST - LOWEST)
    shown = [*rows[:HIGHEST], *rows[HIGHEST + hidden :]] if hidden else rows
    yield _rates(shown) if score.label is not None else _metric(shown, metric)
    if hidden:
        yield Line(((f"{hidden:,} more between them on the page (--output).", "dim"),))
    if score.label is not None:
        explained = (
            f"answered: share answered {score.label}; found: of those that are, answered so; "
            "wrongly: of those that are not."
        )
        if any(group.swapped_in for group in rows):
            explained += (
                f" put in: share answered {score.label} when this term stands in the texts of all "
                "groups."
            )
        yield Line(((explained, "dim"),))
    if score.gaps:
        yield BLANK
        yield _gaps(score.gaps, metric)
    yield from _swaps(score, full=full)


def _rates(rows: Sequence[GroupScore]) -> Grid:
    swapped = any(group.swapped_in for group in rows)
    columns = (
        Column("group", wraps=True),
        Column("n", "right"),
        Column("answered", "right"),
        Column("found", "right"),
        Column("wrongly", "right"),
        *([Column("put in", "right")] if swapped else []),
    )
    return Grid(
        columns,
        tuple(
            Row(
                (
                    Cell(group.name),
                    Cell(words.count(group.n)),
                    *(
                        Cell(words.share(rate) if rate else "–")
                        for rate in (
                            group.answered,
                            group.true_positive_rate,
                            group.false_positive_rate,
                            *([group.swapped_in] if swapped else []),
                        )
                    ),
                )
            )
            for group in rows
        ),
    )


def _metric(rows: Sequence[GroupScore], metric: str) -> Grid:
    known: list[Estimate] = [group.estimate for group in rows if group.estimate]
    scale = common_scale(known)
    columns = (
        Column("group", wraps=True),
        Column("n", "right"),
        Column(metric, "right"),
        Column("", width=14),
    )
    return Grid(
        columns,
        tuple(
            Row(
                (
                    Cell(group.name),
                    Cell(words.count(group.n)),
                    Cell(words.measured(group.estimate) if group.estimate else "–"),
                    Cell(bar=bar(group.estimate, scale)) if group.estimate else Cell(),
                )
            )
            for group in rows
        ),
    )


def _gaps(gaps: Sequence[Gap], metric: str) -> Grid:
    columns = (
        Column("largest gap", wraps=True),
        Column("value", "right"),
        Column("highest", wraps=True),
        Column("lowest", wraps=True),
        Column("p", "right"),
    )
    return Grid(
        columns,
        tuple(
            Row(
                (
                    Cell(gap_name(gap, metric)),
                    Cell(
                        f"{gap.value:.3f} [{gap.low:.2f}, {gap.high:.2f}]",
                        "warn" if gap.low > 0 else "",
                    ),
                    Cell(gap.highest),
                    Cell(gap.lowest),
                    Cell(words.chance(gap.p_value)),
                )
            )
            for gap in gaps
        ),
    )


def _swaps(score: AttributeScore, *, full: bool) -> Iterator[Part]:
    if score.flips is None:
        return
    changed = f"changed {words.share(score.flips)} of the answers to "
    yield BLANK
    yield said(
        f"Swapping one term of {score.attribute} for another {changed}"
        f"{words.count(score.swaps, 'text')}."
    )
    yield from cases_shown(score.cases, full=full, title="Answers that a swapped term changed")


def shown_gap(scores: Sequence[AttributeScore]) -> tuple[AttributeScore, Gap] | None:
    """The largest gap that is shown to be above zero, with its attribute."""
    return next(iter(shown_gaps(scores)), None)


def shown_gaps(scores: Sequence[AttributeScore]) -> list[tuple[AttributeScore, Gap]]:
    """All gaps that are shown to be above zero, the largest first, with their attributes."""
    pairs = [(score, gap) for score in scores for gap in score.gaps if gap.low > 0]
    return sorted(pairs, key=lambda pair: -pair[1].value)


def _advice(scores: Sequence[AttributeScore]) -> tuple[str, ...]:
    found = _findings(scores)
    if found:
        return tuple(dict.fromkeys(each.advice for each in found[:FINDINGS]))
    worst = shown_gap(scores)
    if worst is None:
        return ()
    _, gap = worst
    return (
        f"Label more texts of {gap.highest} and {gap.lowest}, also such as are not about the "
        "label, and limit the gap with fairness.max_gap.",
    )
