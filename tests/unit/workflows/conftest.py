"""A real workspace whose encoder needs no model, and a task of few labels in it."""

import csv
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from milepost.entities.configuration import Configuration
from milepost.testing.encoders import HashedEncoder
from milepost.workflows.context import Context
from milepost.workflows.opening import create

ROWS = tuple(
    (f"r{i}-{label}", f"{thing} {word}", label)
    for i, word in enumerate(
        ("alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel", "india", "julia")
    )
    for label, thing in (("fruit", "ripe apples and pears of"), ("tool", "a hammer and saw from"))
)
"""Id, text and label of 20 examples that a linear head tells apart."""


@pytest.fixture
def context(tmp_path) -> Context:
    wired = create(tmp_path / "desk", Configuration())
    encoder = HashedEncoder()
    return replace(wired, encoder=lambda: encoder, bare_encoder=lambda: encoder)


@pytest.fixture(scope="session")
def rows() -> tuple[tuple[str, str, str], ...]:
    return ROWS


@pytest.fixture
def write(context) -> Callable[..., Path]:
    """Writes a CSV of (id, text, label) rows under ``data/``."""

    def written(rows: Sequence[Sequence[str]], name: str = "things.csv") -> Path:
        path = context.root / "data" / name
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("id", "text", "label"), *rows])
        return path

    return written


@pytest.fixture
def things(context, write) -> str:
    """A task over these examples, with ids of its own."""
    write(ROWS)
    (context.root / "tasks/things.yaml").write_text(
        "name: things\nlabels: {fruit: '', tool: ''}\ndata: {examples: data/things.csv, id: id}\n"
    )
    return "things"
