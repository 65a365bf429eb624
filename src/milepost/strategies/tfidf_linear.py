"""TF-IDF of words and word pairs with logistic regression: what a user has without milepost."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import ClassVar

import numpy as np

from milepost.entities.kinds import Kind
from milepost.predictors.tfidf import TfidfPredictor, terms_of, weigh
from milepost.strategies.problems import scale_of, targets_of, too_little
from milepost.strategies.softmax_regression import Stop, fit_linear
from milepost.strategy import Problem


@dataclass(frozen=True, slots=True)
class TfidfLinear:
    """Logistic regression, or least squares of scores, on sublinear TF-IDF of 1- and 2-grams.

    Attributes:
        c: Inverse strength of the L2 penalty, > 0.
        sublinear: Whether a count weighs 1 + ln(count) instead of itself.
        iterations: Most steps of the optimiser.
        max_weights: Most weights (terms times labels); beyond it the terms found in the most
            texts are kept. Bounds the memory of a fit to about 80 bytes per weight.
    """

    name: ClassVar[str] = "tfidf_linear"
    kinds: ClassVar[tuple[Kind, ...]] = ("classify", "match", "multilabel", "score")
    space: ClassVar[Mapping[str, Sequence[object]]] = {
        "c": (1.0, 3.0, 10.0, 30.0, 100.0, 300.0),
        "sublinear": (True, False),
    }

    c: float = 10.0
    sublinear: bool = True
    iterations: int = 100
    max_weights: int = 6_000_000

    def __post_init__(self) -> None:
        if not 0 < self.c < inf or self.iterations < 1 or self.max_weights < 1:
            raise ValueError("c must be above 0; iterations and max_weights at least 1")

    def supports(self, problem: Problem) -> str | None:
        """It needs two labels with an example, and a word."""
        if reason := too_little(problem):
            return reason
        if not any(terms_of(text) for text in problem.texts):
            return "No example holds a word of two or more letters."
        return None

    def fit(self, problem: Problem) -> TfidfPredictor:
        """Count the terms, weigh them, and fit the linear model."""
        import scipy.sparse

        k = len(problem.labels)
        found = Counter(term for text in problem.texts for term in set(terms_of(text)))
        frequent = sorted(found, key=lambda term: (-found[term], term))
        vocabulary = tuple(sorted(frequent[: max(1, self.max_weights // k)]))
        n = len(problem.texts)
        idf = np.log((1 + n) / (1 + np.array([found[t] for t in vocabulary], np.float64))) + 1
        index = {term: column for column, term in enumerate(vocabulary)}
        rows = weigh(problem.texts, index, idf, sublinear=self.sublinear)
        features = scipy.sparse.csr_array(
            (rows.values.astype(np.float32), rows.columns, rows.starts),
            shape=(n, len(vocabulary)),
        )
        problem.progress(0.2)
        fitted = fit_linear(
            features,
            targets_of(problem),
            c=self.c,
            stop=Stop(self.iterations, deadline=problem.deadline),
            progress=lambda share: problem.progress(0.2 + 0.8 * share),
        )
        problem.progress(1.0)
        mean, spread = scale_of(problem)
        return TfidfPredictor(
            labels=problem.labels,
            vocabulary=vocabulary,
            idf=idf,
            weights=fitted.coefficients * np.float32(spread),
            bias=fitted.bias * np.float32(spread) + np.float32(mean),
            link=problem.link,
            sublinear=self.sublinear,
        )
