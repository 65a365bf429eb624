"""Whether confidences tell what a predictor was trained on: the likelihood-ratio attack.

Source: Carlini et al. (2022), "Membership inference attacks from first principles" (LiRA), the
online attack with pooled variances, which they advise for few shadow models.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from milepost.entities.estimate import Estimate
from milepost.metrics.inference.intervals import Measured

_FLOOR = 1e-7
_SMALLEST_VARIANCE = 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class Attack:
    """What the attack says of ``s`` predictors and ``n`` rows, some of which each was fitted to.

    Attributes:
        scores: ``(s, n) float64`` log likelihood ratio of "was fitted to the row".
        effect: ``(n,) float64`` how far a row's confidence rises when it is fitted to, in standard
            deviations.
    """

    scores: NDArray[np.float64]
    effect: NDArray[np.float64]


def logit_confidence(
    probabilities: NDArray[np.floating], y: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Log odds of the given label, ``(n,)``: nearly normal over predictors (Carlini eq. 4).

    Args:
        probabilities: ``(n, k)``.
        y: ``(n,) int64`` in ``[0, k)``.
    """
    own = probabilities[np.arange(len(y)), y].astype(np.float64)
    own = np.clip(own, _FLOOR, 1.0 - _FLOOR)
    return np.log(own) - np.log1p(-own)


def likelihood_ratios(confidences: NDArray[np.float64], members: NDArray[np.bool_]) -> Attack:
    """Attack each predictor with all others as shadows.

    A row's confidence is compared with its mean among the other predictors that were fitted to it
    and among those that were not; the two variances are pooled over rows. A row that all others
    were fitted to, or none, takes the mean shift of the rest. If membership is drawn independently
    for each predictor and row and does not matter, a score says nothing about membership.

    Args:
        confidences: ``(s, n)`` logit confidences, ``s`` at least 4.
        members: ``(s, n)`` whether the predictor was fitted to the row.

    Raises:
        ValueError: If shapes differ or there are fewer than four predictors.
    """
    if confidences.shape != members.shape or len(confidences) < 4:
        raise ValueError("the attack needs at least four predictors, and a membership for each")
    inside = _others(confidences, members)
    outside = _others(confidences, ~members)
    shift = np.nanmean(inside.means - outside.means) if inside.any_with(outside) else 0.0
    means_in = np.where(np.isnan(inside.means), outside.means + shift, inside.means)
    means_out = np.where(np.isnan(outside.means), inside.means - shift, outside.means)
    ratio = (confidences - means_out) ** 2 / (2.0 * outside.variances)
    ratio -= (confidences - means_in) ** 2 / (2.0 * inside.variances)
    ratio += 0.5 * np.log(outside.variances / inside.variances)
    spread = np.sqrt((inside.variances + outside.variances) / 2.0)
    return Attack(ratio, ((means_in - means_out) / spread).mean(axis=0))


def true_positive_rate(
    scores: NDArray[np.float64], members: NDArray[np.bool_], false_positive_rate: float
) -> float:
    """Share of the members recognised when that share of the others is wrongly taken for members.

    Between two points of the ROC curve it is interpolated, as an attacker would who guesses among
    equal scores, so that scores without any information give ``false_positive_rate``.

    Args:
        scores: Any shape, higher for members.
        members: The same shape, with at least one of each kind.
        false_positive_rate: In (0, 1).
    """
    return float(np.interp(false_positive_rate, *_roc_curve(scores, members)))


def _roc_curve(
    scores: NDArray[np.float64], members: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """False and true positive rates, ascending."""
    order = np.argsort(-scores, axis=None, kind="stable")
    ranked, flags = scores.ravel()[order], members.ravel()[order]
    last = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)
    right = np.append(0, np.cumsum(flags)[last]) / flags.sum()
    wrong = np.append(0, np.cumsum(~flags)[last]) / (~flags).sum()
    # the highest point of each vertical piece: the attacker takes it for free
    top = np.append(np.diff(wrong) > 0, True)
    return wrong[top], right[top]


def roc_area(scores: NDArray[np.float64], members: NDArray[np.bool_]) -> float:
    """Probability that a member scores above another, ties counting half (Mann & Whitney 1947)."""
    from scipy.stats import rankdata

    flags = members.ravel()
    ranks = np.asarray(rankdata(scores.ravel()))
    positive, negative = int(flags.sum()), int((~flags).sum())
    return float((ranks[flags].sum() - positive * (positive + 1) / 2.0) / (positive * negative))


def rate_estimate(
    scores: NDArray[np.float64],
    members: NDArray[np.bool_],
    groups: NDArray[np.int64],
    false_positive_rate: float,
    confidence: float,
) -> Estimate:
    """The true positive rate with bounds that pay for the threshold as well.

    The threshold comes from the few non-members that are taken for members, and where the ROC curve
    is steep a small error of it is a large one of the rate. Variance: that of the linearised rate
    at that point of the curve (Hsieh & Turnbull 1996), with all attacks on a group as one draw,
    and never less than one trial per group. Bounds are exact ones at the size that it is worth.
    The slope is the steeper of two secants, which errs towards width.

    Args:
        scores: ``(s, n)``, higher for members.
        members: ``(s, n)``, with at least one of each kind.
        groups: ``(n,) int64`` independent units, numbered from 0 without a gap, at least 2.
        false_positive_rate: In (0, 0.5].
        confidence: Two-sided coverage.
    """
    wrong, right = _roc_curve(scores, members)
    near = false_positive_rate * np.array([0.5, 1.0, 2.0])
    before, value, after = np.interp(near, wrong, right)
    slope = max((after - before) / (near[2] - near[0]), (value - before) / (near[1] - near[0]))
    over = scores > np.quantile(scores[~members], 1.0 - false_positive_rate)
    parts = (members * (over - value)).sum(axis=0) / members.sum()
    parts -= slope * (~members * (over - false_positive_rate)).sum(axis=0) / (~members).sum()
    units = int(groups.max()) + 1
    clustered = units / (units - 1) * float((np.bincount(groups, weights=parts) ** 2).sum())
    size = float(units)
    if 0.0 < value < 1.0:
        size = value * (1.0 - value) / max(clustered, value * (1.0 - value) / units)
    return Measured(
        value=float(value), size=max(size, 2.0), chance=0.0, n=units, method="roc_point"
    ).estimate(confidence)


def area_estimate(value: float, rows: int, confidence: float) -> Estimate:
    """An AUROC with exact bounds at the size that its variance is worth.

    The variance is that of Hanley & McNeil (1982) for one predictor, half of whose rows were
    members; averaging over several can only lower it.
    """
    half = max(rows / 2.0, 1.0)
    above = value / (2.0 - value)
    below = 2.0 * value**2 / (1.0 + value)
    variance = value * (1.0 - value) + (half - 1.0) * (above + below - 2.0 * value**2)
    variance /= half**2
    size = value * (1.0 - value) / variance if variance > 0.0 else half
    return Measured(
        value=value, size=max(size, 1.0), chance=0.0, n=rows, method="hanley_mcneil"
    ).estimate(confidence)


@dataclass(frozen=True, slots=True, eq=False)
class _Shadows:
    """Per predictor: each row's mean among the chosen others ``(s, n)``, and one variance."""

    means: NDArray[np.float64]
    variances: NDArray[np.float64]

    def any_with(self, other: "_Shadows") -> bool:
        return bool((~np.isnan(self.means) & ~np.isnan(other.means)).any())


def _others(confidences: NDArray[np.float64], chosen: NDArray[np.bool_]) -> _Shadows:
    weights = chosen.astype(np.float64)
    counts = weights.sum(axis=0) - weights
    sums = (weights * confidences).sum(axis=0) - weights * confidences
    squares = (weights * confidences**2).sum(axis=0) - weights * confidences**2
    means = np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)
    within = np.where(counts > 0, squares - counts * np.nan_to_num(means) ** 2, 0.0)
    freedom = np.maximum((counts - 1.0).clip(0.0).sum(axis=1, keepdims=True), 1.0)
    variances = within.sum(axis=1, keepdims=True) / freedom
    return _Shadows(means, np.maximum(variances, _SMALLEST_VARIANCE))
