"""The pages, their blocks, and a small inbox to run them on."""

import contextlib
import csv
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
TUTORIALS = (ROOT / "docs" / "tutorial.md", ROOT / "docs" / "tutorials" / "first-mile.md")
"""Pages that begin with a workspace of their own; minutes, so that they have slow tests."""
LONG = {
    "budgets.md",
    "fairness.md",
    "labels-and-test-file.md",
    "lineage.md",
    "prepare.md",
    "upstreams.md",
}
"""How-tos that take ten seconds or more: slow tests too."""
QUEUES = ("delivery", "returns", "payment")
_FENCE = re.compile(r"^(```+)(\{code-block\} )?(\w*)[^\n]*\n(.*?)^\1$", re.DOTALL | re.MULTILINE)
_FIRST = "MILEPOST_TEST_PATH"
_CAPTION = re.compile(r"\A:caption: (\S+)\n\n?")


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, its line, and the file that it stands for."""

    language: str
    text: str
    line: int
    caption: str | None


def blocks_of(page: Path) -> list[Block]:
    source = page.read_text()
    found = []
    for match in _FENCE.finditer(source):
        language, text = match[3], match[4]
        caption = _CAPTION.match(text)
        if caption:
            text = text[caption.end() :]
        line = source.count("\n", 0, match.start()) + 1
        found.append(Block(language, text, line, caption[1] if caption else None))
    return found


def pages() -> list[Path]:
    """Everything that people wrote for people."""
    top = [ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "CHANGELOG", "SECURITY")]
    docs = ROOT / "docs"
    return [*top, *sorted(p for p in docs.rglob("*.md") if "_build" not in p.parts)]


def load(path: Path) -> ModuleType:
    """A module outside the package, such as a script."""
    spec = importlib.util.spec_from_file_location(f"loaded_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session", autouse=True)
def _warm_milepost(
    warm_place: Path | None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """``milepost`` on the path has its imports done."""
    if warm_place is None:
        yield
        return
    folder = tmp_path_factory.mktemp("bin")
    client = ROOT / "tests" / "servers" / "warm_client.py"
    script = folder / "milepost"
    # A server is ended by a signal to what was started: it has to be that.
    installed = Path(sys.executable).with_name("milepost")
    script.write_text(
        "#!/bin/sh\n"
        f'case " $* " in *" serve "*) exec {installed} "$@";; esac\n'
        f'exec {sys.executable} -I -S {client} {warm_place} "$@"\n'
    )
    script.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(_FIRST, f"{folder}{os.pathsep}")
        yield


def shell(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    first = os.environ.get(_FIRST, "")
    path = f"{first}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        cwd=folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
    )


def _write(path: Path, rows: list[dict[str, str]], text: str, label: str) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow(["received", "lang", text, label])
        out.writerows([r["received_at"], r["lang"], r["text"], r["route"]] for r in rows)


@pytest.fixture(scope="session")
def inbox(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that the pages name."""
    folder = tmp_path_factory.mktemp("inbox")
    with (files("milepost.demo") / "data" / "inbox.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["route"] in QUEUES]
    _write(folder / "tickets.csv", rows[:150], "body", "queue")
    _write(folder / "more.csv", rows[150:180], "body", "queue")
    _write(folder / "export.csv", rows[180:210], "message", "team")
    _write(folder / "test.csv", rows[210:290], "body", "queue")
    return folder


@pytest.fixture(scope="session")
def support(inbox: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The workspace from which the how-to pages go on, with its release 1."""
    folder = tmp_path_factory.mktemp("support")
    source = inbox / "tickets.csv"
    done = shell(
        f"milepost init support --from {source} --text body --label queue --task route\n"
        "milepost -w support improve route",
        folder,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "support"


@pytest.fixture
def desk(inbox: Path, tmp_path: Path) -> Path:
    """An empty folder with the files that the pages name."""
    return Path(shutil.copytree(inbox, tmp_path / "desk"))


@pytest.fixture
def run_page(desk: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], None]]:
    """Runs the blocks of a page in order in the desk folder."""
    monkeypatch.chdir(desk)
    monkeypatch.syspath_prepend(str(desk))
    before = set(sys.modules)

    def run(page: Path) -> None:
        names: dict[str, object] = {}
        for block in blocks_of(page):
            where = f"{page.relative_to(ROOT)}:{block.line}"
            if block.caption is not None:
                path = desk / block.caption
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(block.text)
            elif block.language == "bash":
                done = shell(block.text, desk)
                assert done.returncode == 0, f"{where}\n{done.stdout}{done.stderr}"
            elif block.language == "python":
                exec(compile(block.text, where, "exec"), names)  # noqa: S102 — the page is ours

    yield run
    for left in desk.rglob("*.pid"):  # a page that broke off before its server was ended
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(left.read_text()), signal.SIGTERM)
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", None) == str(desk / f"{name}.py"):
            del sys.modules[name]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """``page`` is every page; ``how_to`` those whose blocks go on from the workspace support."""
    if "page" in metafunc.fixturenames:
        metafunc.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
    if "how_to" in metafunc.fixturenames:
        run = [
            pytest.param(page, marks=pytest.mark.slow) if page.name in LONG else page
            for page in pages()
            if page.name != "README.md"
            and page not in TUTORIALS
            and any(b.caption or b.language in ("bash", "python") for b in blocks_of(page))
        ]
        metafunc.parametrize("how_to", run, ids=lambda page: str(page.relative_to(ROOT)))


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def read_blocks() -> Callable[[Path], list[Block]]:
    return blocks_of


@pytest.fixture(scope="session")
def from_code() -> ModuleType:
    """The extension that makes the reference pages."""
    return load(ROOT / "docs" / "_ext" / "from_code.py")


@pytest.fixture(scope="session")
def numbers() -> ModuleType:
    return load(ROOT / "scripts" / "readme_numbers.py")


@pytest.fixture(scope="session")
def transcript() -> ModuleType:
    return load(ROOT / "scripts" / "readme_transcript.py")


@pytest.fixture(scope="session")
def output_schemas() -> ModuleType:
    return load(ROOT / "scripts" / "output_schemas.py")


@pytest.fixture
def desk_with_support(desk: Path, support: Path) -> Path:
    shutil.copytree(support, desk / "support")
    return desk
