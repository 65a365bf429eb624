import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.data.snapshot import read_snapshot, snapshot_digest, write_snapshot
from milepost.entities.errors import CorruptError, DataError
from milepost.entities.example import Examples

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
value = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), text)
column_of = st.sampled_from(
    [st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False), text, value]
)


@st.composite
def some_examples(draw):
    n = draw(st.integers(0, 6))

    def column(cell):
        return tuple(draw(st.lists(cell, min_size=n, max_size=n)))

    names = draw(st.lists(text, max_size=4, unique=True))
    return Examples(
        ids=column(text),
        texts=column(text),
        labels=column(st.none() | text),
        groups=column(text),
        sources=column(text),
        metadata={name: column(st.none() | draw(column_of)) for name in names},
    )


def typed(examples):
    columns = (examples.ids, examples.texts, examples.labels, examples.groups, examples.sources)
    return columns, {k: [(type(v), repr(v)) for v in c] for k, c in examples.metadata.items()}


@given(some_examples())
def test_a_snapshot_gives_back_what_was_stored(examples):
    stored = write_snapshot(examples)
    again = read_snapshot(stored)
    assert typed(again) == typed(examples)
    assert snapshot_digest(again) == snapshot_digest(examples)
    assert write_snapshot(again) == stored


def simple(**changes):
    columns = {
        "ids": ("1", "2"),
        "texts": ("a", "b"),
        "labels": ("x", None),
        "groups": ("g", "h"),
        "sources": ("f:1", "f:2"),
        "metadata": {"m": (1, None), "k": ("v", "w")},
    }
    return Examples(**{**columns, **changes})


def test_the_digest_is_pinned():
    assert snapshot_digest(simple()) == (
        "8378a3f94190c9095d5db23c4c6032f8f5052b9f42b7f3a459236726056311ba"
    )


def test_the_digest_sees_content_and_order_but_not_origin():
    digest = snapshot_digest(simple())
    assert snapshot_digest(simple(groups=("q", "q"), sources=("z:1", "z:2"))) == digest
    assert snapshot_digest(simple(metadata={"k": ("v", "w"), "m": (1, None)})) == digest
    for changed in (
        simple(ids=("1", "3")),
        simple(texts=("a", "c")),
        simple(labels=("x", "None")),
        simple(metadata={"m": (1.0, None), "k": ("v", "w")}),
        simple(metadata={"m": (1, 0), "k": ("v", "w")}),
        simple().take([1, 0]),
    ):
        assert snapshot_digest(changed) != digest


def test_what_cannot_be_stored_is_refused():
    bad = simple(texts=("a", "\ud800"))
    with pytest.raises(DataError, match="lone surrogate"):
        write_snapshot(bad)
    with pytest.raises(DataError, match="lone surrogate"):
        snapshot_digest(bad)
    with pytest.raises(DataError, match="'m' holds list"):
        write_snapshot(simple(metadata={"m": ([1], None)}))


def test_bytes_that_are_no_snapshot_are_corrupt():
    stored = write_snapshot(simple())
    for data in (b"", b"PAR1", stored[:-20], stored[20:]):
        with pytest.raises(CorruptError):
            read_snapshot(data)
