"""Cells of data files as spans of texts: objects, triples, or a BIO tag for each token."""

from collections.abc import Sequence
from typing import cast

import msgspec

from milepost.data.clean import Plain, as_text
from milepost.entities.spans import Span, check_spans, parsed_spans, written_spans


def joined_tokens(cell: Plain) -> Plain:
    """The text of a cell that holds a JSON array of tokens, with a space between each two.

    Any other cell stays as it is.
    """
    tokens = _strings(cell)
    return cell if tokens is None else " ".join(tokens)


def spans_in(cell: str, text: Plain) -> str:
    """The spans of a cell, as the truth of an example is written.

    Args:
        cell: JSON, with something in it: spans as objects with ``start``, ``end`` and ``label``, or
            as triples; or a tag such as ``B-person`` for each token.
        text: The cell of the text, or of its tokens. Without tokens those between single spaces
            are meant.

    Raises:
        ValueError: If they are no spans of this text; says why, to follow the cell.
    """
    given = as_text(joined_tokens(text))
    tags = _strings(cell)
    if tags:
        spans = _tagged(tags, _strings(text) or given.split(" "))
    else:
        try:
            said: object = msgspec.json.decode(cell)
        except msgspec.DecodeError as error:
            raise ValueError("is no JSON array of spans") from error
        spans = parsed_spans(said)
    check_spans(spans, len(given))
    if spans and isinstance(text, str) and text[:1] != "[" and len(text) != len(given):
        raise ValueError("belongs to a text with characters that no file can hold")
    return written_spans(spans)


def fits(written: str | None, length: int) -> bool:
    """Whether all spans of a truth lie within so many characters."""
    if written is None:
        return True
    spans = msgspec.json.decode(written, type=tuple[Span, ...])
    return all(end <= length for _, end, _ in spans)


def _tagged(tags: Sequence[str], tokens: Sequence[str]) -> list[Span]:
    """Spans of tokens from tags that begin with B- and go on with I-; O, or none, is outside.

    An I- that follows nothing of its label begins a span, as in the older of the two ways to tag.
    """
    if len(tags) != len(tokens):
        raise ValueError(f"has {len(tags)} tags for {len(tokens)} tokens")
    spans: list[Span] = []
    at, before = 0, ""
    for tag, token in zip(tags, tokens, strict=True):
        mark, _, label = tag.strip().partition("-")
        if mark not in ("B", "I", "O", "") or (mark in ("B", "I")) != bool(label):
            raise ValueError(f"has the tag {tag[:40]!r}, which is neither O nor B- or I- a label")
        if label and mark == "I" and before == label:
            spans[-1] = (spans[-1][0], at + len(token), label)
        elif label and token:
            spans.append((at, at + len(token), label))
        before = label if token or before == label else ""
        at += len(token) + 1
    return spans


def _strings(cell: Plain) -> list[str] | None:
    """The strings of a JSON array that holds at least one and nothing else; else ``None``."""
    if not isinstance(cell, str) or cell[:1] != "[" or '"' not in cell:
        return None
    try:
        found = msgspec.json.decode(cell)
    except msgspec.DecodeError:
        return None
    if not isinstance(found, list) or not found:
        return None
    parts = cast("list[object]", found)
    return [str(each) for each in parts] if all(isinstance(e, str) for e in parts) else None
