"""Names of the measures that an objective may ask for, with direction and range."""

import re

import msgspec

from milepost.entities.errors import UnknownNameError

PATTERN = r"^(accuracy|auroc|balanced_accuracy|brier|hit_rate@[1-9][0-9]{0,3}|log_loss|macro_f1|mcc|micro_f1|own:[^:\n]+\.py:[A-Za-z_][A-Za-z0-9_]*|utility|weighted_f1)$(?!\n)"  # noqa: E501
"""What a name looks like."""

_INFINITY = float("inf")


class MeasureKind(msgspec.Struct, frozen=True):
    """What is known of a measure by its name.

    Attributes:
        words: Its name in a sentence.
        low: Smallest value.
        high: Largest value.
        higher: Whether higher is better; ``None`` where the user's function says it.
    """

    words: str
    low: float = 0.0
    high: float = 1.0
    higher: bool | None = True


KINDS = {
    "accuracy": MeasureKind("accuracy"),
    "auroc": MeasureKind("AUROC"),
    "balanced_accuracy": MeasureKind("balanced accuracy"),
    "brier": MeasureKind("Brier score", 0.0, 2.0, higher=False),
    "hit_rate@3": MeasureKind("hit rate at 3"),
    "log_loss": MeasureKind("log loss", 0.0, _INFINITY, higher=False),
    "macro_f1": MeasureKind("macro F1"),
    "mcc": MeasureKind("Matthews correlation", -1.0, 1.0),
    "micro_f1": MeasureKind("micro F1"),
    "own:FILE.py:FUNCTION": MeasureKind("own measure", -_INFINITY, _INFINITY, higher=None),
    "utility": MeasureKind("utility", -_INFINITY, _INFINITY),
    "weighted_f1": MeasureKind("weighted F1"),
}
"""Every measure; the two names with a part to fill in stand with an example of it."""


def measure_kind(name: str) -> MeasureKind:
    """What is known of a measure.

    Raises:
        UnknownNameError: If there is no such measure; carries the nearest.
    """
    if not re.match(PATTERN, name):
        raise UnknownNameError("metric", name, KINDS)
    if name.startswith("hit_rate@"):
        return MeasureKind(f"hit rate at {name.partition('@')[2]}")
    if name.startswith("own:"):
        return MeasureKind(name.rpartition(":")[2], -_INFINITY, _INFINITY, higher=None)
    return KINDS[name]
