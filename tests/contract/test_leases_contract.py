"""One suite for leases over SQLite and PostgreSQL: only the newest token ever writes."""

import itertools
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)

from milepost._base.process import identity
from milepost.entities.errors import ConflictError, HeldError, LostError
from milepost.entities.ids import Digest
from milepost.entities.job import Lease, Plan, Step
from milepost.storage.ledger import Ledger

SECONDS = 30.0
NAMES = itertools.count()


class HandSet:
    """A clock that stands still until it is set."""

    def __init__(self) -> None:
        self.now = datetime(2026, 3, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def go_on(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgresql":
        return request.getfixturevalue("postgres_url")
    return f"sqlite:///{tmp_path}/ledger.db"


@pytest.fixture
def clock() -> HandSet:
    return HandSet()


@pytest.fixture
def ledger(url: str, clock: HandSet) -> Iterator[Ledger]:
    with Ledger.open(url, clock=clock) as opened:
        yield opened


def test_only_one_holds_it_and_the_refusal_says_who_and_until_when(ledger, clock):
    first = ledger.acquire("improve route", identity(), SECONDS)
    assert first.token == 1
    assert first.expires == clock.now + timedelta(seconds=SECONDS)
    with pytest.raises(HeldError) as refused:
        ledger.acquire("improve route", "somebody else", SECONDS)
    assert isinstance(refused.value, ConflictError)
    assert f"process {os.getpid()} on " in str(refused.value)
    assert "since 00:00:00 UTC" in str(refused.value)
    assert "00:00:30 UTC" in str(refused.value)
    assert ledger.lease("improve route") == first
    assert ledger.acquire("improve urgency", "somebody else", SECONDS).token == 1


def test_the_token_grows_for_good(ledger):
    tokens = []
    for _ in range(3):
        lease = ledger.acquire("n", identity(), SECONDS)
        tokens.append(lease.token)
        ledger.give_back(lease)
        assert ledger.lease("n") is None
    assert tokens == [1, 2, 3]


def test_time_alone_lets_others_in_and_a_renewal_keeps_them_out(ledger, clock):
    lease = ledger.acquire("n", "elsewhere", SECONDS)
    clock.go_on(SECONDS - 1)
    lease = ledger.renew(lease, SECONDS)
    clock.go_on(SECONDS - 1)
    with pytest.raises(HeldError):
        ledger.acquire("n", "another", SECONDS)
    clock.go_on(1)
    assert ledger.lease("n") is None
    assert ledger.renew(lease, SECONDS).token == 1  # nobody took it: it goes on
    clock.go_on(SECONDS)
    assert ledger.acquire("n", "another", SECONDS).token == 2
    with pytest.raises(LostError, match="another took it over"):
        ledger.renew(lease, SECONDS)


def test_a_holder_seen_dead_loses_it_at_once(ledger):
    program = (
        "import sys; from milepost._base.process import identity; "
        "print(identity(), flush=True); sys.stdin.read()"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    held = ledger.acquire("n", child.stdout.readline().strip(), SECONDS)
    with pytest.raises(HeldError):
        ledger.acquire("n", identity(), SECONDS)
    child.send_signal(signal.SIGKILL)
    child.communicate()
    assert ledger.lease("n") is None
    assert ledger.acquire("n", identity(), SECONDS).token == held.token + 1


def test_of_many_who_ask_at_once_one_gets_it(url):
    got, refused, start = [], [], threading.Barrier(8)

    def ask(number: int) -> None:
        with Ledger.open(url) as mine:
            start.wait()
            try:
                got.append(mine.acquire("n", f"asker {number}", SECONDS))
            except HeldError as error:
                refused.append(error)

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [lease.token for lease in got] == [1]
    assert len(refused) == 7


class Interleaved(RuleBasedStateMachine):
    """Holders who take, renew, lose and give back a lease, and write whenever they like."""

    url = ""
    leases = Bundle("leases")

    def __init__(self) -> None:
        super().__init__()
        self.clock = HandSet()
        self.ledger = Ledger.open(self.url, clock=self.clock, tenant=f"t{next(NAMES)}")
        self.dead: set[str] = set()
        self.ledger.gone = self.dead.__contains__
        begun = self.ledger.begin_job(
            Plan(kind="k", subject="s", key=Digest("0" * 64)), "setter-up", SECONDS
        )
        self.ledger.give_back(begun.lease)
        self.job, self.newest, self.holder = begun.job.id, 1, None
        self.expires = self.clock.now
        self.written = 0

    def held(self) -> bool:
        alive = self.holder is not None and self.holder not in self.dead
        return alive and self.expires > self.clock.now

    @rule(target=leases, who=st.sampled_from(["a", "b", "c"]))
    def acquire(self, who: str) -> Lease | None:
        try:
            lease = self.ledger.acquire("k s", who, SECONDS)
        except HeldError:
            assert self.held()
            return None
        assert not self.held()
        self.newest += 1
        assert lease.token == self.newest
        self.holder, self.expires = who, lease.expires
        return lease

    @rule(lease=leases)
    def renew(self, lease: Lease | None) -> None:
        if lease is None:
            return
        try:
            self.expires = self.ledger.renew(lease, SECONDS).expires
        except LostError:
            assert lease.token != self.newest or self.holder is None
        else:
            assert lease.token == self.newest
            assert self.holder is not None

    @rule(lease=leases)
    def give_back(self, lease: Lease | None) -> None:
        if lease is not None:
            self.ledger.give_back(lease)
            if lease.token == self.newest:
                self.holder = None

    @rule(lease=leases)
    def write(self, lease: Lease | None) -> None:
        """Whatever the clock says, the newest holder writes and nobody else does."""
        if lease is None:
            return
        step = Step(name=f"{self.written}", result={}, seconds=0.0, finished=self.clock.now)
        try:
            self.ledger.finish_step(self.job, lease, step)
        except LostError:
            assert lease.token != self.newest or self.holder is None
        else:
            assert lease.token == self.newest
            assert self.holder is not None
            self.written += 1

    @rule(seconds=st.sampled_from([-3600.0, -1.0, 1.0, SECONDS, 3600.0]))
    def time_jumps(self, seconds: float) -> None:
        self.clock.go_on(seconds)

    @rule(who=st.sampled_from(["a", "b", "c"]))
    def dies_or_comes_back(self, who: str) -> None:
        self.dead ^= {who}

    @invariant()
    def nothing_else_is_written(self) -> None:
        assert len(self.ledger.job_steps(self.job)) == self.written

    def teardown(self) -> None:
        self.ledger.close()


def test_under_any_interleaving_only_the_newest_holder_writes(url):
    machine = type("Here", (Interleaved,), {"url": url})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=25,
            stateful_step_count=20,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
