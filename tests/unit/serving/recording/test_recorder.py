"""What the recorder promises: never in the way, nothing lost unseen, strict means committed."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import pytest

from milepost.entities.errors import InputError, RecordingError, StorageError
from milepost.entities.serving import RecordingRule, Trace, TraceFilter
from milepost.serving.recording.ids import day_of, first_of, is_id, new_feedback_id, new_ids
from milepost.serving.recording.marker import left_behind
from milepost.serving.recording.policy import sampled, text_digest
from milepost.serving.recording.recorder import Recorder
from milepost.serving.recording.sinks import Expiring
from milepost.testing.records import some_trace

FULL = RecordingRule()
STRICT = RecordingRule(strict=True)


class Store:
    """A sink in memory whose writer can be held up, and that fails as often as it is told."""

    label = "memory"

    def __init__(self) -> None:
        self.kept: dict[str, Expiring] = {}
        self.groups: list[int] = []
        self.failures = 0
        self.refused: set[str] = set()
        self.open = threading.Event()
        self.open.set()
        self.entered = threading.Event()
        self.closed = False

    def write(self, traces: Sequence[Expiring]) -> None:
        self.entered.set()
        assert self.open.wait(30)
        if self.failures:
            self.failures -= 1
            raise StorageError("the disk is full.")
        if any(trace.id in self.refused for trace, _ in traces):
            raise InputError("no database takes it.")
        self.groups.append(len(traces))
        self.kept.update((trace.id, (trace, expires)) for trace, expires in traces)

    def trace(self, id: str) -> Trace | None:  # noqa: A002 - the protocol's own word
        return self.kept[id][0] if id in self.kept else None

    def traces(
        self,
        task: str | None = None,
        *,
        limit: int = 100,
        before: str | None = None,
        only: TraceFilter | None = None,
    ) -> tuple[Trace, ...]:
        return tuple(trace for trace, _ in self.kept.values())

    def expire(self, now: datetime) -> bool:
        return False

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def store() -> Store:
    return Store()


def shown(count: int, start: int = 0, **more: object) -> list[Trace]:
    return [some_trace(number, **more) for number in range(start, start + count)]


def test_what_is_recorded_is_written_when_it_closes(store: Store) -> None:
    recorder = Recorder(store, flush_seconds=60)
    for trace in shown(5):
        recorder.record([trace], FULL)
    assert recorder.waiting == 5
    recorder.close()
    assert len(store.kept) == recorder.recorded == 5
    assert (recorder.waiting, recorder.lost, store.closed) == (0, 0, True)
    recorder.close()


def test_a_full_group_is_written_before_its_time(store: Store) -> None:
    store.entered.clear()
    recorder = Recorder(store, flush_seconds=60, group=3)
    recorder.record(shown(3), FULL)
    assert store.entered.wait(30)
    recorder.close()
    assert store.groups == [3]


def test_one_that_hangs_holds_up_nobody_and_the_oldest_are_dropped(store: Store) -> None:
    told: list[tuple[int, str]] = []
    recorder = Recorder(
        store,
        flush_seconds=0.01,
        group=10,
        buffer=100,
        on_loss=lambda count, why: told.append((count, why)),
    )
    store.open.clear()
    recorder.record(shown(10), FULL)
    assert store.entered.wait(30)
    for trace in shown(500, 10):
        recorder.record([trace], FULL)
    assert recorder.waiting == 100
    assert recorder.lost == 410
    store.open.set()
    recorder.close()
    assert len(store.kept) == 100
    # Those that were being written, and the newest.
    numbers = sorted(int(each[1:], 16) for each in store.kept)
    assert numbers == [*range(10), *range(420, 510)]
    assert sum(count for count, _ in told) == recorder.lost == 410


def test_a_store_that_fails_for_a_while_loses_nothing(store: Store) -> None:
    store.failures = 3
    recorder = Recorder(store, flush_seconds=0.01)
    recorder.record(shown(7), FULL)
    recorder.close(grace=30)
    assert len(store.kept) == 7
    assert list(store.kept) == [trace.id for trace in shown(7)]
    assert recorder.lost == 0


def test_one_that_fails_until_the_end_loses_what_it_says(store: Store) -> None:
    told: list[tuple[int, str]] = []
    store.failures = 10**9
    recorder = Recorder(
        store, flush_seconds=0.01, on_loss=lambda count, why: told.append((count, why))
    )
    recorder.record(shown(7), FULL)
    recorder.close(grace=0.3)
    assert recorder.lost == sum(count for count, _ in told) == 7
    assert recorder.waiting == 0


def test_readiness_tells_of_losses_only_while_there_are(store: Store) -> None:
    store.failures = 10**9
    recorder = Recorder(store, flush_seconds=0.001, group=1, buffer=5)
    recorder.record(shown(5), FULL)
    assert store.entered.wait(30)
    store.entered.clear()
    assert store.entered.wait(30)  # it has failed once, and tries again
    assert recorder.unready() is None
    recorder.record(shown(5, 5), FULL)
    assert "disk is full" in (recorder.unready() or "")
    store.failures = 0
    recorder.close(grace=30)
    assert recorder.unready() is None
    assert recorder.lost == 5


def test_what_can_never_be_kept_does_not_hold_up_the_others(store: Store) -> None:
    bad = some_trace(3)
    store.refused = {bad.id}
    recorder = Recorder(store, flush_seconds=60)
    for trace in shown(6):
        recorder.record([trace], FULL)
    recorder.close()
    assert len(store.kept) == 5
    assert recorder.lost == 1


def test_strict_returns_when_it_is_committed_and_shares_commits(store: Store) -> None:
    async def many() -> None:
        recorder = Recorder(store, flush_seconds=60)

        async def one(number: int) -> None:
            await recorder.commit([some_trace(number)], STRICT)
            assert store.trace(some_trace(number).id) is not None

        await asyncio.gather(*map(one, range(200)))
        await asyncio.to_thread(recorder.close)

    asyncio.run(many())
    assert sum(store.groups) == 200
    # The first group may hold one; those that came while it was written went together.
    assert len(store.groups) < 50


def test_strict_refuses_what_cannot_be_recorded_and_recovers(store: Store) -> None:
    async def act() -> None:
        store.failures = 1
        recorder = Recorder(store, flush_seconds=0.01)
        with pytest.raises(RecordingError, match="disk is full"):
            await recorder.commit([some_trace(1)], STRICT)
        # Until the next try it is refused at once, without asking the store.
        with pytest.raises(RecordingError, match="disk is full"):
            await recorder.commit([some_trace(2)], STRICT)
        for _ in range(200):
            try:
                await recorder.commit([some_trace(3)], STRICT)
                break
            except RecordingError:
                await asyncio.sleep(0.01)
        await asyncio.to_thread(recorder.close)
        assert recorder.lost == 0
        with pytest.raises(RecordingError, match="stopping"):
            await recorder.commit([some_trace(4)], STRICT)

    asyncio.run(act())
    assert list(store.kept) == [some_trace(3).id]


def test_strict_refuses_what_the_store_never_takes(store: Store) -> None:
    store.refused = {some_trace(1).id}

    async def act() -> None:
        recorder = Recorder(store, flush_seconds=60)
        good = asyncio.create_task(recorder.commit([some_trace(2)], STRICT))
        with pytest.raises(RecordingError):
            await recorder.commit([some_trace(1)], STRICT)
        await good
        await asyncio.to_thread(recorder.close)

    asyncio.run(act())
    assert list(store.kept) == [some_trace(2).id]


def test_strict_does_not_wait_for_ever(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("milepost.serving.recording.recorder.STRICT_SECONDS", 0.05)
    store.open.clear()

    async def act() -> None:
        recorder = Recorder(store, flush_seconds=60)
        with pytest.raises(RecordingError, match="longer than"):
            await recorder.commit([some_trace(1)], STRICT)
        store.open.set()
        await asyncio.to_thread(recorder.close)

    asyncio.run(act())


def test_the_rule_decides_what_is_kept_of_the_input(store: Store) -> None:
    recorder = Recorder(store, flush_seconds=60)
    text = some_trace(1).text or ""
    for number, inputs in enumerate(("full", "hashed", "nothing")):
        rule = RecordingRule(inputs=inputs, days=number + 1.5)
        recorder.record([some_trace(number, text=text)], rule)
    recorder.close()
    full, hashed, nothing = (store.kept[some_trace(number).id] for number in range(3))
    assert (full[0].text, full[0].text_sha256) == (text, None)
    assert (hashed[0].text, hashed[0].text_sha256) == (None, text_digest(text))
    assert (nothing[0].text, nothing[0].text_sha256) == (None, None)
    assert [(end - trace.at).total_seconds() / 86400 for trace, end in (full, hashed)] == [1.5, 2.5]


def test_a_share_is_drawn_and_what_was_stopped_is_always_kept() -> None:
    ids = new_ids(4000)
    rule = RecordingRule(share=0.25)
    usual = [some_trace(0, id=each) for each in ids]
    kept = sampled(usual, rule)
    # 4 standard deviations of a binomial of 4000 at 0.25.
    assert abs(len(kept) - 1000) < 4 * 27.4
    assert sampled(usual, rule) == kept
    assert sampled(usual, RecordingRule(share=0.0)) == []
    stopped = [some_trace(1, id=each) for each in ids[:50]]
    withheld = [some_trace(0, id=each, label=None) for each in ids[:50]]
    assert sampled(stopped, RecordingRule(share=0.0)) == stopped
    assert sampled(withheld, RecordingRule(share=0.0)) == withheld


def test_ids_sort_by_time_and_tell_their_day() -> None:
    now = 1_772_323_199_999_999_999  # the last nanosecond of February 2026
    late, next_day = new_ids(3, now=now), new_ids(3, now=now + 1)
    assert all(map(is_id, [*late, *next_day, new_feedback_id()]))
    assert max(late) < min(next_day)
    assert {day_of(each) for each in late} == {"2026-02-28"}
    assert {day_of(each) for each in next_day} == {"2026-03-01"}
    assert max(late) < first_of("2026-03-01") < min(next_day)
    steps = [new_ids(1, now=now + step)[0] for step in range(0, 2_000_000, 500)]
    assert steps == sorted(steps)
    many = new_ids(10_000)
    assert many == sorted(set(many))


KILLED = """
import sys, threading
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_recorder import FULL, Recorder, Store, shown

store = Store()
recorder = Recorder(store, flush_seconds=0.01, folder=Path(sys.argv[1]))
recorder.record(shown(20), FULL)
while recorder.waiting:
    pass
store.open.clear()
for trace in shown(30, 20):
    recorder.record([trace], FULL)
print("ready", flush=True)
threading.Event().wait()
"""


NOT_TOLD = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_recorder import FULL, Recorder, Store, shown

class Loud(Store):
    def write(self, traces):
        super().write(traces)
        print(len(traces), flush=True)

recorder = Recorder(Loud(), flush_seconds=1000, folder=Path(sys.argv[1]))
recorder.record(shown(20), FULL)
"""


def test_a_process_that_does_not_close_it_loses_nothing_when_it_ends(tmp_path: Path) -> None:
    command = [sys.executable, "-c", NOT_TOLD, str(tmp_path), str(Path(__file__).parent)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("20\n", 0), done.stderr
    assert list(left_behind(tmp_path)) == []


def test_what_a_killed_process_lost_is_counted_once_by_the_next(
    tmp_path: Path, store: Store
) -> None:
    command = [sys.executable, "-c", KILLED, str(tmp_path), str(Path(__file__).parent)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        # One that lives is none that was killed.
        assert list(left_behind(tmp_path)) == []
        os.kill(process.pid, signal.SIGKILL)
    told: list[int] = []
    for _ in range(2):
        recorder = Recorder(
            store,
            flush_seconds=0.01,
            folder=tmp_path,
            on_loss=lambda count, why: told.append(count),
        )
        recorder.record(shown(1), FULL)
        recorder.close()
    assert told == [30]
    assert list(tmp_path.iterdir()) == []


def test_a_recorder_that_ends_well_leaves_nothing_to_count(tmp_path: Path, store: Store) -> None:
    recorder = Recorder(store, flush_seconds=60, folder=tmp_path)
    recorder.record(shown(3), FULL)
    assert len(list(tmp_path.iterdir())) == 1
    recorder.close()
    assert list(tmp_path.iterdir()) == []
    assert recorder.lost == 0
