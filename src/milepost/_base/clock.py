"""Time as a value that is passed in, so that records are reproducible in tests."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

Clock = Callable[[], datetime]
"""Returns the current time; always timezone-aware UTC."""


def utc_now() -> datetime:
    """The system clock: timezone-aware UTC with microseconds."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment that work should not pass, on the monotonic clock.

    Attributes:
        at: ``time.monotonic()`` seconds; ``None`` means that there is no deadline.
    """

    at: float | None = None

    @classmethod
    def after(cls, seconds: float | None) -> "Deadline":
        """A deadline that many seconds from now; ``None`` for no deadline."""
        return cls(None if seconds is None else time.monotonic() + seconds)

    @property
    def passed(self) -> bool:
        """Whether the moment has passed."""
        return self.at is not None and time.monotonic() >= self.at

    @property
    def remaining(self) -> float:
        """Seconds left, never negative; infinity without a deadline."""
        return float("inf") if self.at is None else max(0.0, self.at - time.monotonic())
