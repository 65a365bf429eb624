"""What the gate says, and the comparisons that it reads."""

from typing import Literal

import msgspec

Verdict = Literal["released", "kept", "rejected", "insufficient_evidence"]
"""``released``: good enough and better than what runs. ``kept``: good enough, but not shown to be
better than what runs. ``rejected``: shown to miss the objective. ``insufficient_evidence``: the
labels cannot tell."""


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """A paired comparison of two predictors on the same examples.

    Attributes:
        metric: What was compared.
        against: Name of the other one, such as ``majority`` or ``release 3``.
        difference: Metric of this one minus the other's.
        low: Lower end of the two-sided interval of the difference.
        high: Upper end of it.
        p_value: One-sided p-value of "this one is not better".
        p_worse: One-sided p-value of "this one is not worse".
        n: Examples both were judged on.
        method: Test used, such as ``exact McNemar``.
    """

    metric: str
    against: str
    difference: float
    low: float
    high: float
    p_value: float
    p_worse: float
    n: int
    method: str


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict with its reasons as sentences, most important first.

    Attributes:
        verdict: What the gate says.
        reasons: Why, as sentences.
        no_use: Whether nothing else is against the candidate than that it is not shown to be above
            ``majority``, of a task without a floor.
    """

    verdict: Verdict
    reasons: tuple[str, ...]
    no_use: bool = False
