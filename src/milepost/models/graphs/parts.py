"""What graphs are put together from: nodes and constants, and linear layers in fp32 and INT8."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from milepost.models.graphs.writer import Node, Tensor

FUSED = "com.microsoft"
ALPHA = 0.8
"""How far outliers are moved from activations into weights (α of SmoothQuant); of 0.5, 0.7, 0.8
and 0.9, measured on all-MiniLM-L6-v2, the one nearest to fp32."""

_TINY = 1e-5
_PAIR = 127
"""Largest sum of two neighbours before rounding, which can add one."""

_SMALLEST = 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class Linear:
    """A linear layer ``x @ weight + bias``.

    Attributes:
        name: Unique in the graph.
        weight: ``(d_in, d_out) float32``.
        bias: ``(d_out,) float32``.
    """

    name: str
    weight: NDArray[np.float32]
    bias: NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Range:
    """Smallest and largest value of each channel of an activation, ``(d,) float32``."""

    low: NDArray[np.float32]
    high: NDArray[np.float32]


class Parts:
    """Collects the nodes and constants of a graph."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.constants: dict[str, Tensor] = {}

    def constant(self, name: str, array: NDArray[np.generic]) -> str:
        """Adds a constant unless it is there, and gives its name."""
        if name not in self.constants:
            self.constants[name] = Tensor(name, np.asarray(array))
        return name

    def node(self, kind: str, inputs: list[str], result: str, **attributes: float) -> str:
        """Adds an operator of the standard set and gives the name of its result."""
        self.nodes.append(Node(kind, inputs, [result], attributes=attributes))
        return result

    def fused(self, kind: str, inputs: list[str], result: str, **attributes: float) -> str:
        """Adds an operator of ONNX Runtime's own set."""
        self.nodes.append(Node(kind, inputs, [result], FUSED, attributes))
        return result


class Arithmetic(Protocol):
    """Adds linear layers to a graph in some number format."""

    def linears(self, parts: Parts, source: str, layers: Sequence[Linear]) -> list[str]:
        """Adds layers that read one ``source (t, d_in)``; names of the results ``(t, d_out)``."""
        ...


class Float:
    """Single precision: the reference."""

    def linears(self, parts: Parts, source: str, layers: Sequence[Linear]) -> list[str]:
        """One matrix product each, with the bias in it."""
        return [
            parts.node(
                "Gemm",
                [
                    source,
                    parts.constant(f"{layer.name}.weight", layer.weight),
                    parts.constant(f"{layer.name}.bias", layer.bias),
                ],
                f"{layer.name}.result",
            )
            for layer in layers
        ]


class StaticInt8:
    """8-bit integers with scales fixed beforehand, so that a text's answer has no neighbours in it.

    Activations are unsigned with one scale, weights signed with one scale per output channel, and
    outliers of activations are first moved into the weights by a factor per channel (Xiao et al.
    2023, SmoothQuant, eq. 4). The product leaves as fp32; it is never rounded a second time.

    Args:
        ranges: Of every source of a linear layer.
    """

    def __init__(self, ranges: Mapping[str, Range]) -> None:
        self._ranges = ranges

    def linears(self, parts: Parts, source: str, layers: Sequence[Linear]) -> list[str]:
        """Quantises the source once, multiplies, and scales back."""
        seen = self._ranges[source]
        factor = smoothing(seen, np.max([np.abs(layer.weight).max(1) for layer in layers], axis=0))
        scale, zero = _levels(seen, factor)
        shrunk = parts.node(
            "Mul", [source, parts.constant(f"{source}.shrink", 1 / factor)], f"{source}.smooth"
        )
        of_source = [
            parts.constant(f"{source}.scale", np.asarray(scale)),
            parts.constant(f"{source}.zero", np.asarray(zero)),
        ]
        whole = parts.node("QuantizeLinear", [shrunk, *of_source], f"{source}.int8")
        return [self._product(parts, whole, of_source, factor, layer) for layer in layers]

    def _product(
        self,
        parts: Parts,
        whole: str,
        of_source: list[str],
        factor: NDArray[np.float32],
        layer: Linear,
    ) -> str:
        integers, scales = quantised(layer.weight * factor[:, None])
        return parts.fused(
            "MatMulIntegerToFloat",
            [
                whole,
                parts.constant(f"{layer.name}.weight", integers),
                of_source[0],
                parts.constant(f"{layer.name}.scales", scales),
                of_source[1],
                parts.constant(f"{layer.name}.zeros", np.zeros(len(scales), np.int8)),
                parts.constant(f"{layer.name}.bias", layer.bias),
            ],
            f"{layer.name}.result",
        )


def smoothing(seen: Range, weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Factor per channel by which activations shrink and weights grow, of geometric mean 1.

    ``|x|^α / |w|^(1 - α)`` over the largest absolute values of each channel (Xiao et al. 2023,
    SmoothQuant, eq. 4).

    Args:
        seen: Range of the activation.
        weights: Largest absolute weight that reads each channel, ``(d,)``.
    """
    largest = np.maximum(np.maximum(np.abs(seen.low), np.abs(seen.high)), _TINY)
    factor = largest**ALPHA / np.maximum(weights, _TINY) ** (1 - ALPHA)
    return (factor / np.exp(np.log(factor).mean())).astype(np.float32)


def quantised(weight: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Integers ``(d_in, d_out) int8`` and the scale of each column ``(d_out,) float32``.

    Processors without VNNI add two neighbouring products in 16 bits and saturate:
    255 · (w₀ + w₁) must not pass 32,767. Scales are therefore chosen so that no two neighbours of
    one sign exceed 128 together. That costs a third of a bit, and every processor computes the
    same integers.
    """
    odd = len(weight) % 2
    pairs = np.pad(weight, ((0, odd), (0, 0))).reshape(-1, 2, weight.shape[1])
    together = np.maximum(np.maximum(pairs, 0).sum(1), np.maximum(-pairs, 0).sum(1)).max(0)
    scales = np.maximum(together / _PAIR, _SMALLEST).astype(np.float32)
    return np.rint(weight / scales).astype(np.int8), scales


def _levels(seen: Range, factor: NDArray[np.float32]) -> tuple[np.float32, np.uint8]:
    """Scale and zero point of an activation after smoothing; zero itself is always exact."""
    low = min(float((seen.low / factor).min()), 0.0)
    high = max(float((seen.high / factor).max()), 0.0)
    scale = max((high - low) / 255, _SMALLEST)
    return np.float32(scale), np.uint8(np.clip(round(-low / scale), 0, 255))
