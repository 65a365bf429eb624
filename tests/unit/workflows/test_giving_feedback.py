"""What is taken in as feedback, and what is refused with a reason."""

import asyncio
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from milepost.entities.errors import InputError, MilepostError, OverloadedError, UnknownNameError
from milepost.entities.serving import RecordingRule, Trace
from milepost.serving.asking import Said
from milepost.serving.recording.ids import new_trace_id
from milepost.serving.recording.parquet import ParquetSink
from milepost.serving.recording.policy import as_kept
from milepost.serving.recording.sinks import LedgerSink
from milepost.testing.records import some_trace
from milepost.workflows.context import Context
from milepost.workflows.serving.feedback import MOST_COMMENT, feedback_of, give, give_feedback
from milepost.workflows.serving.recording import open_recorder, open_sink, trace, traces
from milepost.workflows.tasks.current import current_task

TEXT = "a pear and a saw"


@pytest.fixture
def served(context: Context, things: str) -> Context:
    current_task(context, things)
    return context


def told_by(context: Context, **fields: object) -> Context:
    """The same workspace with another ``milepost.toml``."""
    configuration = msgspec.structs.replace(context.configuration, **fields)
    return replace(context, configuration=configuration)


Answered = Callable[..., Trace]


@pytest.fixture
def answered(served: Context) -> Answered:
    """Records an answer as the rule says; gives it as it was answered."""

    def record(rule: RecordingRule | None = None, **more: object) -> Trace:
        fields = {"id": new_trace_id(), "text": TEXT, "at": served.clock(), **more}
        made = some_trace(0, task="things", label="tool", **fields)
        with closing(open_sink(served)) as sink:
            sink.write([as_kept(made, rule or RecordingRule())])
        return made

    return record


def test_a_correction_is_kept_with_what_it_is_about(served: Context, answered: Answered) -> None:
    told = answered()
    said, new = give(served, Said(trace=told.id, label="fruit", key="k1"))
    assert new
    assert (said.text, said.answered, said.label, said.release) == (TEXT, "tool", "fruit", 1)
    assert served.ledger.feedback("things") == (said,)
    again, new = give(served, Said(trace=told.id, label="fruit", key="k1"))
    assert (again, new) == (said, False)
    assert give(served, Said(trace=told.id, label="fruit", key="k2"))[1]
    assert give(served, Said(trace=told.id, rating=0.5, comment="nearly", key="k1"))[1]


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({}, "nothing was said"),
        ({"comment": ""}, "nothing was said"),
        ({"label": "fruits"}, "there is no label 'fruits'. Did you mean 'fruit'"),
        ({"rating": 1.5}, "the rating 1.5 is out of range"),
        ({"rating": float("nan")}, "out of range"),
        ({"comment": "x" * (MOST_COMMENT + 1)}, "the comment has 2,001 characters"),
        ({"label": "fruit", "text": "another text"}, "this is not the input of the trace"),
        ({"label": "fruit", "comment": "half \ud83d"}, "half a character"),
    ],
)
def test_what_cannot_be_used_is_refused_with_a_reason(
    served: Context, answered: Answered, said: dict[str, object], told: str
) -> None:
    with pytest.raises(InputError) as refused:
        give(served, Said(trace=answered().id, **said))  # type: ignore[arg-type]
    assert told in str(refused.value)
    assert served.ledger.feedback() == ()


@pytest.mark.parametrize("name", ["t" + "0" * 32, "t1", "", "k123", "t" + "G" * 32, "x" * 5000])
def test_an_unknown_trace_is_named(served: Context, name: str) -> None:
    with pytest.raises(UnknownNameError, match="there is no trace") as refused:
        give(served, Said(trace=name, rating=1.0))
    assert len(str(refused.value)) < 500
    assert "none yet" not in str(refused.value)


def test_a_key_speaks_of_its_own_tasks_only(served: Context, answered: Answered) -> None:
    told = answered()
    with pytest.raises(UnknownNameError):
        give(served, Said(trace=told.id, rating=0.0, key="k1", tasks=("sort",)))
    assert give(served, Said(trace=told.id, rating=0.0, key="k1", tasks=("sort", "things")))[1]


@pytest.mark.parametrize("inputs", ["hashed", "nothing"])
def test_an_input_that_was_not_kept_is_asked_for(
    served: Context, answered: Answered, inputs: str
) -> None:
    told = answered(msgspec.convert({"inputs": inputs}, RecordingRule))
    with pytest.raises(InputError, match="was not kept"):
        give(served, Said(trace=told.id, label="fruit"))
    assert give(served, Said(trace=told.id, rating=1.0))[0].text is None
    other = Said(trace=told.id, label="fruit", text="another text")
    if inputs == "hashed":
        with pytest.raises(InputError, match="its digest is another"):
            give(served, other)
    assert give(served, Said(trace=told.id, label="fruit", text=TEXT))[0].text == TEXT


def test_labels_of_a_task_that_names_none_are_those_of_the_release(
    served: Context, answered: Answered
) -> None:
    file = served.root / "tasks/things.yaml"
    file.write_text(file.read_text().replace("labels: {fruit: '', tool: ''}\n", ""))
    from milepost.workflows.contest.improve import improve
    from milepost.workflows.contest.options import Options

    improve(served, "things", Options(strategies=("head_closed_form",)))
    told = answered()
    with pytest.raises(UnknownNameError, match="fruit"):
        give(served, Said(trace=told.id, label="fruits"))
    assert give(served, Said(trace=told.id, label="fruit"))[1]


def test_a_key_says_only_so_much_a_day(served: Context, answered: Answered) -> None:
    settings = msgspec.structs.replace(served.settings, feedback_per_key=2)
    few = told_by(served, settings=settings)
    told = [answered() for _ in range(3)]
    for each in told[:2]:
        give(few, Said(trace=each.id, rating=1.0, key="k1"))
    with pytest.raises(OverloadedError, match="which is the most"):
        give(few, Said(trace=told[2].id, rating=1.0, key="k1"))
    assert give(few, Said(trace=told[2].id, rating=1.0))[1]


def test_feedback_on_an_answer_that_is_not_written_yet_waits_for_it(served: Context) -> None:
    recorder = open_recorder(served)
    told = some_trace(0, id=new_trace_id(), task="things", at=served.clock())

    async def answer_and_say() -> bool:
        recorder.record([told], RecordingRule())
        say = feedback_of(served, recorder.sink, recorder.hurry)
        return (await say(Said(trace=told.id, label="fruit")))[1]

    assert asyncio.run(answer_and_say())
    recorder.close()


def test_a_trace_that_may_still_come_is_asked_for_again_and_an_old_one_is_not(
    served: Context,
) -> None:
    quick = told_by(served, settings=msgspec.structs.replace(served.settings, flush_seconds=0.01))
    hurried: list[bool] = []
    with closing(open_sink(quick)) as sink:
        say = feedback_of(quick, sink, lambda: hurried.append(True))
        with pytest.raises(OverloadedError, match="not there yet") as refused:
            asyncio.run(say(Said(trace=new_trace_id(), rating=1.0)))
        assert (refused.value.own, len(hurried)) == (False, 2)
        old = new_trace_id(now=time.time_ns() - 60 * 10**9)
        for name in (old, "t1", "x" * 33):
            with pytest.raises(UnknownNameError):
                asyncio.run(say(Said(trace=name, rating=1.0)))
    assert len(hurried) == 2


def test_traces_go_where_the_workspace_says(context: Context, things: str, tmp_path: Path) -> None:
    current_task(context, things)
    assert isinstance(open_sink(context), LedgerSink)
    for place in ("traces", str(tmp_path / "elsewhere"), "memory://here/traces"):
        there = told_by(context, traces=place)
        recorder = open_recorder(there)
        assert isinstance(recorder.sink, ParquetSink)
        told = some_trace(0, id=new_trace_id(), task=things, at=there.clock())
        recorder.record([told], RecordingRule())
        recorder.close()
        assert traces(there, things, limit=5) == [told]
        assert trace(there, told.id) == told
        assert context.ledger.trace(told.id) is None
        with closing(open_sink(there)) as sink:
            assert give_feedback(there, sink, Said(trace=told.id, label="fruit"))[1]
    assert list((context.root / "traces").glob("answered=*/expires=*/t*.parquet"))


def test_what_a_recorder_lost_stands_in_the_audit_log(served: Context) -> None:
    recorder = open_recorder(served)
    # What no database takes: the others of its group are kept.
    bad = some_trace(1, id=new_trace_id(), task="things", release=2**70, at=served.clock())
    good = some_trace(1, id=new_trace_id(), task="things", at=served.clock())
    recorder.record([bad], RecordingRule())
    recorder.record([good], RecordingRule())
    recorder.close()
    assert recorder.lost == 1
    assert traces(served, "things", limit=5) == [good]
    (entry,) = served.ledger.audit(action="traces.lost")
    assert entry.details == {"answers": 1}


def test_an_unknown_task_is_named(served: Context) -> None:
    with pytest.raises(MilepostError, match="Did you mean 'things'"):
        traces(served, "thing", limit=1)
