"""Counts what a server does. The few calls that the rest of it makes are here."""

import asyncio
import math
import os
import resource
import threading
import time
from bisect import bisect_left
from pathlib import Path
from typing import NamedTuple

from milepost.gateway.telemetry.series import (
    METRICS,
    MOST_SERIES,
    OTHER,
    SECONDS,
    SECONDS_SUM,
    TEXTS,
    TEXTS_SUM,
)
from milepost.gateway.telemetry.spans import Spans, open_spans
from milepost.gateway.telemetry.store import Key, Store
from milepost.serving.asking import Answering
from milepost.serving.language import Languages
from milepost.serving.parts import State

SAMPLED_EVERY = 1.0
"""Seconds between two looks at what is told to other workers and changes by itself."""


_OF_BATCH = (
    "milepost_batches_total",
    "milepost_encoded_tokens_total",
    "milepost_batch_texts",
    "milepost_batch_seconds",
    "milepost_batch_wait_seconds",
)


class _BatchPlaces(NamedTuple):
    """Where the numbers of the batches of one encoder are, in the order of ``_OF_BATCH``."""

    batches: int
    tokens: int
    texts: int
    seconds: int
    waited: int


class Telemetry:
    """The metrics and spans of one process.

    ``batch`` and ``cache`` are called from engine threads, everything else on one event loop.

    Args:
        directory: Folder that all workers of a server share, so that each can tell of all;
            ``None`` for a process on its own.
        spans: Spans for OpenTelemetry; ``None`` for those that the environment asks for.
    """

    def __init__(self, directory: Path | None = None, spans: Spans | None = None) -> None:
        self.spans = spans if spans is not None else open_spans()
        self._directory = directory
        self._store = Store(directory, f"{os.getpid()}-{time.monotonic_ns()}")
        self._places: dict[Key, int] = {}
        self._of_batches = threading.Lock()
        self._of_cache = threading.Lock()
        self._http: dict[tuple[str, str, int], tuple[int, int]] = {}
        self._batches: dict[str, _BatchPlaces] = {}
        self._series: dict[str, int] = {}
        self._in_progress = 0
        self._service: Answering | None = None
        self._channels: set[tuple[str, ...]] = set()
        self._sampling: asyncio.Task[None] | None = None
        self._hits = self.place("milepost_cache_hits_total")
        self._misses = self.place("milepost_cache_misses_total")

    def watch(self, service: Answering) -> Answering:
        """The service, counted: give this to whoever asks instead."""
        from milepost.gateway.telemetry.watched import Watched

        self._service = service
        return Watched(service, self)

    def watch_languages(self, languages: Languages) -> Languages:
        """Language models, counted whoever asks them: give these to the service instead."""
        from milepost.gateway.telemetry.languages import WatchedLanguages

        return WatchedLanguages(languages, self)

    def request_started(self) -> None:
        """An HTTP request has come in."""
        self._in_progress += 1
        if self._sampling is None and self._directory is not None:
            self._sampling = asyncio.get_running_loop().create_task(self._sample_always())

    def request_finished(self, route: str, method: str, status: int, seconds: float) -> None:
        """An HTTP request was answered.

        Args:
            route: Template of its path, such as ``/v1/tasks/{task}/predict``; empty for none.
            method: HTTP method; that of a path that no route has counts as ``other``.
            status: HTTP status.
            seconds: Since it came in.
        """
        self._in_progress -= 1
        key = (route, method if route else OTHER, status)
        flow = self._http.get(key)
        if flow is None:
            labels = (key[1], route, str(status))
            flow = self._http[key] = (
                self.place("milepost_http_requests_total", labels),
                self.place("milepost_http_request_seconds", (route,)),
            )
        bucket = bisect_left(SECONDS, seconds)
        self._store.add((flow[0], 1.0), (flow[1] + bucket, 1.0), (flow[1] + SECONDS_SUM, seconds))
        if status in (429, 503):
            self.count("milepost_shed_requests_total", ("limit" if status == 429 else "full",))

    def batch(self, encoder: str, texts: int, tokens: int, seconds: float, waited: float) -> None:
        """A batch was answered; see ``milepost.serving.engine.observing.Observer``."""
        flow = self._batches.get(encoder)
        if flow is None:
            flow = self._batches[encoder] = _BatchPlaces(
                *(self.place(metric, (encoder,)) for metric in _OF_BATCH)
            )
        changes = (
            (flow.batches, 1.0),
            (flow.tokens, tokens),
            (flow.texts + bisect_left(TEXTS, texts), 1.0),
            (flow.texts + TEXTS_SUM, texts),
            (flow.seconds + bisect_left(SECONDS, seconds), 1.0),
            (flow.seconds + SECONDS_SUM, seconds),
            (flow.waited + bisect_left(SECONDS, waited), 1.0),
            (flow.waited + SECONDS_SUM, waited),
        )
        with self._of_batches:
            self._store.add(*changes)
        if self.spans is not None:
            self.spans.batch(encoder, texts, tokens, seconds, waited)

    def cache(self, hits: int, misses: int) -> None:
        """So many texts of a submission were in the engine's cache, so many were not."""
        with self._of_cache:
            self._store.add((self._hits, hits), (self._misses, misses))

    def count(self, metric: str, labels: tuple[str, ...], value: float = 1.0) -> None:
        """Add to a counter."""
        self._store.add((self.place(metric, labels), value))

    def add(self, *changes: tuple[int, float]) -> None:
        """Add to numbers whose places are known."""
        self._store.add(*changes)

    async def render(self) -> tuple[bytes, str]:
        """All metrics of all workers as Prometheus reads them, and their media type."""
        from milepost.gateway.telemetry.rendering import CONTENT_TYPE, render

        self._sample()
        # A thousand tasks are a megabyte of text, which the loop need not wait for.
        return await asyncio.to_thread(render, self._store, self._directory), CONTENT_TYPE

    def close(self) -> None:
        """Send the spans that wait, and let go of the numbers."""
        if self._sampling is not None:
            self._sampling.cancel()
        if self.spans is not None:
            self.spans.close()
        self._store.close()

    def place(self, metric: str, labels: tuple[str, ...] = ()) -> int:
        """Where the numbers of a series are: one, or the buckets of a histogram and its sum."""
        key = Key(metric, labels)
        if (known := self._places.get(key)) is not None:
            return known
        bounds = METRICS[metric].bounds
        size = len(bounds) + 2 if bounds else 1
        if self._series.get(metric, 0) >= MOST_SERIES:
            # Not kept in ``_places``, which would grow with whatever somebody makes up.
            return self._store.place(Key(metric, (OTHER,) * len(labels)), size)
        self._series[metric] = self._series.get(metric, 0) + 1
        place = self._places[key] = self._store.place(key, size)
        return place

    def _set(self, metric: str, value: float, labels: tuple[str, ...] = ()) -> None:
        self._store.put(self.place(metric, labels), value)

    async def _sample_always(self) -> None:
        while True:
            self._sample()
            await asyncio.sleep(SAMPLED_EVERY)

    def _sample(self) -> None:
        """Look at everything that is as it is, and is not counted as it happens."""
        self._set("milepost_http_requests_in_progress", self._in_progress)
        self._set("milepost_dropped_series", self._store.dropped)
        used = resource.getrusage(resource.RUSAGE_SELF)
        self._set("milepost_worker_cpu_seconds", used.ru_utime + used.ru_stime)
        self._set("milepost_worker_memory_bytes", resident_bytes())
        service = self._service
        if service is None:
            return
        self._set("milepost_ready", service.unready() is None)
        self._sample_channels(service)
        state = getattr(service, "state", None)
        if state is not None:
            self._sample_state(state())

    def _sample_channels(self, service: Answering) -> None:
        now: dict[tuple[str, ...], int] = {}
        for task in service.tasks():
            now[task.name, "production"] = task.production
            if task.canary is not None:
                now[task.name, "canary"] = task.canary
            if task.shadow is not None:
                now[task.name, "shadow"] = task.shadow
        for labels in self._channels - set(now):
            self._set("milepost_channel_release", math.nan, labels)
        for labels, release in now.items():
            self._set("milepost_channel_release", release, labels)
        self._channels = set(now)
        self._set("milepost_tasks", sum(labels[1] == "production" for labels in now))

    def _sample_state(self, state: State) -> None:
        self._set("milepost_queue_texts", state.queued_texts)
        self._set("milepost_queue_tokens", state.queued_tokens)
        self._set("milepost_running_texts", state.running)
        self._set("milepost_in_flight_requests", state.in_flight)
        self._set("milepost_lost_traces", state.traces_lost)
        self._set("milepost_task_problems", len(state.loading.problems))
        self._set("milepost_routing_changes", state.loading.swaps)
        self._set("milepost_ledger_lost_seconds", state.loading.lost)
        shadows = state.shadows
        for outcome in ("answered", "agreed", "failed", "skipped"):
            self._set("milepost_shadow_answers", getattr(shadows, outcome), (outcome,))


def resident_bytes() -> float:
    """Memory of this process that is in RAM, in bytes; 0 where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return 0.0
    return float(pages * resource.getpagesize())
