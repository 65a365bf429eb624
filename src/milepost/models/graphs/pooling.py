"""Appends pooling and normalisation to an ONNX graph, for every exporter alike."""

import numpy as np

from milepost.models.graphs.layout import MASK
from milepost.models.graphs.writer import BOOL, FLOAT, Node, Tensor

STATES, VECTORS = "token_states", "vectors"
OPSET = 18
"""Lowest version of the ONNX operators that the nodes here are valid in."""

_TINY = 1e-12
_NEGATIVE = -3.0e38


def pooling_nodes(pooling: str) -> tuple[list[Node], list[Tensor]]:
    """Nodes from ``token_states (b, s, d)`` and ``attention_mask (b, s)`` to ``vectors (b, d)``.

    The vectors have unit length, so that the mean need not divide by the number of tokens: it is
    the sum up to a factor, which normalisation removes.

    Args:
        pooling: ``mean``, ``cls`` (the first token) or ``max``.

    Returns:
        The nodes and their constants; all names begin with ``pool.``.
    """

    def constant(name: str, value: object, kind: type) -> Tensor:
        return Tensor(f"pool.{name}", np.asarray(value, kind))

    def node(kind: str, inputs: list[str], results: list[str], **attributes: float) -> Node:
        return Node(kind, inputs, results, attributes=attributes)

    constants = [
        constant("axis1", [1], np.int64),
        constant("tiny", _TINY, np.float32),
    ]
    if pooling == "cls":
        constants.append(constant("first", 0, np.int64))
        nodes = [node("Gather", [STATES, "pool.first"], ["pool.raw"], axis=1)]
    elif pooling == "max":
        constants += [constant("axis2", [2], np.int64), constant("low", _NEGATIVE, np.float32)]
        nodes = [
            node("Cast", [MASK], ["pool.keep"], to=BOOL),
            node("Unsqueeze", ["pool.keep", "pool.axis2"], ["pool.keep3"]),
            node("Where", ["pool.keep3", STATES, "pool.low"], ["pool.kept"]),
            node("ReduceMax", ["pool.kept", "pool.axis1"], ["pool.raw"], keepdims=0),
        ]
    else:
        nodes = [
            node("Cast", [MASK], ["pool.weights"], to=FLOAT),
            node("Unsqueeze", ["pool.weights", "pool.axis1"], ["pool.row"]),
            node("MatMul", ["pool.row", STATES], ["pool.sum"]),
            node("Squeeze", ["pool.sum", "pool.axis1"], ["pool.raw"]),
        ]
    nodes += [
        node("ReduceL2", ["pool.raw", "pool.axis1"], ["pool.length"], keepdims=1),
        node("Max", ["pool.length", "pool.tiny"], ["pool.safe"]),
        node("Div", ["pool.raw", "pool.safe"], [VECTORS]),
    ]
    return nodes, constants
