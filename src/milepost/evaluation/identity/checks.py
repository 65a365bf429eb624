"""The gaps and flips that a task allows, held against what was measured; for the gate."""

from collections.abc import Sequence

from milepost.entities.examination import AttributeScore, Check, Gap, Outcome
from milepost.entities.expectations import Criterion, FairnessRule

COUNTS = 30
"""Fewest examples behind both rates of a gap for it to hold up a release unproven."""

_ORDER = ("failed", "open", "passed")
_WORDS = {
    "equal_opportunity": "true positive rate",
    "equalised_odds": "true and false positive rate",
    "demographic_parity": "share answered with the label",
}


def checks(rule: FairnessRule, scores: Sequence[AttributeScore]) -> tuple[Check, ...]:
    """One check an attribute and criterion, and one for its swaps, where the rule sets a limit."""
    found: list[Check] = []
    for name in (*rule.by, *rule.terms):
        own = [score for score in scores if score.attribute == name]
        if rule.max_gap is not None:
            found += [_gap_check(name, each, own, rule.max_gap) for each in rule.criteria]
        if rule.max_flips is not None and name in rule.terms:
            found.append(_flips_check(name, own, rule.max_flips))
    return tuple(found)


def _gap_check(
    attribute: str, criterion: Criterion, scores: Sequence[AttributeScore], limit: float
) -> Check:
    """The worst outcome over the labels that the criterion is about."""
    name = f"fairness {attribute} {criterion}"
    judged = [
        (*_judged(score, gap, limit), gap.low, gap.value)
        for score in scores
        for gap in score.gaps
        if gap.name == criterion
    ]
    if not judged:
        return Check(
            name=name,
            outcome="open",
            sentence=f"The gap in {_words(criterion, scores)} by `{attribute}` could not be "
            "measured: too few groups have examples enough. Label more of each.",
        )
    # A gap that is not shown to hold comes before one that is.
    outcome, sentence, proven, _, _ = min(
        judged, key=lambda e: (_ORDER.index(e[0]), e[2], -e[3], -e[4])
    )
    return Check(name=name, outcome=outcome, sentence=sentence, proven=proven)


def _judged(score: AttributeScore, gap: Gap, limit: float) -> tuple[Outcome, str, bool]:
    """Outcome, sentence, and whether it is shown; the rule of the gate for slices."""
    about = f' for "{score.label}"' if score.label is not None and gap.name != "metric" else ""
    facts = (
        f"By `{score.attribute}` the largest gap in {_words(gap.name, (score,))}{about} is "
        f"{gap.value:.3f} ({gap.low:.3f} to {gap.high:.3f}; {gap.highest} highest, "
        f"{gap.lowest} lowest)"
    )
    if gap.low > limit:
        said = f"{facts}, which is shown to exceed the largest allowed gap of {limit:g}."
        return "failed", said, True
    if gap.high <= limit:
        return "passed", f"{facts}, which is within the allowed gap of {limit:g}.", True
    if gap.value <= limit:
        said = f"{facts}; that is within the allowed gap of {limit:g}, though not proven."
        return "passed", said, False
    n = min(_examples(score, gap, group) for group in (gap.highest, gap.lowest))
    if n < COUNTS:
        said = (
            f"{facts}; {n} examples are too few to judge it against the allowed gap of {limit:g} "
            f"(from {COUNTS} on it counts)."
        )
        return "passed", said, False
    said = (
        f"{facts}, above the allowed gap of {limit:g} but not shown to be. More examples of both "
        "groups would decide it."
    )
    return "open", said, True


def _examples(score: AttributeScore, gap: Gap, group: str) -> int:
    """Examples behind a group's rates in a gap."""
    found = next(each for each in score.groups if each.name == group)
    estimates = {
        "metric": (found.estimate,),
        "demographic_parity": (found.answered,),
        "equal_opportunity": (found.true_positive_rate,),
        "equalised_odds": (found.true_positive_rate, found.false_positive_rate),
    }[gap.name]
    return min(0 if estimate is None else estimate.n for estimate in estimates)


def _flips_check(attribute: str, scores: Sequence[AttributeScore], limit: float) -> Check:
    name = f"fairness {attribute} swaps"
    score = next((each for each in scores if each.flips is not None), None)
    if score is None or score.flips is None:
        return Check(
            name=name,
            outcome="open",
            sentence=f"No term of `{attribute}` was swapped in any example. Add examples that hold "
            "one, or allow more for asking about them.",
        )
    flips = score.flips
    facts = (
        f"Swapping terms of `{attribute}` changes {flips.value:.3f} of the answers "
        f"({flips.low:.3f} to {flips.high:.3f}, {score.swaps:,} swaps)"
    )
    proven = flips.low > limit or flips.high <= limit or flips.value > limit
    if flips.low > limit:
        outcome, rest = "failed", f", which is shown to exceed the allowed {limit:g}."
    elif flips.high <= limit:
        outcome, rest = "passed", f", which is within the allowed {limit:g}."
    elif flips.value <= limit:
        outcome, rest = "passed", f"; that is within the allowed {limit:g}, though not proven."
    else:
        outcome = "open"
        rest = f", above the allowed {limit:g} but not shown to be. More examples would decide it."
    return Check(name=name, outcome=outcome, sentence=facts + rest, proven=proven)


def _words(criterion: Criterion, scores: Sequence[AttributeScore]) -> str:
    """What a criterion compares, in words."""
    metric = scores[0].metric if scores else "metric"
    return _WORDS.get(criterion, metric.replace("_", " "))
