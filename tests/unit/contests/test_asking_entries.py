"""Strategies that ask language models in a contest: driven row by row, counted, and paid for."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest

from milepost.contests.asking import Noted, UnaskedError, by_row
from milepost.contests.per_upstream import asks, per_upstream
from milepost.contests.runner import combine, predict, run
from milepost.data.splitting.folding import fold_groups
from milepost.entities.errors import UpstreamError
from milepost.entities.language import Completion, Message, ModelRequest, Tokens
from milepost.metrics.scoring.deciding import decided
from milepost.models.language.inside.fake import fake_upstream
from milepost.predictors.asking import Question
from milepost.predictors.base import Predictor
from milepost.predictors.constant import ConstantPredictor
from milepost.strategies.majority import Majority
from milepost.strategy import Contender, Problem
from milepost.testing.encoders import HashedEncoder
from milepost.testing.speakers import Scripted, Told

BIG, SMALL = fake_upstream("big"), fake_upstream("small", price_in=0.1, price_out=0.4)
TEXTS = tuple(f"{word} {n}" for n in range(8) for word in ("apple", "hammer", "nothing"))


def request(text):
    return ModelRequest(messages=(Message(role="user", content=text),), max_tokens=4)


@dataclass(frozen=True, eq=False, kw_only=True)
class Reader(ConstantPredictor):
    """Asks one word about each text; what is neither fruit nor tool decides nothing."""

    upstream: str = "big"

    @property
    def upstreams(self):
        return (self.upstream,)

    def scoring(self, batch):
        answers = yield [Question(self.upstream, request(text)) for text in batch.texts]
        logits = np.zeros((len(batch), 2))
        for row, answer in enumerate(answers):
            if isinstance(answer, Completion) and answer.text in self.labels:
                logits[row, self.labels.index(answer.text)] = 3.0
        return logits


@dataclass(frozen=True)
class Reading:
    name: ClassVar[str] = "reading"
    asks: ClassVar[bool] = True

    def supports(self, problem):
        return None

    def fit(self, problem):
        (upstream,) = problem.language
        return Reader(labels=problem.labels, log_prior=np.zeros(2), upstream=upstream)


def answer(given):
    text = str(given.messages[-1].content)
    said = {"a": "fruit", "h": "tool"}.get(text[0], "who knows")
    return Completion(text=said, tokens=Tokens(input=100, output=1), micro_usd=260, seconds=0.5)


def speaker(upstream=BIG, micro_usd=None):
    return Told(Scripted(upstream, answer), micro_usd)


def problem(**language):
    return Problem(
        labels=("fruit", "tool"),
        descriptions=("", ""),
        instruction="",
        texts=TEXTS,
        y=np.array([0, 1, 0] * 8),
        encoder=HashedEncoder(),
        language=language,
    )


def folding(given):
    return fold_groups(list(given.texts), given.y, 4, 0)


def test_rows_are_asked_together_and_each_knows_what_it_took():
    def asking(rounds):
        for at in range(rounds):
            first, second = yield [Question("big", request(f"a{rounds}{at}{i}")) for i in range(2)]
            assert first.text == second.text == "fruit"
        return rounds

    big = speaker()
    found, costs = by_row([asking(2), asking(0), asking(1)], {"big": big})
    assert found == [2, 0, 1]
    assert costs.micro_usd.tolist() == [4 * 260, 0, 2 * 260]
    assert costs.seconds == pytest.approx([1.0, 0.0, 0.5], abs=0.05)
    told = costs.summary()
    assert (told.n, told.micro_usd_per_1k) == (3, pytest.approx(520_000))


def test_an_entry_tells_what_it_asked_and_what_an_answer_takes():
    given = problem(big=speaker())
    (strategy,) = per_upstream(Reading(), ["big"])
    held = ("apple of the house", "no such thing")
    (entry,) = run(given, folding(given), [strategy], held=held)
    assert entry.fitted is not None
    rows = decided(entry.fitted.out_of_fold)
    assert rows.tolist() == [0, 1, -1] * 8
    assert decided(entry.fitted.held.probabilities).tolist() == [0, -1]
    (asked,) = entry.asked
    assert (asked.upstream, asked.requests, asked.micro_usd) == ("big", 26, 26 * 260)
    assert asked.price == BIG.prices[0]
    took = entry.fitted.answering
    assert (took.n, took.micro_usd_per_1k) == (24, pytest.approx(260_000))
    assert took.p50_ms == pytest.approx(500, abs=50)
    assert entry.parameters == {"upstream": "big"}


def test_each_upstream_is_an_entry_and_sees_no_other():
    given = problem(big=speaker(), small=speaker(SMALL))
    entered = per_upstream(Reading(), ["big", "small"])
    assert [each.name for each in entered] == ["reading", "reading-small"]
    assert all(asks(each) for each in entered)
    found = run(given, folding(given), entered)
    assert [[a.upstream for a in each.asked] for each in found] == [["big"], ["small"]]
    (alone,) = run(problem(big=speaker()), folding(given), entered[1:])
    assert alone.error == "The upstream `small` cannot be asked here."


def test_without_money_an_entry_ends_as_a_row_that_can_be_tried_again():
    given = problem(big=speaker(micro_usd=1000))
    (entry,) = run(given, folding(given), per_upstream(Reading(), ["big"]))
    assert entry.fitted is None
    assert entry.late
    assert entry.error.startswith("It asked too much")
    with pytest.raises(UnaskedError, match="cannot be asked here"):
        predict(Reading().fit(problem(big=speaker())), ["apple"], given.encoder)


def test_what_a_cache_answered_counts_as_it_would_be_billed():
    def known(given):
        return replace_cached(answer(given))

    def replace_cached(said):
        return Completion(text=said.text, tokens=said.tokens, cached="exact", seconds=said.seconds)

    noted = Noted(Told(Scripted(BIG, known)))
    noted.ask([request("apple"), request("apple")])
    noted.ask([request("apple")])
    asked = noted.asked()
    assert (asked.requests, asked.micro_usd) == (1, 260)  # 100 tokens at 2.5, one at 10


@dataclass(frozen=True)
class Last:
    name: ClassVar[str] = "last"

    def supports(self, problem):
        return None

    def fit(self, problem):
        raise AssertionError

    def combine(
        self, problem: Problem, fold_of: np.ndarray, others: list[Contender]
    ) -> tuple[Predictor, np.ndarray]:
        best = max(others, key=lambda each: each.micro_usd_per_1k)
        return best.predictor, best.out_of_fold


def test_who_is_made_of_others_gets_what_they_came_to():
    given = problem(big=speaker())
    own = [Majority(), *per_upstream(Reading(), ["big"])]
    entered = run(given, folding(given), own)
    others = [
        Contender(
            strategy=each.strategy,
            predictor=each.fitted.predictor,
            out_of_fold=each.fitted.out_of_fold,
            micro_usd_per_1k=cost,
            p50_ms=1.0,
        )
        for each, cost in zip(entered, (0.0, 260_000.0), strict=True)
    ]
    (entry,) = combine(given, folding(given), [Last()], others, held=("apple pie",))
    assert entry.fitted.predictor is entered[1].fitted.predictor
    assert decided(entry.fitted.held.probabilities).tolist() == [0]
    (failed,) = combine(given, folding(given), [Majority()], others)
    assert "not made of others" in failed.error


def test_an_upstream_that_cannot_be_used_is_said_in_its_own_words():
    class Locked(Told):
        def ask(self, requests):
            raise UpstreamError("no_key", "the variable BIG_KEY is not set.", upstream="big")

    given = problem(big=Locked(Scripted(BIG, answer)))
    (entry,) = run(replace(given), folding(given), per_upstream(Reading(), ["big"]))
    assert "BIG_KEY" in entry.error
    assert not entry.late
