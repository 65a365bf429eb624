"""Training of linear-chain conditional random fields (Lafferty, McCallum & Pereira 2001).

All texts go through the chain together, one word at a time: forward and backward sums are products
of matrices, in probabilities that are scaled to sum to 1 at each word (Rabiner 1989).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from milepost._base.clock import Deadline
from milepost.predictors.tagging.chain import NEVER, allowed

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Order:
    """Words of all texts, sorted so that all words at one place of their texts stand together.

    Attributes:
        rows: ``(N,)`` row of each word among the words of text after text.
        starts: Where the words at each place begin, and last their number.
    """

    rows: NDArray[np.int64]
    starts: NDArray[np.int64]

    @classmethod
    def of(cls, lengths: Sequence[int]) -> "Order":
        """The order of texts with so many words each, each at least 1."""
        sizes = np.asarray(lengths, np.int64)
        longest = np.argsort(-sizes, kind="stable")
        first = np.cumsum(sizes) - sizes
        rows = [first[longest[: int((sizes > at).sum())]] + at for at in range(int(sizes.max()))]
        starts = np.concatenate([[0], np.cumsum([len(each) for each in rows])])
        return cls(np.concatenate(rows), starts)


@dataclass(frozen=True, slots=True, eq=False)
class Observed:
    """What is known of ``N`` words, in the order of ``Order``.

    Attributes:
        sparse: ``(N, r)`` sparse matrix of ones: which features each word has; or ``None``.
        dense: ``(N, d) float32`` states, centred and scaled; or ``None``.
        tags: ``(N,) int64``.
        order: Where each text's words are.
        count: Number of tags.
    """

    sparse: Any
    dense: NDArray[np.float32] | None
    tags: NDArray[np.int64]
    order: Order
    count: int


@dataclass(frozen=True, slots=True)
class Penalties:
    """Strengths of the L2 penalties, each > 0.

    Attributes:
        sparse: Of the weights of features, and of what follows what.
        dense: Of the weights of states.
    """

    sparse: float
    dense: float


@dataclass(frozen=True, slots=True, eq=False)
class Weights:
    """What was learned: ``(r, tags)``, ``(d, tags)`` and ``(tags, tags)``."""

    sparse: NDArray[np.float32]
    dense: NDArray[np.float32]
    follows: Array


def fit(
    observed: Observed,
    penalties: Penalties,
    iterations: int,
    deadline: Deadline,
    progress: Callable[[float], None],
) -> Weights:
    """Maximise the penalised likelihood of the tags by L-BFGS (Liu & Nocedal 1989)."""
    from scipy.optimize import minimize

    problem = _Likelihood(observed, penalties)
    steps = 0

    def step(intermediate_result: object) -> None:
        nonlocal steps
        steps += 1
        progress(min(1.0, steps / iterations))
        if deadline.passed:
            raise StopIteration

    found = minimize(
        problem,
        np.zeros(problem.size),
        jac=True,
        method="L-BFGS-B",
        callback=step,
        options={"maxiter": iterations, "maxcor": 6, "ftol": 1e-6, "gtol": 1e-6},
    )
    return problem.parted(found.x)


class _Likelihood:
    """Penalised negative log-likelihood per word, and its gradient."""

    def __init__(self, observed: Observed, penalties: Penalties) -> None:
        self._of = observed
        tags, n = observed.count, len(observed.tags)
        self._features = 0 if observed.sparse is None else observed.sparse.shape[1]
        self._states = 0 if observed.dense is None else observed.dense.shape[1]
        self.size = (self._features + self._states + tags) * tags
        self._may = allowed((tags - 1) // 2)
        rows = np.repeat([penalties.sparse, penalties.dense, penalties.sparse],
                         [self._features, self._states, tags])  # fmt: skip
        self._penalty = np.repeat(rows, tags)
        self._actual = np.zeros((n, tags), np.float32)
        self._actual[np.arange(n), observed.tags] = 1.0
        self._transposed = None if observed.sparse is None else observed.sparse.T.tocsr()
        starts = observed.order.starts
        self._next = [
            np.arange(starts[at], starts[at] + starts[at + 2] - starts[at + 1])
            for at in range(len(starts) - 2)
        ]
        before = np.concatenate([np.zeros(0, np.int64), *self._next])
        after = np.arange(starts[1], starts[-1])
        self._moves = np.zeros((tags, tags))
        np.add.at(self._moves, (observed.tags[before], observed.tags[after]), 1.0)
        self._before = before

    def parted(self, x: Array) -> Weights:
        """The parameters by what they belong to."""
        tags = self._of.count
        whole = x.reshape(-1, tags)
        first, second = self._features, self._features + self._states
        follows = np.where(self._may, whole[second:], NEVER)
        return Weights(
            whole[:first].astype(np.float32), whole[first:second].astype(np.float32), follows
        )

    def __call__(self, x: Array) -> tuple[float, Array]:
        of, weights = self._of, self.parted(x)
        emissions = np.zeros((len(of.tags), of.count), np.float32)
        if of.sparse is not None:
            emissions += of.sparse @ weights.sparse
        if of.dense is not None:
            emissions += of.dense @ weights.dense
        emissions = emissions.astype(np.float64)
        loss, expected, moves = self._sums(emissions, weights.follows)
        rest = (expected - self._actual).astype(np.float32)
        parts: list[Array] = []
        if self._transposed is not None:
            parts.append((self._transposed @ rest).astype(np.float64))
        if of.dense is not None:
            parts.append((of.dense.T @ rest).astype(np.float64))
        parts.append(np.where(self._may, moves - self._moves, 0.0))
        said = float(emissions[np.arange(len(of.tags)), of.tags].sum())
        said += float((self._moves * np.where(self._may, weights.follows, 0.0)).sum())
        gradient = np.concatenate(parts).ravel() + self._penalty * x
        n = len(of.tags)
        return (loss - said + 0.5 * float(self._penalty @ x**2)) / n, gradient / n

    def _sums(self, emissions: Array, follows: Array) -> tuple[float, Array, Array]:
        """Log of the sum over all ways, and how often each tag and each move is to be expected."""
        starts, moves = self._of.order.starts, np.exp(follows)
        top = emissions.max(axis=1, keepdims=True)
        emitted = np.exp(emissions - top)
        forward, backward = np.empty_like(emitted), np.ones_like(emitted)
        scale = np.empty(len(emitted))
        begin = self._may[0].astype(np.float64)
        for at in range(len(starts) - 1):
            here = slice(starts[at], starts[at + 1])
            before = begin if not at else forward[self._next[at - 1]] @ moves
            forward[here] = before * emitted[here]
            scale[here] = np.maximum(forward[here].sum(axis=1), 1e-300)
            forward[here] /= scale[here, None]
        for at in range(len(starts) - 3, -1, -1):
            after = slice(starts[at + 1], starts[at + 2])
            coming = emitted[after] * backward[after] / scale[after, None]
            backward[self._next[at]] = coming @ moves.T
        after = slice(starts[1], starts[-1])
        coming = emitted[after] * backward[after] / scale[after, None]
        together = (forward[self._before].T @ coming) * moves
        return float(np.log(scale).sum() + top.sum()), forward * backward, together
