import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from milepost.metrics.inference.jackknife import leave_one_out
from milepost.metrics.scoring.classification import METRICS, brier_rows, log_loss_rows, score
from milepost.metrics.scoring.confusion import Cells

SKLEARN = {
    "accuracy": sk.accuracy_score,
    "balanced_accuracy": lambda y, p: sk.recall_score(
        y, p, average="macro", labels=np.unique(y), zero_division=0
    ),
    "macro_f1": lambda y, p: sk.f1_score(y, p, average="macro", zero_division=0),
    "weighted_f1": lambda y, p: sk.f1_score(y, p, average="weighted", zero_division=0),
    "mcc": sk.matthews_corrcoef,
    "micro_f1": lambda y, p: sk.f1_score(y, p, average="micro", zero_division=0),
}


@st.composite
def answers(draw, lowest=0, silent=0):
    k = draw(st.integers(1, 5))
    n = draw(st.integers(1, 25))
    y = draw(st.lists(st.integers(lowest, k - 1), min_size=n, max_size=n))
    p = draw(st.lists(st.integers(silent, k - 1), min_size=n, max_size=n))
    return np.array(y), np.array(p), k


@pytest.mark.filterwarnings("ignore:A single label was found")
@pytest.mark.parametrize("metric", list(METRICS))
@given(case=answers())
@settings(max_examples=60)
def test_metrics_agree_with_scikit_learn(metric, case):
    y, p, k = case
    assert score(metric, y, p, k) == pytest.approx(SKLEARN[metric](y, p), abs=1e-12)


@pytest.mark.parametrize("metric", list(METRICS))
@given(case=answers(lowest=-1, silent=-1))
@settings(max_examples=60)
def test_jackknife_equals_leaving_each_row_out(metric, case):
    y, p, k = case
    if len(y) < 2:
        return
    cells = Cells.of(y, p, k)
    quick = leave_one_out(metric, cells)
    for cell in range(len(cells.counts)):
        row = int(np.flatnonzero((y == cells.y[cell]) & (p == cells.answers[0, cell]))[0])
        left = np.delete(np.arange(len(y)), row)
        assert quick[cell] == pytest.approx(score(metric, y[left], p[left], k), abs=1e-12)


@pytest.mark.parametrize("metric", list(METRICS))
@given(case=answers(lowest=-1))
@settings(max_examples=60)
def test_metrics_stay_in_range_and_an_unknown_label_never_helps(metric, case):
    y, p, k = case
    found = score(metric, y, p, k)
    assert -1.0 <= found <= 1.0 + 1e-12
    right = np.where(y >= 0, y, p)
    if metric != "mcc" and (y >= 0).all():
        worse = y.copy()
        worse[0] = -1
        hit = y[0] == p[0]
        if hit and metric in {"accuracy", "weighted_f1"}:
            assert score(metric, worse, p, k) <= found + 1e-12
    assert score("accuracy", y, right, k) == pytest.approx((y >= 0).mean())


def test_resampled_counts_equal_counts_of_resampled_rows():
    rng = np.random.default_rng(0)
    y, p = rng.integers(-1, 4, 50), rng.integers(-1, 4, (2, 50))
    cells = Cells.of(y, p, 4)
    weights = next(cells.resamples(5, rng))
    for predictor in range(2):
        sums = cells.sums(weights, predictor)
        for r in range(5):
            rows = np.repeat(np.arange(len(cells.counts)), weights[r].astype(int))
            for name, metric in METRICS.items():
                assert metric(sums)[r] == pytest.approx(
                    score(name, cells.y[rows], cells.answers[predictor, rows], 4)
                )


def test_losses():
    probabilities = np.array([[0.8, 0.2], [0.3, 0.7], [0.5, 0.5]], np.float32)
    y = np.array([0, 0, -1])
    assert log_loss_rows(y, probabilities)[:2] == pytest.approx(-np.log([0.8, 0.3]), rel=1e-6)
    assert log_loss_rows(y, probabilities)[2] == pytest.approx(-np.log(1e-7))
    assert brier_rows(y, probabilities) == pytest.approx([0.08, 0.98, 1.5], rel=1e-6)


@pytest.mark.parametrize(
    ("y", "p"), [([], []), ([0, 1], [0]), ([2], [0]), ([0], [2]), ([-2], [0]), ([0], [-2])]
)
def test_impossible_labels_are_refused(y, p):
    with pytest.raises(ValueError, match=r"."):
        score("accuracy", np.array(y, np.int64), np.array(p, np.int64), 2)
