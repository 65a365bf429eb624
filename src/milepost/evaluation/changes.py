"""Two sets of answers to the same examples, case by case, whatever the kind of the task.

A case is an example, or a query where candidates are ordered. One label is right or wrong; labels
and spans have an F1 of their own (2 right over those wanted and those given, 1 where there is
neither), a score is so far off, and an order has the objective's measure. Labels and spans are
single decisions too, each right or wrong: about every label or span that holds or that either of
the two gave.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from milepost.entities.difference import Changed
from milepost.entities.inputs import sides
from milepost.entities.kinds import KINDS, Link
from milepost.entities.prediction import HOLDS
from milepost.entities.spans import OF_ANSWER, OF_TRUTH, unpacked
from milepost.evaluation.answers import Answers, Bools
from milepost.metrics.scoring import ranks
from milepost.metrics.scoring.deciding import answer_name, decided, is_right
from milepost.metrics.scoring.measures import Sample

CHARS = 300
"""Characters of an example's text, and of an answer in words, that are kept."""

CANDIDATE_CHARS = 120
"""Characters of a candidate that stand for it."""

UNKNOWN_LABEL = "(unknown label)"
NOTHING = "none"
"""What an answer without a label or span is called."""

_PLACES = 5
"""Places of relevant candidates that are listed."""

_DIGITS = 12
"""Digits in which a measure of an order is compared: sums differ in the last by their order."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Decisions:
    """Single things that were decided rightly or not, ``m`` of them.

    Attributes:
        row: ``(m,) int64`` row of each.
        label: ``(m,) int64`` column of its label; none of the ``k`` where it is not known.
        holds: ``(m,) bool``, whether it is so; what is not was given by either.
        first: ``(m,) bool``, whether the first one is right.
        second: ``(m,) bool``, whether the second one is.
    """

    row: NDArray[np.int64]
    label: NDArray[np.int64]
    holds: Bools
    first: Bools
    second: Bools

    def take(self, which: Bools) -> "Decisions":
        """Some of them."""
        return Decisions(
            self.row[which],
            self.label[which],
            self.holds[which],
            self.first[which],
            self.second[which],
        )


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Changes:
    """The two on each of ``c`` cases.

    Attributes:
        first: ``(c,)`` how good the answer of the first is by itself; higher is better.
        second: ``(c,)`` the same of the second.
        same: ``(c,) bool``, whether both gave the same answer.
        right: ``(c,) bool``, whether neither answer could be better.
        decisions: Single labels or spans; ``None`` where there are none.
        weights: What won, lost and equally wrong cases are told by, ``(c,)`` each, most first.
        told: A case in words.
        unknown: Examples with a label that neither knows.
        graded: Whether answers are better or worse, and not right or wrong.
    """

    first: Floats
    second: Floats
    same: Bools
    right: Bools
    decisions: Decisions | None
    weights: tuple[NDArray[Any], NDArray[Any], NDArray[Any]]
    told: Callable[[int], Changed]
    unknown: int = 0
    graded: bool = True


def changes(answers: Answers) -> Changes:
    """The two, case by case."""
    return _CHANGES[KINDS[answers.kind].link](answers)


def _of_labels(answers: Answers) -> Changes:
    """One label each, right or wrong; the surest come first."""
    first, second, y = decided(answers.first), decided(answers.second), answers.y
    was, now = is_right(first, y), is_right(second, y)
    of_first, of_second = answers.first.max(axis=1), answers.second.max(axis=1)

    def told(i: int) -> Changed:
        one, other = int(first[i]), int(second[i])
        return Changed(
            id=answers.ids[i],
            text=answers.texts[i][:CHARS],
            actual=answers.labels[y[i]] if y[i] >= 0 else UNKNOWN_LABEL,
            first=answer_name(answers.labels, one),
            first_confidence=float(answers.first[i, one]),
            second=answer_name(answers.labels, other),
            second_confidence=float(answers.second[i, other]),
        )

    return Changes(
        first=was.astype(np.float64),
        second=now.astype(np.float64),
        same=first == second,
        right=was & now,
        decisions=Decisions(np.arange(len(y)), y, np.ones(len(y), np.bool_), was, now),
        weights=(of_second, of_second, of_first + of_second),
        told=told,
        unknown=int((y < 0).sum()),
        graded=False,
    )


def _of_sets(answers: Answers) -> Changes:
    """Any number of labels."""
    k = len(answers.labels)
    names = (*answers.labels, UNKNOWN_LABEL)
    actual = np.zeros((len(answers.y), k + 1), np.bool_)
    actual[:, : answers.y.shape[1]] = answers.y > 0
    first, second = (np.zeros(actual.shape, np.bool_) for _ in range(2))
    first[:, :k], second[:, :k] = answers.first >= HOLDS, answers.second >= HOLDS
    row, label = np.nonzero(actual | first | second)
    decisions = Decisions(
        row.astype(np.int64),
        label.astype(np.int64),
        *(each[row, label] for each in (actual, first == actual, second == actual)),
    )
    values = [
        _f1((each & actual).sum(axis=1), actual.sum(axis=1), each.sum(axis=1))
        for each in (first, second)
    ]

    def told(i: int) -> Changed:
        said = [
            _listed([names[at] for at in np.flatnonzero(each[i])])
            for each in (actual, first, second)
        ]
        turned = _turned(decisions, i, lambda at: names[int(label[at])])
        return _graded(answers, i, said, _pair(values, i), turned)

    return _by_worth(
        values,
        same=(first == second).all(axis=1),
        right=(values[0] == 1.0) & (values[1] == 1.0),
        decisions=decisions,
        told=told,
        unknown=int(actual[:, k].sum()),
    )


def _of_scores(answers: Answers) -> Changes:
    """Numbers, each so far off."""
    given = [each[:, 0].astype(np.float64) for each in (answers.first, answers.second)]
    off = [np.abs(answers.y - each) for each in given]

    def told(i: int) -> Changed:
        said = [_number(float(each[i])) for each in (answers.y, *given)]
        return _graded(answers, i, said, _pair(off, i))

    return _by_worth(
        [-off[0], -off[1]],
        same=given[0] == given[1],
        right=(off[0] == 0.0) & (off[1] == 0.0),
        told=told,
    )


def _of_spans(answers: Answers) -> Changes:
    """Spans of a text; borders and label must be right."""
    k = len(answers.labels)
    names = (*answers.labels, UNKNOWN_LABEL)
    wanted, first, second = (
        [{(int(s[0]), int(s[1]), int(s[2])) for s in row} for row in unpacked(each, width)]
        for each, width in (
            (answers.y, OF_TRUTH),
            (answers.first, OF_ANSWER),
            (answers.second, OF_ANSWER),
        )
    )
    values = [
        _f1(
            np.array([len(w & g) for w, g in zip(wanted, given, strict=True)]),
            np.array([len(w) for w in wanted]),
            np.array([len(g) for g in given]),
        )
        for given in (first, second)
    ]
    spans = [(row, each) for row, parts in enumerate(zip(wanted, first, second, strict=True))
             for each in sorted(set().union(*parts))]  # fmt: skip
    there = [each in wanted[row] for row, each in spans]
    decisions = Decisions(
        np.array([row for row, _ in spans], np.int64),
        np.array([each[2] for _, each in spans], np.int64),
        np.array(there, np.bool_),
        *(
            np.array([(each in given[row]) == held
                      for (row, each), held in zip(spans, there, strict=True)], np.bool_)
            for given in (first, second)
        ),
    )  # fmt: skip

    def word(row: int, span: tuple[int, int, int]) -> str:
        return f"{answers.texts[row][span[0] : span[1]]} ({names[min(span[2], k)]})"

    def told(i: int) -> Changed:
        said = [_listed([word(i, each) for each in sorted(part[i])])
                for part in (wanted, first, second)]  # fmt: skip
        turned = _turned(decisions, i, lambda at: word(*spans[at]))
        return _graded(answers, i, said, _pair(values, i), turned)

    return _by_worth(
        values,
        same=np.array([one == other for one, other in zip(first, second, strict=True)]),
        right=np.array([w == one == other
                        for w, one, other in zip(wanted, first, second, strict=True)]),
        decisions=decisions,
        told=told,
        unknown=sum(any(each[2] >= k for each in row) for row in wanted),
    )  # fmt: skip


def _of_ranks(answers: Answers) -> Changes:
    """Candidates in order; a case is a query that has a relevant one."""
    samples = [Sample(answers.y, each) for each in (answers.first, answers.second)]
    found = [ranks.ranked(each) for each in samples]
    values = [
        np.round(answers.measure.reading(sample).means, _DIGITS)
        if order.queries
        else np.zeros(0, np.float64)
        for sample, order in zip(samples, found, strict=True)
    ]
    starts = np.flatnonzero(np.diff(found[0].query, prepend=-1))
    equal = _same_order(found[0], found[1])

    def told(i: int) -> Changed:
        own = np.flatnonzero(found[0].query == i)
        relevance = found[0].relevance[own]
        best = int(found[0].rows[own[relevance == relevance.max()]].min())
        more = int((relevance > 0).sum()) - 1
        said = [_candidate(answers, best) + (f", and {more} more" if more else "")]
        said += [_placed(answers, order, i) for order in found]
        return _graded(answers, best, said, _pair(values, i))

    return _by_worth(
        values,
        same=np.logical_and.reduceat(equal, starts) if len(starts) else equal[:0],
        right=(values[0] == 1.0) & (values[1] == 1.0),
        told=told,
    )


_CHANGES: Mapping[Link, Callable[[Answers], Changes]] = {
    "softmax": _of_labels,
    "sigmoid": _of_sets,
    "identity": _of_scores,
    "spans": _of_spans,
    "relevance": _of_ranks,
}


def _by_worth(
    values: list[Floats],
    *,
    same: Bools,
    right: Bools,
    told: Callable[[int], Changed],
    decisions: Decisions | None = None,
    unknown: int = 0,
) -> Changes:
    """Answers that are better or worse: the largest gain or loss first, then what is worst."""
    first, second = values
    return Changes(
        first=first,
        second=second,
        same=same,
        right=right,
        decisions=decisions,
        weights=(second - first, first - second, -(first + second)),
        told=told,
        unknown=unknown,
    )


def _graded(
    answers: Answers,
    i: int,
    said: Sequence[str],
    values: tuple[float, float],
    turned: tuple[tuple[str, ...], tuple[str, ...]] = ((), ()),
) -> Changed:
    """A case of which the truth and both answers are said, and how good each is by itself."""
    text = answers.texts[i]
    return Changed(
        id=answers.ids[i],
        text=(sides(text)[0] if answers.kind == "rank" else text)[:CHARS],
        actual=said[0],
        first=said[1],
        first_confidence=None,
        second=said[2],
        second_confidence=None,
        first_value=values[0],
        second_value=values[1],
        won=turned[0],
        lost=turned[1],
    )


def _turned(
    decisions: Decisions, i: int, word: Callable[[int], str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What only the second one, and what only the first one, decided rightly of a row.

    What was rightly given comes before what was rightly left out.
    """
    own = np.flatnonzero(decisions.row == i)
    own = own[np.argsort(~decisions.holds[own], kind="stable")]
    was, now = decisions.first[own], decisions.second[own]
    won, lost = (
        tuple(("" if decisions.holds[at] else "not ") + word(at) for at in own[each].tolist())
        for each in (now & ~was, was & ~now)
    )
    return won, lost


def _number(value: float) -> str:
    """A score in four digits, or more where it has more before the point."""
    return f"{value:.4g}" if abs(value) < 1e4 else f"{value:,.0f}"


def _pair(values: Sequence[Floats], i: int) -> tuple[float, float]:
    return float(values[0][i]), float(values[1][i])


def _f1(right: NDArray[Any], wanted: NDArray[Any], given: NDArray[Any]) -> Floats:
    size = (wanted + given).astype(np.float64)
    return np.where(size > 0, 2.0 * right / np.maximum(size, 1.0), 1.0)


def _listed(names: list[str]) -> str:
    """All of them, or as many as there is room for."""
    said = ", ".join(names)
    if len(said) <= CHARS:
        return said or NOTHING
    kept: list[str] = []
    while len(", ".join([*kept, names[len(kept)]])) <= CHARS:
        kept.append(names[len(kept)])
    return f"{', '.join(kept)} and {len(names) - len(kept)} more" if kept else said[:CHARS]


def _same_order(first: ranks.Ranked, second: ranks.Ranked) -> Bools:
    """At which places the two have the same candidate, and the same beside it."""
    if not len(first.rows):
        return np.zeros(0, np.bool_)
    beside = [np.diff(each.block, prepend=-1) for each in (first, second)]
    return (first.rows == second.rows) & (beside[0] == beside[1])


def _placed(answers: Answers, order: ranks.Ranked, query: int) -> str:
    """Where the relevant candidates of a query stand, and what stands above the first of them.

    Grades are told where there are several.
    """
    own = np.flatnonzero(order.query == query)
    blocks, relevance = order.block[own], order.relevance[own]
    there = np.flatnonzero(relevance > 0)
    graded = len(np.unique(relevance[there])) > 1
    named: list[str] = []
    for at in there[:_PLACES].tolist():
        begin, end = (int(side) for side in np.searchsorted(blocks, [blocks[at], blocks[at] + 1]))
        # Equal scores stand in no order, but where all of them are as relevant.
        tied = not (relevance[begin:end] == relevance[at]).all()
        place = f"{begin + 1}–{end}" if tied else str(at + 1)
        named.append(place + (f" (grade {relevance[at]:g})" if graded else ""))
    named = list(dict.fromkeys(named))
    more = len(there) - _PLACES
    word = "place" if len(named) == 1 and "–" not in named[0] else "places"
    said = f"{word} {', '.join(named)}{f' and {more} more' if more > 0 else ''} of {len(own)}"
    if int(np.searchsorted(blocks, blocks[there[0]])) == 0:
        return said
    return f"{said}; first: {_candidate(answers, int(order.rows[own[0]]))}"


def _candidate(answers: Answers, row: int) -> str:
    """A candidate, shortened."""
    said = sides(answers.texts[row])[1]
    return said if len(said) <= CANDIDATE_CHARS else said[: CANDIDATE_CHARS - 1].rstrip() + "…"
