"""What calls cost, attempt by attempt: answers, failures, streams, retries, fallbacks, hedges."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from milepost.entities.errors import UpstreamError
from milepost.entities.language import Completion, Message, ModelRequest, Part, Piece, Tokens, Tool
from milepost.entities.model_calls import ModelCall
from milepost.entities.upstream import Endpoint, Price, Upstream
from milepost.models.language.asking import Terms
from milepost.models.language.metering import Billed, Metered
from milepost.models.language.tabs import (
    IMAGE_TOKENS,
    Hold,
    most_cost,
    most_tokens,
    new_call_id,
)

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
REQUEST = ModelRequest(messages=(Message(role="user", content="Which label?"),), max_tokens=10)
TOLD = Tokens(input=20, output=6, cached_input=8, reasoning=2)


def row(name: str = "big", price: int = 1_000_000) -> Upstream:
    """A token read costs ``price`` micro-USD a million, one written twice as much."""
    return Upstream(
        name=name,
        model="m",
        endpoints=(Endpoint(base_url="https://h.example"),),
        prices=(
            Price(since=date(2026, 1, 1), input=price, output=2 * price, cached_input=price // 2),
        ),
    )


class Books:
    """A meter that remembers."""

    def __init__(self, most: int | None = None) -> None:
        self.calls: list[ModelCall] = []
        self.open: list[Hold] = []
        self.reserved: list[int | None] = []
        self.most = most

    async def reserve(self, scopes: tuple[str, ...], micro_usd: int | None) -> Hold:
        self.reserved.append(micro_usd)
        if self.most is not None and sum(hold.micro_usd for hold in self.open) >= self.most:
            raise UpstreamError("over_budget", "spent.")
        self.open.append(Hold("h", scopes, micro_usd or 0))
        return self.open[-1]

    def settle(self, calls: Sequence[ModelCall], holds: Sequence[Hold]) -> None:
        self.calls.extend(calls)
        for hold in holds:
            self.open.remove(hold)

    def left(self, scopes: tuple[str, ...]) -> int | None:
        return self.most


class Script:
    """Does in turn what it is told: an answer, an error, pieces, or nothing for ever."""

    def __init__(self, *acts: object, upstream: Upstream | None = None) -> None:
        self.upstream = upstream or row()
        self._acts = list(acts)

    async def complete(self, request: ModelRequest, terms: Terms) -> Completion:
        act = self._acts.pop(0)
        if isinstance(act, UpstreamError):
            raise act
        if act == "hang":
            await asyncio.sleep(3600)
        assert isinstance(act, Tokens)
        return Completion(text="refund", tokens=act, upstream=self.upstream.name)

    async def stream(self, request: ModelRequest, terms: Terms) -> AsyncIterator[Piece]:
        for act in self._acts:
            if isinstance(act, UpstreamError):
                raise act
            assert isinstance(act, Piece)
            yield act

    async def embed(self, texts: Sequence[str], terms: Terms) -> tuple[list[list[float]], Tokens]:
        return [[1.0]] * len(texts), Tokens(input=5)

    async def close(self) -> None:
        pass


class Through:
    """A layer that tries models in turn, as often as it has some."""

    def __init__(self, *models: Billed, race: bool = False) -> None:
        self.upstream, self.models, self.race = models[0].upstream, models, race

    async def complete(self, request: ModelRequest, terms: Terms) -> Completion:
        if self.race:
            tasks = [asyncio.create_task(m.complete(request, terms)) for m in self.models]
            done, others = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in others:
                task.cancel()
            # The loser ends after the call, as the last thing that it does.
            return done.pop().result()
        for model in self.models[:-1]:
            try:
                return await model.complete(request, terms)
            except UpstreamError:
                continue
        return await self.models[-1].complete(request, terms)

    stream = embed = None

    async def close(self) -> None:
        pass


def failed(outcome: str, *, told: int = 0, sent: bool = True) -> UpstreamError:
    return UpstreamError(outcome, "scripted.", micro_usd=told, attempts=int(sent))


def metered(books: Books, *acts: object) -> Metered:
    return Metered(Billed(Script(*acts)), books, lambda: NOW)


def test_an_answer_costs_what_the_provider_counted() -> None:
    books = Books()
    terms = Terms(purpose="improve", task="route", key="k1", job="j1")
    answer = asyncio.run(metered(books, TOLD).complete(REQUEST, terms))
    assert answer.micro_usd == row().prices[0].cost(TOLD) == 12 + 4 + 12
    (call,) = books.calls
    assert (call.micro_usd, call.tokens, call.attempts, call.outcome) == (28, TOLD, 1, "ok")
    assert (call.purpose, call.task, call.key, call.job) == ("improve", "route", "k1", "j1")
    assert (call.at, call.priced, call.estimated) == (NOW, True, 0)
    assert books.open == []
    assert books.reserved[0] >= 28  # pyright: ignore[reportOptionalOperand]


@pytest.mark.parametrize(
    ("error", "cost", "estimated"),
    [
        (failed("rate_limited"), 0, False),
        (failed("server_error"), 0, False),
        (failed("unreachable", sent=False), 0, False),
        (failed("timeout", sent=False), 0, False),
        (failed("cut_off", told=17), 17, False),
        (failed("timeout"), None, True),
        (failed("malformed"), None, True),
    ],
)
def test_a_failure_costs_what_was_told_or_the_most_that_it_can_have(
    error: UpstreamError, cost: int | None, estimated: bool
) -> None:
    books = Books()
    with pytest.raises(UpstreamError) as caught:
        asyncio.run(metered(books, error).complete(REQUEST, Terms()))
    (call,) = books.calls
    assert call.outcome == error.outcome
    assert call.micro_usd == (books.reserved[0] if cost is None else cost)
    assert call.estimated == (call.micro_usd if estimated else 0)
    assert caught.value.micro_usd == call.micro_usd
    assert books.open == []


def test_every_attempt_is_reserved_and_counted() -> None:
    books, other = Books(), row("small", 100_000)
    stack = Through(
        Billed(Script(failed("cut_off", told=9), failed("rate_limited"))),
        Billed(Script(TOLD, upstream=other)),
    )
    first = Through(stack.models[0], *stack.models)
    answer = asyncio.run(Metered(first, books, lambda: NOW).complete(REQUEST, Terms()))
    assert len(books.reserved) == 3
    by = {call.upstream: call for call in books.calls}
    assert (by["big"].micro_usd, by["big"].attempts, by["big"].outcome) == (9, 2, "rate_limited")
    assert (by["small"].micro_usd, by["small"].outcome) == (other.prices[0].cost(TOLD), "ok")
    assert (answer.micro_usd, answer.attempts) == (9 + by["small"].micro_usd, 3)
    assert books.open == []


def test_a_retry_that_no_budget_allows_is_not_made() -> None:
    books = Books(most=1)
    stack = Through(Billed(Script(failed("server_error"))), Billed(Script(TOLD)))
    with pytest.raises(UpstreamError) as caught:
        asyncio.run(Metered(stack, books, lambda: NOW).complete(REQUEST, Terms()))
    assert caught.value.outcome == "over_budget"
    assert caught.value.where == "upstream big"
    assert [call.outcome for call in books.calls] == ["over_budget"]
    assert books.open == []


def test_the_loser_of_a_race_costs_what_the_winner_did() -> None:
    books = Books()

    async def race() -> Completion:
        stack = Through(Billed(Script("hang")), Billed(Script(TOLD)), race=True)
        answer = await Metered(stack, books, lambda: NOW).complete(REQUEST, Terms())
        assert len(books.open) == 1
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return answer

    asyncio.run(race())
    assert [call.outcome for call in books.calls] == ["ok", "cancelled"]
    assert [call.micro_usd for call in books.calls] == [28, 28]
    assert [call.estimated for call in books.calls] == [0, 28]
    assert books.open == []


def test_who_gives_up_pays_the_most_that_it_can_have_cost() -> None:
    books = Books()

    async def give_up() -> None:
        task = asyncio.create_task(metered(books, "hang").complete(REQUEST, Terms()))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(give_up())
    (call,) = books.calls
    assert (call.outcome, call.micro_usd) == ("cancelled", books.reserved[0])
    assert call.estimated == call.micro_usd
    assert books.open == []


def piece(written: int) -> Piece:
    return Piece(text="w", tokens=Tokens(input=20, output=written))


WHOLE = Piece(whole=Completion(text="www", tokens=TOLD))


@pytest.mark.parametrize(
    ("acts", "read", "outcome", "cost"),
    [
        ([piece(1), piece(2), WHOLE], None, "ok", 28),
        ([piece(1), piece(2), WHOLE], 2, "cancelled", 24),
        ([piece(1), piece(2), WHOLE], 3, "ok", 28),
        ([piece(1), failed("cut_off", told=22)], None, "cut_off", 22),
        ([piece(1)], None, "cut_off", 22),
        ([failed("server_error")], None, "server_error", 0),
    ],
)
def test_a_stream_costs_what_was_told_until_it_ended(
    acts: list[object], read: int | None, outcome: str, cost: int
) -> None:
    books = Books()

    async def follow() -> None:
        pieces = metered(books, *acts).stream(REQUEST, Terms())
        seen = 0
        async for each in pieces:
            seen += 1
            assert each.whole is None or each.whole.micro_usd == 28
            if seen == read:
                await pieces.aclose()  # pyright: ignore[reportAttributeAccessIssue]
                return

    if outcome in {"ok", "cancelled"} or acts == [piece(1)]:
        asyncio.run(follow())
    else:
        with pytest.raises(UpstreamError):
            asyncio.run(follow())
    (call,) = books.calls
    assert (call.outcome, call.micro_usd, call.estimated) == (outcome, cost, 0)
    assert books.open == []


def test_what_a_cache_answers_is_a_call_without_cost() -> None:
    books = Books()

    class Known(Script):
        async def complete(self, request: ModelRequest, terms: Terms) -> Completion:
            return Completion(text="refund", tokens=TOLD, cached="exact", upstream="big")

    answer = asyncio.run(Metered(Known(), books, lambda: NOW).complete(REQUEST, Terms()))
    (call,) = books.calls
    assert (call.cached, call.micro_usd, call.attempts, call.tokens) == ("exact", 0, 0, Tokens())
    assert answer.tokens == TOLD


def test_embeddings_cost_what_was_read() -> None:
    books = Books()
    asyncio.run(metered(books).embed(["one", "two"], Terms()))
    assert [(call.micro_usd, call.tokens.input) for call in books.calls] == [(5, 5)]


def test_without_a_price_a_call_is_marked() -> None:
    books = Books()
    free = Script(TOLD, upstream=replace(row(), prices=()))
    asyncio.run(Metered(Billed(free), books, lambda: NOW).complete(REQUEST, Terms()))
    assert books.reserved == [None]
    assert [(call.micro_usd, call.priced) for call in books.calls] == [(0, False)]


TEXTS = st.text(max_size=60)


@given(texts=st.lists(TEXTS, min_size=1, max_size=4), output=st.integers(1, 50))
def test_no_text_has_more_tokens_than_bytes(texts: list[str], output: int) -> None:
    messages = tuple(Message(role="user", content=text) for text in texts)
    most = most_tokens(ModelRequest(messages=messages, max_tokens=output))
    assert most.output == output
    whole = sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)
    assert whole < most.input <= whole + 16 * (len(texts) + 1)


def test_all_that_is_sent_is_foreseen() -> None:
    plain = most_tokens(REQUEST)
    parts = (Part(text="Which label?"), Part(image="aGVsbG8="))
    seen = replace(REQUEST, messages=(Message(role="user", content=parts),))
    assert most_tokens(seen).input == plain.input + IMAGE_TOKENS
    tool = Tool(name="t" * 30, parameters={"type": "x" * 40})
    assert most_tokens(replace(REQUEST, tools=(tool,))).input > plain.input + 70
    assert most_tokens(replace(REQUEST, schema={"const": "x" * 40})).input > plain.input + 40
    many = most_tokens(replace(REQUEST, extra={"n": 3, "max_completion_tokens": 25}))
    assert many.output == 75


@given(
    counts=st.tuples(*[st.integers(0, 10_000)] * 5),
    prices=st.tuples(*[st.integers(0, 90_000_000)] * 5),
)
def test_nothing_costs_more_than_was_reserved(
    counts: tuple[int, int, int, int, int], prices: tuple[int, int, int, int, int]
) -> None:
    read, written, cached, thought, kept = counts
    price = Price(
        since=date(2026, 1, 1), input=prices[0], output=prices[1], cached_input=prices[2],
        reasoning=prices[3], cache_write=prices[4],
    )  # fmt: skip
    cached = min(cached, read)
    told = Tokens(
        input=read, output=written, cached_input=cached, reasoning=min(thought, written),
        cache_write=min(kept, read - cached),
    )  # fmt: skip
    assert price.cost(told) <= most_cost(price, Tokens(input=read, output=written))


def test_ids_sort_by_time() -> None:
    moments = [NOW, NOW.replace(microsecond=1500), NOW.replace(microsecond=2600)]
    ids = [new_call_id(each) for each in moments]
    assert ids == sorted(ids)
    assert all(len(each) == 33 for each in ids)
