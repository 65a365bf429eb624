"""Texts that wait, and which of them go together. Knows lengths, not tokens; takes no lock."""

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from milepost.models.adapters import Adapter
from milepost.models.words import WordSpace
from milepost.serving.engine.tickets import Waiter
from milepost.serving.engine.work import Encoding

ROWS = 16
"""Most texts of one pass: throughput is flat from 8 on, and a larger batch only waits longer."""

PADDED_TOKENS = 512
"""Most tokens of one pass, padding included; more leaves the processor's cache."""

TEXT_ROWS = 64
"""Most texts of one batch that no encoder reads."""

CHARACTERS_PER_TOKEN = 4
"""By which lengths are guessed before a text is tokenised: English has about so many."""

_LONGEST = 1 << 30


class Job:
    """One text on its way, and all who wait for it.

    Attributes:
        text: What is encoded.
        length: Its guessed length in tokens.
        number: Grows by one per job: who came first.
        since: ``time.monotonic()`` when it came.
        waiters: Who wants what of it.
        states: Whether somebody wants the states of its tokens.
        running: Whether a thread has begun with it.
        wanted: Spaces whose vectors somebody wants, by name.
        vectors: ``(d,) float32`` by space once they are known; some before, from the cache. Of
            the space of words ``(words, d)``.
        tokens: Tokens that were read for the vectors.
        spared: Its tokens where all vectors were known.
        found: ``(tokens, d) float32`` states, once they are known and where they were wanted.
        error: Why its encoder failed.
    """

    __slots__ = (
        "error", "found", "length", "number", "running", "since", "spared", "states", "text",
        "tokens", "vectors", "waiters", "wanted",
    )  # fmt: skip

    def __init__(self, text: str, length: int, number: int, since: float, waiter: Waiter) -> None:
        self.text = text
        self.length = length
        self.number = number
        self.since = since
        self.waiters = [waiter]
        self.states = waiter.stack.states
        self.running = False
        self.wanted: Mapping[str | None, Adapter | WordSpace | None] = waiter.stack.spaces
        self.vectors: dict[str | None, NDArray[np.float32]] = {}
        self.tokens = self.spared = 0
        self.found: NDArray[np.float32] | None = None
        self.error: Exception | None = None

    def join(self, waiter: Waiter) -> bool:
        """Let one more wait for it, unless it began without what that one needs."""
        stack = waiter.stack
        if (stack.states and not self.states) or not stack.spaces.keys() <= self.wanted.keys():
            if self.running:
                return False
            self.states |= stack.states
            self.wanted = {**self.wanted, **stack.spaces}
        self.waiters.append(waiter)
        return True

    def leave(self, now: float) -> list[Waiter]:
        """Lets those go who wait no more, and gives them."""
        gone = [each for each in self.waiters if each.gone(now)]
        if gone:
            self.waiters = [each for each in self.waiters if not each.gone(now)]
        return gone


class Lane:
    """What waits for one trunk, or for none. All calls hold the engine's lock.

    Args:
        trunk: Encodes; ``None`` for texts whose heads need no pass.
    """

    def __init__(self, trunk: Encoding | None) -> None:
        self.trunk = trunk
        self.most = _LONGEST if trunk is None else trunk.max_tokens
        self.jobs: dict[str, Job] = {}
        self._first: deque[Job] = deque()
        self._sorted: list[tuple[int, int, Job]] = []

    def __len__(self) -> int:
        return len(self._sorted)

    @property
    def oldest(self) -> int:
        """Number of the oldest job that waits; there is one."""
        while self._first[0].running:
            self._first.popleft()
        return self._first[0].number

    def add(self, job: Job, *, single: bool) -> None:
        """Let a job wait.

        Args:
            job: The job.
            single: Whether later askers of the same text may join it.
        """
        if single:
            self.jobs[job.text] = job
        self._first.append(job)
        insort(self._sorted, (job.length, job.number, job))

    def take(self, threads: int) -> list[Job]:
        """The oldest text and those of nearest length that one pass should take with it.

        Never more than an equal share of what waits, so that no thread idles, and never none:
        a text is overtaken by at most so many batches as there were texts before it.

        Args:
            threads: Threads that share what waits.
        """
        share = -(-len(self._sorted) // threads)
        rows = min(ROWS if self.trunk is not None else TEXT_ROWS, share)
        number = self.oldest
        seed = self._first.popleft()
        low = bisect_left(self._sorted, (seed.length, number))
        high = low + 1  # what is taken is low up to high, without high
        while high - low < rows:
            shorter = self._sorted[low - 1][0] if low else None
            longer = self._sorted[high][0] if high < len(self._sorted) else None
            if longer is not None and (high - low + 1) * longer > PADDED_TOKENS:
                longer = None
            longest = self._sorted[high - 1][0]
            if shorter is not None and (high - low + 1) * longest > PADDED_TOKENS:
                shorter = None
            if shorter is None and longer is None:
                break
            if longer is None or (
                shorter is not None and seed.length - shorter <= longer - seed.length
            ):
                low -= 1
            else:
                high += 1
        taken = [job for _, _, job in self._sorted[low:high]]
        del self._sorted[low:high]
        for job in taken:
            job.running = True
        return taken

    def clear(self) -> list[Job]:
        """Everything that waits; nothing waits afterwards."""
        left = [job for _, _, job in self._sorted]
        self._sorted.clear()
        self._first.clear()
        return left

    def done(self, job: Job) -> None:
        """Let nobody join a job any more."""
        if self.jobs.get(job.text) is job:
            del self.jobs[job.text]


def guess(text: str, most: int) -> int:
    """Tokens that a text may have, from 1 to ``most``."""
    size = len(text)
    if not text.isascii():
        size *= 2  # most other scripts have fewer characters to a token
    return min(most, 2 + size // CHARACTERS_PER_TOKEN)


def passes(trunk: Encoding, lengths: Sequence[int]) -> list[list[int]]:
    """Rows of each pass, now that the lengths are known: one, unless they fit together badly.

    Args:
        trunk: Knows what rows of these lengths cost.
        lengths: Tokens of each row.
    """
    rows = list(range(len(lengths)))
    if len(rows) == 1 or trunk.padded_cost(lengths) <= 2 * PADDED_TOKENS:
        return [rows]
    rows.sort(key=lengths.__getitem__)
    split: list[list[int]] = [[]]
    for row in rows:
        fits = trunk.padded_cost([lengths[each] for each in (*split[-1], row)]) <= PADDED_TOKENS
        if split[-1] and not fits:
            split.append([])
        split[-1].append(row)
    return split
