"""Predictors inside another one: how a bundle holds them, and how they are rebuilt."""

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import msgspec
import numpy as np
from numpy.typing import NDArray

from milepost.entities.errors import CorruptError
from milepost.predictors.base import Predictor
from milepost.predictors.parts import ADVICE
from milepost.predictors.plain import PLAIN
from milepost.predictors.scoped import ScopedPredictor

Arrays = Mapping[str, NDArray[np.generic]]

MEMBERS: Mapping[str, type[Predictor]] = MappingProxyType(
    {**PLAIN, ScopedPredictor.kind: ScopedPredictor}
)
"""Class of each kind that can stand inside another one."""


class Member(msgspec.Struct, frozen=True):
    """One predictor without its arrays."""

    name: str
    kind: str
    temperature: float
    parameters: dict[str, object]


def arrays_of(predictors: Sequence[Predictor], word: str) -> dict[str, NDArray[np.generic]]:
    """Arrays of all, those of the first under ``<word>0.`` and so on."""
    return {
        f"{word}{at}.{name}": array
        for at, each in enumerate(predictors)
        for name, array in each.arrays().items()
    }


def plain_of(names: Sequence[str], predictors: Sequence[Predictor]) -> list[dict[str, object]]:
    """All else of them, as plain values of :class:`Member`."""
    return [
        {
            "name": name,
            "kind": each.kind,
            "temperature": float(each.temperature),
            "parameters": each.parameters(),
        }
        for name, each in zip(names, predictors, strict=True)
    ]


def restored(
    labels: tuple[str, ...], members: Sequence[Member], arrays: Arrays, word: str
) -> tuple[Predictor, ...]:
    """The predictors; the inverse of ``arrays_of`` and ``plain_of``.

    Args:
        labels: Those of all of them.
        members: What is known of each.
        arrays: Of all of them.
        word: What one of them is called.

    Raises:
        CorruptError: If they do not fit each other.
    """
    kinds = [each.kind for each in members]
    prefixes = [f"{word}{at}." for at in range(len(kinds))]
    stray = [name for name in arrays if not name.startswith(tuple(prefixes))]
    if set(kinds) - set(MEMBERS):
        raise corrupt(f"there is no kind {sorted(set(kinds) - set(MEMBERS))[0]!r} of a {word}.")
    if stray:
        raise corrupt(f"the array {stray[0]!r} belongs to no {word}.")
    if not all(math.isfinite(each.temperature) and each.temperature > 0 for each in members):
        raise corrupt(f"the temperature of a {word} is out of range.")
    return tuple(
        MEMBERS[each.kind].from_parts(
            labels, each.temperature, _own(arrays, prefix), each.parameters
        )
        for each, prefix in zip(members, prefixes, strict=True)
    )


def corrupt(what: str) -> CorruptError:
    """The error for parameters that do not fit each other."""
    return CorruptError(what, where="parameters.json", advice=ADVICE)


def _own(arrays: Arrays, prefix: str) -> dict[str, NDArray[np.generic]]:
    return {n.removeprefix(prefix): a for n, a in arrays.items() if n.startswith(prefix)}
