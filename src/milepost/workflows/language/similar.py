"""Certifies from when on a question is similar enough to be answered as another one was.

Half of the questions become the bank, the others are tried against it. Given the bank, whether a
new question is a hit and whether it is a wrong one are independent draws of what will be asked, so
an exact binomial test holds for each threshold; thresholds are tried from the strictest on
(Learn-then-Test with a fixed sequence: Angelopoulos et al., 2021).
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from milepost.entities.errors import InputError
from milepost.entities.language import Completion, ModelRequest
from milepost.metrics.risk.cascading import Ladder, certified, path, start, tally
from milepost.models.language.caching.semantic import Bank, Certificate, frame

Vectors = NDArray[np.float32]

SET_ASIDE = 1 / 3
"""Share of the questions that are tried which only say where the sequence of thresholds begins."""


def certify(
    requests: Sequence[ModelRequest],
    answers: Sequence[Completion],
    vectors: Vectors,
    *,
    at_most: float,
    confidence: float = 0.95,
    same: Callable[[Completion, Completion], bool] = lambda one, other: one.text == other.text,
    seed: int = 0,
) -> Bank:
    """A bank of half of the questions, with the laxest threshold that keeps the promise.

    The promise is about agreement with the model itself, not about truth, and about questions that
    are drawn as these were.

    Args:
        requests: ``n`` requests that differ in the text of their last message alone.
        answers: What the model answered to each.
        vectors: ``(n, d)`` of those texts, of length 1.
        at_most: Largest share of hits that may be wrong, in (0, 1).
        confidence: How sure that has to be, in (0, 1).
        same: Whether two answers say the same, such as the same label.
        seed: Of the halves.

    Raises:
        InputError: If the requests differ in more than that, or no threshold keeps the promise.
    """
    frames = {frame(request) for request in requests}
    if len(frames) != 1 or None in frames:
        raise InputError("similar questions must have one prompt, and differ in the last text.")
    order = np.random.default_rng(seed).permutation(len(requests))
    held, tried = np.split(order, [len(order) // 2])
    if len(tried) < 2:
        raise InputError("a bank needs questions to hold and others to try, two each at least.")
    similar = vectors[tried] @ vectors[held].T
    given = held[similar.argmax(axis=1)].tolist()
    right = np.array(
        [same(answers[g], answers[t]) for g, t in zip(given, tried.tolist(), strict=True)]
    )
    found = certificate(similar.max(axis=1), right, at_most, confidence)
    if found is None:
        raise InputError(
            f"no similarity keeps wrong hits to {at_most:.1%} with {confidence:.0%} confidence "
            f"over {len(tried)} questions.",
            advice="Give more questions, or allow more.",
        )
    return Bank(
        frame=frame(requests[0]) or "",
        vectors=vectors[held],
        answers=[answers[place] for place in held.tolist()],
        certificate=found,
    )


def certificate(
    similar: Vectors, right: NDArray[np.bool_], at_most: float, confidence: float
) -> Certificate | None:
    """The laxest threshold that keeps the promise; ``None`` if none does.

    Args:
        similar: ``(n,)`` cosine similarity of each question to the nearest of a bank, drawn
            independently of one another given the bank.
        right: ``(n,)`` whether the bank's answer to that is what the model answered.
        at_most: Largest share of hits that may be wrong, in (0, 1).
        confidence: How sure that has to be, in (0, 1).
    """
    nearness = (similar.astype(np.float64) + 1.0) / 2.0
    cut = round(len(similar) * SET_ASIDE)
    aside = Ladder(nearness[None, :cut], right[None, :cut])
    tested = Ladder(nearness[None, cut:], right[None, cut:])
    thresholds = path(aside.confidence)
    begin = start(tally(aside, thresholds), at_most, tested.rows)
    counted = tally(tested, thresholds)
    last = certified(counted, at_most, 1.0 - confidence, begin)
    if last is None:
        return None
    return Certificate(
        at_most=at_most,
        confidence=confidence,
        threshold=2.0 * float(thresholds[last]) - 1.0,
        tried=tested.rows,
        hits=int(counted.answered[last]),
        wrong=int(counted.wrong[last]),
    )
