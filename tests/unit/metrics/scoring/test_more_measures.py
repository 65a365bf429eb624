import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import (
    average_precision_score,
    f1_score,
    mean_absolute_error,
    precision_score,
    recall_score,
)

from milepost.entities.estimate import UNDEFINED
from milepost.metrics.inference.intervals import clopper_pearson, estimate_of
from milepost.metrics.scoring.calibration_error import ece, folded_mean
from milepost.metrics.scoring.curves import auprc, auroc
from milepost.metrics.scoring.label_measures import f1, f1_share, precision, recall
from milepost.metrics.scoring.mean_measures import brier, hit_rate, log_loss
from milepost.metrics.scoring.measures import Sample, counted, design_effect, own
from milepost.metrics.scoring.ordinal import kendall, mae, spearman
from milepost.metrics.scoring.spans import span_counts, span_f1

STARS = np.array([1.0, 2.0, 5.0])


def sample(n, k=3, strength=1.5, seed=0, digits=2):
    rng = np.random.default_rng(seed)
    y = np.concatenate([np.arange(k), rng.integers(0, k, n - k)])
    logits = rng.normal(size=(n, k))
    logits[np.arange(n), y] += strength
    powers = np.exp(logits)
    probabilities = powers / powers.sum(axis=1, keepdims=True)
    return Sample(y, np.round(probabilities, digits).astype(np.float32))


def right_share(y, answers, probabilities):
    return float((y == answers).mean())


def test_values_agree_with_other_libraries():
    found = sample(200)
    y, answers = found.y, found.answers
    ours = auprc().value(found)
    theirs = average_precision_score(np.eye(3)[y], found.probabilities)
    assert ours == pytest.approx(theirs)
    for name, theirs in ((precision, precision_score), (recall, recall_score), (f1, f1_score)):
        assert name(2, "x").value(found) == pytest.approx(theirs(y, answers, average=None)[2])
    assert mae(STARS).value(found) == mean_absolute_error(STARS[y], STARS[answers])
    assert spearman(STARS).value(found) == pytest.approx(stats.spearmanr(y, answers)[0])
    assert kendall(STARS).value(found) == pytest.approx(stats.kendalltau(y, answers)[0])


def left_out(measure, found):
    n, whole = len(found.y), measure.value(found)
    left = [measure.value(found.take(np.arange(n) != row)) for row in range(n)]
    return whole + (n - 1) * (whole - np.array(left))


@pytest.mark.parametrize("measure", [auprc(), counted("macro_f1"), counted("mcc")])
def test_what_a_row_says_is_the_exact_jackknife(measure):
    found = sample(90)
    assert measure.reading(found).means == pytest.approx(left_out(measure, found), abs=1e-9)


@pytest.mark.parametrize(
    "measure", [auroc(), spearman(STARS), kendall(STARS), f1(1, "f"), recall(1, "r")]
)
def test_what_a_row_says_is_the_jackknife_to_first_order(measure):
    found = sample(150)
    means, exact = measure.reading(found).means, left_out(measure, found)
    assert np.corrcoef(means, exact)[0, 1] > 0.999
    assert means.mean() == pytest.approx(measure.value(found), abs=1e-9)
    assert means.std() == pytest.approx(exact.std(), rel=0.05)


@pytest.mark.parametrize("n", [5, 30])
@pytest.mark.parametrize("share", [0.05, 0.3, 0.5, 0.8, 0.97])
def test_bounds_of_one_labels_f1_are_exact(n, share):
    """No simulation: the sum over all possible numbers of right rows."""
    truth = 2.0 * share / (1.0 + share)
    covered = 0.0
    for right in range(n + 1):
        low, high = f1_share(right, n, 100).bounds(0.025)
        covered += stats.binom.pmf(right, n, share) * (low <= truth <= high)
    assert covered >= 0.95


def test_a_label_without_rows_has_bounds_as_wide_as_can_be():
    found = Sample(np.array([0, 0, 1]), np.eye(3, dtype=np.float32)[[0, 1, 1]])
    for measure in (precision(2, "p"), recall(2, "r"), f1(2, "f")):
        assert measure.found(found).bounds(0.025) == pytest.approx((0.0, 1.0), abs=1e-6)
        assert estimate_of(measure.found(found), 0.95).method == UNDEFINED
    for measure in (precision(1, "p"), recall(0, "r"), f1(0, "f")):
        assert estimate_of(measure.found(found), 0.95).method != UNDEFINED


def calibrated(n, seed):
    rng = np.random.default_rng(seed)
    stated = rng.uniform(0.5, 1.0, n)
    y = (rng.random(n) > stated).astype(np.int64)
    return Sample(y, np.stack([stated, 1.0 - stated], axis=1).astype(np.float32))


def test_the_calibration_error_is_corrected_for_its_bias():
    values, plain = [], []
    for seed in range(60):
        found = calibrated(300, seed)
        read = ece().read(found)
        values.append(read.value)
        plain.append(read.centre)
        low, high = ece().found(found).bounds(0.025)
        assert low == 0.0 < high
    assert np.mean(values) < 0.6 * np.mean(plain)
    off = calibrated(5000, 0)
    wrong = Sample(off.y, np.clip(off.probabilities + np.array([0.1, -0.1]), 0, 1))
    low, high = ece().found(wrong).bounds(0.025)
    assert 0.05 < low < ece().value(wrong) < high < 0.13


def test_the_mean_size_of_a_normal_variable():
    drawn = np.abs(np.random.default_rng(0).normal(0.3, 0.5, 400_000)).mean()
    assert folded_mean(np.array([0.3]), np.array([0.5]))[0] == pytest.approx(drawn, abs=0.004)


EVERY = [
    counted("accuracy"),
    counted("macro_f1"),
    auroc(),
    auprc(),
    log_loss(),
    brier(),
    ece(),
    hit_rate(2),
    f1(1, "f1:b"),
    kendall(STARS),
    own("own", right_share, higher=True),
]


@pytest.mark.parametrize("measure", EVERY, ids=lambda each: each.name)
def test_rows_that_repeat_count_once(measure):
    found = sample(60)
    rows = np.repeat(np.arange(60), 5)
    repeated = found.take(rows)
    known = Sample(repeated.y, repeated.probabilities, rows)
    once, blind, honest = (measure.found(each) for each in (found, repeated, known))
    width = {each: np.ptp(each.bounds(0.025)) for each in (once, blind, honest)}
    assert width[honest] > 1.5 * width[blind]
    # Two of them are corrected for a bias that is smaller, or has more bins, with more rows.
    least = {"ece": 0.5, "auprc": 0.8}.get(measure.name, 0.9)
    assert width[honest] > least * width[once]
    if measure.name != "ece":
        assert honest.value == blind.value


def test_units_of_rows_that_differ_cost_little():
    means = np.random.default_rng(0).random(400)
    assert design_effect(means, None) == 1.0
    assert design_effect(means, np.arange(400)) == 1.0
    assert design_effect(means, np.arange(400) // 2) < 1.4
    assert design_effect(np.repeat(means, 4), np.repeat(np.arange(400), 4)) == pytest.approx(
        4, 0.01
    )
    assert design_effect(np.ones(400), np.arange(400) // 4) == pytest.approx(4.0, rel=0.02)
    assert design_effect(means, np.zeros(400, np.int64)) == 400.0


def test_a_paired_difference_of_repeated_rows_is_no_surer():
    good, bad = sample(80, strength=2.0), sample(80, strength=1.0)
    rows = np.repeat(np.arange(80), 6)
    units = np.repeat(np.arange(80), 6)

    def p_value(again):
        both = [Sample(each.y[rows], each.probabilities[rows], again) for each in (good, bad)]
        return counted("macro_f1").apart(*both).p_above(0.0)

    once = counted("macro_f1").apart(good, bad).p_above(0.0)
    assert p_value(None) < once
    assert p_value(units) == pytest.approx(once, rel=0.2)


def test_spans_are_right_as_a_whole_and_documents_are_what_was_drawn():
    wanted = [{(0, 2, "city"), (5, 6, "day")}, set(), {(1, 3, "city")}]
    found = [{(0, 2, "city"), (5, 7, "day")}, {(0, 1, "day")}, {(1, 3, "city")}]
    counts = span_counts(wanted, found)
    assert counts.tolist() == [[1, 3], [0, 1], [1, 1]]
    assert span_f1(counts).value == pytest.approx(2 * 2 / (3 + 4))
    assert span_f1(np.zeros((3, 2), np.int64)).bounds(0.025) == pytest.approx((0, 1), abs=1e-6)
    # Documents that are all right or all wrong are worth one span each.
    rng = np.random.default_rng(0)
    right = rng.random(60) < 0.7
    whole = span_f1(np.stack([right * 10, np.full(60, 10)], axis=1))
    share = right.mean()
    low, high = clopper_pearson(share * 60, 60, 0.025)
    assert whole.bounds(0.025) == pytest.approx(
        (2 * low / (1 + low), 2 * high / (1 + high)), abs=0.01
    )
    with pytest.raises(ValueError, match="zip"):
        span_counts(wanted, found[:1])
