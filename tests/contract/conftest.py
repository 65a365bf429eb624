"""Ledgers on SQLite and PostgreSQL, for one suite over both."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from milepost.storage.ledger import Ledger
from milepost.testing.records import TASK, Ticking, some_contest, task_digest


@pytest.fixture(params=["sqlite", "sqlite in memory", "postgresql"])
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgresql":
        return request.getfixturevalue("postgres_url")
    return "sqlite://" if "memory" in request.param else f"sqlite:///{tmp_path}/ledger.db"


@pytest.fixture(params=["sqlite", "postgresql"])
def new_url(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], str]:
    """Makes addresses of databases with nothing in them."""
    if request.param == "postgresql":
        return request.getfixturevalue("new_postgres_database")
    names = iter(range(1000))
    return lambda: f"sqlite:///{tmp_path}/{next(names)} 100%.db"


@pytest.fixture
def ledger(ledger_url: str) -> Iterator[Ledger]:
    with Ledger.open(ledger_url, clock=Ticking()) as opened:
        yield opened


@pytest.fixture
def routed(ledger: Ledger) -> Ledger:
    """With the task ``route``."""
    ledger.save_task(TASK, task_digest(TASK))
    return ledger


@pytest.fixture
def released() -> Callable[[Ledger, int, int], int]:
    """Releases a new contest's candidate; returns the number of the release."""

    def release(ledger: Ledger, number: int, expected: int) -> int:
        ledger.save_contest(some_contest(number))
        winner = some_contest(number).candidates[0].id
        return ledger.make_release(winner, expected_version=expected, reason="better").number

    return release
