"""Writes an ONNX model as bytes: nodes, constants, inputs and outputs, and no more than that.

A process that serves builds the graph of an encoder that lies in a bundle, and must not load the
``onnx`` package for it. Field numbers are those of ``onnx.proto3``; the encoding is that of
Protocol Buffers. Knows no operator.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from struct import pack

import numpy as np
from numpy.typing import NDArray

FLOAT, BOOL, INT32, INT64, UINT8 = 1, 9, 6, 7, 2
"""Types of elements as ONNX numbers them."""

LARGEST = 2**31 - 1
"""Most bytes of one model."""

_TYPES = {
    "float32": FLOAT, "uint8": UINT8, "int8": 3, "int32": INT32, "int64": INT64, "bool": BOOL,
    "float16": 10,
}  # fmt: skip
_A_FLOAT, _AN_INT = 1, 2


@dataclass(frozen=True, slots=True)
class Node:
    """An operator.

    Attributes:
        kind: Its name, such as ``Gather``.
        inputs: Names of what it reads; empty where an optional one is left out.
        results: Names of what it gives.
        domain: Whose operator it is; empty for the standard ones.
        attributes: Its settings.
    """

    kind: str
    inputs: Sequence[str]
    results: Sequence[str]
    domain: str = ""
    attributes: Mapping[str, int | float] = field(default_factory=dict[str, int | float])


@dataclass(frozen=True, slots=True, eq=False)
class Tensor:
    """A constant by name."""

    name: str
    array: NDArray[np.generic]


@dataclass(frozen=True, slots=True)
class Value:
    """An input or an output.

    Attributes:
        name: Its name.
        kind: Type of its elements, such as ``FLOAT``.
        shape: Per axis its length or the name of it; ``None`` where nothing is said.
    """

    name: str
    kind: int
    shape: Sequence[str | int] | None


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """All of a model.

    Attributes:
        nodes: In an order in which they can be run.
        constants: What nodes read besides inputs and results.
        inputs: What a run is given.
        outputs: What it gives.
    """

    nodes: Sequence[Node]
    constants: Sequence[Tensor]
    inputs: Sequence[Value]
    outputs: Sequence[Value]


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """A model that the runtime can load.

    Attributes:
        data: Its bytes.
        dimensions: Length of the vectors that it gives.
    """

    data: bytes
    dimensions: int


def written(graph: Graph, opsets: Mapping[str, int], ir_version: int) -> bytes:
    """The bytes of a model.

    Args:
        graph: What it does.
        opsets: Version of the operators of each domain.
        ir_version: Version of the format.

    Raises:
        ValueError: If they are more than one file can hold.
    """
    body = b"".join(
        [
            *(_block(1, _node(each)) for each in graph.nodes),
            _text(2, "graph"),
            *(_block(5, _tensor(each)) for each in graph.constants),
            *(_block(11, _value(each)) for each in graph.inputs),
            *(_block(12, _value(each)) for each in graph.outputs),
        ]
    )
    versions = (_block(8, _text(1, name) + _whole(2, n)) for name, n in opsets.items())
    data = _whole(1, ir_version) + _block(7, body) + b"".join(versions)
    if len(data) > LARGEST:
        raise ValueError(f"a model of {len(data)} bytes is larger than one file can be")
    return data


def _node(node: Node) -> bytes:
    return b"".join(
        [
            *(_text(1, name) for name in node.inputs),
            *(_text(2, name) for name in node.results),
            _text(4, node.kind),
            *(_block(5, _attribute(*each)) for each in node.attributes.items()),
            _text(7, node.domain) if node.domain else b"",
        ]
    )


def _attribute(name: str, value: float) -> bytes:
    if isinstance(value, float):
        return _text(1, name) + _key(2, 5) + pack("<f", value) + _whole(20, _A_FLOAT)
    return _text(1, name) + _whole(3, value) + _whole(20, _AN_INT)


def _tensor(tensor: Tensor) -> bytes:
    array = tensor.array
    raw = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()
    sizes = b"".join(_whole(1, size) for size in array.shape)
    return sizes + _whole(2, _TYPES[array.dtype.name]) + _text(8, tensor.name) + _block(9, raw)


def _value(value: Value) -> bytes:
    inner = _whole(1, value.kind)
    if value.shape is not None:
        axes = (
            _text(2, axis) if isinstance(axis, str) else _whole(1, axis) for axis in value.shape
        )
        inner += _block(2, b"".join(_block(1, axis) for axis in axes))
    return _text(1, value.name) + _block(2, _block(1, inner))


def _key(number: int, kind: int) -> bytes:
    return _varint(number << 3 | kind)


def _whole(number: int, value: int) -> bytes:
    # A negative number is written as the 64-bit one of the same bits.
    return _key(number, 0) + _varint(value % 2**64)


def _text(number: int, value: str) -> bytes:
    return _block(number, value.encode())


def _block(number: int, data: bytes) -> bytes:
    return _key(number, 2) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    found.append(value)
    return bytes(found)
