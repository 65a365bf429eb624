"""The reference equals the program, and every command is used in a text that a person wrote."""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner

from milepost import __all__ as public_names
from milepost._base.limits import Limits
from milepost._base.settings import Settings
from milepost.cli.app import assembled
from milepost.entities.configuration import Configuration
from milepost.reports.plain import schema
from milepost.strategies.registry import STRATEGIES

Read = Callable[[Path], list[Any]]
APP = assembled()
_COMMAND = re.compile(r"\bmilepost (?:-w \S+ )?([a-z-]+)(?: ([a-z]+))?\b")
_OPTION = re.compile(r"(?<![\w-])(--[a-z][a-z-]*|-[a-z])\b")


@cache
def _help(name: str) -> str:
    wide = {"COLUMNS": "200", "TERM": "dumb"}
    done = CliRunner().invoke(APP, [*name.split(), "--help"], env=wide)
    assert done.exit_code == 0
    return done.output


def test_cli_reference_has_the_options_and_words_of_the_help(from_code: Any) -> None:
    for name in from_code.command_names():
        said, shown = from_code.command_help(name), _help(name)
        assert set(_OPTION.findall(shown)) - {"--help", "-h"} == set(_OPTION.findall(said)), name
        words = set(re.findall(r"[A-Za-z]{3,}", shown))
        for row in re.findall(r"^\| `.*?` \| (.*?) \|", said, re.MULTILINE):
            assert set(re.findall(r"[A-Za-z]{3,}", row)) <= words, (name, row)


def test_reference_has_every_command(from_code: Any) -> None:
    headings = re.findall(r"^## `([\w -]+)`$", from_code.commands(), re.MULTILINE)
    listed = list(dict.fromkeys(heading.split()[0] for heading in headings))
    shown = re.findall(
        r"^│ ([a-z][a-z-]*) ", CliRunner().invoke(APP, ["--help"]).output, re.MULTILINE
    )
    assert sorted(listed) == sorted(shown)


def test_every_command_is_used_on_a_page(root: Path, from_code: Any) -> None:
    texts = [path.read_text() for path in [root / "README.md", *(root / "docs").rglob("*.md")]]
    found = [pair for text in texts for pair in _COMMAND.findall(text)]
    used = {name for one, two in found for name in (one, f"{one} {two}")}
    missing = set(from_code.command_names()) - used
    assert not missing, f"no page uses {', '.join(sorted(missing))}"


def test_shell_blocks_name_commands_and_options_that_exist(
    page: Path, read_blocks: Read, from_code: Any
) -> None:
    for block in read_blocks(page):
        if block.language not in ("sh", "bash", "console"):
            continue
        text = block.text.replace("\\\n", " ")  # a command may go on on the next line
        lines = [line.removeprefix("$ ") for line in text.splitlines()]
        if block.language == "console":
            lines = [line[2:] for line in text.splitlines() if line.startswith("$ ")]
        for line in lines:
            words = shlex.split(line, comments=True)
            if words[:1] != ["milepost"]:
                continue
            words = words[3:] if words[1] == "-w" else words[1:]
            names = from_code.command_names()
            name = " ".join(words[:2]) if " ".join(words[:2]) in names else words[0]
            assert name in names, f"{page.name}: {line}"
            options = {word for word in words if re.fullmatch(r"--[a-z-]+|-[a-z]", word)}
            known = set(_OPTION.findall(_help(name)))
            assert options <= known, f"{page.name}: {line}"


def test_make_targets_in_the_pages_exist(root: Path, page: Path) -> None:
    named = set(re.findall(r"`make ([a-z-]+)`|^make ([a-z-]+)", page.read_text(), re.MULTILINE))
    targets = set(re.findall(r"^([a-z-]+):", (root / "Makefile").read_text(), re.MULTILINE))
    assert {a or b for a, b in named} <= targets


def _properties(shape: Any) -> set[str]:
    """Names of all properties anywhere in a JSON Schema."""
    if isinstance(shape, list):
        return {name for each in shape for name in _properties(each)}
    if not isinstance(shape, dict):
        return set()
    own = set(shape.get("properties", {}))
    return own | {name for each in shape.values() for name in _properties(each)}


def test_task_file_page_has_every_field_of_the_published_schema(from_code: Any) -> None:
    published = json.loads((files("milepost.entities") / "task.schema.json").read_text())
    said = from_code.task_file_fields()
    shown = set(re.findall(r"^\| `(\w+)` \|", said, re.MULTILINE))
    assert shown == _properties(published)
    assert not re.search(r"\|\s*\|$", said, re.MULTILINE), "a field without a meaning"


def test_settings_page_has_every_field_with_a_meaning(from_code: Any) -> None:
    said = from_code.settings_fields()
    shown = re.findall(r"^\| `(\w+)` \| .+ \| .+ \| [`\w].+ \|$", said, re.MULTILINE)
    records = (Configuration, Settings, Limits)
    fields = [f.name for record in records for f in msgspec.structs.fields(record)]
    assert shown == [name for name in fields if name not in ("settings", "limits")]


@pytest.mark.parametrize(
    "name",
    ["improve", "evaluate", "predict", "examine", "behave", "compare", "migrate", "verify"],
)
def test_json_page_has_every_field_of_the_contract(name: Any, from_code: Any) -> None:
    shown = re.findall(r"^\| `([^`]+)` \|", from_code.json_contract(name), re.MULTILINE)
    last = {path.removesuffix("[]").rsplit(".", 1)[-1] for path in shown}
    assert _properties(schema(name)) <= last


@pytest.mark.parametrize(
    "name",
    ["improve", "evaluate", "predict", "examine", "behave", "compare", "migrate", "verify"],
)
def test_records_of_the_contract_are_those_of_the_code(name: Any, output_schemas: Any) -> None:
    published = schema(name)
    assert output_schemas.renewed(published) == published, "run python scripts/output_schemas.py"


def test_strategies_page_has_every_strategy(from_code: Any) -> None:
    said = from_code.strategies_table()
    assert re.findall(r"^\| `(\w+)` \|", said, re.MULTILINE) == list(STRATEGIES)


def test_python_page_has_every_public_name(root: Path) -> None:
    pages = [root / "docs" / "reference" / f"{name}.md" for name in ("python", "errors")]
    text = "".join(page.read_text() for page in pages)
    missing = [name for name in public_names if not re.search(rf"\b{name}\b", text)]
    assert not missing


def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("https://", "#")):
            continue
        path = (page.parent / target.partition("#")[0]).resolve()
        assert path.exists(), f"{page.name}: {target}"


@pytest.mark.exhaustive  # `make check` builds them too
def test_sphinx_builds_without_a_warning(root: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-d", tmp_path / "trees"]
    done = subprocess.run(
        [*command, root / "docs", tmp_path / "html"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "html" / "reference" / "cli.html").stat().st_size > 10_000
