"""The membership audit refits the strategy it is given, and says what that gives away."""

import numpy as np
import pytest

from milepost.entities.example import Examples
from milepost.entities.task import Task
from milepost.evaluation.examination.privacy import FEWEST_GROUPS, privacy
from milepost.evaluation.examination.subject import Subject
from milepost.metrics.inference.intervals import Sampling

LABELS = ("yes", "no")
N = 300


def subject(refit, n=N, groups=None):
    names = tuple(f"t{i}" for i in range(n))
    y = np.arange(n) % 2
    train = Examples(
        names, names, tuple(LABELS[i] for i in y), groups or names, tuple(f"a:{i}" for i in names)
    )
    even = np.full((n, 2), 0.5, np.float32)
    return Subject(
        task=Task(name="t", labels=dict.fromkeys(LABELS, "")),
        labels=LABELS,
        regime="cross_fitted",
        examples=train,
        y=y,
        probabilities=even,
        predict=lambda texts: even[: len(texts)],
        encode=lambda texts: np.zeros((len(texts), 2), np.float32),
        train=train,
        train_y=y,
        out_of_fold=even,
        refit=refit,
        sampling=Sampling(seed=3),
    )


class Refits:
    """Answers with noise, and surer by ``rise`` standard deviations where it was fitted to."""

    def __init__(self, rise):
        self.rise, self.fits = rise, []

    def __call__(self, rows):
        self.fits.append(rows)
        rng = np.random.default_rng(len(self.fits))
        known = {f"t{i}" for i in rows.tolist()}

        def answer(texts):
            at = np.asarray([int(text[1:]) for text in texts])
            odds = np.sin(at) + rng.normal(0, 0.5, len(at))
            odds += 0.5 * self.rise * np.asarray([text in known for text in texts])
            own = 1.0 / (1.0 + np.exp(-odds))
            table = np.empty((len(at), 2), np.float32)
            table[np.arange(len(at)), at % 2] = own
            table[np.arange(len(at)), 1 - at % 2] = 1.0 - own
            return table

        return answer


def test_what_memorises_is_found_and_its_rows_are_shown():
    refits = Refits(6.0)
    found, notes = privacy(subject(refits))
    assert notes == ()
    assert found.tpr_at_1_fpr.low > 0.9
    assert found.auroc.low > 0.95
    assert (found.members, found.shadows) == (N, len(refits.fits))
    assert len(found.cases) == 5
    sizes = np.asarray([len(rows) for rows in refits.fits])
    assert (abs(sizes - N / 2) < 5 * np.sqrt(N) / 2).all()


def test_what_forgets_reads_one_percent_and_shows_nobody():
    found, _ = privacy(subject(Refits(0.0)))
    assert found.tpr_at_1_fpr.low <= 0.01 <= found.tpr_at_1_fpr.high
    assert found.auroc.low <= 0.5 <= found.auroc.high
    assert found.tpr_at_1_fpr.value < 0.02
    assert found.cases == ()


def test_a_target_that_saw_none_of_the_rows_reads_one_percent():
    """Fits are asked for, and what answers was fitted to something else: nothing can be told."""
    strangers = Refits(6.0)
    rates = []
    for seed in range(20):

        def refit(rows, seed=seed):
            del rows
            drawn = np.random.default_rng(seed * 1000 + len(strangers.fits)).random(N) < 0.5
            return strangers(np.flatnonzero(drawn))

        rates.append(privacy(subject(refit))[0].tpr_at_1_fpr.value)
    assert np.mean(rates) == pytest.approx(0.01, abs=0.003)


def test_near_duplicates_are_in_a_half_together():
    groups = tuple(f"g{i // 2}" for i in range(N))
    refits = Refits(1.0)
    found, _ = privacy(subject(refits, groups=groups))
    assert found.tpr_at_1_fpr.n == N // 2
    for rows in refits.fits:
        drawn = set(rows.tolist())
        assert all(row ^ 1 in drawn for row in drawn)


def test_the_same_seed_gives_the_same_numbers():
    one, two = (privacy(subject(Refits(2.0)))[0] for _ in range(2))
    assert one == two


def test_few_messages_and_halves_that_do_not_do_are_said():
    found, notes = privacy(subject(Refits(0.0), n=FEWEST_GROUPS - 1))
    assert found is None
    assert str(FEWEST_GROUPS) in notes[0]

    def failing(rows):
        raise ValueError("one label only")

    found, notes = privacy(subject(failing))
    assert found is None
    assert "one label only" in notes[0]
