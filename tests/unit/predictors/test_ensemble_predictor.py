import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.entities.errors import CorruptError
from milepost.models.adapters import Adapter
from milepost.predictors.base import Batch
from milepost.predictors.constant import ConstantPredictor
from milepost.predictors.ensemble import (
    EnsemblePredictor,
    TextEnsemblePredictor,
    ensemble_of,
)
from milepost.predictors.linear import LinearPredictor

LABELS = ("a", "b", "c")


def head(seed, adapter=None):
    rng = np.random.default_rng(seed)
    return LinearPredictor(
        labels=LABELS,
        temperature=0.5 + seed,
        weights=rng.normal(size=(3, 4)).astype(np.float32),
        bias=rng.normal(size=3).astype(np.float32),
        adapter=adapter,
    )


def constant(*shares):
    return ConstantPredictor(labels=LABELS, log_prior=np.log(np.array(shares)))


def together(*members, shares=None):
    m = len(members)
    return ensemble_of(members)(
        labels=LABELS,
        members=members,
        names=tuple(f"m{at}" for at in range(m)),
        shares=shares or (1.0 / m,) * m,
    )


def batch(n=5, width=4):
    vectors = np.random.default_rng(9).normal(size=(n, width)).astype(np.float32)
    return Batch(tuple(f"text {i}" for i in range(n)), vectors)


@given(share=st.floats(0.01, 0.99))
def test_it_believes_the_weighted_mean(share):
    members = head(0), constant(0.2, 0.3, 0.5)
    own = [member.predict(batch()).probabilities for member in members]
    found = together(*members, shares=(share, 1 - share)).predict(batch()).probabilities
    assert found == pytest.approx(share * own[0] + (1 - share) * own[1], abs=1e-6)


def test_who_reads_text_alone_needs_no_encoder():
    made = together(constant(0.2, 0.3, 0.5), constant(0.6, 0.3, 0.1))
    assert isinstance(made, TextEnsemblePredictor)
    assert made.predict(Batch(("one",))).probabilities[0] == pytest.approx([0.4, 0.3, 0.3])
    assert made.predict(Batch(())).probabilities.shape == (0, 3)
    assert type(together(head(0), constant(0.2, 0.3, 0.5))) is EnsemblePredictor


def test_members_of_several_spaces_read_their_own_vectors():
    low = np.zeros((1, 4), np.float32), np.zeros((4, 1), np.float32)
    adapter = Adapter("0" * 64, {"0.query": low[0]}, {"0.query": low[1]})
    plain, tuned = head(0), head(1, adapter)
    made = together(plain, tuned)
    assert [space is None for space in made.spaces] == [True, False]
    wide = batch(width=8)
    assert wide.vectors is not None
    own = (
        plain.predict(Batch(wide.texts, wide.vectors[:, :4])).probabilities
        + tuned.predict(Batch(wide.texts, wide.vectors[:, 4:])).probabilities
    )
    assert made.predict(wide).probabilities == pytest.approx(own / 2, abs=1e-6)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"shares": [0.5, 0.6]}, "add up to 1"),
        ({"shares": [1.0, 0.0]}, "add up to 1"),
        ({"shares": [float("nan"), 0.5]}, "add up to 1"),
        ({"shares": [1.0]}, "other numbers"),
        ({"members": []}, "0 members"),
    ],
)
def test_parts_that_do_not_fit_are_refused(change, said):
    made = together(head(0), constant(0.2, 0.3, 0.5))
    with pytest.raises(CorruptError, match=said):
        EnsemblePredictor.from_parts(LABELS, 1.0, made.arrays(), {**made.parameters(), **change})


def test_another_kind_than_its_members_need_is_refused():
    made = together(head(0), constant(0.2, 0.3, 0.5))
    with pytest.raises(CorruptError, match="other inputs"):
        TextEnsemblePredictor.from_parts(LABELS, 1.0, made.arrays(), made.parameters())
