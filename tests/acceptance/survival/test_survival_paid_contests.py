"""A contest that costs money is killed while it asks: what was kept is not paid for again.

What the provider bills is counted by the provider itself, a real server of HTTP. A kill may cost
the calls on their way once more, at most ``AT_ONCE``; and what the killed process had reserved
counts as spent after a minute, which is never less than what it did spend.
"""

import csv
import time
from collections import Counter
from pathlib import Path

import pytest
import sqlalchemy as sa

import milepost as mp
from milepost._base.digest import digest_of
from milepost.entities.money import MICRO
from milepost.models.language.inside.fake import Fake, fake_upstream
from milepost.storage import tables
from milepost.testing.upstreams import serving
from milepost.workflows.language.meter import LEASE_S
from milepost.workflows.upkeep.migrate_store import migrate_store

AT_ONCE = 4
LIMIT = 0.25
NAMES = (
    "alpha bravo charlie delta echo foxtrot golf hotel india juliet kilo lima mike november oscar"
)
THINGS = {"fruit": "ripe apples and pears of", "tool": "a hammer and saw from"}
ONLY = ("--strategy", "tfidf_linear", "--strategy", "prompted", "--strategy", "prompt_ensemble")


class Billing(Fake):
    """A fake that bills every answer it gives, whether or not anybody is there to take it."""

    def __init__(self) -> None:
        super().__init__(fake_upstream(base_url="fake:?accuracy=1&seconds=0.02"))
        self.calls: Counter[str] = Counter()
        self.micro_usd = self.flying = 0

    async def complete(self, request, terms):
        self.flying += 1
        try:
            answer = await super().complete(request, terms)
            self.calls[digest_of(request)] += 1
            self.micro_usd += answer.micro_usd
            return answer
        finally:
            self.flying -= 1

    @property
    def repeated(self) -> int:
        """Answers that were billed although the same had been billed before."""
        return self.calls.total() - len(self.calls)


@pytest.fixture
def provider():
    with serving(Billing()) as server:
        yield server


@pytest.fixture
def shop(kind, tmp_path, provider, warm, opened, request) -> Path:
    """A workspace with a task and the provider as its upstream, its ledger on either database."""
    file = tmp_path / "things.csv"
    with file.open("w", newline="", encoding="utf-8") as out:
        rows = [(f"{thing} {name}", y) for name in NAMES.split() for y, thing in THINGS.items()]
        csv.writer(out).writerows([("text", "label"), *rows])
    folder = tmp_path / "shop"
    mp.Workspace.from_file(folder, file, task="things")
    if kind == "postgresql":
        with opened(folder) as context:
            migrate_store(context, request.getfixturevalue("new_server_database")())
    where = ("--base-url", provider.base_url, "--private", "--model", "fake")
    limits = ("--at-once", AT_ONCE, "--price-in", 2.5, "--price-out", 10)
    added = warm.run("-w", folder, "upstreams", "add", "big", *where, *limits)
    assert added.code == 0, added.said
    return folder


def state(context):
    """Answers that are kept, the contest's budget, and what the books have."""
    with context.ledger.database.read() as connection:
        kept = connection.scalar(sa.select(sa.func.count()).select_from(tables.model_answers))
    (budget,) = [each for each in context.ledger.budgets() if each.scope.startswith("job:")]
    return kept, budget, sum(each.micro_usd for each in context.ledger.spending())


def lost(context) -> int:
    entries = context.ledger.audit(1000, action="budget.lost")
    return sum(e.details["micro_usd"] for e in entries if e.subject.startswith("job:"))


SLOW = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.mark.parametrize(
    ("kind", "kills"),
    [
        pytest.param("sqlite", 4, id="sqlite", marks=SLOW),
        pytest.param("postgresql", 5, id="postgresql", marks=SLOW),
    ],
    indirect=["kind"],
)
def test_killed_while_it_asks(kind, kills, shop, provider, warm, moments, opened, sleep_until):
    billing = provider.model
    improve = ("-w", shop, "improve", "things", *ONLY, "--budget-usd", LIMIT, "--json")
    for killed in range(1, kills + 1):
        child = warm.command(*improve)
        goal = billing.calls.total() + moments.randint(1, 12)
        sleep_until(lambda goal=goal: billing.calls.total() >= goal)
        time.sleep(moments.uniform(0.0, 0.04))
        child.kill()
        child.wait()
        assert "Traceback" not in child.said
        sleep_until(lambda: not billing.flying)
        with opened(shop) as context:
            kept, budget, books = state(context)
        assert billing.repeated <= AT_ONCE * killed
        assert len(billing.calls) - kept <= AT_ONCE * killed, "answered and not kept"
        assert books <= billing.micro_usd <= budget.spent + budget.reserved
        assert budget.spent + budget.reserved <= budget.micro_usd == LIMIT * MICRO
    done = warm.run(*improve)
    assert done.code in {0, 1}, done.said
    assert "Resuming" in done.said
    assert 0 < billing.repeated + len(billing.calls) == billing.calls.total()
    assert billing.repeated <= AT_ONCE * kills
    assert max(billing.calls.values()) <= 1 + kills
    billed = billing.micro_usd
    with opened(shop) as context:
        later = context.clock().timestamp() + LEASE_S + 1
        moment = type(context.clock()).fromtimestamp(later, context.clock().tzinfo)
        context.ledger.expire_reservations(moment)
        kept, budget, books = state(context)
        assert books <= billed <= books + lost(context) == budget.spent <= budget.micro_usd
        assert budget.reserved == 0, "what the dead held is over"
        assert kept == len(billing.calls)
        (contest,) = context.ledger.contests("things")
        prompted = {each.strategy: each for each in contest.candidates}["prompted"]
        assert prompted.scorecard is not None, "the dead did not eat up the budget"
