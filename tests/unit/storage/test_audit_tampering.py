"""Every kind of tampering, at every position of a log, is found and named.

The log has 120 entries in the quick suite and 1,000 in the exhaustive one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.entities.audit import AuditFinding, Checkpoint, Expected
from milepost.entities.ids import Digest
from milepost.storage.chain import GENESIS
from milepost.storage.proof.chain_check import Checked, RawRow, check_chain, row_hash

TENANT = "default"
COLUMNS = ("at", "actor", "role", "action", "subject", "reason", "details", "hash")
Log = list[RawRow]


def content(number: int) -> RawRow:
    return (
        number,
        f"2026-01-31T23:{number // 60 % 60:02d}:{number % 60:02d}.000001+00:00",
        f"person {number % 7}",
        "owner",
        "channel.moved",
        "route@production",
        f"reason {number}",
        f'{{"from":{number},"to":{number + 1}}}',
        "",
    )


def chained(rows: Sequence[RawRow], previous: str = GENESIS, first: int = 1) -> Log:
    """Rows with numbers and hashes that are right."""
    log: Log = []
    for number, row in enumerate(rows, start=first):
        previous = row_hash(previous, TENANT, number, row)
        log.append((number, *row[1:8], previous))
    return log


def points(log: Log, every: int = 1) -> dict[int, Checkpoint]:
    """A checkpoint of every so many entries, and of the last."""
    return {
        row[0]: Checkpoint(
            tenant=TENANT,
            sequence=row[0],
            hash=Digest(row[8]),
            at="2026-02-01T00:00:00.000000+00:00",
            previous=0,
            key="",
        )
        for row in log
        if row[0] % every == 0 or row is log[-1]
    }


@dataclass(frozen=True)
class Honest:
    """A log as it was written, and its checkpoints: of each entry, of each tenth, of the last."""

    log: Log
    all: dict[int, Checkpoint]
    tenth: dict[int, Checkpoint]
    last: dict[int, Checkpoint]

    @classmethod
    def of(cls, n: int) -> "Honest":
        log = chained([content(number) for number in range(1, n + 1)])
        return cls(log, points(log), points(log, 10), points(log, n))


@pytest.fixture(
    scope="module", params=[120, pytest.param(1000, marks=[pytest.mark.exhaustive])], name="honest"
)
def _honest(request: pytest.FixtureRequest) -> Honest:
    return Honest.of(request.param)


def before(honest: Honest, k: int) -> str:
    """Hash of the entry that stands before the one at index ``k``."""
    return honest.log[k - 1][8] if k else GENESIS


def renumbered(rows: Sequence[RawRow]) -> Log:
    return [(number, *row[1:]) for number, row in enumerate(rows, start=1)]


def with_column(row: RawRow, column: str) -> RawRow:
    changed = list(row)
    index = 1 + COLUMNS.index(column)
    value = str(changed[index])
    # One character, so that the smallest edit is tried.
    changed[index] = value[:-1] + ("1" if value[-1:] != "1" else "0")
    return tuple(changed)  # type: ignore[return-value]


def faults(log: Log, checkpoints: dict[int, Checkpoint]) -> list[AuditFinding]:
    return [f for f in check_chain(TENANT, log, checkpoints).findings if f.severity == "fault"]


def places(log: Log, checkpoints: dict[int, Checkpoint]) -> list[tuple[str, int, int]]:
    found = faults(log, checkpoints)
    # A log without any checkpoint is a fault of its own; these are about the others.
    return [(f.kind, f.sequence, f.until) for f in found if f.kind != "unsigned"]


def test_an_honest_log_is_intact(honest: Honest) -> None:
    n = len(honest.log)
    for checkpoints in (honest.all, honest.tenth, honest.last):
        done = check_chain(
            TENANT, honest.log, checkpoints, Expected(sequence=7, hash=Digest(honest.log[6][8]))
        )
        assert done.findings == []
        assert (done.entries, done.last, done.head, done.covered) == (n, n, honest.log[-1][8], n)
        assert (done.first_at, done.last_at) == (honest.log[0][1], honest.log[-1][1])


@pytest.mark.parametrize("column", COLUMNS)
def test_an_edit(honest: Honest, column: str) -> None:
    n = len(honest.log)
    for k in range(n):
        log = [*honest.log[:k], with_column(honest.log[k], column), *honest.log[k + 1 :]]
        assert places(log, honest.all) == [("edited", k + 1, k + 1)], k
        assert k % 10 or places(log, {}) == [("edited", k + 1, k + 1)], k


def test_an_edit_with_its_own_hash_recomputed(honest: Honest) -> None:
    n = len(honest.log)
    for k in range(n):
        edited = chained([with_column(honest.log[k], "actor")], before(honest, k), k + 1)
        found = places([*honest.log[:k], *edited, *honest.log[k + 1 :]], honest.all)
        assert ("rewritten", k + 1, k + 1) in found, k
        assert k + 1 == n or ("edited", k + 2, k + 2) in found, k


def test_an_edit_with_all_hashes_after_it_recomputed(honest: Honest) -> None:
    n = len(honest.log)
    for k in range(n):
        rows = [with_column(honest.log[k], "reason"), *honest.log[k + 1 :]]
        log = [*honest.log[:k], *chained(rows, before(honest, k), k + 1)]
        assert places(log, honest.all) == [("rewritten", k + 1, n)], k
        tenth = places(log, honest.tenth)
        assert tenth == [("rewritten", k // 10 * 10 + 1, n)], k
        assert places(log, {}) == []


def test_a_deletion(honest: Honest) -> None:
    n = len(honest.log)
    for k in range(n - 1):
        log = [*honest.log[:k], *honest.log[k + 1 :]]
        assert places(log, honest.all) == places(log, {}) == [("deleted", k + 1, k + 1)], k


def test_a_deletion_with_the_rest_renumbered(honest: Honest) -> None:
    n = len(honest.log)
    for k in range(n - 1):
        log = renumbered([*honest.log[:k], *honest.log[k + 1 :]])
        assert places(log, honest.all) == [("deleted", k + 1, k + 1)], k
        assert places(log, honest.last) == [("deleted", k + 1, k + 1)], k


def test_a_deletion_with_the_rest_renumbered_and_recomputed(honest: Honest) -> None:
    n = len(honest.log)
    for k in range(n - 1):
        log = chained([*honest.log[:k], *honest.log[k + 1 :]])
        assert places(log, honest.all) == [("rewritten", k + 1, n - 1), ("truncated", n, n)], k


def test_a_swap_of_neighbours(honest: Honest) -> None:
    n = len(honest.log)
    for k in range(n - 1):
        rows = [*honest.log[:k], honest.log[k + 1], honest.log[k], *honest.log[k + 2 :]]
        moved = renumbered(rows)
        stayed = [(*new[:8], old[8]) for new, old in zip(moved, honest.log, strict=True)]
        for log in (moved, stayed):
            assert places(log, honest.all) == [("reordered", k + 1, k + 2)], k
            assert places(log, {}) == [("reordered", k + 1, k + 2)], k


@pytest.mark.parametrize("apart", [2, 50])
def test_a_swap_of_others(honest: Honest, apart: int) -> None:
    n = len(honest.log)
    for k in range(n - apart):
        rows = [*honest.log]
        rows[k], rows[k + apart] = rows[k + apart], rows[k]
        log = renumbered(rows)
        assert places(log, honest.all) == [("reordered", k + 1, k + apart + 1)], k
        assert k % 10 or places(log, {}) == [("reordered", k + 1, k + apart + 1)], k


def test_an_insertion(honest: Honest) -> None:
    n = len(honest.log)
    for k in range(n):
        false = chained([content(n + 7)], before(honest, k), k + 1)
        wild = [(*false[0][:8], "f" * 64)]
        for added in (false, wild):
            log = renumbered([*honest.log[:k], *added, *honest.log[k:]])
            assert places(log, honest.all) == [("inserted", k + 1, k + 1)], k
            assert places(log, {}) == [("inserted", k + 1, k + 1)], k


def test_an_insertion_with_all_hashes_after_it_recomputed(honest: Honest) -> None:
    n = len(honest.log)
    for k in range(n):
        log = chained([*honest.log[:k], content(n + 7), *honest.log[k:]])
        assert places(log, honest.all) == [("rewritten", k + 1, n)], k


def test_a_truncated_tail(honest: Honest) -> None:
    n = len(honest.log)
    for k in range(n):
        for checkpoints in (honest.all, honest.last):
            assert places(honest.log[:k], checkpoints) == [("truncated", k + 1, n)], k
        assert places(honest.log[:k], {}) == []


def test_a_full_rewrite_with_a_valid_chain(honest: Honest) -> None:
    n = len(honest.log)
    for k in range(1, n + 1):
        log = chained([(*row[:2], "somebody else", *row[3:]) for row in honest.log])
        point = {k: honest.all[k]}
        assert places(log, point) == [("rewritten", 1, k)], k


def test_several_at_once_are_told_apart() -> None:
    honest = Honest.of(800)
    rows = [*honest.log]
    rows[99] = with_column(rows[99], "details")
    rows[299], rows[300] = rows[300], rows[299]
    del rows[499:502]
    log = renumbered(rows)
    log = renumbered([*log[:700], *chained([content(3)], log[699][8], 701), *log[700:]])
    assert places(log, honest.all) == [
        ("edited", 100, 100),
        ("reordered", 300, 301),
        ("deleted", 500, 502),
        ("inserted", 701, 701),
    ]


def test_what_was_expected(honest: Honest) -> None:
    noted = Expected(sequence=10, hash=Digest(honest.log[9][8]))
    assert check_chain(TENANT, honest.log, {}, noted).covered == 10
    for log, first in ((honest.log[:4], 5), (chained([content(1)] * 20), 10)):
        found = check_chain(TENANT, log, {}, noted).findings
        assert [
            (f.kind, f.sequence, f.until) for f in found if f.kind not in {"uncovered", "unsigned"}
        ] == [("expected", first, 10)]


def test_limits_are_said(honest: Honest) -> None:
    n = len(honest.log)
    bare = check_chain(TENANT, honest.log, {}).findings
    assert [(f.kind, f.severity, f.sequence, f.until) for f in bare] == [
        ("unsigned", "fault", 1, n)
    ]
    early = check_chain(TENANT, honest.log, {n - 10: honest.all[n - 10]}).findings
    assert [(f.kind, f.severity, f.sequence, f.until) for f in early] == [
        ("uncovered", "warning", n - 9, n)
    ]


def test_text_of_another_type_is_an_edit(honest: Honest) -> None:
    # Bytes whose base64 is the text would be hashed like the text.
    for value in (b"i\xb7\x1d", None, 5):
        row = (*honest.log[4][:2], value, *honest.log[4][3:])
        log = [*honest.log[:4], row, *honest.log[5:]]
        assert places(log, honest.all) == [("edited", 5, 5)]  # type: ignore[arg-type]
    plain = chained([(*honest.log[0][:2], "abcd", *honest.log[0][3:])])
    sly = [(*plain[0][:2], b"i\xb7\x1d", *plain[0][3:])]
    assert places(sly, {}) == [("edited", 1, 1)]  # type: ignore[arg-type]


def test_a_log_of_nothing_but_nonsense_ends() -> None:
    log = [(*content(n)[:8], f"{n:064x}") for n in range(1, 5001)]
    done = check_chain(TENANT, log, {})
    assert len(done.findings) + done.more >= 5000
    assert all(f.kind == "edited" for f in done.findings if f.severity == "fault")


def test_doubled_and_strange_numbers(honest: Honest) -> None:
    for number in (5, 4, "x", None):
        stray = (number, *honest.log[4][1:])
        log = [*honest.log[:5], stray, *honest.log[5:]]
        assert places(log, {}) == [("inserted", 5, 5)]  # type: ignore[arg-type]


SHORT = Honest.of(40)


@given(
    seed=st.lists(
        st.tuples(st.sampled_from(["edit", "delete", "swap", "insert", "cut"]), st.integers(0, 39)),
        min_size=1,
        max_size=4,
    ),
    every=st.sampled_from([1, 7, 40]),
)
def test_any_mixture_is_found(seed: list[tuple[str, int]], every: int) -> None:
    short = SHORT.log
    log = list(short)
    for kind, place in seed:
        k = place % len(log) if log else 0
        if kind == "edit" and log:
            log[k] = with_column(log[k], COLUMNS[place % 8])
        elif kind == "delete" and log:
            del log[k]
        elif kind == "swap" and log:
            log[k], log[-1] = log[-1], log[k]
        elif kind == "insert":
            log.insert(k, content(place + 1))
        else:
            log = log[: k + 1]
    log = renumbered(log)
    done: Checked = check_chain(TENANT, log, points(short, every))
    found = [f for f in done.findings if f.severity == "fault"]
    assert (log == short) == (not found)
