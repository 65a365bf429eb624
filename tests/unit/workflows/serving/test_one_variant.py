"""All that reads a text answers on one variant of the encoder, so that it is encoded once."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pytest

from milepost.entities.serving import Ask, Fidelity, Guard
from milepost.entities.task import Task
from milepost.models.onnx_encoder import OnnxEncoder
from milepost.serving.service import Service
from milepost.storage.records.releases import CANARY, SHADOW
from milepost.testing.releases import add_task, release, some_linear
from milepost.testing.trunks import HashedTrunk
from milepost.workflows.context import Context
from milepost.workflows.release.trying import try_release
from milepost.workflows.serving.opening import ServeOptions, open_service

LABELS = ("card", "refund")
TEXT = "where is it?"


@dataclass
class Desk:
    """A workspace whose encoder has two variants, and a server of it."""

    context: Context
    trunks: dict[str, HashedTrunk]
    service: Service | None = None

    def add(self, name: str, agree: int, *, guards: tuple[Any, ...] = (), seed: int = 0) -> None:
        """A release of a task of which so many of 400 answers are the same on int8."""
        if name not in self.context.ledger.tasks():
            more: dict[str, Any] = {"guards": guards} if guards else {}
            add_task(self.context, Task(name=name, labels=dict.fromkeys(LABELS, ""), **more))
        number = release(self.context, name, some_linear(self.context, LABELS, seed))
        self.context.ledger.add_fidelity(
            Fidelity(
                bundle=self.context.ledger.release(name, number).bundle,
                encoder=self.trunks["fp32"].digest,
                variant="int8",
                reference="fp32",
                n=400,
                agree=agree,
                passed=agree >= 394,
                at=datetime(2026, 1, 1, tzinfo=UTC),
            )
        )

    def passes(self, *asked: dict[str, Any]) -> dict[str, int]:
        """Texts that each variant encoded for these requests to ``route``."""
        options = ServeOptions(reload_every=3600.0, threads=1, record=False, cache_bytes=0)
        self.service = open_service(self.context, options)
        for trunk in self.trunks.values():
            trunk.passes.clear()

        async def ask(service: Service) -> None:
            for more in asked or ({},):
                await service.answer(Ask(task="route", texts=(TEXT,), **more))
            await service.close(5.0)

        asyncio.run(ask(self.service))
        return {
            name: sum(texts.count(TEXT) for texts in trunk.passes)
            for name, trunk in self.trunks.items()
        }

    def served(self) -> tuple[str | None, str]:
        assert self.service is not None
        task = self.service.task("route")
        return task.variant, task.variant_why


@pytest.fixture
def desk(context: Context) -> Desk:
    trunks = {"fp32": HashedTrunk(), "int8": HashedTrunk(variant="int8")}
    opening: Callable[..., Any] = trunks.__getitem__
    return Desk(
        replace(
            context,
            encoder=lambda: OnnxEncoder(trunks["fp32"]),
            bare_encoder=lambda: OnnxEncoder(trunks["fp32"]),
            trunk=opening,
        ),
        trunks,
    )


GUARDS = ("spam", Guard(task="abuse", labels=("card",), at_least=0.99, action="block"))


def guards(desk: Desk, spam: int, abuse: int) -> None:
    desk.add("spam", spam, seed=1)
    desk.add("abuse", abuse, seed=2)


@pytest.mark.parametrize(
    ("route", "spam", "abuse", "variant"),
    [
        (400, 400, 394, "int8"),
        (393, 400, 400, "fp32"),
        (400, 393, 400, "fp32"),
        (400, 400, 390, "fp32"),
        (393, 393, 393, "fp32"),
    ],
)
def test_guarded_text_is_encoded_once(
    desk: Desk, route: int, spam: int, abuse: int, variant: str
) -> None:
    guards(desk, spam, abuse)
    desk.add("route", route, guards=GUARDS)
    other = {"int8": "fp32", "fp32": "int8"}[variant]
    assert desk.passes() == {variant: 1, other: 0}
    assert desk.served()[0] == variant
    # A task that others are guarded by keeps its own variant for those who ask it.
    assert desk.service is not None
    assert desk.service.task("spam").variant == ("int8" if spam >= 394 else "fp32")


def test_why_names_the_guard_and_its_numbers(desk: Desk) -> None:
    guards(desk, 393, 400)
    desk.add("route", 400, guards=GUARDS)
    desk.passes()
    assert desk.served()[1].startswith(
        "as its guard spam does, to encode each text once: "
        "393 of 400 answers on int8 are the same as on fp32 (98.2 %, 95 % interval 96.4 to 99.3; "
        "98.5 % are asked for)"
    )


def test_named_release_brings_its_guards_along(desk: Desk) -> None:
    guards(desk, 400, 400)
    for seed, agree in enumerate((390, 400, 400)):
        desk.add("route", agree, guards=GUARDS, seed=10 + seed)
    assert desk.passes({}, {"release": 1}, {"release": 2}, {"release": 1}) == {"int8": 2, "fp32": 2}


def test_canary_that_failed_moves_only_its_own_traffic(desk: Desk) -> None:
    guards(desk, 400, 400)
    desk.add("route", 390, guards=GUARDS, seed=10)
    desk.add("route", 400, guards=GUARDS, seed=11)
    try_release(desk.context, "route", CANARY, 1, 0.5, "try")
    asked = [{"subject": f"user {i}"} for i in range(20)]
    found = desk.passes(*asked)
    assert sum(found.values()) == 20
    assert min(found.values()) > 0
    assert desk.served()[0] == "int8"


@pytest.mark.parametrize(
    ("production", "shadow", "passes"),
    [
        (400, 400, {"int8": 1, "fp32": 0}),
        # It would make everybody's answer slower: it is asked afterwards.
        (400, 390, {"int8": 1, "fp32": 1}),
        (390, 400, {"int8": 0, "fp32": 1}),
    ],
)
def test_shadow_joins_only_where_it_changes_nothing(
    desk: Desk, production: int, shadow: int, passes: dict[str, int]
) -> None:
    guards(desk, 400, 400)
    desk.add("route", shadow, guards=GUARDS, seed=10)
    desk.add("route", production, guards=GUARDS, seed=11)
    try_release(desk.context, "route", SHADOW, 1, None, "look")
    assert desk.passes() == passes
    assert desk.service is not None
    assert desk.service.state().shadows.answered == 1
