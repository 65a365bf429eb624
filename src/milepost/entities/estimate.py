"""A measured number: value, interval, sample size, method."""

import msgspec

UNDEFINED = "undefined"
"""Method of an estimate of nothing, such as the precision of a label that was never answered: the
value is 0 by convention and the interval holds every value."""


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """A measured number.

    Attributes:
        value: Point estimate.
        low: Lower end of the two-sided interval.
        high: Upper end of the two-sided interval.
        n: Examples behind it.
        method: How the interval was made, such as ``wilson`` or ``bca``.
        at_least: One-sided lower confidence bound at the same confidence as the interval
            (95 % unless set); what a floor is held against.
        at_most: One-sided upper confidence bound at the same confidence.
    """

    value: float
    low: float
    high: float
    n: int
    method: str
    at_least: float
    at_most: float
