"""Language models of a workspace, opened: all layers together, as the registry says."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from milepost.entities.configuration import Configuration
from milepost.entities.errors import UnknownNameError, UpstreamError
from milepost.entities.language import Completion, Message, ModelRequest
from milepost.entities.prompts import LanguageRule
from milepost.entities.task import Task
from milepost.entities.upstream import Upstream
from milepost.models.language.asking import Terms
from milepost.models.language.inside.fake import fake_upstream
from milepost.workflows.context import Context
from milepost.workflows.language.opening import open_languages, speakers
from milepost.workflows.opening import create

HEAR, OTHER = (
    ModelRequest(messages=(Message(role="user", content=text),), max_tokens=8)
    for text in ("Hear me", "Hear me as well")
)


@pytest.fixture
def context(tmp_path: Path) -> Iterator[Context]:
    made = create(tmp_path / "w", Configuration())
    yield made
    made.ledger.close()


def add(context: Context, name: str, base_url: str = "fake:", **more: object) -> Upstream:
    row = replace(fake_upstream(name, base_url), **more)
    context.ledger.add_upstream(row, reason="test", replace=True)
    return row


def test_a_call_goes_through_all_layers(context: Context) -> None:
    add(context, "big")
    context.ledger.set_budget("task:t", 1_000_000, reason="some")
    languages = open_languages(context)

    async def twice() -> list[Completion]:
        model = languages.get("big")
        terms = Terms(task="t", key="k1")
        answers = [await model.complete(HEAR, terms) for _ in range(2)]
        await languages.close()
        return answers

    first, second = asyncio.run(twice())
    assert first.text == second.text
    assert (first.cached, second.cached) == ("", "exact")
    assert first.micro_usd > second.micro_usd == 0
    new, old = context.ledger.model_calls()
    assert (old.micro_usd, old.key, new.micro_usd, new.cached) == (
        first.micro_usd,
        "k1",
        0,
        "exact",
    )
    (budget,) = context.ledger.budgets()
    assert (budget.spent, budget.reserved) == (first.micro_usd, 0)


def test_the_registry_is_followed(context: Context) -> None:
    add(context, "big", "fake:?says=one")
    languages = open_languages(context)
    assert languages.names() == ("big",)
    before = languages.get("big")
    languages.refresh()
    assert languages.get("big") is before
    add(context, "big", "fake:?says=two")
    add(context, "small")
    assert languages.get("big") is before
    languages.refresh()
    assert languages.names() == ("big", "small")
    assert languages.get("big").upstream.endpoints[0].base_url == "fake:?says=two"
    context.ledger.remove_upstream("big", reason="gone")
    languages.refresh()
    with pytest.raises(UnknownNameError, match="Known: small"):
        languages.get("big")
    asyncio.run(languages.close())


def test_a_fallback_answers_at_its_own_price(context: Context) -> None:
    small = add(context, "small")
    add(context, "big", "fake:?fault=server_error", fallback=("small",), timeout_s=5.0)
    languages = open_languages(context)

    async def once() -> Completion:
        answer = await languages.get("big").complete(HEAR, Terms(task="t"))
        await languages.close()
        return answer

    answer = asyncio.run(once())
    assert answer.upstream == "small"
    assert answer.micro_usd == small.prices[0].cost(answer.tokens)
    by = {call.upstream: call for call in context.ledger.model_calls()}
    assert (by["small"].outcome, by["small"].micro_usd) == ("ok", answer.micro_usd)
    assert by["big"].micro_usd == 0
    assert by["big"].outcome in {"server_error", "breaker_open"}


def test_speakers_are_those_of_the_task(context: Context) -> None:
    for name in ("big", "small", "third"):
        add(context, name)
    some = Task(
        name="t", labels={"a": "", "b": ""}, language=LanguageRule(upstreams=("small", "big"))
    )
    with speakers(context, some, Terms()) as found:
        assert list(found) == ["small", "big"]
    with speakers(context, None, Terms()) as found:
        assert list(found) == ["big", "small", "third"]
    wrong = Task(name="t", labels={"a": "", "b": ""}, language=LanguageRule(upstreams=("bgi",)))
    with pytest.raises(UnknownNameError, match="Did you mean 'big'"):
        speakers(context, wrong, Terms())


def test_a_job_stops_at_its_budget_and_goes_on_with_more(context: Context) -> None:
    add(context, "big")
    context.ledger.set_budget("job:j1", 500, period="total", reason="little")
    requests = [replace(OTHER, seed=number) for number in range(20)]
    terms = Terms(purpose="improve", task="t", job="j1")
    with speakers(context, None, terms) as found:
        assert found["big"].left() == 500
        with pytest.raises(UpstreamError, match="the budget of job:j1") as caught:
            found["big"].ask(requests)
        assert caught.value.outcome == "over_budget"
        found.settled()
        spent = sum(group.micro_usd for group in context.ledger.spending(job="j1"))
        assert 0 < spent <= 500
        assert found["big"].left() == 500 - spent
    context.ledger.set_budget("job:j1", 1_000_000, period="total", reason="more")
    with speakers(context, None, terms) as found:
        answers = found["big"].ask(requests)
        # What was answered before costs nothing again.
        assert sum(isinstance(a, Completion) and a.cached == "exact" for a in answers) > 0
    calls = context.ledger.model_calls(job="j1")
    paid = [call for call in calls if call.micro_usd]
    assert len(paid) == len(requests)
