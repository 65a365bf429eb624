"""Spans of a text: how they are written, checked, and packed into rows of numbers.

A row of answers is one row of numbers whatever the kind of a task. Of spans it has room for
``MOST_SPANS``, each with begin, end, label and probability; what is not used is -1.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

Span = tuple[int, int, str]
"""Begin and end in characters, the end excluded, and the label."""

MOST_SPANS = 64
"""Spans that one text may have."""

OF_ANSWER = 4
"""Numbers of a span in an answer: begin, end, column of its label, and how sure it is."""

OF_TRUTH = 3
"""Numbers of a span in a truth: begin, end, column of its label; of a label that the task does not
know one more than the last."""

NONE = -1
"""Stands where there is no span."""


class FoundSpan(msgspec.Struct, frozen=True, kw_only=True):
    """A span that was found in a text.

    Attributes:
        start: Where it begins, in characters (code points) from 0.
        end: Where it ends, that character excluded.
        label: What it is.
        probability: How likely it is that borders and label are right.
        text: What stands there.
    """

    start: int
    end: int
    label: str
    probability: float
    text: str


def written_spans(spans: Iterable[Span]) -> str:
    """Spans as the truth of an example: a JSON array of ``[begin, end, label]``, in order."""
    return msgspec.json.encode(sorted(spans)).decode()


def read_spans(written: str) -> tuple[Span, ...]:
    """The spans of a truth that ``written_spans`` wrote."""
    return msgspec.json.decode(written, type=tuple[Span, ...])


def parsed_spans(said: object) -> list[Span]:
    """Spans as people write them: objects with ``start``, ``end`` and ``label``, or triples.

    Args:
        said: Decoded JSON. ``type`` may stand for ``label``; other fields are not read.

    Raises:
        ValueError: If it is anything else; says what, to follow the cell that it is about.
    """
    if not isinstance(said, list):
        raise ValueError("is no JSON array of spans")
    return [_parsed(each) for each in cast("list[object]", said)]


def _parsed(said: object) -> Span:
    if isinstance(said, dict):
        fields = cast("dict[str, object]", said)
        parts = [fields.get("start"), fields.get("end"), fields.get("label", fields.get("type"))]
    elif isinstance(said, list):
        parts = cast("list[object]", said)
    else:
        parts = []
    match parts:
        case [int(begin), int(end), str(label)] if not isinstance(begin, bool) and label.strip():
            return begin, end, label.strip()
        case _:
            raise ValueError(
                "holds something else than spans with start, end and label: "
                + msgspec.json.encode(said).decode()[:80]
            )


def check_spans(spans: Sequence[Span], length: int | None = None) -> None:
    """Refuse spans that cannot be those of a text.

    Args:
        spans: In any order.
        length: Characters of the text; ``None`` where it is not known.

    Raises:
        ValueError: If one is empty or lies outside, two overlap, or there are too many.
    """
    if len(spans) > MOST_SPANS:
        raise ValueError(f"has {len(spans)} spans, and an answer holds at most {MOST_SPANS}")
    ordered = sorted(spans)
    for begin, end, label in ordered:
        if not 0 <= begin < end:
            raise ValueError(f"has a span from {begin} to {end} ({label}), which holds nothing")
        if length is not None and end > length:
            raise ValueError(
                f"has a span from {begin} to {end} ({label}) outside its text of {length} "
                "characters"
            )
    for (begin, end, one), (second, last, other) in pairwise(ordered):
        if second < end:
            raise ValueError(
                f"has spans that overlap: {begin} to {end} ({one}) and {second} to {last} ({other})"
            )


def said_spans(said: str, length: int | None = None) -> list[Span]:
    """Spans that somebody says are right, of a text of so many characters where that is known.

    Raises:
        ValueError: See ``parsed_spans`` and ``check_spans``; also if it is no JSON.
    """
    try:
        spans = parsed_spans(msgspec.json.decode(said))
    except msgspec.DecodeError as error:
        raise ValueError("is no JSON array of spans") from error
    check_spans(spans, length)
    return spans


def packed_truths(written: Sequence[str | None], labels: Sequence[str]) -> NDArray[np.int32]:
    """Truths ``(n, 3 M) int32`` of what is written of ``n`` examples."""
    place = {label: at for at, label in enumerate(labels)}
    found = np.full((len(written), OF_TRUTH * MOST_SPANS), NONE, np.int32)
    for row, each in enumerate(written):
        spans = read_spans(each or "[]")[:MOST_SPANS]
        flat = [(begin, end, place.get(name, len(labels))) for begin, end, name in spans]
        found[row, : OF_TRUTH * len(flat)] = np.array(flat, np.int32).ravel()
    return found


def packed_row(spans: Sequence[tuple[int, int, int, float]]) -> NDArray[np.float64]:
    """One row ``(4 M,)`` of spans with the column of their label and how sure each is.

    Of more than there is room for the surest are kept; they stand in the order of the text.
    """
    kept = sorted(sorted(spans, key=lambda each: -each[3])[:MOST_SPANS])
    row = np.full(OF_ANSWER * MOST_SPANS, float(NONE))
    row[: OF_ANSWER * len(kept)] = np.array(kept, np.float64).ravel()
    return row


def begins(packed: NDArray[Any], width: int) -> NDArray[np.bool_]:
    """Which places ``(n, M)`` of packed rows hold a span; ``width`` numbers each."""
    return packed[:, ::width] >= 0


def counted_labels(packed: NDArray[np.int32], k: int) -> NDArray[np.int64]:
    """Spans of each label, the unknown ones last, in each packed truth: ``(n, k + 1) int64``."""
    counts = np.zeros((len(packed), k + 1), np.int64)
    rows, places = np.nonzero(begins(packed, OF_TRUTH))
    np.add.at(counts, (rows, packed[rows, OF_TRUTH * places + 2]), 1)
    return counts


def unpacked(packed: NDArray[Any], width: int) -> list[list[tuple[Any, ...]]]:
    """The spans of each packed row, each as the ``width`` numbers that it has."""
    counts = begins(packed, width).sum(axis=1).tolist()
    return [
        list(map(tuple, row[: width * count].reshape(count, width).tolist()))
        for row, count in zip(packed, counts, strict=True)
    ]


def listed(packed: NDArray[Any], width: int) -> NDArray[np.int64]:
    """Spans of packed rows, ``(s, 4)``: document, begin, end and column of the label."""
    rows, places = np.nonzero(begins(packed, width))
    columns = [packed[rows, width * places + at].astype(np.int64) for at in range(3)]
    return np.stack([rows.astype(np.int64), *columns], axis=1)


def matched(wanted: NDArray[np.int64], found: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which of the spans found are wanted, ``(s,)``; both as of ``listed``."""
    there = set(map(tuple, wanted.tolist()))
    return np.array([tuple(each) in there for each in found.tolist()], np.bool_)


def relabelled(
    packed: NDArray[np.float32], old: Sequence[str], new: Sequence[str]
) -> NDArray[np.float32]:
    """One answer ``(4 M,)`` with the columns of other labels; those that are gone stay unknown."""
    place: Mapping[str, int] = {label: at for at, label in enumerate(new)}
    found = packed.copy()
    for at in range(2, len(packed), OF_ANSWER):
        if packed[at - 2] >= 0:
            found[at] = place.get(old[int(packed[at])], len(new))
    return found
