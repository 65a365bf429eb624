import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import brier_score_loss, roc_auc_score, top_k_accuracy_score
from sklearn.metrics import log_loss as sk_log_loss

from milepost.metrics.inference.bounded import Draws
from milepost.metrics.inference.intervals import clopper_pearson, estimate_of
from milepost.metrics.scoring.calibration_error import ece
from milepost.metrics.scoring.curves import auprc, auroc
from milepost.metrics.scoring.label_measures import f1, recall
from milepost.metrics.scoring.mean_measures import brier, hit_rate, log_loss, utility
from milepost.metrics.scoring.measures import Sample, counted, own
from milepost.metrics.scoring.ordinal import kendall, mae

TAILS = np.array([0.05, 0.025, 0.001, 1e-5])
COSTS = np.array([[0.0, 10.0, 1.0], [1.0, 0.0, 1.0], [1.0, 1.0, -2.0]])


def sample(n, k=3, strength=1.5, seed=0):
    rng = np.random.default_rng(seed)
    y = np.concatenate([np.arange(k), rng.integers(0, k, n - k)])
    logits = rng.normal(size=(n, k))
    logits[np.arange(n), y] += strength
    powers = np.exp(logits)
    return Sample(y, (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32))


def right_share(y, answers, probabilities):
    return float((y == answers).mean())


MEASURES = [
    counted("macro_f1"),
    auroc(),
    auprc(),
    log_loss(),
    brier(),
    ece(),
    recall(1, "recall:b"),
    f1(1, "f1:b"),
    mae(np.arange(3.0)),
    kendall(np.arange(3.0)),
    hit_rate(2),
    utility(COSTS),
    own("own", right_share, higher=True),
]


@pytest.mark.parametrize(("n", "right"), [(5, 5), (30, 30), (30, 27), (30, 0), (200, 100)])
def test_on_zeros_and_ones_the_bound_is_that_of_clopper_and_pearson(n, right):
    low, high = Draws.of(np.repeat([1.0, 0.0], [right, n - right]), 0.0, 1.0).bounds(TAILS)
    exact = np.array([clopper_pearson(right, n, tail) for tail in TAILS])
    assert low == pytest.approx(exact[:, 0], abs=0.003)
    assert high == pytest.approx(exact[:, 1], abs=0.003)


def test_the_bound_is_the_quantile_of_randomly_weighted_means():
    rng = np.random.default_rng(0)
    rows = rng.exponential(0.3, 40)
    weights = rng.exponential(size=(100_000, 41))
    drawn = weights @ np.append(rows, 0.0) / weights.sum(axis=1)
    low, _ = Draws.of(rows, 0.0, 16.0).bounds(TAILS[:3])
    assert low == pytest.approx(np.quantile(drawn, TAILS[:3]), abs=0.004)


def test_a_p_value_is_the_tail_whose_bound_is_the_bar():
    draws = Draws.of(np.random.default_rng(1).normal(0.2, 1.0, 80), -5.0, 5.0)
    p = draws.p_above(0.0)
    assert draws.bounds(np.array([p]))[0][0] == pytest.approx(0.0, abs=1e-4)
    assert draws.p_below(0.0) > 0.5
    assert (draws.p_above(-6.0), draws.p_above(9.0)) == (0.0, 1.0)


def test_blocks_of_equal_rows_are_worth_no_more_than_one_row_each():
    rng = np.random.default_rng(2)
    rows = rng.random(30)
    low, high = Draws.of(rows, 0.0, 1.0).bounds(TAILS[:1])
    repeated = Draws.of(rows, 0.0, 1.0, np.full(30, 10.0)).bounds(TAILS[:1])
    # A row not seen weighs a tenth of a block, hence a little less room at the ends.
    assert low <= repeated[0] <= low + 0.04
    assert high - 0.04 <= repeated[1] <= high


def test_values_agree_with_scikit_learn():
    two, three = sample(300, 2), sample(300)
    assert auroc().value(two) == pytest.approx(roc_auc_score(two.y, two.probabilities[:, 1]))
    theirs = roc_auc_score(three.y, three.probabilities, multi_class="ovr", average="macro")
    assert auroc().value(three) == pytest.approx(theirs)
    assert hit_rate(2).value(three) == top_k_accuracy_score(three.y, three.probabilities, k=2)
    exact = three.probabilities.astype(np.float64)
    exact /= exact.sum(axis=1, keepdims=True)
    assert log_loss().value(three) == pytest.approx(sk_log_loss(three.y, exact), abs=1e-5)
    assert brier().value(two) == pytest.approx(
        2.0 * brier_score_loss(two.y, two.probabilities[:, 1]), abs=1e-5
    )
    assert utility(COSTS).value(three) == -COSTS[three.y, three.answers].mean()


def test_auroc_has_the_variance_of_delong():
    found = sample(400, 2)
    read = auroc().read(found)
    positive = found.y == 1
    scores = found.probabilities[:, 1]
    wins = (scores[positive][:, None] > scores[~positive][None, :]).astype(float)
    delong = wins.mean(1).var(ddof=1) / wins.shape[0] + wins.mean(0).var(ddof=1) / wins.shape[1]
    assert read.means.var() / len(read.means) == pytest.approx(delong, rel=0.02)


@pytest.mark.parametrize("measure", MEASURES, ids=lambda each: each.name)
@pytest.mark.parametrize("strength", [0.0, 1.5, 60.0])
@pytest.mark.parametrize("n", [3, 30, 300])
def test_intervals_are_ordered_in_range_and_never_of_width_zero(measure, strength, n):
    found = estimate_of(measure.found(sample(n, strength=strength)), 0.95, 0.999)
    assert measure.low <= found.low <= found.value <= found.high <= measure.high
    assert found.high - found.low > 1e-9
    assert found.at_least <= found.low
    assert found.high <= found.at_most
    assert found.n == n


@pytest.mark.parametrize("measure", MEASURES[1:], ids=lambda each: each.name)
@pytest.mark.parametrize("n", [30, 300])
def test_intervals_of_measures_cover_what_they_say(measure, n):
    """93 % at the least; the margin of four standard errors keeps it from failing by chance."""
    runs = 60
    truth = measure.value(sample(60_000, seed=99))
    covered = 0
    for run in range(runs):
        found = estimate_of(measure.found(sample(n, seed=run)), 0.95)
        covered += found.low <= truth <= found.high
    assert covered / runs >= 0.93 - 4.0 * np.sqrt(0.95 * 0.05 / runs)


@pytest.mark.parametrize("measure", MEASURES[1:], ids=lambda each: each.name)
def test_paired_draws_tell_a_better_predictor_and_are_antisymmetric(measure):
    good = sample(400, strength=2.5)
    shuffled = np.random.default_rng(1).permutation(400)
    bad = Sample(good.y, good.probabilities.copy())
    bad.probabilities[shuffled[:150]] = 1.0 / 3.0
    draws, back = measure.apart(good, bad), measure.apart(bad, good)
    better = draws.p_above(0.0) if measure.higher else draws.p_below(0.0)
    # To know nothing and say so is well calibrated.
    assert better < 1e-3 or measure.name == "ece"
    assert back.mean == pytest.approx(-draws.mean)
    same = measure.apart(good, good)
    assert same.p_above(0.0) > 0.3
    low, high = same.bounds(TAILS[:1])
    assert low[0] < 0.0 < high[0]


def test_the_paired_mean_test_agrees_with_that_of_student_on_many_rows():
    rng = np.random.default_rng(3)
    rows = rng.normal(0.0, 0.5, 3000)
    theirs = stats.ttest_1samp(rows, 0.0, alternative="greater").pvalue
    # The worst row that was not seen, at -4, costs a seventh of a standard error.
    assert theirs < Draws.of(rows, -4.0, 4.0).p_above(0.0) < theirs + 0.06
