import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.strategies.problems import FRAMES, framed
from milepost.strategies.tuning.records import Corpus, Tuned, Tuning
from milepost.strategies.tuning.splitting import held_out


def test_names_and_descriptions_are_further_examples_of_their_labels():
    corpus = Corpus(
        name="route",
        labels=("card lost", "refund"),
        descriptions=("", "wants money back"),
        texts=("my card", "money please", "card!"),
        y=np.array([0, 1, 0]),
    )
    texts, y = corpus.with_labels()
    named = (*framed("card lost"), *framed("refund"))
    assert texts == ("my card", "money please", "card!", *named, "wants money back")
    assert y.tolist() == [0, 1, 0, *[0] * len(FRAMES), *[1] * len(FRAMES), 1]


@pytest.mark.parametrize(
    "wrong",
    [
        {"y": np.array([0])},
        {"descriptions": ("only one",)},
        {"weight": 0.0},
        {"weight": float("nan")},
    ],
)
def test_a_corpus_whose_sizes_do_not_fit_is_refused(wrong):
    right = {"name": "t", "labels": ("a", "b"), "texts": ("x", "y"), "y": np.array([0, 1])}
    with pytest.raises(ValueError, match="must be"):
        Corpus(**{**right, **wrong})


@pytest.mark.parametrize(
    "wrong",
    [
        {"layers": 0}, {"rank": 0}, {"steps": 0}, {"batch": 1}, {"rate": 0.0}, {"decay": -1.0},
        {"temperature": 0.0}, {"contrast": 1.1}, {"parts": ()}, {"parts": ("gate",)},
        {"keep": (1.0,)}, {"max_tokens": 1}, {"cutoff": 1.0}, {"strength": 0.0}, {"strength": 1.5},
    ],
)  # fmt: skip
def test_a_tuning_out_of_range_is_refused(wrong):
    with pytest.raises(ValueError, match=r"must|range"):
        Tuning(**wrong)


def test_weights_of_a_whole_tuning_are_no_adapter():
    with pytest.raises(TypeError, match="no adapter"):
        _ = Tuned(state={"w": np.ones(2, np.float32)}).adapter


@given(
    rows=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9)), min_size=1, max_size=60),
    share=st.floats(0, 0.5),
    seed=st.integers(0, 99),
)
def test_what_is_held_out_is_a_share_of_each_label_and_no_text_stands_on_both_sides(
    rows, share, seed
):
    y = np.array([label for label, _ in rows])
    texts = [
        f"Text {number} of {label}" + " " * (at % 2) for at, (label, number) in enumerate(rows)
    ]
    inside, outside = held_out(texts, y, share, seed)
    assert sorted([*inside, *outside]) == list(range(len(rows)))
    plain = [text.strip() for text in texts]
    assert not {plain[row] for row in inside} & {plain[row] for row in outside}
    for label in set(y.tolist()):
        distinct = {plain[row] for row in np.flatnonzero(y == label)}
        out = {plain[row] for row in outside if y[row] == label}
        assert len(out) == int(share * len(distinct))
    again = held_out(texts, y, share, seed)
    assert np.array_equal(again[0], inside)
    assert np.array_equal(again[1], outside)
