"""Two sets of answers to the same examples: what changed, where, and whether it is shown.

**Whole.** The metric of each with its interval, and the paired difference with its test
(``evaluation.comparison``). The p-value told here is two-sided, twice the smaller one-sided one:
nobody said beforehand which of the two should win. What is called better is better in 95 of 100
such comparisons or more, for two that are given; whoever compares many pairs and believes the
best has to correct for that.

**Parts.** A label or slice is compared by the share of right answers, with an exact test on the
examples that only one got right (McNemar 1947); where rows belong together, by the bound of the
paired difference over units. All parts, labels and slices together, are one
family: p-values are adjusted by Holm (1979), intervals are simultaneous (Bonferroni). So that with
no difference anywhere, a difference is claimed on any part in at most 5 of 100 comparisons.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec
import numpy as np
from numpy.typing import NDArray

from milepost.entities.decision import Comparison
from milepost.entities.difference import Changed, Counts, Difference, Part, Side, Told
from milepost.entities.measures import measure_kind
from milepost.evaluation.comparison import Pair, compare
from milepost.metrics.inference.intervals import Sampling
from milepost.metrics.inference.multiplicity import holm
from milepost.metrics.scoring.deciding import answer_name, decided, is_right
from milepost.metrics.scoring.measures import Measure, counted

CHARS = 300
"""Characters of an example's text that are kept."""

UNKNOWN_LABEL = "(unknown label)"

_MOST_ROWS = 1_000_000
_MANY_LOSSES = 2
"""Losses on one label from which on the verdict names it."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Answers:
    """Answers of two to the same ``n`` examples over ``k`` labels.

    Attributes:
        task: Task name.
        measure: The objective's measure.
        labels: The ``k`` label names, in the order of the columns.
        ids: Id of each example.
        texts: Input of each example.
        y: ``(n,) int64`` actual labels in ``[-1, k)``; ``-1`` is one that nobody can get right.
        first: ``(n, k) float32``, probabilities of the first one.
        second: ``(n, k) float32``, probabilities of the second one.
        masks: ``(n,) bool`` per declared slice.
        predicates: SQL of each slice.
        candidates: How many candidates one of the two was chosen from on these same examples; the
            comparison pays for it. 1 where neither was.
        sampling: Confidence, resamples and seed.
        units: ``(n,) int64`` unit of each row where some belong together; ``None`` where none do.
    """

    task: str
    measure: Measure
    labels: tuple[str, ...]
    ids: tuple[str, ...]
    texts: tuple[str, ...]
    y: NDArray[np.int64]
    first: NDArray[np.float32]
    second: NDArray[np.float32]
    masks: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict[str, NDArray[np.bool_]])
    predicates: Mapping[str, str] = field(default_factory=dict[str, str])
    candidates: int = 1
    sampling: Sampling = field(default_factory=Sampling)
    units: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        """Check that the columns fit together.

        Raises:
            ValueError: If lengths differ or there is no example.
        """
        shape = (len(self.y), len(self.labels))
        if not len(self.y) or self.first.shape != shape or self.second.shape != shape:
            raise ValueError(f"answers of shapes {self.first.shape} and {self.second.shape}")
        if len(self.ids) != len(self.y) or len(self.texts) != len(self.y):
            raise ValueError("ids and texts must be as many as the labels")


def differences(
    answers: Answers, sides: tuple[Side, Side], source: str, notes: tuple[str, ...] = (),
    most: int = 10,
) -> Difference:  # fmt: skip
    """What the second one does differently.

    Args:
        answers: Of both.
        sides: The first and the second, as records.
        source: Where the examples come from, in words.
        notes: What a reader must know.
        most: Examples kept of each kind, 0 or more.
    """
    mine, other = decided(answers.second), decided(answers.first)
    comparison = compare(
        Pair(
            against=sides[0].name,
            metric=answers.measure.name,
            k=len(answers.labels),
            y=answers.y,
            answers=mine,
            other=other,
            candidates=answers.candidates,
            sampling=answers.sampling,
            measure=answers.measure,
            probabilities=(answers.second, answers.first),
            units=answers.units,
        )
    )
    counts = _counts(answers.y, other, mine)
    p_value = two_sided(comparison)
    told = _told(comparison, counts, answers)
    rows = _rows_to_tell(comparison) if told == "undecided" else None
    labels, slices = _parts(answers, other, mine)
    right, was_right = is_right(mine, answers.y), is_right(other, answers.y)
    sure_first, sure_second = answers.first.max(axis=1), answers.second.max(axis=1)
    record = Difference(
        task=answers.task,
        metric=answers.measure.name,
        first=sides[0],
        second=sides[1],
        source=source,
        comparison=comparison,
        p_value=p_value,
        told=told,
        verdict=(),
        counts=counts,
        labels=labels,
        slices=slices,
        wins=_changed(answers, right & ~was_right, sure_second, most),
        losses=_changed(answers, ~right & was_right, sure_second, most),
        differently_wrong=_changed(
            answers, ~right & ~was_right & (mine != other), sure_first + sure_second, most
        ),
        rows_to_tell=rows,
        notes=notes,
    )
    return msgspec.structs.replace(
        record, verdict=_verdict(record, 1.0 - answers.sampling.confidence)
    )


def two_sided(comparison: Comparison) -> float:
    """Two-sided p-value of "no difference": twice the smaller one-sided one."""
    return min(1.0, 2.0 * min(comparison.p_value, comparison.p_worse))


def _told(comparison: Comparison, counts: Counts, answers: Answers) -> Told:
    # A measure of the probabilities may tell two apart that always give the same answer.
    if counts.agreement == 1.0 and answers.measure.read is None:
        return "same"
    if two_sided(comparison) >= 1.0 - answers.sampling.confidence:
        return "undecided"
    return "better" if comparison.p_value < comparison.p_worse else "worse"


def _counts(y: NDArray[np.int64], first: NDArray[np.int64], second: NDArray[np.int64]) -> Counts:
    was, now, same = is_right(first, y), is_right(second, y), first == second
    return Counts(
        n=len(y),
        both_right=int((was & now).sum()),
        wins=int((~was & now).sum()),
        losses=int((was & ~now).sum()),
        same_wrong=int((~was & ~now & same).sum()),
        differently_wrong=int((~was & ~now & ~same).sum()),
    )


def _parts(
    answers: Answers, first: NDArray[np.int64], second: NDArray[np.int64]
) -> tuple[tuple[Part, ...], tuple[Part, ...]]:
    """Labels and slices with examples, as one family of tests."""
    masks = [(label, "", answers.y == i) for i, label in enumerate(answers.labels)]
    of_labels = len(masks)
    masks += [
        (name, answers.predicates.get(name, ""), mask) for name, mask in answers.masks.items()
    ]
    kept = [(at, *each) for at, each in enumerate(masks) if each[2].any()]
    if not kept:
        return (), ()
    level = 1.0 - (1.0 - answers.sampling.confidence) / len(kept)
    sampling = Sampling(
        confidence=level, resamples=answers.sampling.resamples, seed=answers.sampling.seed
    )
    accuracy = counted("accuracy")
    found: list[Comparison] = [
        compare(
            Pair(
                against="",
                metric="accuracy",
                k=len(answers.labels),
                y=answers.y[mask],
                answers=second[mask],
                other=first[mask],
                candidates=answers.candidates,
                sampling=sampling,
                measure=accuracy,
                probabilities=(answers.second[mask], answers.first[mask]),
                units=_units(answers, mask),
            )
        )
        for _, _, _, mask in kept
    ]
    adjusted = holm(np.array([two_sided(each) for each in found]))
    parts: list[tuple[bool, Part]] = []
    for (at, name, predicate, mask), each, p_value in zip(kept, found, adjusted, strict=True):
        was, now = (is_right(each[mask], answers.y[mask]) for each in (first, second))
        part = Part(
            name=name,
            predicate=predicate,
            n=int(mask.sum()),
            first=float(was.mean()),
            second=float(now.mean()),
            wins=int((~was & now).sum()),
            losses=int((was & ~now).sum()),
            low=max(-1.0, each.low),
            high=min(1.0, each.high),
            p_value=float(p_value),
        )
        parts.append((at < of_labels, part))
    labels = [part for is_label, part in parts if is_label]
    labels.sort(key=lambda part: -abs(part.wins - part.losses))
    return tuple(labels), tuple(part for is_label, part in parts if not is_label)


def _units(answers: Answers, mask: NDArray[np.bool_]) -> NDArray[np.int64] | None:
    """Units of the rows of a part; ``None`` where none of them belong together."""
    units = None if answers.units is None else answers.units[mask]
    return units if units is not None and len(np.unique(units)) < len(units) else None


def _changed(
    answers: Answers, rows: NDArray[np.bool_], weight: NDArray[np.float32], most: int
) -> tuple[Changed, ...]:
    """The examples of those rows, the weightiest first; the first ones on ties."""
    at = np.flatnonzero(rows)
    at = at[np.argsort(-weight[at], kind="stable")][:most]
    shown: list[Changed] = []
    for i in at.tolist():
        first, second = int(decided(answers.first[i])), int(decided(answers.second[i]))
        shown.append(
            Changed(
                id=answers.ids[i],
                text=answers.texts[i][:CHARS],
                actual=answers.labels[answers.y[i]] if answers.y[i] >= 0 else UNKNOWN_LABEL,
                first=answer_name(answers.labels, first),
                first_confidence=float(answers.first[i, first]),
                second=answer_name(answers.labels, second),
                second_confidence=float(answers.second[i, second]),
            )
        )
    return tuple(shown)


def _rows_to_tell(comparison: Comparison) -> int | None:
    """Examples at which the interval would just leave out zero, as it shrinks with their root."""
    apart = abs(comparison.difference)
    half = (comparison.high - comparison.low) / 2.0
    if apart == 0.0 or half <= apart:
        # Nothing to go by, or the interval says what the test does not: one more of its kind may.
        return None if apart == 0.0 else comparison.n + 1
    rows = comparison.n * (half / apart) ** 2
    return int(np.ceil(rows)) if rows <= _MOST_ROWS else None


def _verdict(found: Difference, level: float) -> tuple[str, ...]:
    counts, comparison = found.counts, found.comparison
    second, size = found.second.name, _examples(counts.n)
    if found.told == "same":
        return (f"Both give the same answer to all {size}; only their confidences can differ.",)
    low, high = (apart(found.metric, end) for end in (comparison.low, comparison.high))
    tested = f"two-sided p {_p(found.p_value)}, needed < {level:.3g}"
    facts = f"{low} to {high}, {tested}, {size}"
    moved = f"it alone is right on {counts.wins:,}, {found.first.name} alone on {counts.losses:,}"
    sentences: list[str] = []
    if found.told == "undecided":
        sentences.append(
            f"The examples cannot tell the two apart: {apart(found.metric, comparison.difference)} "
            f"{unit_of(found.metric)} for {second} against {found.first.name} ({facts}); {moved}."
        )
        sentences.append(_more(found.rows_to_tell, comparison.difference))
    else:
        sentences.append(
            f"{second[:1].upper()}{second[1:]} is {found.told} by "
            f"{apart(found.metric, abs(comparison.difference), sign=False)} "
            f"{unit_of(found.metric)} ({facts}); {moved}."
        )
    sentences += _where(found, level)
    return tuple(sentence for sentence in sentences if sentence)


def _where(found: Difference, level: float) -> list[str]:
    """The labels and slices where a difference is shown, else where most is lost."""
    shown = [part for part in (*found.labels, *found.slices) if part.p_value < level]
    if shown:
        better = [f"`{part.name}`" for part in shown if part.second > part.first]
        worse = [f"`{part.name}`" for part in shown if part.second < part.first]
        said = [
            f"{word} on {_listed(names)}"
            for word, names in (("better", better), ("worse", worse))
            if names
        ]
        return [f"Right answers, shown with Holm's correction: {', '.join(said)}."]
    worst = min(found.labels, key=lambda part: part.wins - part.losses, default=None)
    if worst is None or worst.losses - worst.wins < _MANY_LOSSES:
        return []
    return [
        f"It loses most right answers on `{worst.name}` ({worst.losses:,} against "
        f"{worst.wins:,}), "
        "which may be chance."
    ]


def _listed(names: list[str]) -> str:
    """The first three names, and how many more."""
    if len(names) > 3:
        return f"{', '.join(names[:3])} and {len(names) - 3} more"
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]


def _more(rows: int | None, difference: float) -> str:
    if rows is not None:
        return f"About {_round(rows)} examples would, if the difference stays as measured."
    if difference == 0.0:
        return "As measured there is no difference to show."
    return "The difference is so small that no practical number of examples would."


def _examples(n: int) -> str:
    return f"{n:,} example{'s' if n != 1 else ''}"


def unit_of(metric: str) -> str:
    """What a difference in a measure is told in: points for a share, else the measure itself."""
    kind = measure_kind(metric)
    return "points" if kind.share else f"in {kind.words}"


def apart(metric: str, value: float, *, sign: bool = True) -> str:
    """A difference in a measure: in points for a share, else as it is, with three digits or more.

    An end of an interval that is just off zero never looks as if it held zero.
    """
    if measure_kind(metric).share:
        return points(value, sign=sign)
    if value == 0.0:
        return "0.000"
    digits = 3 if abs(value) >= 0.0005 else 1 - math.floor(math.log10(abs(value)))
    return f"{value:+,.{digits}f}" if sign else f"{value:,.{digits}f}"


def points(share: float, *, sign: bool = True) -> str:
    """A share in points, with the digits that a reader can use; never ``-0.0``."""
    value = 100.0 * share
    # An end of an interval that is just off zero must not look as if it held zero.
    digits = 1 if abs(value) >= 0.05 else 2
    text = f"{value:+.{digits}f}" if sign else f"{value:.{digits}f}"
    return "0.0" if float(text) == 0.0 else text


def _p(p_value: float) -> str:
    return "< 0.001" if p_value < 0.001 else f"= {p_value:.3f}"


def _round(rows: int) -> str:
    """Two significant digits, upwards: more would pretend to know."""
    step = 10 ** max(len(str(rows)) - 2, 0)
    return f"{-(-rows // step) * step:,}"
