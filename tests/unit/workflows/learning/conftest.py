"""A workspace with a released closed-form head, made once and copied for each test."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from milepost.entities.configuration import Configuration
from milepost.testing.encoders import HashedEncoder
from milepost.workflows.contest.improve import improve
from milepost.workflows.contest.options import Options
from milepost.workflows.context import Context
from milepost.workflows.opening import create, open_context

WORDS = ["alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel", "india", "julia"]
ROWS = [
    (f"r{i}-{label}", f"{thing} {word}", label, f"c{i}")
    for i, word in enumerate(WORDS)
    for label, thing in (("fruit", "ripe apples and pears of"), ("tool", "a hammer and saw from"))
]
"""Id, text, label and customer of 20 examples that a linear head tells apart."""


def hashed(wired: Context) -> Context:
    """The workspace with an encoder that needs no model."""
    encoder = HashedEncoder()
    return replace(wired, encoder=lambda: encoder, bare_encoder=lambda: encoder)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    context = hashed(create(tmp_path_factory.mktemp("made") / "desk", Configuration()))
    lines = ["id,text,label,customer", *(",".join(row) for row in ROWS)]
    (context.root / "data/things.csv").write_text("\n".join(lines) + "\n")
    (context.root / "tasks/things.yaml").write_text(
        "name: things\nlabels: {fruit: '', tool: ''}\ndata: {examples: data/things.csv, id: id}\n"
    )
    contest = improve(context, "things", Options(strategies=("head_closed_form",))).contest
    assert contest.release == 1, contest.decision.reasons
    context.ledger.close()
    return context.root


@pytest.fixture
def released(template: Path, tmp_path: Path) -> Iterator[Context]:
    """The workspace with its first release."""
    shutil.copytree(template, tmp_path / "desk")
    context = hashed(open_context(tmp_path / "desk"))
    yield context
    context.ledger.close()
