"""Spans as a real OTLP receiver gets them, and the names that others' conventions give them."""

import asyncio
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from milepost.entities.errors import UnknownNameError, WorkspaceError
from milepost.entities.serving import Ask, RecordingRule
from milepost.gateway.telemetry import Telemetry, names
from milepost.gateway.telemetry.spans import open_spans
from milepost.testing.answering import TASKS, LengthService

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
def receiver(monkeypatch):
    """An OTLP/HTTP receiver on loopback; gives the spans that it got."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
        ExportTraceServiceRequest,
    )

    got = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            import gzip

            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            got.append((self.path, ExportTraceServiceRequest.FromString(body)))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    for name in ("OTEL_SDK_DISABLED", "OTEL_TRACES_EXPORTER", "OTEL_SERVICE_NAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    yield got
    server.shutdown()
    server.server_close()
    thread.join()


def spans_of(got):
    return {
        span.name: span
        for _, request in got
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    }


def attributes(span):
    return {
        each.key: getattr(each.value, each.value.WhichOneof("value")) for each in span.attributes
    }


def run(service, *asks):
    telemetry = Telemetry()
    watched = telemetry.watch(service)

    async def traffic():
        for each in asks:
            try:
                await watched.answer(each)
            except UnknownNameError:
                continue
        await watched.embed(["a text"])

    asyncio.run(traffic())
    telemetry.batch("int8", 3, 40, 0.002, 0.001)
    telemetry.close()


def test_a_receiver_gets_a_span_of_each_request_below_its_parent(receiver):
    run(
        LengthService(),
        Ask(task="route", texts=("my card",), parent=PARENT, key="k123", request="r1"),
        Ask(task="nothing", texts=("secret words",)),
    )
    assert {path for path, _ in receiver} == {"/v1/traces"}
    named = receiver[0][1].resource_spans[0].resource.attributes
    assert ("service.name", "milepost") in [(a.key, a.value.string_value) for a in named]
    spans = spans_of(receiver)
    assert set(spans) == {"classify route", "classify nothing", "embeddings", "batch"}
    span = spans["classify route"]
    assert span.trace_id.hex() == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert span.parent_span_id.hex() == "00f067aa0ba902b7"
    told = attributes(span)
    assert told[names.SPAN_KIND] == "DECISION"
    assert told[names.GEN_AI_REQUEST_MODEL] == "milepost/route"
    assert told[names.DECISION_RESPONSE_MODEL] == "milepost/route#2"
    assert told[names.DECISION_INPUT_TOKENS] == 4
    assert told[names.INPUT_VALUE] == "my card"
    assert told[names.OUTPUT_VALUE] == '["delivery"]'
    assert told[names.KEY] == "k123"
    assert told[names.GEN_AI_RESPONSE_ID].startswith("t")
    failed = spans["classify nothing"]
    assert attributes(failed)[names.ERROR_TYPE] == "UnknownNameError"
    assert failed.status.code == 2
    assert not failed.parent_span_id
    batch = spans["batch"]
    assert batch.end_time_unix_nano - batch.start_time_unix_nano == 2_000_000
    assert attributes(batch)[names.BATCH_TEXTS] == 3


@pytest.mark.parametrize("inputs", ["hashed", "nothing"])
def test_inputs_leave_only_where_the_policy_keeps_them(receiver, inputs):
    rule = RecordingRule(inputs=inputs)
    service = LengthService([replace(task, recording=rule) for task in TASKS])
    run(service, Ask(task="route", texts=("secret words", "other words")))
    told = attributes(spans_of(receiver)["classify route"])
    assert names.INPUT_VALUE not in told
    assert not any("words" in str(value) for value in told.values())


def test_many_long_inputs_are_cut(receiver):
    run(LengthService(), Ask(task="route", texts=("x" * 5000,) * 100))
    told = attributes(spans_of(receiver)["classify route"])
    assert len(told[names.INPUT_VALUE]) < 20 * 2010
    assert told[names.INPUTS] == 100


@pytest.mark.parametrize("parent", ["nonsense", "00-0-0-00", "\x00", "00-" + "f" * 5000])
def test_a_wrong_parent_is_none(receiver, parent):
    run(LengthService(), Ask(task="route", texts=("a",), parent=parent))
    assert not spans_of(receiver)["classify route"].parent_span_id


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"OTEL_SERVICE_NAME": "desk"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "true"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_TRACES_EXPORTER": "none"},
    ],
)
def test_without_somewhere_to_send_them_there_are_none(environment):
    assert open_spans(environment) is None


def test_spans_without_their_package_are_refused(monkeypatch):
    monkeypatch.setitem(
        __import__("sys").modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None
    )
    with pytest.raises(WorkspaceError, match=r"milepost\[otel\]"):
        open_spans({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"})


def test_the_names_are_those_of_the_conventions():
    from openinference.semconv.trace import (
        OpenInferenceMimeTypeValues,
        OpenInferenceSpanKindValues,
        SpanAttributes,
    )
    from opentelemetry.semconv._incubating.attributes import gen_ai_attributes as gen_ai
    from opentelemetry.semconv.attributes import error_attributes

    ours = {k: v for k, v in vars(names).items() if k.isupper()}
    theirs = {
        "GEN_AI_OPERATION": gen_ai.GEN_AI_OPERATION_NAME,
        "GEN_AI_PROVIDER": gen_ai.GEN_AI_PROVIDER_NAME,
        "GEN_AI_REQUEST_MODEL": gen_ai.GEN_AI_REQUEST_MODEL,
        "GEN_AI_RESPONSE_ID": gen_ai.GEN_AI_RESPONSE_ID,
        "GEN_AI_RESPONSE_MODEL": gen_ai.GEN_AI_RESPONSE_MODEL,
        "GEN_AI_INPUT_TOKENS": gen_ai.GEN_AI_USAGE_INPUT_TOKENS,
        "GEN_AI_OUTPUT_TOKENS": gen_ai.GEN_AI_USAGE_OUTPUT_TOKENS,
        "GEN_AI_CACHED_TOKENS": gen_ai.GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS,
        "GEN_AI_REASONING_TOKENS": gen_ai.GEN_AI_USAGE_REASONING_OUTPUT_TOKENS,
        "GEN_AI_FINISH": gen_ai.GEN_AI_RESPONSE_FINISH_REASONS,
        "GEN_AI_MAX_TOKENS": gen_ai.GEN_AI_REQUEST_MAX_TOKENS,
        "GEN_AI_TEMPERATURE": gen_ai.GEN_AI_REQUEST_TEMPERATURE,
        "GEN_AI_TOP_P": gen_ai.GEN_AI_REQUEST_TOP_P,
        "GEN_AI_SEED": gen_ai.GEN_AI_REQUEST_SEED,
        "GEN_AI_STREAM": gen_ai.GEN_AI_REQUEST_STREAM,
        "CHAT": gen_ai.GenAiOperationNameValues.CHAT.value,
        "KIND_LLM": OpenInferenceSpanKindValues.LLM.value,
        "LLM_MODEL": SpanAttributes.LLM_MODEL_NAME,
        "LLM_PROVIDER": SpanAttributes.LLM_PROVIDER,
        "LLM_PROMPT_TOKENS": SpanAttributes.LLM_TOKEN_COUNT_PROMPT,
        "LLM_COMPLETION_TOKENS": SpanAttributes.LLM_TOKEN_COUNT_COMPLETION,
        "EMBEDDINGS": gen_ai.GenAiOperationNameValues.EMBEDDINGS.value,
        "ERROR_TYPE": error_attributes.ERROR_TYPE,
        "SPAN_KIND": SpanAttributes.OPENINFERENCE_SPAN_KIND,
        "KIND_DECISION": OpenInferenceSpanKindValues.DECISION.value,
        "KIND_EMBEDDING": OpenInferenceSpanKindValues.EMBEDDING.value,
        "DECISION_MODEL": SpanAttributes.DECISION_MODEL_NAME,
        "DECISION_REQUEST_MODEL": SpanAttributes.DECISION_REQUEST_MODEL_NAME,
        "DECISION_RESPONSE_MODEL": SpanAttributes.DECISION_RESPONSE_MODEL_NAME,
        "DECISION_PROVIDER": SpanAttributes.DECISION_PROVIDER,
        "DECISION_INPUT_TOKENS": SpanAttributes.DECISION_TOKEN_COUNT_INPUT,
        "INPUT_VALUE": SpanAttributes.INPUT_VALUE,
        "INPUT_TYPE": SpanAttributes.INPUT_MIME_TYPE,
        "OUTPUT_VALUE": SpanAttributes.OUTPUT_VALUE,
        "OUTPUT_TYPE": SpanAttributes.OUTPUT_MIME_TYPE,
        "TEXT_TYPE": OpenInferenceMimeTypeValues.TEXT.value,
        "JSON_TYPE": OpenInferenceMimeTypeValues.JSON.value,
    }
    assert {name: ours[name] for name in theirs} == theirs
    own = set(ours) - set(theirs) - {"CLASSIFY", "PROVIDER"}
    assert all(ours[name].startswith("milepost.") for name in own), own
