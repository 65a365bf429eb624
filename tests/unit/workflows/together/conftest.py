"""A workspace on a tiny encoder with its own weights, and small tasks in it."""

import csv
from dataclasses import replace

import pytest

from milepost._base.settings import Settings
from milepost.entities.configuration import Configuration
from milepost.testing.tiny import TinyEncoder, write_tiny
from milepost.workflows.opening import create

WORDS = ("alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel", "india", "kilo")


@pytest.fixture
def context(tmp_path):
    settings = Settings(folds=2, bootstrap=200)
    wired = create(tmp_path / "desk", Configuration(settings=settings))
    encoder = TinyEncoder(write_tiny(tmp_path / "bert"))
    return replace(
        wired,
        encoder=lambda: encoder,
        bare_encoder=lambda: encoder,
        weights=encoder.weights,
    )


@pytest.fixture
def add(context):
    """Adds a task over (text, label) rows."""

    def added(name, rows):
        path = context.root / "data" / f"{name}.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(
                [("id", "text", "label"), *((f"{name}{i}", *row) for i, row in enumerate(rows))]
            )
        labels = ", ".join(f"{label}: ''" for label in sorted({row[1] for row in rows}))
        (context.root / f"tasks/{name}.yaml").write_text(
            f"name: {name}\nlabels: {{{labels}}}\ndata: {{examples: data/{name}.csv, id: id}}\n"
        )
        return name

    return added


@pytest.fixture
def rows_of():
    """Twenty rows of two labels."""

    def rows(first, second):
        return [
            (f"{thing} {word}", label)
            for word in WORDS
            for label, thing in ((first, f"{first} and"), (second, f"the {second} from"))
        ]

    return rows
