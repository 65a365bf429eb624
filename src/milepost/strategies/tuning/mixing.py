"""What a step is made of when many tasks tune one trunk: who is drawn, how losses are joined."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from milepost.strategies.tuning.records import Corpus, Drawn
from milepost.strategies.tuning.training import Rows

_MEMORY = 0.9
_PACE = 0.05
_LEAST = 1e-4


@dataclass(frozen=True, slots=True, kw_only=True)
class Mix:
    """How many tasks share a tuning.

    Attributes:
        at_once: Tasks in a step, ≥ 1; fewer where there are not so many.
        cap: Examples of a task that count when it is drawn, ≥ 1: a large task does not drown the
            others.
        exponent: A task is drawn by its capped size to this power, in [0, 1]: 1 in proportion, 0
            all alike.
        weighting: How the losses of a step are weighed. ``uniform``: alike. ``uncertainty``: each
            by the inverse of its running mean, where the learned variances of Kendall et al. 2018
            have their optimum. ``famo``: those that fall slowly more (Liu et al. 2023), from one
            draw of a task to its next, so that no batch is passed twice.
        conflicts: ``project`` takes from a task's gradient what points against another's
            (PCGrad, Yu et al. 2020); ``sum`` adds them up.
    """

    at_once: int = 4
    cap: int = 1000
    exponent: float = 0.5
    weighting: Literal["uniform", "uncertainty", "famo"] = "uniform"
    conflicts: Literal["sum", "project"] = "sum"

    def __post_init__(self) -> None:
        if min(self.at_once, self.cap) < 1 or not 0 <= self.exponent <= 1:
            raise ValueError("at_once and cap must be at least 1, exponent in [0, 1]")

    def shares(self, sizes: Sequence[int]) -> NDArray[np.float64]:
        """Probability ``(t,)`` with which tasks of these sizes, ≥ 1, are drawn."""
        counted = np.minimum(np.asarray(sizes, np.float64), self.cap) ** self.exponent
        return counted / counted.sum()


class Mixture:
    """Draws several tasks a step; see ``milepost.strategies.tuning.training.Mixing``.

    Args:
        mix: How.
        corpora: What is tuned on.
        seed: Of the order in which conflicts are resolved.
    """

    def __init__(self, mix: Mix, corpora: Sequence[Corpus], seed: int) -> None:
        self._mix = mix
        weights = np.array([each.weight for each in corpora])
        shares = mix.shares([max(1, len(each.texts)) for each in corpora]) * weights
        self._shares = shares / shares.sum()
        self._rows = [Rows(each.with_labels()[1]) for each in corpora]
        self._rng = np.random.default_rng(seed)
        self._losses = Weights(mix.weighting, len(corpora))

    def draw(self, step: int, batch: int, rng: np.random.Generator) -> Sequence[Drawn]:
        """Distinct tasks, each with its part of the batch."""
        del step
        count = min(self._mix.at_once, len(self._rows), max(1, batch // 4))
        tasks = rng.choice(len(self._rows), count, replace=False, p=self._shares)
        return [Drawn(int(task), self._rows[task].draw(batch // count, rng)) for task in tasks]

    def backward(
        self, drawn: Sequence[Drawn], losses: Sequence[Any], parameters: Sequence[Any]
    ) -> None:
        """Weigh the losses, and add up their gradients or take out what conflicts."""
        weights = self._losses.of(
            [each.corpus for each in drawn], [float(each.detach()) for each in losses]
        )
        # As a mean, so that the size of a step does not depend on how many tasks are in it.
        weighed = [
            float(weight) / len(losses) * loss for weight, loss in zip(weights, losses, strict=True)
        ]
        if self._mix.conflicts == "sum" or len(losses) == 1:
            joined: Any = sum(weighed)
            joined.backward()
            return
        gradients: list[list[Any]] = []
        for loss in weighed:
            for each in parameters:
                each.grad = None
            loss.backward()
            gradients.append([each.grad for each in parameters])
        for each, gradient in zip(parameters, projected(gradients, self._rng), strict=True):
            each.grad = gradient


class Weights:
    """Weights of tasks by how their losses go; their mean over a step is 1.

    Args:
        kind: As in ``Mix.weighting``.
        tasks: How many tasks there are.
    """

    def __init__(self, kind: str, tasks: int) -> None:
        self._kind = kind
        self._means = np.full(tasks, np.nan)
        self._last = np.full(tasks, np.nan)
        self._scores = np.zeros(tasks)

    def of(self, tasks: Sequence[int], losses: Sequence[float]) -> NDArray[np.float64]:
        """Weights ``(m,)`` of the tasks of a step with these losses, which are taken note of."""
        at, now = np.asarray(tasks), np.maximum(losses, _LEAST)
        if self._kind == "uniform" or not np.isfinite(now).all():
            return np.ones(len(at))
        before = self._means[at]
        self._means[at] = np.where(np.isnan(before), now, _MEMORY * before + (1 - _MEMORY) * now)
        if self._kind == "uncertainty":
            found = 1.0 / self._means[at]
        else:
            self._follow(at, now)
            # FAMO's direction: softmax weights, each divided by its loss.
            found = np.exp(self._scores[at] - self._scores[at].max()) / now
        return found * len(found) / found.sum()

    def _follow(self, at: NDArray[np.int64], now: NDArray[np.float64]) -> None:
        """A step of the scores down the log losses' own decrease (Liu et al. 2023, equation 8)."""
        known = ~np.isnan(self._last[at])
        if known.any():
            rows = at[known]
            fell = np.log(self._last[rows]) - np.log(now[known])
            share = np.exp(self._scores[rows] - self._scores[rows].max())
            share /= share.sum()
            self._scores[rows] -= _PACE * share * (fell - float(share @ fell)) * len(rows)
        self._last[at] = now


def projected(gradients: Sequence[Sequence[Any]], rng: np.random.Generator) -> list[Any]:
    """The sum of the tasks' gradients without what in one points against another (PCGrad).

    Args:
        gradients: Per task its gradient of each parameter; ``None`` where it has none.
        rng: Draws the order in which a task meets the others.
    """
    import torch

    # What a step reads takes part in all of its losses: a parameter without a gradient in one has
    # none in any.
    parts = [[each.flatten() for each in own if each is not None] for own in gradients]
    flat = [torch.cat(own) for own in parts]
    total: Any = torch.zeros_like(flat[0])
    for task, own in enumerate(flat):
        left = own.clone()
        for other in rng.permutation([at for at in range(len(flat)) if at != task]):
            against = flat[int(other)]
            apart = torch.dot(left, against)
            if float(apart) < 0:
                left -= apart / torch.dot(against, against).clamp_min(1e-30) * against
        total += left
    out: list[Any] = []
    begin = 0
    for like in gradients[0]:
        if like is None:
            out.append(None)
            continue
        out.append(total[begin : begin + like.numel()].view_as(like).clone())
        begin += like.numel()
    return out
