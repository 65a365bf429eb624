"""Recorded answers as a list: when, which, what, and the beginning of the input."""

from milepost.reports.traces import traces_table
from milepost.testing.records import some_trace


def test_each_trace_has_its_time_its_id_and_one_line_of_its_input():
    trace = some_trace(1, guards={}, text="a long text " * 40)
    lines = str(traces_table([trace])).splitlines()
    assert len(lines) == 3
    assert f"{trace.at:%m-%d %H:%M:%S}  {trace.id}" in lines[1]
    assert str(trace.label) in lines[1]
    assert lines[2].strip().startswith("a long text")
    assert max(map(len, lines)) <= 80


def test_what_a_language_model_said_stands_behind_what_it_was_asked():
    trace = some_trace(
        1,
        guards={},
        text="hello?",
        said="Good morning!",
        channel="upstream",
        label="stop",
        release=0,
    )
    first, second = str(traces_table([trace])).splitlines()[1:]
    assert first.endswith(f"{trace.id}  stop")
    assert second.strip() == "hello? → Good morning!"
