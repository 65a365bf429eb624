"""Answers of every kind, case by case."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milepost.entities.difference import Side
from milepost.entities.estimate import Estimate
from milepost.entities.ids import CandidateId, ContestId
from milepost.entities.inputs import MARK
from milepost.entities.kinds import truths, written_grade, written_set
from milepost.entities.spans import packed_row, written_spans
from milepost.entities.task import Objective
from milepost.evaluation.answers import Answers
from milepost.evaluation.changes import changes
from milepost.evaluation.differences import differences, notes_on
from milepost.evaluation.measuring import measure_of
from milepost.metrics.inference.intervals import Sampling

ESTIMATE = Estimate(value=0.5, low=0.4, high=0.6, n=10, method="", at_least=0.4, at_most=0.6)
LABELS = ("a", "b", "c")
METRICS = {"multilabel": "micro_f1", "score": "mae", "extract": "span_f1", "rank": "ndcg@10"}


def side(name):
    return Side(
        name=name,
        candidate=CandidateId(f"c0-{name}"),
        contest=ContestId("c0"),
        release=None,
        strategy=name,
        estimate=ESTIMATE,
        calibration=None,
        confidence=None,
        latency=None,
    )


def answers(kind, written, first, second, texts=None, metric=None, **more):
    labels = LABELS if kind in ("multilabel", "extract") else ("value",)
    return Answers(
        task="t",
        kind=kind,
        measure=measure_of(Objective(metric=metric or METRICS[kind]), labels, None, kind=kind),
        labels=labels,
        ids=tuple(map(str, range(len(written)))),
        texts=tuple(texts or [f"text number {i} of many words" for i in range(len(written))]),
        y=truths(kind, written, labels),
        first=np.asarray(first, np.float32).reshape(len(written), -1),
        second=np.asarray(second, np.float32).reshape(len(written), -1),
        sampling=Sampling(resamples=200),
        **more,
    )


def found(given, most=10):
    return differences(given, (side("old"), side("new")), "examples", most=most)


def sets(rows, **more):
    """Any number of labels: truth and both answers as sets of names."""
    held = [[[0.9 if name in each else 0.1 for name in LABELS] for each in row[1:]] for row in rows]
    return answers("multilabel", [written_set(row[0]) for row in rows],
                   [each[0] for each in held], [each[1] for each in held], **more)  # fmt: skip


def spans(rows, **more):
    """Spans: truth and both answers as triples of begin, end and label."""
    packed = [[packed_row([(b, e, LABELS.index(name), 0.8) for b, e, name in each])
               for each in row[1:]] for row in rows]  # fmt: skip
    return answers("extract", [written_spans(row[0]) for row in rows],
                   [each[0] for each in packed], [each[1] for each in packed], **more)  # fmt: skip


def ranks(queries, **more):
    """Candidates in order: of each query the relevances and both scores."""
    rows = [(f"query {at}", f"candidate {i}", *row)
            for at, query in enumerate(queries) for i, row in enumerate(query)]  # fmt: skip
    return answers(
        "rank",
        [written_grade(relevance, query) for query, _, relevance, _, _ in rows],
        [row[3] for row in rows],
        [row[4] for row in rows],
        texts=[f"{query} {MARK} {candidate}" for query, candidate, *_ in rows],
        **more,
    )


def test_a_set_is_as_good_as_its_f1_and_tells_what_was_won_and_lost():
    given = sets([
        ({"a", "b"}, {"a"}, {"a", "b"}),
        ({"a"}, {"a"}, {"a"}),
        (set(), {"c"}, {"b"}),
        ({"b", "c"}, {"b"}, {"a", "c"}),
    ])  # fmt: skip
    cases = changes(given)
    assert cases.first.tolist() == pytest.approx([2 / 3, 1.0, 0.0, 2 / 3])
    assert cases.second.tolist() == pytest.approx([1.0, 1.0, 0.0, 0.5])
    assert cases.right.tolist() == [False, True, False, False]
    both = found(given)
    assert (both.counts.wins, both.counts.losses, both.counts.both_right) == (1, 1, 1)
    assert both.counts.differently_wrong == 1
    (won,), (lost,), (other,) = both.wins, both.losses, both.differently_wrong
    assert (won.actual, won.first, won.second) == ("a, b", "a", "a, b")
    assert (won.won, won.lost) == (("b",), ())
    assert (lost.won, lost.lost) == (("c",), ("b", "not a"))
    assert (other.actual, other.first_value, other.won) == ("none", 0.0, ("not c",))
    of_b = next(part for part in both.labels if part.name == "b")
    assert (of_b.n, of_b.wins, of_b.losses) == (3, 1, 2)
    assert "it is better on 1 of them and worse on 1" in both.verdict[0]


def test_a_label_that_neither_knows_is_missed_by_both():
    given = sets([({"a", "z"}, {"a"}, {"a"})])
    assert changes(given).first.tolist() == pytest.approx([2 / 3])
    assert notes_on(given) == (
        "1 examples carry a label that neither knows; it counts as missed there.",
    )


def test_a_score_is_as_good_as_it_is_near():
    given = answers("score", ["1", "2", "3"], [1.5, 2.0, 0.0], [1.0, 2.0, 1.0])
    both = found(given)
    assert (both.counts.wins, both.counts.both_right) == (2, 1)
    assert [each.id for each in both.wins] == ["2", "0"]
    assert (both.wins[0].actual, both.wins[0].first, both.wins[0].second) == ("3", "0", "1")
    assert (both.wins[0].first_value, both.wins[0].second_value) == (3.0, 2.0)
    assert both.wins[0].first_confidence is None
    assert both.labels == ()


def test_a_span_is_right_where_borders_and_label_are():
    text = "Ann Lee flew to Rome"
    given = spans(
        [([(0, 7, "a"), (16, 20, "b")], [(0, 3, "a")], [(0, 7, "a"), (16, 20, "c")])], texts=[text]
    )
    both = found(given)
    (won,) = both.wins
    assert won.actual == "Ann Lee (a), Rome (b)"
    assert won.first == "Ann (a)"
    assert won.second == "Ann Lee (a), Rome (c)"
    assert (won.won, won.lost) == (("Ann Lee (a)", "not Ann (a)"), ("not Rome (c)",))
    assert (won.first_value, won.second_value) == (0.0, 0.5)
    parts = {part.name: (part.n, part.wins, part.losses) for part in both.labels}
    assert parts == {"a": (2, 2, 0), "b": (1, 0, 0), "c": (1, 0, 1)}


def test_an_answer_of_many_spans_keeps_whole_ones_and_says_how_many_more():
    many = [(i, i + 1, "a") for i in range(60)]
    given = spans([(many, many, [])], texts=["x" * 60])
    (lost,) = found(given).losses
    assert lost.second == "none"
    assert lost.first.endswith("more")
    assert len(lost.first) < 320
    assert len(lost.lost) == 60


def test_an_order_is_told_by_the_places_of_what_is_relevant():
    given = ranks([
        [(0, 0.9, 0.1), (1, 0.5, 0.8), (0, 0.1, 0.2)],
        [(3, 0.9, 0.2), (1, 0.5, 0.5), (0, 0.1, 0.1)],
        [(0, 0.9, 0.2), (0, 0.5, 0.5)],
    ])  # fmt: skip
    both = found(given)
    assert (both.counts.n, both.counts.wins, both.counts.losses) == (2, 1, 1)
    (won,), (lost,) = both.wins, both.losses
    assert (won.text, won.actual) == ("query 0", "candidate 1")
    assert won.first == "place 2 of 3; first: candidate 0"
    assert won.second == "place 1 of 3"
    assert lost.actual == "candidate 0, and 1 more"
    assert lost.first == "places 1 (grade 3), 2 (grade 1) of 3"
    assert lost.second == "places 1 (grade 1), 2 (grade 3) of 3"
    assert won.id == "1"
    assert both.comparison.n == 2
    assert "2 queries" in both.verdict[0]


def test_equal_scores_stand_in_no_order():
    given = ranks([[(0, 0.5, 0.1), (1, 0.5, 0.8), (0, 0.5, 0.2)]])
    (won,) = found(given).wins
    assert won.first == "places 1–3 of 3"
    assert won.second == "place 1 of 3"


def test_two_best_orders_are_the_same_whatever_follows():
    both = found(ranks([[(1, 0.9, 0.8), (0, 0.5, 0.1), (0, 0.1, 0.5)]]))
    assert both.told == "same"
    assert both.counts.both_right == 1
    assert both.wins == both.losses == both.differently_wrong == ()


def test_no_query_with_a_relevant_candidate_tells_nothing():
    given = ranks([[(0, 0.9, 0.8), (0, 0.5, 0.9)]])
    assert notes_on(given) == ("Left out: 1 query without a relevant candidate.",)
    with pytest.raises(ValueError, match="relevant candidate"):
        found(given)


def test_a_slice_is_measured_as_the_whole_and_less_may_be_better():
    truth = [str(i % 5) for i in range(80)]
    y = np.array([i % 5 for i in range(80)], np.float64)
    near = np.where(np.arange(80) < 40, 0.1, 2.0)
    given = answers(
        "score", truth, y + 1.0, y + near,
        masks={"early": np.arange(80) < 40, "none": np.zeros(80, np.bool_)},
        predicates={"early": "at < 40", "none": "false"},
    )  # fmt: skip
    both = found(given)
    (early,) = both.slices
    assert (early.n, early.wins, early.losses) == (40, 40, 0)
    assert (early.first, early.second) == pytest.approx((1.0, 0.1), abs=1e-6)
    assert early.p_value < 0.05
    assert early.low <= early.second - early.first <= early.high < 0
    assert "better on `early`" in both.verdict[-1]


def test_equal_answers_are_the_same_whatever_the_kind():
    for equal in (
        sets([({"a"}, {"b"}, {"b"})] * 3),
        spans([([(0, 4, "a")], [(5, 9, "b")], [(5, 9, "b")])] * 3),
        answers("score", ["1", "2"], [1.5, 2.5], [1.5, 2.5]),
        ranks([[(1, 0.2, 0.2), (0, 0.5, 0.5)]] * 3),
    ):
        both = found(equal)
        assert both.told == "same"
        assert both.p_value == 1.0
        assert both.wins == both.losses == both.differently_wrong == ()
        assert not any(both.gains)


def test_probabilities_that_differ_may_be_told_apart_where_they_are_what_counts():
    truth = [written_set({"a"})] * 30
    sure, unsure = [[0.9, 0.1, 0.1]] * 30, [[0.6, 0.4, 0.4]] * 30
    both = found(answers("multilabel", truth, unsure, sure, metric="log_loss"))
    assert both.counts.agreement == 1.0
    assert both.told != "same"
    assert both.comparison.difference == pytest.approx(np.log(0.6 / 0.9), abs=1e-5)


SET = st.sets(st.sampled_from(LABELS))
SPAN = st.lists(st.tuples(st.sampled_from([0, 5, 12]), st.sampled_from(LABELS)),
                unique_by=lambda each: each[0]).map(
    lambda found: [(begin, begin + 4, name) for begin, name in found])  # fmt: skip
HALF = st.integers(0, 6).map(lambda each: each / 2)
CANDIDATE = st.tuples(st.integers(0, 2), st.integers(0, 3), st.integers(0, 3))
ROWS = st.one_of(
    st.lists(st.tuples(SET, SET, SET), min_size=1, max_size=12).map(lambda rows: (sets, rows)),
    st.lists(st.tuples(SPAN, SPAN, SPAN), min_size=1, max_size=12).map(lambda rows: (spans, rows)),
    st.lists(st.lists(CANDIDATE, min_size=1, max_size=5), min_size=1, max_size=8).map(
        lambda rows: (ranks, [[(1, 2, 1), *rows[0]], *rows[1:]])
    ),
    st.lists(st.tuples(HALF, HALF, HALF), min_size=1, max_size=12).map(lambda rows: (scores, rows)),
)


def scores(rows, **more):
    truth, first, second = zip(*rows, strict=True)
    return answers("score", [str(each) for each in truth], first, second, **more)


@settings(max_examples=30)
@given(ROWS)
def test_swapped_they_say_the_opposite(drawn):
    make, rows = drawn
    one = make(rows)
    masks = {"early": np.arange(len(one.y)) < (len(one.y) + 1) // 2}
    swapped = [[(*each[:-2], each[-1], each[-2]) for each in row] for row in rows] \
        if make is ranks else [(row[0], row[2], row[1]) for row in rows]  # fmt: skip
    first, second = (found(make(each, masks=masks)) for each in (rows, swapped))
    counts, other = first.counts, second.counts
    assert counts.n == (counts.both_right + counts.wins + counts.losses + counts.same_wrong
                        + counts.differently_wrong)  # fmt: skip
    assert (counts.wins, counts.losses, counts.same_wrong, counts.both_right) == (
        other.losses, other.wins, other.same_wrong, other.both_right
    )  # fmt: skip
    assert first.comparison.difference == pytest.approx(-second.comparison.difference, abs=1e-9)
    assert first.comparison.low == pytest.approx(-second.comparison.high, abs=1e-6)
    assert first.p_value == pytest.approx(second.p_value, abs=1e-6)
    turned = {"better": "worse", "worse": "better"}
    assert second.told == turned.get(first.told, first.told)
    assert first.gains == pytest.approx([-gain for gain in reversed(second.gains)])
    for parts, mirrored in ((first.labels, second.labels), (first.slices, second.slices)):
        of = {part.name: part for part in mirrored}
        for part in parts:
            mirror = of[part.name]
            assert (part.n, part.wins, part.losses) == (mirror.n, mirror.losses, mirror.wins)
            assert (part.first, part.second) == pytest.approx((mirror.second, mirror.first))
            assert part.p_value == pytest.approx(mirror.p_value, abs=1e-6)
    lost = {each.id: each for each in second.losses}
    for each in first.wins:
        mirror = lost[each.id]
        assert (each.first, each.second, each.won) == (mirror.second, mirror.first, mirror.lost)
        assert (each.first_value, each.second_value) == (mirror.second_value, mirror.first_value)
