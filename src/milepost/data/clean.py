"""Cells to plain values, and plain values to texts, labels and ids. Knows nothing of files."""

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Literal

from milepost.predictors.preparation.preparing import storable

Plain = str | int | float | bool | None
"""What a cell can be after reading."""


class Nested(str):
    """JSON text of a nested cell, such as a list of tokens; written as JSON it is one again."""

    __slots__ = ()


_WHOLE_FLOAT = re.compile(r"[+-]?\d+\.0+")
_INTEGER = re.compile(r"-?(?:0|[1-9]\d{0,17})")
_DECIMAL = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d{1,3})?")
_TRUTH = {"true": True, "false": False}


def plain(value: object) -> Plain:
    """A cell as text, number, truth value or ``None``.

    NaN is ``None`` and an infinity becomes text; dates become ISO 8601, decimals numbers, bytes
    text, NumPy scalars their Python value, and anything nested JSON text with sorted keys.
    """
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**63 else str(value)
    if isinstance(value, float):
        return None if math.isnan(value) else value if math.isfinite(value) else str(value)
    if isinstance(value, datetime | date | time):
        # pandas' "not a time" is a datetime that does not equal itself.
        return value.isoformat() if value == value else None
    return _plain_other(value)


def _plain_other(value: object) -> Plain:
    if isinstance(value, Decimal):
        return plain(int(value) if value == value.to_integral_value() else float(value))
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, bytes | bytearray):
        return bytes(value).decode("utf-8", "replace")
    for convert in ("item", "tolist"):
        method = getattr(value, convert, None)
        if callable(method):
            try:
                converted = method()
            except (TypeError, ValueError):
                continue
            return plain(converted) if not isinstance(converted, type(value)) else str(converted)
    if type(value).__name__ in {"NAType", "NaTType"}:
        return None
    return Nested(json.dumps(_nested(value), ensure_ascii=False, sort_keys=True, default=str))


def _nested(value: object) -> object:
    if isinstance(value, Mapping):
        return {str(key): _nested(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_nested(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted(str(item) for item in value)
    return plain(value) if isinstance(value, float | int | str) or value is None else str(value)


def as_text(value: Plain) -> str:
    """A cell as text: ``""`` for ``None``, ``true``/``false``, whole floats without ``.0``."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    return storable(str(value))


def as_labels(values: Sequence[Plain]) -> list[str | None]:
    """Labels without surrounding space; ``None`` for missing and empty ones.

    Words such as ``NA`` or ``None`` are labels like any other. A text column in which every label
    reads like ``1.0`` is a column of whole numbers that passed through a float: ``1``.
    """
    labels = [as_text(value).strip() or None for value in values]
    if all(label is None or _WHOLE_FLOAT.fullmatch(label) for label in labels):
        return [label.split(".")[0] if label else None for label in labels]
    return labels


Kind = Literal["none", "int", "float", "bool", "text"]
"""What all cells of a column are; ``none`` where all are empty."""


def infer_types(values: Sequence[Plain]) -> list[Plain]:
    """A column of text as integers, floats or truth values where every cell reads as one.

    Empty cells become ``None``. Numbers with leading zeros (postcodes), a plus sign (telephone
    numbers) or more digits than 64 bits hold stay text, and so does a whole column in which any
    cell does not fit, so that ``NA`` remains ``NA``.
    """
    texts = [as_text(value) for value in values]
    return read_as(texts, kind_of(texts))


def kind_of(texts: Iterable[str]) -> Kind:
    """What every cell of a column of text reads as."""
    filled = {text for text in texts if text}
    if not filled:
        return "none"
    if all(_INTEGER.fullmatch(text) for text in filled):
        return "int"
    if all(_DECIMAL.fullmatch(text) for text in filled):
        return "float" if all(math.isfinite(float(text)) for text in filled) else "text"
    return "bool" if all(text.lower() in _TRUTH for text in filled) else "text"


def kind_of_both(first: Kind, second: Kind) -> Kind:
    """What a column is of which one part is the first and the other the second."""
    if first == second or second == "none":
        return first
    if first == "none":
        return second
    return "float" if {first, second} == {"int", "float"} else "text"


def read_as(texts: Iterable[str], kind: Kind) -> list[Plain]:
    """Cells of text as what they all read as; ``None`` for the empty ones."""
    match kind:
        case "int":
            return [int(text) if text else None for text in texts]
        case "float":
            return [float(text) if text else None for text in texts]
        case "bool":
            return [_TRUTH[text.lower()] if text else None for text in texts]
        case _:
            return [text or None for text in texts]
