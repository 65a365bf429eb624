import dataclasses
import importlib.util
import itertools

import numpy as np
import pytest

from milepost.models.pairs import PairEncoder
from milepost.predictors.own_encoder import OwnEncoderPredictor
from milepost.predictors.reading import batch_for
from milepost.strategies import tuned_encoder
from milepost.strategies.tuned_encoder import TunedEncoder
from milepost.strategies.tuning import examples
from milepost.strategies.tuning.foreseen import steps_for
from milepost.strategies.tuning.recent import RECENT
from milepost.testing.encoders import HashedEncoder
from milepost.testing.strategies import example_problem
from milepost.testing.tiny import TinyEncoder, write_tiny

QUICK = TunedEncoder(steps=4, batch=8)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return TinyEncoder(write_tiny(tmp_path_factory.mktemp("tiny") / "bert"))


@pytest.fixture
def corpora(monkeypatch):
    """What is tuned on, as it comes."""
    seen = []
    real = examples.Corpus

    def watched(**given):
        seen.append(real(**given))
        return seen[-1]

    monkeypatch.setattr(examples, "Corpus", watched)
    return seen


@pytest.fixture
def problem(tiny):
    return example_problem(tiny)


def test_it_gives_a_head_with_an_adapter_of_its_own_encoder(tiny, problem):
    predictor = QUICK.fit(problem)
    assert predictor.adapter.encoder == tiny.digest
    assert set(predictor.adapter.down) == {"0.query", "0.value", "1.query", "1.value"}
    answers = predictor.logits(batch_for(predictor, problem.texts, tiny)).argmax(axis=1)
    assert (answers == problem.y).mean() > 0.8


def test_tuned_whole_it_carries_the_encoder(tiny, problem):
    predictor = dataclasses.replace(QUICK, whole=True).fit(problem)
    assert isinstance(predictor, OwnEncoderPredictor)
    answers = predictor.logits(batch_for(predictor, problem.texts, tiny)).argmax(axis=1)
    assert (answers == problem.y).mean() > 0.8


@pytest.mark.parametrize("whole", [False, True])
def test_scores_are_drawn_together_by_the_part_of_the_scale(tiny, whole, corpora):
    scores = example_problem(tiny, kind="score")
    predictor = dataclasses.replace(QUICK, whole=whole).fit(scores)
    [corpus] = corpora
    levels = [scores.y[corpus.y == part] for part in range(len(corpus.labels))]
    assert 2 <= len(levels) <= 10
    assert min(map(len, levels)) > 0
    below = [(low.max(), high.min()) for low, high in itertools.pairwise(levels)]
    assert all(low < high for low, high in below)
    assert corpus.with_labels()[0] == scores.texts  # parts of a scale have no names
    assert predictor.link == "identity"
    given = predictor.logits(batch_for(predictor, scores.texts, tiny))[:, 0]
    assert np.corrcoef(given, scores.y)[0, 1] > 0.8


def test_pairs_are_refused_even_where_all_weights_are_tuned(tiny):
    pairs = example_problem(PairEncoder(tiny), kind="score")
    pairs = dataclasses.replace(pairs, weights=tiny.weights)
    for strategy in (QUICK, dataclasses.replace(QUICK, whole=True)):
        assert strategy.supports(pairs) == "It reads one text, and these are pairs."


def test_where_no_adapter_is_better_than_none_there_is_none(problem, monkeypatch):
    seen = []

    def loss(*given):
        seen.append(given[2].adapter)
        return float(len(seen))

    monkeypatch.setattr(tuned_encoder, "_loss", loss)
    predictor = TunedEncoder(steps=4, batch=8, held=0.5, fewest=1).fit(problem)
    assert len(seen) == 4  # none, two on the way, the last
    assert seen[0] is None
    assert predictor.adapter is None


def test_with_labels_to_spare_the_best_state_is_kept(problem, monkeypatch):
    losses = iter((4.0, 1.0, 2.0, 3.0))
    states = []

    def loss(*given):
        states.append(given[2].adapter)
        return next(losses)

    monkeypatch.setattr(tuned_encoder, "_loss", loss)
    predictor = TunedEncoder(steps=4, batch=8, held=0.5, fewest=1).fit(problem)
    assert predictor.adapter.digest == states[1].digest


@pytest.mark.parametrize(
    ("held", "strength", "used"), [(0.0, None, 0.75), (0.5, None, 1.0), (0.5, 0.5, 0.5)]
)
def test_with_few_labels_a_part_of_the_change_is_used(problem, monkeypatch, held, strength, used):
    seen = []
    real = RECENT.tuned

    def tuned(folder, corpus, tuning, **given):
        seen.append(tuning.strength)
        return real(folder, corpus, tuning, **given)

    monkeypatch.setattr(RECENT, "tuned", tuned)
    TunedEncoder(steps=4, batch=8, held=held, fewest=1, strength=strength).fit(problem)
    assert seen == [used]


def test_too_few_to_hold_out_are_all_trained_on(problem, corpora):
    predictor = TunedEncoder(steps=4, batch=8, held=0.5).fit(problem)
    assert [each.texts for each in corpora] == [problem.texts]
    assert predictor.adapter is not None


def test_unlabeled_inputs_are_learned_from(problem, corpora):
    more = tuple(f"{text} now" for text in problem.texts)
    QUICK.fit(dataclasses.replace(problem, unlabeled=more))
    assert corpora[0].texts[: len(problem.texts)] == problem.texts
    assert set(corpora[0].texts) - set(problem.texts) <= set(more)


class Plain:
    """An encoder that takes no adapters."""

    def __init__(self):
        self.inner = HashedEncoder()
        self.name, self.digest, self.variant = "hashed", self.inner.digest, "fp32"
        self.dimensions = self.inner.dimensions

    def encode(self, texts, progress=None):
        return self.inner.encode(texts)


def test_it_says_what_it_lacks(problem, tmp_path, monkeypatch):
    def reason(**changes):
        return QUICK.supports(dataclasses.replace(problem, **changes))

    assert reason() is None
    assert reason(weights=None) == "It needs the weights of the encoder bert."
    other = TinyEncoder(write_tiny(tmp_path / "bert"))
    write_tiny(tmp_path / "bert", model_type="roberta")
    expected = "It tunes encoders of type bert alone; this one is roberta."
    assert reason(weights=other.weights) == expected
    assert reason(encoder=Plain()) == "The encoder hashed runs without adapters."
    few = QUICK.supports(problem.take(np.arange(5)))
    assert few == "It needs 8 examples to tune on, and has 5."
    one = problem.take(np.flatnonzero(problem.y == 0))
    assert "only one label has examples" in str(QUICK.supports(one))
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "peft" else real(name)
    )
    assert reason() == "It needs milepost[train]: pip install 'milepost[train]'."


@pytest.mark.parametrize(
    "wrong",
    [
        {"layers": 0}, {"rank": 0}, {"rate": 0.0}, {"temperature": -1.0}, {"contrast": 2.0},
        {"steps": 0}, {"batch": 1}, {"held": 0.6}, {"fewest": 0}, {"unlabeled": -1},
        {"believed": 1.5}, {"c": 0.0}, {"label_weight": -1.0}, {"cutoff": 1.0},
        {"strength": 0.0},
    ],
)  # fmt: skip
def test_parameters_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match=r"must|range"):
        TunedEncoder(**wrong)


def test_more_steps_and_longer_texts_are_foreseen_to_take_longer(problem):
    short = TunedEncoder(steps=1000).seconds(problem)
    assert 0 < short < TunedEncoder(steps=100_000).seconds(problem)
    longer = dataclasses.replace(problem, texts=tuple(20 * text for text in problem.texts))
    assert TunedEncoder(steps=100_000).seconds(longer) > short


def test_steps_follow_the_number_of_examples():
    assert steps_for(10, 64) == 60
    assert steps_for(1650, 64) == 258
    assert steps_for(10**6, 64) == 1500
