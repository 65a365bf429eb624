"""Releases that ask language models on their way to an answer, served beside those that do not."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

import msgspec
import numpy as np
import pytest

from milepost.entities.errors import UnknownNameError, UpstreamError
from milepost.entities.language import Completion, Message, ModelRequest
from milepost.entities.prediction import Predictions
from milepost.entities.serving import Answers, Ask, Guard
from milepost.entities.task import Task
from milepost.models.language.asking import Terms
from milepost.models.language.inside.fake import fake_upstream
from milepost.predictors.asking import Asking, Question
from milepost.predictors.base import Batch, Predictor, softmax
from milepost.predictors.constant import ConstantPredictor
from milepost.serving.service import Service
from milepost.storage.records.releases import CANARY, SHADOW
from milepost.testing.releases import add_task, always, release, some_linear
from milepost.workflows.context import Context
from milepost.workflows.release.trying import try_release
from milepost.workflows.serving import loading

LABELS = ("card", "refund", "other")
TOXIC = ("fine", "toxic")


class Told:
    """Answers what it was told, costs 7 micro-USD a call, and fails for texts that say so."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Terms]] = []
        self.upstream = fake_upstream()

    def names(self) -> Sequence[str]:
        return ("big",)

    def get(self, name: str) -> "Told":
        if name != "big":
            raise UnknownNameError("upstream", name, ("big",))
        return self

    def refresh(self) -> None:
        pass

    async def close(self) -> None:
        pass

    async def complete(self, request: ModelRequest, terms: Terms) -> Completion:
        text = str(request.messages[-1].content)
        self.asked.append((text, terms))
        if "broken" in text:
            raise UpstreamError("overloaded", "it is busy.", upstream="big", retry_after=3.0)
        return Completion(text="refund", upstream="big", micro_usd=7)


@dataclass(frozen=True, eq=False, kw_only=True)
class Asker(Predictor):
    """Asks one question about each text; those that begin with 'easy' it answers itself.

    Attributes:
        to: Upstream that it asks.
        climbs: Whether it tells rungs, as a cascade does.
    """

    kind: ClassVar[str] = "asker"
    uses: ClassVar[Literal["text", "vectors"]] = "vectors"
    to: str = "big"
    climbs: bool = False
    arrays_: Mapping[str, Any] = field(default_factory=dict)

    @property
    def upstreams(self) -> tuple[str, ...]:
        return (self.to,)

    def logits(self, batch: Batch) -> np.ndarray:
        raise ValueError("nobody is there to ask")

    def answering(self, batch: Batch) -> Asking[Predictions]:
        assert batch.vectors is not None
        assert batch.vectors.shape == (len(batch), 384)
        logits, rungs = np.zeros((len(batch), len(self.labels))), np.zeros(len(batch), np.int64)
        hard = [at for at, text in enumerate(batch.texts) if not text.startswith("easy")]
        logits[[at for at in range(len(batch)) if at not in hard], 0] = 3.0
        if hard:
            requests = [
                ModelRequest(messages=(Message(role="user", content=batch.texts[at]),))
                for at in hard
            ]
            said = yield [Question(self.to, request) for request in requests]
            for at, one in zip(hard, said, strict=True):
                rungs[at] = 1
                if isinstance(one, Completion):
                    logits[at, self.labels.index(one.text)] = 2.0
        found = Predictions(self.labels, softmax(logits))
        return replace(found, rungs=rungs, rung_names=("student", "big")) if self.climbs else found

    def arrays(self) -> Mapping[str, Any]:
        return self.arrays_

    @classmethod
    def from_parts(cls, labels, temperature, arrays, parameters):
        raise NotImplementedError


@pytest.fixture
def put(context: Context, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Releases a predictor that no bundle can hold: a stand-in is stored and replaced."""
    found: dict[str, Predictor] = {}
    load = loading.load_bundle

    def loaded(context: Context, digest: str) -> Any:
        predictor, manifest = load(context, digest)
        return found.get(digest, predictor), manifest

    monkeypatch.setattr(loading, "load_bundle", loaded)

    def add(name: str, predictor: Predictor, **more: Any) -> int:
        stand_in = some_linear(context, predictor.labels, seed=len(found) + 50)
        number = release(context, name, stand_in, **more)
        found[context.ledger.release(name, number).bundle] = predictor
        return number

    return add


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def opened(serve: Callable[..., Service], told: Told) -> Callable[..., Service]:
    return lambda **more: serve(watch=lambda _: told, **more)


def task(name: str, labels: tuple[str, ...] = LABELS, *guards: Guard) -> Task:
    more = {"guards": guards} if guards else {}
    return Task(name=name, labels=dict.fromkeys(labels, ""), **more)


def ask(service: Service, *texts: str, **more: Any) -> Answers:
    return asyncio.run(service.answer(Ask(task="route", texts=texts, **more)))


def test_what_it_asks_costs_and_tells_its_rung(context, put, opened, told):
    add_task(context, task("route"))
    put("route", Asker(labels=LABELS, climbs=True))
    service = opened()
    assert service.asks("route")
    assert not service.asks("nobody")
    assert service.task("route").variant == "fp32"
    answers = ask(service, "easy one", "hard one", "easy two", key="k1", deadline=None)
    assert [each.label for each in answers.predictions] == ["card", "refund", "card"]
    assert [each.rung for each in answers.predictions] == ["student", "big", "student"]
    assert answers.usage.cost_usd == pytest.approx(7e-6)
    assert (answers.usage.model_calls, answers.usage.cached) == (1, 0)
    ((text, terms),) = told.asked
    assert text == "hard one"
    assert (terms.purpose, terms.task, terms.key) == ("serve", "route", "k1")
    again = ask(service, "hard one")
    assert (again.usage.cached, again.usage.model_calls) == (0, 1)


def test_a_task_that_asks_nobody_says_nothing_of_calls(context, opened):
    add_task(context, task("route"))
    release(context, "route", always(LABELS, "card"))
    service = opened()
    assert not service.asks("route")
    assert b"model_calls" not in msgspec.json.encode(ask(service, "hello").usage)


def test_an_upstream_that_fails_is_an_error_or_withholds_a_cascade(context, put, opened):
    add_task(context, task("route"))
    put("route", Asker(labels=LABELS))
    number = put("route", Asker(labels=LABELS, climbs=True), channel=CANARY)
    service = opened()
    with pytest.raises(UpstreamError, match="busy") as failed:
        ask(service, "broken")
    assert (failed.value.outcome, failed.value.retry_after) == ("overloaded", 3.0)
    easy, broken = ask(service, "easy", "broken", release=number).predictions
    assert (easy.label, easy.abstained, easy.rung) == ("card", False, "student")
    assert (broken.label, broken.abstained, broken.rung) == (None, True, "big")
    assert (broken.failed.outcome, broken.failed.retry_after) == ("overloaded", 3.0)
    assert "busy" in broken.failed.message
    assert "failed" not in msgspec.json.decode(msgspec.json.encode(easy))


def test_an_upstream_that_is_gone_is_one_that_fails(context, put, opened):
    add_task(context, task("route"))
    put("route", Asker(labels=LABELS, to="gone"))
    with pytest.raises(UpstreamError, match="not registered"):
        ask(opened(), "hard")


def test_what_a_guard_stops_is_told_to_no_language_model(context, put, opened, told):
    blocks = Guard(task="toxicity", labels=("toxic",), action="block")
    add_task(context, task("toxicity", TOXIC))
    release(context, "toxicity", always(TOXIC, "toxic"))
    add_task(context, task("route", LABELS, blocks))
    put("route", Asker(labels=LABELS))
    answers = ask(opened(), "hard", "broken")
    assert [each.rung for each in answers.predictions] == ["guard:toxicity"] * 2
    assert told.asked == []
    assert answers.usage.cost_usd == 0.0


def test_a_guard_that_asks_guards_and_what_is_routed_there_is_asked(context, put, opened, told):
    add_task(context, task("toxicity", ("refund", "fine")))
    put("toxicity", Asker(labels=("refund", "fine")))
    add_task(context, task("manual"))
    put("manual", Asker(labels=LABELS))
    to = Guard(task="toxicity", labels=("refund",), action="route", to="manual")
    add_task(context, task("route", LABELS, to))
    release(context, "route", always(LABELS, "other"))
    answers = ask(opened(), "hard")
    (answer,) = answers.predictions
    assert (answer.label, answer.rung) == ("refund", "guard:toxicity")
    assert [text for text, _ in told.asked] == ["hard", "hard"]
    assert answers.usage.model_calls == 2
    assert answers.usage.cost_usd >= 14e-6


def test_a_shadow_that_asks_is_asked_afterwards_and_compared(context, put, opened, told):
    add_task(context, task("route"))
    release(context, "route", always(LABELS, "refund"))
    put("route", Asker(labels=LABELS))
    context.ledger.move_channel("route", "production", 1, expected_version=2, reason="back")
    try_release(context, "route", SHADOW, 2, None, "look")
    service = opened()

    async def both() -> Answers:
        answers = await service.answer(Ask(task="route", texts=("hard", "easy", "broken")))
        await service._shadows.finish(5.0)
        return answers

    answers = asyncio.run(both())
    assert [each.label for each in answers.predictions] == ["refund"] * 3
    counts = service.state().shadows
    assert (counts.answered, counts.agreed, counts.failed) == (2, 1, 1)
    assert {text for text, _ in told.asked} == {"hard", "broken"}


def test_rows_of_a_request_fail_alone_when_the_predictor_does(context, put, opened):
    class Sick(Asker):
        def answering(self, batch: Batch) -> Asking[Predictions]:
            if batch.texts[0] == "sick":
                raise RuntimeError("this text makes me sick")
            return (yield from super().answering(batch))

    add_task(context, task("route"))
    put("route", Sick(labels=LABELS))
    service = opened()
    assert ask(service, "easy").predictions[0].label == "card"
    with pytest.raises(RuntimeError, match="makes me sick"):
        ask(service, "easy", "sick")


def test_constant_predictors_are_not_driven(context, opened, told):
    add_task(context, task("route"))
    release(context, "route", ConstantPredictor(labels=LABELS, log_prior=np.zeros(3)))
    assert ask(opened(), "hello").predictions[0].label == "card"
    assert told.asked == []
