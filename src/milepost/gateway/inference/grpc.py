"""The Open Inference Protocol over gRPC: the public service ``inference.GRPCInferenceService``.

It runs on the event loop of the HTTP server and asks through the same gate, so that limits, rates
and fair shares hold for both together.
"""

import asyncio
import contextlib
import logging
import math
import os
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NoReturn

import grpc

from milepost.entities.errors import InputError
from milepost.entities.serving import Answers, Ask, ServedTask
from milepost.gateway.access import Access, Caller
from milepost.gateway.call import MOST_ID_CHARS
from milepost.gateway.errors import Refusal, RefusedError, refusal
from milepost.gateway.inference.http import (
    EXTENSIONS,
    MOST_LABELS,
    deadline_of,
    server_version,
    subject_of,
)
from milepost.gateway.inference.messages import MESSAGES
from milepost.gateway.inference.tensors import (
    check_count,
    check_input,
    check_outputs,
    labels_json,
    labels_of,
    model_metadata,
    outputs,
    ready_version,
    text_of,
    texts_in,
    unpacked,
    version_of,
)

if TYPE_CHECKING:
    from milepost.gateway.gate import Gate

logger = logging.getLogger("milepost.gateway")

SERVICE = "inference.GRPCInferenceService"

CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    409: grpc.StatusCode.FAILED_PRECONDITION,
    413: grpc.StatusCode.INVALID_ARGUMENT,
    422: grpc.StatusCode.INVALID_ARGUMENT,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}
"""Status of a call by that of the same mistake over HTTP; ``INTERNAL`` for any other."""

MOST_CALLS = 4096
"""Calls under way at once; more are answered ``RESOURCE_EXHAUSTED``."""

_MOST_HEAD_BYTES = 32 * 1024


class Running:
    """A gRPC server that runs.

    Attributes:
        port: Where it listens.
    """

    def __init__(self, server: grpc.aio.Server, port: int) -> None:
        self._server = server
        self.port = port

    async def stop(self, grace: float) -> None:
        """Take no more calls; those under way have ``grace`` seconds to end."""
        await self._server.stop(grace)


async def start_grpc(gate: "Gate", access: Access, host: str, port: int) -> Running:
    """Serve the protocol beside HTTP.

    Several workers may listen on one port: the system spreads connections over them.

    Args:
        gate: Through which all questions go.
        access: Turns the metadata ``authorization`` into a caller.
        host: Address to listen on.
        port: Port; 0 for any free one.

    Raises:
        InputError: If the address is taken.
    """
    most = gate.limits.body_bytes
    server = grpc.aio.server(
        maximum_concurrent_rpcs=MOST_CALLS,
        options=(
            ("grpc.max_receive_message_length", most),
            ("grpc.max_metadata_size", _MOST_HEAD_BYTES),
            ("grpc.so_reuseport", 1 if port else 0),
        ),
    )
    server.add_generic_rpc_handlers((_handlers(_Service(gate), access),))
    place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    bound = 0
    with contextlib.suppress(RuntimeError):
        bound = server.add_insecure_port(place)
    if not bound:
        await server.stop(None)
        raise InputError(
            f"gRPC cannot listen on {place}.", advice="Is the port taken? Give another --grpc-port."
        )
    await server.start()
    return Running(server, bound)


Method = Callable[[Caller, Any, Any], Awaitable[Any]]


def _handlers(service: "_Service", access: Access) -> grpc.GenericRpcHandler:
    """All methods; those in ``open`` need no key, all others are denied without."""
    open_methods: dict[str, Method] = {
        "ServerLive": service.live,
        "ServerReady": service.ready,
        "ServerMetadata": service.server,
    }
    keyed: dict[str, Method] = {
        "ModelReady": service.model_ready,
        "ModelMetadata": service.model,
        "ModelInfer": service.infer,
    }
    handlers: dict[str, Any] = {}
    for name, method in {**open_methods, **keyed}.items():
        guarded = _guarded(name, method, access if name in keyed else None)
        handlers[name] = grpc.unary_unary_rpc_method_handler(
            guarded,
            request_deserializer=MESSAGES[f"{name}Request"].FromString,
            response_serializer=MESSAGES[f"{name}Response"].SerializeToString,
        )
    return grpc.method_handlers_generic_handler(SERVICE, handlers)


def _guarded(name: str, method: Method, access: Access | None) -> Any:
    async def call(request: Any, context: Any) -> Any:
        metadata = _metadata(context)
        try:
            caller = Caller(rights=frozenset({"open"}))
            if access is not None:
                caller = await access.caller(metadata.get("authorization"))
                if "ask" not in caller.rights:
                    raise RefusedError(403, "no_right", "this key may not ask.")
            return await method(caller, request, context)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            answer = refusal(error)
            if answer.unforeseen:
                logger.error("%s failed", name, exc_info=error)
            await _abort(context, answer)

    return call


def _metadata(context: Any) -> Mapping[str, bytes]:
    pairs: Any = context.invocation_metadata() or ()
    return {key: value if isinstance(value, bytes) else value.encode() for key, value in pairs}


async def _abort(context: Any, answer: Refusal) -> NoReturn:
    detail = answer.detail
    said = f"{detail.message} {detail.hint}" if detail.hint else detail.message
    trailing = [("milepost-error-code", detail.code)]
    trailing += [
        (name.decode(), value.decode()) for name, value in answer.headers if name == b"retry-after"
    ]
    code = CODES.get(answer.status, grpc.StatusCode.INTERNAL)
    await context.abort(code, _header_text(said), tuple(trailing))
    raise AssertionError


def _header_text(said: str) -> str:
    # Metadata is limited; what a client sent may be part of the sentence.
    return said if len(said) <= 2000 else said[:2000] + "…"


class _Service:
    """The methods; used on one event loop."""

    def __init__(self, gate: "Gate") -> None:
        self._gate = gate

    async def live(self, caller: Caller, request: Any, context: Any) -> Any:
        """That the server answers."""
        return MESSAGES["ServerLiveResponse"](live=True)

    async def ready(self, caller: Caller, request: Any, context: Any) -> Any:
        """Whether traffic should come here now."""
        return MESSAGES["ServerReadyResponse"](ready=self._gate.unready() is None)

    async def server(self, caller: Caller, request: Any, context: Any) -> Any:
        """What this server is."""
        return MESSAGES["ServerMetadataResponse"](
            name="milepost", version=server_version(), extensions=EXTENSIONS
        )

    async def model_ready(self, caller: Caller, request: Any, context: Any) -> Any:
        """Whether a task, or its release in a channel, can be asked at once."""
        task = self._gate.task(caller, request.name)
        is_ready = ready_version(task, request.version)
        return MESSAGES["ModelReadyResponse"](ready=is_ready)

    async def model(self, caller: Caller, request: Any, context: Any) -> Any:
        """A task as a model."""
        version_of(request.version)
        found = model_metadata(self._gate.task(caller, request.name))
        response = MESSAGES["ModelMetadataResponse"](
            name=found.name, versions=found.versions, platform=found.platform
        )
        for tensors, filled in ((found.inputs, response.inputs), (found.outputs, response.outputs)):
            for each in tensors:
                filled.add(name=each.name, datatype=each.datatype, shape=each.shape)
        return response

    async def infer(self, caller: Caller, request: Any, context: Any) -> Any:
        """Answers of a task as tensors."""
        given = _given(request)
        wanted = [output.name for output in request.outputs]
        task = self._gate.task(caller, request.model_name)
        check_outputs(task, wanted)
        latest = time.monotonic() + self._gate.limits.timeout
        ask = _ask(task, texts_in(task, given), request, min(latest, _until(context)))
        if wanted and "probabilities" not in wanted:
            ask = replace(ask, top=1)
        parent = _metadata(context).get("traceparent")
        parent = None if parent is None else parent.decode("latin-1")
        answers = await self._gate.answer(caller, replace(ask, key=caller.key, parent=parent))
        return _response(request, task, answers, wanted)


def _given(request: Any) -> list[tuple[str, list[str]]]:
    """Name and texts of each input of a request, in either of the two forms of the protocol.

    Raises:
        RefusedError: 400 if one is no tensor of texts, or they are not all in the same form.
    """
    raws = request.raw_input_contents
    if raws and (
        len(raws) != len(request.inputs)
        or any(each.HasField("contents") for each in request.inputs)
    ):
        raise _wrong("raw_input_contents must hold all the inputs, and contents then nothing.")
    given: list[tuple[str, list[str]]] = []
    for at, tensor in enumerate(request.inputs):
        announced = check_input(tensor.name, tensor.datatype, tensor.shape)
        if raws:
            texts = unpacked(raws[at], announced, tensor.name)
        else:
            elements = tensor.contents.bytes_contents
            texts = [text_of(each, row, tensor.name) for row, each in enumerate(elements)]
        check_count(texts, announced, tensor.name)
        given.append((tensor.name, texts))
    return given


def _wrong(what: str) -> RefusedError:
    return RefusedError(400, "invalid_tensor", what, param="inputs")


def _until(context: Any) -> float:
    """``time.monotonic()`` at which the client's deadline passes."""
    remaining = context.time_remaining()
    return math.inf if remaining is None else time.monotonic() + remaining


def _ask(task: ServedTask, texts: tuple[str, ...], request: Any, until: float) -> Ask:
    parameters = {name: _value(value) for name, value in request.parameters.items()}
    return Ask(
        task=task.name,
        texts=texts,
        subject=subject_of(parameters),
        release=version_of(request.model_version),
        top=MOST_LABELS,
        deadline=min(until, deadline_of(parameters)),
        request=_request_id(request.id),
        protocol="oip-grpc",
    )


def _request_id(given: str) -> str:
    usable = given and len(given) <= MOST_ID_CHARS and given.isascii() and given.isprintable()
    return given if usable else f"r{os.urandom(12).hex()}"


def _value(parameter: Any) -> object:
    chosen = parameter.WhichOneof("parameter_choice")
    return None if chosen is None else getattr(parameter, chosen)


def _response(request: Any, task: ServedTask, answers: Answers, wanted: list[str]) -> Any:
    """The tensors, all in ``raw_output_contents``, in the order of ``outputs``."""
    response = MESSAGES["ModelInferResponse"](
        model_name=answers.task, model_version=str(answers.release), id=request.id
    )
    response.parameters["channel"].string_param = answers.channel
    for output in outputs(task, answers, wanted):
        tensor = response.outputs.add(
            name=output.name, datatype=output.datatype, shape=output.shape
        )
        if output.name == "probabilities":
            tensor.parameters["labels"].string_param = labels_json(labels_of(task, answers))
        response.raw_output_contents.append(output.raw())
    return response
