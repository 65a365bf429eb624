"""Ridge regression in closed form on frozen vectors: scores, and labels each by itself."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from milepost.entities.kinds import Kind
from milepost.metrics.scoring.links import fit_scale
from milepost.predictors.linear import LinearPredictor
from milepost.strategies.incremental_ridge import SolvedRidge
from milepost.strategies.problems import encode, scale_of, targets_of, too_little
from milepost.strategy import Problem

Array = NDArray[np.float64]

_STEEP = 4.0
"""Log odds that a fitted value one above one half stands for: the logistic function's own slope."""


@dataclass(frozen=True, slots=True)
class HeadRidge:
    """Least squares with an L2 penalty (Hoerl & Kennard 1970).

    The penalty is the one with the lowest exact leave-one-out squared error (Allen 1974), which the
    singular value decomposition gives for all penalties at once. Labels are fitted as 0 and 1, and
    a temperature makes odds of them.

    Attributes:
        penalties: Values to choose from, each > 0; a share of the largest squared singular value.
    """

    name: ClassVar[str] = "head_ridge"
    images: ClassVar[bool] = True
    kinds: ClassVar[tuple[Kind, ...]] = ("multilabel", "score")

    penalties: tuple[float, ...] = (1e-5, 1e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 1.0)

    def __post_init__(self) -> None:
        if not self.penalties or min(self.penalties) <= 0:
            raise ValueError("penalties must be above 0")

    def supports(self, problem: Problem) -> str | None:
        """It needs a label that holds for an example, or two different scores."""
        return too_little(problem)

    def fit(self, problem: Problem) -> LinearPredictor:
        """Decompose the vectors, choose the penalty, solve."""
        x = encode(problem.encoder, problem.texts).astype(np.float64)
        found = self._found(problem, x)
        problem.progress(1.0)
        coefficients, bias = found.coefficients, found.bias
        if problem.link == "sigmoid":
            bias = bias - 0.5
        else:
            mean, spread = scale_of(problem)
            coefficients, bias = spread * coefficients, spread * bias + mean
        return LinearPredictor(
            labels=problem.labels,
            weights=np.ascontiguousarray(coefficients.T / found.temperature, np.float32),
            bias=(bias / found.temperature).astype(np.float32),
            link=problem.link,
        )

    def chosen(self, problem: Problem) -> tuple[float, float]:
        """The penalty that ``fit`` chooses, and what it divides numbers by to make odds of them."""
        found = self._found(problem, encode(problem.encoder, problem.texts).astype(np.float64))
        return found.penalty, found.temperature

    def solved(self, problem: Problem, penalty: float) -> SolvedRidge:
        """What ``fit`` solves at a penalty, ready to change."""
        vectors = encode(problem.encoder, problem.texts)
        return SolvedRidge.of(vectors, problem.y, len(problem.labels), penalty)

    def leave_group_out(
        self, problem: Problem, groups: NDArray[np.int64]
    ) -> tuple[LinearPredictor, Array]:
        """The predictor of all examples, and each example's logits from one without its group.

        Equal to refitting without the group, but that penalty and temperature are those chosen on
        all examples.

        Args:
            problem: All examples.
            groups: ``(n,) int64`` near-duplicate group of each example.

        Returns:
            The predictor, and logits ``(n, k) float64`` at its temperature.
        """
        penalty, temperature = self.chosen(problem)
        solved = self.solved(problem, penalty)
        coefficients, bias = solved.linear()
        middle = 0.5 if problem.link == "sigmoid" else 0.0
        predictor = LinearPredictor(
            labels=problem.labels,
            weights=np.ascontiguousarray(coefficients / temperature, np.float32),
            bias=((bias - middle) / temperature).astype(np.float32),
            link=problem.link,
        )
        vectors = encode(problem.encoder, problem.texts)
        numbers = solved.leave_group_out(vectors, problem.y, groups)
        return predictor, (numbers - middle) / temperature

    def _found(self, problem: Problem, x: Array) -> "_Found":
        """The fit to targets of mean 0 and spread 1, or of 0 and 1."""
        targets = np.asarray(targets_of(problem).y, np.float64)
        problem.progress(0.4)
        centre, level = x.mean(axis=0), targets.mean(axis=0)
        left, sizes, right = np.linalg.svd(x - centre, full_matrices=False)
        turned = left.T @ (targets - level)
        errors: list[float] = []
        scale = float(sizes[0] ** 2) or 1.0
        for penalty in self.penalties:
            _, left_out = _fitted(left, sizes, turned, penalty * scale)
            errors.append(float(((targets - level - left_out(targets - level)) ** 2).sum()))
        best = self.penalties[int(np.argmin(errors))] * scale
        shrunk, left_out = _fitted(left, sizes, turned, best)
        coefficients = right.T @ (shrunk[:, None] * turned)
        temperature = 1.0
        if problem.link == "sigmoid":
            logits = _STEEP * (left_out(targets - level) + level - 0.5)
            temperature = fit_scale("sigmoid", logits, targets) / _STEEP
        return _Found(best, temperature, coefficients, level - centre @ coefficients)


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    """What was chosen, and the linear model ``(d, k)``, ``(k,)`` that comes of it."""

    penalty: float
    temperature: float
    coefficients: Array
    bias: Array


class _LeftOut:
    """What a model without each row says of it, ``(n, k)``, from one that has them all."""

    def __init__(self, fitted: Array, leverage: Array) -> None:
        self._fitted = fitted
        self._leverage = leverage

    def __call__(self, centred: Array) -> Array:
        h = self._leverage[:, None]
        return (self._fitted - h * centred) / np.maximum(1.0 - h, 1e-6)


def _fitted(left: Array, sizes: Array, turned: Array, penalty: float) -> tuple[Array, _LeftOut]:
    """Shrunk inverse singular values, and answers to each row without it."""
    kept = sizes**2 / (sizes**2 + penalty)
    leverage = (left**2) @ kept + 1.0 / len(left)
    return sizes / (sizes**2 + penalty), _LeftOut(left @ (kept[:, None] * turned), leverage)
