"""One suite over every place where traces can be kept."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from milepost.entities.serving import Trace, TraceFilter
from milepost.serving.recording.ids import new_ids
from milepost.serving.recording.parquet import ParquetSink
from milepost.serving.recording.sinks import LedgerSink, TraceSink
from milepost.storage.ledger import Ledger
from milepost.testing.records import some_trace

MONTH = timedelta(days=30)
DAY_NS = 86_400_000_000_000
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)

Open = Callable[[], TraceSink]


def clock() -> datetime:
    return NOON


@pytest.fixture(params=["sqlite", "postgresql", "folder", "remote", "rolling"])
def open_sink(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    """Opens the same place again and again."""
    opened: list[TraceSink] = []
    ledgers: list[Ledger] = []

    def ledger_sink(url: str) -> TraceSink:
        ledgers.append(Ledger.open(url, clock=clock))
        return LedgerSink(ledgers[-1], at_once=2)

    def parquet(place: str | Path, **options: float) -> TraceSink:
        return ParquetSink(place, tmp_path / "journals", clock=clock, **options)  # type: ignore[arg-type]

    def make() -> TraceSink:
        kind = request.param
        if kind == "sqlite":
            sink = ledger_sink(f"sqlite:///{tmp_path}/ledger.db")
        elif kind == "postgresql":
            sink = ledger_sink(url)
        elif kind == "remote":
            sink = parquet(f"memory://{tmp_path.name}/traces", rows=2)
        else:
            sink = parquet(tmp_path / "traces", rows=2 if kind == "rolling" else 20_000)
        opened.append(sink)
        return sink

    url = request.getfixturevalue("postgres_url") if request.param == "postgresql" else ""
    yield make
    for sink in opened:
        sink.close()
    for ledger in ledgers:
        ledger.close()


@pytest.fixture
def sink(open_sink: Open) -> TraceSink:
    return open_sink()


def spread(count: int, days: int = 0, **more: object) -> list[Trace]:
    """Traces of one moment of a day of March 2026, in the order of their ids."""
    now = int(NOON.timestamp()) * 1_000_000_000 + days * DAY_NS
    ids = sorted(new_ids(count, now=now))
    at = NOON + timedelta(days=days)
    return [some_trace(n, id=each, at=at, **more) for n, each in enumerate(ids)]


def write(sink: TraceSink, *traces: Trace, days: float = 30) -> None:
    sink.write([(trace, trace.at + timedelta(days=days)) for trace in traces])


def test_what_is_written_is_read_at_once_and_by_others(open_sink: Open) -> None:
    sink, traces = open_sink(), spread(5)
    write(sink, *traces[:3])
    write(sink, *traces[3:])
    for reader in (sink, open_sink()):
        assert reader.traces() == tuple(reversed(traces))
        assert [reader.trace(trace.id) for trace in traces] == traces
        assert reader.trace("t" + "0" * 32) is None
        assert reader.trace("../../etc/passwd") is None


def test_what_is_written_is_there_after_the_end(open_sink: Open) -> None:
    sink, traces = open_sink(), spread(3)
    write(sink, *traces)
    sink.close()
    assert open_sink().traces() == tuple(reversed(traces))


def test_the_same_group_again_changes_nothing(open_sink: Open) -> None:
    sink, traces = open_sink(), spread(5)
    write(sink, *traces[:4])
    write(sink, *traces[:4])
    write(sink, *traces[2:])
    sink.close()
    assert open_sink().traces() == tuple(reversed(traces))
    sink.write([])


def test_traces_are_listed_by_task_newest_first_page_by_page(sink: TraceSink) -> None:
    traces = [trace for day in (-2, -1, 0) for trace in spread(4, day)]
    other = spread(3, task="sort")
    for trace in (*traces, *other):
        write(sink, trace)
    newest = tuple(reversed(traces))
    assert sink.traces("route") == newest
    assert sink.traces("sort", limit=2) == tuple(reversed(other))[:2]
    paged: list[Trace] = []
    while page := sink.traces("route", limit=5, before=paged[-1].id if paged else None):
        paged.extend(page)
    assert tuple(paged) == newest
    assert len(sink.traces(limit=100)) == len(traces) + len(other)
    assert sink.traces("nothing") == ()


def test_filters_choose(sink: TraceSink) -> None:
    traces = spread(6)
    write(sink, *traces)
    tripped = [trace for trace in reversed(traces) if trace.guards["toxicity"].tripped]
    assert list(sink.traces(only=TraceFilter(guard="toxicity"))) == tripped
    assert list(sink.traces(only=TraceFilter(guard="toxicity"), limit=1)) == tripped[:1]
    assert sink.traces(only=TraceFilter(label="other")) == ()


def test_what_has_expired_is_not_read_and_in_the_end_not_there(open_sink: Open) -> None:
    sink = open_sink()
    old, young = spread(5, -2), spread(2)
    write(sink, *old, days=1)
    write(sink, *young)
    sink.close()
    sink = open_sink()
    assert sink.traces()[:2] == tuple(reversed(young))
    for _ in range(10):
        if not sink.expire(NOON):
            break
    else:
        pytest.fail("there is more for ever")
    assert sink.traces() == tuple(reversed(young))
    assert sink.trace(old[0].id) is None
    while sink.expire(NOON + 2 * MONTH):
        pass
    assert open_sink().traces(before=young[0].id) == ()


texts = st.text(st.characters(codec=None), max_size=40) | st.none()


@given(
    fields=st.fixed_dictionaries(
        {
            "text": texts,
            "label": st.sampled_from(["refund", None, "ärger"]),
            "confidence": st.floats(0, 1) | st.none(),
            "seconds": st.floats(0, 1e9),
            "release": st.integers(1, 2**31 - 1),
            "probabilities": st.dictionaries(st.sampled_from("abc"), st.floats(0, 1)),
            "cached": st.booleans(),
        }
    )
)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_trace_comes_back_as_it_was(sink: TraceSink, fields: dict[str, object]) -> None:
    (trace,) = spread(1, **fields)
    write(sink, trace)
    found = sink.trace(trace.id)
    assert found is not None
    text = None if trace.text is None else trace.text.encode(errors="replace").decode()
    assert found.text == text
    assert (found.label, found.confidence, found.seconds) == (
        trace.label,
        trace.confidence,
        trace.seconds,
    )
    assert found.probabilities == trace.probabilities
    assert (found.at, found.release, found.cached) == (trace.at, trace.release, trace.cached)
