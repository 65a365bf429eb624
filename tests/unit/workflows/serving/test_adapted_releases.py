"""A release with an adapter answers alike everywhere, beside others on the same encoder."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from milepost import Workspace, load_exported
from milepost.entities.configuration import Configuration
from milepost.entities.errors import EncoderError, InputError
from milepost.entities.serving import Ask, Guard
from milepost.entities.task import Task
from milepost.models.adapters import Adapter
from milepost.predictors.reading import batch_for
from milepost.testing.releases import add_task, release, some_linear
from milepost.testing.tiny import write_tiny
from milepost.workflows.contest.timing import Encoders, latencies
from milepost.workflows.context import Context
from milepost.workflows.opening import create
from milepost.workflows.serving.opening import ServeOptions, open_service

LABELS = ("card", "refund", "other")
TEXTS = ["my card was stolen", "where is the money", "a b", "zz top", "the card"]


@pytest.fixture(scope="module")
def encoder_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture
def desk(
    tmp_path: Path, encoder_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Context]:
    monkeypatch.setenv("MILEPOST_CACHE", str(tmp_path / "cache"))
    context = create(tmp_path / "desk", Configuration(encoder=str(encoder_folder)))
    yield context
    context.ledger.close()


def adapter(context: Context, seed: int) -> Adapter:
    """One of the upper layer, as strong as the weights that it changes."""
    rng = np.random.default_rng(seed)

    def half(*shape: int) -> np.ndarray:
        return rng.normal(0, 0.3, shape).astype(np.float32)

    layers = ("1.query", "1.value")
    return Adapter(
        context.bare_encoder().digest,
        {layer: half(32, 4) for layer in layers},
        {layer: half(4, 32) for layer in layers},
    )


def task(name: str, *guards: Guard) -> Task:
    return Task(name=name, labels=dict.fromkeys(LABELS, ""), guards=guards)


async def served(context: Context, *asks: Ask) -> list[list[dict[str, float]]]:
    """Probabilities of each text of each request, all of them asked at once."""
    service = open_service(context, ServeOptions(threads=1, record=False, variant="fp32"))
    try:
        answers = await asyncio.gather(*(service.answer(each) for each in asks))
    finally:
        await service.close(5.0)
    return [[dict(each.probabilities) for each in said.predictions] for said in answers]


def test_a_tuned_release_answers_alike_everywhere(desk: Context, tmp_path: Path) -> None:
    add_task(desk, task("route"))
    tuned = replace(some_linear(desk, LABELS), adapter=adapter(desk, 0))
    release(desk, "route", tuned)
    expected = tuned.predict(batch_for(tuned, TEXTS, desk.bare_encoder())).probabilities
    plain = replace(tuned, adapter=None)
    without = plain.predict(batch_for(plain, TEXTS, desk.bare_encoder())).probabilities
    assert np.abs(expected - without).max() > 0.01  # the adapter matters

    workspace = Workspace.open(desk.root)
    for _ in range(2):  # again, now that vectors of the encoder alone may be kept
        found = workspace.predict("route", TEXTS).probabilities
        assert np.abs(found - expected).max() < 1e-5
    timed = latencies(
        {"tuned": tuned, "plain": plain},
        TEXTS,
        Encoders(desk.bare_encoder(), desk.encoder()),
        desk.settings,
    )
    assert all(each.p50_ms > 0 for each in timed.values())

    for name, merge in (("kept", False), ("merged", True)):
        workspace.export("route", tmp_path / name, merge=merge)
        exported = load_exported(tmp_path / name)
        assert np.abs(exported.predict(TEXTS).probabilities - expected).max() < 1e-5
        assert np.abs(exported.predict(TEXTS[:1]).probabilities - expected[:1]).max() < 1e-5
    together, alone = asyncio.run(
        served(desk, Ask(task="route", texts=tuple(TEXTS)), Ask(task="route", texts=("zz top",)))
    )
    for row, said in zip(expected, together, strict=True):
        assert said == pytest.approx(dict(zip(LABELS, row.tolist(), strict=True)), abs=1e-5)
    assert alone[0] == pytest.approx(together[3], abs=1e-5)


def test_tasks_with_other_adapters_and_plain_guards_are_served_together(desk: Context) -> None:
    add_task(desk, task("plain"))
    release(desk, "plain", some_linear(desk, LABELS, 1))
    add_task(desk, task("one", Guard(task="plain", labels=LABELS[:1], at_least=0.999)))
    release(desk, "one", replace(some_linear(desk, LABELS, 2), adapter=adapter(desk, 2)))
    add_task(desk, task("other"))
    release(desk, "other", replace(some_linear(desk, LABELS, 3), adapter=adapter(desk, 3)))
    names = ("one", "plain", "other", "one")
    found = asyncio.run(served(desk, *(Ask(task=name, texts=tuple(TEXTS)) for name in names)))
    workspace = Workspace.open(desk.root)
    for name, said in zip(names, found, strict=True):
        expected = workspace.predict(name, TEXTS).probabilities
        for row, each in zip(expected, said, strict=True):
            assert each == pytest.approx(dict(zip(LABELS, row.tolist(), strict=True)), abs=1e-5)


def test_nothing_is_merged_without_an_adapter(desk: Context, tmp_path: Path) -> None:
    add_task(desk, task("route"))
    release(desk, "route", some_linear(desk, LABELS))
    with pytest.raises(InputError, match="nothing to merge"):
        Workspace.open(desk.root).export("route", tmp_path / "out", merge=True)
    assert not (tmp_path / "out").exists()


def test_a_release_for_another_encoder_is_refused(desk: Context) -> None:
    change = adapter(desk, 0)
    foreign = Adapter("0" * 64, change.down, change.up)
    add_task(desk, task("route"))
    release(desk, "route", replace(some_linear(desk, LABELS), adapter=foreign))
    with pytest.raises(EncoderError, match="made for the encoder"):
        Workspace.open(desk.root).predict("route", TEXTS)
