"""A workspace with tasks that answer at once, served in this process."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from milepost.entities.configuration import Configuration
from milepost.serving.service import Service
from milepost.workflows.context import Context
from milepost.workflows.opening import create
from milepost.workflows.serving.opening import ServeOptions, open_service

NEVER = 3600.0
"""Seconds between two looks of a watcher that is stepped by hand."""


@pytest.fixture
def context(tmp_path: Path) -> Iterator[Context]:
    wired = create(tmp_path / "desk", Configuration())
    yield wired
    wired.ledger.close()


@pytest.fixture
def serve(context: Context) -> Iterator[Callable[..., Service]]:
    """Opens services that are closed at the end."""
    opened: list[Service] = []

    def opening(**options: Any) -> Service:
        wanted = {
            "reload_every": NEVER,
            "threads": 1,
            "record": False,
            "variant": "fp32",
            **options,
        }
        opened.append(open_service(context, ServeOptions(**wanted)))
        return opened[-1]

    yield opening
    for service in opened:
        asyncio.run(service.close(5.0))
