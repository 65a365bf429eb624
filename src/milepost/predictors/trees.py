"""The predictor that adds up trees: on a linear head and on the last columns of a vector."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from milepost.entities.errors import CorruptError
from milepost.predictors.base import Batch, Predictor
from milepost.predictors.parts import ADVICE, Expected, check_arrays, check_parameters

ROWS = 1024
"""Rows that walk down the trees together."""

LEAF = -1
"""Stands for the child of a node that has none."""


class _Parameters(msgspec.Struct, frozen=True):
    """JSON-able parameters, named as in ``TreesPredictor``."""

    start: int
    depth: int


@dataclass(frozen=True, slots=True, eq=False)
class Trees:
    """Regression trees, their nodes one after the other.

    Attributes:
        feature: ``(m,) int32`` column that each node asks about.
        threshold: ``(m,) float64`` up to which it goes to the left.
        left: ``(m,) int32`` node on the left; ``LEAF`` of a leaf.
        right: ``(m,) int32``.
        value: ``(m,) float64`` what a leaf adds.
        roots: ``(t,) int32`` first node of each tree.
        column: ``(t,) int32`` label that each tree speaks for.
    """

    feature: NDArray[np.int32]
    threshold: NDArray[np.float64]
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    value: NDArray[np.float64]
    roots: NDArray[np.int32]
    column: NDArray[np.int32]

    def sums(self, x: NDArray[np.float32], labels: int, depth: int) -> NDArray[np.float64]:
        """What all trees of each label add up to, ``(n, labels)``.

        Args:
            x: ``(n, f)``.
            labels: How many labels there are.
            depth: Most questions on the way to a leaf.
        """
        found = np.zeros((len(x), labels))
        of_label = np.zeros((len(self.roots), labels))
        of_label[np.arange(len(self.roots)), self.column] = 1.0
        for start in range(0, len(x), ROWS):
            part = x[start : start + ROWS]
            rows = np.arange(len(part))[:, None]
            at = np.repeat(self.roots[None, :], len(part), axis=0)
            for _ in range(depth):
                below = part[rows, self.feature[at]] <= self.threshold[at]
                following = np.where(below, self.left[at], self.right[at])
                at = np.where(self.left[at] == LEAF, at, following)
            values = self.value[at]
            # Added up one after the other, so that a row's sum depends on it alone.
            found[start : start + ROWS] = np.stack(
                [(values * column).sum(axis=1) for column in of_label.T], axis=1
            )
        return found


@dataclass(frozen=True, eq=False, kw_only=True)
class TreesPredictor(Predictor):
    """Boosted trees (Friedman 2001) that see the few last columns of a vector, and a linear head.

    Attributes:
        weights: ``(k, d) float32`` of the linear head.
        bias: ``(k,) float32``.
        start: First column of the vector that the trees see; what the head says follows these.
        trees: What adds up.
        base: ``(k,) float64`` what each label has before any tree.
        depth: Most questions on the way to a leaf.
    """

    kind: ClassVar[str] = "trees"
    uses: ClassVar[Literal["text", "vectors"]] = "vectors"

    weights: NDArray[np.float32]
    bias: NDArray[np.float32]
    start: int
    trees: Trees
    base: NDArray[np.float64]
    depth: int

    def logits(self, batch: Batch) -> NDArray[np.float64]:
        """Log odds of each label, ``(n, k) float64``."""
        vectors = batch.require_vectors(self.weights.shape[1])
        x = seen(vectors, self.start, self.weights, self.bias)
        return self.base + self.trees.sums(x, len(self.labels), self.depth)

    def arrays(self) -> Mapping[str, NDArray[np.generic]]:
        """``weights``, ``bias``, ``base``, and the trees' arrays by their names."""
        trees = {name: getattr(self.trees, name) for name in _OF_TREES}
        return {"weights": self.weights, "bias": self.bias, "base": self.base, **trees}

    def parameters(self) -> dict[str, object]:
        """``start`` and ``depth``."""
        return {"start": self.start, "depth": self.depth}

    @classmethod
    def from_parts(
        cls,
        labels: tuple[str, ...],
        temperature: float,
        arrays: Mapping[str, NDArray[np.generic]],
        parameters: Mapping[str, object],
    ) -> Self:
        """See :meth:`Predictor.from_parts`."""
        k, said = len(labels), check_parameters(parameters, _Parameters)
        check_arrays(
            arrays,
            {
                "weights": Expected(np.float32, (k, None)),
                "bias": Expected(np.float32, (k,)),
                "base": Expected(np.float64, (k,)),
                **{name: Expected(dtype, (None,)) for name, dtype in _OF_TREES.items()},
            },
        )
        trees = Trees(**{name: np.asarray(arrays[name], dtype)  # pyright: ignore[reportArgumentType]
                         for name, dtype in _OF_TREES.items()})  # fmt: skip
        width = np.asarray(arrays["weights"]).shape[1]
        _check_trees(trees, k, width - said.start + k, said)
        return cls(
            labels=labels,
            temperature=temperature,
            weights=np.asarray(arrays["weights"], np.float32),
            bias=np.asarray(arrays["bias"], np.float32),
            start=said.start,
            trees=trees,
            base=np.asarray(arrays["base"], np.float64),
            depth=said.depth,
        )


_OF_TREES: Mapping[str, type[np.generic]] = {
    "feature": np.int32,
    "threshold": np.float64,
    "left": np.int32,
    "right": np.int32,
    "value": np.float64,
    "roots": np.int32,
    "column": np.int32,
}


def seen(
    vectors: NDArray[np.float32],
    start: int,
    weights: NDArray[np.float32],
    bias: NDArray[np.float32],
) -> NDArray[np.float32]:
    """What trees see ``(n, d - start + k) float32``: columns from ``start``, and a linear head."""
    # A row by itself: a product of matrices rounds otherwise in other company.
    said = [(vectors * each).sum(axis=1, dtype=np.float64) for each in weights]
    head = np.stack(said, axis=1) + bias
    return np.concatenate([vectors[:, start:], head.astype(np.float32)], axis=1)


def _check_trees(trees: Trees, k: int, features: int, said: _Parameters) -> None:
    """Refuse trees that lead out of themselves.

    Raises:
        CorruptError: If an index is out of range, or lengths differ.
    """
    m = len(trees.feature)
    ranges = (
        (trees.feature, 0, features),
        (trees.left, LEAF, m),
        (trees.right, LEAF, m),
        (trees.roots, 0, m),
        (trees.column, 0, k),
    )
    same = {len(each) for each in (trees.threshold, trees.left, trees.right, trees.value)} == {m}
    fits = all(len(a) == 0 or (a.min() >= low and a.max() < high) for a, low, high in ranges)
    paired = len(trees.roots) == len(trees.column)
    if not (same and fits and paired and said.start >= 0 and 0 <= said.depth <= ROWS):
        raise CorruptError("its trees lead nowhere.", where="arrays.safetensors", advice=ADVICE)
