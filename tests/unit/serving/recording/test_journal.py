"""A journal counts what it has flushed, and nothing that was half written."""

import errno
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from milepost.entities.errors import StorageError
from milepost.serving.recording.ids import new_trace_id
from milepost.serving.recording.journal import Journal, abandoned, journals, lines_of
from milepost.serving.recording.parquet import ParquetSink
from milepost.testing.records import some_trace

KILLED = """
import os, signal, sys
from datetime import timedelta
from pathlib import Path
from milepost.serving.recording.ids import new_trace_id
from milepost.serving.recording.parquet import ParquetSink
from milepost.testing.records import some_trace
from milepost._base.clock import utc_now

place, journals = Path(sys.argv[1]), Path(sys.argv[2])
sink = ParquetSink(place, journals)
for number in range(3):
    trace = some_trace(number, id=new_trace_id(), at=utc_now())
    sink.write([(trace, trace.at + timedelta(days=1))])
    print(trace.id, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_line_that_was_half_written_does_not_count(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.append([b"one\n", b"two\n"])
    with journal.path.open("ab") as file:
        file.write(b"thr")
    assert lines_of(journal.path) == [b"one", b"two"]
    assert lines_of(tmp_path / "gone") == []


def test_a_full_disk_leaves_no_half_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(tmp_path)
    journal.append([b"one\n"])
    write = os.write

    def full(handle: int, data: bytes) -> int:
        write(handle, bytes(data)[:3])
        raise OSError(errno.ENOSPC, "no space")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(StorageError, match="the disk is full"):
            journal.append([b"second\n"])
    journal.append([b"third\n"])
    assert lines_of(journal.path) == [b"one", b"third"]
    assert journal.rows == 2


def test_the_journal_of_a_living_process_is_its_own(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    assert list(abandoned(tmp_path)) == []
    assert journals(tmp_path) == [journal.path]


def test_what_a_killed_process_wrote_is_read_and_taken_over(tmp_path: Path) -> None:
    place, folder = tmp_path / "traces", tmp_path / "journals"
    command = [sys.executable, "-c", KILLED, str(place), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    ids = done.stdout.split()
    assert len(ids) == 3, done.stderr
    sink = ParquetSink(place, folder)
    assert [trace.id for trace in sink.traces()] == ids[::-1]
    assert not place.exists()
    mine = some_trace(4, id=new_trace_id(), at=sink.traces()[0].at)
    sink.write([(mine, mine.at + timedelta(days=1))])
    assert len(list(place.rglob("*.parquet"))) == 1
    assert {trace.id for trace in sink.traces()} == {*ids, mine.id}
    sink.close()
    assert journals(folder) == []
    assert {trace.id for trace in ParquetSink(place, folder).traces()} == {*ids, mine.id}


def test_a_place_that_cannot_be_written_keeps_traces_in_the_journal(tmp_path: Path) -> None:
    place = tmp_path / "traces"
    place.write_text("a file where the folder should be")
    sink = ParquetSink(place, tmp_path / "journals", rows=1)
    trace = some_trace(1, id=new_trace_id())
    end = trace.at + timedelta(days=36500)
    sink.write([(trace, end)])
    assert journals(tmp_path / "journals")
    place.unlink()
    sink.close()
    assert ParquetSink(place, tmp_path / "journals").trace(trace.id) == trace


def test_a_journal_does_not_grow_without_end(tmp_path: Path) -> None:
    place = tmp_path / "traces"
    place.write_text("a file where the folder should be")
    sink = ParquetSink(place, tmp_path / "journals", rows=1, most_bytes=2000)
    groups = [some_trace(number, id=new_trace_id()) for number in range(100)]
    with pytest.raises(StorageError, match="journal of traces is full"):
        [sink.write([(trace, trace.at + timedelta(days=1))]) for trace in groups]
    assert sum(path.stat().st_size for path in journals(tmp_path / "journals")) < 4000
