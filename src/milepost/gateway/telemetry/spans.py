"""Spans for OpenTelemetry, where the environment asks for them; else nothing is imported.

``OTEL_EXPORTER_OTLP_ENDPOINT`` or ``OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`` says where they go; the
other ``OTEL_*`` variables mean what OpenTelemetry's SDK says, such as ``OTEL_TRACES_SAMPLER``.
"""

import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from milepost.entities.errors import WorkspaceError
from milepost.entities.serving import Answers, Ask, RecordingRule
from milepost.gateway.telemetry import names
from milepost.serving.asking import Embedded

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor
    from opentelemetry.trace import Span

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
MOST_INPUTS = 20
"""Inputs of one request whose text stands in its span."""
MOST_CHARS = 2000
"""Characters of an input that stand in a span."""


class Opened:
    """The span of one request; ended by exactly one of its methods."""

    def __init__(self, span: "Span") -> None:
        self._span = span

    def answered(self, ask: Ask, answers: Answers, rule: RecordingRule) -> None:
        """The request was answered; its texts are told only where the rule keeps them in full."""
        span = self._span
        if span.is_recording():
            model = f"milepost/{answers.task}#{answers.release}"
            told: dict[str, Any] = {
                names.GEN_AI_RESPONSE_MODEL: model,
                names.DECISION_RESPONSE_MODEL: model,
                names.GEN_AI_RESPONSE_ID: answers.predictions[0].trace_id,
                names.GEN_AI_INPUT_TOKENS: answers.usage.tokens,
                names.DECISION_INPUT_TOKENS: answers.usage.tokens,
                names.RELEASE: answers.release,
                names.CHANNEL: answers.channel,
                names.CACHED: answers.usage.cached,
                names.COST_USD: answers.usage.cost_usd,
                names.OUTPUT_VALUE: _labels(answers),
                names.OUTPUT_TYPE: names.JSON_TYPE,
            }
            tripped = {g for a in answers.predictions for g, v in a.guards.items() if v.tripped}
            if tripped:
                told[names.GUARDS_TRIPPED] = sorted(tripped)
            if rule.inputs == "full":
                texts = [text[:MOST_CHARS] for text in ask.texts[:MOST_INPUTS]]
                one = len(ask.texts) == 1
                told[names.INPUT_VALUE] = texts[0] if one else msgspec.json.encode(texts).decode()
                told[names.INPUT_TYPE] = names.TEXT_TYPE if one else names.JSON_TYPE
            span.set_attributes(told)
        span.end()

    def embedded(self, embedded: Embedded) -> None:
        """Vectors were given."""
        self._span.set_attributes(
            {
                names.GEN_AI_RESPONSE_MODEL: embedded.encoder,
                names.GEN_AI_INPUT_TOKENS: embedded.tokens,
            }
        )
        self._span.end()

    def failed(self, error: BaseException) -> None:
        """The request failed. What the error says may quote an input, so only its kind is told."""
        from opentelemetry.trace import Status, StatusCode

        self._span.set_attribute(names.ERROR_TYPE, type(error).__name__)
        self._span.set_status(Status(StatusCode.ERROR))
        self._span.end()


class Spans:
    """Makes spans. Any thread may call it; what it does never blocks.

    Args:
        processor: What takes finished spans; ``None`` sends them as the environment says.
    """

    def __init__(self, processor: "SpanProcessor | None" = None) -> None:
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import SERVICE_NAME, Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
            from opentelemetry.trace.propagation.tracecontext import (
                TraceContextTextMapPropagator,
            )
        except ModuleNotFoundError as error:
            raise WorkspaceError(
                f"spans need a package that is not here: {error.name}.",
                where=_asked() or None,
                advice="Install milepost[otel], or unset the variable.",
            ) from error
        named = {} if "OTEL_SERVICE_NAME" in os.environ else {SERVICE_NAME: names.PROVIDER}
        self._provider = TracerProvider(resource=Resource.create(named), shutdown_on_exit=False)
        self._provider.add_span_processor(processor or BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("milepost")
        self._propagator = TraceContextTextMapPropagator()

    def answering(self, ask: Ask) -> Opened:
        """A span for a question, below the one that its ``traceparent`` names."""
        parent = {} if ask.parent is None else {"traceparent": ask.parent}
        model = f"milepost/{ask.task}"
        attributes: dict[str, str | int] = {
            names.SPAN_KIND: names.KIND_DECISION,
            names.GEN_AI_OPERATION: names.CLASSIFY,
            names.GEN_AI_PROVIDER: names.PROVIDER,
            names.GEN_AI_REQUEST_MODEL: model,
            names.DECISION_PROVIDER: names.PROVIDER,
            names.DECISION_MODEL: model,
            names.DECISION_REQUEST_MODEL: model,
            names.TASK: ask.task,
            names.PROTOCOL: ask.protocol,
            names.REQUEST: ask.request,
            names.INPUTS: len(ask.texts),
        }
        if ask.key is not None:
            attributes[names.KEY] = ask.key
        return self._open(f"{names.CLASSIFY} {ask.task}", attributes, parent)

    def calling(
        self, name: str, attributes: Mapping[str, str | int | float | bool], parent: str | None
    ) -> "Span":
        """A span for a call of somebody else, below the one that ``parent`` names."""
        from opentelemetry.trace import SpanKind

        context = None if parent is None else self._propagator.extract({"traceparent": parent})
        return self._tracer.start_span(
            name, context=context, kind=SpanKind.CLIENT, attributes=attributes
        )

    def header(self, span: "Span") -> str | None:
        """The ``traceparent`` header that hands a span on; ``None`` where there is nothing to."""
        from opentelemetry.trace import set_span_in_context

        carrier: dict[str, str] = {}
        self._propagator.inject(carrier, set_span_in_context(span))
        return carrier.get("traceparent")

    def embedding(self, inputs: int) -> Opened:
        """A span for a request for vectors."""
        attributes: dict[str, str | int] = {
            names.SPAN_KIND: names.KIND_EMBEDDING,
            names.GEN_AI_OPERATION: names.EMBEDDINGS,
            names.GEN_AI_PROVIDER: names.PROVIDER,
            names.INPUTS: inputs,
        }
        return self._open(names.EMBEDDINGS, attributes, {})

    def batch(self, encoder: str, texts: int, tokens: int, seconds: float, waited: float) -> None:
        """A span for a batch that has just ended. It serves many requests, so it has no parent."""
        end = time.time_ns()
        span = self._tracer.start_span(
            "batch",
            start_time=end - int(seconds * 1e9),
            attributes={
                names.SPAN_KIND: names.KIND_EMBEDDING,
                names.ENCODER_VARIANT: encoder,
                names.BATCH_TEXTS: texts,
                names.BATCH_WAITED: waited,
                names.GEN_AI_INPUT_TOKENS: tokens,
            },
        )
        span.end(end)

    def close(self) -> None:
        """Send what waits; may take as long as ``OTEL_BSP_EXPORT_TIMEOUT`` says."""
        self._provider.shutdown()

    def _open(
        self, name: str, attributes: Mapping[str, str | int], parent: Mapping[str, str]
    ) -> Opened:
        from opentelemetry.trace import SpanKind

        context = self._propagator.extract(parent) if parent else None
        span = self._tracer.start_span(
            name, context=context, kind=SpanKind.SERVER, attributes=attributes
        )
        return Opened(span)


def open_spans(environment: Mapping[str, str] | None = None) -> Spans | None:
    """Spans, where the environment asks for them; else ``None``.

    Raises:
        WorkspaceError: If it asks for them and they cannot be sent.
    """
    asked = _asked(os.environ if environment is None else environment)
    return Spans() if asked else None


def _asked(environment: Mapping[str, str] = os.environ) -> str:
    """The variable that asks for spans; empty if none does, or another switches them off."""
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return ""
    if environment.get("OTEL_TRACES_EXPORTER", "otlp") != "otlp":
        return ""
    return next((name for name in _ENDPOINTS if environment.get(name)), "")


def _labels(answers: Answers) -> str:
    labels = [answer.label for answer in answers.predictions[:MOST_INPUTS]]
    return msgspec.json.encode(labels).decode()
