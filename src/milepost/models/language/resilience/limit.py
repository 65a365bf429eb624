"""How many calls an endpoint is given at a time, found out from what it refuses.

By additive increase and multiplicative decrease (Chiu and Jain, Computer Networks and ISDN Systems
17, 1989). Not from latencies: those of a language model follow the length of its answers.
"""

DECREASE = 0.7


class Limit:
    """The most calls at a time of one endpoint, between 1 and ``most``. Used on one event loop.

    Args:
        most: Never more than this; also what it starts with.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._now = float(most)
        self._cut = 0
        self._begun = 0

    @property
    def calls(self) -> int:
        """Calls that may be on their way at a time."""
        return int(self._now)

    def begin(self) -> int:
        """A call begins; its number says whether it began before the last decrease."""
        self._begun += 1
        return self._begun

    def more(self, flying: int) -> None:
        """A call went well while so many were on their way, itself included.

        One more per round of calls, and only where the limit was what held them back.
        """
        if flying >= self.calls:
            self._now = min(float(self._most), self._now + 1.0 / self._now)

    def less(self, number: int) -> None:
        """A call was refused for load: fewer from now on, once for each round of calls."""
        if number > self._cut:
            self._now = max(1.0, self._now * DECREASE)
            self._cut = self._begun
