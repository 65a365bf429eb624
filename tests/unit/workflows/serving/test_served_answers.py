"""What a served workspace answers: like ``predict``, past guards, by channel."""

import asyncio
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from milepost.entities.errors import InputError, OverloadedError, UnknownNameError, WorkspaceError
from milepost.entities.serving import Answers, Ask, Guard
from milepost.entities.task import Task
from milepost.predictors.base import Batch
from milepost.predictors.constant import ConstantPredictor
from milepost.serving.service import Service
from milepost.storage.records.releases import CANARY, SHADOW
from milepost.testing.releases import add_task, always, release, some_linear
from milepost.workflows.answering.answered import Which
from milepost.workflows.answering.asking import answer_texts
from milepost.workflows.context import Context
from milepost.workflows.release.trying import stop_trying, try_release

LABELS = ("card", "refund", "other")
TOXIC = ("fine", "toxic")
Serve = Callable[..., Service]

LONG = "ä" * 30_000
TEXTS = (
    "My card was stolen.",
    "…",
    "Where is my money?\x00",
    "ä" * 30_000,
    "?",
    "card \ud800 half",
)


def task(name: str, labels: tuple[str, ...] = LABELS, guards: tuple[Guard | str, ...] = ()) -> Task:
    more = {"guards": guards} if guards else {}
    return Task(name=name, labels=dict.fromkeys(labels, ""), **more)


def ask(service: Service, name: str, *texts: str, **more: Any) -> Answers:
    return asyncio.run(service.answer(Ask(task=name, texts=texts or ("hello",), **more)))


def _ask(*texts: str) -> Ask:
    return Ask(task="route", texts=texts)


@pytest.fixture
def routed(context: Context) -> Context:
    add_task(context, task("route"))
    release(context, "route", always(LABELS, "card"))
    return context


class TestLikePredict:
    def test_same_numbers_as_predict(self, context: Context, serve: Serve) -> None:
        add_task(context, task("route"))
        release(context, "route", some_linear(context, LABELS), abstain_below=0.8)
        said = answer_texts(context, "route", TEXTS, Which()).predictions
        answers = ask(serve(), "route", *TEXTS, top=3)
        assert [each.label for each in answers.predictions] == list(said.answers)
        assert [each.abstained for each in answers.predictions] == said.abstained.tolist()
        assert {True, False} == set(said.abstained.tolist())
        for row, each in zip(said.probabilities, answers.predictions, strict=True):
            found = [each.probabilities[label] for label in LABELS]
            np.testing.assert_allclose(found, row, atol=1e-5)
            assert each.confidence == pytest.approx(float(row.max()), abs=1e-5)
        assert answers.usage.inputs == len(TEXTS)
        assert answers.usage.tokens > 0

    def test_asked_again_it_comes_from_the_cache_and_is_the_same(
        self, context: Context, serve: Serve
    ) -> None:
        add_task(context, task("route"))
        release(context, "route", some_linear(context, LABELS))
        service = serve()

        async def thrice() -> list[dict[str, float]]:
            found = []
            for _ in range(3):
                found.append(await service.answer(_ask("one", "two")))
            assert [each.usage.cached for each in found] == [0, 2, 2]
            assert [each.usage.tokens > 0 for each in found] == [True, False, False]
            assert len({p.trace_id for each in found for p in each.predictions}) == 6
            return [p.probabilities for each in found for p in each.predictions]

        told = asyncio.run(thrice())
        assert told[:2] == told[2:4] == told[4:]

    def test_top_bounds_the_labels_told(self, routed: Context, serve: Serve) -> None:
        (one,) = ask(serve(), "route", top=1).predictions
        assert one.probabilities == {"card": 0.9}

    def test_of_equally_probable_labels_the_first_is_answered(
        self, context: Context, serve: Serve
    ) -> None:
        add_task(context, task("route"))
        release(context, "route", always(LABELS, "other", 1 / 3))
        (one,) = ask(serve(), "route").predictions
        assert (one.label, list(one.probabilities)) == ("card", list(LABELS))


class TestWhoIsAsked:
    def test_unknown_task_names_the_nearest(self, routed: Context, serve: Serve) -> None:
        with pytest.raises(UnknownNameError, match="Did you mean 'route'"):
            ask(serve(), "rute")

    def test_task_without_a_release_says_so(self, routed: Context, serve: Serve) -> None:
        add_task(routed, task("new"))
        with pytest.raises(WorkspaceError, match="nothing in production"):
            ask(serve(), "new")

    def test_release_can_be_named(self, routed: Context, serve: Serve) -> None:
        release(routed, "route", always(LABELS, "refund"))
        service = serve()
        assert ask(service, "route").release == 2
        first = ask(service, "route", release=1)
        assert (first.release, first.channel) == (1, "pinned")
        assert first.predictions[0].label == "card"
        with pytest.raises(UnknownNameError):
            ask(service, "route", release=9)

    def test_release_without_its_approvals_cannot_be_named(
        self, routed: Context, serve: Serve
    ) -> None:
        service = serve()
        path = routed.root / "tasks/route.yaml"
        path.write_text(path.read_text() + "release: {approvals: 1}\n")
        release(routed, "route", always(LABELS, "refund"))
        with pytest.raises(InputError, match="lacks approvals"):
            ask(service, "route", release=2)

    def test_old_releases_that_are_named_are_bounded_in_memory(
        self, routed: Context, serve: Serve
    ) -> None:
        for _ in range(7):
            release(routed, "route", always(LABELS, "refund"))
        service = serve()
        for number in (1, 2, 3, 4, 5, 6, 1):
            assert ask(service, "route", release=number).release == number


class TestCanary:
    def test_subjects_keep_their_release_while_the_share_grows(
        self, routed: Context, serve: Serve
    ) -> None:
        release(routed, "route", always(LABELS, "refund"))
        try_release(routed, "route", CANARY, 1, 0.3, "try")

        def asked(service: Service) -> dict[str, str]:
            return {
                name: ask(service, "route", subject=name).channel
                for name in (f"user {i}" for i in range(60))
            }

        before = asked(serve())
        assert set(before.values()) == {"canary", "production"}
        try_release(routed, "route", CANARY, 1, 0.7, "more")
        after = asked(serve())
        assert {n for n, c in before.items() if c == "canary"} < {
            n for n, c in after.items() if c == "canary"
        }
        stop_trying(routed, "route", CANARY, "enough")
        assert set(asked(serve()).values()) == {"production"}

    def test_whole_share_takes_all(self, routed: Context, serve: Serve) -> None:
        release(routed, "route", always(LABELS, "refund"))
        try_release(routed, "route", CANARY, 1, 1.0, "all")
        answers = ask(serve(), "route", subject="a")
        assert (answers.release, answers.channel) == (1, "canary")


class TestShadow:
    @pytest.mark.parametrize("linear", [True, False])
    def test_shadow_changes_nothing_and_is_counted(
        self, context: Context, serve: Serve, linear: bool
    ) -> None:
        add_task(context, task("route"))
        release(context, "route", some_linear(context, LABELS, 1))
        made = some_linear(context, LABELS, 2) if linear else always(LABELS, "other")
        release(context, "route", made)
        plain = ask(serve(), "route", "one", "two", release=1)
        context.ledger.move_channel("route", "production", 1, expected_version=2, reason="back")
        try_release(context, "route", SHADOW, 2, None, "look")
        service = serve()

        async def both() -> None:
            found = await service.answer(_ask("one", "two"))
            assert found.release == 1
            assert [each.probabilities for each in found.predictions] == [
                each.probabilities for each in plain.predictions
            ]
            await service.close(5.0)

        asyncio.run(both())
        assert service.state().shadows.answered == 2

    def test_shadow_that_fails_is_invisible_and_counted(
        self, context: Context, serve: Serve, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        add_task(context, task("route"))
        release(context, "route", always(LABELS, "card"))
        release(context, "route", some_linear(context, LABELS, 1))
        try_release(context, "route", SHADOW, 1, None, "look")
        service = serve()

        def fails(_self: ConstantPredictor, _batch: Batch) -> None:
            raise ValueError("out of order")

        monkeypatch.setattr(ConstantPredictor, "logits", fails)

        async def asked() -> None:
            assert (await service.answer(_ask("anything"))).predictions[0].label
            await service.close(5.0)

        asyncio.run(asked())
        counts = service.state().shadows
        assert (counts.answered, counts.failed) == (0, 1)


class TestGuards:
    @pytest.fixture
    def guarded(self, context: Context) -> Callable[..., Context]:
        def make(*guards: Guard | str, toxic: float = 0.9) -> Context:
            add_task(context, task("toxicity", TOXIC))
            add_task(context, task("human", ("desk", "phone")))
            add_task(context, task("route", guards=guards))
            release(context, "toxicity", always(TOXIC, "toxic", toxic))
            release(context, "human", always(("desk", "phone"), "phone"))
            release(context, "route", always(LABELS, "card"))
            return context

        return make

    def test_bare_name_only_tells(self, guarded, serve: Serve) -> None:
        guarded("toxicity")
        (one,) = ask(serve(), "route").predictions
        verdict = one.guards["toxicity"]
        assert (verdict.label, verdict.score, verdict.tripped) == ("toxic", 0.9, False)
        assert one.label in LABELS

    @pytest.mark.parametrize(("toxic", "tripped"), [(0.9, True), (0.79, False), (0.81, True)])
    def test_annotate(self, guarded, serve: Serve, toxic: float, tripped: bool) -> None:
        guarded(Guard(task="toxicity", labels=("toxic",), at_least=0.8), toxic=toxic)
        guard = ask(serve(), "route").predictions[0].guards["toxicity"]
        assert (guard.tripped, guard.score) == (tripped, toxic)

    def test_block_withholds_everything(self, guarded, serve: Serve) -> None:
        guarded(Guard(task="toxicity", labels=("toxic",), action="block"))
        (one,) = ask(serve(), "route").predictions
        assert (one.label, one.confidence, one.probabilities) == (None, 0.0, {})
        assert one.rung == "guard:toxicity"
        assert one.guards["toxicity"].tripped

    def test_block_lets_the_rest_pass(self, guarded, serve: Serve) -> None:
        guarded(Guard(task="toxicity", labels=("toxic",), action="block"), toxic=0.4)
        (one,) = ask(serve(), "route").predictions
        assert one.label in LABELS
        assert one.rung == "by_hand"

    def test_route_lets_another_task_answer(self, guarded, serve: Serve) -> None:
        guarded(Guard(task="toxicity", labels=("toxic",), action="route", to="human"))
        answers = ask(serve(), "route", "a", "b")
        assert [(p.label, p.rung) for p in answers.predictions] == [("phone", "guard:toxicity")] * 2
        assert (answers.task, answers.release) == ("route", 1)

    def test_block_goes_before_route(self, guarded, serve: Serve) -> None:
        context = guarded(
            Guard(task="toxicity", labels=("toxic",), action="route", to="human"),
            Guard(task="spam", labels=("toxic",), action="block"),
        )
        add_task(context, task("spam", TOXIC))
        release(context, "spam", always(TOXIC, "toxic"))
        (one,) = ask(serve(), "route").predictions
        assert (one.label, one.rung) == (None, "guard:spam")

    def test_answers_of_a_named_release_and_a_canary_are_guarded_too(
        self, guarded, serve: Serve
    ) -> None:
        context = guarded(Guard(task="toxicity", labels=("toxic",), action="block"))
        release(context, "route", always(LABELS, "refund"))
        try_release(context, "route", CANARY, 1, 1.0, "all")
        service = serve()
        assert ask(service, "route").channel == "canary"
        for more in ({}, {"release": 1}, {"release": 2}):
            assert ask(service, "route", **more).predictions[0].label is None

    def test_guard_on_another_label_is_refused_when_loading(self, guarded, serve: Serve) -> None:
        guarded(Guard(task="toxicity", labels=("poison",)))
        service = serve()
        with pytest.raises(WorkspaceError, match="poison"):
            ask(service, "route")
        assert "poison" in service.state().loading.problems["route"]
        assert ask(service, "human").predictions[0].label == "phone"

    def test_cycle_is_refused_when_loading(self, context: Context, serve: Serve) -> None:
        add_task(context, task("one", guards=("two",)))
        add_task(context, task("two", guards=("one",)))
        release(context, "one", always(LABELS, "card"))
        release(context, "two", always(LABELS, "card"))
        with pytest.raises(WorkspaceError, match="one → two → one"):
            ask(serve(), "one")

    def test_guard_without_a_release_closes_the_task(self, routed: Context, serve: Serve) -> None:
        add_task(routed, task("toxicity", TOXIC))
        add_task(routed, task("safe", guards=(Guard(task="toxicity", labels=("toxic",)),)))
        release(routed, "safe", always(LABELS, "card"))
        service = serve()
        with pytest.raises(WorkspaceError, match="toxicity"):
            ask(service, "safe")
        assert service.unready() is None

    def test_guard_that_is_misspelt_names_the_nearest(self, routed: Context, serve: Serve) -> None:
        add_task(routed, task("safe", guards=("rute",)))
        release(routed, "safe", always(LABELS, "card"))
        assert "Did you mean 'route'?" in serve().problems()["safe"]

    def test_tasks_say_whom_they_guard(self, guarded, serve: Serve) -> None:
        guarded("toxicity")
        service = serve()
        assert service.task("toxicity").guards_for == ("route",)
        assert [each.name for each in service.tasks()] == ["human", "route", "toxicity"]


class TestClosing:
    def test_closed_service_refuses(self, routed: Context, serve: Serve) -> None:
        service = serve()
        assert service.unready() is None
        asyncio.run(service.close(1.0))
        assert service.unready() == "it is shutting down"
        with pytest.raises(OverloadedError):
            ask(service, "route")
