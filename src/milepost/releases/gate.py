"""The gate: objective, scorecard and comparisons in, verdict with reasons out.

A pure function. Knows no store, no channel and no clock; what it reads was measured elsewhere.

The rules, in order. Each check passes, fails (shown to miss the objective) or stays open (the
labels cannot tell); one failure rejects, else one open check is insufficient evidence.

1. Floor: passes when the one-sided lower bound reaches it, fails when the one-sided upper bound
   is below it; a ceiling, for a metric that is better when lower, the other way round. Without
   either, ``majority`` must be beaten with significance.
2. Slices: a gap fails when its simultaneous interval lies wholly above the largest allowed gap. It
   stays open only where the measured gap is above the limit, unproven, and the slice has at least
   ``SLICE_MIN`` examples. Smaller slices are reported and do not block: on so few examples no
   interval is narrow enough to lie within a usual limit, so waiting for one would block for ever.
3. What the task asks of its predictor besides: the checks of the examination, as they stand.
4. Latency and cost: measured values against their limits.
5. Incumbent: a candidate that passed replaces it when it is better with significance, or when the
   incumbent breaks a floor or limit that the candidate keeps; else the incumbent is kept. One that
   asks a language model which cannot be asked now is compared by its recorded answers, and stays
   where there are none; one whose language model is registered no more cannot answer, and goes.
   Where a loss is accepted, as of a task that moves to another encoder, a candidate replaces it
   too when it is shown to lose no more (a test of non-inferiority).
"""

import math
from dataclasses import dataclass

from milepost.entities.decision import Comparison, Decision, Verdict
from milepost.entities.estimate import Estimate
from milepost.entities.examination import Outcome
from milepost.entities.measures import measure_kind
from milepost.entities.scorecard import FEW_GROUPS, Scorecard, SliceScore
from milepost.entities.task import Objective
from milepost.metrics.inference.planning import rows_to_decide

SLICE_MIN = 30
"""Fewest examples in a slice for an unproven gap to hold up a release."""

_MOST_ROWS = 1_000_000
_MOST_TIMES = 1_000.0

_JUDGED = {
    "holdout": "held-out {}",
    "test_file": "{} of the test file",
    "cross_fitted": "cross-fitted {}",
}
"""What a number rests on; what the measure is a mean over stands in the braces."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class IncumbentEvidence:
    """What is known of the release that runs now.

    Attributes:
        release: Its number.
        scorecard: Its scorecard on the same examples; ``None`` when there is none.
        comparison: The candidate against it on the same examples; ``None`` where none of them has
            an answer of it that counts.
        note: What could not be compared and why, as a sentence; empty where all was.
        stays: Whether it stays where there is no comparison: it answers, and nobody knows how well.
    """

    release: int
    scorecard: Scorecard | None
    comparison: Comparison | None
    note: str = ""
    stays: bool = False


@dataclass(frozen=True, slots=True)
class _Check:
    outcome: Outcome
    sentence: str
    use: bool = False
    """Whether it asks for more than ``majority`` answers, and not for what the task demands."""


def decide(
    objective: Objective,
    candidate: Scorecard,
    against_majority: Comparison | None,
    incumbent: IncumbentEvidence | None,
    confidence: float = 0.95,
    *,
    loss: float | None = None,
) -> Decision:
    """Decide whether a candidate may be released.

    Args:
        objective: What good enough means.
        candidate: Its certified numbers.
        against_majority: The candidate against ``majority`` on the same examples; read only
            where the objective has no floor.
        incumbent: What runs now; ``None`` for a first release.
        confidence: Confidence of every statement that this decision rests on, in (0.5, 1); that
            of the scorecard's ``at_least`` and ``at_most`` and of its slices' gaps.
        loss: Loss of the metric against the incumbent that is accepted where it is shown to be no
            larger; the interval of the comparison is then as sure as this. ``None`` asks for a
            gain.

    Returns:
        The verdict; its first reason is what decided, the other checks follow.
    """
    checks = [_quality(objective, candidate, against_majority, confidence)]
    checks += [
        _slice(score, objective.max_slice_gap, confidence, grouped=candidate.groups > 0)
        for score in candidate.slices
    ]
    checks += _examined(candidate)
    checks += _limits(objective, candidate)
    for outcome, verdict in (("failed", "rejected"), ("open", "insufficient_evidence")):
        deciding = [check.sentence for check in checks if check.outcome == outcome]
        if deciding:
            rest = [check.sentence for check in checks if check.outcome != outcome]
            no_use = all(check.use for check in checks if check.outcome != "passed")
            worse = _shown_worse(objective.metric, candidate, incumbent, confidence)
            if no_use and loss is not None and worse:
                deciding = [worse, *deciding]
            return Decision(verdict=_verdict(verdict), reasons=(*deciding, *rest), no_use=no_use)
    passed = [check.sentence for check in checks if check.sentence]
    if incumbent is None:
        return Decision(verdict="released", reasons=(*passed, "Nothing was released before this."))
    if incumbent.comparison is None:
        if loss is not None:
            return Decision(verdict="kept", reasons=(incumbent.note, *passed))
        verdict = "kept" if incumbent.stays else "released"
        return Decision(verdict=verdict, reasons=(incumbent.note, *passed))
    verdict, sentence = _against_incumbent(
        objective, candidate, incumbent, incumbent.comparison, confidence, loss
    )
    noted = (incumbent.note,) if incumbent.note else ()
    return Decision(verdict=verdict, reasons=(sentence, *noted, *passed))


def _verdict(name: str) -> Verdict:
    return "rejected" if name == "rejected" else "insufficient_evidence"


def _quality(
    objective: Objective,
    candidate: Scorecard,
    against_majority: Comparison | None,
    confidence: float,
) -> _Check:
    if objective.at_least is not None:
        return _floor(objective.metric, objective.at_least, candidate, confidence)
    if objective.ceiling is not None:
        return _ceiling(objective.metric, objective.ceiling, candidate, confidence)
    name = _name(objective.metric)
    if against_majority is None:
        return _Check(
            "open",
            f"{name} has no floor and the candidate was not compared with `majority`, "
            "so nothing shows that it is of use.",
            use=True,
        )
    return _beats_majority(name, against_majority, candidate, confidence)


def _floor(metric: str, floor: float, candidate: Scorecard, confidence: float) -> _Check:
    estimate = candidate.metrics[metric]
    name, sure = _name(metric), _percent(confidence)
    measured = f"({_measured(estimate, candidate)})"
    if estimate.at_least >= floor:
        low, bar = _apart(estimate.at_least, floor)
        return _Check(
            "passed",
            f"{name} is at least {low} with {sure} confidence {measured}, "
            f"which meets the floor of {bar}.",
        )
    if estimate.at_most < floor:
        high, bar = _apart(estimate.at_most, floor)
        return _Check(
            "failed",
            f"{name} is at most {high} with {sure} confidence {measured}, "
            f"which misses the floor of {bar}.",
        )
    low, bar = _apart(estimate.at_least, floor)
    high, _ = _apart(estimate.at_most, floor)
    return _Check(
        "open",
        f"{name} is somewhere between {low} and {high} {measured}, so the labels cannot tell "
        f"whether it meets the floor of {bar}. {_more_labels(candidate, floor, confidence)}",
    )


def _ceiling(metric: str, ceiling: float, candidate: Scorecard, confidence: float) -> _Check:
    """As the floor, for a metric that is better when lower."""
    estimate = candidate.metrics[metric]
    name, sure = _name(metric), _percent(confidence)
    measured = f"({_measured(estimate, candidate)})"
    low, bar = _apart(estimate.at_least, ceiling)
    high, _ = _apart(estimate.at_most, ceiling)
    if estimate.at_most <= ceiling:
        return _Check(
            "passed",
            f"{name} is at most {high} with {sure} confidence {measured}, "
            f"which keeps the ceiling of {bar}.",
        )
    if estimate.at_least > ceiling:
        return _Check(
            "failed",
            f"{name} is at least {low} with {sure} confidence {measured}, "
            f"which misses the ceiling of {bar}.",
        )
    return _Check(
        "open",
        f"{name} is somewhere between {low} and {high} {measured}, so the labels cannot tell "
        f"whether it keeps the ceiling of {bar}. {_more_labels(candidate, ceiling, confidence)}",
    )


def _beats_majority(
    name: str, comparison: Comparison, candidate: Scorecard, confidence: float
) -> _Check:
    size = _judged(candidate, comparison.metric)
    apart, sides = f"{abs(comparison.difference):.3f}", _sides(comparison)
    facts = f"on {comparison.n:,} {size} ({comparison.method}, {{p}})"
    better, poorer = (_p(p, confidence) for p in (comparison.p_value, comparison.p_worse))
    if comparison.p_value < 1.0 - confidence:
        return _Check(
            "passed",
            f"{name} is {apart} {sides[0]} `majority` {facts.format(p=better)}; "
            "the task has no floor, so this is enough.",
        )
    if comparison.p_worse < 1.0 - confidence:
        return _Check(
            "failed",
            f"{name} is {apart} {sides[1]} `majority` {facts.format(p=poorer)}.",
            use=True,
        )
    return _Check(
        "open",
        f"{name} is not shown to be {sides[0]} `majority`: the difference is "
        f"{comparison.difference:+.3f} {facts.format(p=better)}. "
        f"{_more_for_difference(comparison, candidate.groups)}",
        use=True,
    )


def _slice(score: SliceScore, limit: float | None, confidence: float, *, grouped: bool) -> _Check:
    """One slice; a sentence without consequence where no limit is set."""
    if score.gap is None or score.gap_low is None or score.gap_high is None:
        where = "has no examples" if score.n == 0 else "holds every example"
        return _Check("passed", f"Slice `{score.name}` {where}; there is no gap to judge.")
    size = f"{score.n:,} example{'s' if score.n != 1 else ''}"
    facts = (
        f"Slice `{score.name}` is {abs(score.gap):.3f} {'worse' if score.gap > 0 else 'better'} "
        f"than the rest ({score.gap_low:+.3f} to {score.gap_high:+.3f}, {size})"
    )
    if limit is None:
        return _Check("passed", f"{facts}; the task sets no limit.")
    if score.gap_low > limit:
        return _Check(
            "failed",
            f"{facts}, which is shown to exceed the largest allowed gap of {limit:g} "
            f"with {_percent(confidence)} confidence over all slices.",
        )
    if score.gap_high <= limit:
        return _Check("passed", f"{facts}, which is within the allowed gap of {limit:g}.")
    if score.gap <= limit:
        return _Check(
            "passed", f"{facts}; that is within the allowed gap of {limit:g}, though not proven."
        )
    if score.n < SLICE_MIN:
        return _Check(
            "passed",
            f"{facts}; too few to judge it against the allowed gap of {limit:g} "
            f"(from {SLICE_MIN} on it counts).",
        )
    if grouped:
        more = "Examples in the slice of more groups"
    else:
        needed = _scaled(score.n, score.gap - score.gap_low, score.gap - limit)
        more = f"About {needed} examples in the slice"
    return _Check(
        "open",
        f"{facts}, above the allowed gap of {limit:g} but not shown to be. "
        f"{more} would decide it if the gap stays as measured.",
    )


def _examined(candidate: Scorecard) -> list[_Check]:
    found = candidate.examination
    return [_Check(check.outcome, check.sentence) for check in found.checks] if found else []


def _limits(objective: Objective, candidate: Scorecard) -> list[_Check]:
    wanted = (
        ("95 % of predictions take at most {} ms", objective.max_p95_ms, "p95_ms"),
        (
            "A thousand predictions cost {} USD",
            objective.max_cost_per_1k_usd,
            "cost_per_1k_usd",
        ),
    )
    checks: list[_Check] = []
    for sentence, limit, field in wanted:
        if limit is None:
            continue
        if candidate.latency is None:
            checks.append(
                _Check("open", f"The limit of {limit:g} was not checked: time was not measured.")
            )
            continue
        value = float(getattr(candidate.latency, field))
        found, bar = _apart(value, limit)
        said = sentence.format(found)
        checks.append(
            _Check("passed", f"{said}, within the limit of {bar}.")
            if value <= limit
            else _Check("failed", f"{said}, above the limit of {bar}.")
        )
    return checks


def _against_incumbent(
    objective: Objective,
    candidate: Scorecard,
    incumbent: IncumbentEvidence,
    comparison: Comparison,
    confidence: float,
    loss: float | None,
) -> tuple[Verdict, str]:
    name = _name(objective.metric)
    sides = _sides(comparison)
    who = f"release {incumbent.release}"
    facts = (
        f"on {comparison.n:,} {_judged(candidate, comparison.metric)} ({comparison.method}, "
        f"{_p(comparison.p_value, confidence)})"
    )
    if comparison.p_value < 1.0 - confidence:
        return "released", (f"{name} is {abs(comparison.difference):.3f} {sides[0]} {who} {facts}.")
    if loss is not None and most_lost(comparison) <= loss:
        return "released", f"{name} {_lost(comparison, who, confidence)}, and {loss:g} is accepted."
    worse = _shown_worse(objective.metric, candidate, incumbent, confidence)
    broken = _broken(objective, incumbent.scorecard)
    if broken and not worse:
        return "released", (
            f"{who.capitalize()} breaks the objective, which this candidate keeps: {broken}."
        )
    if worse:
        return "kept", worse
    if loss is not None:
        return "kept", (
            f"{name} {_lost(comparison, who, confidence)}, and only {loss:g} is accepted; {who} "
            f"stays. {_more_for_loss(comparison, candidate.groups, loss)}"
        )
    return "kept", (
        f"{name} is not shown to be {sides[0]} {who}: the difference is "
        f"{comparison.difference:+.3f} {facts}; {who} stays. "
        f"{_more_for_difference(comparison, candidate.groups)}"
    )


def _shown_worse(
    metric: str, candidate: Scorecard, incumbent: IncumbentEvidence | None, confidence: float
) -> str:
    """That it is worse than the incumbent, as a sentence; empty where that is not shown."""
    found = None if incumbent is None else incumbent.comparison
    if incumbent is None or found is None or found.p_worse >= 1.0 - confidence:
        return ""
    who = f"release {incumbent.release}"
    return (
        f"{_name(metric)} is {abs(found.difference):.3f} {_sides(found)[1]} {who} on {found.n:,} "
        f"{_judged(candidate, found.metric)} ({found.method}, {_p(found.p_worse, confidence)}); "
        f"{who} stays."
    )


def most_lost(comparison: Comparison) -> float:
    """Largest loss of the metric that the interval of a comparison allows; below 0 for a gain."""
    return comparison.high if _falls(comparison) else -comparison.low


def _lost(comparison: Comparison, who: str, confidence: float) -> str:
    """How much worse it may be, beginning with the verb."""
    side = _sides(comparison)[1]
    most = most_lost(comparison)
    bound = f"at most {most:.3f} {side} {who}" if most > 0 else f"not {side} {who}"
    return (
        f"is {bound} with {_percent(confidence)} confidence: the difference is "
        f"{comparison.difference:+.3f} ({comparison.low:+.3f} to {comparison.high:+.3f}, "
        f"{comparison.n:,} {measure_kind(comparison.metric).over[1]})"
    )


def _more_for_loss(comparison: Comparison, groups: int, loss: float) -> str:
    """What it would take to show that no more is lost than is accepted."""
    if 0 < groups < FEW_GROUPS:
        return _more_groups(groups)
    falls = _falls(comparison)
    lost = comparison.difference if falls else -comparison.difference
    if lost >= loss:
        return "More labels, or another encoder, are needed to show that no more is lost."
    size = groups or comparison.n
    needed = _scaled(size, most_lost(comparison) - lost, loss - lost)
    return (
        f"About {needed} {_units(comparison.metric, groups)} to judge on would show it if the "
        "difference stays as measured."
    )


def _broken(objective: Objective, scorecard: Scorecard | None) -> str:
    """What of the objective a scorecard breaks, in words; empty for nothing."""
    if scorecard is None:
        return ""
    floor, ceiling = objective.at_least, objective.ceiling
    estimate = scorecard.metrics.get(objective.metric)
    name = measure_kind(objective.metric).words
    if floor is not None and estimate is not None and estimate.value < floor:
        value, bar = _apart(estimate.value, floor)
        return f"its {name} is {value}, below the floor of {bar}"
    if ceiling is not None and estimate is not None and estimate.value > ceiling:
        value, bar = _apart(estimate.value, ceiling)
        return f"its {name} is {value}, above the ceiling of {bar}"
    for check in _limits(objective, scorecard):
        if check.outcome == "failed":
            return check.sentence.rstrip(".")
    return ""


def _measured(estimate: Estimate, candidate: Scorecard) -> str:
    of = f" of {_groups(candidate.groups)}" if candidate.groups else ""
    return f"{estimate.value:.3f} on {estimate.n:,} {_judged(candidate, candidate.metric)}{of}"


def _groups(n: int) -> str:
    return f"{n:,} group{'s' if n != 1 else ''}"


def _more_groups(groups: int) -> str:
    """What few groups ask for; their spread says too little to tell how many more."""
    return (
        f"The interval rests on {_groups(groups)}: examples of more groups are needed (at least "
        f"{FEW_GROUPS}), not more examples of the same ones."
    )


def _more_labels(candidate: Scorecard, floor: float, confidence: float) -> str:
    estimate, groups = candidate.objective, candidate.groups
    if 0 < groups < FEW_GROUPS:
        return _more_groups(groups)
    rows = rows_to_decide(estimate, floor, confidence)
    if rows is None:
        return "The measured value is so near to the floor that no practical number would decide."
    if groups:
        # Groups of the same sizes: their number grows as that of their rows.
        needed = max(groups * rows / estimate.n, groups + 1)
        return (
            f"Examples of about {_round(needed)} groups to judge on would decide it if quality "
            f"stays as measured (now {groups:,}); more examples of the same groups would hardly "
            "help."
        )
    return (
        f"About {_round(rows)} {_units(candidate.metric)} to judge on would decide it if quality "
        f"stays as measured (now {estimate.n:,})."
    )


def _more_for_difference(comparison: Comparison, groups: int) -> str:
    """What it would take to show the difference, and the smallest one that these rows can show."""
    falls = _falls(comparison)
    difference = -comparison.difference if falls else comparison.difference
    half = comparison.high - comparison.difference if falls else difference - comparison.low
    if 0 < groups < FEW_GROUPS:
        return _more_groups(groups)
    if difference <= 0.0:
        return (
            "More labels, or a better candidate, are needed to show one; on these "
            f"{_units(comparison.metric)} a difference of about {half:.3f} could be shown."
        )
    size = groups or comparison.n
    what = _units(comparison.metric, groups)
    return (
        f"About {_scaled(size, half, difference)} {what} to judge on would show a "
        f"difference of this size; these can show one of about {half:.3f}."
    )


def _name(metric: str) -> str:
    """Name of a metric at the start of a sentence."""
    words = measure_kind(metric).words
    return words if words.startswith("nDCG") else words[0].upper() + words[1:]


def _units(metric: str, groups: int = 0) -> str:
    """What a measure is a mean over, several of them; groups where rows belong together."""
    return "groups" if groups else measure_kind(metric).over[1]


def _judged(candidate: Scorecard, metric: str) -> str:
    """What a number of the candidate rests on."""
    return _JUDGED[candidate.regime].format(_units(metric))


def _falls(comparison: Comparison) -> bool:
    """Whether the metric is better when lower; a user's function shows it by its p-values."""
    higher = measure_kind(comparison.metric).higher
    if higher is not None:
        return not higher
    return (comparison.p_value < comparison.p_worse) == (comparison.difference < 0.0)


def _sides(comparison: Comparison) -> tuple[str, str]:
    """The words for better and worse than the other."""
    return ("below", "above") if _falls(comparison) else ("above", "below")


def _scaled(n: int, half_width: float, distance: float) -> str:
    """Rows at which an interval, shrinking with the square root of n, is ``distance`` wide."""
    if distance * _MOST_TIMES <= half_width:
        return f"more than {_MOST_ROWS:,}"
    rows = max(n * (half_width / distance) ** 2, n + 1)
    return _round(rows) if rows <= _MOST_ROWS else f"more than {_MOST_ROWS:,}"


def _round(rows: float) -> str:
    """Two significant digits, upwards: more would pretend to know."""
    step = 10 ** max(len(str(int(rows))) - 2, 0)
    return f"{-(-int(rows) // step) * step:,}"


def _apart(value: float, bar: float) -> tuple[str, str]:
    """Both numbers with as many digits as it takes to see on which side the value is."""
    shown = f"{bar:.6g}" if bar >= 1 else f"{bar:.2f}" if round(bar, 2) == bar else f"{bar:.6g}"
    for digits in range(3, 9):
        text = f"{value:.{digits}f}"
        if (float(text) >= bar) == (value >= bar) and (float(text) > bar) == (value > bar):
            return text, shown
    return repr(value), shown


def _p(p_value: float, confidence: float) -> str:
    """A one-sided p-value beside the level that it is held against."""
    found = "< 0.001" if p_value < 0.001 else f"= {p_value:.3f}"
    return f"one-sided p {found}, needed < {1.0 - confidence:.3g}"


def _percent(confidence: float) -> str:
    """One decimal, downwards: a statement must not sound surer than it is."""
    return f"{math.floor(confidence * 1e3 + 1e-6) / 10:g} %"
