"""The sink that keeps traces as Parquet files, by way of a journal on the local disk.

A group counts when it is flushed in the journal; every minute, or every so many rows, the journal
becomes Parquet files at the place. So a crash loses nothing that was written, also where the place
is an object store that cannot be appended to, and there are not thousands of small files.
"""

import logging
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path

import msgspec

from milepost._base.clock import Clock, utc_now
from milepost.entities.errors import CorruptError, MilepostError, StorageError
from milepost.entities.serving import Trace, TraceFilter
from milepost.serving.recording.ids import day_of, first_of
from milepost.serving.recording.journal import Journal, abandoned, journals, lines_of
from milepost.serving.recording.segments import Line, Segments
from milepost.serving.recording.sinks import Expiring

_MOST_FILES = 200
_AGAIN = 30.0
_SLICE = 32
_ID = re.compile("t[0-9a-f]{32}")

_log = logging.getLogger("milepost.recording")
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Line).decode


class ParquetSink:
    """Traces in Parquet files, and the newest of them in journals of this machine's recorders.

    Readers on other machines see traces when they are in files. ``write``, ``expire`` and
    ``close`` are called by one thread, the others by any.

    Args:
        place: A folder, or any address that fsspec knows.
        journals: Local folder for journals, one for all recorders of the machine.
        rows: Rows after which a journal becomes files, ≥ 1.
        seconds: Age at which it does, in seconds.
        most_bytes: The longest that a journal grows while the place cannot be written, in bytes;
            beyond it writing fails.
        clock: Gives the time from which expired traces are hidden.

    Raises:
        WorkspaceError: If the kind of address is unknown, or what it needs is not installed.
        StorageError: If a server that is asked at once does not answer.
    """

    def __init__(
        self,
        place: str | Path,
        journals: Path,
        *,
        rows: int = 20_000,
        seconds: float = 60.0,
        most_bytes: int = 256 << 20,
        clock: Clock = utc_now,
    ) -> None:
        self._segments = Segments(place)
        self.label = self._segments.label
        self._folder, self._clock = journals, clock
        self._rows, self._seconds, self._most_bytes = rows, seconds, most_bytes
        self._journal: Journal | None = None
        self._due = self._again = 0.0
        self._expired_by: datetime | None = None

    def write(self, traces: Sequence[Expiring]) -> None:
        """Keep a group in the journal; see ``TraceSink``."""
        if not traces:
            return
        lines = _lines(traces)
        if self._journal is None:
            self._take_over()
            self._journal = Journal(self._folder)
            self._due = time.monotonic() + self._seconds
        if self._journal.size > self._most_bytes:
            raise StorageError(
                "the journal of traces is full: they could not be moved to their place.",
                where=self.label,
                advice="Look whether the place can be written.",
            )
        self._journal.append(lines)
        now = time.monotonic()
        if now >= self._again and (self._journal.rows >= self._rows or now >= self._due):
            self._roll()

    def trace(self, id: str) -> Trace | None:  # noqa: A002 - the record's own word
        """A trace by its id; see ``TraceSink``."""
        if _ID.fullmatch(id) is None:
            return None
        after = self._now()
        for line in self._in_journals():
            if line.id == id and line.expires > after:
                return line.trace()
        for segment in self._segments.of_day(day_of(id)):
            if segment.first <= id <= segment.last:
                for trace in self._segments.traces(segment, id, after=after):
                    return trace
        return None

    def traces(
        self,
        task: str | None = None,
        *,
        limit: int = 100,
        before: str | None = None,
        only: TraceFilter | None = None,
    ) -> tuple[Trace, ...]:
        """Traces, newest first; see ``TraceSink``."""
        wanted, after = only or TraceFilter(), self._now()
        found: dict[str, Trace] = {}

        def take(traces: Iterable[Trace]) -> None:
            for trace in traces:
                if (before is None or trace.id < before) and wanted.takes(trace):
                    found[trace.id] = trace

        # Journals first: what moves meanwhile is seen twice rather than not at all.
        take(
            line.trace()
            for line in self._in_journals()
            if line.expires > after and task in {None, line.task}
        )
        equal = {} if task is None else {"task": task}
        for day in self._segments.days():
            for segment in self._segments.of_day(day):
                if before is not None and segment.first >= before:
                    continue
                if _enough(found, limit, segment.last):
                    break
                take(self._segments.traces(segment, after=after, **equal))
            if _enough(found, limit, first_of(day)):
                break
        newest = sorted(found.values(), key=lambda trace: trace.id, reverse=True)
        return tuple(newest[:limit])

    def expire(self, now: datetime) -> bool:
        """Remove files of which all has expired; see ``TraceSink``.

        Files are by the day on which their traces expire, and removed when it is over. Before that
        expired traces are hidden.
        """
        self._expired_by = now
        if time.monotonic() >= max(self._due, self._again):
            self._roll()
        return self._segments.expire(now, _MOST_FILES)

    def close(self) -> None:
        """Move what is in the journal to its place; where that fails it is left for later."""
        if self._journal is not None:
            self._roll()

    def _roll(self) -> None:
        """Make files of the journal and begin a new one; try again later where that fails."""
        journal = self._journal
        if journal is None:
            return
        try:
            self._move(journal.path)
        except MilepostError as error:
            _log.warning("Traces stay in the journal: %s", error)
            self._again = time.monotonic() + _AGAIN
            return
        journal.close()
        self._journal = None

    def _take_over(self) -> None:
        """Move what killed processes of this machine left in their journals."""
        for path in abandoned(self._folder):
            try:
                self._move(path)
            except MilepostError as error:
                _log.warning("Traces of another process stay in its journal: %s", error)

    def _move(self, path: Path) -> None:
        encoded: dict[str, bytes] = {}
        lines: dict[str, Line] = {}
        for data in lines_of(path):
            line = _read(data, path)
            lines.setdefault(line.id, line)
            encoded.setdefault(line.id, data)
            if len(lines) % _SLICE == 0:
                time.sleep(0)
        if lines:
            self._segments.add(list(lines.values()), list(encoded.values()))
        path.unlink(missing_ok=True)

    def _in_journals(self) -> Iterator[Line]:
        for path in journals(self._folder):
            for data in lines_of(path):
                yield _read(data, path)

    def _now(self) -> datetime:
        now = self._clock()
        return now if self._expired_by is None else max(now, self._expired_by)


def _lines(traces: Sequence[Expiring]) -> list[bytes]:
    """Rows as JSON, without keeping the interpreter for long."""
    lines: list[bytes] = []
    for trace, expires in traces:
        lines.append(_line(trace, expires))
        if len(lines) % _SLICE == 0:
            time.sleep(0)
    return lines


def _line(trace: Trace, expires: datetime) -> bytes:
    bare = trace if trace.text is None else msgspec.structs.replace(trace, text=None)
    text = trace.text
    try:
        return _encoded(bare, text, expires)
    except UnicodeEncodeError:
        # Half a character, which no file takes, becomes a question mark.
        whole = {
            name: value.encode(errors="replace").decode()
            for name in ("subject", "request")
            if (value := getattr(bare, name))
        }
        text = None if text is None else text.encode(errors="replace").decode()
        return _encoded(msgspec.structs.replace(bare, **whole), text, expires)


def _encoded(trace: Trace, text: str | None, expires: datetime) -> bytes:
    line = Line(
        id=trace.id,
        task=trace.task,
        release=trace.release,
        channel=trace.channel,
        at=trace.at,
        expires=expires,
        label=trace.label,
        confidence=trace.confidence,
        abstained=trace.abstained,
        key=trace.key,
        text=text,
        record=_encode(trace).decode(),
    )
    return _encode(line) + b"\n"


def _read(data: bytes, path: Path) -> Line:
    try:
        return _decode(data)
    except msgspec.DecodeError as error:
        raise CorruptError(
            f"a journal of traces cannot be read: {error}.",
            where=str(path),
            advice="Move it away; what it holds is lines of JSON.",
        ) from error


def _enough(found: Iterable[str], limit: int, than: str) -> bool:
    """Whether the newest ones are found already, of which none lies at ``than`` or before."""
    return sum(id > than for id in found) >= limit  # noqa: A001 - the record's own word
