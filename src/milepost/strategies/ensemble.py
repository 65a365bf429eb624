"""Several candidates answer together, where that is shown to pay for asking all of them.

Members are taken greedily on out-of-fold probabilities, with replacement (Caruana, Niculescu-Mizil,
Crew & Ksikes 2004, "Ensemble Selection from Libraries of Models"). The shares that answer a fold's
rows are chosen on the other folds, so that what is said of the ensemble out of fold owes nothing to
having chosen them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from milepost.entities.kinds import Kind
from milepost.metrics.scoring.calibration import fit_temperature
from milepost.metrics.scoring.classification import log_loss_rows
from milepost.predictors.base import Predictor, softmax
from milepost.predictors.ensemble import MOST_MEMBERS, ensemble_of
from milepost.strategy import Contender, DeclinedError, Problem

SHOWN = 2.0
"""Standard errors of the gain in log loss that must lie above nothing."""

_FLOOR = "majority"
_TINY = 1e-30

Array = NDArray[np.float64]
Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Ensemble:
    """The weighted mean of the probabilities of a few candidates.

    It gives up where the mean is not shown to have a lower log loss out of fold than the best
    member: what answers alone costs less, and is easier to understand. Those that ask language
    models are never members: asking them for some inputs only is what a cascade is for.

    Attributes:
        rounds: How often a member is taken, the same one again or another, 2 to 100; shares are
            multiples of 1 / ``rounds``.
        most_members: Most candidates among them, 2 to 12.
        worth: Share of the log loss that a further candidate must lower to be taken in, 0 to 1.
    """

    name: ClassVar[str] = "ensemble"
    kinds: ClassVar[tuple[Kind, ...]] = ("classify", "match")
    images: ClassVar[bool] = True

    rounds: int = 20
    most_members: int = 4
    worth: float = 0.01

    def __post_init__(self) -> None:
        if not (2 <= self.rounds <= 100 and 2 <= self.most_members <= MOST_MEMBERS):
            raise ValueError(
                f"rounds must be between 2 and 100, most_members between 2 and {MOST_MEMBERS}"
            )
        if not 0.0 <= self.worth < 1.0:
            raise ValueError("worth must lie in [0, 1)")

    def supports(self, problem: Problem) -> str | None:
        """It is made of others, so that the problem alone says nothing."""
        del problem
        return None

    def seconds(self, problem: Problem) -> float:
        """It fits nothing, and enters with those that train because it costs what they all cost."""
        del problem
        return 0.0

    def fit(self, problem: Problem) -> Predictor:
        """Not without others.

        Raises:
            DeclinedError: Always; ``combine`` is what makes one.
        """
        del problem
        raise DeclinedError("An ensemble is made of what other strategies came to.")

    def combine(
        self, problem: Problem, fold_of: Rows, others: Sequence[Contender]
    ) -> tuple[Predictor, NDArray[np.float32]]:
        """See :class:`milepost.strategy.Combining`."""
        able = [e for e in others if e.strategy != _FLOOR and not e.predictor.upstreams]
        if len(able) < 2:
            raise DeclinedError("There are fewer than two candidates that could answer together.")
        y, counted = problem.y, _counted(problem)
        beliefs = np.stack([each.out_of_fold.astype(np.float64) for each in able])
        answers = np.zeros(beliefs.shape[1:], np.float32)
        for fold in range(int(fold_of.max()) + 1):
            rows, outside = fold_of == fold, counted & (fold_of != fold)
            if not outside.any():
                raise DeclinedError("All that is judged lies in one fold: nothing is left.")
            shares = self._shares(beliefs[:, outside], y[outside])
            temperature = fit_temperature(_mean(beliefs[:, outside], shares), y[outside])
            answers[rows] = softmax(_mean(beliefs[:, rows], shares) / temperature)
        problem.progress(0.8)
        shares = self._shares(beliefs[:, counted], y[counted])
        members = [able[at] for at in np.flatnonzero(shares)]
        _check_worth(members, able, y[counted], (answers[counted], beliefs[:, counted]))
        temperature = fit_temperature(_mean(beliefs[:, counted], shares), y[counted])
        predictors = tuple(each.predictor for each in members)
        made = ensemble_of(predictors)(
            labels=problem.labels,
            temperature=temperature,
            members=predictors,
            names=tuple(each.strategy for each in members),
            shares=tuple(float(share) for share in shares[shares > 0]),
        )
        problem.progress(1.0)
        return made, answers

    def _shares(self, beliefs: Array, y: Rows) -> Array:
        """Share of each candidate in the mean, ``(m,)``; most of them 0.

        Args:
            beliefs: ``(m, n, k)`` probabilities.
            y: ``(n,)``.
        """
        own = np.maximum(beliefs[:, np.arange(len(y)), y], _TINY)
        taken = np.zeros(len(own))
        total = np.zeros(len(y))
        loss = np.inf
        for done in range(1, self.rounds + 1):
            losses = -np.log((total + own) / done).mean(axis=1)
            if (taken > 0).sum() >= self.most_members:
                losses[taken == 0] = np.inf
            if done > 1:
                # A new one must be worth its cost; one that is in may be taken again for nothing.
                losses[(taken == 0) & (losses > loss * (1.0 - self.worth))] = np.inf
            best = int(losses.argmin())
            taken[best] += 1
            total += own[best]
            loss = float(losses[best])
        return taken / taken.sum()


def _counted(problem: Problem) -> NDArray[np.bool_]:
    """Which rows are evidence, ``(n,)``."""
    if problem.evidence is None:
        return np.ones(len(problem.y), np.bool_)
    found = np.zeros(len(problem.y), np.bool_)
    found[problem.evidence] = True
    return found


def _mean(beliefs: Array, shares: Array) -> Array:
    """Logarithm of the weighted mean, ``(n, k)``."""
    return np.log(np.maximum(np.tensordot(shares, beliefs, axes=1), _TINY))


def _check_worth(
    members: Sequence[Contender],
    able: Sequence[Contender],
    y: Rows,
    answers: tuple[NDArray[np.float32], Array],
) -> None:
    """Refuse an ensemble that is not shown to be better than the best candidate alone.

    Args:
        members: Who would answer together.
        able: All that could have been taken.
        y: ``(n,)`` labels of the rows that are evidence.
        answers: Of the ensemble ``(n, k)``, and of each candidate ``(m, n, k)``, out of fold.

    Raises:
        DeclinedError: With what is gained, and what it would cost.
    """
    together, alone = answers
    own = np.stack([log_loss_rows(y, each.astype(np.float32)) for each in alone])
    best = int(own.mean(axis=1).argmin())
    if len(members) < 2:
        raise DeclinedError(
            f"Nothing lowers the log loss of {able[best].strategy} by enough to be asked, too."
        )
    gains = own[best] - log_loss_rows(y, together)
    gain, error = float(gains.mean()), float(gains.std(ddof=1) / np.sqrt(len(gains)))
    if gain > SHOWN * error and gain > 0.0:
        return
    names = ", ".join(each.strategy for each in members)
    times = sum(e.p50_ms for e in members) / max(able[best].p50_ms, 1e-9)
    raise DeclinedError(
        f"{names} together are not shown to be better than {able[best].strategy} alone: their log "
        f"loss is {abs(gain):.3f} {'lower' if gain > 0 else 'higher'}, with a standard error of "
        f"{error:.3f}, and an answer would take {times:.1f} times as long."
    )
