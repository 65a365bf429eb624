"""Every metric that a server has: its name, labels, buckets and meaning. Rows, no code."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

SECONDS = (
    *(0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075),
    *(0.1, 0.2, 0.5, 1.0, 2.5, 10.0),
)
"""Bounds of the buckets of every time, in seconds: fine where an answer takes a few ms."""

CALL_SECONDS = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0),
)
"""The same where an answer takes seconds."""

CALL_SECONDS_SUM = len(CALL_SECONDS) + 1

TEXTS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0)
"""Bounds of the buckets of the number of texts in a batch or a request."""


SECONDS_SUM = len(SECONDS) + 1
TEXTS_SUM = len(TEXTS) + 1
"""Where the sum of a histogram stands, after the bucket of what is above all bounds."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric.

    Attributes:
        kind: ``counter`` only grows; ``gauge`` is as it is now; ``histogram`` counts by size.
        help: What it says.
        labels: Names of its labels.
        bounds: Upper bounds of the buckets of a histogram, ascending.
        each: Whether a gauge is told for each worker; else it is the same for all, and the largest
            is told.
    """

    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()
    each: bool = False


METRICS: Mapping[str, Metric] = {
    "milepost_http_requests_total": Metric(
        "counter", "HTTP requests that were answered.", ("method", "route", "status")
    ),
    "milepost_http_request_seconds": Metric(
        "histogram", "Time from the first byte of a request to its answer.", ("route",), SECONDS
    ),
    "milepost_http_requests_in_progress": Metric(
        "gauge", "HTTP requests that are being answered.", each=True
    ),
    "milepost_shed_requests_total": Metric(
        "counter",
        "Requests that were turned away: 'limit' (429, a limit of the asker's) or 'full' (503).",
        ("reason",),
    ),
    "milepost_requests_total": Metric(
        "counter",
        "Questions to a task by any protocol; status is 'ok' or the kind of error, release is "
        "empty where none answered.",
        ("task", "release", "protocol", "status"),
    ),
    "milepost_request_seconds": Metric(
        "histogram", "Time from a question to a task to its answers.", ("task",), SECONDS
    ),
    "milepost_request_inputs": Metric("histogram", "Inputs of a question.", ("task",), TEXTS),
    "milepost_answers_total": Metric(
        "counter",
        "Answered inputs; outcome is 'answered', 'abstained', 'blocked' or 'routed'.",
        ("task", "release", "channel", "outcome"),
    ),
    "milepost_cached_answers_total": Metric(
        "counter", "Answered inputs that came from the cache.", ("task",)
    ),
    "milepost_tokens_total": Metric(
        "counter", "Encoder tokens that the answers of a task took.", ("task",)
    ),
    "milepost_cost_usd_total": Metric(
        "counter", "What the answers of a task cost, in USD.", ("task",)
    ),
    "milepost_guard_trips_total": Metric(
        "counter", "Inputs at which a guard tripped.", ("task", "guard", "action")
    ),
    "milepost_upstream_calls_total": Metric(
        "counter",
        "Calls of language models; purpose is 'pass' where a client asked one itself, else "
        "'serve'; outcome is 'ok' or how it failed, cached is 'exact', 'similar' or empty.",
        ("upstream", "purpose", "outcome", "cached"),
    ),
    "milepost_upstream_call_seconds": Metric(
        "histogram", "Time from a call of a language model to its end.", ("upstream",), CALL_SECONDS
    ),
    "milepost_upstream_first_seconds": Metric(
        "histogram",
        "Time from a streamed call to its first piece.",
        ("upstream",),
        CALL_SECONDS,
    ),
    "milepost_upstream_tokens_total": Metric(
        "counter",
        "Tokens of language models; kind is 'input', 'cached_input', 'cache_write', 'output' or "
        "'reasoning', of which two are part of the first and the last of the fourth.",
        ("upstream", "kind"),
    ),
    "milepost_upstream_micro_usd_total": Metric(
        "counter", "What answered calls of language models cost, in micro-USD.", ("upstream",)
    ),
    "milepost_feedback_total": Metric(
        "counter", "Feedback that was kept for the first time.", ("task",)
    ),
    "milepost_batches_total": Metric(
        "counter", "Batches of the engine; encoder is the variant, 'text' for none.", ("encoder",)
    ),
    "milepost_batch_texts": Metric("histogram", "Texts of a batch.", ("encoder",), TEXTS),
    "milepost_batch_seconds": Metric(
        "histogram", "Time from forming a batch to its answers.", ("encoder",), SECONDS
    ),
    "milepost_batch_wait_seconds": Metric(
        "histogram", "Longest time that a text waited for its batch.", ("encoder",), SECONDS
    ),
    "milepost_encoded_tokens_total": Metric(
        "counter", "Tokens that were encoded, without padding.", ("encoder",)
    ),
    "milepost_cache_hits_total": Metric("counter", "Texts that the engine's cache knew."),
    "milepost_cache_misses_total": Metric("counter", "Texts that the engine's cache did not know."),
    "milepost_queue_texts": Metric("gauge", "Texts that wait for a batch.", each=True),
    "milepost_queue_tokens": Metric("gauge", "Tokens of the texts that wait.", each=True),
    "milepost_running_texts": Metric("gauge", "Texts that are being encoded.", each=True),
    "milepost_in_flight_requests": Metric("gauge", "Questions that are being answered.", each=True),
    "milepost_lost_traces": Metric(
        "gauge", "Answers of a worker that have no trace though they should.", each=True
    ),
    "milepost_shadow_answers": Metric(
        "gauge",
        "Inputs that shadow releases of a worker were asked about; outcome is 'answered', "
        "'failed' or 'skipped'.",
        ("outcome",),
        each=True,
    ),
    "milepost_tasks": Metric("gauge", "Tasks that can answer."),
    "milepost_task_problems": Metric("gauge", "Tasks of which something cannot be loaded."),
    "milepost_channel_release": Metric(
        "gauge", "Number of the release in a channel.", ("task", "channel")
    ),
    "milepost_routing_changes": Metric(
        "gauge", "Times that a worker has followed a change of channels or tasks.", each=True
    ),
    "milepost_ledger_lost_seconds": Metric(
        "gauge", "Seconds since the ledger could last be read; 0 while it can be.", each=True
    ),
    "milepost_ready": Metric("gauge", "Whether a worker takes traffic.", each=True),
    "milepost_worker_memory_bytes": Metric("gauge", "Resident memory of a worker.", each=True),
    "milepost_worker_cpu_seconds": Metric("gauge", "Processor time of a worker.", each=True),
    "milepost_dropped_series": Metric(
        "gauge", "Combinations of labels that a worker could not count.", each=True
    ),
}
"""By name. What only a process knows by looking is a gauge even where it grows."""

MOST_SERIES = 6000
"""Combinations of labels of one metric that are told apart; further ones count as ``other``."""

OTHER = "other"
