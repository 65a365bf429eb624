"""What a scorecard says of spans."""

import numpy as np
import pytest

from milepost.entities.inputs import MARK
from milepost.entities.kinds import VALUE, truths
from milepost.entities.prediction import linked
from milepost.entities.spans import packed_row, written_spans
from milepost.entities.task import Objective
from milepost.evaluation.evidence import Evidence
from milepost.evaluation.measuring import measure_of
from milepost.evaluation.particulars_of_spans import BORDERS, MISSED, UNFOUNDED
from milepost.evaluation.scorecard import build_scorecard

LABELS = ("name", "place", "rare")
TEXT = "Ann Lee met Bob in Rome and Oslo"
WANTED = [(0, 7, "name"), (12, 15, "name"), (19, 23, "place"), (28, 32, "river")]
FOUND = [(0, 3, 0), (8, 11, 1), (12, 15, 0), (19, 23, 0)]


def test_each_way_to_go_wrong_is_told_with_the_place():
    objective = Objective(metric="span_f1")
    rows = np.array([packed_row([(*span, 1.0) for span in FOUND])] * 5)
    card = build_scorecard(
        Evidence(
            labels=LABELS,
            kind="extract",
            objective=objective,
            regime="test_file",
            y=truths("extract", [written_spans(WANTED)] * 5, LABELS),
            probabilities=linked("spans", rows),
            ids=tuple("abcde"),
            texts=(TEXT,) * 5,
            measure=measure_of(objective, LABELS, None, kind="extract"),
        )
    )
    assert set(card.metrics) == {"exact_match", "span_f1", "span_precision", "span_recall"}
    assert card.objective.value == 2 * 5 / 40
    told = {(each.actual, each.predicted): each for each in card.confusions}
    assert set(told) == {
        ("name", f"name {BORDERS}"),
        (UNFOUNDED, "place"),
        ("place", "name"),
        ("(unknown label)", MISSED),
    }
    assert told["place", "name"].examples[0].text == "Ann Lee met Bob in [Rome] and Oslo"
    assert all(each.n == 5 for each in card.confusions)
    # What was not found has no confidence; what was has its own.
    assert told["(unknown label)", MISSED].examples[0].confidence is None
    assert 0.7 < told["place", "name"].examples[0].confidence < 0.8
    by_label = {each.label: each for each in card.labels}
    assert by_label["name"].precision.value == 1 / 3
    assert by_label["name"].recall.value == 1 / 2
    assert (by_label["rare"].n, by_label["rare"].f1) == (0, None)
    assert card.unknown_labels == 5
    assert any("5 of 20 spans carry a label" in note for note in card.notes)


@pytest.mark.parametrize("kind", ["score", "rank"])
def test_a_number_that_is_far_off_is_told_without_a_confidence(kind):
    objective = Objective(metric="mae" if kind == "score" else "ndcg@10")
    y = np.array([1.0, 2.0, 3.0, 4.0]) if kind == "score" else np.array([[1.0, 7], [0.0, 7]] * 2)
    card = build_scorecard(
        Evidence(
            labels=(VALUE,),
            kind=kind,
            objective=objective,
            regime="test_file",
            y=y,
            probabilities=np.array([[0.2], [0.9], [0.2], [0.9]], np.float32),
            ids=tuple("abcd"),
            texts=tuple(f"lamp {MARK} lamp {at}" for at in range(4)),
            measure=measure_of(objective, (VALUE,), None, kind=kind),
        )
    )
    examples = [each for found in card.confusions for each in found.examples]
    assert examples
    assert all(each.confidence is None for each in examples)
