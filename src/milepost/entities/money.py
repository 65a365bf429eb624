"""Money: amounts, budgets, and whose budgets a call counts in.

Money is counted in whole micro-USD (10⁻⁶ USD), prices in micro-USD per million tokens.
"""

from datetime import UTC, datetime
from typing import Annotated, Literal

import msgspec

Micro = Annotated[int, msgspec.Meta(ge=0)]
"""Micro-USD, or micro-USD per million tokens."""

MICRO = 1_000_000
"""Micro-USD in a USD, and tokens in the million that prices are for."""

Period = Literal["day", "month", "total"]
"""UTC day, UTC month, or all time."""

WORKSPACE = "workspace"
"""Scope of everything that is spent."""


def scopes(
    *, upstream: str, task: str | None = None, key: str | None = None, job: str | None = None
) -> tuple[str, ...]:
    """Scopes whose budgets a call counts in, in one order for everybody."""
    named = (("job", job), ("key", key), ("task", task), ("upstream", upstream))
    return (*(f"{kind}:{name}" for kind, name in named if name is not None), WORKSPACE)


def window_of(period: Period, now: datetime) -> datetime:
    """First moment of the period that ``now`` lies in, UTC."""
    if period == "total":
        return datetime(1970, 1, 1, tzinfo=UTC)
    day = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return day.replace(day=1) if period == "month" else day


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """The most that may be spent in a scope, and what was.

    Attributes:
        scope: ``workspace``, ``task:NAME``, ``key:ID``, ``upstream:NAME`` or ``job:ID``.
        micro_usd: Most in a period.
        period: UTC day, UTC month, or all time.
        window: First moment of the period that ``spent`` counts; earlier ones are over.
        spent: Settled in the period.
        reserved: Reserved by calls that have not ended.
    """

    scope: str
    micro_usd: Micro
    period: Period = "month"
    window: datetime | None = None
    spent: Micro = 0
    reserved: Micro = 0

    @property
    def left(self) -> int:
        """What a further call may reserve, in micro-USD; never below 0."""
        return max(0, self.micro_usd - self.spent - self.reserved)


def usd(micro: int) -> str:
    """Micro-USD in words, such as ``$0.31``; small amounts keep three figures."""
    if micro >= MICRO or micro == 0:
        return f"${micro / MICRO:,.2f}"
    # A micro-USD has six decimals; the digits before the third figure are zeros.
    decimals = max(2, min(6, 9 - len(str(micro))))
    exact = f"{micro / MICRO:.{decimals}f}"
    return f"${exact[:4]}{exact[4:].rstrip('0')}"
