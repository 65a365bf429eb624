"""Recorded answers as a list: when, which, what, and the beginning of the input."""

from milepost.entities.serving import Shadowed
from milepost.reports.traces import trace_document, traces_table
from milepost.testing.records import some_trace


def test_each_trace_has_its_time_its_id_and_one_line_of_its_input():
    trace = some_trace(1, guards={}, text="a long text " * 40)
    lines = str(traces_table([trace])).splitlines()
    assert len(lines) == 3
    assert f"{trace.at:%m-%d %H:%M:%S}  {trace.id}" in lines[1]
    assert str(trace.label) in lines[1]
    assert lines[2].strip().startswith("a long text")
    assert max(map(len, lines)) <= 80


def test_an_answer_that_states_no_confidence_shows_none():
    trace = some_trace(1, guards={}, label="2.5", confidence=None,
                       shadow=Shadowed(release=4, label="3", confidence=None))  # fmt: skip
    line = str(traces_table([trace])).splitlines()[1]
    assert line.endswith(f"2.5, {trace.release}")
    assert "release 4 would say 3\n" in str(trace_document(trace, ())) + "\n"


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
