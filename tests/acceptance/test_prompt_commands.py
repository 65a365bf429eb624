"""Prompts as typed: kept, listed with what came of them, compared, promoted, refused."""

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from milepost.cli.app import run
from milepost.entities.configuration import Configuration
from milepost.workflows.opening import create

OWN = """answer = "label"
system = "Sort it. {% for label in labels %}\\n- {{ label.name }}{% endfor %}"
user = "Text: {{ text }}\\nLabel:"
"""

WORDS = {"refund": "the money back", "card-lost": "my stolen card", "opening": "when you open"}


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str


Type = Callable[..., Done]


@pytest.fixture
def typed(tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch) -> Type:
    """Runs commands in a workspace with one small task, in this process."""
    create(tmp_path / "w", Configuration()).ledger.close()
    monkeypatch.chdir(tmp_path / "w")
    with Path("queue.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["text", "label"])
        for number in range(36):
            label = list(WORDS)[number % 3]
            rows.writerow([f"case {number}: it is about {WORDS[label]}, and {number * 37}", label])
    Path("tasks").mkdir(exist_ok=True)
    Path("tasks/queue.yaml").write_text(
        "name: queue\nkind: classify\ninstruction: Which queue?\ninputs: {text: string}\n"
        "labels: {refund: about money, card-lost: about a stolen card, opening: when we open}\n"
        "data: {examples: queue.csv}\n"
    )

    def run_one(*arguments: str) -> Done:
        capfd.readouterr()
        code = run(list(arguments))
        out, err = capfd.readouterr()
        return Done(code, out, err)

    return run_one


def test_a_prompt_is_kept_compared_promoted_and_stands_in_a_contest(typed: Type) -> None:
    assert "No prompt is kept yet" in typed("prompts", "queue").out
    Path("own.toml").write_text(OWN)
    added = typed("prompts", "add", "queue", "own.toml", "--note", "ours")
    assert (added.code, added.err) == (0, "")
    shown = typed("prompts", "show", "queue", "1", "--toml").out
    Path("again.toml").write_text(shown)
    assert "Prompt 1 of queue" in typed("prompts", "add", "queue", "again.toml").out
    assert "[-" not in typed("prompts", "diff", "queue", "1", "1").out
    Path("other.toml").write_text(OWN.replace("Sort it.", "Sort this."))
    typed("prompts", "add", "queue", "other.toml", "--parent", "1")
    assert "Sort [-it-]{+this+}." in typed("prompts", "diff", "queue", "1", "2").out
    told = json.loads(typed("prompts", "diff", "queue", "1", "2", "--json").out)
    assert told["first"] != told["second"]
    assert any("Sort [-it-]{+this+}." in line for line in told["changes"])
    assert typed("prompts", "promote", "queue", "2").code == 0
    assert "points to version 2 already" in typed("prompts", "promote", "queue", "2").err

    priced = ("--wire", "fake", "--price-in", "2.5", "--price-out", "10")
    assert typed("upstreams", "add", "big", *priced).code == 0
    improved = typed("improve", "queue", "--budget-usd", "1", "--strategy", "prompted", "--json")
    assert improved.code in (0, 1), improved.err
    states = json.loads(typed("prompts", "list", "queue", "--json").out)
    asked = {state["version"]["number"]: state for state in states}
    assert asked[1]["results"] == []
    (result,) = asked[2]["results"]
    assert asked[2]["aliases"] == ["production"]
    assert (result["strategy"], result["upstream"], result["alone"]) == ("prompted", "big", True)
    assert result["score"]["n"] == 36
    assert result["cost_per_1k_usd"] > 0
    assert "production" in typed("prompts", "show", "queue").out
    log = typed("audit", "log", "--json").out
    assert all(act in log for act in ("prompt.added", "prompt.promoted"))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('user = "{{ txt }}"', "Did you mean 'text'?"),
        ('user = "{{ text.__class__ }}"', "there is no field '__class__' of a text"),
        ('user = "{{ text }}"\nanser = "label"', "Did you mean 'answer'?"),
        ('user = "{{ text }}"\nanswer = "word"', "answer"),
        ("user = ", "it is not TOML"),
        ('user = "hello"', "never shows the input"),
    ],
)
def test_a_prompt_that_cannot_be_used_is_refused(typed: Type, content: str, said: str) -> None:
    Path("bad.toml").write_text(content)
    done = typed("prompts", "add", "queue", "bad.toml")
    assert done.code == 2
    assert said in done.err
    assert "Traceback" not in done.err


def test_a_prompt_of_the_task_file_is_checked_before_anything_is_fitted(typed: Type) -> None:
    Path("bad.toml").write_text('user = "{{ txt }}"')
    with Path("tasks/queue.yaml").open("a") as file:
        file.write("language: {prompt: bad.toml}\n")
    improved = typed("improve", "queue", "--strategy", "majority")
    assert improved.code == 2
    assert "bad.toml: prompt: user, line 1: there is no variable 'txt'." in improved.err


def test_unknown_names_are_answered_with_the_nearest(typed: Type) -> None:
    Path("own.toml").write_text(OWN)
    typed("prompts", "add", "queue", "own.toml")
    typed("prompts", "promote", "queue", "1")
    for arguments, said in [
        (("prompts", "queu"), "Did you mean 'queue'?"),
        (("prompts", "show", "queue", "prodution"), "Did you mean 'production'?"),
        (("prompts", "diff", "queue", "1", "9"), "Known: 1"),
        (("prompts", "promote", "queue", "1", "--alias", "Not One"), "cannot be an alias"),
        (("prompts", "add", "queue", "none.toml"), "no such file"),
    ]:
        done = typed(*arguments)
        assert done.code == 2, arguments
        assert said in done.err
