"""Latency of predictors on real inputs: the encoder timed once, every head on its vectors."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from milepost._base.settings import Settings
from milepost.entities.scorecard import Latency
from milepost.evaluation.latency import Stage, Timing, time_stage, total_latency
from milepost.models.encoder import Encoder
from milepost.predictors.base import Batch, Predictor


class Encoders(NamedTuple):
    """One encoder without its cache, and with it."""

    bare: Encoder
    cached: Encoder


def latencies(
    predictors: Mapping[str, Predictor],
    texts: Sequence[str],
    encoders: Encoders,
    settings: Settings,
) -> dict[str, Latency]:
    """Latency of each predictor, input text to label.

    Args:
        predictors: By name.
        texts: Inputs to draw from, at least one.
        encoders: What is timed, and what gives vectors without waiting.
        settings: ``latency_samples`` and ``cpu_usd_per_hour`` are used.
    """
    most = 4 * settings.latency_samples
    texts = texts[:: max(1, len(texts) // most)][:most]
    samples, price = settings.latency_samples, settings.cpu_usd_per_hour
    encoding: list[Timing] = []
    vectors = np.zeros((len(texts), 0), np.float32)
    if any(predictor.uses == "vectors" for predictor in predictors.values()):
        encoding = [
            time_stage(
                lambda rows: encoders.bare.encode([texts[i] for i in rows]), len(texts), samples
            )
        ]
        vectors = encoders.cached.encode(texts)
    found: dict[str, Latency] = {}
    for name, predictor in predictors.items():
        head = time_stage(_head(predictor, texts, vectors), len(texts), samples)
        stages = [*encoding, head] if predictor.uses == "vectors" else [head]
        found[name] = total_latency(stages, price)
    return found


def _head(predictor: Predictor, texts: Sequence[str], vectors: NDArray[np.float32]) -> Stage:
    def stage(rows: Sequence[int]) -> object:
        given = vectors[list(rows)] if predictor.uses == "vectors" else None
        return predictor.predict(Batch(tuple(texts[i] for i in rows), given))

    return stage
