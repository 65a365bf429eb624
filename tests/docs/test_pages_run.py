"""What the README and the pages show is run, page by page."""

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from milepost.entities.configuration import parse_configuration
from milepost.entities.taskfile import parse_task

Run = Callable[[Path], None]
Read = Callable[[Path], list[Any]]


def test_how_to(how_to: Path, run_page: Run, desk_with_support: Path) -> None:
    run_page(how_to)


@pytest.mark.slow
def test_readme(root: Path, run_page: Run) -> None:
    run_page(root / "README.md")


@pytest.mark.slow
def test_tutorial(root: Path, run_page: Run) -> None:
    run_page(root / "docs" / "tutorial.md")


@pytest.mark.slow
def test_tutorial_of_the_first_mile(root: Path, run_page: Run) -> None:
    run_page(root / "docs" / "tutorials" / "first-mile.md")


@pytest.mark.slow
def test_readme_transcript_is_what_the_commands_print(
    root: Path, tmp_path: Path, transcript: Any
) -> None:
    blocks = transcript.BLOCK.findall((root / "README.md").read_text())
    assert blocks
    for block in blocks:
        now = transcript.taken(block, tmp_path)
        assert transcript.skeleton(now) == transcript.skeleton(block), (
            "run python scripts/readme_transcript.py"
        )


def test_files_in_the_pages_are_valid(page: Path, read_blocks: Read) -> None:
    for block in read_blocks(page):
        name = block.caption or ""
        if name.endswith(".yaml"):
            parse_task(block.text, name)
        elif name == "milepost.toml":
            parse_configuration(block.text, name)
        elif block.language == "toml":
            tomllib.loads(block.text)
        elif block.language == "json":
            json.loads(block.text)


def test_python_examples_compile(page: Path, read_blocks: Read) -> None:
    for block in read_blocks(page):
        if block.language in ("python", "py"):
            compile(block.text, f"{page}:{block.line}", "exec")


def test_only_known_kinds_of_blocks(page: Path, read_blocks: Read) -> None:
    # A misspelt language would be a block that nobody runs; short names are read only.
    known = {"bash", "sh", "python", "py", "console", "text", "yaml", "toml", "json", "ini", ""}
    assert {block.language for block in read_blocks(page)} <= known
