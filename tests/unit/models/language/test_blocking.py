import asyncio
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from typing import Any

import pytest

from milepost.entities.errors import UpstreamError
from milepost.entities.language import Completion, Message, ModelRequest, Part, Tokens
from milepost.entities.upstream import Endpoint, Price, Upstream
from milepost.models.language.asking import Terms
from milepost.models.language.blocking import Asker
from milepost.models.language.caching.exact import Cached
from milepost.models.language.caching.stores import MemoryAnswers
from milepost.models.language.lengths import Lengths

PRICE = Price(since=date(2020, 1, 1), input=1_000_000, output=10_000_000)
BIG = Upstream(
    name="big",
    model="m",
    endpoints=(Endpoint(base_url="https://a.example"),),
    prices=(PRICE,),
    at_once=8,
)


def asked(*texts: str, most: int = 4) -> list[ModelRequest]:
    return [
        ModelRequest(messages=(Message(role="user", content=text),), max_tokens=most)
        for text in texts
    ]


class Shouting:
    """Answers in capital letters, calls with later texts sooner; ``act`` may do otherwise."""

    def __init__(self, act: Callable[[str], str | None] = lambda _: None) -> None:
        self.upstream = BIG
        self.act = act
        self.flying = 0
        self.most = 0
        self.calls = 0
        self.cancelled = 0
        self.closed = False
        self.thread = 0

    async def complete(self, request: ModelRequest, terms: Terms) -> Completion:
        text = request.messages[0].content
        assert isinstance(text, str)
        self.calls += 1
        self.flying += 1
        self.most = max(self.most, self.flying)
        self.thread = threading.get_ident()
        try:
            outcome = self.act(text)
            if outcome == "forever":
                await asyncio.Event().wait()
            for _ in range(20 - len(text)):
                await asyncio.sleep(0)
            if outcome is not None:
                raise UpstreamError(outcome, "no.", upstream="big")
            return Completion(
                text=text.upper(), tokens=Tokens(input=4 + len(text) // 2, output=1), micro_usd=7
            )
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.flying -= 1

    async def embed(self, texts: Sequence[str], terms: Terms) -> tuple[list[list[float]], Tokens]:
        raise NotImplementedError

    def stream(self, request: ModelRequest, terms: Terms) -> Any:
        raise NotImplementedError

    async def close(self) -> None:
        self.closed = True


def test_answers_come_in_order_from_a_thread_of_its_own_and_so_many_at_once() -> None:
    model = Shouting(lambda text: "filtered" if text == "x" * 3 else None)
    with Asker(model, Terms()) as asker:
        assert asker.ask([]) == []
        texts = ["x" * (1 + n % 10) for n in range(100)]
        found = asker.ask(asked(*texts))
        for text, answer in zip(texts, found, strict=True):
            if text == "xxx":
                assert isinstance(answer, UpstreamError)
                assert answer.outcome == "filtered"
            else:
                assert isinstance(answer, Completion)
                assert answer.text == text.upper()
        assert model.most == BIG.at_once
        assert model.thread != threading.get_ident()
    assert model.closed
    asker.close()
    with pytest.raises(RuntimeError, match="closed"):
        asker.ask(asked("x"))
    assert not [t for t in threading.enumerate() if t.name == "ask-big"]


def test_threads_share_what_may_be_on_its_way() -> None:
    model = Shouting()
    with Asker(model, Terms(), at_once=3) as asker, ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda n: asker.ask(asked(*[f"t{n}"] * 20)), range(6)))
    for number, answers in enumerate(found):
        assert [a.text for a in answers if isinstance(a, Completion)] == [f"T{number}"] * 20
    assert model.most == 3


@pytest.mark.parametrize("outcome", ["no_key", "no_price", "bad_key", "over_budget"])
def test_nothing_more_is_asked_when_no_further_call_can_be_made(outcome: str) -> None:
    model = Shouting(lambda text: outcome if text == "stop" else None)
    texts = ["go"] * 50 + ["stop"] + ["go"] * 500
    with Asker(model, Terms()) as asker:
        with pytest.raises(UpstreamError) as caught:
            asker.ask(asked(*texts))
        assert caught.value.outcome == outcome
        assert asker.ask(asked("go"))[0].micro_usd == 7, "others may still ask"
    if outcome != "over_budget":
        assert model.calls < 100


def test_a_budget_that_is_only_reserved_is_waited_for() -> None:
    """Three of eight calls at a time find room in the budget; all are answered in the end."""
    model = Shouting()
    model.act = lambda _: "over_budget" if model.flying > 3 else None
    with Asker(model, Terms()) as asker:
        found = asker.ask(asked(*(f"q{n}" for n in range(40))))
        assert [a.text for a in found if isinstance(a, Completion)] == [f"Q{n}" for n in range(40)]
        with ThreadPoolExecutor(4) as pool:
            many = list(pool.map(lambda n: asker.ask(asked(*[f"t{n}"] * 20)), range(4)))
    assert all(isinstance(answer, Completion) for answers in many for answer in answers)


def test_ctrl_c_ends_the_calls_before_it_goes_on() -> None:
    model = Shouting()

    def act(text: str) -> str:
        if model.flying == 4:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        return "forever"

    model.act = act
    with Asker(model, Terms(), at_once=4) as asker:
        with pytest.raises(KeyboardInterrupt):
            asker.ask(asked(*"abcdefgh"))
        assert (model.flying, model.cancelled, model.calls) == (0, 4, 4)
        model.act = lambda _: None
        assert len(asker.ask(asked("a"))) == 1


def test_closing_it_tells_those_who_wait() -> None:
    model = Shouting()
    reached = threading.Event()

    def act(text: str) -> str:
        reached.set()
        return "forever"

    model.act = act
    asker = Asker(model, Terms())
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(asker.ask, asked("a"))
        assert reached.wait(10.0)
        asker.close()
        with pytest.raises(UpstreamError, match="closed") as caught:
            waiting.result()
    assert caught.value.outcome == "cancelled"
    assert model.cancelled == 1


def test_an_estimate_leaves_out_what_is_known_and_learns_from_what_calls_took() -> None:
    model = Shouting()
    cached = Cached(model, MemoryAnswers())
    with Asker(cached, Terms(), known=cached.holds, left=lambda: 12) as asker:
        assert asker.left() == 12
        text = "abcdefgh" * 2
        before = asker.estimate(asked(text))
        assert before == (4 + 4) + 10 * 4, "4 characters a token, all of max_tokens"
        assert asker.estimate(asked(text, text)) == before, "asked twice, paid once"
        asker.ask(asked(text))
        assert asker.estimate(asked(text)) == 0
        asker.ask(asked(*(f"{n:03d}" + "z" * 15 for n in range(200))))
        after = asker.estimate(asked("y" * 1000))
        assert 10 + 4 + 330 <= after <= 10 + 4 + 500, "2 characters a token are seen by and by"


def test_without_a_price_there_is_no_estimate() -> None:
    model = Shouting()
    model.upstream = Upstream(name="free", model="m", endpoints=BIG.endpoints)
    with Asker(model, Terms()) as asker, pytest.raises(UpstreamError) as caught:
        asker.estimate(asked("x"))
    assert caught.value.outcome == "no_price"
    assert asker.left() is None


def test_pictures_and_schemas_count_as_tokens_too() -> None:
    parts = (Part(text="what?"), Part(image="aGk="))
    request = ModelRequest(messages=(Message(role="user", content=parts),), schema={"a": 1})
    assert Lengths().about(request).input == 4 + 1_000 + round((5 + 7) / 4)


def test_a_watch_is_told_how_it_gets_on_and_may_end_it() -> None:
    told: list[tuple[int, int, int]] = []
    with Asker(Shouting(), Terms(), watch=lambda *now: told.append(now)) as asker:
        answers = asker.ask(asked(*(f"text {n}" for n in range(20))))
    assert told[-1][:2] == (20, 20)
    spent = sum(answer.micro_usd for answer in answers)
    assert sum(cost for _, _, cost in told) == spent > 0

    def no_more(*_: int) -> None:
        raise LookupError("cancelled from elsewhere")

    stuck = Shouting(lambda text: "forever" if text == "stuck" else None)
    with Asker(stuck, Terms(), watch=no_more) as asker:
        with pytest.raises(LookupError, match="from elsewhere"):
            asker.ask(asked("one", "stuck"))
        assert (stuck.flying, stuck.cancelled) == (0, 1), "it pays for nothing more"
