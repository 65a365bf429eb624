"""What is known of one call while it is tried: its deadline, its attempts and what they cost."""

from dataclasses import replace
from typing import TYPE_CHECKING

from milepost.entities.errors import UpstreamError
from milepost.entities.language import ModelRequest
from milepost.entities.upstream import Upstream
from milepost.models.language.asking import Terms

if TYPE_CHECKING:
    from milepost.models.language.resilience.lane import Lane

PATIENT = frozenset({"improve", "evaluate"})
"""Purposes whose calls wait for an endpoint that rests, as nobody waits for a single one of them:
a short outage must not cost a contest its answers. All others are told at once."""

GRACE_S = 0.02
"""What an endpoint gets beyond the deadline to say itself how it failed, and what that cost."""


class Trial:
    """One call, all its attempts together. Used on one event loop.

    Attributes:
        terms: As given, with the deadline of this call.
        deadline: By which it ends, on the clock.
        upstream: Name of the upstream.
        began: When it began, on the clock.
        request: What is asked; ``None`` for embeddings.
        attempts: How often it was sent.
        micro_usd: What the attempts that came to nothing cost.
        tried: Endpoints that failed it; others are asked first.
        last: How the last attempt failed.
    """

    __slots__ = (
        "_waits",
        "attempts",
        "began",
        "deadline",
        "last",
        "micro_usd",
        "request",
        "terms",
        "tried",
        "upstream",
    )

    def __init__(
        self, upstream: Upstream, terms: Terms, request: ModelRequest | None, now: float
    ) -> None:
        latest = now + upstream.timeout_s
        deadline = latest if terms.deadline is None else min(latest, terms.deadline)
        self.terms = terms if terms.deadline == deadline else replace(terms, deadline=deadline)
        self.deadline = deadline
        self.upstream = upstream.name
        self._waits = not upstream.fallback
        self.began = now
        self.request = request
        self.attempts = 0
        self.micro_usd = 0
        self.tried: set[Lane] = set()
        self.last: UpstreamError | None = None

    @property
    def patient(self) -> bool:
        """Whether it waits for endpoints that rest; not where another upstream can be asked."""
        return self._waits and self.terms.purpose in PATIENT

    def failed(self, lane: "Lane", error: UpstreamError) -> None:
        """An attempt came to nothing."""
        self.tried.add(lane)
        self.micro_usd += error.micro_usd
        self.attempts += max(0, error.attempts - 1)
        self.last = error

    def error(self, last: UpstreamError) -> UpstreamError:
        """How the whole call failed: as its last attempt did, with what all of them cost."""
        return UpstreamError(
            last.outcome,
            last.what,
            upstream=last.upstream or self.upstream,
            advice=last.advice,
            retry_after=last.retry_after,
            micro_usd=self.micro_usd,
            attempts=self.attempts,
        )
