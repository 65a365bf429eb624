"""Time of single predictions and CPU cost of batches, measured on this machine."""

import time
from collections.abc import Callable, Sequence

import numpy as np

from milepost._base.clock import Deadline
from milepost.entities.scorecard import Latency

_SINGLE_SECONDS = 5.0
_BATCH_SECONDS = 5.0
_BATCH = 64
_BATCHED_TEXTS = 512
_WARM_UP = 2


def measure_latency(
    predict_one: Callable[[str], object],
    predict_many: Callable[[Sequence[str]], object],
    texts: Sequence[str],
    samples: int,
    cpu_usd_per_hour: float,
) -> Latency:
    """Measure p50 and p95 of single predictions and CPU seconds per thousand in batches.

    Inputs are taken evenly from ``texts``, so that their lengths are those of the data. Each part
    stops after about five seconds, but never before one measurement.

    Args:
        predict_one: Answers one text, encoder included, without any cache.
        predict_many: Answers a batch of texts, encoder included, without any cache.
        texts: Inputs to draw from, at least one.
        samples: Single predictions to time, at least 1.
        cpu_usd_per_hour: Price of a CPU-hour in USD.

    Raises:
        ValueError: If there is no text or no sample is asked for.
    """
    if not texts or samples < 1:
        raise ValueError("latency needs at least one text and one sample")
    drawn = _spread(texts, samples)
    for text in drawn[:_WARM_UP]:
        predict_one(text)
    deadline = Deadline.after(_SINGLE_SECONDS)
    wall: list[float] = []
    for text in drawn:
        start = time.perf_counter()
        predict_one(text)
        wall.append(time.perf_counter() - start)
        if deadline.passed:
            break
    batched = _spread(texts, min(_BATCHED_TEXTS, len(texts)))
    deadline = Deadline.after(_BATCH_SECONDS)
    answered = 0
    start = time.process_time()
    for first in range(0, len(batched), _BATCH):
        batch = batched[first : first + _BATCH]
        predict_many(batch)
        answered += len(batch)
        if deadline.passed:
            break
    seconds_per_1k = (time.process_time() - start) / answered * 1000.0
    p50, p95 = np.quantile(np.array(wall) * 1000.0, [0.5, 0.95])
    return Latency(
        p50_ms=float(p50),
        p95_ms=float(p95),
        n=len(wall),
        cpu_seconds_per_1k=seconds_per_1k,
        cost_per_1k_usd=seconds_per_1k / 3600.0 * cpu_usd_per_hour,
    )


def _spread(texts: Sequence[str], count: int) -> list[str]:
    """``count`` texts at even distances; repeats where there are fewer."""
    return [texts[(i * len(texts)) // count % len(texts)] for i in range(count)]
