"""Tunings that are kept for whoever asks for the same."""

import dataclasses

import numpy as np
import pytest

from milepost._base.clock import Deadline
from milepost.strategies.tuning import training
from milepost.strategies.tuning.recent import Recent
from milepost.strategies.tuning.records import Corpus, Tuning
from milepost.strategies.watching import Watch
from milepost.strategy import DeclinedError
from milepost.testing.tiny import TinyEncoder, write_tiny

TEXTS = ("ab cd", "abc d", "ab", "xyz", "zzy x", "a much longer text that says a lot of things")
QUICK = Tuning(steps=6, batch=8, layers=1, rate=0.02)
CORPUS = Corpus(name="t", labels=("one", "two"), texts=TEXTS, y=np.array([0, 0, 0, 1, 1, 1]))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return TinyEncoder(write_tiny(tmp_path_factory.mktemp("tiny") / "bert")).weights()


@pytest.fixture
def tunings(monkeypatch):
    """The seeds that ``tune`` was called with, one of a call."""
    real, seen = training.tune, []

    def tune(*given, seed, **more):
        seen.append(seed)
        return real(*given, seed=seed, **more)

    monkeypatch.setattr(training, "tune", tune)
    return seen


def asked(recent, folder, corpus=CORPUS, tuning=QUICK, seed=1, watch=None):
    return recent.tuned(folder, corpus, tuning, seed=seed, watch=watch or Watch())


def test_the_same_is_tuned_once_and_scaled_to_what_each_wants(folder, tunings):
    recent, shares = Recent(), []
    half = dataclasses.replace(QUICK, strength=0.5, keep=(0.5,))
    asked(recent, folder, tuning=dataclasses.replace(half, strength=1.0))
    found = asked(recent, folder, tuning=half, watch=Watch(progress=shares.append))
    assert tunings == [1]
    assert shares == [1.0]
    anew = training.tune(folder, [CORPUS], half, seed=1)
    assert found.adapter.digest == anew.adapter.digest
    assert [each.digest for each in found.kept] == [each.digest for each in anew.kept]
    assert found.losses == anew.losses


@pytest.mark.parametrize(
    "other",
    [
        {"seed": 2},
        {"tuning": dataclasses.replace(QUICK, rate=0.01)},
        {"corpus": dataclasses.replace(CORPUS, labels=("one", "three"))},
        {"corpus": dataclasses.replace(CORPUS, descriptions=("first", ""))},
        {"corpus": dataclasses.replace(CORPUS, y=np.array([0, 0, 1, 1, 1, 1]))},
        {"corpus": dataclasses.replace(CORPUS, sets=np.eye(2, dtype=np.int64)[CORPUS.y])},
        {"corpus": dataclasses.replace(CORPUS, texts=(*TEXTS[:-1], "another"))},
    ],
)
def test_anything_else_is_tuned_anew(folder, tunings, other):
    recent = Recent()
    asked(recent, folder)
    asked(recent, folder, **other)
    assert len(tunings) == 2


def test_what_was_cut_short_is_not_kept_and_its_note_is_told(folder, tunings):
    recent, notes, shares, deadline = Recent(), [], [], Deadline.after(3600)

    def progress(share):
        shares.append(share)
        if len(shares) == 5:
            object.__setattr__(deadline, "at", 0.0)

    cut = asked(recent, folder, watch=Watch(deadline, progress, notes.append))
    assert cut.steps == 5
    assert notes == ["The time was up after 5 of 6 steps."]
    assert asked(recent, folder).steps == 6
    assert len(tunings) == 2


def test_what_a_failed_tuning_said_is_told(folder, monkeypatch):
    def tune(*given, watch, **more):
        watch.note("Memory ran out.")
        raise DeclinedError("Its loss was not finite.")

    monkeypatch.setattr(training, "tune", tune)
    notes = []
    with pytest.raises(DeclinedError, match="not finite"):
        asked(Recent(), folder, watch=Watch(note=notes.append))
    assert notes == ["Memory ran out."]


def test_the_oldest_are_let_go_and_whole_layers_are_never_kept(folder, tunings):
    recent = Recent(most=2)
    for seed in (1, 2, 3, 3, 2, 1):
        asked(recent, folder, seed=seed)
    assert tunings == [1, 2, 3, 1]
    whole = dataclasses.replace(QUICK, whole=True, strength=0.5)
    first, second = (asked(recent, folder, tuning=whole) for _ in range(2))
    assert len(tunings) == 6
    assert all(np.array_equal(first.state[name], second.state[name]) for name in first.state)
