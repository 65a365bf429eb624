"""Slices that nobody declared: a search for where the answers are worse, corrected as a whole."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from milepost.entities.errors import InputError
from milepost.entities.examination import Discovery, FoundSlice
from milepost.entities.example import Examples
from milepost.evaluation.examination.cases import most_confident
from milepost.evaluation.examination.subject import Subject
from milepost.evaluation.slices import slice_masks
from milepost.evaluation.slicing.condition import Condition
from milepost.evaluation.slicing.pool import Material, pool
from milepost.metrics.inference.comparison import independent_difference
from milepost.metrics.inference.groups import clustered, units_of
from milepost.metrics.inference.intervals import Measured
from milepost.metrics.inference.search import PERMUTATIONS, Searched, more_mistakes, search

MOST_FOUND = 10
"""Slices that are listed as found."""

MOST_SUSPECTED = 5
"""Slices that are listed as worth a look, though not shown to be worse."""

CASES = 3
"""Mistakes that a slice keeps."""

FEWEST = 40
"""Fewest examples to search among."""

_ALIKE = 0.7
_SIMPLE = ("metadata", "label", "length", "language", "token", "word", "conjunction", "cluster")


def discover(subject: Subject) -> Discovery | None:
    """Search all slices that ``slicing.pool`` forms for a larger share of mistakes.

    With no slice worse than the rest, the chance that any is listed as found is at most one less
    the confidence (see ``metrics.inference``). A found slice that is not worse than the other rows
    outside the slices listed before it, nor than the other rows of one of them, is explained by
    them and left out.

    Returns:
        ``None`` where there are fewer than ``FEWEST`` examples.
    """
    n = len(subject.examples)
    if n < FEWEST:
        return None
    conditions = pool(
        Material(
            examples=subject.examples,
            input_name=subject.task.input_name,
            labels=subject.labels,
            y=subject.y,
            answers=subject.answers,
            vectors=subject.encode(subject.examples.texts),
            train=subject.train.texts,
            seen=subject.regime == "cross_fitted",
            seed=subject.sampling.seed,
        )
    )
    return Search(subject, conditions).discovery() if conditions else None


class Search:
    """One search over one set of slices."""

    def __init__(self, subject: Subject, conditions: Sequence[Condition]) -> None:
        self._subject = subject
        self._conditions = conditions
        self._slices = np.stack([each.mask for each in conditions], axis=1)
        self._wrong = ~subject.right
        self._units = units_of(subject.examples.groups)
        self._alpha = 1.0 - subject.sampling.confidence
        self._searched: Searched = search(
            self._slices,
            self._wrong,
            self._units,
            subject.sampling.confidence,
            subject.sampling.seed,
        )

    def listed(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Positions of the slices that are found, and of those that are suspected."""
        shown = self._searched.corrected <= self._alpha
        told = np.zeros(len(self._wrong), np.int64)
        found = self._distinct(np.flatnonzero(shown), told, MOST_FOUND)
        worth = np.flatnonzero(~shown & (self._searched.raw <= self._alpha))
        return found, self._distinct(worth, told, MOST_SUSPECTED)

    def gap(self, at: int, *, proven: bool) -> tuple[float, float]:
        """How much worse a slice is than the rest, and the simultaneous lower bound of that."""
        own, rest = self._sides(at)
        low, _ = independent_difference(rest, own, self._searched.level)
        # A rejection in the step-down test is the claim that the gap is above 0 (Guilbaud 2008,
        # on bounds that agree with such tests).
        return rest.value - own.value, max(low, 0.0) if proven else low

    def discovery(self) -> Discovery:
        """What is found, what is suspected, and how."""
        found, suspected = self.listed()
        said = _agreeing(
            self._subject.examples,
            self._subject.task.input_name,
            [self._conditions[at] for at in (*found, *suspected)],
        )
        predicates = dict(zip((*found, *suspected), said, strict=True))
        return Discovery(
            searched=len(self._conditions),
            found=tuple(self._record(at, predicates[at], proven=True) for at in found),
            suspected=tuple(self._record(at, predicates[at], proven=False) for at in suspected),
            method=self._method(),
        )

    def _distinct(
        self, among: NDArray[np.int64], told: NDArray[np.int64], most: int
    ) -> tuple[int, ...]:
        """Slices that each say something the ones before do not, by forward selection.

        Args:
            among: Positions to choose from.
            told: ``(n,)`` the last slice chosen that holds the row, counted from 1; 0 for none.
                Changed in place.
            most: Most slices to choose.
        """
        chosen: list[int] = []
        while len(chosen) < most and len(among):
            p = self._further(among, told)
            if float(p.min()) > self._alpha:
                break
            best = self._simplest(among, int(p.argmin()))
            chosen.append(best)
            told[self._slices[:, best]] = told.max() + 1
            among = among[(among != best) & (p <= self._alpha)]
        return tuple(chosen)

    def _further(self, among: NDArray[np.int64], told: NDArray[np.int64]) -> NDArray[np.float64]:
        """Exact p-values of "worse than the rest, as far as the slices before do not say so".

        On the rows that no slice holds yet; and within each chosen slice, where every slice that
        cuts it otherwise is a question of its own (Bonferroni): part of a failing slice may fail
        far more often than the rest of it.
        """
        slices = self._slices[:, among]
        p = more_mistakes(self._wrong, slices, told == 0)
        parts = np.unique(told[told > 0])
        for part in parts.tolist():
            within = more_mistakes(self._wrong, slices, told == part)
            p = np.minimum(p, within * len(among) * len(parts))
        return p

    def _simplest(self, among: NDArray[np.int64], best: int) -> int:
        """Of the slices with nearly the rows of the best one, the one of the simplest kind."""
        mask = self._slices[:, among[best]]
        others = self._slices[:, among]
        both = (others & mask[:, None]).sum(axis=0)
        either = (others | mask[:, None]).sum(axis=0)
        alike = among[both >= _ALIKE * either].tolist()
        return min(
            alike,
            key=lambda at: (_SIMPLE.index(self._conditions[at].kind), self._searched.raw[at]),
        )

    def _record(self, at: int, predicate: str | None, *, proven: bool) -> FoundSlice:
        condition = self._conditions[at]
        gap, low = self.gap(at, proven=proven)
        return FoundSlice(
            description=condition.description,
            kind=condition.kind,
            predicate=predicate,
            n=int(condition.mask.sum()),
            estimate=self._sides(at)[0].estimate(self._subject.sampling.confidence),
            gap=gap,
            gap_low=low,
            p_value=float(self._searched.corrected[at]),
            cases=most_confident(
                self._subject, np.flatnonzero(condition.mask & self._wrong), CASES
            ),
        )

    def _sides(self, at: int) -> tuple[Measured, Measured]:
        """Share of right answers inside and outside."""
        mask, right = self._conditions[at].mask, ~self._wrong
        return (
            clustered(right[mask], self._units[mask]),
            clustered(right[~mask], self._units[~mask]),
        )

    def _method(self) -> str:
        metric = self._subject.task.objective.metric
        instead = "" if metric == "accuracy" else f" (not {metric}, which rows do not add up to)"
        return (
            f"Share of right answers{instead} in each slice against the rest; step-down minimum-p "
            f"permutation test over all {len(self._conditions):,} slices, {PERMUTATIONS} "
            "permutations (Westfall & Young 1993)."
        )


def _agreeing(
    examples: Examples, input_name: str, conditions: Sequence[Condition]
) -> list[str | None]:
    """Each slice's predicate if the database gives exactly its rows for it."""
    said = {str(i): c.predicate for i, c in enumerate(conditions) if c.predicate is not None}
    try:
        masks = slice_masks(examples, input_name, said)
    except InputError:
        masks = {}
        for name, predicate in said.items():
            try:
                masks |= slice_masks(examples, input_name, {name: predicate})
            except InputError:
                continue
    return [
        said[str(i)] if str(i) in masks and bool((masks[str(i)] == c.mask).all()) else None
        for i, c in enumerate(conditions)
    ]
