"""Groups of people: rates by hand, gaps, swaps, findings and the checks that the gate reads."""

from dataclasses import replace

import numpy as np
import pytest

from milepost.entities.errors import InputError, UnknownNameError
from milepost.entities.examination import AttributeScore, Examination
from milepost.entities.example import Examples
from milepost.entities.expectations import FairnessRule
from milepost.entities.scorecard import Scorecard
from milepost.entities.task import Objective, Task
from milepost.evaluation.declared import check_declared
from milepost.evaluation.examination.fairness import fairness
from milepost.evaluation.examination.subject import Subject
from milepost.evaluation.identity.checks import checks as checks_of
from milepost.metrics.inference.intervals import proportion
from milepost.releases.gate import decide

LABELS = ("fine", "toxic")


def subject(rows, rule, groups=None, **changes):
    """A candidate by hand: ``rows`` of (text, actual, answer, group)."""
    ids = tuple(map(str, range(len(rows))))
    given = Examples(
        ids=ids, texts=tuple(row[0] for row in rows), labels=tuple(row[1] for row in rows),
        groups=groups or ids, sources=ids, metadata={"faith": tuple(row[3] for row in rows)},
    )  # fmt: skip
    answers = np.array([LABELS.index(row[2]) for row in rows])
    probabilities = np.full((len(rows), 2), 0.2, np.float32)
    probabilities[np.arange(len(rows)), answers] = 0.8
    y = np.array([LABELS.index(row[1]) for row in rows])
    made = Subject(
        task=Task(name="guard", fairness=rule), labels=LABELS, regime="test_file", examples=given,
        y=y, probabilities=probabilities, predict=flags_women, encode=lambda _: probabilities,
        train=given, train_y=y, out_of_fold=probabilities, refit=lambda _: flags_women,
    )  # fmt: skip
    return replace(made, **changes)


def flags_women(texts):
    """A predictor that answers toxic wherever a woman is named."""
    toxic = np.array(["wom" in text.lower() for text in texts], np.float32)
    return np.stack([1 - toxic, toxic], axis=1) * 0.8 + 0.1


def cells(group, hit, missed, false, clear):
    """Rows of a group by outcome."""
    return [
        *[(f"{group} a{i}", "toxic", "toxic", group) for i in range(hit)],
        *[(f"{group} b{i}", "toxic", "fine", group) for i in range(missed)],
        *[(f"{group} c{i}", "fine", "toxic", group) for i in range(false)],
        *[(f"{group} d{i}", "fine", "fine", group) for i in range(clear)],
    ]


ROWS = cells("x", 30, 10, 30, 30) + cells("y", 36, 4, 6, 54) + cells("z", 35, 5, 5, 55)


def score_of(rows, rule, **changes):
    scores, checks, notes = fairness(subject(rows, rule, **changes))
    return scores, checks, notes


def test_the_rates_of_each_group_are_those_by_hand():
    rule = FairnessRule(by=("faith",), label="toxic")
    (score,), checks, _ = score_of(ROWS, rule)
    assert (score.attribute, score.label, checks) == ("faith", "toxic", ())
    x, y, _ = score.groups
    assert (x.name, x.n) == ("x", 100)
    assert x.estimate == proportion(60, 100, 0.95)
    assert x.answered == proportion(60, 100, 0.95)
    assert x.true_positive_rate == proportion(30, 40, 0.95)
    assert x.false_positive_rate == proportion(30, 60, 0.95)
    assert y.true_positive_rate == proportion(36, 40, 0.95)
    assert y.swapped_in is None


def test_the_gaps_are_those_by_hand_with_intervals_around_them():
    (score,), _, _ = score_of(ROWS, FairnessRule(by=("faith",), label="toxic"))
    gaps = {gap.name: gap for gap in score.gaps}
    assert gaps["metric"].value == pytest.approx(0.9 - 0.6)
    assert gaps["demographic_parity"].value == pytest.approx(0.6 - 0.4)
    assert gaps["equal_opportunity"].value == pytest.approx(36 / 40 - 30 / 40)
    assert gaps["equalised_odds"].value == pytest.approx(30 / 60 - 5 / 60)
    assert (gaps["equalised_odds"].highest, gaps["equalised_odds"].lowest) == ("x", "z")
    for gap in gaps.values():
        assert 0.0 <= gap.low <= gap.value <= gap.high <= 1.0
    assert gaps["equalised_odds"].p_value < 0.001
    assert gaps["equal_opportunity"].p_value > 0.05


# Group and overall numbers of Fairlearn 0.15.0's MetricFrame (by_group, difference) and of its
# equalized_odds_difference, computed once on these rows.
PEERS = {
    "w": (0.5454545454545454, 0.48484848484848486, 0.5384615384615384, 0.45),
    "x": (0.6, 0.6, 0.75, 0.5),
    "y": (0.9, 0.42, 0.9, 0.1),
    "z": (0.9, 0.4, 0.875, 0.08333333333333333),
}
PEER_GAPS = {
    "metric": 0.3545454545454546,
    "demographic_parity": 0.19999999999999996,
    "equal_opportunity": 0.3615384615384616,
    "equalised_odds": 0.4166666666666667,
}


def test_rates_and_gaps_are_those_of_fairlearn():
    rows = ROWS + cells("w", 7, 6, 9, 11)
    (score,), _, _ = score_of(rows, FairnessRule(by=("faith",), label="toxic"))
    for group in score.groups:
        rates = (group.estimate, group.answered, group.true_positive_rate,
                 group.false_positive_rate)  # fmt: skip
        assert [rate.value for rate in rates] == pytest.approx(list(PEERS[group.name]))
    assert {gap.name: gap.value for gap in score.gaps} == pytest.approx(PEER_GAPS)


def test_an_over_flagged_group_is_named_with_its_examples_and_what_to_do():
    (score,), _, _ = score_of(ROWS, FairnessRule(by=("faith",), label="toxic"))
    (finding,) = score.findings
    assert (finding.group, finding.rate) == ("x", "false_positive_rate")
    assert finding.inside == proportion(30, 60, 0.95)
    assert finding.rest == proportion(11, 120, 0.95)
    assert finding.gap == pytest.approx(30 / 60 - 11 / 120)
    assert 0.0 < finding.gap_low < finding.gap
    assert "50.0 % of its 60 examples" in finding.sentence
    assert "9.2 % of the rest" in finding.sentence
    assert 'not "toxic"' in finding.advice
    assert {(case.actual, case.answer) for case in finding.cases} == {("fine", "toxic")}


def test_groups_that_are_treated_alike_have_no_finding():
    rows = cells("x", 30, 10, 8, 52) + cells("y", 31, 9, 7, 53)
    (score,), checks, _ = score_of(rows, FairnessRule(by=("faith",), label="toxic", max_gap=0.5))
    assert score.findings == ()
    assert {check.outcome for check in checks} == {"passed"}


def test_rows_of_one_unit_do_not_count_as_many():
    alone = score_of(ROWS, FairnessRule(by=("faith",), label="toxic"))[0][0]
    units = tuple(f"{row[3]}{i // 10}" for i, row in enumerate(ROWS))
    together = score_of(ROWS, FairnessRule(by=("faith",), label="toxic"), groups=units)[0][0]
    wide, narrow = together.groups[0].false_positive_rate, alone.groups[0].false_positive_rate
    assert wide.value == narrow.value
    assert wide.high - wide.low > 1.5 * (narrow.high - narrow.low)


def test_without_a_label_the_metric_and_every_label_have_a_score():
    scores, _, _ = score_of(ROWS, FairnessRule(by=("faith",)))
    assert [score.label for score in scores] == [None, "fine", "toxic"]
    assert [gap.name for gap in scores[0].gaps] == ["metric"]
    assert "metric" not in [gap.name for gap in scores[1].gaps]
    assert scores[1].groups[0].estimate is None


TEXTS = (
    [(f"the woman at table {i} laughs", "fine", "toxic", "w") for i in range(20)]
    + [(f"Men of table {i} laugh", "fine", "fine", "m") for i in range(20)]
    + [(f"table {i} laughs", "fine", "fine", "n") for i in range(20)]
)
GENDER = {"gender": ("woman|women", "man|men")}


def test_swapped_terms_keep_form_and_case_and_their_flips_are_counted():
    rule = FairnessRule(terms=GENDER, label="toxic", max_flips=0.1)
    (score,), (check,), _ = score_of(TEXTS, rule)
    assert score.swaps == 40
    assert score.flips == proportion(40, 40, 0.95)
    changed = {case.changed for case in score.cases}
    assert any(text.startswith("Women of table") for text in changed)
    assert all(case.answer != case.answer_then for case in score.cases)
    woman, man = score.groups
    assert (woman.name, woman.n, man.n) == ("woman", 20, 20)
    # The same forty texts, with one term and with the other.
    assert woman.swapped_in == proportion(40, 40, 0.95)
    assert man.swapped_in == proportion(0, 40, 0.95)
    assert (check.name, check.outcome) == ("fairness gender swaps", "failed")
    assert "1.000" in check.sentence


def test_words_inside_words_are_no_terms_and_swaps_stay_within_their_budget():
    rows = [("mankind is a woman's word", "fine", "fine", "w"), *TEXTS]
    rule = FairnessRule(terms=GENDER, label="toxic")
    (score,), _, notes = score_of(rows, rule, chars=40)
    assert score.groups[0].n == 21
    assert 0 < score.swaps < 20
    assert any("were swapped in" in note for note in notes)
    (nothing,), _, _ = score_of(rows, rule, chars=0)
    assert (nothing.swaps, nothing.flips, nothing.cases) == (0, None, ())


@pytest.mark.parametrize(
    ("limit", "outcome", "verdict"),
    [(0.05, "failed", "rejected"), (0.35, "open", "insufficient_evidence"),
     (0.9, "passed", "released")],
)  # fmt: skip
def test_the_gate_holds_a_release_to_the_largest_gap(limit, outcome, verdict):
    rule = FairnessRule(by=("faith",), label="toxic", max_gap=limit, criteria=("equalised_odds",))
    _, checks, _ = score_of(ROWS, rule)
    assert [check.outcome for check in checks] == [outcome]
    card = Scorecard(
        regime="test_file",
        metric="accuracy",
        metrics={"accuracy": proportion(250, 300, 0.95)},
        examination=Examination(checks=checks),
    )
    decision = decide(Objective(at_least=0.5), card, None, None)
    assert decision.verdict == verdict


def test_what_cannot_be_measured_is_open_and_not_passed():
    rule = FairnessRule(by=("faith",), terms={"age": ("young", "old")}, label="toxic",
                        max_gap=0.1, max_flips=0.1)  # fmt: skip
    _, checks, _ = score_of(cells("x", 3, 3, 3, 3), rule)
    assert {check.outcome for check in checks} == {"open"}
    assert len(checks) == 5


def test_the_smallest_groups_are_left_out_and_that_is_said():
    rows = [row for i in range(65) for row in cells(f"g{i:02d}", 3, 1, 1, 3 + i % 2)]
    (score,), _, notes = score_of(rows, FairnessRule(by=("faith",), label="toxic"))
    assert len(score.groups) == 60
    assert any("5 further values" in note for note in notes)


def test_without_a_rule_there_is_nothing():
    given = subject(ROWS, FairnessRule(by=("faith",)))
    assert fairness(replace(given, task=Task(name="guard"))) == ((), (), ())


@pytest.mark.parametrize(
    ("rule", "error", "said"),
    [
        (FairnessRule(), InputError, "names no groups"),
        (FairnessRule(by=("fiath",)), UnknownNameError, "Did you mean 'faith'"),
        (FairnessRule(by=("faith",), label="toxik"), UnknownNameError, "Did you mean 'toxic'"),
        (FairnessRule(by=("faith",), max_flips=0.1), InputError, "nothing can be swapped"),
        (FairnessRule(by=("faith",), criteria=("metric",)), InputError, "what max_gap limits"),
        (FairnessRule(terms={"age": ("old",)}), InputError, "two terms"),
        (FairnessRule(terms={"age": ("old", "OLD")}), InputError, "'old' is there twice"),
        (FairnessRule(terms={"age": ("old|older", "young")}), InputError, "numbers of forms"),
        (FairnessRule(terms={"age": ("old|", "young|x")}), InputError, "empty"),
        (FairnessRule(by=("faith",), terms={"faith": ("a", "b")}), InputError, "under by"),
    ],
)
def test_groups_that_are_not_there_are_refused_before_anything_is_fitted(rule, error, said):
    given = subject(ROWS, rule)
    with pytest.raises(error, match=said):
        check_declared(given.task, LABELS, given.examples)


def test_a_limit_that_holds_only_as_measured_is_passed_but_not_proven():
    def swaps(n, limit):
        flips = proportion(0, n, 0.95)
        score = AttributeScore(
            attribute="kin", label=None, groups=(), gaps=(), swaps=n, flips=flips
        )
        rule = FairnessRule(terms={"kin": ("son", "daughter")}, max_flips=limit)
        (check,) = checks_of(rule, (score,))
        return check.outcome, check.proven

    assert swaps(3, 0.1) == ("passed", False)
    assert swaps(300, 0.1) == ("passed", True)
    assert swaps(3, 0.9) == ("passed", True)
