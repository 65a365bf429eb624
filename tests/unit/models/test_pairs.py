"""Vectors of pairs, from an encoder and from a trunk."""

import numpy as np
import pytest

from milepost.entities.errors import EncoderError
from milepost.entities.inputs import Composition, composition
from milepost.models.adapters import Adapter
from milepost.models.likeness import SECOND, count
from milepost.models.pairs import PairEncoder, PairTrunk, reads, unpaired
from milepost.testing.encoders import HashedEncoder
from milepost.testing.trunks import HashedTrunk

HOW = composition(("left", "right"), None, pair=True)
PAIRS = [("Sony TV 40", "sony television 40"), ("Sony TV 40", "Sony TV 42"), ("", "x"), ("a", "")]
TEXTS = [HOW.text({"left": a, "right": b}) for a, b in PAIRS]


class Counting(HashedEncoder):
    """Notes what it is asked."""

    def __init__(self):
        super().__init__()
        self.asked = []

    def encode(self, texts, progress=None):
        self.asked.append(list(texts))
        return super().encode(texts, progress)


def test_each_side_is_encoded_once():
    inner = Counting()
    vectors = PairEncoder(inner).encode(TEXTS)
    assert vectors.shape == (4, 2 * inner.dimensions + 1 + count(2))
    assert inner.asked == [["Sony TV 40", "sony television 40", "Sony TV 42", "", "x", "a"]]
    assert np.isfinite(vectors).all()


def test_a_pair_and_its_mirror_have_the_same_vector():
    encoder = PairEncoder(HashedEncoder())
    mirrored = [HOW.text({"left": b, "right": a}) for a, b in PAIRS]
    assert encoder.encode(mirrored) == pytest.approx(encoder.encode(TEXTS), abs=1e-6)


def test_equal_sides_are_as_near_as_can_be():
    encoder = PairEncoder(HashedEncoder())
    same = encoder.encode([HOW.text({"left": "a b 3", "right": "a b 3"})])[0]
    d = encoder.inner.dimensions
    assert np.abs(same[:d]).max() == 0
    assert same[2 * d] == pytest.approx(1.0, abs=1e-5)
    # Whether just one side says no is the one likeness that is 0 of what is alike.
    assert same[2 * d + 1 :][: len(SECOND)].tolist() == [1.0] * (len(SECOND) - 1) + [0.0]


def test_numbers_tell_apart_what_means_nearly_the_same():
    d = HashedEncoder().dimensions
    numbers = PairEncoder(HashedEncoder()).encode(TEXTS)[:, 2 * d + 1 + 4]
    assert numbers.tolist() == [1.0, 0.0, 0.5, 0.5]


def test_what_reads_is_said_by_the_composition():
    inner = HashedEncoder()
    with pytest.raises(EncoderError, match="version 3"):
        reads(Composition(names=("a", "b"), version=3), inner)
    assert reads(None, inner) is inner
    assert isinstance(reads(HOW, inner), PairEncoder)
    assert reads(composition(("a", "b"), None, pair=False), inner) is inner


@pytest.mark.parametrize("version", [1, 2])
def test_a_trunk_gives_the_vectors_of_the_encoder_and_reads_a_side_once(version):
    inner = HashedTrunk()
    trunk = PairTrunk(inner, version, keep=3)
    wanted = PairEncoder(HashedEncoder(), version).encode(TEXTS)
    first = trunk.forward(trunk.tokenise(TEXTS)).vectors
    assert first == pytest.approx(wanted, abs=1e-6)
    assert sorted(inner.passes[0]) == sorted(
        ["Sony TV 40", "sony television 40", "Sony TV 42", "", "x", "a"]
    )
    again = trunk.tokenise(TEXTS)
    assert trunk.forward(again).vectors == pytest.approx(wanted, abs=1e-6)
    # Three sides were kept; the others are read once more.
    assert len(inner.passes[1]) == 3
    assert len(again[0]) >= 1
    assert unpaired(trunk.digest) == (inner.digest, version)
    assert unpaired(inner.digest) == (inner.digest, None)


def test_what_is_remembered_is_not_read_at_all():
    inner = HashedTrunk()
    trunk = PairTrunk(inner)
    sides = ["Sony TV 40", "sony television 40"]
    trunk.remember(sides, HashedEncoder().encode(sides))
    tokens = trunk.tokenise(TEXTS[:1])
    wanted = PairEncoder(HashedEncoder()).encode(TEXTS[:1])
    assert trunk.forward(tokens).vectors == pytest.approx(wanted, abs=1e-6)
    assert inner.passes == []
    with pytest.raises(ValueError, match="two sides"):
        trunk.forward([[1, 2]])


def test_an_adapter_reads_its_own_vectors_whatever_is_remembered():
    inner = HashedTrunk()
    half = np.ones((1, 2), np.float32)
    adapter = Adapter(inner.digest, {"1.query": half}, {"1.query": half.T})
    trunk = PairTrunk(inner)
    trunk.forward(trunk.tokenise(TEXTS))
    given = trunk.forward(trunk.tokenise(TEXTS[:2]), adapters=[adapter, None]).vectors
    # What is remembered is of the trunk alone: the first pair is read again, the second is not.
    assert inner.passes[1:] == [["Sony TV 40", "sony television 40"]]
    assert given == pytest.approx(PairEncoder(HashedEncoder()).encode(TEXTS[:2]), abs=1e-6)
