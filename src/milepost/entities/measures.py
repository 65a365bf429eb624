"""Names of the measures that an objective may ask for, with direction and range."""

import re

import msgspec

from milepost.entities.errors import UnknownNameError

PATTERN = r"^(accuracy|auprc|auroc|balanced_accuracy|brier|ece|exact_match|(f1|precision|recall):[^\n]+|hit_rate@[1-9][0-9]{0,3}|kendall|log_loss|macro_f1|mae|mcc|micro_f1|mrr|ndcg@[1-9][0-9]{0,3}|own:[^:\n]+\.py:[A-Za-z_][A-Za-z0-9_]*|pearson|qwk|recall@[1-9][0-9]{0,3}|rmse|span_f1|span_precision|span_recall|spearman|utility|weighted_f1)$(?!\n)"  # noqa: E501
"""What a name looks like."""

_INFINITY = float("inf")


class MeasureKind(msgspec.Struct, frozen=True):
    """What is known of a measure by its name.

    Attributes:
        words: Its name in a sentence.
        low: Smallest value.
        high: Largest value.
        higher: Whether higher is better; ``None`` where the user's function says it.
        unit: What it is measured in; empty for shares and for what has none.
        over: What it is a mean over, one of them and several, such as queries.
    """

    words: str
    low: float = 0.0
    high: float = 1.0
    higher: bool | None = True
    unit: str = ""
    over: tuple[str, str] = ("example", "examples")

    @property
    def share(self) -> bool:
        """Whether it is a share, from 0 to 1, whose differences can be told in points."""
        return (self.low, self.high) == (0.0, 1.0)


QUERIES = ("query", "queries")
"""What measures of an order of candidates are means over."""

KINDS = {
    "accuracy": MeasureKind("accuracy"),
    "auprc": MeasureKind("AUPRC"),
    "auroc": MeasureKind("AUROC"),
    "balanced_accuracy": MeasureKind("balanced accuracy"),
    "brier": MeasureKind("Brier score", 0.0, 2.0, higher=False),
    "ece": MeasureKind("calibration error", higher=False),
    "exact_match": MeasureKind("exact match"),
    "f1:LABEL": MeasureKind("F1"),
    "hit_rate@3": MeasureKind("hit rate at 3"),
    "kendall": MeasureKind("Kendall's tau", -1.0, 1.0),
    "log_loss": MeasureKind("log loss", 0.0, _INFINITY, higher=False, unit="nats"),
    "macro_f1": MeasureKind("macro F1"),
    "mae": MeasureKind("mean absolute error", 0.0, _INFINITY, higher=False),
    "mcc": MeasureKind("MCC", -1.0, 1.0),
    "micro_f1": MeasureKind("micro F1"),
    "mrr": MeasureKind("mean reciprocal rank", over=QUERIES),
    "ndcg@10": MeasureKind("nDCG at 10", over=QUERIES),
    "own:FILE.py:FUNCTION": MeasureKind("own measure", -_INFINITY, _INFINITY, higher=None),
    "pearson": MeasureKind("Pearson's r", -1.0, 1.0),
    "precision:LABEL": MeasureKind("precision"),
    "qwk": MeasureKind("quadratic weighted kappa", -1.0, 1.0),
    "recall:LABEL": MeasureKind("recall"),
    "recall@10": MeasureKind("recall at 10", over=QUERIES),
    "rmse": MeasureKind("root mean squared error", 0.0, _INFINITY, higher=False),
    "span_f1": MeasureKind("span F1"),
    "span_precision": MeasureKind("span precision"),
    "span_recall": MeasureKind("span recall"),
    "spearman": MeasureKind("Spearman's rho", -1.0, 1.0),
    "utility": MeasureKind("utility", -_INFINITY, _INFINITY),
    "weighted_f1": MeasureKind("weighted F1"),
}
"""Every measure; names with a part to fill in stand with an example of it."""

AT_DEPTH = {"hit_rate": "hit rate", "ndcg": "nDCG", "recall": "recall"}
"""Measures that look so deep into a list as the number behind the @ says, and their words."""

OF_LABEL = ("f1", "precision", "recall")
"""Measures of one label, which follows the colon."""

ORDINAL = ("kendall", "mae", "spearman")
"""Measures for labels that are numbers, or that the task file gives in their order."""

ORDER_NOTE = "Order: "
"""How the note of a scorecard begins that names the order of the labels."""


def measure_kind(name: str) -> MeasureKind:
    """What is known of a measure.

    Raises:
        UnknownNameError: If there is no such measure; carries the nearest.
    """
    if not re.match(PATTERN, name):
        raise UnknownNameError("metric", name, KINDS)
    before, at, depth = name.partition("@")
    if at and before in AT_DEPTH:
        words = f"{AT_DEPTH[before]} at {depth}"
        return msgspec.structs.replace(KINDS.get(f"{before}@10", MeasureKind("")), words=words)
    if name.startswith("own:"):
        return MeasureKind(name.rpartition(":")[2], -_INFINITY, _INFINITY, higher=None)
    which, _, label = name.partition(":")
    if which in OF_LABEL:
        return MeasureKind(f"{KINDS[f'{which}:LABEL'].words} of {label}")
    return KINDS[name]
