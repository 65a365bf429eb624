"""Kinds of tasks: how an answer looks, how its truth is written, and what measures it.

A predictor gives ``(n, k)`` numbers whatever the kind. What makes the kinds differ is the link from
those numbers to an answer, as in a generalised linear model (McCullagh & Nelder 1989): a softmax
for one of several labels, a logistic function per label for any number of them, and none for a
score. Pairs are matched by labels, so that they are linked as classes are. What ranks candidates
for a query says of each pair of them how likely the candidate is relevant.
"""

import hashlib
import math
import re
from collections.abc import Sequence
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from milepost.entities.errors import FieldError, InputError, UnknownNameError
from milepost.entities.spans import (
    MOST_SPANS,
    OF_ANSWER,
    counted_labels,
    packed_truths,
    read_spans,
    said_spans,
    written_spans,
)

Kind = Literal["classify", "extract", "match", "multilabel", "rank", "score"]
"""What is asked of an input."""

Link = Literal["softmax", "sigmoid", "identity", "spans", "relevance"]
"""From a predictor's numbers to an answer."""

VALUE = "value"
"""The one column of a score's numbers."""

HIGHEST_GRADE = 30.0
"""Largest relevance: gains double with each grade, and must stay numbers."""

STRATA = 10
"""Parts that the scores of examples are cut into, so that each side of a split has all sizes."""


class KindFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a kind.

    Attributes:
        link: From numbers to an answer.
        answer: What one answer is, in words.
        metric: The measure of an objective that names none.
        metrics: Names of the measures that fit it; empty for all measures of labels.
        labelled: Whether its truth is made of labels.
        cases: What stands by itself and is judged, in the plural.
    """

    link: Link
    answer: str
    metric: str = "accuracy"
    metrics: tuple[str, ...] = ()
    labelled: bool = True
    cases: str = "examples"

    def measured_by(self, metric: str) -> bool:
        """Whether a measure fits it; of one that looks so deep into a list, at any depth."""
        plain = re.sub(r"(?<!hit_rate)@\d+$", "@10", metric)
        return plain in self.metrics if self.metrics else plain not in NOT_OF_LABELS


NOT_OF_LABELS = ("exact_match", "mrr", "ndcg@10", "pearson", "qwk", "recall@10", "rmse")
"""Measures that one label cannot have."""

KINDS: dict[Kind, KindFacts] = {
    "classify": KindFacts(link="softmax", answer="one label"),
    "match": KindFacts(link="softmax", answer="one label for a pair"),
    "extract": KindFacts(
        link="spans",
        answer="spans of the text",
        metric="span_f1",
        metrics=("exact_match", "span_f1", "span_precision", "span_recall"),
    ),
    "multilabel": KindFacts(
        link="sigmoid",
        answer="any number of labels",
        metric="micro_f1",
        metrics=("exact_match", "log_loss", "macro_f1", "micro_f1"),
    ),
    "rank": KindFacts(
        link="relevance",
        answer="an order of candidates",
        metric="ndcg@10",
        metrics=("mrr", "ndcg@10", "recall@10"),
        labelled=False,
        cases="queries",
    ),
    "score": KindFacts(
        link="identity",
        answer="a number",
        metric="mae",
        metrics=("mae", "pearson", "qwk", "rmse", "spearman"),
        labelled=False,
    ),
}
"""Every kind."""


def check_metric(kind: Kind, metric: str) -> None:
    """Refuse a measure that somebody asked for and that does not fit the kind.

    Raises:
        FieldError: With those that do.
    """
    facts = KINDS[kind]
    if not facts.measured_by(metric):
        raise FieldError(
            f"{metric} does not fit the kind {kind}; use "
            f"{', '.join(facts.metrics) or 'such as accuracy or macro_f1'}",
            where="objective.metric",
        )


def width_of(link: Link, k: int) -> int:
    """Numbers of one answer over ``k`` labels: one for each, or room for so many spans."""
    return OF_ANSWER * MOST_SPANS if link == "spans" else k


def fewest_labels(kind: Kind) -> int:
    """Labels that a task of the kind must have at least."""
    return 1 if kind in ("extract", "multilabel") else 2


def written_set(names: Sequence[str]) -> str:
    """A set of labels as the truth of an example: a JSON array, each name once, sorted."""
    return msgspec.json.encode(sorted(set(names))).decode()


def read_set(written: str) -> tuple[str, ...]:
    """The labels of a truth that ``written_set`` wrote."""
    return msgspec.json.decode(written, type=tuple[str, ...])


def written_score(value: float) -> str:
    """A score as the truth of an example: the shortest text that reads as the same number.

    Raises:
        ValueError: If it is not finite.
    """
    if not math.isfinite(value):
        raise ValueError(f"{value} is not a finite number")
    return repr(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(float(value))


def written_grade(relevance: float, query: str) -> str:
    """How relevant a candidate is, as the truth of an example: a JSON array of that and its query.

    The query stands there by a digest: candidates of one query are compared with each other alone.

    Raises:
        ValueError: If the relevance is not between 0 and ``HIGHEST_GRADE``.
    """
    if not 0.0 <= relevance <= HIGHEST_GRADE:
        raise ValueError(f"{relevance:g} is not between 0 and {HIGHEST_GRADE:g}")
    same = " ".join(query.casefold().split()).encode("utf-8", "surrogatepass")
    return f'[{relevance:g},"{hashlib.sha256(same).hexdigest()[:12]}"]'


def read_grade(written: str) -> tuple[float, int]:
    """The relevance and the number of the query, below 2**48, that ``written_grade`` wrote."""
    relevance, query = msgspec.json.decode(written, type=tuple[float, str])
    return relevance, int(query, 16)


def said_truth(kind: Kind, said: str, labels: Sequence[str], text: str | None = None) -> str:
    """What somebody says is right, as the truth of an example is written.

    Args:
        kind: Kind of the task.
        said: A label; of a multilabel task a JSON array of labels; of a score a number; of spans
            a JSON array of them.
        labels: The task's labels; none where nobody knows them yet.
        text: What it is said of, where that is known: spans must lie within.

    Raises:
        UnknownNameError: If it names no label of the task; carries the nearest.
        InputError: If it is no truth of the kind.
    """
    if kind == "rank":
        raise InputError(
            "what is said of an order of candidates is not learned from yet.",
            where="label",
            advice="Give a rating or a comment; add the query and the right candidate to the data.",
        )
    if kind == "score":
        try:
            return written_score(float(said))
        except ValueError as error:
            raise InputError(
                f"{said[:100]!r} is not a finite number.", where="label", advice="Such as 3.5."
            ) from error
    if kind == "extract":
        return _said_spans(said, labels, None if text is None else len(text))
    if kind == "multilabel":
        try:
            names = read_set(said)
        except msgspec.DecodeError as error:
            raise InputError(
                "it is no JSON array of labels.", where="label", advice='Such as ["a", "b"] or [].'
            ) from error
    else:
        names = (said,)
    for name in names:
        if labels and name not in labels:
            raise UnknownNameError("label", name[:200], labels)
    return written_set(names) if kind == "multilabel" else said


def _said_spans(said: str, labels: Sequence[str], length: int | None) -> str:
    try:
        spans = said_spans(said, length)
    except ValueError as error:
        raise InputError(
            f"it {error}.",
            where="label",
            advice='Such as [{"start": 0, "end": 4, "label": "name"}] or [].',
        ) from error
    for _, _, name in spans:
        if name not in labels:
            raise UnknownNameError("label", name[:200], labels)
    return written_spans(spans)


def names_in(kind: Kind, written: str) -> tuple[str, ...]:
    """The labels that a truth names; none of a score."""
    if kind == "multilabel":
        return read_set(written)
    if kind == "extract":
        return tuple(sorted({label for _, _, label in read_spans(written)}))
    return (written,) if KINDS[kind].labelled else ()


def columns_of(kind: Kind, names: Sequence[str]) -> tuple[str, ...]:
    """Names of a predictor's columns: the labels, or the one of a score."""
    return tuple(names) if KINDS[kind].labelled else (VALUE,)


def truths(kind: Kind, written: Sequence[str | None], labels: Sequence[str]) -> NDArray[Any]:
    """Truths of examples as an array.

    Args:
        kind: Kind of the task.
        written: What is written of each of ``n`` examples.
        labels: The ``k`` labels in the order of the columns.

    Returns:
        ``(n,) int64`` column of the label, -1 where it is none of them; of a multilabel task
        ``(n, k + 1) int8``, 1 where a label holds, and last how many hold that are none of them;
        of a score ``(n,) float64``; of a candidate ``(n, 2) float64``, its relevance and the
        number of its query; of spans ``(n, 3 M) int32``, see ``milepost.entities.spans``.
    """
    if kind == "extract":
        return packed_truths(written, labels)
    if kind == "rank":
        grades = [read_grade(each) for each in written if each is not None]
        return np.array(grades, np.float64).reshape(-1, 2)
    if kind == "score":
        return np.array([float(each or "nan") for each in written], np.float64)
    place = {label: at for at, label in enumerate(labels)}
    if kind != "multilabel":
        return np.asarray([place.get(each or "", -1) for each in written], np.int64)
    found = np.zeros((len(written), len(labels) + 1), np.int8)
    for row, each in enumerate(written):
        for name in read_set(each or "[]"):
            at = place.get(name)
            if at is None:
                found[row, -1] = min(found[row, -1] + 1, 127)
            else:
                found[row, at] = 1
    return found


def strata(kind: Kind, y: NDArray[Any]) -> NDArray[np.int64]:
    """Part of each example, so that every fold and side has its share of all parts.

    The label; the rarest label that holds (Sechidis et al. 2011 begin with it), or one part more
    where none does; the tenth in which a score lies; whether a candidate is relevant.

    Args:
        kind: Kind of the task.
        y: As ``truths`` gives it.
    """
    if kind == "rank":
        return (y[:, 0] > 0).astype(np.int64)
    if kind == "score":
        cuts = np.quantile(y, np.linspace(0, 1, STRATA + 1)[1:-1]) if len(y) else np.zeros(0)
        return np.searchsorted(np.unique(cuts), y, side="right").astype(np.int64)
    if kind == "extract":
        y = (counted_labels(y, int(y[:, 2::3].max(initial=-1)) + 1) > 0).astype(np.int8)
    elif kind != "multilabel":
        return np.asarray(y, np.int64)
    counts = y.sum(axis=0).astype(np.float64)
    rarity = np.where(y > 0, counts, np.inf)
    return np.where((y > 0).any(axis=1), rarity.argmin(axis=1), y.shape[1]).astype(np.int64)
