"""Tuning on a tiny model of random weights: what comes out is what the runtime computes."""

import dataclasses

import numpy as np
import pytest
import torch

from milepost._base.clock import Deadline
from milepost.entities.errors import EncoderError
from milepost.models.folder import read_folder
from milepost.strategies.tuning import training
from milepost.strategies.tuning.heads import space_of
from milepost.strategies.tuning.losses import anchored, contrastive
from milepost.strategies.tuning.records import Corpus, Tuning
from milepost.strategies.tuning.training import Rows, tune
from milepost.strategies.tuning.trunk import TorchTrunk
from milepost.strategies.watching import Watch
from milepost.strategy import DeclinedError
from milepost.testing.tiny import TinyEncoder, write_tiny

TEXTS = ("ab cd", "abc d", "ab", "xyz", "zzy x", "a much longer text that says a lot of things")
QUICK = Tuning(steps=6, batch=8, layers=1, rate=0.02)
CORPUS = Corpus(name="t", labels=("one", "two"), texts=TEXTS, y=np.array([0, 0, 0, 1, 1, 1]))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return TinyEncoder(write_tiny(tmp_path_factory.mktemp("tiny") / "bert"))


@pytest.fixture(scope="module")
def folder(tiny):
    return tiny.weights()


def vectors(folder, tuning):
    trunk = TorchTrunk(folder, tuning, 0)
    trunk.read(TEXTS)
    with torch.no_grad():
        return trunk.vectors(np.arange(len(TEXTS))).numpy()


@pytest.mark.parametrize("pooling", ["mean", "cls", "max"])
def test_before_a_step_the_vectors_are_those_of_the_runtime(tmp_path, pooling):
    place = write_tiny(tmp_path / "bert")
    (place / "modules.json").write_text(
        '[{"type": "x.Transformer", "path": ""}, {"type": "x.Pooling", "path": "pool"}]'
    )
    (place / "pool").mkdir()
    (place / "pool" / "config.json").write_text(f'{{"pooling_mode": "{pooling}"}}')
    found = vectors(read_folder(place), QUICK)
    assert np.abs(found - TinyEncoder(place).encode(TEXTS)).max() < 1e-5


@pytest.mark.parametrize(
    "tuning",
    [
        QUICK,
        dataclasses.replace(QUICK, layers=9, rank=3, alpha=5.0),
        dataclasses.replace(QUICK, parts=("query", "key", "value", "output", "inner", "outer")),
        dataclasses.replace(QUICK, whole=True, rate=0.003),
    ],
    ids=["top", "all layers", "all parts", "whole"],
)
def test_the_runtime_computes_what_was_tuned(tiny, folder, tuning, monkeypatch):
    trunks = []

    class Kept(TorchTrunk):
        def __init__(self, *given):
            super().__init__(*given)
            trunks.append(self)

    monkeypatch.setattr(training, "TorchTrunk", Kept)
    tuned = tune(folder, [CORPUS], tuning, seed=3)
    with torch.no_grad():
        expected = trunks[0].vectors(np.arange(len(TEXTS))).numpy()
    served = space_of(tiny, folder, tuned.state).vectors(TEXTS)
    # a whole encoder is kept in half precision
    assert np.abs(served - expected).max() < (3e-3 if tuning.whole else 1e-5)
    assert np.abs(expected - tiny.encode(TEXTS)).max() > 0.01
    assert tuned.steps == len(tuned.losses) == 6


def test_labels_draw_apart_and_the_loss_falls(tiny, folder):
    tuned = tune(folder, [CORPUS], dataclasses.replace(QUICK, steps=80), seed=0)
    before, after = tiny.encode(TEXTS), tiny.adapted(tuned.adapter).encode(TEXTS)
    same = CORPUS.y[:, None] == CORPUS.y[None, :]

    def gap(found):
        similarities = found @ found.T
        return similarities[same].mean() - similarities[~same].mean()

    assert gap(after) > gap(before) + 0.2
    assert np.mean(tuned.losses[-5:]) < np.mean(tuned.losses[:5])


def test_the_same_seed_gives_the_same_adapter_and_changes_no_state_of_torch(folder):
    torch.manual_seed(1)
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    first, second, other = (tune(folder, [CORPUS], QUICK, seed=seed) for seed in (5, 5, 6))
    assert first.adapter.digest == second.adapter.digest != other.adapter.digest
    assert torch.equal(before, torch.get_rng_state())
    assert torch.get_num_threads() == threads


def test_of_the_change_the_share_that_was_asked_for_is_used(folder):
    whole, half = (
        tune(folder, [CORPUS], dataclasses.replace(QUICK, strength=share), seed=1).adapter
        for share in (1.0, 0.5)
    )
    for layer, up in whole.up.items():
        assert np.array_equal(half.down[layer], whole.down[layer])
        assert np.allclose(half.up[layer], 0.5 * up)


def test_of_changed_weights_the_share_that_was_asked_for_is_used(folder):
    tuning = dataclasses.replace(QUICK, whole=True, rate=0.003)
    before = TorchTrunk(folder, tuning, 1).state()
    full, part = (
        tune(folder, [CORPUS], dataclasses.replace(tuning, strength=share), seed=1).state
        for share in (1.0, 0.25)
    )
    moved = [name for name, each in full.items() if not np.array_equal(each, before[name])]
    assert moved
    for name, each in full.items():
        assert np.allclose(part[name], 0.75 * before[name] + 0.25 * each, atol=1e-6)


def test_a_step_leaves_tokens_out_and_what_is_read_does_not(folder):
    tuning = dataclasses.replace(QUICK, cutoff=0.5)
    assert np.array_equal(vectors(folder, tuning), vectors(folder, QUICK))
    trunk = TorchTrunk(folder, tuning, 0)
    trunk.read(TEXTS)
    rows = np.arange(len(TEXTS))
    first, second = (trunk.vectors(rows).detach().numpy() for _ in range(2))
    assert not np.array_equal(first, second)
    assert np.allclose(np.linalg.norm(first, axis=1), 1.0, atol=1e-5)


def test_a_text_keeps_a_token_whatever_is_left_out(folder):
    trunk = TorchTrunk(folder, dataclasses.replace(QUICK, cutoff=0.999), 0)
    trunk.read(TEXTS)
    assert np.isfinite(trunk.vectors(np.arange(len(TEXTS))).detach().numpy()).all()


def test_adapters_on_the_way_are_kept(folder):
    tuned = tune(folder, [CORPUS], dataclasses.replace(QUICK, keep=(0.5, 0.9)), seed=0)
    digests = [each.digest for each in (*tuned.kept, tuned.adapter)]
    assert len(digests) == len(set(digests)) == 3


def test_several_corpora_share_one_adapter(folder):
    other = Corpus(
        name="u", labels=("p", "q", "r"), texts=("k", "l", "m"), y=np.array([0, 1, 2]), weight=0.5
    )
    tuned = tune(folder, [CORPUS, other], QUICK, seed=0)
    assert set(tuned.adapter.down) == {"1.query", "1.value"}


def test_a_loss_that_is_not_finite_ends_it_with_a_reason(folder):
    with pytest.raises(DeclinedError, match=r"not finite at step \d+ of 6; a smaller `rate`"):
        tune(folder, [CORPUS], dataclasses.replace(QUICK, rate=1e30), seed=0)


@pytest.mark.parametrize("keep", [(), (1.0 / 6,)])
def test_a_last_step_that_leads_nowhere_is_told_as_such(folder, keep):
    class Steep(training.Proportional):
        def backward(self, drawn, losses, parameters):
            super().backward(drawn, losses, parameters)
            parameters[0].grad.fill_(float("inf"))

    # The loss of a step is that before it: only what was tuned shows where the step led.
    how = dataclasses.replace(QUICK, steps=6 if keep else 1, keep=keep)
    with pytest.raises(DeclinedError, match=r"tuned was not finite at step 1 of \d; a smaller"):
        tune(folder, [CORPUS], how, seed=0, mixing=Steep([CORPUS]))


def test_it_takes_as_many_threads_as_it_may(folder, monkeypatch):
    seen = []
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    watch = Watch(progress=lambda share: seen.append(torch.get_num_threads()))
    tune(folder, [CORPUS], QUICK, seed=0, watch=watch)
    assert set(seen) == {1}


def test_without_time_it_declines_and_with_a_little_it_keeps_what_it_has(folder):
    with pytest.raises(DeclinedError, match="time was up"):
        tune(folder, [CORPUS], QUICK, seed=0, watch=Watch(Deadline.after(0)))
    deadline = Deadline.after(3600)
    seen = []

    def progress(share):
        seen.append(share)
        if len(seen) == 5:
            object.__setattr__(deadline, "at", 0.0)

    notes = []
    tuned = tune(folder, [CORPUS], QUICK, seed=0, watch=Watch(deadline, progress, notes.append))
    assert tuned.steps == 5
    assert notes == ["The time was up after 5 of 6 steps."]


def test_a_step_that_does_not_fit_into_memory_is_halved(folder, monkeypatch):
    asked = []

    class Small(training.Proportional):
        def draw(self, step, batch, rng):
            asked.append(batch)
            return super().draw(step, batch, rng)

        def backward(self, drawn, losses, parameters):
            if asked[-1] > 2:
                raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried")
            super().backward(drawn, losses, parameters)

    notes = []
    watch = Watch(note=notes.append)
    tuned = tune(folder, [CORPUS], QUICK, seed=0, watch=watch, mixing=Small([CORPUS]))
    assert tuned.steps == 6
    assert notes == [
        "Memory ran out: steps of 4 examples instead.",
        "Memory ran out: steps of 2 examples instead.",
    ]
    assert asked[:3] == [8, 4, 2]


def test_another_error_is_not_taken_for_a_lack_of_memory(folder):
    class Broken(training.Proportional):
        def backward(self, drawn, losses, parameters):
            raise RuntimeError("shapes do not fit")

    with pytest.raises(RuntimeError, match="shapes do not fit"):
        tune(folder, [CORPUS], QUICK, seed=0, mixing=Broken([CORPUS]))


def test_weights_without_a_tensor_are_refused(tmp_path):
    from safetensors.numpy import load_file, save_file

    place = write_tiny(tmp_path / "bert")
    tensors = load_file(place / "model.safetensors")
    del tensors["encoder.layer.1.output.dense.bias"]
    save_file(tensors, place / "model.safetensors")
    with pytest.raises(EncoderError, match=r"no tensor encoder\.layer\.1\.output"):
        tune(read_folder(place), [CORPUS], QUICK, seed=0)


def test_what_lies_below_is_the_same_whether_it_is_held_or_not(folder, monkeypatch):
    held = vectors(folder, QUICK)
    monkeypatch.setattr("milepost.strategies.tuning.trunk.MOST_CACHED", 3)
    assert np.abs(vectors(folder, QUICK) - held).max() < 1e-6


def test_every_row_is_drawn_in_turn_and_has_a_partner():
    y = np.array([0, 0, 1, 1, 1, 2])
    rows, rng = Rows(y), np.random.default_rng(0)
    drawn = [rows.draw(4, rng) for _ in range(9)]
    counts = np.bincount(np.concatenate(drawn), minlength=6)
    assert counts.min() >= 3
    assert all(len(np.unique(each)) == len(each) <= 4 for each in drawn)


def test_the_contrastive_loss_is_that_of_the_paper():
    rng = np.random.default_rng(0)
    found = rng.normal(size=(5, 4))
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    y = np.array([0, 1, 0, 0, 2])
    total = []
    for i in range(5):
        partners = [p for p in range(5) if p != i and y[p] == y[i]]
        if partners:
            below = sum(np.exp(found[i] @ found[a] / 0.3) for a in range(5) if a != i)
            total.append(
                -np.mean([np.log(np.exp(found[i] @ found[p] / 0.3) / below) for p in partners])
            )
    loss = contrastive(torch.from_numpy(found), torch.from_numpy(y), 0.3)
    assert loss.item() == pytest.approx(np.mean(total))
    alone = contrastive(torch.from_numpy(found[:2]), torch.tensor([0, 1]), 0.3)
    assert alone.item() == 0


def test_the_anchored_loss_does_not_depend_on_the_anchors_lengths():
    found = torch.nn.functional.normalize(torch.randn(6, 4, generator=torch.manual_seed(0)), dim=1)
    anchors = torch.randn(3, 4, generator=torch.manual_seed(1))
    y = torch.tensor([0, 1, 2, 0, 1, 2])
    first, second = (anchored(found, y, each, 0.1) for each in (anchors, 7 * anchors))
    assert first.item() == pytest.approx(second.item(), rel=1e-5)
