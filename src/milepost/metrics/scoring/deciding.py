"""What probabilities decide, and whether that is right.

A row whose probabilities are all equal decides nothing: whoever reads it cannot know which label is
meant, so it is no answer, and it counts as wrong wherever answers are judged. It is how a predictor
says that it could not answer, such as one whose language model gave none of the labels.
"""

import numpy as np
from numpy.typing import NDArray

from milepost.entities.prediction import NO_ANSWER, undecided

UNDECIDED = -1
"""What stands for the answer of a row that decides nothing."""


def decided(probabilities: NDArray[np.floating]) -> NDArray[np.int64]:
    """Column of the most probable label, the first one where some are equally probable.

    Args:
        probabilities: ``(..., n, k)``.

    Returns:
        ``(..., n) int64``; -1 where all of several labels are equally probable.
    """
    best = probabilities.argmax(axis=-1)
    return np.where(undecided(probabilities), UNDECIDED, best).astype(np.int64)


def is_right(answers: NDArray[np.int64], y: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether each answer is right; never where there is none, or the label is not known.

    Args:
        answers: ``(..., n)`` in ``[-1, k)``; -1 for no answer.
        y: ``(n,)`` actual labels in ``[-1, k)``; -1 for one that the task does not know.
    """
    return (answers == y) & (answers >= 0)


def answer_name(labels: tuple[str, ...], answer: int) -> str:
    """The label that was answered, or that there is none."""
    return labels[answer] if answer >= 0 else NO_ANSWER
