"""How many inputs a key may send per second, over all workers of a machine."""

import math
import mmap
import struct
import time
from collections.abc import Callable

from milepost.entities.errors import OverloadedError

SLOTS = 65_536
SLOT = struct.Struct("=Qd")
BYTES = SLOTS * SLOT.size
"""Size of the memory that workers share, in bytes: one slot per key in use."""

PROBES = 16
BURST_SECONDS = 1.0
"""A key that was quiet may send what it may send in this time at once."""


class Rates:
    """The generic cell rate algorithm (ITU-T I.371) in memory that several workers share.

    A slot holds the id of a key and the time at which it would have sent all that it has sent, had
    it kept to its rate. Workers write without a lock: two that write in the same moment let one
    request more through. Used on one event loop per worker; the clock is that of the machine.

    Args:
        descriptor: File of ``BYTES`` zeros that workers share; -1 for memory of this one alone.
        clock: Monotonic seconds, the same in all workers.
    """

    def __init__(self, descriptor: int = -1, clock: Callable[[], float] = time.monotonic) -> None:
        self._slots = mmap.mmap(descriptor, BYTES)
        self._clock = clock

    def take(self, key: str, inputs: int, per_second: float) -> None:
        """Count inputs of a key.

        A single request of more than a second's worth is let through, and the next ones wait until
        it has paid off.

        Args:
            key: Id of the key.
            inputs: How many it sends now.
            per_second: How many it may send per second, > 0.

        Raises:
            OverloadedError: If it sends faster than it may.
        """
        now = self._clock()
        number = int(key[1:] or "0", 16) + 1
        at, due = self._find(number)
        ahead = max(due, now) - now
        if ahead >= BURST_SECONDS:
            raise OverloadedError(
                f"this key may send {per_second:g} inputs per second.",
                retry_after=max(1.0, math.ceil(ahead - BURST_SECONDS)),
                own=True,
            )
        SLOT.pack_into(self._slots, at, number, now + ahead + inputs / per_second)

    def _find(self, number: int) -> tuple[int, float]:
        """Where the slot of a key is, and the time in it; else the one that is paid off first."""
        first = number * 0x9E3779B97F4A7C15 >> 13
        free, free_due = -1, math.inf
        for probe in range(PROBES):
            at = (first + probe) % SLOTS * SLOT.size
            owner, due = SLOT.unpack_from(self._slots, at)
            if owner == number:
                return at, due
            if due < free_due:
                free, free_due = at, due
        return free, 0.0
