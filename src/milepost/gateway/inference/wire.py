"""Requests and responses of the Open Inference Protocol, version 2, over HTTP."""

from typing import Annotated, Any, Literal

import msgspec

Meta = msgspec.Meta
Parameters = dict[str, str | int | float | bool]
Size = Annotated[int, Meta(ge=0)]


class Tensor(msgspec.Struct, frozen=True, kw_only=True):
    """What a tensor of a model is like.

    Attributes:
        name: Its name.
        datatype: ``BYTES``, ``FP32`` or ``BOOL``.
        shape: Its sizes; -1 for any.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]


class ServerMetadata(msgspec.Struct, frozen=True, kw_only=True):
    """What this server is.

    Attributes:
        name: ``milepost``.
        version: Version of the code.
        extensions: What it can beyond the protocol.
    """

    name: str
    version: str
    extensions: tuple[str, ...]


class ServerLive(msgspec.Struct, frozen=True, kw_only=True):
    """That the server answers."""

    live: bool


class ServerReady(msgspec.Struct, frozen=True, kw_only=True):
    """Whether traffic should come here now."""

    ready: bool


class ModelReady(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a task can be asked now."""

    name: str
    ready: bool


class ModelMetadata(msgspec.Struct, frozen=True, kw_only=True):
    """A task as a model.

    Attributes:
        name: The task.
        versions: Its releases that a channel points at; any other can be named as well.
        platform: ``milepost``.
        inputs: ``text``, or each of several inputs by its name.
        outputs: What can be asked for, as its kind has it.
        properties: ``labels``: a JSON array, in the order of ``probabilities``; none of a number.
    """

    name: str
    versions: tuple[str, ...]
    platform: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    properties: dict[str, str]


class InputTensor(msgspec.Struct, frozen=True, kw_only=True):
    """An input of a request.

    Attributes:
        name: ``text``.
        datatype: ``BYTES``.
        shape: ``[n]`` or ``[n, 1]``.
        data: The texts; without it they follow the JSON as bytes, whose number is the parameter
            ``binary_data_size``.
        parameters: Others are read over.
    """

    name: str
    datatype: str
    shape: Annotated[tuple[Size, ...], Meta(max_length=8)]
    data: list[Any] | msgspec.UnsetType = msgspec.UNSET
    parameters: Parameters = {}


class RequestedOutput(msgspec.Struct, frozen=True, kw_only=True):
    """An output that is asked for.

    Attributes:
        name: Its name.
        parameters: ``binary_data``: whether it follows the JSON as bytes.
    """

    name: str
    parameters: Parameters = {}


class InferRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Texts as a tensor.

    Attributes:
        inputs: One: ``text``.
        outputs: What is asked for; without, everything.
        parameters: ``subject``: for whom; ``timeout``: microseconds to wait at most;
            ``binary_data_output``: whether all outputs follow the JSON as bytes.
        id: Returned as it is.
    """

    inputs: tuple[InputTensor, ...]
    outputs: tuple[RequestedOutput, ...] = ()
    parameters: Parameters = {}
    id: str = ""


class OutputTensor(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An output.

    Attributes:
        name: Its name.
        datatype: ``BYTES``, ``FP32`` or ``BOOL``.
        shape: ``[n]``, or ``[n, k]`` for ``probabilities``.
        data: Its values, row by row, ``null`` where a number is NaN; left out where they follow
            the JSON as bytes.
        parameters: ``labels`` of ``probabilities``: a JSON array; ``binary_data_size``: bytes.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: list[str | float | bool | None] | msgspec.UnsetType = msgspec.UNSET
    parameters: Parameters = {}


class InferResponse(msgspec.Struct, frozen=True, kw_only=True):
    """Answers as tensors.

    Attributes:
        model_name: The task.
        model_version: The release that answered all of it.
        outputs: In the order in which they were asked for.
        parameters: ``channel``: by which channel that release was found.
        id: That of the request.
    """

    model_name: str
    model_version: str
    outputs: tuple[OutputTensor, ...]
    parameters: Parameters
    id: str


class InferenceError(msgspec.Struct, frozen=True, kw_only=True):
    """What went wrong, as the protocol says it, and beside it as everywhere else.

    Attributes:
        error: One sentence.
        details: ``type``, ``code``, ``message``, ``param`` and ``hint``.
    """

    error: str
    details: dict[str, str | None]


Datatype = Literal["BYTES", "FP32", "BOOL"]
