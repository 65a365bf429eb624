"""What of a trace is kept: pure functions of the task's rule and the trace."""

from collections.abc import Sequence
from datetime import timedelta

import msgspec

from milepost._base.digest import sha256_bytes
from milepost.entities.serving import RecordingRule, Trace
from milepost.serving.recording.sinks import Expiring

_PARTS = float(1 << 60)


def sampled(traces: Sequence[Trace], rule: RecordingRule) -> Sequence[Trace]:
    """Those of the traces that are recorded at all.

    Drawn by the random bits of their ids, so that the draw is the same whoever asks. What was
    withheld, blocked or stopped by a guard is always among them.
    """
    if rule.share >= 1.0:
        return traces
    return [trace for trace in traces if _always(trace) or _draw(trace.id) < rule.share]


def as_kept(trace: Trace, rule: RecordingRule) -> Expiring:
    """The trace with as much of its input as the rule keeps, and when it expires."""
    expires = trace.at + timedelta(days=rule.days)
    if rule.inputs == "full" or (trace.text is None and trace.said is None):
        return trace, expires
    hashed = rule.inputs == "hashed" and trace.text is not None
    digest = text_digest(trace.text or "") if hashed else None
    return msgspec.structs.replace(trace, text=None, said=None, text_sha256=digest), expires


def text_digest(text: str) -> str:
    """SHA-256 of a text's UTF-8 bytes; half a character counts as a question mark."""
    return sha256_bytes(text.encode(errors="replace"))


def _always(trace: Trace) -> bool:
    return trace.label is None or any(verdict.tripped for verdict in trace.guards.values())


def _draw(id: str) -> float:  # noqa: A002 - the record's own word
    """The random bits of an id as a number in [0, 1)."""
    return int(id[-15:], 16) / _PARTS
