"""A scripted month of calls: the books against the providers' own bills, to the micro-USD.

Two providers keep bills of their own: what each attempt read and wrote at the price of its day,
which changes in the middle of the month. Against them runs the whole stack as it serves: answers
from a cache, fallback, retries, metering, the ledger. The script holds tokens that were cached, put
into a cache or thought, streams that are read to their end and streams that are broken off,
attempts that are refused and not billed, attempts that break off and are billed, embeddings,
repeated questions, and budgets that stop some of it.

What a provider bills for an answer that nobody waited for is never told. Those calls have a part of
their own, where the books must not be below the bill.
"""

import asyncio
import hashlib
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from random import Random
from typing import Any

from bench.common import Options
from milepost.entities.errors import UpstreamError
from milepost.entities.language import Completion, Message, ModelRequest, Piece, Tokens
from milepost.entities.model_calls import Outcome
from milepost.entities.money import MICRO
from milepost.entities.upstream import Endpoint, Price, Upstream
from milepost.models.language.asking import Terms
from milepost.models.language.caching.exact import Cached
from milepost.models.language.caching.stores import MemoryAnswers
from milepost.models.language.metering import Billed, Metered
from milepost.models.language.resilience.fallback import FallingBack
from milepost.models.language.resilience.resilient import Resilient
from milepost.storage.ledger import Ledger
from milepost.workflows.language.meter import LedgerMeter

DAYS, A_DAY, QUICK_DAYS = 30, 250, 3
AT_ONCE = 64
FIRST = datetime(2026, 6, 1, 9, tzinfo=UTC)
BUDGETS = {"key:k4": 60_000, "workspace": 10**9}
"""Micro-USD a month; the key's is spent before the month ends."""


def upstream(name: str, read: int, fallback: tuple[str, ...] = ()) -> Upstream:
    """A model whose price falls by a fifth on the 16th; numbers that round badly."""
    return Upstream(
        name=name,
        model=name,
        endpoints=(Endpoint(base_url="https://one.example"),),
        prices=(
            Price(since=date(2026, 1, 1), input=read, output=4 * read, cached_input=read // 10,
                  cache_write=read * 5 // 4),
            Price(
                since=date(2026, 6, 16), input=read * 4 // 5, output=read * 16 // 5,
                cached_input=read // 13, reasoning=read * 3, cache_write=read + 7, call=3,
            ),
        ),
        at_once=AT_ONCE,
        fallback=fallback,
    )  # fmt: skip


class Provider:
    """A provider that keeps its own bill. What it does follows from the text that it is asked.

    Attributes:
        upstream: Its row.
        bill: Billed attempts: day, tokens.
        unseen: Billed attempts of which it told nobody.
        did: How often it did what.
    """

    def __init__(self, row: Upstream, today: "Today") -> None:
        self.upstream, self._today = row, today
        self.bill: list[tuple[date, Tokens]] = []
        self.unseen: list[tuple[date, Tokens]] = []
        self.did: Counter[str] = Counter()
        self._seen: Counter[str] = Counter()

    async def complete(self, request: ModelRequest, terms: Terms) -> Completion:
        text, tokens, random = self._plan(request)
        await asyncio.sleep(random.random() * 0.004)
        self._refuse(text)
        if "lost" in text and self._seen[text] == 1:
            # Computed, billed, and broken off on the way; the usage came first.
            self._charge("broken off and billed", tokens)
            raise self._error("cut_off", self._price().cost(tokens))
        if "slow" in text:
            self.unseen.append((self._today.day, tokens))
            self.did["given up unseen"] += 1
            await asyncio.sleep(60)
        self._charge("answered", tokens)
        return self._answer(text, tokens)

    async def stream(self, request: ModelRequest, terms: Terms) -> AsyncIterator[Piece]:
        text, tokens, random = self._plan(request)
        await asyncio.sleep(random.random() * 0.004)
        self._refuse(text)
        shown = tokens.output - tokens.reasoning
        told = tokens
        try:
            for written in range(1, shown + 1):
                told = Tokens(
                    input=tokens.input, cached_input=tokens.cached_input,
                    output=tokens.reasoning + written, reasoning=tokens.reasoning,
                    cache_write=tokens.cache_write,
                )  # fmt: skip
                yield Piece(text="w ", tokens=told)
            self._charge("streamed", tokens)
            told = None
            yield Piece(whole=self._answer(text, tokens))
        finally:
            if told is not None:
                self._charge("stream closed early", told)

    async def embed(self, texts: Sequence[str], terms: Terms) -> tuple[list[list[float]], Tokens]:
        tokens = Tokens(input=7 * len(texts))
        self._charge("embedded", tokens)
        return [[0.0, 1.0] for _ in texts], tokens

    async def close(self) -> None:
        pass

    def owed(self) -> dict[date, int]:
        """Micro-USD by day, each attempt rounded as an invoice's lines are."""
        found: dict[date, int] = defaultdict(int)
        for day, tokens in self.bill:
            price = self.upstream.price(day)
            assert price is not None
            found[day] += price.cost(tokens)
        return found

    def exactly(self) -> Fraction:
        """Micro-USD in all, nothing rounded."""
        whole = Fraction()
        for day, tokens in self.bill:
            price = self.upstream.price(day)
            assert price is not None
            cached = price.input if price.cached_input is None else price.cached_input
            kept = price.input if price.cache_write is None else price.cache_write
            thought = price.output if price.reasoning is None else price.reasoning
            whole += price.call + Fraction(
                (tokens.input - tokens.cached_input - tokens.cache_write) * price.input
                + tokens.cached_input * cached
                + tokens.cache_write * kept
                + (tokens.output - tokens.reasoning) * price.output
                + tokens.reasoning * thought,
                MICRO,
            )
        return whole

    def _plan(self, request: ModelRequest) -> tuple[str, Tokens, Random]:
        text = str(request.messages[-1].content)
        self._seen[text] += 1
        seed = int(hashlib.sha256(f"{self.upstream.name} {text}".encode()).hexdigest()[:8], 16)
        random = Random(seed)  # noqa: S311 - a script, no secret
        read, written = random.randint(8, 8 + len(text)), random.randint(4, request.max_tokens)
        return (
            text,
            Tokens(
                input=read,
                cached_input=random.choice([0, 0, read // 2]),
                cache_write=random.choice([0, 0, read // 3]),
                output=written,
                reasoning=random.choice([0, written // 3]),
            ),
            random,
        )

    def _refuse(self, text: str) -> None:
        if "busy" in text and self._seen[text] <= 1:
            self.did["429, not billed"] += 1
            raise self._error("rate_limited", 0)
        if "down" in text and self.upstream.name == "big":
            self.did["500, not billed"] += 1
            raise self._error("server_error", 0)

    def _error(self, outcome: Outcome, told: int) -> UpstreamError:
        return UpstreamError(
            outcome, "scripted.", upstream=self.upstream.name, micro_usd=told, attempts=1
        )

    def _charge(self, what: str, tokens: Tokens) -> None:
        self.did[what] += 1
        self.bill.append((self._today.day, tokens))

    def _price(self) -> Price:
        price = self.upstream.price(self._today.day)
        assert price is not None
        return price

    def _answer(self, text: str, tokens: Tokens) -> Completion:
        return Completion(text="w", tokens=tokens, upstream=self.upstream.name)


class Today:
    """A clock that goes on by a day at a time."""

    def __init__(self) -> None:
        self.now = FIRST

    def __call__(self) -> datetime:
        return self.now

    @property
    def day(self) -> date:
        return self.now.date()


def run(options: Options) -> dict[str, Any]:
    """Play the month, and hold the books against the bills."""
    days = QUICK_DAYS if options.quick else DAYS
    with tempfile.TemporaryDirectory() as folder:
        today = Today()
        with Ledger.open(f"sqlite:///{Path(folder) / 'ledger.db'}", clock=today) as ledger:
            began = time.perf_counter()
            told = asyncio.run(_month(ledger, today, days, given_up=False))
            seconds = time.perf_counter() - began
    with tempfile.TemporaryDirectory() as folder:
        today = Today()
        with Ledger.open(f"sqlite:///{Path(folder) / 'ledger.db'}", clock=today) as ledger:
            untold = asyncio.run(_month(ledger, today, 1, given_up=True))
    result = {
        "days": days,
        "seconds": round(seconds, 1),
        "month": told,
        "given_up": untold,
        "reproduced": told["books_micro_usd"] == told["bill_micro_usd"] and told["same_each_day"],
    }
    print(
        f"  {told['calls']:,} calls in {days} days: books {told['books_micro_usd']:,} micro-USD, "
        f"bills {told['bill_micro_usd']:,}; every day and provider the same: "
        f"{told['same_each_day']}; to the unrounded bill {told['unrounded_difference']:+.1f}"
    )
    print(
        f"  given up unseen: books {untold['books_micro_usd']:,}, "
        f"bills {untold['bill_micro_usd']:,} (of the books {untold['estimated_micro_usd']:,} are "
        "marked as estimated)"
    )
    return result


async def _month(ledger: Ledger, today: Today, days: int, *, given_up: bool) -> dict[str, Any]:
    for scope, most in BUDGETS.items():
        ledger.set_budget(scope, most, reason="script")
    small = Provider(upstream("small", 150_007), today)
    big = Provider(upstream("big", 2_500_009, ("small",)), today)
    meter = LedgerMeter(ledger)

    def remembering(provider: Provider) -> Cached:
        inner = Resilient(provider.upstream, [Billed(provider)])
        return Cached(inner, MemoryAnswers())

    cheap = remembering(small)
    models = {
        "small": Metered(cheap, meter, today),
        "big": Metered(FallingBack(remembering(big), [cheap]), meter, today),
    }
    outcomes: Counter[str] = Counter()
    for number in range(days):
        today.now = FIRST + timedelta(days=number)
        gate = asyncio.Semaphore(AT_ONCE)
        calls = [_call(models, gate, (number, each), given_up=given_up) for each in range(A_DAY)]
        outcomes.update(await asyncio.gather(*calls))
        assert await asyncio.to_thread(meter.flush, 60.0)
    await asyncio.to_thread(meter.close)
    return _compared(ledger, [big, small], outcomes)


async def _call(
    models: dict[str, Metered], gate: asyncio.Semaphore, at: tuple[int, int], *, given_up: bool
) -> str:
    """One call of the script; what became of it."""
    day, number = at
    random = Random(day * 1_000_003 + number)  # noqa: S311 - a script, no secret
    model = models["big" if random.random() < 0.3 else "small"]
    kinds = ["plain"] * 12 + ["busy", "lost", "down", "again", "again", "embed"]
    kind = "slow" if given_up and random.random() < 0.2 else random.choice(kinds)
    word = "again the same" if kind == "again" else f"{kind} {day} {number}"
    request = ModelRequest(
        messages=(Message(role="user", content=f"{word} {'x' * random.randint(0, 300)}"),)
        if kind != "again"
        else (Message(role="user", content=f"{word} {number % 7}"),),
        max_tokens=random.randint(8, 80),
    )
    terms = Terms(
        task=f"task{number % 4}",
        key=f"k{number % 5}",
        purpose=random.choice(["serve", "pass"]),
        deadline=time.monotonic() + (0.3 if kind == "slow" else 60.0),
    )
    async with gate:
        try:
            if kind == "embed":
                await model.embed(["one", "two"], terms)
                return "embedded"
            if kind in {"plain", "busy"} and random.random() < 0.4:
                return await _stream(model, request, terms, random)
            answer = await model.complete(request, terms)
        except UpstreamError as error:
            return error.outcome
        return f"cached, {answer.cached}" if answer.cached else "answered"


async def _stream(model: Metered, request: ModelRequest, terms: Terms, random: Random) -> str:
    stop = random.choice([None, 1, 3, 10])
    pieces, read = model.stream(request, terms), 0
    async for _ in pieces:
        read += 1
        if read == stop:
            await pieces.aclose()  # pyright: ignore[reportAttributeAccessIssue]
            return "closed early"
    return "streamed"


def _compared(
    ledger: Ledger, providers: Sequence[Provider], outcomes: Counter[str]
) -> dict[str, Any]:
    books: dict[tuple[str, date], int] = defaultdict(int)
    calls = ledger.model_calls()
    for call in calls:
        books[call.upstream, call.at.date()] += call.micro_usd
    bills = {
        (each.upstream.name, day): owed for each in providers for day, owed in each.owed().items()
    }
    unseen = sum(
        price.cost(tokens)
        for each in providers
        for day, tokens in each.unseen
        if (price := each.upstream.price(day)) is not None
    )
    grouped = {
        by: sum(group.micro_usd for group in ledger.spending(by))
        for by in ("upstream", "task", "key", "day")
    }
    total = sum(books.values())
    assert set(grouped.values()) == {total}
    budgets = {each.scope: each for each in ledger.budgets()}
    assert all(each.spent <= each.micro_usd and not each.reserved for each in budgets.values())
    exact = sum((each.exactly() for each in providers), Fraction())
    return {
        "calls": len(calls),
        "billed_attempts": sum(len(each.bill) for each in providers),
        "books_micro_usd": total,
        "bill_micro_usd": sum(bills.values()) + unseen,
        "estimated_micro_usd": sum(call.estimated for call in calls),
        "same_each_day": {k: v for k, v in books.items() if v} == bills,
        "unrounded_difference": float(total - exact),
        "key_budget_micro_usd": BUDGETS["key:k4"],
        "key_spent_micro_usd": budgets["key:k4"].spent,
        "over_budget_calls": outcomes["over_budget"],
        "outcomes": dict(sorted(outcomes.items())),
        "providers_did": dict(sorted(sum((each.did for each in providers), Counter()).items())),
        "cached_tokens": sum(call.tokens.cached_input for call in calls),
        "cache_write_tokens": sum(call.tokens.cache_write for call in calls),
        "reasoning_tokens": sum(call.tokens.reasoning for call in calls),
    }
