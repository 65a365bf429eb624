"""Registering language models, budgets and what they cost, as typed; and a key found nowhere."""

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from milepost.cli.app import run
from milepost.entities.configuration import Configuration
from milepost.entities.errors import UpstreamError
from milepost.entities.language import Message, ModelRequest
from milepost.models.language.asking import Terms
from milepost.models.language.inside.faults import Fault
from milepost.testing.upstreams import Reply, serving
from milepost.workflows.language.opening import speakers
from milepost.workflows.opening import create, open_context

CANARY = "sk-canary-4vK9xQ2mT7pL0wZ8"
PRICED = ("--price-in", "2.5", "--price-out", "10")


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


Type = Callable[..., Done]


@pytest.fixture
def typed(tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch) -> Type:
    """Runs commands in a new workspace, in this process."""
    create(tmp_path / "w", Configuration()).ledger.close()
    monkeypatch.chdir(tmp_path / "w")

    def run_one(*arguments: str) -> Done:
        capfd.readouterr()
        code = run(list(arguments))
        out, err = capfd.readouterr()
        return Done(code, out, err)

    return run_one


def test_a_model_is_added_shown_checked_changed_and_removed(typed: Type) -> None:
    assert "no upstreams yet" in typed("upstreams", "list").out
    added = typed("upstreams", "add", "test", "--wire", "fake", "--model", "fake")
    assert added.code == 0
    assert "No price is known" in added.out
    checked = typed("upstreams", "check", "test")
    assert checked.code == 0
    assert "answers in" in checked.out
    assert "✔  JSON Schema" in checked.out
    assert "What it costs is not known" in checked.out
    # What was found is kept, and so are earlier prices.
    again = typed("upstreams", "add", "test", "--wire", "fake", *PRICED)
    assert again.code == 2
    assert "--replace" in again.err
    changed = ("upstreams", "add", "test", "--wire", "fake", *PRICED, "--replace")
    assert typed(*changed).code == 0
    assert typed(*changed, "--price-cached", "0.25", "--since", "2026-06-01").code == 0
    shown = typed("upstreams", "show", "test")
    assert "from the beginning" in shown.out
    assert "from 2026-06-01 (UTC)" in shown.out
    assert "can              streaming, JSON Schema, tools" in shown.out
    assert [
        each["number"] for each in typed("upstreams", "show", "test", "--json").json["versions"]
    ]
    bill = typed("upstreams", "check", "test", "--json").json
    spent = typed("spend", "--json").json["groups"][0]
    assert 0 < bill["micro_usd"] == spent["micro_usd"]
    assert spent["calls"] == 14
    assert spent["unpriced"] == 7
    assert typed("upstreams", "remove", "test").code == 0
    gone = typed("upstreams", "check", "test")
    assert gone.code == 2
    assert "no upstream 'test'" in gone.err
    log = typed("audit", "log").out
    assert all(f"upstream.{act}" in log for act in ("added", "changed", "removed"))
    assert typed("audit", "verify").code == 0


def test_budgets_refuse_what_they_do_not_cover(typed: Type) -> None:
    typed("upstreams", "add", "free", "--wire", "fake")
    typed("upstreams", "add", "big", "--wire", "fake", *PRICED)
    assert typed("budget", "set", "workspace", "5").code == 0
    unpriced = typed("upstreams", "check", "free")
    assert unpriced.code == 1
    said = " ".join(unpriced.out.split())
    assert "workspace has a budget" in said
    assert "upstreams add free … --replace --price-in" in said
    assert typed("budget", "set", "upstream:big", "0.000001", "--per", "day").code == 0
    poor = " ".join(typed("upstreams", "check", "big").out.split())
    assert "the budget of upstream:big, $0.000001 a day, has $0.000001 left" in poor
    assert "milepost budget set upstream:big USD" in poor
    listed = typed("budget", "list").out
    assert "workspace" in listed
    assert "upstream:big" in listed
    assert typed("spend", "--by", "day", "--json").json["groups"][0]["failed"] == 2
    assert typed("budget", "remove", "upstream:big").code == 0
    assert typed("upstreams", "check", "big").code == 0
    key = typed("keys", "create", "--budget-usd", "0.5", "--per", "day", "--json").json["key"]["id"]
    budget = next(b for b in typed("budget", "list", "--json").json["budgets"] if key in b["scope"])
    assert (budget["micro_usd"], budget["period"]) == (500_000, "day")
    assert typed("audit", "verify").code == 0


REFUSED = [
    (("check", "bigg"), "Did you mean 'big'"),
    (("add", "x", "--model", "m"), "--base-url https://"),
    (("add", "x", "--base-url", "https://h.example"), "--model NAME"),
    (("add", "Big", "--wire", "fake"), "'Big' is no name of an upstream"),
    (("add", "x", "--wire", "telnet"), "telnet"),
    (("add", "x", "--wire", "fake", "--price-in", "lots"), "'lots' is no amount of USD"),
    (("add", "x", "--wire", "fake", "--price-in", "1e-9"), "at most six decimals"),
    (("add", "x", "--wire", "fake", "--price-cached", "1"), "--price-in, --price-out"),
    (("add", "x", "--wire", "fake", "--fallback", "bog"), "Did you mean 'big'"),
    (("add", "x", "--wire", "fake", "--fallback", "x"), "its own fallback"),
    (("add", "x", "--wire", "fake", "--timeout", "0"), "timeout_s"),
    (("add", "x", "--wire", "fake", "--since", "May"), "'May' is no day"),
    (("add", "x", "--wire", "fake", "--weight", "1", "--weight", "2"), "2 for 1 --base-url"),
    (("add", "x", "--model", "m", "--base-url", "http://10.0.0.1/v1"), "--private"),
    (("add", "x", "--model", "m", "--base-url", "https://169.254.169.254"), "link-local"),
    (("add", "x", "--model", "m", "--base-url", "https://[::ffff:127.0.0.1]"), "this machine"),
    (("add", "x", "--model", "m", "--base-url", "https://u:p@h.example"), "base URL"),
    (("add", "x", "--model", "m", "--base-url", "https://h.example?key=abc"), "--key-env"),
    (("add", "x", "--wire", "fake", "--key-env", CANARY), "name of a variable"),
    (("remove", "other"), "no upstream 'other'"),
]  # fmt: skip


def test_what_cannot_be_is_refused_with_what_to_do(typed: Type) -> None:
    typed("upstreams", "add", "big", "--wire", "fake")
    for arguments, says in REFUSED:
        done = typed("upstreams", *arguments)
        assert done.code == 2, arguments
        assert says in done.err, arguments
        assert CANARY not in done.out + done.err
    listed = typed("upstreams", "list", "--json").json["upstreams"]
    assert [each["name"] for each in listed] == ["big"]


def test_a_wrong_budget_is_refused(typed: Type) -> None:
    typed("upstreams", "add", "big", "--wire", "fake")
    for arguments, says in {
        ("set", "workspace", "much"): "'much' is no amount of USD",
        ("set", "workspace", "-1"): "",
        ("set", "upstream:bigg", "1"): "Did you mean 'big'",
        ("set", "task:none", "1"): "no task 'none'",
        ("set", "key:none", "1"): "no key 'none'",
        ("set", "team", "1"): "no scope of a budget",
        ("remove", "workspace"): "no budget 'workspace'",
    }.items():
        done = typed("budget", *arguments)
        assert done.code == 2
        assert says in done.err
    assert typed("spend", "none").code == 2
    assert typed("spend", "--since", "2026-02-01", "--until", "2026-01-01").code == 2


def test_a_key_is_found_nowhere(
    typed: Type, tmp_path: Path, monkeypatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither in the ledger, nor in words, logs and errors, whatever the provider does with it."""
    caplog.set_level(logging.DEBUG)
    said: list[str] = []
    monkeypatch.setenv("SOME_KEY", CANARY)
    with serving(key=CANARY) as server:
        address = ("--base-url", server.base_url, "--private", "--key-env", "SOME_KEY")
        add = ("upstreams", "add", "big", *address, "--model", "fake", *PRICED)
        for command in (add, ("upstreams", "check", "big"), ("upstreams", "show", "big")):
            done = typed(*command)
            assert done.code == 0, done.err
            said += [done.out, done.err]
        # It was really sent; and now the provider repeats it in all it says.
        assert any(CANARY in str(seen.headers) for seen in server.seen)
        context = open_context(tmp_path / "w")
        for status in (400, 401, 404, 429, 500):
            body = json.dumps({"error": {"message": f"bad key {CANARY}", "type": CANARY}})
            server.replies.extend([Reply(status, body.encode(), {"x-key": CANARY})] * 4)
            said += _asked(context, f"status {status}")
            server.replies.clear()
        for kind in ("half", "wrong_json", "reset"):
            server.fault = Fault(kind=kind)
            said += _asked(context, f"fault {kind}")
        server.fault = None
        monkeypatch.delenv("SOME_KEY")
        missing = typed("upstreams", "check", "big")
        assert missing.code == 1
        assert "SOME_KEY" in missing.out
        said += [missing.out, missing.err]
        monkeypatch.setenv("SOME_KEY", CANARY)
    for command in ("spend", "budget list", "audit log", "upstreams list --json", "audit export"):
        done = typed(*command.split())
        said += [done.out, done.err]
    context.ledger.close()
    said += [record.getMessage() + str(record.exc_info) for record in caplog.records]
    assert sum(len(each) for each in said) > 5000
    assert not [each for each in said if CANARY in each or CANARY[3:15] in each]
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert any(file.name == "ledger.db" for file in files)
    assert not [file for file in files if CANARY.encode() in file.read_bytes()]


def _asked(context, text: str) -> list[str]:
    """What an error says, and all that hangs on it."""
    request = ModelRequest(messages=(Message(role="user", content=text),), max_tokens=5)
    with speakers(context, None, Terms(purpose="improve")) as found:
        try:
            answers = found["big"].ask([request])
        except UpstreamError as error:
            answers = [error]
    errors = [each for each in answers if isinstance(each, UpstreamError)]
    assert errors, text
    return [f"{each}{each!r}{each.__cause__}{each.__context__}{each.args}" for each in errors]
