"""Ids of traces and feedback: UUIDs of version 7 (RFC 9562, section 5.7) as hex, with a letter.

They sort by time to a quarter of a microsecond (section 6.2, method 3), so that a store that is
ordered by id is ordered by time, and the day of a trace is read from its id.
"""

import re
import time
from datetime import UTC, datetime

from milepost._base.randomness import random64

TRACE = "t"
FEEDBACK = "f"

_ID = re.compile("[tf][0-9a-f]{12}7[0-9a-f]{3}[89ab][0-9a-f]{15}")
_VARIANT, _RANDOM = 1 << 63, (1 << 62) - 1


def new_ids(count: int, letter: str = TRACE, now: int | None = None) -> list[str]:
    """Ids of things that happen now, ascending, each with 62 random bits. Thread safe.

    Args:
        count: How many, ≥ 0.
        letter: ``t`` for traces, ``f`` for feedback.
        now: Nanoseconds since 1970; ``None`` takes the system's clock.
    """
    milliseconds, rest = divmod(time.time_ns() if now is None else now, 1_000_000)
    head = f"{letter}{milliseconds:012x}7{(rest << 12) // 1_000_000:03x}"
    numbers = [random64() & _RANDOM for _ in range(count)]
    if count > 1:
        numbers.sort()
    return [f"{head}{_VARIANT | number:016x}" for number in numbers]


def new_trace_id(now: int | None = None) -> str:
    """One id of a trace; see ``new_ids``."""
    return new_ids(1, TRACE, now)[0]


def new_feedback_id(now: int | None = None) -> str:
    """One id of feedback; see ``new_ids``."""
    return new_ids(1, FEEDBACK, now)[0]


def is_id(text: str) -> bool:
    """Whether a text has the form of an id."""
    return _ID.fullmatch(text) is not None


def day_of(id: str) -> str:  # noqa: A002 - the record's own word
    """The day on which an id was made, ``YYYY-MM-DD``, UTC."""
    return f"{datetime.fromtimestamp(int(id[1:13], 16) / 1000, UTC):%Y-%m-%d}"


def age_of(id: str) -> float:  # noqa: A002 - the record's own word
    """Seconds since an id was made; below 0 where another machine's clock is ahead."""
    return time.time() - int(id[1:13], 16) / 1000


def first_of(day: str) -> str:
    """What no id of a trace of a day lies below, and every one of the days before does."""
    start = datetime.fromisoformat(day).replace(tzinfo=UTC)
    return f"{TRACE}{int(start.timestamp() * 1000):012x}"
