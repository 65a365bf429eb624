"""The Open Inference Protocol over HTTP, with its binary data extension."""

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import msgspec

from milepost.entities.serving import Answers, ServedTask
from milepost.gateway.call import Call, Reply, as_json
from milepost.gateway.errors import Refusal, RefusedError
from milepost.gateway.inference.tensors import (
    Output,
    check_count,
    check_input,
    check_outputs,
    flat_texts,
    labels_json,
    labels_of,
    model_metadata,
    outputs,
    ready_version,
    texts_in,
    unpacked,
    version_of,
)
from milepost.gateway.inference.wire import (
    InferenceError,
    InferRequest,
    InferResponse,
    InputTensor,
    ModelMetadata,
    ModelReady,
    OutputTensor,
    Parameters,
    ServerLive,
    ServerMetadata,
    ServerReady,
)
from milepost.gateway.reading import Reader
from milepost.gateway.routes import Handler, Route

_HEADER_LENGTH = b"inference-header-content-length"
_BYTES = b"application/octet-stream"
EXTENSIONS = ("binary_tensor_data",)

_read = Reader(InferRequest, values=400)
_encode = msgspec.json.Encoder().encode


def error_body(refusal: Refusal) -> bytes:
    """An error as the protocol says it: a sentence; beside it the fields of all our errors."""
    detail = refusal.detail
    said = f"{detail.message} {detail.hint}" if detail.hint else detail.message
    details = msgspec.structs.asdict(detail)
    return _encode(InferenceError(error=said, details=details))


async def server(call: Call) -> Reply:
    """What this server is."""
    return as_json(ServerMetadata(name="milepost", version=server_version(), extensions=EXTENSIONS))


def server_version() -> str:
    """Version of the code."""
    from importlib.metadata import version

    return version("milepost")


async def live(call: Call) -> Reply:
    """That the server answers."""
    return as_json(ServerLive(live=True))


async def ready(call: Call) -> Reply:
    """Whether traffic should come here now: 200, else 503."""
    why_not = call.gate.unready()
    return as_json(ServerReady(ready=why_not is None), 200 if why_not is None else 503)


async def model(call: Call) -> Reply:
    """A task as a model."""
    version_of(call.arguments.get("version"))
    return as_json(model_metadata(call.gate.task(call.caller, call.arguments["model"])))


async def model_ready(call: Call) -> Reply:
    """Whether a task, or its release in a channel, can be asked at once: 200, else 503."""
    task = call.gate.task(call.caller, call.arguments["model"])
    is_ready = ready_version(task, call.arguments.get("version"))
    return as_json(ModelReady(name=task.name, ready=is_ready), 200 if is_ready else 503)


async def infer(call: Call) -> Reply:
    """Answers of a task as tensors."""
    body = await call.body()
    request, given = _request(body, call.header(_HEADER_LENGTH))
    wanted = [output.name for output in request.outputs]
    task = call.gate.task(call.caller, call.arguments["model"])
    check_outputs(task, wanted)
    needs_all = not wanted or "probabilities" in wanted
    ask = call.ask(
        task.name,
        texts_in(task, given),
        top=MOST_LABELS if needs_all else 1,
        subject=subject_of(request.parameters),
        protocol="oip-http",
    )
    ask = replace(
        ask,
        release=version_of(call.arguments.get("version")) or ask.release,
        deadline=min(call.deadline, deadline_of(request.parameters)),
    )
    answers = await call.gate.answer(call.caller, ask)
    return _reply(request, task, answers)


MOST_LABELS = 1_000_000
"""More labels than a task has: asks for the probabilities of all, whatever release answers."""


def subject_of(parameters: Mapping[str, object]) -> str | None:
    """For whom a request is, by its parameter ``subject``."""
    subject = parameters.get("subject")
    return None if subject is None else str(subject)


def deadline_of(parameters: Mapping[str, object]) -> float:
    """``time.monotonic()`` until which a request waits, by its parameter ``timeout`` (µs).

    Raises:
        RefusedError: 400 if that is not a number > 0.
    """
    micros = parameters.get("timeout", 0)
    if isinstance(micros, bool) or not isinstance(micros, int | float) or micros < 0:
        raise RefusedError(
            400,
            "invalid_value",
            "the parameter 'timeout' is not a number of microseconds.",
            param="parameters.timeout",
        )
    return time.monotonic() + micros / 1e6 if micros else float("inf")


def _request(
    body: bytes, header_length: str | None
) -> tuple[InferRequest, list[tuple[str, list[str]]]]:
    """A request, and name and texts of its inputs, from JSON alone or with the bytes behind it."""
    end = len(body)
    if header_length is not None:
        digits = header_length.isascii() and header_length.isdigit() and len(header_length) < 16
        if not digits or int(header_length) > end:
            raise RefusedError(
                400,
                "wrong_header",
                f"Inference-Header-Content-Length is not a number up to {end}, the body's bytes.",
                param="Inference-Header-Content-Length",
            )
        end = int(header_length)
    request = _read(body[:end] if end < len(body) else body)
    behind = memoryview(body)[end:]
    given: list[tuple[str, list[str]]] = []
    sizes = [_size(tensor, at) for at, tensor in enumerate(request.inputs)]
    if sum(size or 0 for size in sizes) != len(behind):
        raise _sizes(sum(size or 0 for size in sizes), len(behind))
    for tensor, size in zip(request.inputs, sizes, strict=True):
        announced = check_input(tensor.name, tensor.datatype, tensor.shape)
        if size is None:
            texts = flat_texts(tensor.data if isinstance(tensor.data, list) else [], tensor.name)
        else:
            texts = unpacked(behind[:size], announced, tensor.name)
            behind = behind[size:]
        check_count(texts, announced, tensor.name)
        given.append((tensor.name, texts))
    return request, given


def _size(tensor: InputTensor, at: int) -> int | None:
    """Bytes of an input behind the JSON; ``None`` where its data stand in it."""
    size = tensor.parameters.get("binary_data_size")
    if size is None and isinstance(tensor.data, list):
        return None
    if size is None:
        raise RefusedError(
            400,
            "invalid_tensor",
            f"the tensor {tensor.name[:60]!r} has neither data nor the parameter "
            "'binary_data_size'.",
            param=f"inputs[{at}].data",
        )
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise RefusedError(
            400,
            "invalid_tensor",
            f"{str(size)[:20]!r} is no number of bytes.",
            param=f"inputs[{at}].parameters.binary_data_size",
        )
    return size


def _sizes(said: object, found: int) -> RefusedError:
    return RefusedError(
        400,
        "invalid_tensor",
        f"{found} bytes follow the JSON, but the inputs announce {said}.",
        param="inputs[0].parameters.binary_data_size",
    )


def _reply(request: InferRequest, task: ServedTask, answers: Answers) -> Reply:
    as_bytes = bool(request.parameters.get("binary_data_output", False))
    asked = {each.name: each.parameters.get("binary_data", as_bytes) for each in request.outputs}
    tensors: list[OutputTensor] = []
    behind: list[bytes] = []
    for output in outputs(task, answers, list(asked)):
        parameters: Parameters = {}
        if output.name == "probabilities":
            parameters["labels"] = labels_json(labels_of(task, answers))
        raw = output.raw() if asked.get(output.name, as_bytes) else None
        if raw is not None:
            parameters["binary_data_size"] = len(raw)
            behind.append(raw)
        tensors.append(_tensor(output, parameters, data=raw is None))
    head = _encode(
        InferResponse(
            model_name=answers.task,
            model_version=str(answers.release),
            outputs=tuple(tensors),
            parameters={"channel": answers.channel},
            id=request.id,
        )
    )
    if not behind:
        return Reply(body=head)
    return Reply(
        body=b"".join((head, *behind)),
        content_type=_BYTES,
        headers=((_HEADER_LENGTH, b"%d" % len(head)),),
    )


def _tensor(output: Output, parameters: Parameters, *, data: bool) -> OutputTensor:
    values: Any = msgspec.UNSET
    if data:
        values = (
            output.values if isinstance(output.values, list) else output.values.ravel().tolist()
        )
    return OutputTensor(
        name=output.name,
        datatype=output.datatype,
        shape=output.shape,
        data=values,
        parameters=parameters,
    )


_HEADERS = {
    "X-Request-Timeout": "Seconds after which nobody waits for the answer any more.",
    "X-Request-ID": "Id of the request; echoed, and kept with the traces.",
}
_INFER_HEADERS = {
    "Inference-Header-Content-Length": "Bytes of JSON before those of the tensors, if any follow.",
    "X-Milepost-Subject": "As the parameter subject, which goes before it.",
    "traceparent": "Trace that the request belongs to (W3C Trace Context).",
    **_HEADERS,
}


def _row(path: str, handler: Handler, summary: str, answer: type, **more: Any) -> Route:
    return Route(
        method=more.pop("method", "GET"),
        path=path,
        handler=handler,
        right=more.pop("right", "ask"),
        summary=summary,
        tag="inference",
        answer=answer,
        errors=error_body,
        **more,
    )


_READY = {200: "It should.", 503: "It should not."}
_BINARY = {"body_types": (_BYTES.decode(),), "answer_types": (_BYTES.decode(),)}
_INFER = {"method": "POST", "body": InferRequest, "headers": _INFER_HEADERS, **_BINARY}
_NAMED = "/v2/models/{model}"
_PINNED = "/v2/models/{model}/versions/{version}"

ROUTES = (
    _row("/v2", server, "See what this server is.", ServerMetadata, right="open"),
    _row("/v2/health/live", live, "See whether the server answers.", ServerLive, right="open"),
    _row(
        "/v2/health/ready", ready, "See whether traffic should come here.", ServerReady,
        right="open", statuses=_READY,
    ),
    _row(_NAMED, model, "See a task as a model.", ModelMetadata),
    _row(_PINNED, model, "See a task as a model; the release changes nothing.", ModelMetadata),
    _row(f"{_NAMED}/ready", model_ready, "See whether a task can be asked.", ModelReady),
    _row(f"{_PINNED}/ready", model_ready, "See whether a release can be asked.", ModelReady),
    _row(f"{_NAMED}/infer", infer, "Ask a task with tensors.", InferResponse, **_INFER),
    _row(f"{_PINNED}/infer", infer, "Ask a release with tensors.", InferResponse, **_INFER),
)  # fmt: skip
"""The rows of the Open Inference Protocol in the table of routes."""
