"""The examples of one problem, as the corpus that an encoder is tuned on."""

import numpy as np
from numpy.typing import NDArray

from milepost.entities.kinds import strata
from milepost.strategies.problems import humanise
from milepost.strategies.tuning.pseudo import Told
from milepost.strategies.tuning.records import Corpus
from milepost.strategy import Problem


def corpus_of(problem: Problem, rows: NDArray[np.int64], told: Told | None = None) -> Corpus:
    """Examples of a problem, followed by inputs that got a label by themselves.

    Of scores the parts of the scale stand for labels: the tenth in which a score lies. They have no
    names.

    Args:
        problem: Gives examples, labels and descriptions.
        rows: Of the examples that take part; one may be named more than once.
        told: Further inputs.
    """
    told = told or Told()
    own = problem.y[rows]
    parts = strata(problem.kind, own)
    names, descriptions = tuple(map(humanise, problem.labels)), problem.descriptions
    if problem.link == "identity":
        found, parts = np.unique(parts, return_inverse=True)
        names, descriptions = ("",) * len(found), ()
    return Corpus(
        name="task",
        labels=names,
        descriptions=descriptions,
        texts=(*(problem.texts[row] for row in rows.tolist()), *told.texts),
        y=np.concatenate([parts, told.y]),
        sets=own if problem.link == "sigmoid" else None,
    )
