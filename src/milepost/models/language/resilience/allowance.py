"""How often an upstream may be asked again: a share of what it is asked anyway.

When an upstream fails altogether, every caller that tries again adds to its load. A bucket that
only first attempts fill bounds what is added, however many callers there are (Beyer et al., Site
Reliability Engineering, 2016, chapter 21; as retry throttling in gRFC A6).
"""

EARNED = 0.18
"""Further attempts that a first one earns. With what a full bucket holds, the whole stays below
1.2 attempts a call from 500 calls on."""

MOST = 10.0
"""Further attempts that a bucket holds at most: what a burst of failures may add at once."""

AT_FIRST = 2.0
"""Further attempts before anything was earned, so that the first call of a process has some."""


class Allowance:
    """Further attempts (retries and hedges) of one upstream. Used on one event loop.

    Attributes:
        first: First attempts so far.
        further: Further attempts so far; at most ``AT_FIRST + EARNED * first``, and
            ``MOST + EARNED * n`` over any ``n`` first ones in a row.
    """

    def __init__(self) -> None:
        self.first = 0
        self.further = 0
        self._held = AT_FIRST

    def earn(self) -> None:
        """A first attempt is made."""
        self.first += 1
        self._held = min(MOST, self._held + EARNED)

    def take(self) -> bool:
        """Whether a further attempt may be made; counts it if so."""
        if self._held < 1.0:
            return False
        self._held -= 1.0
        self.further += 1
        return True
