"""Names from outside never become a place outside: a corpus of traversals at every entrance."""

import io
import itertools
import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import pytest

import milepost as mp
from milepost.cli.app import run
from milepost.storage.files.artifacts import open_artifacts

TARGETS = ("escaped", "escaped.yaml", "etc/passwd", "ws2/milepost.toml")
STEPS = (
    "../", "..\\", "../../", "..%2f", "%2e%2e%2f", "%2e%2e/", "..%5c", "%252e%252e%252f",
    "..%c0%af", "..%ef%bc%8f", ".../", "....//", "..//", "./../", "a/../../", "route/../../",
    "..;/", "\u2025/", "\uff0e\uff0e/", "..\u2215", "..\u2044", "..\uff0f", "..\u29f8", "\u202e../",
    ". ./", ".\u200b./", "..\x00/", "\x00../", "..\n/", "\t../", "~/", "~root/", "$HOME/",
    "${HOME}/", "`id`/", "$(id)/",
)  # fmt: skip
ALONE = (
    "", " ", ".", "..", "...", "/", "//", "\\", "\\\\", "~", "-", "--", "-w", "--help ", "*", "?",
    "[a-z]*", "**", "|", ";", "&", "'", '"', "%", "%00", "\x00", "\n", "\r\n", "\x1b[2J", "\x7f",
    "\ud800", "\udc80", "a\ud800b", "\ufeff", "\u202e", "\U0010ffff", "route\n", "route ", " route",
    "route\x00", "route\x00.yaml", "route.", "route/", "route\\", "./route", "route/.", "ROUTE",
    "Route", "r\u043eute", "\uff52oute", "route\u0301", "route::$DATA", "route:stream", "CON",
    "con", "NUL", "AUX", "PRN", "COM1", "LPT1", "con.yaml", "nul.txt", "C:", "C:\\", "C:/escaped",
    "c:escaped", "\\\\server\\share", "//server/share/escaped", "\\\\?\\C:\\escaped",
    "\\\\.\\pipe\\escaped", "file:///etc/passwd", "file://localhost/etc/passwd", "FILE:/etc/passwd",
    "http://127.0.0.1/escaped", "s3://bucket/escaped", "memory://escaped", "jar:file:/x!/y",
    "data:,x", "/dev/null", "/dev/zero", "/dev/stdin", "/proc/self/environ", "/proc/self/fd/0",
    "/etc/passwd", "/etc/shadow", "{outer}/escaped", "{outer}/sentinel", "@", "#", "route@",
    "route#", "route@../..", "route#../..", "route#-1", "route#1e9", "route#999999999999999999999",
    "route#\u0661", "__proto__", "constructor", "None", "null", "true", "0", "-1", "1e999", "NaN",
    "{0.__class__}", "{{7*7}}", "${jndi:ldap://x}", "<script>", "'; DROP TABLE tasks; --",
    "a" * 63 + "b", "a" * 255, "a" * 256, "a" * 4096, "../" * 2000, "a/" * 2000, "\u00e9" * 200,
)  # fmt: skip
CORPUS = [*(step + target for step in STEPS for target in TARGETS[:3]), *ALONE]
Call = Callable[[str], object]
GOOD = re.compile("[a-z][a-z0-9_-]{0,62}")


def test_the_corpus_is_large() -> None:
    assert len(set(CORPUS)) == len(CORPUS) >= 150


@pytest.fixture
def outer(improved, tmp_path, milepost) -> Iterator[Path]:
    """The folder around the workspace; nothing in it may change but the workspace."""
    (tmp_path / "sentinel").write_text("as it was")
    (tmp_path / "ws2").mkdir()
    (tmp_path / "ws2/milepost.toml").write_text("format = 1\n")
    (tmp_path / "cwd").mkdir()
    os.chdir(tmp_path / "cwd")
    before = outside(tmp_path)
    yield tmp_path
    assert outside(tmp_path) == before


def outside(folder: Path) -> dict[str, str]:
    found = {}
    for path in sorted(folder.rglob("*")):
        if folder / "desk" not in (path, *path.parents):
            data = path.read_bytes() if path.is_file() else b""
            found[str(path)] = sha256(data).hexdigest() if data else "there"
    for name in ("/escaped", "/tmp/escaped", "/etc/escaped", str(Path.home() / "escaped")):  # noqa: S108
        assert not Path(name).exists()
    return found


@pytest.fixture(
    params=[pytest.param(1, marks=pytest.mark.exhaustive, id="all"), pytest.param(9, id="some")]
)
def corpus(request, outer) -> list[str]:
    """The corpus, whole or each ninth of it."""
    return [text.replace("{outer}", str(outer)) for text in CORPUS[:: request.param]]


def python_calls(workspace: mp.Workspace, folder: Path) -> dict[str, Call]:
    ws = workspace
    return {
        "predict": lambda s: ws.predict(s, ["x"]),
        "contest": ws.contest,
        "releases": ws.releases,
        "channel of": ws.channel,
        "promote": lambda s: ws.promote(s, 1),
        "rollback": ws.rollback,
        "evaluate": lambda s: ws.evaluate(s, folder / "data/route.csv"),
        "export": lambda s: ws.export(s, folder / "exported"),
        "report": lambda s: ws.report(s or "..", folder / "report.html"),
        "charts": lambda s: ws.charts(s or "..", folder / "charts"),
        "verify": ws.verify,
        "verify at": lambda s: ws.verify(f"route@{s}"),
        "verify number": lambda s: ws.verify(f"route#{s}"),
        "candidate": lambda s: ws.predict("route", ["x"], candidate=s),
        "add": lambda s: ws.add(mp.Task(name=s, labels={"a": "", "b": ""})),
        "strategy": lambda s: ws.improve("route", strategies=[s]),
        "load exported": mp.load_exported,
        "open": mp.Workspace.open,
    }


def refused(call: Callable[[str], object], text: str) -> str:
    """What else happened than a refusal; empty when it was refused."""
    try:
        call(text)
    except mp.MilepostError as error:
        return "" if len(str(error)) < 20_000 else "a very long error"
    except Exception as error:  # noqa: BLE001 - any other exception is the finding
        return f"{type(error).__name__}: {error}"[:200]
    return "taken"


def test_names_in_python(improved, corpus) -> None:
    workspace = mp.Workspace.open(improved)
    wrong: list[tuple[str, str, str]] = []
    for where, call in python_calls(workspace, improved).items():
        for text in corpus:
            if where == "open" and not text:
                continue  # no folder is named: the nearest one is looked for
            # Names such as `con` and `null` are good names of a new task.
            if (said := refused(call, text)) and not (where == "add" and GOOD.fullmatch(text)):
                wrong.append((where, text[:60], said))
    assert wrong == []
    assert all(GOOD.fullmatch(p.stem) for p in (improved / "tasks").iterdir())


def exits_with_2(command: Callable[[str], list[str]], text: str, capsys) -> str:
    """What else happened than exit code 2 and a message; empty when that was all."""
    try:
        code = run(command(text))
    except Exception as error:  # noqa: BLE001 - any exception would be a traceback
        code = f"{type(error).__name__}: {error}"[:200]
    said = capsys.readouterr()
    clear = said.err.startswith("error: ") or "✘" in said.out
    return "" if code == 2 and clear else f"{code} {said.out[-200:]}{said.err[-200:]}"


def test_names_on_the_command_line(improved, corpus, capsys) -> None:
    here = ["-w", str(improved)]
    commands: dict[str, Callable[[str], list[str]]] = {
        "predict": lambda s: ["predict", *here, "--", s, "text"],
        "releases": lambda s: ["releases", *here, "--", s],
        "promote": lambda s: ["promote", *here, "--", s, "1"],
        "promote number": lambda s: ["promote", *here, "--", "route", s],
        "export": lambda s: ["export", *here, "--", s, str(improved / "exported")],
        "verify": lambda s: ["verify", *here, "--", s],
        "candidate": lambda s: ["predict", *here, f"--candidate={s}", "route", "text"],
        "release": lambda s: ["predict", *here, f"--release={s}", "route", "text"],
        "strategy": lambda s: ["improve", *here, f"--strategy={s}", "route"],
        "add": lambda s: ["add", *here, "--", s, str(improved / "data/route.csv")],
        "workspace": lambda s: ["tasks", f"--workspace={s}"],
        "age": lambda s: ["gc", *here, f"--older-than={s}"],
    }
    wrong: list[tuple[str, str, str]] = []
    for (where, command), text in itertools.product(commands.items(), corpus):
        fine = {("workspace", ""), ("age", "0")}
        if where == "add" and GOOD.fullmatch(text):
            continue
        if (where, text) not in fine and (said := exits_with_2(command, text, capsys)):
            wrong.append((where, text[:60], said))
    assert wrong == []
    assert all(GOOD.fullmatch(p.stem) for p in (improved / "tasks").iterdir())


def test_names_in_task_files(improved, corpus, capsys) -> None:
    path = improved / "tasks/route.yaml"
    whole = path.read_text()
    wrong: list[tuple[str, str]] = []
    for text in corpus:
        try:
            quoted = json.dumps(text)
            path.write_text(whole.replace("name: route", f"name: {quoted}", 1))
        except UnicodeEncodeError:
            continue
        if said := exits_with_2(lambda _: ["check", "-w", str(improved)], text, capsys):
            wrong.append((text[:60], said))
        if said := refused(lambda _: mp.Workspace.open(improved).predict("route", ["x"]), text):
            wrong.append((text[:60], said))
    assert wrong == []
    path.write_text(whole)


def test_file_names_under_tasks(improved, corpus, capsys) -> None:
    whole = (improved / "tasks/route.yaml").read_bytes()
    made = 0
    wrong: list[tuple[str, str, str]] = []
    for text in corpus:
        if "/" in text or "\x00" in text or text in ("", "route"):
            continue
        path = improved / "tasks" / f"{text}.yaml"
        try:
            path.write_bytes(whole)
        except (OSError, UnicodeEncodeError):
            continue
        made += 1
        for command in (["check"], ["predict", "--", text, "x"]):
            asked = [command[0], "-w", str(improved), *command[1:]]
            if said := exits_with_2(lambda _, asked=asked: asked, text, capsys):
                wrong.append((command[0], text[:60], said))
        path.unlink()
    assert wrong == []
    assert made > len(corpus) / 3


def test_data_files_may_lie_outside_but_are_only_read(
    improved, outer, corpus, capsys, monkeypatch
) -> None:
    # A task file is written by whoever owns the workspace and may name any file that its owner
    # may read; what cannot be read as a table is refused, and nothing is ever written there.
    path = improved / "tasks/route.yaml"
    whole = path.read_text()
    assert "examples: data/route.csv" in whole
    (improved / "data/route.csv").rename(outer / "ws2/outside.csv")
    for place in (outer / "ws2/outside.csv", "../ws2/outside.csv"):
        path.write_text(whole.replace("data/route.csv", str(place)))
        assert run(["check", "-w", str(improved)]) == 0, capsys.readouterr()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    wrong: list[tuple[str, str]] = []
    for text in corpus:
        try:
            path.write_text(whole.replace("data/route.csv", json.dumps(text)))
        except UnicodeEncodeError:
            continue
        if said := exits_with_2(lambda _: ["check", "-w", str(improved)], text, capsys):
            wrong.append((text[:60], said))
    (outer / "ws2/outside.csv").rename(improved / "data/route.csv")
    assert wrong == []


def test_digests_and_channels(improved, corpus) -> None:
    from milepost.workflows.opening import open_context

    context = open_context(improved)
    local, remote = context.artifacts, open_artifacts(f"local://{improved}/.milepost/artifacts")
    calls: dict[str, Call] = {
        "contest": context.ledger.contest,
        "candidate": context.ledger.candidate,
        "dataset": context.ledger.dataset,
        "given up": context.ledger.given_up,
        "pin": lambda s: context.ledger.pin("job:x", [s]),
    }
    for store in (local, remote):
        kind = type(store).__name__
        for ask in (store.get, store.open, store.size, store.exists, store.refresh):
            calls[f"{kind} {ask.__name__}"] = ask
        calls[f"{kind} copy"] = lambda s, store=store: store.copy(s, improved / "copied")
        calls[f"{kind} delete"] = lambda s, store=store: store.delete(s, datetime.now(UTC))
    whole = "a" * 63 + "b"  # a digest after all
    wrong = [
        (where, text[:60], said)
        for (where, call), text in itertools.product(calls.items(), corpus)
        if text != whole and (said := refused(call, text))
    ]
    assert wrong == []
    assert not (improved / "copied").exists()


def test_outputs_that_cannot_be_written_say_so(improved, outer, capsys) -> None:
    # Where a person asks for a file, it goes there; a name that no file system takes is refused.
    here = ["-w", str(improved)]
    commands: dict[str, Callable[[str], list[str]]] = {
        "export": lambda s: ["export", *here, "--", "route", s],
        "report": lambda s: ["report", *here, f"--output={s}", "route"],
        "predict": lambda s: ["predict", *here, f"--output={s}.csv", "route", "text"],
    }
    names = ("\x00", "a\x00b", "\ud800", "a" * 5000, "a/" * 3000, "/proc/x", "/dev/null/x")
    wrong = [
        (where, name[:60], said)
        for (where, command), name in itertools.product(commands.items(), names)
        if (said := exits_with_2(command, name, capsys))
    ]
    assert wrong == []
