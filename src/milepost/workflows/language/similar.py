"""Certifies from when on a question is similar enough to be answered as another one was.

Half of the questions become the bank, the others are tried against it. Given the bank, whether a
new question is a hit and whether it is a wrong one are independent draws of what will be asked, so
an exact binomial test holds for each threshold; thresholds are tried from the strictest on
(Learn-then-Test with a fixed sequence: Angelopoulos et al., 2021).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from milepost.entities.errors import InputError
from milepost.entities.language import Completion
from milepost.entities.similar import Certificate
from milepost.metrics.risk.cascading import Ladder, Limit, certified, path, start, tally
from milepost.models.language.caching.semantic import Bank

Vectors = NDArray[np.float32]

SET_ASIDE = 1 / 3
"""Share of the questions that are tried which only say where the sequence of thresholds begins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Promised:
    """What is to be certified.

    Attributes:
        at_most_wrong: Largest share of hits that may be wrong, in (0, 1).
        confidence: How sure that has to be, in (0, 1).
    """

    at_most_wrong: float
    confidence: float = 0.95


def certify(
    frame: str,
    answers: Sequence[Completion],
    vectors: Vectors,
    promised: Promised,
    *,
    seed: int = 0,
) -> Bank:
    """A bank of half of the questions, with the laxest threshold that keeps the promise.

    The promise is about agreement with the model itself, not about truth, and about questions that
    are drawn as these were. Two answers agree if they have the same words, whatever their case and
    the full stop after them.

    Args:
        frame: What the ``n`` questions have in common.
        answers: What the model answered to each.
        vectors: ``(n, d)`` of what they are about, of length 1. The bank keeps them as float16.
        promised: What of the hits.
        seed: Of the halves.

    Raises:
        InputError: If no threshold keeps the promise.
    """
    vectors = vectors.astype(np.float16).astype(np.float32)
    order = np.random.default_rng(seed).permutation(len(answers))
    held, tried = np.split(order, [len(order) // 2])
    if len(tried) < 2:
        raise InputError("a bank needs questions to hold and others to try, two each at least.")
    words = np.array([_words(each) for each in answers])
    similar = vectors[tried] @ vectors[held].T
    right = words[held[similar.argmax(axis=1)]] == words[tried]
    found = certificate(similar.max(axis=1), right, promised)
    if found is None:
        raise InputError(
            f"no similarity keeps wrong hits to {promised.at_most_wrong:.1%} with "
            f"{promised.confidence:.1%} confidence over {len(tried):,} questions.",
            advice="Give more questions, or allow more.",
        )
    return Bank(
        frame=frame,
        vectors=vectors[held],
        answers=[answers[place] for place in held.tolist()],
        certificate=found,
    )


def certificate(
    similar: Vectors, right: NDArray[np.bool_], promised: Promised
) -> Certificate | None:
    """The laxest threshold that keeps the promise; ``None`` if none does.

    Args:
        similar: ``(n,)`` cosine similarity of each question to the nearest of a bank, drawn
            independently of one another given the bank.
        right: ``(n,)`` whether the bank's answer to that is what the model answered.
        promised: What of the hits.
    """
    nearness = (similar.astype(np.float64) + 1.0) / 2.0
    cut = round(len(similar) * SET_ASIDE)
    aside = Ladder(nearness[None, :cut], right[None, :cut])
    tested = Ladder(nearness[None, cut:], right[None, cut:])
    thresholds, limit = path(aside.confidence), Limit(promised.at_most_wrong)
    begin = start(tally(aside, thresholds), limit, tested.rows)
    counted = tally(tested, thresholds)
    last = certified(counted, limit, 1.0 - promised.confidence, begin)
    if last is None:
        return None
    return Certificate(
        at_most_wrong=promised.at_most_wrong,
        confidence=promised.confidence,
        threshold=2.0 * float(thresholds[last]) - 1.0,
        tried=tested.rows,
        hits=int(counted.answered[last]),
        wrong=int(counted.wrong[last]),
    )


def _words(answer: Completion) -> str:
    return answer.text.strip().rstrip(".").casefold()
