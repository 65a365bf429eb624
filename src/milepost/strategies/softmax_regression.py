"""Penalised linear models by L-BFGS in single precision, on dense or sparse features.

Multinomial and label-wise logistic regression, and least squares: they differ by their link alone.
It knows nothing of tasks or texts: features and truths in, weights out.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from milepost._base.clock import Deadline
from milepost.entities.kinds import Link

CHUNK_ELEMENTS = 4_000_000
"""Logits held at once; bounds memory at about 50 MB whatever the numbers of rows and labels."""

_ARMIJO = 1e-4
_SHORTEST = 1e-3


Features = Any
"""``(n, d) float32``: a numpy array, or a scipy sparse row array, whose types share no base."""


@dataclass(frozen=True, slots=True, eq=False)
class Weights:
    """A linear model.

    Attributes:
        coefficients: ``(d, k) float32``.
        bias: ``(k,) float32``.
        iterations: Steps taken to get there.
    """

    coefficients: NDArray[np.float32]
    bias: NDArray[np.float32]
    iterations: int = 0


@dataclass(frozen=True, slots=True)
class Stop:
    """When to stop.

    Attributes:
        iterations: Most steps taken.
        tolerance: Largest entry of the gradient, as a share of the first one.
        deadline: Moment after which no further step is begun.
    """

    iterations: int = 200
    tolerance: float = 3e-3
    deadline: Deadline = field(default_factory=Deadline)


def fit_softmax(
    features: Features,
    y: NDArray[np.int64],
    labels: int,
    *,
    c: float,
    weights: NDArray[np.float32] | None = None,
    stop: Stop | None = None,
    progress: Callable[[float], None] = lambda share: None,
) -> Weights:
    """Minimise the weighted log loss plus the squared norm of the coefficients over 2c.

    Args:
        features: ``(n, d) float32``.
        y: ``(n,) int64`` in ``[0, k)``.
        labels: Number of labels ``k``; one without an example gets zero coefficients.
        c: Inverse strength of the penalty, > 0.
        weights: ``(n,) float32`` weight of each example; ``None`` for ones.
        stop: When to stop.
        progress: Called with the share of the allowed steps that were taken.
    """
    given = np.ones(len(y), np.float32) if weights is None else weights
    targets = Targets("softmax", y, labels, given)
    return fit_linear(features, targets, c=c, stop=stop, progress=progress)


@dataclass(frozen=True, slots=True, eq=False)
class Targets:
    """What a linear model is fitted to.

    Attributes:
        link: From its scores to an answer, which says what is lost: the log loss of the softmax,
            the sum of the labels' log losses, or half the squared error.
        y: ``(n,) int64`` in ``[0, k)``; ``(n, k)`` of 0 and 1; or ``(n, 1)`` numbers.
        columns: ``k``.
        weights: ``(n,) float32`` weight of each example.
    """

    link: Link
    y: NDArray[Any]
    columns: int
    weights: NDArray[np.float32]


def fit_linear(
    features: Features,
    targets: Targets,
    *,
    c: float,
    stop: Stop | None = None,
    progress: Callable[[float], None] = lambda share: None,
) -> Weights:
    """Minimise the weighted loss plus the squared norm of the coefficients over 2c.

    The objective is scikit-learn's: ``sum_i w_i * loss_i + |W|^2 / (2 c)``, bias unpenalised.

    Args:
        features: ``(n, d) float32``.
        targets: What it is fitted to.
        c: Inverse strength of the penalty, > 0.
        stop: When to stop.
        progress: Called with the share of the allowed steps that were taken.
    """
    stop = stop or Stop()
    loss = _Objective(features, targets, c)
    point = np.zeros((features.shape[1] + 1, targets.columns), np.float32)
    point, iterations = _minimise(loss, point, stop, progress)
    return Weights(point[:-1].copy(), point[-1].copy(), iterations)


class _Objective:
    """Mean loss and its gradient at ``(d + 1, k)``, the last row being the bias."""

    def __init__(self, features: Features, targets: Targets, c: float) -> None:
        self._features = features
        self._y = targets.y
        self._residuals = _RESIDUALS[targets.link]
        self._total = float(targets.weights.sum())
        self._weights = (targets.weights / self._total).astype(np.float32)
        self._penalty = 1.0 / (c * self._total)

    def __call__(self, point: NDArray[np.float32]) -> tuple[float, NDArray[np.float32]]:
        coefficients, bias = point[:-1], point[-1]
        gradient = np.empty_like(point)
        gradient[:-1] = np.float32(self._penalty) * coefficients
        gradient[-1] = 0
        value = 0.5 * self._penalty * _dot(coefficients, coefficients)
        step = max(1, CHUNK_ELEMENTS // point.shape[1])
        for begin in range(0, len(self._y), step):
            rows = slice(begin, begin + step)
            features = self._features[rows]
            scores = np.asarray(features @ coefficients, np.float32)
            scores += bias
            value += self._residuals(scores, self._y[rows], self._weights[rows])
            gradient[:-1] += features.T @ scores
            gradient[-1] += scores.sum(axis=0)
        return value, gradient


def _softmax(scores: NDArray[np.float32], y: NDArray[Any], weights: NDArray[np.float32]) -> float:
    """The loss of rows; their scores become what the gradient is made of. So do the next two."""
    scores -= scores.max(axis=1, keepdims=True)
    own = np.arange(len(scores)), y
    right = scores[own].copy()
    np.exp(scores, out=scores)
    sums = scores.sum(axis=1)
    scores *= (weights / sums)[:, None]
    scores[own] -= weights
    return float(np.dot(weights.astype(np.float64), np.log(sums) - right))


def _sigmoids(scores: NDArray[np.float32], y: NDArray[Any], weights: NDArray[np.float32]) -> float:
    losses = np.logaddexp(np.float32(0), scores).sum(axis=1) - (scores * y).sum(axis=1)
    np.tanh(0.5 * scores, out=scores)
    scores *= 0.5
    scores += 0.5 - y
    scores *= weights[:, None]
    return float(np.dot(weights.astype(np.float64), losses))


def _squares(scores: NDArray[np.float32], y: NDArray[Any], weights: NDArray[np.float32]) -> float:
    scores -= y
    losses = 0.5 * (scores.astype(np.float64) ** 2).sum(axis=1)
    scores *= weights[:, None]
    return float(np.dot(weights.astype(np.float64), losses))


_RESIDUALS: Mapping[
    Link, Callable[[NDArray[np.float32], NDArray[Any], NDArray[np.float32]], float]
] = {"softmax": _softmax, "sigmoid": _sigmoids, "identity": _squares}


def _minimise(
    objective: Callable[[NDArray[np.float32]], tuple[float, NDArray[np.float32]]],
    point: NDArray[np.float32],
    stop: Stop,
    progress: Callable[[float], None],
    memory: int = 8,
) -> tuple[NDArray[np.float32], int]:
    """L-BFGS (Nocedal 1980; two-loop recursion) with Armijo backtracking, for convex objectives."""
    value, gradient = objective(point)
    enough = stop.tolerance * float(np.abs(gradient).max())
    pairs: list[tuple[NDArray[np.float32], NDArray[np.float32], float]] = []
    for iteration in range(stop.iterations):
        if float(np.abs(gradient).max()) <= enough or stop.deadline.passed:
            return point, iteration
        progress(iteration / stop.iterations)
        direction = _direction(gradient, pairs)
        slope = _dot(direction, gradient)
        length = 1.0 if pairs else 1.0 / max(1.0, float(np.sqrt(_dot(gradient, gradient))))
        while True:
            trial = np.asarray(point + np.float32(length) * direction, np.float32)
            trial_value, trial_gradient = objective(trial)
            if trial_value <= value + _ARMIJO * length * slope:
                break
            length *= 0.5
            if length < _SHORTEST:  # rounding hides any further descent
                return point, iteration
        moved, turned = trial - point, trial_gradient - gradient
        curvature = _dot(moved, turned)
        if curvature > 1e-12 * _dot(turned, turned):
            pairs.append((moved, turned, curvature))
            del pairs[:-memory]
        point, value, gradient = trial, trial_value, trial_gradient
    return point, stop.iterations


def _direction(
    gradient: NDArray[np.float32],
    pairs: list[tuple[NDArray[np.float32], NDArray[np.float32], float]],
) -> NDArray[np.float32]:
    """Minus the approximate inverse Hessian times the gradient."""
    result = -gradient
    shares: list[float] = []
    for moved, turned, curvature in reversed(pairs):
        share = _dot(moved, result) / curvature
        result -= np.float32(share) * turned
        shares.append(share)
    if pairs:
        _, turned, curvature = pairs[-1]
        result *= np.float32(curvature / _dot(turned, turned))
    for (moved, turned, curvature), share in zip(pairs, reversed(shares), strict=True):
        result += np.float32(share - _dot(turned, result) / curvature) * moved
    return result


def _dot(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    return float(np.dot(first.ravel(), second.ravel()))
