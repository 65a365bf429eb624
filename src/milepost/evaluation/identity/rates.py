"""How each group fares, and how far apart the groups are."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from milepost.entities.estimate import Estimate
from milepost.entities.examination import Gap, GroupScore
from milepost.entities.expectations import Criterion
from milepost.evaluation.examination.subject import Subject
from milepost.evaluation.identity.attributes import Attribute
from milepost.metrics.inference.groups import Range, clustered, largest_difference, units_of
from milepost.metrics.inference.intervals import Measured, measure
from milepost.metrics.scoring.classification import METRICS
from milepost.metrics.scoring.confusion import Cells
from milepost.metrics.scoring.deciding import is_right

LEAST = 10
"""Fewest examples behind a rate for it to be compared with that of another group."""

RATES = ("metric", "answered", "true_positive_rate", "false_positive_rate")
_GAP_OF: dict[str, Criterion] = {
    "metric": "metric",
    "answered": "demographic_parity",
    "true_positive_rate": "equal_opportunity",
}


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Rated:
    """The rates of one attribute's groups, about one label or about none.

    Attributes:
        attribute: The attribute.
        label: Index of the label; ``None`` for the metric alone.
        rates: By group, then by name of the rate; ``None`` where there is nothing to measure.
    """

    attribute: Attribute
    label: int | None
    rates: dict[str, dict[str, Measured | None]]

    def comparable(self, rate: str) -> dict[str, Measured]:
        """The rate of the groups that have enough examples for it."""
        return {
            name: found
            for name, each in self.rates.items()
            if (found := each.get(rate)) is not None and found.n >= LEAST
        }

    def questions(self) -> int:
        """Ranges that are asked about."""
        return sum(len(self.comparable(rate)) > 1 for rate in RATES)

    def scores(self, confidence: float) -> tuple[GroupScore, ...]:
        """The groups by name."""

        def of(measured: Measured | None) -> Estimate | None:
            return None if measured is None else measured.estimate(confidence)

        return tuple(
            GroupScore(
                name=name,
                n=int(self.attribute.groups[name].sum()),
                estimate=of(each.get("metric")),
                answered=of(each.get("answered")),
                true_positive_rate=of(each.get("true_positive_rate")),
                false_positive_rate=of(each.get("false_positive_rate")),
            )
            for name, each in self.rates.items()
        )

    def gaps(self, confidence: float, questions: int) -> tuple[Gap, ...]:
        """The largest differences, with intervals that hold for all ``questions`` together."""
        ranges: dict[str, tuple[list[str], Range]] = {}
        for rate in RATES:
            groups = self.comparable(rate)
            found = largest_difference(list(groups.values()), confidence, questions)
            if found is not None:
                ranges[rate] = (list(groups), found)
        gaps = [_gap(_GAP_OF[rate], *ranges[rate]) for rate in RATES[:3] if rate in ranges]
        odds = [ranges[rate] for rate in RATES[2:] if rate in ranges]
        if len(odds) == 2:
            gaps.append(_odds(odds))
        return tuple(gaps)


def rated(
    subject: Subject, attribute: Attribute, label: int | None, names: Sequence[str] = RATES
) -> Rated:
    """Measure the groups of an attribute in some of ``RATES``; only ``metric`` needs no label."""
    rows = RateRows(subject)
    return Rated(
        attribute=attribute,
        label=label,
        rates={
            name: {rate: rows.measure(rate, mask, label) for rate in names}
            for name, mask in attribute.groups.items()
        },
    )


class RateRows:
    """What each rate is a share of."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._answers = subject.answers
        self._units = units_of(subject.examples.groups)

    def measure(self, rate: str, mask: NDArray[np.bool_], label: int | None) -> Measured | None:
        """A rate among some rows; ``None`` where it is about none of them."""
        if rate == "metric":
            return self._metric(mask)
        rows = mask & self.about(rate, label)
        if not rows.any():
            return None
        return clustered(self._answers[rows] == label, self._units[rows])

    def about(self, rate: str, label: int | None) -> NDArray[np.bool_]:
        """The rows that a rate is a share of."""
        if rate == "true_positive_rate":
            return self._subject.y == label
        if rate == "false_positive_rate":
            return self._subject.y != label
        return np.ones(len(self._answers), np.bool_)

    def _metric(self, mask: NDArray[np.bool_]) -> Measured | None:
        if not mask.any():
            return None
        metric, y = self._subject.task.objective.metric, self._subject.y
        if metric == "accuracy" or metric not in METRICS:
            return clustered(is_right(self._answers[mask], y[mask]), self._units[mask])
        cells = Cells.of(y[mask], self._answers[mask], len(self._subject.labels))
        return measure(metric, cells)


def _gap(name: Criterion, groups: Sequence[str], found: Range) -> Gap:
    return Gap(
        name=name,
        value=found.value,
        low=found.low,
        high=found.high,
        highest=groups[found.highest],
        lowest=groups[found.lowest],
        p_value=found.p_value,
    )


def _odds(ranges: Sequence[tuple[list[str], Range]]) -> Gap:
    """The larger of both rates' gaps; both intervals hold at once, so their maxima do."""
    groups, worse = max(ranges, key=lambda each: each[1].value)
    gap = _gap("equalised_odds", groups, worse)
    return Gap(
        name=gap.name,
        value=gap.value,
        low=max(each.low for _, each in ranges),
        high=max(each.high for _, each in ranges),
        highest=gap.highest,
        lowest=gap.lowest,
        p_value=min(each.p_value for _, each in ranges),
    )
