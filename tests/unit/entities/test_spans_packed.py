"""Spans as they are written, checked and packed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.entities.errors import InputError, UnknownNameError
from milepost.entities.kinds import names_in, said_truth, strata, truths, width_of
from milepost.entities.prediction import Spans, linked, stated
from milepost.entities.spans import (
    MOST_SPANS,
    OF_ANSWER,
    OF_TRUTH,
    check_spans,
    packed_row,
    parsed_spans,
    read_spans,
    relabelled,
    unpacked,
    written_spans,
)

LABELS = ("name", "place")


@st.composite
def spans(draw):
    cuts = sorted(draw(st.sets(st.integers(0, 20_000), max_size=20)))
    pairs = zip(cuts[::2], cuts[1::2], strict=False)
    return [(begin, end, draw(st.sampled_from(LABELS))) for begin, end in pairs]


@given(st.lists(spans(), max_size=4))
def test_what_is_packed_comes_back(rows):
    written = [written_spans(row) for row in rows]
    assert [list(read_spans(each)) for each in written] == [sorted(row) for row in rows]
    y = truths("extract", written, LABELS)
    assert y.shape == (len(rows), OF_TRUTH * MOST_SPANS)
    found = [[(b, e, LABELS[at]) for b, e, at in row] for row in unpacked(y, OF_TRUTH)]
    assert found == [sorted(row) for row in rows]


def test_an_answer_holds_the_surest_in_the_order_of_the_text():
    many = [(10 * at, 10 * at + 5, 0, float(at)) for at in range(MOST_SPANS + 3)]
    answers = Spans(LABELS, linked("spans", packed_row(many)[None, :], 2.0))
    (found,) = answers.found
    assert [span[0] for span, _ in found] == [10 * at for at in range(3, MOST_SPANS + 3)]
    assert found[0][1] == pytest.approx(1 / (1 + np.exp(-1.5)))
    assert answers.probabilities.shape == (1, width_of("spans", 2))
    assert answers.confidence[0] == pytest.approx(found[0][1])


def test_what_stands_there_is_told():
    row = packed_row([(0, 3, 0, 0.0), (8, 11, 1, 9.0)])
    (told,) = Spans(LABELS, linked("spans", row[None, :])).in_texts(["Ann met Rio"])
    assert [(each.text, each.label) for each in told] == [("Ann", "name"), ("Rio", "place")]
    nothing = Spans(LABELS, linked("spans", packed_row([])[None, :]))
    assert nothing.answers == ((),)
    # How surely a text holds none nobody says.
    both = Spans(LABELS, linked("spans", np.stack([row, packed_row([])])))
    assert both.confidence[0] == pytest.approx(0.5)
    assert [stated(each) for each in both.confidence.tolist()] == [0.5, None]


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ([(0, 0, "a")], "holds nothing"),
        ([(-1, 2, "a")], "holds nothing"),
        ([(3, 9, "a")], "outside its text of 8"),
        ([(0, 3, "a"), (2, 4, "b")], "overlap"),
        ([(at, at + 1, "a") for at in range(MOST_SPANS + 1)], "at most 64"),
    ],
)
def test_spans_that_cannot_be_are_refused(said, why):
    with pytest.raises(ValueError, match=why):
        check_spans(said, 8)


@pytest.mark.parametrize(
    "said",
    [
        {},
        [1],
        [[0, 1]],
        [[0, 1, " "]],
        [{"start": 0, "end": "1", "label": "a"}],
        [{"start": True, "end": 1, "label": "a"}],
    ],
)
def test_what_is_no_span_is_refused(said):
    with pytest.raises(ValueError, match="spans"):
        parsed_spans(said)


def test_objects_and_triples_are_the_same():
    assert parsed_spans([{"start": 0, "end": 2, "type": "a", "value": "x"}, [3, 4, "b"]]) == [
        (0, 2, "a"),
        (3, 4, "b"),
    ]


def test_feedback_names_spans_of_the_text():
    said = '[{"start": 4, "end": 6, "label": "place"}]'
    assert said_truth("extract", said, LABELS, "far Rio") == '[[4,6,"place"]]'
    with pytest.raises(InputError, match="outside its text of 5"):
        said_truth("extract", said, LABELS, "short")
    with pytest.raises(UnknownNameError, match="plac"):
        said_truth("extract", '[[0, 1, "plac"]]', LABELS)
    with pytest.raises(InputError, match="no JSON"):
        said_truth("extract", "place", LABELS)


def test_unknown_labels_and_parts_of_the_split():
    written = ['[[0,1,"name"],[2,3,"river"]]', '[[0,1,"place"]]', "[]", '[[0,1,"name"]]']
    y = truths("extract", written, LABELS)
    assert y[0, 2] == 0
    assert y[0, 5] == len(LABELS)
    assert names_in("extract", written[0]) == ("name", "river")
    parts = strata("extract", y)
    assert parts[2] not in parts[[0, 1, 3]]
    assert parts[0] != parts[3]


def test_an_answer_with_other_labels():
    row = packed_row([(0, 1, 0, 0.5), (2, 3, 1, 0.5)]).astype(np.float32)
    moved = relabelled(row, LABELS, ("place", "river"))
    assert Spans(("place", "river"), moved[None, :]).answers == (((2, 3, "place"),),)
    assert moved.shape == (OF_ANSWER * MOST_SPANS,)
