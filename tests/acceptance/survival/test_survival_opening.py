"""Eight processes open a fresh ledger at once, and all succeed."""

import pytest

from milepost.storage.ledger import Ledger

AT_ONCE = 8


@pytest.mark.parametrize(
    "repeats",
    [
        pytest.param(2, id="few"),
        pytest.param(50, id="many", marks=[pytest.mark.exhaustive, pytest.mark.timeout(900)]),
    ],
)
def test_eight_processes_open_a_fresh_ledger(repeats, new_database, warm, tmp_path, invariants):
    for number in range(repeats):
        url, go = new_database(), tmp_path / f"go-{number}"
        children = [warm.start("opening", url=url, go=go) for _ in range(AT_ONCE)]
        go.touch()
        assert [child.wait() for child in children] == [0] * AT_ONCE, [c.said for c in children]
        assert [child.said for child in children] == ["0\n"] * AT_ONCE
        with Ledger.open(url) as ledger:
            invariants.of_ledger(ledger)
