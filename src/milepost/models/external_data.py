"""Finds references to files outside an ONNX model, without the ``onnx`` package.

Such a reference names a path that the runtime would open; a model from elsewhere must not have
one. Walks the wire format of Protocol Buffers along the messages of ``onnx.proto3`` that can hold
a tensor, and skips everything else unread.
"""

from collections.abc import Iterator

from milepost.entities.errors import EncoderError

_Children = dict[int, str]

_MESSAGES: dict[str, _Children] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {
        5: "tensor",
        6: "graph",
        10: "tensor",
        11: "graph",
        22: "sparse",
        23: "sparse",
    },
    "sparse": {1: "tensor", 2: "tensor"},
}
_EXTERNAL_FIELDS = {13, 14}  # TensorProto.external_data and TensorProto.data_location
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_DEPTH = 32


def refuse_external_data(model: bytes, where: str) -> None:
    """Checks that all tensors of a serialised model lie in the model itself.

    Args:
        model: The bytes of an ONNX file.
        where: The file, for the error.

    Raises:
        EncoderError: If a tensor lies in another file, or the bytes are not an ONNX model.
    """
    try:
        external = _is_external(memoryview(model), "model", 0)
    except (ValueError, IndexError) as error:
        raise EncoderError(
            "the file is not an ONNX model.", where=where, advice="Export the encoder again."
        ) from error
    if external:
        raise EncoderError(
            "the ONNX model keeps tensors in other files, which are not verified.",
            where=where,
            advice="Save it as one file.",
        )


def _is_external(data: memoryview, message: str, depth: int) -> bool:
    if depth > _DEPTH:
        raise ValueError("nested too deeply")
    if message == "tensor":
        return any(field in _EXTERNAL_FIELDS and value != 0 for field, value in _fields(data))
    children = _MESSAGES[message]
    return any(
        field in children
        and isinstance(value, memoryview)
        and _is_external(value, children[field], depth + 1)
        for field, value in _fields(data)
    )


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Field numbers with their numbers or bytes, in the order of the message."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        field, kind = tag >> 3, tag & 7
        if kind == _VARINT:
            value, at = _varint(data, at)
            yield field, value
            continue
        if kind == _BYTES:
            size, at = _varint(data, at)
        elif kind in {_FIXED64, _FIXED32}:
            size = 8 if kind == _FIXED64 else 4
        else:
            raise ValueError(f"wire type {kind}")
        if at + size > len(data):
            raise ValueError("a field ends after its message")
        yield field, data[at : at + size]
        at += size


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("a number is too long")
