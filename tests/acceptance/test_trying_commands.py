"""Canary, shadow and A/B with the installed command line."""

import asyncio
from pathlib import Path

import pytest

import milepost as mp
from milepost.entities.serving import Ask
from milepost.serving.asking import Said
from milepost.testing.releases import add_task, always, release
from milepost.workflows.opening import open_context
from milepost.workflows.serving.opening import ServeOptions, open_service

LABELS = ("card", "refund")
OPTIONS = ServeOptions(reload_every=3600.0, threads=1)


@pytest.fixture
def desk(milepost, tmp_path) -> Path:
    """A workspace with two releases: the first is always wrong, the second always right."""
    mp.Workspace.create(tmp_path / "desk")
    context = open_context(tmp_path / "desk")
    add_task(context, mp.Task(name="route", labels=dict.fromkeys(LABELS, "")))
    release(context, "route", always(LABELS, "refund"))
    release(context, "route", always(LABELS, "card"))
    context.ledger.close()
    milepost.ok("-w", tmp_path / "desk", "promote", "route", 1, "--reason", "start")
    return tmp_path / "desk"


def judge(desk: Path, subjects: range) -> None:
    """Let users ask, and say each time that ``card`` was right."""
    context = open_context(desk)

    async def asked() -> list[str]:
        service = open_service(context, OPTIONS)
        traces = []
        for number in subjects:
            ask = Ask(task="route", texts=(f"text {number}",), subject=f"user {number}")
            traces.append((await service.answer(ask)).predictions[0].trace_id)
        # Closing writes what waits, so that the feedback finds it.
        await service.close(10.0)
        return traces

    async def said(traces: list[str]) -> None:
        service = open_service(context, OPTIONS)
        for trace in traces:
            await service.feedback(Said(trace=trace, label="card"))
        await service.close(10.0)

    asyncio.run(said(asyncio.run(asked())))
    context.ledger.close()


@pytest.mark.slow
def test_a_canary_from_its_begin_to_its_promotion(milepost, desk):
    begun = milepost.ok("-w", desk, "canary", "route", 2, "--share", "50%")
    assert "route@canary is release 2: it answers 50 % of the traffic" in begun.out
    assert "canary 50 %" in milepost.ok("-w", desk, "releases", "route").out
    nothing = milepost.ok("-w", desk, "ab", "route")
    assert "Nobody has judged an answer of canary or production yet." in nothing.out

    judge(desk, range(80))
    found = milepost.ok("-w", desk, "ab", "route", "--json").json
    assert (found["canary"]["mean"], found["production"]["mean"]) == (1.0, 0.0)
    assert found["canary"]["n"] + found["production"]["n"] == 80
    assert found["decided"] == "canary"
    assert found["low"] > 0
    assert "the canary is better" in milepost.ok("-w", desk, "ab", "route").out

    # The same users again: what they say twice counts once.
    judge(desk, range(20))
    again = milepost.ok("-w", desk, "ab", "route", "--json").json
    assert again["repeated"] == 20
    assert again["canary"]["n"] == found["canary"]["n"]

    milepost.ok("-w", desk, "promote", "route", 2)
    ended = milepost.ok("-w", desk, "ab", "route")
    assert "No canary runs beside route@production; the last one ended" in ended.out
    assert "The canary was better." in ended.out
    last = milepost.ok("-w", desk, "ab", "route", "--json").json
    assert last.pop("until") is not None
    assert again.pop("until") is None
    assert last == again
    channels = milepost.ok("-w", desk, "releases", "route", "--json").json["channels"]
    assert [(c["name"], c["release"], c["share"]) for c in channels] == [
        ("production", 2, None),
        ("canary", 2, 0.0),
    ]


def test_a_shadow_is_held_against_production(milepost, desk):
    assert "unheard" in milepost.ok("-w", desk, "shadow", "route", 2).out
    judge(desk, range(12))
    found = milepost.ok("-w", desk, "ab", "route")
    assert "would have answered as production did in 0.0 %" in found.out
    assert "refund → card: 12 times" in found.out
    assert "is off" in milepost.ok("-w", desk, "shadow", "route", "--off").out


def test_what_cannot_be_is_refused(milepost, desk):
    for arguments, said in (
        (["canary", "route"], "name a release to begin, or give --off"),
        (["canary", "route", "1"], "in production"),
        (["canary", "route", "9"], "no release '9'"),
        (["canary", "route", "2", "--share", "1.5"], "no share of the traffic"),
        (["canary", "route", "2", "--share", "half"], "no share of the traffic"),
        (["canary", "route", "--off"], "has no canary"),
        (["ab", "rute"], "'route'"),
    ):
        done = milepost("-w", desk, *arguments)
        assert done.code == 2
        assert said in done.err
        assert "Traceback" not in done.err


def test_a_task_in_production_is_needed(milepost, tmp_path):
    workspace = mp.Workspace.create(tmp_path / "new")
    workspace.add(mp.Task(name="route", labels=dict.fromkeys(LABELS, "")))
    for arguments in (["canary", "route", "1"], ["ab", "route"]):
        done = milepost("-w", tmp_path / "new", *arguments)
        assert done.code == 2
        assert "no release yet" in done.err
