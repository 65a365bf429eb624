"""Latency of predictors on real inputs: the encoder once per adapter, every head on its vectors.

Who asks language models is not timed again: its answers took what they took as they were given.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from milepost._base.settings import Settings
from milepost.entities.asked import Answering
from milepost.entities.money import MICRO
from milepost.entities.scorecard import Latency
from milepost.evaluation.latency import Stage, Timing, time_stage, total_latency
from milepost.models.encoder import Encoder
from milepost.predictors.base import Batch, Predictor
from milepost.predictors.reading import batch_for, encoder_for


class Encoders(NamedTuple):
    """One encoder without its cache, and with it."""

    bare: Encoder
    cached: Encoder


def latencies(
    predictors: Mapping[str, Predictor],
    texts: Sequence[str],
    encoders: Encoders,
    settings: Settings,
    answering: Mapping[str, Answering] | None = None,
) -> dict[str, Latency]:
    """Latency of each predictor, input text to label.

    Args:
        predictors: By name.
        texts: Inputs to draw from, at least one.
        encoders: What is timed, and what gives vectors without waiting.
        settings: ``latency_samples`` and ``cpu_usd_per_hour`` are used.
        answering: What the answers of those took that ask language models; these are not timed.
    """
    known = answering or {}
    most = 4 * settings.latency_samples
    texts = texts[:: max(1, len(texts) // most)][:most]
    samples, price = settings.latency_samples, settings.cpu_usd_per_hour
    found: dict[str, Latency] = {}
    timed: dict[str, Timing] = {}
    for name, predictor in predictors.items():
        bare = encoder_for(predictor, encoders.bare)
        encoding: list[Timing] = []
        if bare is not None:
            if bare.digest not in timed:
                timed[bare.digest] = time_stage(_encoding(bare, texts), len(texts), samples)
            encoding = [timed[bare.digest]]
        if name in known:
            found[name] = _as_asked(known[name], encoding, price)
            continue
        batch = batch_for(predictor, texts, encoders.cached)
        head = time_stage(_head(predictor, batch), len(texts), samples)
        found[name] = total_latency([*encoding, head], price)
    return found


def _as_asked(answering: Answering, encoding: Sequence[Timing], price: float) -> Latency:
    """The time of answers that were asked for, with that of the encoder before them."""
    took = total_latency(encoding, price) if encoding else None
    cpu = answering.cpu_seconds_per_1k + (took.cpu_seconds_per_1k if took else 0.0)
    return Latency(
        p50_ms=answering.p50_ms + (took.p50_ms if took else 0.0),
        p95_ms=answering.p95_ms + (took.p95_ms if took else 0.0),
        n=answering.n,
        cpu_seconds_per_1k=cpu,
        cost_per_1k_usd=cpu / 3600.0 * price + answering.micro_usd_per_1k / MICRO,
    )


def _encoding(encoder: Encoder, texts: Sequence[str]) -> Stage:
    encoder.encode(texts[:1])  # the first text may open a graph

    def stage(rows: Sequence[int]) -> object:
        return encoder.encode([texts[i] for i in rows])

    return stage


def _head(predictor: Predictor, batch: Batch) -> Stage:
    def stage(rows: Sequence[int]) -> object:
        vectors = None if batch.vectors is None else batch.vectors[list(rows)]
        return predictor.predict(Batch(tuple(batch.texts[i] for i in rows), vectors))

    return stage
