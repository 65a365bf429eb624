"""Robustness: what each change does to the metric, on one sample, with simultaneous intervals."""

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from milepost.entities.example import Examples
from milepost.entities.task import Task
from milepost.evaluation.examination.changes import STANDARD
from milepost.evaluation.examination.robustness import robustness
from milepost.evaluation.examination.subject import Subject
from milepost.metrics.inference.comparison import paired_difference
from milepost.metrics.scoring.confusion import Cells

LABELS = ("calm", "angry")


def _predict(texts: Sequence[str]) -> NDArray[np.float32]:
    angry = np.asarray([0.9 if t.isupper() or "hate" in t.casefold() else 0.2 for t in texts])
    return np.column_stack([1 - angry, angry]).astype(np.float32)


def _subject(n: int = 300, chars: int = 100_000) -> Subject:
    texts = tuple(
        f"I {'hate' if i % 3 == 0 else 'like'} the message number {i}, my friend." for i in range(n)
    )
    y = np.asarray([int(i % 3 == 0) for i in range(n)])
    ids = tuple(f"e{i}" for i in range(n))
    examples = Examples(ids, texts, tuple(LABELS[i] for i in y), ids, ids)

    def never(_: object) -> NDArray[np.float32]:
        raise AssertionError("robustness asks for nothing but answers")

    return Subject(
        task=Task(name="mood", labels=dict.fromkeys(LABELS, "")),
        labels=LABELS,
        regime="holdout",
        examples=examples,
        y=y,
        probabilities=_predict(texts),
        predict=_predict,
        encode=never,
        train=examples,
        train_y=y,
        out_of_fold=_predict(texts),
        refit=never,  # pyright: ignore[reportArgumentType]
        chars=chars,
    )


def test_the_change_that_breaks_it_comes_first_with_what_broke() -> None:
    scores, notes = robustness(_subject())
    worst = scores[0]
    assert worst.change == "upper_case"
    assert not notes
    assert worst.before.value == 1.0
    assert worst.after.value == pytest.approx(1 / 3, abs=0.02)
    assert worst.drop == pytest.approx(worst.before.value - worst.after.value)
    assert 0 < worst.drop_low < worst.drop < worst.drop_high
    assert worst.flips.value == pytest.approx(worst.drop)
    case = worst.cases[0]
    assert (case.actual, case.answer, case.answer_then) == ("calm", "calm", "angry")
    assert case.changed == case.text.upper()


def test_what_does_nothing_to_it_has_no_drop() -> None:
    by_name = {score.change: score for score in robustness(_subject())[0]}
    assert set(by_name) == set(STANDARD)
    harmless = by_name["padding_after"]
    assert harmless.drop == 0.0
    assert harmless.drop_low < 0 < harmless.drop_high
    assert not harmless.cases


def test_the_sample_is_stratified_and_the_same_every_time() -> None:
    first, again = (robustness(_subject(chars=30_000))[0] for _ in range(2))
    assert first == again
    assert 60 < first[0].n < 120
    assert first[0].after.value == pytest.approx(1 / 3, abs=0.03)


@pytest.mark.parametrize("chars", [0, 1000])
def test_too_little_to_ask_is_said(chars: int) -> None:
    scores, notes = robustness(_subject(chars=chars))
    assert not scores
    assert "not measured" in notes[0]


@pytest.mark.slow
def test_intervals_of_all_drops_hold_at_once() -> None:
    """1,000 draws of seven correlated changes; at most the stated share has one that misses."""
    rng = np.random.default_rng(0)
    n, changes, breaks = 60, 7, np.linspace(0.0, 0.3, 7)
    missed = 0
    for _ in range(1000):
        y = rng.integers(0, 2, n)
        right, weak = rng.random(n) < 0.9, rng.random(n)
        before = np.where(right, y, 1 - y)
        some = False
        for rate in breaks:
            after = np.where(weak < rate, 1 - y, before)
            _, low, high = paired_difference(
                "accuracy", Cells.of(y, np.stack([before, after]), 2), 1 - 0.05 / changes
            )
            some |= not low <= 0.9 * rate <= high
        missed += some
    assert missed <= 60
