"""Where answers are kept: in this process within so many bytes, and in the ledger."""

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Protocol

import msgspec

from milepost._base.clock import Clock, utc_now
from milepost.entities.errors import StorageError
from milepost.entities.language import Completion
from milepost.entities.model_calls import KeptAnswer
from milepost.models.language.caching.gathering import Gathered

BYTES = 32 * 2**20
"""Answers that a process holds, about 50,000 short ones."""

LARGEST = 1 / 16
"""Share of the whole that one answer may take."""

OVERHEAD = 400
"""Bytes that an entry takes beside its answer: two keys, a record and a slot."""


GROUP = 1000
"""Answers that are looked up by one query, or kept in one transaction."""


class AnswerStore(Protocol):
    """Answers of one tenant by scope and digest. Used on one event loop."""

    async def answer(self, scope: str, digest: str) -> Completion | None:
        """The answer; ``None`` if there is none or it is too old."""
        ...

    async def keep(
        self, scope: str, digest: str, upstream: str, answer: Completion, seconds: float
    ) -> None:
        """Keep an answer of an upstream for so long; what cannot be kept is let go of."""
        ...

    async def settled(self) -> None:
        """Wait until all is kept whose callers have gone."""
        ...


class MemoryAnswers:
    """Answers in this process; those not used for longest go first. Used on one event loop.

    Args:
        most: Bytes of all answers together, > 0.
        clock: Seconds that never go back.
    """

    def __init__(self, most: int = BYTES, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._clock = clock
        self._held: OrderedDict[tuple[str, str], tuple[Completion, float, int]] = OrderedDict()
        self._bytes = 0

    @property
    def bytes(self) -> int:
        """What all answers take; never more than ``most``."""
        return self._bytes

    async def answer(self, scope: str, digest: str) -> Completion | None:
        """The answer; ``None`` if there is none or it is too old."""
        key = (scope, digest)
        found = self._held.get(key)
        if found is None:
            return None
        if self._clock() >= found[1]:
            self._drop(key)
            return None
        self._held.move_to_end(key)
        return found[0]

    async def keep(
        self, scope: str, digest: str, upstream: str, answer: Completion, seconds: float
    ) -> None:
        """Keep an answer unless it is too large."""
        self.put((scope, digest), answer, self._clock() + seconds)

    async def settled(self) -> None:
        """Nothing is on its way here."""

    def put(self, key: tuple[str, str], answer: Completion, until: float) -> None:
        """Keep an answer until a moment of the clock."""
        self._drop(key)
        size = len(msgspec.json.encode(answer)) + OVERHEAD
        if size > self._most * LARGEST:
            return
        while self._bytes + size > self._most:
            self._drop(next(iter(self._held)))
        self._held[key] = (answer, until, size)
        self._bytes += size

    def _drop(self, key: tuple[str, str]) -> None:
        found = self._held.pop(key, None)
        if found is not None:
            self._bytes -= found[2]


class AnswerLedger(Protocol):
    """What a ledger does for the cache; blocking, and of one tenant. Thread safe."""

    def model_answers(
        self, wanted: Iterable[tuple[str, str]], now: datetime
    ) -> Mapping[tuple[str, str], bytes]:
        """The JSON of those answers that there are and that have not expired."""
        ...

    def keep_model_answers(self, answers: Iterable[KeptAnswer], now: datetime) -> None:
        """Keep answers in the place of older ones, all or none."""
        ...


class LedgerAnswers:
    """Answers in the ledger, where other processes and later ones find them.

    Used on one event loop; the ledger is read and written in its worker threads, one query and one
    transaction at a time: what is wanted meanwhile is looked up or kept together next (group
    commit). Where it cannot be read or written the model is asked, and answers, as if there were no
    cache.

    Args:
        ledger: Of one tenant.
        clock: Now, UTC.
    """

    def __init__(self, ledger: AnswerLedger, clock: Clock = utc_now) -> None:
        self._ledger = ledger
        self._clock = clock
        self._reading: Gathered[tuple[str, str], bytes | None] = Gathered(self._read, GROUP)
        self._writing: Gathered[KeptAnswer, None] = Gathered(self._write, GROUP)

    async def answer(self, scope: str, digest: str) -> Completion | None:
        """The answer; ``None`` if there is none, it is too old, or it cannot be read any more."""
        try:
            found = await self._reading.done((scope, digest))
            return None if found is None else msgspec.json.decode(found, type=Completion)
        except (StorageError, msgspec.DecodeError):
            return None

    async def keep(
        self, scope: str, digest: str, upstream: str, answer: Completion, seconds: float
    ) -> None:
        """Keep an answer: in the database when this returns, unless that cannot be written."""
        kept = KeptAnswer(
            scope=scope,
            digest=digest,
            upstream=upstream,
            answer=msgspec.json.encode(answer),
            expires=self._clock() + timedelta(seconds=seconds),
        )
        with suppress(StorageError):
            await self._writing.done(kept)

    async def settled(self) -> None:
        """Wait until all is kept whose callers have gone."""
        await self._writing.settled()

    def _read(self, wanted: Sequence[tuple[str, str]]) -> list[bytes | None]:
        found = self._ledger.model_answers(wanted, self._clock())
        return [found.get(key) for key in wanted]

    def _write(self, answers: Sequence[KeptAnswer]) -> list[None]:
        self._ledger.keep_model_answers(answers, self._clock())
        return [None] * len(answers)


class NearAnswers:
    """Answers of a store that is far, with those used lately at hand. Used on one event loop.

    Args:
        near: In this process.
        far: Where all of them are.
        held_s: Seconds that an answer from afar is used without looking again, > 0.
        clock: Seconds that never go back, the same as the near one's.
    """

    def __init__(
        self,
        near: MemoryAnswers,
        far: AnswerStore,
        held_s: float = 600.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._near = near
        self._far = far
        self._held_s = held_s
        self._clock = clock

    async def answer(self, scope: str, digest: str) -> Completion | None:
        """The answer; ``None`` if there is none or it is too old."""
        found = await self._near.answer(scope, digest)
        if found is None:
            found = await self._far.answer(scope, digest)
            if found is not None:
                self._near.put((scope, digest), found, self._clock() + self._held_s)
        return found

    async def keep(
        self, scope: str, digest: str, upstream: str, answer: Completion, seconds: float
    ) -> None:
        """Keep an answer in both."""
        await self._far.keep(scope, digest, upstream, answer, seconds)
        until = self._clock() + min(seconds, self._held_s)
        self._near.put((scope, digest), answer, until)

    async def settled(self) -> None:
        """Wait until all is kept whose callers have gone."""
        await self._far.settled()
