"""Recording served answers: what it costs the event loop and the writer, and rows/s of each store.

Processor time is that of the thread meant, so that it holds also where others are at work; wall
times hold on a quiet machine only.
"""

import asyncio
import gc
import shutil
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from bench.common import Options
from milepost.entities.serving import RecordingRule, Trace
from milepost.serving.recording.ids import new_ids
from milepost.serving.recording.parquet import ParquetSink
from milepost.serving.recording.recorder import Recorder
from milepost.serving.recording.sinks import Expiring, LedgerSink, TraceSink
from milepost.storage.ledger import Ledger

TEXT = "my card was stolen yesterday and I would like to have my money back, please help me"
GROUP = 1000
RATE = 1500
"""Answers per second of the run that is timed."""
TICK = 0.001
RULE, STRICT = RecordingRule(), RecordingRule(strict=True)


def run(options: Options) -> dict[str, Any]:
    """Every store, and the loop with and without a recorder."""
    rows = 4000 if options.quick else 40_000
    seconds = 2.0 if options.quick else 10.0
    found: dict[str, Any] = {"record": _record_call(2000 if options.quick else 50_000)}
    print(f"record: {found['record']['us_per_call']:.2f} µs a call of one trace")
    found["stores"], found["strict"], found["loop"] = {}, {}, {"off": _lateness(None, seconds)}
    print(f"loop, no recorder: p99 {found['loop']['off']['p99_ms']:.2f} ms late")
    with tempfile.TemporaryDirectory() as folder:
        for name, make in _stores(Path(folder)):
            found["stores"][name] = _rows_per_second(make(), rows)
            found["strict"][name] = asyncio.run(_strict(make(), 300 if options.quick else 3000))
            found["loop"][name] = _lateness(make(), seconds)
            _print(name, found)
    return found


def _print(name: str, found: dict[str, Any]) -> None:
    store, strict, loop = found["stores"][name], found["strict"][name], found["loop"][name]
    print(
        f"{name}: {store['rows_per_second']:,.0f} rows/s, {store['cpu_us_per_row']:.1f} µs CPU a "
        f"row; strict {strict['answers_per_second']:,.0f}/s by 64, p99 {strict['p99_ms']:.1f} ms; "
        f"loop p99 {loop['p99_ms']:.2f} ms late"
    )


def traces(count: int) -> list[Trace]:
    """Answers as they are served, all of this moment."""
    now = datetime.now(UTC)
    return [
        Trace(
            id=each,
            task="route",
            release=3,
            channel="production",
            at=now,
            key="k0123456789ab",
            label="refund",
            confidence=0.93,
            probabilities={"refund": 0.93, "card": 0.04, "other": 0.02, "login": 0.01},
            rung="head_closed_form",
            text=f"{TEXT} {number}",
            seconds=0.004,
            request="r0123456789abcdef",
        )
        for number, each in enumerate(new_ids(count))
    ]


def _expiring(made: Sequence[Trace]) -> list[Expiring]:
    return [(trace, trace.at + timedelta(days=30)) for trace in made]


def _stores(folder: Path) -> Iterator[tuple[str, Any]]:
    numbers = iter(range(1000))

    def sqlite() -> TraceSink:
        return LedgerSink(Ledger.open(f"sqlite:///{folder}/{next(numbers)}.db"))

    def parquet() -> TraceSink:
        return ParquetSink(folder / f"traces{next(numbers)}", folder / f"journal{next(numbers)}")

    yield "ledger on SQLite", sqlite
    yield "Parquet in a folder", parquet
    with _postgres() as url:
        if url is not None:
            yield "ledger on PostgreSQL", lambda: LedgerSink(Ledger.open(url))


@contextmanager
def _postgres() -> Iterator[str | None]:
    """Address of a server of this run's own, durable as it is by default; ``None`` without one."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: float(p.parent.name))
    if not programs:
        yield None
        return
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    shutil.chown(folder, "nobody")

    def call(program: str, *arguments: str) -> None:
        command = ["runuser", "-u", "nobody", "--", str(programs[-1] / program), *arguments]
        subprocess.run(command, check=True, capture_output=True, cwd=folder)

    data = str(folder / "data")
    call("initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C")
    options = f"-c listen_addresses= -c unix_socket_directories={folder}"
    call("pg_ctl", "-D", data, "-l", str(folder / "log"), "-o", options, "-w", "start")
    try:
        yield f"postgresql://postgres@/postgres?host={folder}"
    finally:
        call("pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
        shutil.rmtree(folder)


class _Nowhere:
    """A store that takes everything and keeps nothing."""

    label = "nowhere"

    def write(self, traces: Sequence[Expiring]) -> None:
        """Forget it."""

    def expire(self, now: datetime) -> bool:
        """Nothing is there."""
        return False

    def close(self) -> None:
        """Nothing is open."""


def _record_call(count: int) -> dict[str, float]:
    """What ``record`` takes of the loop's time, with a writer that has nothing to do."""
    made = traces(count)
    recorder = Recorder(_Nowhere(), flush_seconds=60, group=10**9, buffer=10**9)  # type: ignore[arg-type]
    gc.collect()
    began = time.thread_time()
    for trace in made:
        recorder.record((trace,), RULE)
    took = time.thread_time() - began
    recorder.close()
    return {"us_per_call": 1e6 * took / count, "calls": count}


def _rows_per_second(sink: TraceSink, rows: int) -> dict[str, float]:
    """Groups one after the other, by one thread, each on the disk before the next."""
    groups = [_expiring(traces(GROUP)) for _ in range(rows // GROUP)]
    cpu, wall = time.thread_time(), time.perf_counter()
    for group in groups:
        sink.write(group)
    cpu, wall = time.thread_time() - cpu, time.perf_counter() - wall
    sink.close()
    return {"rows": rows, "rows_per_second": rows / wall, "cpu_us_per_row": 1e6 * cpu / rows}


async def _strict(sink: TraceSink, count: int) -> dict[str, float]:
    """64 askers, each of whom waits for the record of one answer before it asks for the next."""
    recorder = Recorder(sink)
    waiting, took = iter(traces(count)), list[float]()

    async def asker() -> None:
        for trace in waiting:
            began = time.perf_counter()
            await recorder.commit((trace,), STRICT)
            took.append(1000 * (time.perf_counter() - began))

    began = time.perf_counter()
    await asyncio.gather(*(asker() for _ in range(64)))
    wall = time.perf_counter() - began
    await asyncio.to_thread(recorder.close)
    return {"answers_per_second": count / wall, **_quantiles(took)}


def _lateness(sink: TraceSink | None, seconds: float) -> dict[str, float]:
    """How late a loop wakes that records so many answers a second, or none."""
    recorder = Recorder(sink) if sink is not None else None
    made = iter(traces(int(2 * RATE * seconds)))
    late: list[float] = []

    async def tick() -> None:
        due, owed = time.perf_counter(), 0.0
        end = due + seconds
        while due < end:
            due += TICK
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            now = time.perf_counter()
            late.append(1000 * max(0.0, now - due))
            owed += RATE * TICK
            while owed >= 1:
                owed -= 1
                trace = next(made)
                if recorder is not None:
                    recorder.record((trace,), RULE)
            due = max(due, now - 10 * TICK)

    gc.collect()
    asyncio.run(tick())
    result = _quantiles(late)
    if recorder is not None:
        thread = threading.Thread(target=recorder.close)
        thread.start()
        thread.join()
        result |= {"recorded": float(recorder.recorded), "lost": float(recorder.lost)}
    return result


def _quantiles(values: Sequence[float]) -> dict[str, float]:
    cuts = statistics.quantiles(values, n=100)
    return {"p50_ms": cuts[49], "p99_ms": cuts[98]}
