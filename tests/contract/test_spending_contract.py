"""Many calls at once, of threads and processes, never spend more than a budget."""

import asyncio
import random
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milepost.entities.errors import UpstreamError
from milepost.entities.language import Completion, Message, ModelRequest, Piece, Tokens
from milepost.entities.money import scopes
from milepost.entities.upstream import Upstream
from milepost.models.language.asking import Terms
from milepost.models.language.inside.fake import fake_upstream
from milepost.models.language.metering import Billed, Metered
from milepost.models.language.tabs import new_call_id
from milepost.storage.database import Database
from milepost.storage.ledger import Ledger
from milepost.testing.records import START, some_call
from milepost.workflows.language.meter import LedgerMeter

PROCESSES, THREADS, CALLS = 2, 2, 250
"""1000 calls in all."""

REQUEST = ModelRequest(messages=(Message(role="user", content="Which label?"),), max_tokens=50)
BUDGET = 200_000


class Costly:
    """Costs something between nothing and all that was foreseen."""

    def __init__(self, seed: int) -> None:
        self.upstream: Upstream = fake_upstream()
        self._random = random.Random(seed)  # noqa: S311 - no secret

    async def complete(self, request: ModelRequest, terms: Terms) -> Completion:
        await asyncio.sleep(self._random.random() * 0.01)
        tokens = Tokens(input=12, output=self._random.randint(1, request.max_tokens))
        return Completion(text="refund", tokens=tokens)

    async def stream(self, request: ModelRequest, terms: Terms) -> AsyncIterator[Piece]:
        yield Piece(whole=await self.complete(request, terms))

    async def embed(self, texts: Sequence[str], terms: Terms) -> tuple[list[list[float]], Tokens]:
        raise NotImplementedError

    async def close(self) -> None:
        pass


def spend(meter: LedgerMeter, seed: int, done: list[int]) -> None:
    """Call as often as may be, many at once."""
    model = Metered(Billed(Costly(seed)), meter)

    async def one(number: int) -> int:
        terms = Terms(task=f"t{number % 3}", key=f"k{number % 5}", job="j1")
        try:
            return (await model.complete(REQUEST, terms)).micro_usd
        except UpstreamError as error:
            return -1 if error.outcome == "over_budget" else -2

    async def all_of_them() -> list[int]:
        gate = asyncio.Semaphore(40)

        async def gated(number: int) -> int:
            async with gate:
                return await one(number)

        return await asyncio.gather(*[gated(number) for number in range(CALLS)])

    done.extend(asyncio.run(all_of_them()))


def work(url: str, seed: int) -> list[int]:
    """What a process does; the cost of each call, or -1."""
    done: list[int] = []
    with Ledger.open(url) as ledger:
        meter = LedgerMeter(ledger)
        threads = [
            threading.Thread(target=spend, args=(meter, seed + number, done))
            for number in range(THREADS)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        meter.close()
    return done


def test_a_thousand_calls_at_once_never_overspend(new_url: Callable[[], str]) -> None:
    url = new_url()
    with Ledger.open(url) as ledger:
        ledger.set_budget("workspace", BUDGET, reason="all")
        ledger.set_budget("task:t1", BUDGET // 5, reason="less")
        ledger.set_budget("key:k2", BUDGET // 8, period="total", reason="least")
        code = f"import runpy; m = runpy.run_path({__file__!r}); print(m['work']({url!r}, 10))"
        other = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        done = work(url, 20)
        printed, _ = other.communicate()
        done += [int(each) for each in printed.strip("[] \n").split(",")]
        assert len(done) == PROCESSES * THREADS * CALLS
        assert min(done) == -1
        paid = [cost for cost in done if cost >= 0]
        for budget in ledger.budgets():
            kind, _, name = budget.scope.partition(":")
            calls = ledger.model_calls(**({kind: name} if name else {}))
            spent = sum(call.micro_usd for call in calls)
            assert spent == budget.spent <= budget.micro_usd
            assert budget.reserved == 0
        # All that was paid is in the books, and what could be spent was.
        calls = ledger.model_calls()
        assert sum(call.micro_usd for call in calls) == sum(paid)
        assert sum(call.outcome == "over_budget" for call in calls) == len(done) - len(paid)
        assert sum(paid) > 0.9 * BUDGET


def test_a_process_that_is_killed_leaves_no_budget_overspent(new_url: Callable[[], str]) -> None:
    url = new_url()
    with Ledger.open(url) as ledger:
        ledger.set_budget("workspace", BUDGET, reason="all")
        code = (
            f"import runpy, os; m = runpy.run_path({__file__!r})\n"
            f"ledger = m['Ledger'].open({url!r}); meter = m['LedgerMeter'](ledger)\n"
            f"import asyncio; asyncio.run(meter.reserve(('workspace',), 50_000))\n"
            "os.kill(os.getpid(), 9)"
        )
        assert subprocess.run([sys.executable, "-c", code]).returncode == -9
        held = ledger.budgets()[0].reserved
        assert held >= 50_000
        assert ledger.expire_reservations(ledger.clock() + timedelta(seconds=59)) == 0
        assert ledger.expire_reservations(ledger.clock() + timedelta(seconds=61)) == 1
        assert ledger.budgets()[0].spent == held
        assert ledger.budgets()[0].reserved == 0


def test_what_a_burst_does_not_use_goes_back_at_once(new_url: Callable[[], str]) -> None:
    with Ledger.open(new_url()) as ledger:
        ledger.set_budget("workspace", BUDGET, reason="all")
        meter = LedgerMeter(ledger)
        asyncio.run(Metered(Billed(Costly(1)), meter).complete(REQUEST, Terms()))
        assert meter.flush()
        deadline = time.monotonic() + 20
        while ledger.budgets()[0].reserved and time.monotonic() < deadline:
            meter.flush()
        assert ledger.budgets()[0].reserved == 0
        assert ledger.budgets()[0].spent == ledger.model_calls()[0].micro_usd > 0
        assert meter.left(scopes(upstream="big")) == ledger.budgets()[0].left
        meter.close()


def test_a_key_that_is_younger_than_what_is_known_has_its_budget(
    new_url: Callable[[], str],
) -> None:
    with Ledger.open(new_url()) as ledger:
        meter = LedgerMeter(ledger)  # reads the budgets, and of the key there is none yet
        ledger.set_budget("key:new", 10, reason="a new key")

        async def asked() -> None:
            await meter.reserve(scopes(upstream="big", key="new"), 1000)

        with pytest.raises(UpstreamError) as refused:
            asyncio.run(asked())
        assert refused.value.outcome == "over_budget"
        meter.close()


@pytest.fixture(scope="module")
def database() -> Iterator[Database]:
    with Ledger.open("sqlite://") as ledger:
        yield ledger.database


NUMBERS = iter(range(1_000_000))
ACTS = st.lists(
    st.tuples(
        st.sampled_from(["reserve", "settle", "expire", "tomorrow", "raise", "remove"]),
        st.sampled_from(["a", "b", "c"]),
        st.integers(1, 60),
    ),
    max_size=40,
)


@settings(max_examples=60)
@given(acts=ACTS)
def test_whatever_happens_in_whatever_order_no_budget_is_passed(
    database: Database, acts: list[tuple[str, str, int]]
) -> None:
    """Three processes that reserve, settle, sleep and die, while days go by and budgets change."""
    now, most = START, {"workspace": 100, "task:route": 50}
    # A tenant of its own for each try: to make the tables takes longer than all of it.
    ledger = Ledger(database, lambda: now, tenant=f"t{next(NUMBERS)}")
    for scope, amount in most.items():
        ledger.set_budget(scope, amount, period="day", reason="first")
    for count, (act, who, number) in enumerate(acts):
        until = now + timedelta(seconds=60)
        if act == "reserve":
            ledger.reserve(who, dict.fromkeys(most, number), until)
        elif act == "settle":
            held = min((cost for cost in _held(ledger, who).values()), default=0)
            cost = min(number, held)
            call = some_call(count, id=new_call_id(now), at=now, micro_usd=cost)
            ledger.settle(who, [call], dict.fromkeys(most, min(held, cost + 5)), until)
        elif act == "expire":
            now += timedelta(seconds=61)
            ledger.expire_reservations()
        elif act == "tomorrow":
            now += timedelta(days=1)
        elif act == "raise":
            most["workspace"] += number
            ledger.set_budget("workspace", most["workspace"], period="day", reason="more")
        elif act == "remove":
            ledger.remove_budget("task:route", reason="off")
            ledger.set_budget("task:route", 50, period="day", reason="on")
        for budget in ledger.budgets():
            assert budget.spent + budget.reserved <= most[budget.scope]
            assert budget.reserved == sum(
                _held(ledger, each).get(budget.scope, 0) for each in "abc"
            )


def _held(ledger: Ledger, holder: str) -> dict[str, int]:
    with ledger.database.read() as connection:
        return ledger._holdings(connection, holder)
