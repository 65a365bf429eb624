"""A server answers with what production learned since its contest, and names releases as made."""

from collections.abc import Callable
from functools import partial

import pytest

from milepost.entities.errors import ConflictError
from milepost.entities.learning import HeadUpdate
from milepost.entities.task import Task
from milepost.serving.engine.engine import Engine
from milepost.serving.routing.router import Router
from milepost.testing.releases import add_task, always, release
from milepost.workflows.context import Context
from milepost.workflows.release.bundles import load_bundle, store_bundle
from milepost.workflows.serving.loading import Loader
from milepost.workflows.serving.planning import pinned_route
from milepost.workflows.serving.watching import Following, Watcher

LABELS = ("card", "refund")


@pytest.fixture
def updated(context: Context) -> Callable[[str, HeadUpdate | None], HeadUpdate]:
    """Lets another predictor answer for the first release."""
    add_task(context, Task(name="route", labels=dict.fromkeys(LABELS, "")))
    release(context, "route", always(LABELS, "card"))
    manifest = load_bundle(context, context.ledger.release("route", 1).bundle)[1]

    def change(label: str, before: HeadUpdate | None) -> HeadUpdate:
        bundle = store_bundle(context, always(LABELS, label), manifest)
        made = HeadUpdate(task="route", release=1, bundle=bundle, learned=1)
        last = None if before is None else before.bundle
        context.ledger.record_update(made, last, reason="taught")
        return made

    return change


def test_a_running_server_follows_an_update(
    context: Context, updated: Callable[..., HeadUpdate]
) -> None:
    engine = Engine(threads=1)
    loader = Loader(context, engine, "fp32")
    router = Router(partial(pinned_route, loader))
    watcher = Watcher(context, loader, router, Following())
    try:
        watcher.load()
        before = router.table.plans["route"]
        change = updated("refund", None)
        watcher.step()
        after = router.table.plans["route"]
        assert before.production.answering.bundle != change.bundle
        assert after.production.answering.bundle == change.bundle
        assert after.production.answering.release == 1
        # who names the release gets it as it was made
        assert after.kept[1].bundle == before.production.answering.bundle
        assert loader.pinned("route", 1).bundle == before.production.answering.bundle
        assert loader.production("route", 1) is after.production.answering
    finally:
        watcher.stop(5.0)
        engine.close()


def test_of_two_that_change_the_same_head_one_is_told(
    context: Context, updated: Callable[..., HeadUpdate]
) -> None:
    first = updated("refund", None)
    with pytest.raises(ConflictError, match="somebody else updated route#1"):
        updated("card", None)
    second = updated("card", first)
    assert context.ledger.release_update("route", 1) == second
    # only what answers is kept from a collection
    assert context.ledger.pins() == {"update:route#1": (second.bundle,)}
    assert second.bundle in context.ledger.needed_artifacts().pinned
