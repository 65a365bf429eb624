"""The most important findings in a few lines, for the table that people read every day."""

from collections.abc import Callable
from dataclasses import dataclass

from milepost.entities.contest import Candidate, Contest
from milepost.entities.examination import Examination
from milepost.entities.scorecard import FEW_GROUPS, Scorecard
from milepost.reports import words
from milepost.reports.document import Line, Role
from milepost.reports.examination.changes import change_name, worst_first
from milepost.reports.examination.groups import gap_name, shown_gap
from milepost.reports.examination.looks import leaks
from milepost.reports.examination.outlook import GUESSING

MOST = 5
"""Lines beside the one that says where there is more."""
LONGEST_SLICE = 72
FLOOR = "majority"
"""The strategy that every other one must beat."""
LEVEL = 0.05
"""Up to which one-sided p-value the chosen one is shown to be worse than that."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: what it is about, what was found, and how grave that is."""

    about: str
    text: str
    mark: str = "·"
    role: Role = "dim"


def findings(contest: Contest) -> tuple[Finding, ...]:
    """What a reader must know of the chosen candidate, the gravest first, at most ``MOST``."""
    chosen = contest.chosen
    if chosen is None or chosen.scorecard is None:
        return ()
    card = chosen.scorecard
    found = card.examination or Examination()
    told = [line for tell in _TELLERS if (line := tell(found, card)) is not None]
    told = [*([worse] if (worse := _worse_than_floor(chosen)) else []), *told]
    last = [line for line in (_forecast(contest), _looks(card)) if line is not None]
    return (*told[: MOST - len(last)], *last)


def finding_lines(contest: Contest) -> list[Line]:
    """The findings as lines of a table, and where there is more; none without an examination."""
    chosen = contest.chosen
    if chosen is None or chosen.scorecard is None:
        return []
    examined = chosen.scorecard.examination is not None
    worse = _worse_than_floor(chosen)
    told = findings(contest) if examined else (worse,) if worse else ()
    lines = [
        Line(((f"{each.about}: ", "strong"), (each.text, "")), mark=(each.mark, each.role))
        for each in told
    ]
    if not examined:
        return lines
    more = f"What was found in full: milepost examine {contest.task}"
    if contest.release is None:
        more += f" --candidate {chosen.id}"
    elif contest.waits_for:
        more += f" --release {contest.release}"
    return [*lines, Line(((more, "dim"),))]


def _worse_than_floor(chosen: Candidate) -> Finding | None:
    """That whoever always gives the most frequent label does better, where that is shown."""
    against = chosen.against
    if against is None or against.p_worse >= LEVEL:
        return None
    moved = words.difference(against.difference, against.low, against.high)
    p_value = words.chance(against.p_worse)
    text = (
        f"{chosen.strategy} is shown to be worse than always answering the most frequent label: "
        f"{moved} in {words.metric_name(against.metric)} against `{FLOOR}` "
        f"(one-sided p {'' if p_value.startswith('<') else '= '}{p_value})."
    )
    return Finding("Worse than no model", text, "✘", "bad")


def _leaks(found: Examination, card: Scorecard) -> Finding | None:
    del found
    shown = card.naive is not None and words.score(card.naive.value) != words.score(
        card.objective.value
    )
    return Finding("Leaks", leaks(card), "!", "warn") if shown else None


def _few_groups(found: Examination, card: Scorecard) -> Finding | None:
    """That an interval rests on few groups, whatever the number of their rows."""
    del found
    if not 0 < card.groups < FEW_GROUPS:
        return None
    text = (
        f"every interval rests on {words.count(card.groups, 'group')}; label examples of more "
        "groups, not more examples of the same."
    )
    return Finding("Few groups", text, "!", "warn")


def _looks(card: Scorecard) -> Finding | None:
    """How many looks are used, once it is more than half."""
    if card.spent is None or 2 * card.spent.look <= card.spent.most:
        return None
    text = f"{card.spent.look} of {card.spent.most} used; label new examples."
    return Finding("Looks", text, "!", "warn")


def _weakest(found: Examination, card: Scorecard) -> Finding | None:
    del card
    if found.discovery is None or not found.discovery.found:
        return None
    worst, others = found.discovery.found[0], len(found.discovery.found) - 1
    more = f"; {words.count(others, 'more weak slice')}" if others else ""
    # The example that a description may end with is for `examine`, which has the room.
    name = words.middle(worst.description.partition(" (such as ")[0], LONGEST_SLICE)
    right = f"accuracy {words.score(worst.estimate.value)}"
    text = f"{name} have {right}, {worst.gap:.3f} less than the rest{more}."
    return Finding("Weak spot", text, "!", "warn")


def _unfair(found: Examination, card: Scorecard) -> Finding | None:
    del card
    worst = shown_gap(found.fairness)
    if worst is None:
        return None
    score, gap = worst
    name = gap_name(gap, words.metric_name(score.metric))
    between = f"{words.shorten(gap.highest, 20)} and {words.shorten(gap.lowest, 20)}"
    text = f"{between} ({score.attribute}) are {gap.value:.3f} apart in {name}."
    return Finding("Groups", text, "!", "warn")


def _breaks(found: Examination, card: Scorecard) -> Finding | None:
    del card
    harmful = [score for score in worst_first(found.robustness) if score.drop_low > 0]
    if not harmful:
        return None
    worst, others = harmful[0], len(harmful) - 1
    more = f"; {words.count(others, 'other change')} cost less" if others else ""
    drop = words.difference(worst.drop, worst.drop_low, worst.drop_high).replace("+", "")
    metric = words.metric_name(worst.metric)
    text = f"{change_name(worst.change)} cost {drop} of {metric}{more}."
    return Finding("Fragile", text, "!", "warn")


def _tells(found: Examination, card: Scorecard) -> Finding | None:
    del card
    if found.privacy is None or found.privacy.tpr_at_1_fpr.low <= GUESSING:
        return None
    rate = words.share(found.privacy.tpr_at_1_fpr)
    text = f"an attacker can tell {rate} of its training examples; guessing tells 1 %."
    return Finding("Privacy", text, "!", "warn")


_TELLERS: tuple[Callable[[Examination, Scorecard], Finding | None], ...] = (
    _leaks,
    _few_groups,
    _weakest,
    _unfair,
    _breaks,
    _tells,
)


def _forecast(contest: Contest) -> Finding | None:
    if not contest.forecast or not contest.curve:
        return None
    now = contest.curve[-1]
    told = [
        f"{words.measured(point.estimate)} with "
        f"{point.examples / max(now.examples, 1):.2g} times as many"
        for point in contest.forecast[:2]
    ]
    metric = words.metric_of(contest)
    whose = (
        "the closed-form head, cross-fitted on the training examples: "
        f"{words.score(now.estimate.value)} now"
    )
    return Finding("More labels", f"expected {metric} {', '.join(told)} ({whose}).")
