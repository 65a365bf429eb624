"""Words and vectors of the same texts, read by one engine in one pass of the trunk."""

import numpy as np
import pytest

from milepost.entities.kinds import truths
from milepost.entities.spans import written_spans
from milepost.models.pairs import PairTrunk
from milepost.predictors.base import Batch
from milepost.predictors.linear import LinearPredictor
from milepost.predictors.reading import batch_for
from milepost.serving.engine.engine import Engine
from milepost.serving.engine.work import Stack, Work
from milepost.strategies.tagging.taggers import Tagger
from milepost.strategy import Problem
from milepost.testing.tiny import TinyEncoder, write_tiny
from milepost.testing.trunks import HashedTrunk, Headed

TEXTS = tuple(f"{a} met {b}" for a in ("ann", "bo", "cy") for b in ("dee", "ed", "fay", "gus"))
LONG = "ann met gus " + "no " * 90 + "ann met gus"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return TinyEncoder(write_tiny(tmp_path_factory.mktemp("tiny") / "bert"))


@pytest.fixture(scope="module")
def tagger(tiny):
    spans = [[(0, text.index(" "), "who")] for text in TEXTS]
    y = truths("extract", [written_spans(each) for each in spans], ("who",))
    return Tagger().fit(Problem(("who",), ("",), "", TEXTS, y, tiny, kind="extract"))


@pytest.fixture(scope="module")
def linear():
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(3, 32)).astype(np.float32)
    return LinearPredictor(labels=("x", "y", "z"), weights=weights, bias=np.zeros(3, np.float32))


class Counted:
    """A trunk that notes the rows of each pass."""

    def __init__(self, inner):
        self.inner = inner
        self.rows = []

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def forward(self, tokens, **more):
        self.rows.append(len(tokens))
        return self.inner.forward(tokens, **more)


@pytest.fixture
def asked(tiny):
    trunk = Counted(tiny._opened.trunk)
    key = (trunk.digest, trunk.variant)
    engine = Engine({key: trunk}, threads=1)
    yield (
        trunk,
        lambda predictors, texts: engine.run_blocking(
            [Work(text, Stack([Headed(each, key) for each in predictors])) for text in texts], 60
        ),
    )
    engine.close()


def test_the_engine_answers_as_the_predictor_does(asked, tagger, tiny):
    texts = [*TEXTS, "", "!", LONG]
    expected = tagger.predict(batch_for(tagger, texts, tiny)).probabilities
    found = np.array([each.probabilities[0] for each in asked[1]([tagger], texts)])
    assert found == pytest.approx(expected, abs=1e-4)


def test_words_and_vector_of_a_text_are_one_row_of_one_pass(asked, tagger, linear, tiny):
    trunk, ask = asked
    (outcome,) = ask([tagger, linear], TEXTS[:1])
    assert trunk.rows == [1]
    words, vector = outcome.probabilities
    assert words == pytest.approx(
        tagger.predict(batch_for(tagger, TEXTS[:1], tiny)).probabilities[0], abs=1e-4
    )
    plain = linear.predict(Batch(TEXTS[:1], tiny.encode(TEXTS[:1]))).probabilities[0]
    assert vector == pytest.approx(plain, abs=1e-5)


def test_a_long_text_is_read_in_windows_and_its_vector_as_ever(asked, tagger, linear, tiny):
    trunk, ask = asked
    (outcome,) = ask([linear, tagger], [LONG])
    assert sum(trunk.rows) > 2
    plain = linear.predict(Batch((LONG,), tiny.encode([LONG]))).probabilities[0]
    assert outcome.probabilities[0] == pytest.approx(plain, abs=1e-5)
    assert outcome.tokens > 64


def test_an_answer_is_kept_and_the_states_are_not(asked, tagger, linear):
    trunk, ask = asked
    ask([tagger], TEXTS[:2])
    (again,) = ask([tagger], TEXTS[:1])
    assert again.cached
    (other,) = ask([linear], TEXTS[:1])
    assert not other.cached
    assert sum(trunk.rows) == 3


def test_pairs_have_no_words():
    with pytest.raises(ValueError, match="pairs have none"):
        PairTrunk(HashedTrunk()).word_tokens(["a"])
