"""The best known interval of each measure, written out here: what milepost's is compared with."""

from dataclasses import replace
from functools import cached_property

import numpy as np
from scipy.special import ndtri, stdtrit

from milepost.metrics.inference.intervals import Bounded
from milepost.metrics.scoring.classification import METRICS
from milepost.metrics.scoring.confusion import Cells, Counts
from milepost.metrics.scoring.measures import Measure, Reading, Sample

Z = float(ndtri(0.975))
RESAMPLES = 200


class Row:
    """A measure on a sample, with what several peers need computed once."""

    def __init__(self, measure: Measure, drawn: "Drawn") -> None:
        self.measure, self.sample, self.drawn = measure, drawn.sample, drawn

    @cached_property
    def reading(self) -> Reading:
        """What takes the time; the interval is made of this one."""
        return self.measure.reading(self.sample)

    @cached_property
    def found(self) -> Bounded:
        """Value and bounds."""
        if self.measure.read is None:
            return self.measure.found(self.sample)
        return replace(self.measure, read=lambda _: self.reading).found(self.sample)


class Drawn:
    """A sample and its resamples."""

    def __init__(self, sample: Sample, rng: np.random.Generator) -> None:
        self.sample, self.rng = sample, rng

    @cached_property
    def sums(self) -> Counts:
        """Counts of resamples (Efron 1979), for all metrics of confusion counts."""
        sample = self.sample
        cells = Cells.of(sample.y, sample.answers, sample.probabilities.shape[1])
        return cells.sums(next(cells.resamples(RESAMPLES, self.rng)))


def wilson(right: float, n: float) -> tuple[float, float]:
    """Score interval (Wilson 1927); everything where there are no rows."""
    if n == 0:
        return 0.0, 1.0
    share, z2 = right / n, Z * Z
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = Z * np.sqrt(share * (1 - share) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return middle - half, middle + half


def share(row: Row) -> tuple[float, float]:
    """Wilson's interval of what is a share of rows."""
    found = row.reading.share
    size = round(found.size) if found.size >= 0.5 else 0
    return wilson(found.value * size, size)


def wald(row: Row) -> tuple[float, float]:
    """Normal interval with the jackknife's variance (Tukey 1958)."""
    read = row.reading
    error = Z * read.means.std(ddof=1) / np.sqrt(len(read.means))
    return read.value - error, read.value + error


def student(row: Row) -> tuple[float, float]:
    """Student's t (1908) on the rows."""
    means = row.reading.means
    error = float(stdtrit(len(means) - 1, 0.975)) * means.std(ddof=1) / np.sqrt(len(means))
    return means.mean() - error, means.mean() + error


def bootstrap(row: Row) -> tuple[float, float]:
    """Percentile bootstrap (Efron 1979) of a function of confusion counts."""
    low, high = np.quantile(METRICS[row.measure.name](row.drawn.sums), [0.025, 0.975])
    return float(low), float(high)


def logit(row: Row) -> tuple[float, float]:
    """DeLong's variance on the logit scale (Qin & Hotilovac 2008); nothing known at 0 and 1."""
    read = row.reading
    value = read.value
    if not 0.0 < value < 1.0:
        return value, value
    error = read.means.std(ddof=1) / np.sqrt(len(read.means)) / (value * (1.0 - value))
    middle = np.log(value / (1.0 - value))
    low, high = 1.0 / (1.0 + np.exp(-(middle + np.array([-Z, Z]) * error)))
    return float(low), float(high)


def spearman(row: Row) -> tuple[float, float]:
    """Fisher's z with the variance of Bonett & Wright (2000)."""
    value, n = row.reading.value, len(row.sample.y)
    return _fisher(value, np.sqrt((1.0 + value**2 / 2.0) / (n - 3)))


def kendall(row: Row) -> tuple[float, float]:
    """Fisher's z with the variance of Fieller, Hartley & Pearson (1957)."""
    value, n = row.reading.value, len(row.sample.y)
    return _fisher(value, np.sqrt(0.437 / (n - 4)))


def _fisher(value: float, error: float) -> tuple[float, float]:
    if abs(value) >= 1.0:
        return value, value
    low, high = np.tanh(np.arctanh(value) + np.array([-Z, Z]) * error)
    return float(low), float(high)


PEERS = {
    "accuracy": share,
    "precision": share,
    "recall": share,
    "hit_rate@2": share,
    "f1": wald,
    "balanced_accuracy": bootstrap,
    "macro_f1": bootstrap,
    "micro_f1": bootstrap,
    "weighted_f1": bootstrap,
    "mcc": bootstrap,
    "auroc": logit,
    "auprc": logit,
    "log_loss": student,
    "brier": student,
    "utility": student,
    "mae": student,
    "own": wald,
    "ece": wald,
    "spearman": spearman,
    "kendall": kendall,
}
