"""Which groups are treated worse than the rest, in words that say what to do."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from milepost.entities.examination import GroupFinding
from milepost.evaluation.examination.cases import most_confident
from milepost.evaluation.examination.subject import Subject
from milepost.evaluation.identity.rates import LEAST, Rated, RateRows
from milepost.metrics.inference.comparison import independent_difference, independent_p_value
from milepost.metrics.inference.intervals import Measured
from milepost.metrics.inference.multiplicity import holm

CASES = 5
"""Examples that a finding keeps."""

Harm = Literal["false_positive_rate", "true_positive_rate", "metric"]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class _Tried:
    """One group and rate held against the rest."""

    rated: Rated
    group: str
    rate: Harm
    inside: Measured
    rest: Measured

    @property
    def worse(self) -> tuple[Measured, Measured]:
        """The one that is higher where the group is treated worse, and the other."""
        high = self.rate == "false_positive_rate"
        return (self.inside, self.rest) if high else (self.rest, self.inside)


def group_findings(
    subject: Subject, attributes: Sequence[Rated]
) -> dict[int, tuple[GroupFinding, ...]]:
    """Groups shown to be treated worse than all other examples.

    One-sided tests of each group and rate against the rest, corrected together (Holm); the bounds
    of the gaps hold together (Bonferroni).

    Args:
        subject: The candidate.
        attributes: Every attribute with every label.

    Returns:
        By position in ``attributes``, the largest gaps first.
    """
    tried = [each for rated in attributes for each in _tried(subject, rated)]
    if not tried:
        return {}
    raw = np.array([independent_p_value(*each.worse) for each in tried])
    corrected = holm(raw)
    alpha = 1.0 - subject.sampling.confidence
    found: dict[int, list[GroupFinding]] = {}
    for each, p_value in zip(tried, corrected.tolist(), strict=True):
        if p_value > alpha:
            continue
        low, _ = independent_difference(*each.worse, alpha / len(tried))
        at = next(i for i, rated in enumerate(attributes) if rated is each.rated)
        found.setdefault(at, []).append(_finding(subject, each, low, p_value))
    return {at: tuple(sorted(each, key=lambda f: -f.gap)) for at, each in found.items()}


def _tried(subject: Subject, rated: Rated) -> list[_Tried]:
    rows = RateRows(subject)
    harms: tuple[Harm, ...] = ("metric",)
    if rated.label is not None:
        harms = ("false_positive_rate", "true_positive_rate")
    found: list[_Tried] = []
    for rate in harms:
        for name, inside in rated.comparable(rate).items():
            rest = rows.measure(rate, ~rated.attribute.groups[name], rated.label)
            if rest is not None and rest.n >= LEAST:
                found.append(_Tried(rated=rated, group=name, rate=rate, inside=inside, rest=rest))
    return found


def _finding(subject: Subject, tried: _Tried, low: float, p_value: float) -> GroupFinding:
    confidence = subject.sampling.confidence
    inside, rest = tried.inside.estimate(confidence), tried.rest.estimate(confidence)
    high, other = tried.worse
    label = "" if tried.rated.label is None else subject.labels[tried.rated.label]
    what, advice = _words(tried, label, subject.task.objective.metric)
    # Holm rejects some gaps whose Bonferroni bound is not above 0; the rejection is the claim.
    least = max(low, 0.0)
    sentence = (
        f"{what.format(n=f'{inside.n:,}', share=_percent(inside.value))} "
        f"({confidence * 100:g} % interval {_percent(inside.low)} to {_percent(inside.high)}), "
        f"against {_percent(rest.value)} of the rest: {_points(high.value - other.value)} worse, "
        f"at least {_points(least)} (one-sided p {_p(p_value)}, corrected for every group and "
        "rate)."
    )
    return GroupFinding(
        group=tried.group,
        rate=tried.rate,
        inside=inside,
        rest=rest,
        gap=high.value - other.value,
        gap_low=least,
        p_value=p_value,
        sentence=sentence,
        advice=advice,
        cases=most_confident(subject, np.flatnonzero(_wrong(subject, tried)), CASES),
    )


def _words(tried: _Tried, label: str, metric: str) -> tuple[str, str]:
    who = f'{tried.rated.attribute.name} "{tried.group}"'
    if tried.rate == "false_positive_rate":
        return (
            f'{who} is over-flagged: {{share}} of its {{n}} examples that are not "{label}" were '
            f'answered "{label}"',
            f'Label more examples of {who} that are not "{label}", beginning with ones like these; '
            f'until a release passes, have people look at what is answered "{label}" there.',
        )
    if tried.rate == "true_positive_rate":
        return (
            f'{who} is missed: only {{share}} of its {{n}} examples of "{label}" were answered '
            f'"{label}"',
            f'Label more examples of "{label}" from {who}, beginning with ones like these.',
        )
    return (
        f"{who} is answered worse: {metric.replace('_', ' ')} {{share}} on its {{n}} examples",
        f"Label more examples of {who}, beginning with ones like these.",
    )


def _wrong(subject: Subject, tried: _Tried) -> NDArray[np.bool_]:
    """Rows of the group that count against it."""
    mask = tried.rated.attribute.groups[tried.group] & ~subject.right
    label = tried.rated.label
    if tried.rate == "false_positive_rate":
        return mask & (subject.answers == label)
    return mask & (subject.y == label) if tried.rate == "true_positive_rate" else mask


def _percent(share: float) -> str:
    return f"{share * 100:.1f} %"


def _points(share: float) -> str:
    return f"{share * 100:.1f} points"


def _p(p_value: float) -> str:
    return "< 0.001" if p_value < 0.001 else f"= {p_value:.3f}"
