"""Checks of the parts that a predictor is rebuilt from; nothing read from outside is trusted."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import msgspec
import numpy as np
from numpy.typing import DTypeLike, NDArray

from milepost.entities.errors import CorruptError

ADVICE = "Restore the bundle from a copy, or run `milepost improve` again to make a new one."

_Parameters = TypeVar("_Parameters", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True)
class Expected:
    """What an array must be.

    Attributes:
        dtype: Its exact dtype.
        shape: Length per axis; ``None`` where any length is allowed.
    """

    dtype: DTypeLike
    shape: tuple[int | None, ...]


def check_arrays(
    arrays: Mapping[str, NDArray[np.generic]], expected: Mapping[str, Expected]
) -> None:
    """Refuse arrays that are missing, unknown, of another dtype or shape, or not finite.

    Raises:
        CorruptError: At the first fault, with the array's name.
    """
    if set(arrays) != set(expected):
        raise CorruptError(
            f"the arrays are {sorted(arrays)}, but this kind has {sorted(expected)}.",
            where="arrays.safetensors",
            advice=ADVICE,
        )
    for name, want in expected.items():
        array = arrays[name]
        fits = array.ndim == len(want.shape) and all(
            length is None or length == have
            for length, have in zip(want.shape, array.shape, strict=True)
        )
        if array.dtype != np.dtype(want.dtype) or not fits:
            raise corrupt_array(
                name,
                f"is {array.dtype} {array.shape}; expected {np.dtype(want.dtype)} {want.shape}.",
            )
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise corrupt_array(name, "holds a value that is not finite.")


def check_parameters(parameters: Mapping[str, object], type_: type[_Parameters]) -> _Parameters:
    """Parameters as a record whose fields are exactly those of ``type_``.

    Raises:
        CorruptError: If one is missing, unknown or of another type.
    """
    unknown = sorted(set(parameters) - set(type_.__struct_fields__))
    if unknown:
        raise CorruptError(f"unknown parameters {unknown}.", where="parameters.json", advice=ADVICE)
    try:
        return msgspec.convert(dict(parameters), type_)
    except msgspec.ValidationError as error:
        raise CorruptError(f"{error}.", where="parameters.json", advice=ADVICE) from error


def corrupt_array(name: str, what: str) -> CorruptError:
    """The error for a fault of one array; ``what`` ends the sentence that its name begins."""
    return CorruptError(f"the array {name!r} {what}", where="arrays.safetensors", advice=ADVICE)
