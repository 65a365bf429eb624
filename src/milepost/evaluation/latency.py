"""Time of single predictions and CPU cost of batches, measured on this machine.

What several candidates share, such as the encoder, is timed once as a stage of its own; the
stages of a prediction are timed on the same inputs and added up input by input.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from milepost._base.clock import Deadline
from milepost.entities.scorecard import Latency

_SINGLE_SECONDS = 3.0
_BATCH_SECONDS = 3.0
_BATCH = 64
_BATCHED = 128
_WARM_UP = 2

Stage = Callable[[Sequence[int]], object]
"""Runs one stage of the prediction of the inputs at these rows, without any cache."""


@dataclass(frozen=True, slots=True, eq=False)
class Timing:
    """What one stage of a prediction takes.

    Attributes:
        single: ``(n,) float64`` wall seconds of a batch of one, input by input.
        cpu_per_input: Process CPU seconds per input in batches.
    """

    single: NDArray[np.float64]
    cpu_per_input: float


def time_stage(stage: Stage, inputs: int, samples: int) -> Timing:
    """Time a stage on inputs drawn evenly, so that their lengths are those of the data.

    Each part stops after about three seconds, but never before one measurement.

    Args:
        stage: What to time.
        inputs: How many inputs there are; at least 1.
        samples: Single predictions to time, at least 1.

    Raises:
        ValueError: If there is no input or no sample is asked for.
    """
    if inputs < 1 or samples < 1:
        raise ValueError("latency needs at least one text and one sample")
    drawn = _spread(inputs, samples)
    for row in drawn[:_WARM_UP]:
        stage([row])
    deadline = Deadline.after(_SINGLE_SECONDS)
    wall: list[float] = []
    for row in drawn:
        start = time.perf_counter()
        stage([row])
        wall.append(time.perf_counter() - start)
        if deadline.passed:
            break
    batched = _spread(inputs, min(_BATCHED, inputs))
    deadline = Deadline.after(_BATCH_SECONDS)
    answered = 0
    start = time.process_time()
    for first in range(0, len(batched), _BATCH):
        batch = batched[first : first + _BATCH]
        stage(batch)
        answered += len(batch)
        if deadline.passed:
            break
    return Timing(np.array(wall), (time.process_time() - start) / answered)


def total_latency(stages: Sequence[Timing], cpu_usd_per_hour: float) -> Latency:
    """Latency and cost of a prediction that runs these stages one after the other.

    Args:
        stages: At least one, timed on the same inputs.
        cpu_usd_per_hour: Price of a CPU-hour in USD.
    """
    n = min(len(stage.single) for stage in stages)
    wall = np.sum([stage.single[:n] for stage in stages], axis=0) * 1000.0
    p50, p95 = np.quantile(wall, [0.5, 0.95])
    seconds_per_1k = sum(stage.cpu_per_input for stage in stages) * 1000.0
    return Latency(
        p50_ms=float(p50),
        p95_ms=float(p95),
        n=n,
        cpu_seconds_per_1k=seconds_per_1k,
        cost_per_1k_usd=seconds_per_1k / 3600.0 * cpu_usd_per_hour,
    )


def _spread(inputs: int, count: int) -> list[int]:
    """``count`` rows at even distances; repeats where there are fewer."""
    return [(i * inputs) // count % inputs for i in range(count)]
