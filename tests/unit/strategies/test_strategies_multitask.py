"""A head on jointly tuned vectors: which adapter a fit may use."""

from dataclasses import replace

import numpy as np
import pytest

from milepost.models.adapters import Adapter
from milepost.models.encoder import WrappedEncoder
from milepost.strategies import multitask
from milepost.strategies.multitask import ALONE, Multitask
from milepost.strategy import DeclinedError, Joint
from milepost.testing.encoders import HashedEncoder
from milepost.testing.strategies import example_problem
from milepost.testing.tiny import TinyEncoder, write_tiny

WHOLE = Multitask(strength=1.0, own=0.0)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return TinyEncoder(write_tiny(tmp_path_factory.mktemp("tiny") / "bert"))


def adapter(encoder, seed):
    rng = np.random.default_rng(seed)
    down, up = (rng.normal(0, 0.3, shape).astype(np.float32) for shape in ((32, 2), (2, 32)))
    return Adapter(encoder.digest, {"1.query": down}, {"1.query": up})


@pytest.fixture(scope="module")
def problem(tiny):
    found = example_problem(tiny)
    fold_of = {text: at % 3 for at, text in enumerate(found.texts)}
    adapters = tuple(adapter(tiny, seed) for seed in range(3))
    return replace(found, joint=Joint(("a", "b"), fold_of, adapters, adapter(tiny, 9)))


def digests(predictor):
    return [space.digest for space in predictor.spaces]


def test_half_the_strength_is_half_the_change_of_every_weight(problem):
    [half], [whole] = (Multitask(strength=s, own=0.0).fit(problem).spaces for s in (0.5, 1.0))
    for layer, up in whole.up.items():
        assert np.allclose(half.down[layer] @ half.up[layer], whole.down[layer] @ up / 2)


def test_what_the_rows_alone_make_of_the_encoder_is_added(problem, monkeypatch):
    quick = replace(ALONE, steps=4, batch=8)
    monkeypatch.setattr(multitask, "ALONE", quick)
    inside = problem.take(np.arange(1, len(problem.texts)))  # one row is left out
    [found] = Multitask(strength=0.25, own=0.5).fit(inside).spaces
    alone = quick.adapter(inside)
    joint = inside.joint.adapters[0]  # that of the row's fold
    expected = {layer: 0.5 * alone.down[layer] @ up for layer, up in alone.up.items()}
    expected["1.query"] += 0.25 * joint.down["1.query"] @ joint.up["1.query"]
    assert set(found.down) == set(expected)
    for layer, change in expected.items():
        assert np.allclose(found.down[layer] @ found.up[layer], change, atol=1e-6)


def test_too_few_rows_to_tune_on_take_what_was_tuned_together_alone(problem):
    rows = [*np.flatnonzero(problem.y == 0)[:4], *np.flatnonzero(problem.y == 1)[:3]]
    few = problem.take(np.array(rows))
    joint = replace(problem.joint, fold_of=dict.fromkeys(few.texts, 0))
    few = replace(few, joint=joint, weights=None)
    assert Multitask().supports(few) is None
    [found] = Multitask(strength=1.0).fit(few).spaces
    assert found.digest == joint.whole.digest


def test_without_weights_it_needs_to_be_told_to_tune_nothing_alone(problem):
    bare = replace(problem, weights=None)
    assert Multitask().supports(bare) == "It needs the weights of the encoder bert."
    assert Multitask(own=0.0).supports(bare) is None
    assert Multitask().seconds(problem) > Multitask(own=0.0).seconds(problem)


def test_all_rows_take_the_adapter_of_all(problem):
    predictor = WHOLE.fit(problem)
    assert digests(predictor) == [problem.joint.whole.digest]


def test_a_fold_left_out_takes_the_adapter_that_did_not_see_it(problem):
    fold_of = np.array([problem.joint.fold_of[text] for text in problem.texts])
    for fold in range(3):
        predictor = WHOLE.fit(problem.take(np.flatnonzero(fold_of != fold)))
        assert digests(predictor) == [problem.joint.adapters[fold].digest]


def test_a_single_row_left_out_takes_the_adapter_without_its_fold(problem):
    rows = np.delete(np.arange(len(problem.texts)), 4)
    found = digests(WHOLE.fit(problem.take(rows)))
    assert found == [problem.joint.adapters[1].digest]


def test_rows_of_two_folds_left_out_are_declined(problem):
    rows = np.delete(np.arange(len(problem.texts)), [0, 1])
    with pytest.raises(DeclinedError, match="must not know"):
        WHOLE.fit(problem.take(rows))


def test_alone_it_says_what_to_type(problem):
    reason = Multitask().supports(replace(problem, joint=None))
    assert "milepost improve --together" in reason


def test_an_encoder_that_runs_without_adapters_is_named(problem):
    plain = WrappedEncoder(HashedEncoder())
    reason = Multitask().supports(replace(problem, encoder=plain))
    assert reason.endswith("runs without adapters.")


def test_its_answers_are_those_of_the_tuned_vectors(problem, tiny):
    predictor = WHOLE.fit(problem)
    vectors = tiny.adapted(problem.joint.whole).encode(problem.texts)
    plain = tiny.encode(problem.texts)
    assert np.abs(vectors - plain).max() > 1e-3
    right = (vectors @ predictor.weights.T + predictor.bias).argmax(axis=1) == problem.y
    assert right.mean() > 0.9


@pytest.mark.parametrize(
    "wrong", [{"c": 0}, {"at_once": 0}, {"rate": 0.0}, {"strength": 0.0}, {"own": 1.5}]
)
def test_knobs_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError):  # noqa: PT011 — each knob's room has its own words
        Multitask(**wrong)
