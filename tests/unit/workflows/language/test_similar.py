import numpy as np
import pytest

from milepost.entities.errors import InputError
from milepost.entities.language import Completion
from milepost.workflows.language.similar import Promised, certificate, certify


def world(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Similarities and whether the bank is right: the nearer, the more often."""
    similar = rng.random(n).astype(np.float32)
    return similar, rng.random(n) < 0.9 + 0.1 * similar


def wrong_share(threshold: float) -> float:
    """Expected wrong hits from a threshold on: the mean of 0.1 (1 - s) over s in [t, 1]."""
    return 0.05 * (1.0 - threshold)


def test_the_promise_is_broken_no_more_often_than_it_says() -> None:
    draws = (world(np.random.default_rng(seed), 900) for seed in range(300))
    found = [certificate(*draw, Promised(at_most_wrong=0.04, confidence=0.9)) for draw in draws]
    broken = sum(c is not None and wrong_share(c.threshold) > 0.04 for c in found)
    # 10 % of 300, and three standard errors.
    assert broken <= 30 + 3 * 5.2
    kept = [c for c in found if c is not None]
    assert len(kept) > 150, "it does promise something"
    assert all(c.tried == 600 and c.wrong <= c.hits <= c.tried for c in kept)


def test_a_bank_holds_half_of_the_questions_and_says_what_it_rests_on() -> None:
    rng = np.random.default_rng(0)
    angles = np.concatenate([rng.normal(0.0, 0.1, 200), rng.normal(2.0, 0.1, 200)])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    answers = [Completion(text="left" if angle < 1.0 else "Right.") for angle in angles]
    answers[-1] = Completion(text="right")
    bank = certify("f", answers, vectors, Promised(at_most_wrong=0.05))
    assert len(bank.answers) == 200
    assert (bank.certificate.wrong, bank.certificate.tried) == (0, 133)
    assert bank.certificate.hits >= 59, "fewer could not promise 5 % with 95 % confidence"
    assert np.array_equal(bank.vectors, bank.vectors.astype(np.float16).astype(np.float32))
    found = bank.find(np.array([1.0, 0.0], np.float32))
    assert found is not None
    assert found.text == "left"


def test_without_a_threshold_that_keeps_the_promise_there_is_no_bank() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(300, 8))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    answers = [Completion(text=str(rng.integers(2))) for _ in range(300)]
    with pytest.raises(InputError, match=r"no similarity keeps wrong hits to 5\.0%"):
        certify("f", answers, vectors, Promised(at_most_wrong=0.05))
    with pytest.raises(InputError, match="two each"):
        certify("f", answers[:2], vectors[:2], Promised(at_most_wrong=0.05))
