"""Measures of spans, held against counting by hand and against leaving documents out."""

import numpy as np
import pytest

from milepost.entities.kinds import truths
from milepost.entities.prediction import linked
from milepost.entities.spans import packed_row, written_spans
from milepost.metrics.inference.intervals import estimate_of
from milepost.metrics.scoring import span_measures
from milepost.metrics.scoring.links import counts_of, fit_scale, judged_spans, loss_rows
from milepost.metrics.scoring.measures import Sample

LABELS = ("a", "b")
MEASURES = (
    span_measures.exact_match,
    span_measures.span_f1,
    span_measures.span_precision,
    span_measures.span_recall,
)


def sample(wanted, found, odds=0.0):
    y = truths("extract", [written_spans(spans) for spans in wanted], LABELS)
    rows = [packed_row([(b, e, LABELS.index(name), odds) for b, e, name in row]) for row in found]
    return Sample(y, linked("spans", np.array(rows)))


def drawn(n=120, seed=0):
    rng = np.random.default_rng(seed)
    wanted, found = [], []
    for _ in range(n):
        places = [10 * at for at in range(rng.integers(0, 6))]
        spans = [(at, at + 3, str(rng.choice(LABELS))) for at in places]
        wanted.append(spans)
        found.append(
            [(b, e + int(rng.random() < 0.2), label) for b, e, label in spans if rng.random() < 0.7]
        )
    return sample(wanted, found)


def test_borders_and_label_must_be_right():
    found = [[(0, 3, "a")], [(0, 4, "a")], [(0, 3, "b")], [(9, 12, "a")], [], []]
    wanted = [[(0, 3, "a")]] * 4 + [[(0, 3, "a")], []]
    both = sample(wanted, found)
    right, actual, given = counts_of(both.y, both.probabilities)
    assert right.tolist() == [1, 0, 0, 0, 0, 0]
    assert actual.tolist() == [1, 1, 1, 1, 1, 0]
    assert given.tolist() == [1, 1, 1, 1, 0, 0]
    assert span_measures.span_f1().value(both) == pytest.approx(2 / 9)
    assert span_measures.span_precision().value(both) == pytest.approx(1 / 4)
    assert span_measures.span_recall().value(both) == pytest.approx(1 / 5)
    assert span_measures.exact_match().value(both) == pytest.approx(2 / 6)
    assert loss_rows("spans", both.y, both.probabilities).tolist() == [0, 2, 2, 2, 1, 0]


def test_a_label_that_is_not_known_counts_as_missed():
    both = sample([[(0, 3, "other")]], [[(0, 3, "a")]])
    assert span_measures.span_recall().value(both) == 0.0


@pytest.mark.parametrize("make", MEASURES)
def test_what_each_document_says_is_what_leaving_it_out_changes(make):
    both, measure = drawn(), make()
    reading, n = measure.reading(both), len(both.y)
    left = np.array([measure.value(both.take(np.arange(n) != row)) for row in range(n)])
    pseudo = reading.value + (n - 1) * (reading.value - left)
    assert np.corrcoef(pseudo, reading.means)[0, 1] > 0.99
    assert reading.means.mean() == pytest.approx(reading.value)


@pytest.mark.parametrize("make", MEASURES)
def test_intervals_hold_the_value_and_count_documents(make):
    both = drawn()
    found = estimate_of(make().found(both), 0.95)
    assert found.low < found.value < found.high
    assert found.n == len(both.y)
    half = estimate_of(make().found(both.take(np.arange(30))), 0.95)
    assert half.high - half.low > found.high - found.low


@pytest.mark.parametrize("make", MEASURES)
def test_nothing_wanted_and_nothing_found(make):
    nothing = sample([[], []], [[], []])
    found = estimate_of(make().found(nothing), 0.95)
    assert 0.0 <= found.low <= found.value <= found.high <= 1.0


def test_spans_that_are_too_sure_are_tempered():
    found = [[(0, 3, "a")]] * 10
    wanted = [[(0, 3, "a")]] * 6 + [[]] * 4
    y = sample(wanted, found).y
    numbers = np.array([packed_row([(0, 3, 0, 6.0)])] * 10)
    temperature = fit_scale("spans", numbers, y)
    right, likely = judged_spans(y, linked("spans", numbers, temperature))
    assert right.sum() == 6
    assert likely == pytest.approx(np.full(10, 0.6), abs=0.01)
    assert fit_scale("spans", numbers[:2], y[:2]) == 1.0
