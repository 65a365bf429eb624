"""Random numbers for ids, from the system's generator, drawn many at a time.

A draw is a call of the kernel that lets other threads run. On an event loop beside threads that
compute, getting the interpreter back takes far longer than the draw, for every id.
"""

import os
import struct
from collections import deque

_AT_ONCE = 512

_drawn: deque[int] = deque()


def random64() -> int:
    """A number of 64 random bits, never given before. Thread safe."""
    while True:
        try:
            return _drawn.popleft()
        except IndexError:
            _drawn.extend(struct.unpack(f"{_AT_ONCE}Q", os.urandom(8 * _AT_ONCE)))


# Two processes must not give the same numbers.
os.register_at_fork(after_in_child=_drawn.clear)
