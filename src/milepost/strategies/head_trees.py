"""Boosted trees on how alike two sides are, beside a linear head on their vectors."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from milepost.entities.kinds import Kind
from milepost.models.pairs import cosine_at
from milepost.predictors.trees import LEAF, Trees, TreesPredictor, seen
from milepost.strategies.problems import encode, too_few_labels
from milepost.strategies.softmax_regression import Stop, Weights, fit_softmax
from milepost.strategy import Problem

Array = NDArray[np.float32]

_FOLDS = 3
_RAREST = -8.0
"""What a label without an example has: about 1 in 3,000 beside one that has nothing."""


@dataclass(frozen=True, slots=True)
class HeadTrees:
    """Gradient boosting (Friedman 2001) on likenesses and on what a linear head says.

    That one number differs, or one field, weighs otherwise where all else is alike: which no sum of
    likenesses can say. Trees see a linear head's answers to examples that it was not fitted to
    (stacking, Wolpert 1992).

    Attributes:
        trees: Trees for each label that is told apart.
        depth: Most questions of a tree.
        rate: Share of each tree's advice that is taken, in (0, 1].
        share: Share of the examples that a tree is fitted to, in (0, 1].
        c: Inverse strength of the linear head's penalty, > 0.
        rows: Most examples that trees are fitted to; drawn by the seed.
    """

    name: ClassVar[str] = "head_trees"
    kinds: ClassVar[tuple[Kind, ...]] = ("match",)

    trees: int = 150
    depth: int = 3
    rate: float = 0.1
    share: float = 0.7
    c: float = 3.0
    rows: int = 20_000

    def __post_init__(self) -> None:
        if min(self.trees, self.depth, self.rows) < 1 or self.c <= 0:
            raise ValueError("trees, depth and rows must be at least 1, c above 0")
        if not (0 < self.rate <= 1 and 0 < self.share <= 1):
            raise ValueError("rate and share must lie in (0, 1]")

    def supports(self, problem: Problem) -> str | None:
        """It needs two labels with examples to spare, and vectors of pairs."""
        if cosine_at(problem.encoder.dimensions) < 0:
            return "The vectors are none of pairs."
        few = too_few_labels(problem)
        if few is not None:
            return few
        rarest = np.bincount(problem.y)
        enough = int(rarest[rarest > 0].min()) >= _FOLDS
        return None if enough else f"Each label needs at least {_FOLDS} examples."

    def fit(self, problem: Problem) -> TreesPredictor:
        """Fit the head, its answers to examples left out, and the trees on them."""
        if len(problem.y) > self.rows:
            drawn = np.random.default_rng(problem.seed).permutation(len(problem.y))[: self.rows]
            problem = problem.take(np.sort(drawn))
        vectors, y, k = encode(problem.encoder, problem.texts), problem.y, len(problem.labels)
        start = cosine_at(vectors.shape[1])
        problem.progress(0.2)
        fold = _folds(y, problem.seed)
        x = np.zeros((len(y), vectors.shape[1] - start + k), np.float32)
        for out in range(_FOLDS):
            inside, outside = np.flatnonzero(fold != out), np.flatnonzero(fold == out)
            head = self._head(vectors[inside], y[inside], problem)
            x[outside] = seen(vectors[outside], start, head.coefficients.T, head.bias)
            problem.progress(0.2 + 0.1 * (out + 1))
        head = self._head(vectors, y, problem)
        problem.progress(0.6)
        trees, base = self._boosted(x, y, k, problem.seed)
        problem.progress(1.0)
        return TreesPredictor(
            labels=problem.labels,
            weights=np.ascontiguousarray(head.coefficients.T),
            bias=head.bias,
            start=start,
            trees=trees,
            base=base,
            depth=self.depth,
            link=problem.link,
        )

    def _head(self, vectors: Array, y: NDArray[np.int64], problem: Problem) -> Weights:
        return fit_softmax(
            vectors, y, len(problem.labels), c=self.c, stop=Stop(80, deadline=problem.deadline)
        )

    def _boosted(
        self, x: Array, y: NDArray[np.int64], k: int, seed: int
    ) -> tuple[Trees, NDArray[np.float64]]:
        """Trees, and what each of ``k`` labels has without any."""
        from sklearn.ensemble import GradientBoostingClassifier

        model: Any = GradientBoostingClassifier(
            n_estimators=self.trees,
            max_depth=self.depth,
            learning_rate=self.rate,
            subsample=self.share,
            max_features=0.5,
            init="zero",
            random_state=seed,
        ).fit(x, y)
        labels: list[int] = [int(label) for label in model.classes_]
        base = np.full(k, _RAREST)
        base[labels] = 0.0
        # Of two labels one tree speaks, for the second; the first stays where it is.
        columns = labels[1:] if len(labels) == 2 else labels
        return _joined(model.estimators_, columns, self.rate), base


def _folds(y: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """Fold of each example, ``(n,)``: each label in all of them."""
    fold = np.zeros(len(y), np.int64)
    chance = np.random.default_rng(seed)
    for label in np.unique(y):
        rows = chance.permutation(np.flatnonzero(y == label))
        fold[rows] = np.arange(len(rows)) % _FOLDS
    return fold


def _joined(stages: Any, columns: list[int], rate: float) -> Trees:
    """The trees of scikit-learn as arrays, one after the other."""
    parts: dict[str, list[NDArray[Any]]] = {
        name: [] for name in ("feature", "threshold", "left", "right", "value")
    }
    roots: list[int] = []
    speaks: list[int] = []
    nodes = 0
    for stage in stages:
        for column, each in zip(columns, stage, strict=True):
            tree = each.tree_
            leaf = tree.children_left == LEAF
            parts["feature"].append(np.where(leaf, 0, tree.feature))
            parts["threshold"].append(np.where(leaf, 0.0, tree.threshold))
            parts["left"].append(np.where(leaf, LEAF, tree.children_left + nodes))
            parts["right"].append(np.where(leaf, LEAF, tree.children_right + nodes))
            parts["value"].append(rate * tree.value[:, 0, 0])
            roots.append(nodes)
            speaks.append(column)
            nodes += tree.node_count
    return Trees(
        feature=np.concatenate(parts["feature"]).astype(np.int32),
        threshold=np.concatenate(parts["threshold"]).astype(np.float64),
        left=np.concatenate(parts["left"]).astype(np.int32),
        right=np.concatenate(parts["right"]).astype(np.int32),
        value=np.concatenate(parts["value"]).astype(np.float64),
        roots=np.array(roots, np.int32),
        column=np.array(speaks, np.int32),
    )
