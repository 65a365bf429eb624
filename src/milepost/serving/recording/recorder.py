"""Takes traces in on the path of requests and has one thread write them in groups.

The event loop appends to a queue and does nothing else: policy, encoding and the store are the
writer's. While a group is written the next one gathers, so that a commit serves all who wait for
it (group commit; DeWitt et al., "Implementation Techniques for Main Memory Database Systems",
SIGMOD 1984, section 5.2).
"""

import asyncio
import atexit
import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, MutableSequence, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from milepost._base.clock import Clock, utc_now
from milepost.entities.errors import InputError, MilepostError, RecordingError
from milepost.entities.serving import RecordingRule, Trace
from milepost.serving.recording.marker import (
    ACCEPTED,
    DROPPED,
    SETTLED,
    Marker,
    left_behind,
)
from milepost.serving.recording.policy import as_kept, sampled
from milepost.serving.recording.sinks import Expiring, TraceSink

STRICT_SECONDS = 5.0
"""The longest that an answer waits for its record where it must have one."""

MOST_CHARS = 64_000_000
"""The most characters of input that wait; beyond it the oldest traces are dropped."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0
_EXPIRE_EVERY = 60.0
_AT_ONCE = 5000
_SLICE = 32

_log = logging.getLogger("milepost.recording")

LossTold = Callable[[int, str], None]
"""Called with how many answers lost their trace, and why. May raise ``MilepostError``."""


@dataclass(slots=True, eq=False)
class _Entry:
    """The traces of one request on their way; ``done`` is there where somebody waits for them."""

    traces: Sequence[Trace]
    rule: RecordingRule
    chars: int
    done: "asyncio.Future[None] | None" = None


@dataclass(slots=True, eq=False)
class _Failing:
    """A sink that fails: since when nothing more is tried, and until when.

    Attributes:
        why: What it said, for people.
        dropped: Traces that had been dropped when it began.
        pause: Seconds from the last try to the next.
        until: ``time.monotonic()`` of the next try.
    """

    why: str
    dropped: int
    pause: float = _FIRST_PAUSE
    until: float = field(default=0.0)


class Recorder:
    """A bounded buffer before a sink, and the thread that empties it.

    ``record``, ``commit``, ``hurry`` and ``unready`` are called on one event loop; the sink's
    ``write`` and ``expire``, and ``on_loss``, are called by the writer thread; ``close`` and the
    counters by any.

    What can be lost: when the process is killed, what came in since the last group was written, at
    most ``flush_seconds`` and one write ago; the next recorder in the same ``folder`` counts it.
    While the sink fails, the oldest traces beyond the buffer; they are counted as they are
    dropped. What ``commit`` waited for is never lost.

    Args:
        sink: Where traces go. The recorder closes it.
        flush_seconds: The longest that a trace waits while the sink is free, in seconds, > 0.
        group: Traces after which a group is written before its time, ≥ 1.
        buffer: The most traces that wait, ≥ 1; besides, no more than ``MOST_CHARS`` of inputs do.
        folder: Where this and other recorders of the machine leave their counters; ``None`` counts
            nothing that a killed process lost.
        on_loss: Told of losses when they are known; ``None`` tells only the log.
    """

    def __init__(
        self,
        sink: TraceSink,
        *,
        flush_seconds: float = 0.5,
        group: int = 1000,
        buffer: int = 50_000,
        folder: Path | None = None,
        on_loss: LossTold | None = None,
    ) -> None:
        self.sink = sink
        self.lost_before = 0
        """Traces that killed recorders of this machine had taken in and not written."""
        self.recorded = 0
        """Traces that were written."""
        self._flush_seconds, self._group, self._buffer = flush_seconds, group, buffer
        self._on_loss = on_loss
        self._clock: Clock = utc_now
        # Appended to by the loop, emptied by the writer; the loop also drops from the old end.
        self._waiting: deque[_Entry] = deque()
        self._strict: deque[_Entry] = deque()
        # Each counter is changed by one thread only, so that none needs a lock.
        self._numbers: MutableSequence[int] = [0, 0, 0]
        self._chars_in = self._chars_out = self._chars_dropped = 0
        self._strict_in = self._strict_out = 0
        self._refused = self._told = 0
        self._wake, self._ended = threading.Event(), threading.Event()
        self._close_by = 0.0
        self._failing: _Failing | None = None
        self._expire_at = 0.0
        self._losses: list[tuple[int, str]] = []
        self._marker: Marker | None = None
        if folder is not None:
            # Whether it was killed, or nobody told it to end, cannot be seen any more.
            self._losses.extend(
                (n, f"{who} ended without writing them") for n, who in left_behind(folder)
            )
            self.lost_before = sum(count for count, _ in self._losses)
            self._marker = Marker(folder)
            self._numbers = cast("MutableSequence[int]", self._marker.numbers)
        self._thread = threading.Thread(target=self._work, name="milepost-recorder", daemon=True)
        self._thread.start()
        # An application that mounts a gateway may not tell it to end.
        atexit.register(self.close)

    @property
    def lost(self) -> int:
        """Answers that have no trace though they should: dropped, refused, or lost in a kill."""
        return self._numbers[DROPPED] + self._refused + self.lost_before

    @property
    def waiting(self) -> int:
        """Traces that are not written yet."""
        return self._loose + self._strict_in - self._strict_out

    def record(self, traces: Sequence[Trace], rule: RecordingRule) -> None:
        """Take in the traces of one request; never blocks and never raises.

        Args:
            traces: With their inputs, whatever the rule keeps of them.
            rule: Of their task; all traces are of one.
        """
        traces = sampled(traces, rule)
        if not traces:
            return
        entry = _entry(traces, rule)
        self._numbers[ACCEPTED] += len(traces)
        self._chars_in += entry.chars
        self._waiting.append(entry)
        loose = self._loose
        if loose > self._buffer or self._chars > MOST_CHARS:
            self._drop_oldest()
        elif loose >= self._group and not self._wake.is_set():
            self._wake.set()

    async def commit(self, traces: Sequence[Trace], rule: RecordingRule) -> None:
        """Return when the traces of one request are stored for good.

        Raises:
            RecordingError: If they cannot be stored, or were not within some seconds. They may be
                there nevertheless.
        """
        traces = sampled(traces, rule)
        if not traces:
            return
        failing = self._failing
        if failing is not None and time.monotonic() < failing.until:
            raise _cannot(failing.why)
        if self._ended.is_set():
            raise _cannot("the server is stopping")
        if self._strict_in - self._strict_out >= self._buffer:
            raise _cannot("too many answers wait for their records")
        entry = _entry(traces, rule, asyncio.get_running_loop().create_future())
        self._strict_in += len(traces)
        self._strict.append(entry)
        self._wake.set()
        try:
            async with asyncio.timeout(STRICT_SECONDS):
                await cast("asyncio.Future[None]", entry.done)
        except TimeoutError:
            raise _cannot(f"it takes longer than {STRICT_SECONDS:g} s") from None

    def hurry(self) -> None:
        """Have what waits written now; somebody asks for it. Returns at once."""
        self._wake.set()

    def unready(self) -> str | None:
        """Why answers are losing their traces at this moment; ``None`` while none does."""
        failing = self._failing
        if failing is not None and self._numbers[DROPPED] > failing.dropped:
            return f"traces are being lost: {failing.why}"
        return None

    def close(self, grace: float = 5.0) -> None:
        """Write what waits, within so many seconds, and stop. What is left is counted as lost.

        Blocks: an event loop calls it in a thread. Again, it does nothing. Nothing may be recorded
        any more when it is called.
        """
        if self._ended.is_set():
            return
        atexit.unregister(self.close)
        self._close_by = time.monotonic() + grace
        self._ended.set()
        self._wake.set()
        self._thread.join(grace + 0.5)
        if self._thread.is_alive():
            # It hangs in the sink. The marker stays, so that the next start counts what waits.
            _log.error("%d traces were not written before the end.", self.waiting)
            return
        if self._marker is not None:
            self._numbers = list(self._numbers)
            self._marker.close()
        self.sink.close()

    @property
    def _loose(self) -> int:
        numbers = self._numbers
        return numbers[ACCEPTED] - numbers[DROPPED] - numbers[SETTLED]

    @property
    def _chars(self) -> int:
        return self._chars_in - self._chars_dropped - self._chars_out

    def _drop_oldest(self) -> None:
        while self._loose > self._buffer or self._chars > MOST_CHARS:
            try:
                oldest = self._waiting.popleft()
            except IndexError:
                return  # all of it is being written at this moment
            self._numbers[DROPPED] += len(oldest.traces)
            self._chars_dropped += oldest.chars

    # What follows runs in the writer thread.

    def _work(self) -> None:
        while True:
            self._await_work()
            ended = self._ended.is_set()
            while self._waiting or self._strict:
                if not self._write_group():
                    break
            if self._failing is None:
                self._tell_losses()
            if ended and self._finished():
                return
            if not ended:
                self._expire()

    def _await_work(self) -> None:
        pause = self._failing.until - time.monotonic() if self._failing is not None else 0.0
        if self._ended.is_set():
            time.sleep(max(0.0, min(0.1, pause)))
        elif pause > 0.0:
            self._ended.wait(pause)
        else:
            self._wake.wait(self._flush_seconds)
        self._wake.clear()

    def _finished(self) -> bool:
        """Whether nothing is left to write, or no time to write it."""
        if time.monotonic() < self._close_by and (self._waiting or self._strict):
            return False
        self._fail(self._drained(self._strict, self._buffer), "the server is stopping")
        left = sum(len(entry.traces) for entry in self._drained(self._waiting, self._buffer))
        if left:
            self._numbers[SETTLED] += left
            self._refused += left
            self._losses.append((left, "the server stopped before they could be written"))
        self._tell_losses()
        return True

    def _write_group(self) -> bool:
        """Write what waits, up to a bound; ``False`` where the sink failed."""
        strict = self._drained(self._strict, _AT_ONCE)
        loose = self._drained(self._waiting, _AT_ONCE)
        entries = strict + loose
        try:
            self.sink.write(_rows(entries))
        except InputError:
            return self._write_singly(strict, loose)
        except Exception as error:  # noqa: BLE001 - whatever a sink does, the thread must go on
            self._failed(error, strict, loose)
            return False
        self._kept(entries)
        return True

    def _write_singly(self, strict: list[_Entry], loose: list[_Entry]) -> bool:
        """Find the request that cannot be kept, so that it does not hold up the others."""
        while strict or loose:
            entry = (strict or loose)[0]
            try:
                self.sink.write(_rows([entry]))
                self._kept([entry])
            except InputError as error:
                self._refuse(entry, str(error))
            except Exception as error:  # noqa: BLE001 - as above
                self._failed(error, strict, loose)
                return False
            (strict or loose).pop(0)
        return True

    def _kept(self, entries: Sequence[_Entry]) -> None:
        self._failing = None
        self.recorded += sum(len(entry.traces) for entry in entries)
        self._settle(entries)
        _resolve([entry.done for entry in entries if entry.done is not None], None)

    def _settle(self, entries: Sequence[_Entry]) -> None:
        for entry in entries:
            if entry.done is None:
                self._numbers[SETTLED] += len(entry.traces)
                self._chars_out += entry.chars
            else:
                self._strict_out += len(entry.traces)

    def _refuse(self, entry: _Entry, why: str) -> None:
        self._settle([entry])
        if entry.done is not None:
            _resolve([entry.done], why)
            return
        self._refused += len(entry.traces)
        self._losses.append((len(entry.traces), f"they cannot be stored: {why}"))

    def _failed(self, error: Exception, strict: list[_Entry], loose: list[_Entry]) -> None:
        why = error.what if isinstance(error, MilepostError) else type(error).__name__
        if self._failing is None:
            _log.warning("Traces cannot be written to %s: %s", self.sink.label, why)
            self._failing = _Failing(why, self._numbers[DROPPED])
        else:
            self._failing.why = why
            self._failing.pause = min(2 * self._failing.pause, _LONGEST_PAUSE)
        self._failing.until = time.monotonic() + self._failing.pause
        self._waiting.extendleft(reversed(loose))
        self._fail(strict + self._drained(self._strict, self._buffer), why)

    def _fail(self, strict: list[_Entry], why: str) -> None:
        self._settle(strict)
        _resolve([entry.done for entry in strict if entry.done is not None], why)

    def _tell_losses(self) -> None:
        """Tell once what was lost since the last time."""
        dropped = self._numbers[DROPPED]
        if dropped > self._told:
            why = "they waited too long for a store that failed"
            self._losses.append((dropped - self._told, why))
            self._told = dropped
        while self._losses:
            count, why = self._losses[0]
            try:
                if self._on_loss is not None:
                    self._on_loss(count, why)
            except MilepostError:
                return  # said again when the ledger answers
            _log.warning("answers without a trace: %d, because %s.", count, why)
            self._losses.pop(0)

    def _expire(self) -> None:
        if time.monotonic() < self._expire_at:
            return
        try:
            more = self.sink.expire(self._clock())
        except Exception as error:  # noqa: BLE001 - as above
            _log.warning("Expired traces cannot be removed: %s", error)
            more = False
        self._expire_at = time.monotonic() + (0.0 if more else _EXPIRE_EVERY)

    @staticmethod
    def _drained(entries: deque[_Entry], most: int) -> list[_Entry]:
        """Take entries of at most so many traces, one entry at least."""
        taken: list[_Entry] = []
        count = 0
        while count < most:
            try:
                taken.append(entries.popleft())
            except IndexError:
                break
            count += len(taken[-1].traces)
        return taken


def _entry(
    traces: Sequence[Trace], rule: RecordingRule, done: "asyncio.Future[None] | None" = None
) -> _Entry:
    return _Entry(traces, rule, sum(map(_chars, traces)), done)


def _chars(trace: Trace) -> int:
    return len(trace.text or "") + (len(trace.said) if trace.said is not None else 0)


def _rows(entries: Sequence[_Entry]) -> list[Expiring]:
    """What is kept of the traces, without keeping the interpreter for long."""
    rows: list[Expiring] = []
    for entry in entries:
        for trace in entry.traces:
            rows.append(as_kept(trace, entry.rule))
            if len(rows) % _SLICE == 0:
                time.sleep(0)
    return rows


def _cannot(why: str) -> RecordingError:
    return RecordingError(
        f"the answer cannot be recorded, and this task gives none that is not: {why}.",
        advice="Try again soon.",
    )


def _resolve(waiting: Sequence["asyncio.Future[None]"], why: str | None) -> None:
    """Let those who wait go on, with one call into each of their loops."""
    by_loop: dict[asyncio.AbstractEventLoop, list[asyncio.Future[None]]] = {}
    for each in waiting:
        by_loop.setdefault(each.get_loop(), []).append(each)
    for loop, futures in by_loop.items():
        # A loop that was closed meanwhile has nobody left who waits.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(_let_go, futures, why)


def _let_go(futures: Sequence["asyncio.Future[None]"], why: str | None) -> None:
    for each in futures:
        if each.done():
            continue
        if why is None:
            each.set_result(None)
        else:
            each.set_exception(_cannot(why))
