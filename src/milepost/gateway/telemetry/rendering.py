"""The numbers of all workers as text in Prometheus' exposition format."""

import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from milepost.gateway.telemetry import series
from milepost.gateway.telemetry.store import Entry, Store, others

CONTENT_TYPE = CONTENT_TYPE_LATEST

_Numbers = list[tuple[Entry, tuple[float, ...]]]
_Sums = dict[str, dict[tuple[str, ...], list[float]]]


def render(store: Store, directory: Path | None) -> bytes:
    """All metrics, summed over the workers; those of each worker with its name.

    What a worker that ended had counted still counts; what it was is no more.

    Args:
        store: The numbers of this process.
        directory: Where those of the others are; ``None`` where there are none.
    """
    counted: _Sums = {}
    are: _Sums = {}
    mine = [(store.worker, True, store.read())]
    theirs = [] if directory is None else others(directory, store.worker)
    for worker, alive, numbers in [*mine, *theirs]:
        _take(counted, are, numbers, worker if alive else None)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Families(counted, are))
    return generate_latest(registry)


def _take(counted: _Sums, are: _Sums, numbers: _Numbers, worker: str | None) -> None:
    """Add the numbers of one worker; ``None`` for one that ended."""
    for entry, values in numbers:
        metric = series.METRICS.get(entry.metric)
        if metric is None:
            continue  # of another version, before an upgrade
        if metric.kind != "gauge":
            sums = counted.setdefault(entry.metric, {}).setdefault(entry.labels, [])
            sums[:] = [a + b for a, b in zip(sums, values, strict=True)] if sums else list(values)
        elif worker is not None and not math.isnan(values[0]):
            labels = (*entry.labels, worker) if metric.each else entry.labels
            known = are.setdefault(entry.metric, {})
            known[labels] = [max((values[0], *known.get(labels, ())))]


class _Families(Collector):
    """What a registry asks: each metric with its samples, in the order of the table."""

    def __init__(self, counted: _Sums, are: _Sums) -> None:
        self._counted = counted
        self._are = are

    def collect(self) -> Iterator[Metric]:
        """All metrics that have a sample."""
        for name, metric in series.METRICS.items():
            found = (self._are if metric.kind == "gauge" else self._counted).get(name)
            if found:
                yield _family(name, metric, found)


def _family(
    name: str, metric: series.Metric, found: Mapping[tuple[str, ...], list[float]]
) -> Metric:
    labels = (*metric.labels, "worker") if metric.each else metric.labels
    if metric.kind == "histogram":
        histogram = HistogramMetricFamily(name, metric.help, labels=labels)
        for values, numbers in sorted(found.items()):
            histogram.add_metric(values, list(_buckets(metric.bounds, numbers)), numbers[-1])
        return histogram
    kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    family = kind(name, metric.help, labels=labels)
    for values, numbers in sorted(found.items()):
        family.add_metric(values, numbers[0])
    return family


def _buckets(bounds: Iterable[float], numbers: list[float]) -> Iterator[tuple[str, float]]:
    """Bounds with the number of values up to each, as Prometheus wants them."""
    total = 0.0
    for bound, number in zip([*map(str, bounds), "+Inf"], numbers[:-1], strict=True):
        total += number
        yield bound, total
