"""Two sets of answers to the same examples: what changed, where, and whether it is shown.

**Whole.** The metric of each with its interval, and the paired difference with its test
(``evaluation.comparison``). The p-value told here is two-sided, twice the smaller one-sided one:
nobody said beforehand which of the two should win. What is called better is better in 95 of 100
such comparisons or more, for two that are given; whoever compares many pairs and believes the
best has to correct for that.

**Parts.** A label or slice is compared by the share of right answers, with an exact test on the
examples that only one got right (McNemar 1947); where rows belong together, by the bound of the
paired difference over units. Where answers are better or worse, and not right or wrong, a label is
compared by its F1, with a randomisation test that swaps units (``metrics.inference.ratios``), and a
slice by the objective's measure. All parts, labels and slices together, are one family: p-values
are adjusted by Holm (1979), intervals are simultaneous (Bonferroni). So that with no difference
anywhere, a difference is claimed on any part in at most 5 of 100 comparisons.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from milepost.entities.decision import Comparison
from milepost.entities.difference import Changed, Counts, Difference, Part, Side, Told
from milepost.entities.kinds import KINDS, Kind
from milepost.entities.measures import measure_kind
from milepost.evaluation.answers import Answers
from milepost.evaluation.changes import Changes, Decisions, changes
from milepost.evaluation.comparison import Pair, compare, compare_ratios
from milepost.metrics.inference.intervals import Sampling
from milepost.metrics.inference.multiplicity import holm
from milepost.metrics.inference.ratios import Ratios
from milepost.metrics.scoring.deciding import decided
from milepost.metrics.scoring.measures import counted

_MOST_ROWS = 1_000_000
_PERCENT = np.linspace(0.0, 1.0, 101)
_MANY_LOSSES = 2
"""Losses on one label from which on the verdict names it."""


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

    Raises:
        ValueError: If none of the queries of candidates has a relevant one.
    """
    cases = changes(answers)
    if not len(cases.first):
        raise ValueError("no query has a relevant candidate")
    comparison = compare(_pair(answers, sides[0].name))
    counts = _counts(cases)
    told = _told(comparison, counts, answers)
    labels, slices = _parts(answers, cases)
    gained = cases.second - cases.first
    record = Difference(
        task=answers.task,
        kind=answers.kind,
        metric=answers.measure.name,
        first=sides[0],
        second=sides[1],
        source=source,
        comparison=comparison,
        p_value=two_sided(comparison),
        told=told,
        verdict=(),
        counts=counts,
        labels=labels,
        slices=slices,
        wins=_changed(cases, gained > 0.0, cases.weights[0], most),
        losses=_changed(cases, gained < 0.0, cases.weights[1], most),
        differently_wrong=_changed(
            cases, (gained == 0.0) & ~cases.same & ~cases.right, cases.weights[2], most
        ),
        gains=tuple(np.quantile(gained, _PERCENT).tolist()) if cases.graded else (),
        rows_to_tell=_rows_to_tell(comparison) if told == "undecided" else None,
        notes=notes,
    )
    return msgspec.structs.replace(
        record, verdict=_verdict(record, 1.0 - answers.sampling.confidence)
    )


def two_sided(comparison: Comparison) -> float:
    """Two-sided p-value of "no difference": twice the smaller one-sided one."""
    return min(1.0, 2.0 * min(comparison.p_value, comparison.p_worse))


def notes_on(answers: Answers) -> tuple[str, ...]:
    """What a reader must know of the examples: labels nobody knows, queries that say nothing."""
    cases = changes(answers)
    notes: list[str] = []
    if cases.unknown:
        wrong = "it counts as missed" if cases.graded else "both count as wrong"
        notes.append(f"{cases.unknown:,} examples carry a label that neither knows; {wrong} there.")
    silent = len(np.unique(answers.y[:, 1])) - len(cases.first) if answers.kind == "rank" else 0
    if silent:
        notes.append(f"Left out: {cases_words('rank', silent)} without a relevant candidate.")
    return tuple(notes)


def _pair(answers: Answers, against: str) -> Pair:
    """The second against the first in the objective's measure."""
    return Pair(
        against=against,
        metric=answers.measure.name,
        k=len(answers.labels),
        y=answers.y,
        answers=decided(answers.second),
        other=decided(answers.first),
        candidates=answers.candidates,
        sampling=answers.sampling,
        measure=answers.measure,
        probabilities=(answers.second, answers.first),
        units=answers.units,
    )


def _told(comparison: Comparison, counts: Counts, answers: Answers) -> Told:
    # A measure of the probabilities may tell two apart that always give the same answer.
    beliefs = answers.measure.read is not None and answers.kind in ("classify", "match")
    if counts.agreement == 1.0 and not beliefs and answers.measure.name != "log_loss":
        return "same"
    if two_sided(comparison) >= 1.0 - answers.sampling.confidence:
        return "undecided"
    return "better" if comparison.p_value < comparison.p_worse else "worse"


def _counts(cases: Changes) -> Counts:
    gained = cases.second - cases.first
    level = (gained == 0.0) & ~cases.right
    return Counts(
        n=len(gained),
        both_right=int(cases.right.sum()),
        wins=int((gained > 0.0).sum()),
        losses=int((gained < 0.0).sum()),
        same_wrong=int((level & cases.same).sum()),
        differently_wrong=int((level & ~cases.same).sum()),
    )


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class _Piece:
    """A label or a slice before it is compared; as in ``Part``."""

    name: str
    predicate: str
    first: float
    second: float
    n: int
    wins: int
    losses: int
    pair: Pair
    ratios: Ratios | None = None

    def compared(self, sampling: Sampling) -> Comparison:
        """The second against the first."""
        pair = replace(self.pair, sampling=sampling)
        return compare(pair) if self.ratios is None else compare_ratios(pair, self.ratios)


def _parts(answers: Answers, cases: Changes) -> tuple[tuple[Part, ...], tuple[Part, ...]]:
    """Labels and slices with examples, as one family of tests."""
    labels = [*_by_label(answers, cases)]
    pieces = [*labels, *_by_slice(answers, cases)]
    if not pieces:
        return (), ()
    level = 1.0 - (1.0 - answers.sampling.confidence) / len(pieces)
    sampling = replace(answers.sampling, confidence=level)
    found = [piece.compared(sampling) for piece in pieces]
    adjusted = holm(np.array([two_sided(each) for each in found])).tolist()
    parts = [
        _part(piece, each, p_value)
        for piece, each, p_value in zip(pieces, found, adjusted, strict=True)
    ]
    of_labels = sorted(parts[: len(labels)], key=lambda part: -abs(part.wins - part.losses))
    return tuple(of_labels), tuple(parts[len(labels) :])


def _by_label(answers: Answers, cases: Changes) -> Iterator[_Piece]:
    """The labels of which something was decided."""
    for at, name in enumerate(answers.labels):
        decisions = None if cases.decisions is None else cases.decisions.take(
            cases.decisions.label == at
        )  # fmt: skip
        if decisions is None or not len(decisions.row):
            continue
        make = _found if cases.graded else _right
        yield make(answers, name, "", decisions)


def _by_slice(answers: Answers, cases: Changes) -> Iterator[_Piece]:
    """The declared slices with cases in them."""
    for name, mask in answers.masks.items():
        if not mask.any():
            continue
        predicate = answers.predicates.get(name, "")
        if not cases.graded and cases.decisions is not None:
            yield _right(answers, name, predicate, cases.decisions.take(mask))
            continue
        own = answers.take(mask)
        inside = changes(own)
        if not len(inside.first):
            continue
        first, second = (own.measure.value(each) for each in own.samples)
        counts = _counts(inside)
        yield _Piece(
            name=name,
            predicate=predicate,
            n=counts.n,
            first=first,
            second=second,
            wins=counts.wins,
            losses=counts.losses,
            pair=_pair(own, ""),
        )


def _right(answers: Answers, name: str, predicate: str, decisions: Decisions) -> _Piece:
    """What is right or wrong; rows of a unit belong together."""
    was, now = decisions.first, decisions.second
    units = None if answers.units is None else answers.units[decisions.row]
    pair = Pair(
        against="",
        metric="accuracy",
        k=2,
        y=np.ones(len(was), np.int64),
        answers=now.astype(np.int64),
        other=was.astype(np.int64),
        candidates=answers.candidates,
        measure=counted("accuracy"),
        probabilities=(_certain(now), _certain(was)),
        units=units if units is not None and len(np.unique(units)) < len(units) else None,
    )
    return _piece(name, predicate, decisions, pair, (float(was.mean()), float(now.mean())))


def _found(answers: Answers, name: str, predicate: str, decisions: Decisions) -> _Piece:
    """The F1 of what was given of a label; what was given to one row belongs together."""
    both = np.stack([decisions.second, decisions.first])
    parts = both & decisions.holds
    # Whoever is right gave what holds, and left out what does not.
    sizes = (decisions.holds + (both == decisions.holds).astype(np.float64)) / 2.0
    rows = decisions.row
    units = rows if answers.units is None else answers.units[rows]
    ratios = Ratios.of(parts.astype(np.float64), sizes, units)
    second, first = ratios.values.tolist()
    pair = replace(_pair(answers, ""), metric="micro_f1")
    return _piece(name, predicate, decisions, pair, (first, second), ratios)


def _piece(
    name: str,
    predicate: str,
    decisions: Decisions,
    pair: Pair,
    values: tuple[float, float],
    ratios: Ratios | None = None,
) -> _Piece:
    was, now = decisions.first, decisions.second
    return _Piece(
        name=name,
        predicate=predicate,
        first=values[0],
        second=values[1],
        n=len(was),
        wins=int((~was & now).sum()),
        losses=int((was & ~now).sum()),
        pair=pair,
        ratios=ratios,
    )


def _certain(right: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Answers ``(m, 2)`` that are right or wrong where the truth is the second column."""
    return np.stack([~right, right], axis=1).astype(np.float32)


def _part(piece: _Piece, found: Comparison, p_value: float) -> Part:
    most = 1.0 if measure_kind(found.metric).share else math.inf
    return Part(
        name=piece.name,
        predicate=piece.predicate,
        n=piece.n,
        first=piece.first,
        second=piece.second,
        wins=piece.wins,
        losses=piece.losses,
        low=max(-most, found.low),
        high=min(most, found.high),
        p_value=p_value,
    )


def _changed(
    cases: Changes, which: NDArray[np.bool_], weight: NDArray[Any], most: int
) -> tuple[Changed, ...]:
    """Those of the cases, the weightiest first; the first ones on ties."""
    at = np.flatnonzero(which)
    return tuple(cases.told(i) for i in at[np.argsort(-weight[at], kind="stable")][:most].tolist())


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
    second, size = found.second.name, cases_words(found.kind, counts.n)
    graded = KINDS[found.kind].link != "softmax"
    if found.told == "same" and found.kind == "rank":
        return (f"Both give all {size} the same order, or one that could not be better.",)
    if found.told == "same":
        only = "" if graded else "; only their confidences can differ"
        return (f"Both give the same answer to all {size}{only}.",)
    low, high = (apart(found.metric, end) for end in (comparison.low, comparison.high))
    tested = f"two-sided p {_p(found.p_value)}, needed < {level:.3g}"
    facts = f"{low} to {high}, {tested}, {size}"
    moved = f"it alone is right on {counts.wins:,}, {found.first.name} alone on {counts.losses:,}"
    if graded:
        moved = f"it is better on {counts.wins:,} of them and worse on {counts.losses:,}"
    sentences: list[str] = []
    if found.told == "undecided":
        sentences.append(
            f"The {KINDS[found.kind].cases} cannot tell the two apart: "
            f"{apart(found.metric, comparison.difference)} {unit_of(found.metric)} for {second} "
            f"against {found.first.name} ({facts}); {moved}."
        )
        sentences.append(_more(found, comparison.difference))
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
    graded = KINDS[found.kind].link != "softmax"
    shown = [
        (part, 1.0 if which == "label" or not graded else direction(found.metric))
        for which, parts in (("label", found.labels), ("slice", found.slices))
        for part in parts
        if part.p_value < level
    ]
    if shown:
        gained = [(part, sign * (part.second - part.first)) for part, sign in shown]
        better = [f"`{part.name}`" for part, gain in gained if gain > 0]
        worse = [f"`{part.name}`" for part, gain in gained if gain < 0]
        said = [
            f"{word} on {_listed(names)}"
            for word, names in (("better", better), ("worse", worse))
            if names
        ]
        what = "" if graded else "Right answers, shown"
        return [f"{what or 'Shown'} with Holm's correction: {', '.join(said)}."]
    lower = [part for part in found.labels if part.second < part.first]
    worst = min(lower, key=lambda part: part.wins - part.losses, default=None)
    if worst is None or worst.losses - worst.wins < _MANY_LOSSES:
        return []
    what = "on" if graded else "right answers on"
    return [
        f"It loses most {what} `{worst.name}` ({worst.losses:,} against "
        f"{worst.wins:,}), "
        "which may be chance."
    ]


def _listed(names: list[str]) -> str:
    """The first three names, and how many more."""
    if len(names) > 3:
        return f"{', '.join(names[:3])} and {len(names) - 3} more"
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]


def _more(found: Difference, difference: float) -> str:
    rows = found.rows_to_tell
    cases = KINDS[found.kind].cases
    if rows is not None:
        return f"About {_round(rows)} {cases} would, if the difference stays as measured."
    if difference == 0.0:
        return "As measured there is no difference to show."
    return f"The difference is so small that no practical number of {cases} would."


def cases_words(kind: Kind, n: int) -> str:
    """So many examples, or what else the two are compared on."""
    cases = KINDS[kind].cases
    one = cases[:-3] + "y" if cases.endswith("ies") else cases[:-1]
    return f"{n:,} {one if n == 1 else cases}"


def direction(metric: str) -> float:
    """1 where more is better, or nobody knows, else -1."""
    return -1.0 if measure_kind(metric).higher is False else 1.0


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
