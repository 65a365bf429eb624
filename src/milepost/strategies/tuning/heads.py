"""Linear heads on what a tuned encoder gives, and the predictors that carry both."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from milepost.entities.kinds import Link
from milepost.models.adapters import Adapter
from milepost.models.encoder import Encoder, adapted
from milepost.models.folder import EncoderFolder
from milepost.predictors.base import Predictor
from milepost.predictors.carried.encoder import OwnEncoder
from milepost.predictors.linear import LinearPredictor
from milepost.predictors.own_encoder import OwnEncoderPredictor
from milepost.strategies.head_ridge import HeadRidge
from milepost.strategies.problems import FRAMES, encode, label_examples, targets_of
from milepost.strategies.softmax_regression import Stop, fit_linear, fit_softmax
from milepost.strategies.tempered import tempered_log_loss
from milepost.strategies.tuning.records import State
from milepost.strategy import Problem

MOST_TRIED, MOST_LABELS = 400, 20
"""Examples and labels up to which the weight of label names is chosen by held-out folds."""

Rows = NDArray[np.int64]
Linear = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Weights ``(k, d) float32`` and bias ``(k,) float32``."""


@dataclass(frozen=True, slots=True, eq=False)
class Space:
    """The vectors of an encoder in one of the states that tuning went through.

    Attributes:
        encoder: Gives them.
        adapter: With which it runs; ``None`` for the encoder alone, or for one of its own.
        own: An encoder that is this predictor's alone.
    """

    encoder: Encoder
    adapter: Adapter | None = None
    own: OwnEncoder | None = None

    def vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """``(n, d) float32``, checked."""
        return encode(self.encoder, texts)

    def predictor(
        self, labels: tuple[str, ...], linear: Linear, link: Link = "softmax"
    ) -> Predictor:
        """A head on these vectors."""
        weights, bias = linear
        if self.own is not None:
            return OwnEncoderPredictor(
                labels=labels, encoder=self.own, weights=weights, bias=bias, link=link
            )
        return LinearPredictor(
            labels=labels, weights=weights, bias=bias, adapter=self.adapter, link=link
        )


class _Carried:
    """An encoder that lies in a predictor, with the name and digest of where it comes from."""

    def __init__(self, inner: Encoder, own: OwnEncoder) -> None:
        self.name, self.digest, self.variant = inner.name, inner.digest, inner.variant
        self.dimensions, self._own = inner.dimensions, own

    def encode(self, texts: Sequence[str], progress: object = None) -> NDArray[np.float32]:
        del progress
        return self._own.vectors(texts)


def space_of(encoder: Encoder, folder: EncoderFolder, state: State | None) -> Space:
    """The vectors after tuning came to ``state``; ``None`` for those before."""
    if state is None:
        return Space(encoder)
    if isinstance(state, Mapping):
        own = OwnEncoder.of_folder(folder, state)
        return Space(_Carried(encoder, own), own=own)
    return Space(adapted(encoder, state), adapter=state)


@dataclass(frozen=True, slots=True)
class Tried:
    """What held-out folds say of a head.

    Attributes:
        label_weight: How many examples a label's name and description are worth together.
        learns: Whether it loses less than the labels' shares alone; so far not known to, if no
            folds were held out.
    """

    label_weight: float = 1.0
    learns: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """Logistic regression with label names and descriptions as examples; of scores ``head_ridge``.

    Where any number of labels may hold, each label has its own, and names are no examples: they
    say nothing of what else holds.

    Attributes:
        problem: Gives examples and labels.
        c: Inverse strength of the L2 penalty, > 0.
        label_weight: How many examples a label's name and description count for together, ≥ 0.
        iterations: Most steps of the optimiser.
    """

    problem: Problem
    c: float
    label_weight: float
    iterations: int = 150

    def fit(
        self,
        space: Space,
        rows: Rows,
        told: Sequence[str] = (),
        told_y: NDArray[np.int64] | None = None,
    ) -> Linear:
        """Weights and bias.

        Args:
            space: Whose vectors.
            rows: Examples to learn from.
            told: Further inputs; all together weigh as much as the examples.
            told_y: Their labels.
        """
        problem = replace(self.problem, encoder=space.encoder)
        if problem.link == "identity":
            ridge = HeadRidge().fit(replace(problem.take(rows), progress=_silent))
            return ridge.weights, ridge.bias
        vectors = space.vectors([problem.texts[row] for row in rows.tolist()])
        if problem.link != "softmax":
            stop = Stop(self.iterations, deadline=problem.deadline)
            fitted = fit_linear(vectors, targets_of(problem.take(rows)), c=self.c, stop=stop)
            return np.ascontiguousarray(fitted.coefficients.T), fitted.bias
        known = label_examples(problem, FRAMES)
        parts = [vectors, known.vectors]
        weights = [np.ones(len(vectors), np.float32), known.weights * np.float32(self.label_weight)]
        y = [problem.y[rows], known.y]
        if told_y is not None and len(told_y):
            parts.append(space.vectors(told))
            weights.append(np.full(len(told_y), len(vectors) / len(told_y), np.float32))
            y.append(told_y)
        fitted = fit_softmax(
            np.vstack(parts),
            np.concatenate(y),
            len(problem.labels),
            c=self.c,
            weights=np.concatenate(weights),
            stop=Stop(self.iterations, deadline=problem.deadline),
        )
        return np.ascontiguousarray(fitted.coefficients.T), fitted.bias

    def predictor(
        self,
        space: Space,
        rows: Rows,
        told: Sequence[str] = (),
        told_y: NDArray[np.int64] | None = None,
    ) -> Predictor:
        """The head of the examples at ``rows`` and of further inputs, as a predictor."""
        linear = self.fit(space, rows, told, told_y)
        return space.predictor(self.problem.labels, linear, self.problem.link)

    def tried(self, weights: Sequence[float]) -> Tried:
        """The label weight of ``weights`` with the lowest log loss on held-out folds.

        Where there are more than ``MOST_TRIED`` examples or ``MOST_LABELS`` labels it matters
        little, costs much, and folds, which have fewer examples of a label, ask for too much of
        names: the weight nearest to the default stands then, and folds are held out only where
        unlabeled inputs wait for an answer.
        """
        problem, folds = self.problem, 5
        n = len(problem.y)
        few = n <= MOST_TRIED and len(problem.labels) <= MOST_LABELS
        usual = min(weights, key=lambda each: abs(each - Tried().label_weight))
        waiting = problem.link == "softmax" and (few or problem.unlabeled)
        if n < folds or not waiting:
            return Tried(usual)
        found = [
            (tempered_log_loss(self._held_out(weight, folds), problem.y)[0], weight)
            for weight in (weights if few else (usual,))
        ]
        loss, weight = min(found)
        shares = np.bincount(problem.y, minlength=len(problem.labels)) / n
        return Tried(weight, loss < float(-np.log(shares[problem.y]).mean()))

    def _held_out(self, weight: float, folds: int) -> NDArray[np.float64]:
        """Logits ``(n, k)`` of each example from a head that did not learn from it."""
        problem, head = self.problem, replace(self, label_weight=weight)
        fold_of = np.random.default_rng(problem.seed).permutation(len(problem.y)) % folds
        space = Space(problem.encoder)
        vectors = space.vectors(problem.texts)
        logits = np.zeros((len(vectors), len(problem.labels)))
        for fold in range(folds):
            coefficients, bias = head.fit(space, np.flatnonzero(fold_of != fold))
            out = fold_of == fold
            logits[out] = vectors[out] @ coefficients.T + bias
        return logits


def _silent(share: float) -> None:
    del share
