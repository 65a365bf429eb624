"""A served workspace follows its ledger and its task files, and goes on when it cannot."""

import asyncio
import gc
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable
from functools import partial

import pytest

from milepost.entities.errors import UnknownNameError
from milepost.entities.serving import Ask
from milepost.entities.task import Task
from milepost.serving.engine.engine import Engine
from milepost.serving.routing.router import Router
from milepost.storage.records.releases import CANARY
from milepost.testing.releases import add_task, always, release, some_linear
from milepost.workflows.context import Context
from milepost.workflows.release.channels import promote, rollback
from milepost.workflows.release.trying import try_release
from milepost.workflows.serving.loading import Loader
from milepost.workflows.serving.planning import pinned_route
from milepost.workflows.serving.watching import Following, Watcher

LABELS = ("card", "refund", "other")


class Desk:
    """A workspace with a watcher that is stepped by hand."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.keys = 0
        self.engine = Engine(threads=1)
        self.loader = Loader(context, self.engine, "fp32")
        self.router = Router(partial(pinned_route, self.loader))
        following = Following(every=0.001, on_keys=self.told)
        self.watcher = Watcher(context, self.loader, self.router, following)

    def told(self) -> None:
        self.keys += 1

    def production(self, task: str = "route") -> int | None:
        plan = self.router.table.plans.get(task)
        return None if plan is None else plan.production.answering.release

    def break_bundle(self, number: int) -> None:
        """Spoil the bytes of a release in the store."""
        bundle = self.context.ledger.release("route", number).bundle
        (path,) = (self.context.root / ".milepost/artifacts").rglob(f"*{bundle[4:]}*")
        path.chmod(0o644)
        path.write_bytes(b"{}")


@pytest.fixture
def desk(context: Context):
    add_task(context, Task(name="route", labels=dict.fromkeys(LABELS, "")))
    release(context, "route", always(LABELS, "card"))
    made = Desk(context)
    made.watcher.load()
    yield made
    made.watcher.stop(5.0)
    made.engine.close()


class TestFollowing:
    def test_nothing_new_swaps_nothing(self, desk: Desk) -> None:
        before = desk.router.table
        desk.watcher.step()
        assert desk.router.table is before

    def test_new_release_is_followed_and_the_one_before_stays_warm(self, desk: Desk) -> None:
        release(desk.context, "route", always(LABELS, "refund"))
        desk.watcher.step()
        assert desk.production() == 2
        kept = desk.router.table.plans["route"].kept
        assert sorted(kept) == [1, 2]
        old = kept[1]
        rollback(desk.context, "route", "worse")
        desk.watcher.step()
        assert desk.production() == 1
        assert desk.router.table.plans["route"].production.answering is old

    def test_other_tasks_keep_the_very_same_plan(self, desk: Desk) -> None:
        add_task(desk.context, Task(name="other", labels=dict.fromkeys(LABELS, "")))
        release(desk.context, "other", always(LABELS, "other"))
        desk.watcher.step()
        before = desk.router.table.plans["route"]
        release(desk.context, "other", always(LABELS, "card"))
        desk.watcher.step()
        assert desk.production("other") == 2
        assert desk.router.table.plans["route"] is before

    def test_guards_of_a_release_that_moves_move_along(self, desk: Desk) -> None:
        add_task(
            desk.context,
            Task(name="safe", labels=dict.fromkeys(LABELS, ""), guards=("route",)),
        )
        release(desk.context, "safe", always(LABELS, "other"))
        desk.watcher.step()
        release(desk.context, "route", always(LABELS, "refund"))
        desk.watcher.step()
        (guard,) = desk.router.table.plans["safe"].production.guards
        assert guard.head.release == 2
        assert desk.router.table.plans["route"].served.guards_for == ("safe",)

    def test_canary_and_its_end(self, desk: Desk) -> None:
        release(desk.context, "route", always(LABELS, "refund"))
        try_release(desk.context, "route", CANARY, 1, 0.4, "try")
        desk.watcher.step()
        plan = desk.router.table.plans["route"]
        assert (plan.served.canary, plan.served.share) == (1, 0.4)
        promote(desk.context, "route", 1, "good")
        desk.watcher.step()
        plan = desk.router.table.plans["route"]
        assert (plan.canary, plan.served.canary, desk.production()) == (None, None, 1)

    def test_edited_task_file_takes_effect(self, desk: Desk) -> None:
        path = desk.context.root / "tasks/route.yaml"
        path.write_text(path.read_text() + "instruction: Which queue?\nrecording: {days: 3}\n")
        desk.watcher.step()
        plan = desk.router.table.plans["route"]
        assert (plan.served.instruction, plan.recording.days) == ("Which queue?", 3.0)

    def test_broken_task_file_keeps_the_old_version_and_is_told(self, desk: Desk) -> None:
        path = desk.context.root / "tasks/route.yaml"
        good = path.read_text()
        before = desk.router.table
        path.write_text(good + "recoding: {days: 3}\n")
        desk.watcher.step()
        assert desk.router.table is before
        assert "recording" in desk.watcher.loading().problems["route"]
        path.write_text(good + "recording: {days: 3}\n")
        desk.watcher.step()
        assert desk.router.table.plans["route"].recording.days == 3.0
        assert desk.watcher.loading().problems == {}

    def test_task_added_later_is_served(self, desk: Desk) -> None:
        add_task(desk.context, Task(name="late", labels=dict.fromkeys(LABELS, "")))
        release(desk.context, "late", always(LABELS, "other"))
        desk.watcher.step()
        assert desk.production("late") == 1

    def test_keys_are_told(self, desk: Desk) -> None:
        desk.watcher.step()
        assert desk.keys == 0
        from milepost.workflows.serving.keys import NewKey, create_key, revoke_key

        key, _ = create_key(desk.context, NewKey(role="consumer"), "for a test")
        desk.watcher.step()
        revoke_key(desk.context, key.id, "lost")
        desk.watcher.step()
        assert desk.keys == 2


class TestFaults:
    def test_release_that_cannot_be_read_leaves_the_one_before(self, desk: Desk) -> None:
        release(desk.context, "route", always(LABELS, "refund"))
        desk.break_bundle(2)
        desk.watcher.step()
        assert desk.production() == 1
        problems = desk.watcher.loading().problems
        assert list(problems) == ["route"]
        assert "route" not in desk.router.table.broken
        release(desk.context, "route", always(LABELS, "other"))
        desk.watcher.step()
        assert desk.production() == 3

    def test_release_before_that_cannot_be_read_stops_nobody(self, context: Context) -> None:
        add_task(context, Task(name="route", labels=dict.fromkeys(LABELS, "")))
        release(context, "route", always(LABELS, "card"))
        release(context, "route", always(LABELS, "refund"))
        desk = Desk(context)
        desk.break_bundle(1)
        desk.watcher.load()
        assert desk.production() == 2
        assert "route" in desk.watcher.loading().problems
        desk.engine.close()

    def test_lost_ledger_keeps_serving_and_what_was_missed_is_seen_later(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        release(desk.context, "route", always(LABELS, "refund"))
        looked, found = threading.Event(), threading.Event()
        real = type(desk.context.ledger).audit_head

        def lost(ledger):
            from milepost.entities.errors import UnreachableError

            if desk.watcher.loading().lost:
                looked.set()
            raise UnreachableError("the server does not answer.")

        monkeypatch.setattr(type(desk.context.ledger), "audit_head", lost)
        desk.watcher.start()
        assert looked.wait(10)
        assert desk.production() == 1
        assert desk.watcher.loading().lost > 0

        def back(ledger):
            if desk.production() == 2 and not desk.watcher.loading().lost:
                found.set()
            return real(ledger)

        monkeypatch.setattr(type(desk.context.ledger), "audit_head", back)
        assert found.wait(10)


class TestMemory:
    def test_equal_bundles_are_one_in_memory(self, desk: Desk) -> None:
        release(desk.context, "route", always(LABELS, "card"))
        desk.watcher.step()
        one, two = desk.router.table.plans["route"].kept.values()
        assert one.release != two.release
        assert one.predictor is two.predictor

    def test_releases_that_nobody_needs_are_freed(self, desk: Desk) -> None:
        gone = weakref.ref(desk.router.table.plans["route"].production.answering)
        for label in ("refund", "other"):
            release(desk.context, "route", always(LABELS, label))
            desk.watcher.step()
        gc.collect()
        assert gone() is None
        assert sorted(desk.router.table.plans["route"].kept) == [2, 3]


class TestSwapsUnderWay:
    def test_no_reply_is_mixed_and_none_fails(
        self, context: Context, serve: Callable[..., object]
    ) -> None:
        """Guard and answer agree in each release: a reply of two of them would show it."""
        labels = ("even", "odd")
        for name, guards in (("watch", ()), ("route", ("watch",))):
            add_task(context, Task(name=name, labels=dict.fromkeys(labels, ""), guards=guards))
            release(context, name, some_linear(context, labels))
        service = serve(reload_every=0.01, threads=2)
        answered: list[tuple[int, set[str]]] = []
        stop = threading.Event()

        def swap() -> None:
            for number in range(10):
                release(context, "route", always(labels, labels[number % 2], 0.99))
            stop.set()

        async def ask_on() -> None:
            thread = threading.Thread(target=swap)
            thread.start()
            number = 0
            while not stop.is_set():
                texts = tuple(f"text {number} {i}" for i in range(4))
                said = await service.answer(Ask(task="route", texts=texts))
                answered.append((said.release, {str(p.label) for p in said.predictions}))
                number += 1
            thread.join()
            for _ in range(3):
                await asyncio.sleep(0.05)
                said = await service.answer(Ask(task="route", texts=("last",)))
            assert said.release == 11

        asyncio.run(ask_on())
        assert len({number for number, _ in answered}) > 2
        for number, given in answered:
            if number > 1:
                assert given == {labels[number % 2]}, number


def test_serving_needs_no_training_and_no_reports() -> None:
    code = (
        "import sys, milepost.workflows.serving.opening\n"
        "bad = ('torch', 'transformers', 'sklearn', 'pandas', 'duckdb', 'altair', 'typer', 'onnx',"
        " 'pyarrow', 'scipy')\n"
        "ours = ('milepost.contests', 'milepost.data', 'milepost.reports', 'milepost.strategies',"
        " 'milepost.workspace')\n"
        "print([m for m in sys.modules if m.split('.')[0] in bad or m.startswith(ours)])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_unknown_release_is_named(desk: Desk) -> None:
    with pytest.raises(UnknownNameError):
        desk.loader.pinned("route", 99)
