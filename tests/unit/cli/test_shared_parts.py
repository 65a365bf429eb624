import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.cli import shared
from milepost.cli.app import run
from milepost.cli.shared import complain, progress, seconds
from milepost.entities.errors import InputError, Problem, TaskFileError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90", 90),
        ("60s", 60),
        ("2m", 120),
        ("1h", 3600),
        ("2d", 172_800),
        ("1.5m", 90),
        (".5s", 0.5),
        ("1e2", 100),
    ],
)
def test_durations(text, expected):
    assert seconds(text) == expected


def test_no_duration_is_no_limit():
    assert seconds(None) is None


@pytest.mark.parametrize(
    "text", ["", "s", "0", "0s", "-1m", "nan", "inf", "infh", "5w", "1 2", "m2"]
)
def test_what_is_no_duration(text):
    with pytest.raises(InputError, match=r"--budget: .* is not a duration"):
        seconds(text)


@given(st.text(max_size=6))
def test_any_text_is_a_positive_duration_or_refused(text):
    try:
        found = seconds(text)
    except InputError:
        return
    assert 0 < found < float("inf")


def test_markup_and_control_in_a_message_stay_text(capsys):
    complain(InputError("[red]not markup[/]", where="[bold]file", advice="Go on."))
    assert capsys.readouterr().err == "error: [bold]file: [red]not markup[/] Go on.\n"


def test_problems_are_counted_and_listed(capsys):
    problems = [Problem(file="t.yaml", line=n, field="kind", what="wrong.") for n in (1, 2)]
    complain(TaskFileError(problems))
    assert capsys.readouterr().err == (
        "error: 2 problems were found.\n  t.yaml:1: kind: wrong.\n  t.yaml:2: kind: wrong.\n"
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["imprve"], ["No such command 'imprve'", "Did you mean 'improve'"]),
        (["predict"], ["Missing argument", "milepost predict -h"]),
        (["tasks", "--jsn"], ["No such option: --jsn", "--json"]),
        (["promote", "route", "two"], ["valid integer", "milepost promote -h"]),
        (["-w", "somewhere"], ["Missing command"]),
    ],
)
def test_misuse_is_one_paragraph(capsys, arguments, words):
    assert run(arguments) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("error: ")
    assert shown.err.count("\n") == 1
    for word in words:
        assert word in shown.err


def test_no_command_shows_the_help(capsys):
    assert run([]) == 0
    assert "Usage: milepost" in capsys.readouterr().out


def test_where_nobody_sees_a_bar_progress_is_a_line_now_and_then(monkeypatch, capsys):
    with progress() as tell:
        tell("route", "prompted: 3 of 90 answers, $0.01 of $1.00 spent", 0.4)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(shared, "LINE_S", 0.01)
    lines = []

    def wait_for(n):
        until = time.monotonic() + 60
        while len(lines) < n:
            assert time.monotonic() < until
            lines.extend(capsys.readouterr().err.splitlines())

    with progress() as tell:
        tell("trec", "multitask", 0.62)
        wait_for(1)
        # What takes minutes is told as soon as a line is due, and not at the next event.
        tell("trec", "timing", 0.75)
        wait_for(2)
    assert [*lines, *capsys.readouterr().err.splitlines()] == [
        "trec: multitask (62%)",
        "trec: timing (75%)",
    ]
