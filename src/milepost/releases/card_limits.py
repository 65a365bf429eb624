"""Limits of a release that follow from its numbers, and from nothing else."""

from collections.abc import Iterator

from milepost.entities.estimate import Estimate
from milepost.entities.scorecard import LabelScore, Scorecard

FEW = 30
"""Fewer examples than this make a label's or slice's numbers too wide to rely on."""
MUCH_WORSE_CALIBRATED = 2.0
"""ECE above this multiple of what a perfect model would show is worth a sentence."""
NAMED = 12
FOUND = 5
"""Found slices that a card names."""


def limits(card: Scorecard) -> tuple[str, ...]:
    """One sentence per limit, the most general first.

    Args:
        card: The certified numbers.
    """
    return tuple(sentence for rule in _RULES for sentence in rule(card))


def _regime(card: Scorecard) -> Iterator[str]:
    if card.regime == "cross_fitted":
        yield (
            "Nothing was set aside: the numbers are those of models fitted on parts of the data. "
            "The released model was fitted on all of it and was never measured itself."
        )
    yield (
        "All numbers hold for texts like those that they were measured on; nothing here says how "
        "it does on others."
    )


def _looks(card: Scorecard) -> Iterator[str]:
    if card.looks > 1:
        yield (
            f"The examples that it was judged on have been looked at {card.looks} times, so that "
            "its numbers may be a little too good."
        )


def _few_labels(card: Scorecard) -> Iterator[str]:
    few = [f"{_name(each.label)} ({each.n})" for each in card.labels if 0 < each.n < FEW]
    if few:
        yield (
            f"Labels judged on fewer than {FEW} examples, so that their own numbers say little: "
            f"{_listed(few)}."
        )


def _weak_labels(card: Scorecard) -> Iterator[str]:
    """Labels that are shown to be found less often than labels are on the whole."""
    whole = card.metrics.get("accuracy")
    for each in card.labels if whole else ():
        if each.recall is not None and whole is not None and each.recall.high < whole.low:
            yield (
                f"Of the texts that are {_name(each.label)} it finds {_share(each.recall)} of "
                f"{each.n}; of all texts it gets {_share(whole)} right."
            )
    yield from _never(card.labels)


def _never(labels: tuple[LabelScore, ...]) -> Iterator[str]:
    never = [_name(each.label) for each in labels if each.n == 0]
    if never:
        yield (
            "Labels that none of the judged examples has, so that nothing is known of them: "
            f"{_listed(never)}."
        )


def _slices(card: Scorecard) -> Iterator[str]:
    for each in card.slices:
        if each.n == 0:
            yield f"Slice `{each.name}` holds none of the judged examples."
        elif each.gap is not None and each.gap_low is not None and each.gap_low > 0:
            yield (
                f"Slice `{each.name}` is shown to be worse than the rest: by {each.gap:.3f} "
                f"({each.gap_low:.3f} to {each.gap_high:.3f}) on {each.n} examples."
            )
        elif each.n < FEW:
            yield f"Slice `{each.name}` holds only {each.n} examples; its gap is not known well."


def _calibration(card: Scorecard) -> Iterator[str]:
    told = card.calibration
    if told is not None and told.ece > MUCH_WORSE_CALIBRATED * told.ece_if_perfect:
        yield (
            f"Its confidences are off by {told.ece:.3f} on average (ECE), where a perfectly "
            f"calibrated model would show about {told.ece_if_perfect:.3f}."
        )


def _unknown(card: Scorecard) -> Iterator[str]:
    if card.unknown_labels:
        yield (
            f"{card.unknown_labels} of the judged examples have a label that the task does not "
            "know; they count as wrong."
        )


def _examined(card: Scorecard) -> Iterator[str]:
    """What the examination has shown, and what it could not decide."""
    found = card.examination
    if found is None:
        yield "It was not examined for weak slices, changed inputs, groups or privacy."
        return
    for each in found.discovery.found[:FOUND] if found.discovery else ():
        yield (
            f"Found to be worse than the rest by {each.gap:.3f} in accuracy (at least "
            f"{max(each.gap_low, 0):.3f}) on {each.n} examples: {_name(each.description)}."
        )
    for change in found.robustness:
        if change.drop_low > 0:
            yield (
                f"Inputs changed by {_name(change.change)} cost {change.drop:.3f} of "
                f"{change.metric.replace('_', ' ')} ({change.drop_low:.3f} to "
                f"{change.drop_high:.3f}) on {change.n} examples."
            )
    for check in found.checks:
        if check.outcome != "passed":
            yield " ".join(check.sentence.split()).replace("<", "&lt;").replace("|", "\\|")


def _bias(card: Scorecard) -> Iterator[str]:
    """Gaps between groups that are shown, and answers that swapped identity terms change."""
    for each in card.examination.fairness if card.examination else ():
        for gap in each.gaps:
            if gap.low > 0:
                yield (
                    f"Bias: between {_name(gap.highest)} and {_name(gap.lowest)} "
                    f"({_name(each.attribute)}) {gap.name.replace('_', ' ')} differs by "
                    f"{gap.value:.3f} ({gap.low:.3f} to {gap.high:.3f})."
                )
        if each.flips is not None and each.flips.low > 0:
            yield (
                f"Bias: swapping terms of {_name(each.attribute)} changes {_share(each.flips)} of "
                f"the answers to {each.swaps} texts."
            )


def _privacy(card: Scorecard) -> Iterator[str]:
    found = card.examination.privacy if card.examination else None
    if found is not None:
        yield (
            f"Privacy: an attack that wrongly accuses 1 % of strangers recognises "
            f"{_share(found.tpr_at_1_fpr)} of {found.members} training examples; guessing would "
            "recognise 0.01."
        )


_RULES = (
    _regime,
    _looks,
    _few_labels,
    _weak_labels,
    _slices,
    _calibration,
    _unknown,
    _examined,
    _bias,
    _privacy,
)


def _name(label: str) -> str:
    """A label as a code span, whatever it holds."""
    plain = " ".join(label.split()).replace("`", "'").replace("|", "\\|")
    return f"`{plain}`"


def _listed(names: list[str]) -> str:
    rest = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + rest


def _share(estimate: Estimate) -> str:
    return f"{estimate.value:.3f} ({estimate.low:.3f} to {estimate.high:.3f})"
