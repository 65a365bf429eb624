"""How the tensors of an encoder lie in a bundle: single, half precision, or integers by row.

Knows arrays and their names; knows no graph and no predictor.
"""

from collections.abc import Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from milepost.models.graphs.parts import Range
from milepost.predictors.parts import corrupt_array

Stored = Literal["fp32", "fp16", "int8"]
"""How tensors are kept: integers have one scale per row."""

TENSOR, SCALES = "encoder.", ".scales"
"""What the name of a tensor's array begins with, and that of its scales ends with."""

LOW, HIGH = "low.", "high."
"""What the names of the arrays of a range begin with."""

_FEW = 4096
"""Tensors of no more numbers are never kept as integers: biases and norms weigh nothing."""


def kept(
    tensors: Mapping[str, NDArray[np.generic]],
    config: Mapping[str, object],
    max_tokens: int,
    stored: Stored,
) -> dict[str, NDArray[np.generic]]:
    """What of a checkpoint the graph reads, as it is to be stored."""
    found: dict[str, NDArray[np.generic]] = {}
    count = config.get("num_hidden_layers")
    own = tuple(f"encoder.layer.{at}." for at in range(count if isinstance(count, int) else 0))
    for full, tensor in tensors.items():
        name = full.removeprefix("bert.")
        if not name.startswith(("embeddings.", *own)) or tensor.dtype.kind != "f":
            continue
        array = tensor.astype(np.float32)
        if name == "embeddings.position_embeddings.weight":
            array = array[:max_tokens]
        if stored == "int8" and array.size > _FEW:
            found[name], found[f"{name}{SCALES}"] = _whole(array)
        else:
            found[name] = array.astype(np.float32 if stored == "fp32" else np.float16)
    return found


def _whole(array: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Integers, and the scale of each row: largest absolute value / 127."""
    scales = np.maximum(np.abs(array).max(axis=1), np.float32(1e-12)) / np.float32(127)
    return np.rint(array / scales[:, None]).astype(np.int8), scales.astype(np.float32)


def floats(array: NDArray[np.generic], scales: NDArray[np.generic] | None) -> NDArray[np.float32]:
    """A tensor in single precision; integers times the scale of their row."""
    found = array.astype(np.float32)
    return found if scales is None else found * scales.astype(np.float32)[:, None]


def tensors_in(arrays: Mapping[str, NDArray[np.generic]]) -> dict[str, NDArray[np.generic]]:
    """The encoder's tensors among the arrays of a bundle.

    Raises:
        CorruptError: If one is of a type that none has, not finite, or of no use.
    """
    found: dict[str, NDArray[np.generic]] = {}
    for full, array in arrays.items():
        if full.startswith((LOW, HIGH)):
            continue
        name = full.removeprefix(TENSOR)
        if name == full:
            raise corrupt_array(full, "is none that this kind has.")
        if array.dtype.name not in {"float16", "float32", "int8"} or array.ndim not in {1, 2}:
            raise corrupt_array(full, f"is {array.dtype} {array.shape}.")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise corrupt_array(full, "holds a value that is not finite.")
        scales = arrays.get(f"{full}{SCALES}")
        if (array.dtype == np.int8) != (scales is not None):
            raise corrupt_array(full, "has scales where it needs none, or none where it does.")
        if scales is not None and scales.shape != (len(array),):
            raise corrupt_array(full, f"has scales of shape {scales.shape}.")
        found[name] = array
    return found


def ranges_in(arrays: Mapping[str, NDArray[np.generic]]) -> dict[str, Range] | None:
    """Ranges among the arrays of a bundle; ``None`` where it has none.

    Raises:
        CorruptError: If one is half there, of another type, or not finite.
    """
    names = {n.removeprefix(LOW) for n in arrays if n.startswith(LOW)}
    if names != {n.removeprefix(HIGH) for n in arrays if n.startswith(HIGH)}:
        raise corrupt_array(LOW, "and those above it are not of the same layers.")
    found: dict[str, Range] = {}
    for name in names:
        low, high = arrays[f"{LOW}{name}"], arrays[f"{HIGH}{name}"]
        fits = low.dtype == high.dtype == np.float32 and low.ndim == 1 and low.shape == high.shape
        if not fits or not (np.isfinite(low).all() and np.isfinite(high).all()):
            raise corrupt_array(f"{LOW}{name}", "is no range.")
        found[name] = Range(low.astype(np.float32), high.astype(np.float32))
    return found or None
