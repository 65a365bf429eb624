"""Which of several candidates to take, and what it is worth when it was chosen on the same rows.

**Choosing.** On few rows the order of metrics is mostly noise. So whoever is believed before there
is evidence is taken unless another one is shown to be better. A candidate is out where its metric
is more than ``APART`` paired standard errors below the best one's, or where another one has at
least its metric and a log loss, which uses every probability, that is lower by as many. Of those
left the most trusted is taken, and among equally trusted ones that with the lowest log loss. It is
the one-standard-error rule of Breiman et al. (1984) with trust in the place of simplicity and the
usual two standard errors in that of one.

**Worth.** The best of several looks better than it is. The correction follows bootstrap
bias-corrected cross-validation (BBC-CV; Tsamardinos, Greasidou & Borboudakis 2018): the choice is
repeated on resamples of the out-of-fold predictions, and the chosen one is judged on what it was
not chosen by. Where BBC-CV judges on the rows left out of the resample, about a third of all, this
module uses the rows' exact counterweight: what a resample adds to a candidate's score, the rows
left out take away. The expectation is the same for a mean of rows; there is less noise, and metrics
such as macro F1 are never computed on a third of the rows, where rare labels are missing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from milepost.entities.estimate import Estimate
from milepost.metrics.inference.intervals import Sampling, at_value, estimate_of, measure
from milepost.metrics.scoring.classification import METRICS
from milepost.metrics.scoring.confusion import Cells
from milepost.metrics.scoring.measures import Measure, Sample

APART = 2.0
"""Paired standard errors by which the best must lead another one to be shown to be better."""

_CHUNK = 4_000_000


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Ties:
    """What decides among ``m`` candidates that the metric cannot tell apart.

    Attributes:
        losses: ``(m, n)`` out-of-fold log losses; the lowest mean wins among the equally trusted.
        trust: ``(m,) int64``, rank of each before there is evidence, 0 for the most trusted;
            ``None`` trusts all alike.
    """

    losses: NDArray[np.float64]
    trust: NDArray[np.int64] | None = None

    @property
    def ranks(self) -> NDArray[np.int64]:
        """Rank of each, ``(m,)``."""
        return np.zeros(len(self.losses), np.int64) if self.trust is None else self.trust

    @property
    def near(self) -> NDArray[np.float64]:
        """Paired standard error of the difference of each two mean losses, ``(m, m)``."""
        apart = self.losses[:, None, :] - self.losses[None, :, :]
        return apart.std(axis=2) / np.sqrt(self.losses.shape[1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The chosen candidate and what it is worth.

    Attributes:
        chosen: Row of the chosen candidate; the first one on ties.
        naive: Its metric on the predictions that it was chosen on.
        estimate: The metric with the optimism removed, and its interval.
        optimism: ``naive`` minus the corrected value, at least 0.
    """

    chosen: int
    naive: float
    estimate: Estimate
    optimism: float


def best_of(
    metric: str,
    y: NDArray[np.int64],
    answers: NDArray[np.int64],
    k: int,
    sampling: Sampling | None = None,
    ties: Ties | None = None,
) -> Selection:
    """Choose a candidate and remove the optimism of having chosen it.

    Args:
        metric: A key of ``classification.METRICS``.
        y: ``(n,)`` actual labels in ``[-1, k)``.
        answers: ``(m, n)`` out-of-fold answers of the candidates, in ``[-1, k)``.
        k: Number of labels.
        sampling: Confidence, resamples and seed; the defaults when ``None``.
        ties: What decides near ties; ``None`` chooses by the metric alone.

    Raises:
        KeyError: If there is no such metric.
        ValueError: If shapes differ, nothing is given or a label is out of range.
    """
    sampling = sampling or Sampling()
    answers = np.atleast_2d(answers)
    cells = Cells.of(y, answers, k)
    found = np.array([METRICS[metric](cells.totals(i)) for i in range(len(answers))])
    if len(found) == 1:
        measured = measure(metric, cells)
        value = float(found[0])
        only = at_value(measured, value, measured.method).estimate(
            sampling.confidence, sampling.one_sided
        )
        return Selection(chosen=0, naive=value, estimate=only, optimism=0.0)
    by_cell = None if ties is None else cells.means(y, answers, ties.losses)
    noise, drawn_losses = _resampled(metric, cells, by_cell, sampling)
    near = (noise[:, :, None] - noise[:, None, :]).std(axis=0)
    mean_losses = None if ties is None else ties.losses.mean(axis=1)[None, :]
    chosen = int(_choose(found[None, :], mean_losses, near, ties)[0])
    naive = float(found[chosen])
    winner = _choose(found + noise, drawn_losses, near, ties)
    rows = np.arange(len(winner))
    value = min(naive, float((found[winner] - noise[rows, winner]).mean()))
    measured = measure(metric, Cells.of(y, answers[chosen], k))
    corrected = at_value(measured, value, measured.method + "_bbc")
    return Selection(
        chosen=chosen,
        naive=naive,
        estimate=corrected.estimate(sampling.confidence, sampling.one_sided),
        optimism=naive - value,
    )


def best_by(
    measure: Measure,
    samples: Sequence[Sample],
    sampling: Sampling,
    ties: Ties,
) -> Selection:
    """As ``best_of`` for any measure, and for rows in units.

    What a resample adds to a candidate is taken to first order, from the draws of its measure.

    Args:
        measure: The measure.
        samples: The same ``n`` rows with the out-of-fold probabilities of each candidate.
        sampling: Confidence, resamples and seed.
        ties: What decides near ties.
    """
    readings = [measure.reading(sample).by_unit(sample.units) for sample in samples]
    found = measure.sign * np.array([reading.value for reading in readings])
    draws = measure.sign * np.stack([reading.means for reading in readings])
    sizes = readings[0].sizes
    noise = np.zeros((1, len(readings)))
    if len(readings) > 1:
        noise = _first_order(draws, sizes, sampling)
    near = (noise[:, :, None] - noise[:, None, :]).std(axis=0)
    mean_losses = ties.losses.mean(axis=1)[None, :]
    chosen = int(_choose(found[None, :], mean_losses, near, ties)[0])
    winner = _choose(found + noise, np.repeat(mean_losses, len(noise), axis=0), near, ties)
    corrected = float((found[winner] - noise[np.arange(len(winner)), winner]).mean())
    optimism = max(0.0, float(found[chosen]) - corrected)
    naive = readings[chosen].value
    plain = estimate_of(measure.found(samples[chosen]), sampling.confidence, sampling.one_sided)
    return Selection(
        chosen=chosen,
        naive=naive,
        estimate=_moved(plain, -measure.sign * optimism, measure),
        optimism=optimism,
    )


def _moved(plain: Estimate, change: float, measure: Measure) -> Estimate:
    """The estimate around a corrected value, within the range of the measure."""

    def at(value: float) -> float:
        return min(max(value + change, measure.low), measure.high)

    return Estimate(
        value=at(plain.value),
        low=at(plain.low),
        high=at(plain.high),
        n=plain.n,
        method=plain.method + "_bbc",
        at_least=at(plain.at_least),
        at_most=at(plain.at_most),
    )


def _first_order(
    draws: NDArray[np.float64], sizes: NDArray[np.float64] | None, sampling: Sampling
) -> NDArray[np.float64]:
    """What each resample adds to each candidate, ``(r, m)``, centred."""
    rng = np.random.default_rng(sampling.seed)
    u = draws.shape[1]
    weights = np.ones(u) if sizes is None else sizes
    apart = (draws - np.average(draws, axis=1, weights=weights)[:, None]) * weights / weights.sum()
    step = max(1, _CHUNK // u)
    drawn: list[NDArray[np.float64]] = []
    for start in range(0, sampling.resamples, step):
        size = min(step, sampling.resamples - start)
        drawn.append(rng.multinomial(u, np.full(u, 1.0 / u), size=size) @ apart.T)
    noise = np.concatenate(drawn)
    return noise - noise.mean(axis=0)


def _resampled(
    metric: str, cells: Cells, losses: NDArray[np.float64] | None, sampling: Sampling
) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
    """What each resample adds to each metric, and the mean losses in it; ``(r, m)`` both."""
    rng = np.random.default_rng(sampling.seed)
    drawn: list[NDArray[np.float64]] = []
    lost: list[NDArray[np.float64]] = []
    for weights in cells.resamples(sampling.resamples, rng):
        scores = [METRICS[metric](cells.sums(weights, i)) for i in range(len(cells.answers))]
        drawn.append(np.stack(scores, axis=1))
        if losses is not None:
            lost.append(weights @ losses.T / cells.n)
    values = np.concatenate(drawn)
    # A resample misses rare labels, which lowers some metrics for every candidate alike. That is
    # no optimism of choosing, so each candidate's noise is centred on its own mean.
    return values - values.mean(axis=0), np.concatenate(lost) if lost else None


def _choose(
    values: NDArray[np.float64],
    losses: NDArray[np.float64] | None,
    near: NDArray[np.float64],
    ties: Ties | None,
) -> NDArray[np.int64]:
    """Per row of ``(r, m)``: of those not shown to be worse the most trusted, then the lowest loss.

    The best one is only ever out for one with the same metric, so that somebody is always left.
    """
    best = values.argmax(axis=1)
    if losses is None or ties is None:
        return best
    behind = values[np.arange(len(values)), best][:, None] - values
    left = behind <= APART * near[best]
    loss_near = ties.near
    for other in range(values.shape[1]):
        lower = losses - losses[:, [other]] > APART * loss_near[other]
        left &= ~(lower & (values[:, [other]] >= values))
    trusted = np.where(left, ties.ranks, np.iinfo(np.int64).max)
    left &= trusted == trusted.min(axis=1, keepdims=True)
    return np.where(left, losses, np.inf).argmin(axis=1)
