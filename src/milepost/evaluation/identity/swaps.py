"""Counterfactual swaps: the same text with another identity term in it (Garg et al. 2019)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from milepost.entities.estimate import Estimate
from milepost.entities.examination import Case
from milepost.evaluation.examination.cases import shortened
from milepost.evaluation.examination.edits import word_replacer
from milepost.evaluation.examination.subject import Subject
from milepost.evaluation.identity.attributes import Attribute
from milepost.metrics.inference.groups import clustered, units_of
from milepost.metrics.scoring.deciding import answer_name, decided

CASES = 5
"""Changed answers that are kept."""

_TIMES = 10


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Swapped:
    """``m`` swaps and the answers to them.

    Attributes:
        row: ``(m,)`` judged row that the text is from.
        out: ``(m,)`` group whose term was taken out.
        into: ``(m,)`` group whose term was put in.
        alone: ``(m,)`` whether the text holds terms of one group only.
        changed: The changed texts.
        before: ``(m, k) float32`` answers of the same predictor to the texts as they are.
        after: ``(m, k) float32`` answers to the changed texts.
        read: Texts that were swapped.
        held: Texts that hold a term.
    """

    row: NDArray[np.int64]
    out: NDArray[np.str_]
    into: NDArray[np.str_]
    alone: NDArray[np.bool_]
    changed: tuple[str, ...]
    before: NDArray[np.float32]
    after: NDArray[np.float32]
    read: int
    held: int

    @property
    def flipped(self) -> NDArray[np.bool_]:
        """Whether the answer changed, ``(m,)``."""
        return decided(self.before) != decided(self.after)

    def flips(self, subject: Subject) -> Estimate:
        """Share of swaps that change the answer; the swaps of one text count as one unit."""
        units = units_of(subject.examples.groups)[self.row]
        return clustered(self.flipped, units).estimate(subject.sampling.confidence)

    def swapped_in(self, subject: Subject, group: str, label: int) -> Estimate | None:
        """Share answered with a label when a group's term stands in the texts of all groups.

        Texts that hold terms of one group only, as they are for the group's own and swapped for
        the others': the same texts for every group.
        """
        put, own = self.alone & (self.into == group), self.alone & (self.out == group)
        rows = np.concatenate([self.row[put], self.row[own]])
        if not len(rows):
            return None
        answers = decided(np.concatenate([self.after[put], self.before[own]]))
        rows, first = np.unique(rows, return_index=True)
        units = units_of(subject.examples.groups)[rows]
        return clustered(answers[first] == label, units).estimate(subject.sampling.confidence)

    def cases(self, subject: Subject) -> tuple[Case, ...]:
        """Changed answers, most confident first, one a text."""
        flipped = np.flatnonzero(self.flipped)
        order = flipped[np.argsort(-self.after[flipped].max(axis=1), kind="stable")]
        first: dict[str, int] = {}
        for at in order.tolist():
            first.setdefault(subject.examples.texts[int(self.row[at])], at)
        return tuple(self._case(subject, at) for at in list(first.values())[:CASES])

    def _case(self, subject: Subject, at: int) -> Case:
        row = int(self.row[at])
        return Case(
            id=subject.examples.ids[row],
            text=shortened(subject.examples.texts[row]),
            actual=subject.examples.labels[row],
            answer=answer_name(subject.labels, int(decided(self.before[at]))),
            confidence=float(self.before[at].max()),
            changed=shortened(self.changed[at]),
            answer_then=answer_name(subject.labels, int(decided(self.after[at]))),
            confidence_then=float(self.after[at].max()),
        )


def swap(subject: Subject, attribute: Attribute) -> Swapped | None:
    """Put every other term of an attribute in the place of each that a text holds.

    Texts are taken in an order drawn by the seed, as long as the changed texts have at most ten
    times ``subject.chars`` characters. Both answers are the released predictor's, which in the
    cross-fitted regime has seen the texts as they are.

    Returns:
        ``None`` where no text holds a term, or none may be asked about.
    """
    rows = np.flatnonzero(np.any(list(attribute.groups.values()), axis=0))
    order = np.random.default_rng(subject.sampling.seed).permutation(len(rows))
    made: list[_Swap] = []
    left, read = _TIMES * subject.chars, 0
    for row in rows[order].tolist():
        swaps = _swaps(subject.examples.texts[row], row, attribute)
        left -= sum(len(each.changed) for each in swaps)
        if left < 0:
            break
        made += swaps
        read += bool(swaps)
    if not made:
        return None
    before = _answers(subject, [subject.examples.texts[each.row] for each in made])
    return Swapped(
        row=np.array([each.row for each in made], np.int64),
        out=np.array([each.out for each in made]),
        into=np.array([each.into for each in made]),
        alone=np.array([each.alone for each in made]),
        changed=tuple(each.changed for each in made),
        before=before,
        after=_answers(subject, [each.changed for each in made]),
        read=read,
        held=len(rows),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Swap:
    row: int
    out: str
    into: str
    alone: bool
    changed: str


def _swaps(text: str, row: int, attribute: Attribute) -> list[_Swap]:
    """One text with each of its terms swapped for each term that it does not hold."""
    held = [name for name, mask in attribute.groups.items() if mask[row]]
    found: list[_Swap] = []
    for out in held:
        for into in attribute.terms:
            if into in held:
                continue
            words = dict(zip(attribute.terms[out], attribute.terms[into], strict=True))
            changed = word_replacer(words)(text)
            if changed != text:
                found.append(
                    _Swap(row=row, out=out, into=into, alone=len(held) == 1, changed=changed)
                )
    return found


def _answers(subject: Subject, texts: list[str]) -> NDArray[np.float32]:
    """Answers to texts, each distinct one asked about once."""
    distinct = list(dict.fromkeys(texts))
    position = {text: i for i, text in enumerate(distinct)}
    return subject.predict(distinct)[[position[text] for text in texts]]
