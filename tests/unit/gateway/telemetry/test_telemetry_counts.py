"""What is counted is what happened, over all workers, and what Prometheus reads."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from milepost.entities.errors import OverloadedError, UnknownNameError
from milepost.entities.serving import Ask, Verdict
from milepost.gateway.telemetry import Telemetry, series
from milepost.gateway.telemetry.rendering import render
from milepost.gateway.telemetry.store import NOWHERE, Key, Store, others
from milepost.testing.answering import LengthService


def samples(text: bytes) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def value(text: bytes, name: str, **labels: str) -> float:
    return samples(text)[name, frozenset(labels.items())]


@pytest.fixture
def telemetry():
    made = Telemetry(spans=None)
    yield made
    made.close()


async def ask(service, *texts: str, task: str = "route", protocol: str = "native"):
    return await service.answer(Ask(task=task, texts=texts, protocol=protocol))


def test_answers_are_counted_by_task_release_and_protocol(telemetry):
    service = telemetry.watch(LengthService())

    async def traffic():
        await ask(service, "a", "bb")
        await ask(service, "a", protocol="openai")
        return await telemetry.render()

    text, kind = asyncio.run(traffic())
    assert kind.startswith("text/plain")
    labels = {"task": "route", "release": "2", "status": "ok"}
    assert value(text, "milepost_requests_total", protocol="native", **labels) == 1
    assert value(text, "milepost_requests_total", protocol="openai", **labels) == 1
    answered = {"task": "route", "release": "2", "channel": "production", "outcome": "answered"}
    assert value(text, "milepost_answers_total", **answered) == 3
    assert value(text, "milepost_request_inputs_sum", task="route") == 3
    assert value(text, "milepost_request_inputs_bucket", task="route", le="1.0") == 1
    assert value(text, "milepost_request_seconds_count", task="route") == 2
    assert value(text, "milepost_tokens_total", task="route") == 9
    assert value(text, "milepost_channel_release", task="route", channel="production") == 2
    assert value(text, "milepost_tasks") == 2


class Deciding(LengthService):
    """Answers as a guard would have it."""

    async def answer(self, ask):
        import msgspec

        answers = await super().answer(ask)
        label, rung, action = {
            "block": (None, "guard:abuse", "block"),
            "route": ("card", "guard:abuse", "route"),
            "unsure": (None, "length", "annotate"),
        }[ask.texts[0]]
        (one,) = answers.predictions
        verdict = Verdict(label="abusive", score=0.9, tripped=True, action=action)
        one = msgspec.structs.replace(
            one, label=label, rung=rung, abstained=label is None and rung == "length",
            guards={"abuse": verdict},
        )  # fmt: skip
        usage = msgspec.structs.replace(answers.usage, cached=1, cost_usd=0.25)
        return msgspec.structs.replace(answers, predictions=(one,), usage=usage)


def test_what_guards_do_and_what_is_withheld_is_told_apart(telemetry):
    service = telemetry.watch(Deciding())

    async def traffic():
        for text in ("block", "route", "unsure"):
            await ask(service, text)
        return (await telemetry.render())[0]

    text = asyncio.run(traffic())
    for outcome in ("blocked", "routed", "abstained"):
        labels = {"task": "route", "release": "2", "channel": "production", "outcome": outcome}
        assert value(text, "milepost_answers_total", **labels) == 1
    for action in ("block", "route", "annotate"):
        labels = {"task": "route", "guard": "abuse", "action": action}
        assert value(text, "milepost_guard_trips_total", **labels) == 1
    assert value(text, "milepost_cached_answers_total", task="route") == 3
    assert value(text, "milepost_cost_usd_total", task="route") == 0.75


def test_a_made_up_task_never_becomes_a_label(telemetry):
    service = telemetry.watch(LengthService(at_once=1, seconds=0.001))

    async def traffic():
        for at in range(50):
            with pytest.raises(UnknownNameError):
                await ask(service, "a", task=f"made-up-{at}")
        with pytest.raises(OverloadedError):
            await ask(service, "a", "b")
        return (await telemetry.render())[0]

    text = asyncio.run(traffic())
    assert b"made-up" not in text
    labels = {"release": "", "protocol": "native"}
    assert value(text, "milepost_requests_total", task="", status="unknown_name", **labels) == 50
    assert value(text, "milepost_requests_total", task="route", status="overloaded", **labels) == 1


def test_http_requests_batches_and_the_cache(telemetry):
    for status, seconds in ((200, 0.004), (429, 0.0001), (503, 0.0001), (404, 0.2)):
        telemetry.request_started()
        route = "/v1/tasks/{task}/predict" if status != 404 else ""
        telemetry.request_finished(route, "POST" if status != 404 else "BREW", status, seconds)
    telemetry.request_started()
    telemetry.batch("int8", 12, 200, 0.004, 0.011)
    telemetry.batch("int8", 4, 80, 0.002, 0.0)
    telemetry.cache(3, 1)
    text = asyncio.run(telemetry.render())[0]
    route = "/v1/tasks/{task}/predict"
    count = "milepost_http_requests_total"
    assert value(text, count, method="POST", route=route, status="200") == 1
    assert value(text, count, method="other", route="", status="404") == 1
    assert value(text, "milepost_shed_requests_total", reason="limit") == 1
    assert value(text, "milepost_shed_requests_total", reason="full") == 1
    seconds = "milepost_http_request_seconds_bucket"
    assert value(text, seconds, route=route, le="0.0005") == 2
    assert value(text, seconds, route=route, le="0.005") == 3
    assert value(text, "milepost_batch_texts_sum", encoder="int8") == 16
    assert value(text, "milepost_encoded_tokens_total", encoder="int8") == 280
    assert value(text, "milepost_batch_wait_seconds_bucket", encoder="int8", le="0.0005") == 1
    assert value(text, "milepost_cache_hits_total") == 3
    (progress,) = [v for (n, _), v in samples(text).items() if n.endswith("requests_in_progress")]
    assert progress == 1


@given(st.lists(st.floats(0.0, 20.0, width=32), max_size=30))
def test_a_histogram_counts_every_value_once(values):
    made = Telemetry(spans=None)
    for each in values:
        made.batch("t", 1, 1, each, 0.0)
    text = render(made._store, None)
    made.close()
    found = samples(text)
    if not values:
        assert not any("batch" in name for name, _ in found)
        return
    for bound in series.SECONDS:
        expected = sum(each <= bound for each in values)
        key = frozenset({("encoder", "t"), ("le", str(bound))})
        assert found["milepost_batch_seconds_bucket", key] == expected
    assert value(text, "milepost_batch_seconds_count", encoder="t") == len(values)
    assert value(text, "milepost_batch_seconds_sum", encoder="t") == pytest.approx(sum(values))


def test_threads_count_together(telemetry):
    def count():
        for _ in range(2000):
            telemetry.batch("int8", 1, 1, 0.001, 0.0)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    text = render(telemetry._store, None)
    assert value(text, "milepost_batches_total", encoder="int8") == 8000
    assert value(text, "milepost_batch_texts_count", encoder="int8") == 8000


WORK = """
import os, signal, sys
from pathlib import Path
from milepost.gateway.telemetry import Telemetry

made = Telemetry(Path(sys.argv[1]))
made.count("milepost_batches_total", ("int8",), 5)
made._set("milepost_queue_texts", 7)
print("ready", flush=True)
sys.stdin.read(1)
made.count("milepost_batches_total", ("int8",), 1)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_any_worker_tells_of_all_and_a_killed_one_keeps_its_counts(tmp_path):
    other = subprocess.Popen(
        [sys.executable, "-c", WORK, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert other.stdin is not None
    assert other.stdout is not None
    made = Telemetry(tmp_path, spans=None)
    made.count("milepost_batches_total", ("int8",), 2)
    made._set("milepost_queue_texts", 1)
    assert other.stdout.readline() == b"ready\n"
    text = render(made._store, tmp_path)
    assert value(text, "milepost_batches_total", encoder="int8") == 7
    waiting = sorted(v for (name, _), v in samples(text).items() if name == "milepost_queue_texts")
    assert waiting == [1, 7]
    other.communicate(b"x")
    text = render(made._store, tmp_path)
    made.close()
    assert value(text, "milepost_batches_total", encoder="int8") == 8
    waiting = [v for (name, _), v in samples(text).items() if name == "milepost_queue_texts"]
    assert waiting == [1]


def test_a_torn_or_foreign_file_is_left_out(tmp_path):
    store = Store(tmp_path, "one", slots=40)
    store.add((store.place(Key("milepost_cache_hits_total")), 3.0))
    with (tmp_path / "one.index").open("ab") as file:
        file.write(b'["half')
    (tmp_path / "two.values").write_bytes(b"\x00" * 5)
    (tmp_path / "two.index").write_bytes(b"{}\n")
    (tmp_path / "three.values").write_bytes(b"\x00" * 8)
    (found,) = others(tmp_path, "mine")
    store.close()
    assert [(e.metric, v) for e, v in found.numbers] == [("milepost_cache_hits_total", (3.0,))]


def test_there_is_a_limit_to_series_and_to_numbers(telemetry, monkeypatch):
    monkeypatch.setattr("milepost.gateway.telemetry.telemetry.MOST_SERIES", 3)
    for at in range(10):
        telemetry.count("milepost_tokens_total", (f"task-{at}",))
    text = render(telemetry._store, None)
    assert value(text, "milepost_tokens_total", task="other") == 7
    assert text.count(b"milepost_tokens_total{") == 4

    store = Store(None, "one", slots=34)
    start = store.place(Key("a"), 2)
    assert store.place(Key("b")) == NOWHERE != start
    assert store.place(Key("a"), 2) == start
    store.add((NOWHERE, 5.0), (start, 1.0))
    assert [values for _, values in store.read()] == [(1.0, 0.0)]
    assert store.dropped == 1
    store.close()


def test_a_release_that_left_a_channel_is_told_no_more(telemetry):
    from dataclasses import replace

    from milepost.testing.answering import TASKS

    tasks: Sequence = [replace(TASKS[0], canary=3, shadow=4), TASKS[1]]
    service = LengthService(tasks)
    telemetry.watch(service)
    text = asyncio.run(telemetry.render())[0]
    assert value(text, "milepost_channel_release", task="route", channel="canary") == 3
    assert value(text, "milepost_channel_release", task="route", channel="shadow") == 4
    service._tasks = {task.name: task for task in TASKS}
    text = asyncio.run(telemetry.render())[0]
    assert b'channel="canary"' not in text
    assert value(text, "milepost_channel_release", task="route", channel="production") == 2


def test_every_metric_is_named_and_said_as_prometheus_wants_it():
    for name, metric in series.METRICS.items():
        assert name.startswith("milepost_")
        assert (metric.kind == "counter") == name.endswith("_total"), name
        assert metric.help.endswith("."), name
        assert (metric.kind == "histogram") == bool(metric.bounds), name
        assert list(metric.bounds) == sorted(set(metric.bounds)), name
        assert not metric.each or metric.kind == "gauge", name
