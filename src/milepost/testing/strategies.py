"""Conformance checks of strategies, for milepost's own and for those of plug-ins.

Each check raises ``AssertionError`` with a sentence that names the strategy and the fault::

    from milepost.testing.encoders import HashedEncoder
    from milepost.testing.strategies import check_strategy

    def test_conforms():
        check_strategy(MyStrategy(), HashedEncoder())
"""

import dataclasses
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from milepost.entities.ids import Digest
from milepost.entities.prediction import Predictions
from milepost.entities.release import Manifest
from milepost.models.encoder import Encoder
from milepost.models.language.inside.fake import Fake, fake_upstream
from milepost.predictors.base import Batch, Predictor
from milepost.predictors.bundle import bundle_files, read_bundle, write_bundle
from milepost.strategy import Problem, Strategy
from milepost.testing.speakers import Told, answers

CLOSE = 2e-4
"""Largest difference of a probability that rounding of single-precision logits may make."""

_SUBJECTS = {
    "card_lost": ("my card was stolen", "I lost my bank card", "card is gone, please block it"),
    "refundLate": ("where is my refund", "the money has not come back", "refund still missing"),
    "Opening-Hours": ("when do you open", "are you open on sunday", "what are your hours today"),
}
_PROBES = (
    "someone took my card",
    "",
    "   ",
    "!",
    "été 你好 😀 \u202eright to left\u202c",
    "when do you open " * 400,
    "a text that shares no word",
)


def example_problem(encoder: Encoder, *, seed: int = 0) -> Problem:
    """A small problem: four labels, the last one without an example, one with a description."""
    names = (*_SUBJECTS, "never_seen")
    rows = [
        (text + ending, label)
        for label, texts in enumerate(_SUBJECTS.values())
        for text in texts
        for ending in ("", " please", "?")
    ]
    return Problem(
        labels=names,
        descriptions=("", "The customer waits for money", "", ""),
        instruction="What is the message about?",
        texts=tuple(text for text, _ in rows),
        y=np.array([label for _, label in rows], np.int64),
        encoder=encoder,
        seed=seed,
        language={"fake": _fake()},
    )


def _fake() -> Told:
    """A language model that is wrong, wordy and at a loss now and then."""
    return Told(Fake(fake_upstream("fake", "fake:?accuracy=0.9&wordy=0.1&unsure=0.05")))


def _answers(predictor: Predictor, batch: Batch) -> Predictions:
    """What a predictor answers; those that ask language models ask the fake one."""
    return answers(predictor, batch, _fake())


def check_strategy(strategy: Strategy, encoder: Encoder) -> None:
    """Run every check of this module.

    Args:
        strategy: What is checked; it must support ``example_problem``.
        encoder: Any encoder that keeps its own promises, such as ``HashedEncoder``.

    Raises:
        AssertionError: At the first fault.
    """
    for check in CHECKS:
        check(strategy, encoder)


def check_is_plain_data(strategy: Strategy, encoder: Encoder) -> None:
    """A strategy is a frozen dataclass of parameters with a name."""
    del encoder
    name = strategy.name
    kind: Any = type(strategy)
    frozen = getattr(getattr(kind, "__dataclass_params__", None), "frozen", False)
    _require(frozen, f"{name}: a strategy must be a frozen dataclass of parameters.")
    _require(name, f"{type(strategy).__name__}: a strategy needs a name.")
    values = {field.name: getattr(strategy, field.name) for field in dataclasses.fields(kind)}
    rebuilt = kind(**values)
    _require(rebuilt == strategy, f"{name}: rebuilding it from its parameters gives another one.")


def check_supports(strategy: Strategy, encoder: Encoder) -> None:
    """It supports the example problem, and says in a sentence why it cannot solve another one."""
    problem = example_problem(encoder)
    reason = strategy.supports(problem)
    _require(reason is None, f"{strategy.name}: it must support the example problem, but: {reason}")
    for rows in ([], [0, 1]):
        fewer = problem.take(np.array(rows, np.int64))
        reason = strategy.supports(fewer)
        if reason is None:
            _check_answers(strategy, strategy.fit(fewer), encoder)
        else:
            _require(reason.endswith("."), f"{strategy.name}: {reason!r} is not a sentence.")


def check_leaves_problem_alone(strategy: Strategy, encoder: Encoder) -> None:
    """Fitting and predicting change neither the problem nor the batch."""
    problem = example_problem(encoder)
    y = problem.y.copy()
    problem.y.setflags(write=False)
    batch = _batch(encoder, _PROBES)
    vectors = None if batch.vectors is None else batch.vectors.copy()
    _answers(strategy.fit(problem), batch)
    _require(np.array_equal(problem.y, y), f"{strategy.name}: it changed the labels.")
    same = vectors is None or np.array_equal(vectors, np.asarray(batch.vectors))
    _require(same, f"{strategy.name}: it changed the batch's vectors.")


def check_answers(strategy: Strategy, encoder: Encoder) -> None:
    """Labels keep their order; probabilities are finite and sum to 1, whatever the text."""
    _check_answers(strategy, strategy.fit(example_problem(encoder)), encoder)


def check_reports_progress(strategy: Strategy, encoder: Encoder) -> None:
    """Progress never falls, stays within [0, 1] and ends at 1."""
    seen: list[float] = []
    strategy.fit(dataclasses.replace(example_problem(encoder), progress=seen.append))
    _require(
        seen and seen[-1] == 1.0, f"{strategy.name}: progress must end at 1, not at {seen[-1:]}."
    )
    _require(seen == sorted(seen) and seen[0] >= 0, f"{strategy.name}: progress falls: {seen}.")


def check_same_seed_same_result(strategy: Strategy, encoder: Encoder) -> None:
    """Two fits with the same seed give the same files, byte by byte."""
    first, second = (
        _files(strategy, strategy.fit(example_problem(encoder, seed=7))) for _ in range(2)
    )
    _require(first == second, f"{strategy.name}: the same seed gave two different predictors.")


def check_round_trip(strategy: Strategy, encoder: Encoder) -> None:
    """Saved and loaded, a predictor gives the same probabilities, byte by byte."""
    predictor = strategy.fit(example_problem(encoder)).calibrated(0.7)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bundle"
        write_bundle(path, predictor, _manifest(strategy, predictor))
        loaded, manifest = read_bundle(path)
    batch = _batch(encoder, _PROBES)
    before, after = _answers(predictor, batch), _answers(loaded, batch)
    _require(
        manifest.labels == loaded.labels == predictor.labels,
        f"{strategy.name}: the labels changed on the way through a bundle.",
    )
    _require(
        before.probabilities.tobytes() == after.probabilities.tobytes(),
        f"{strategy.name}: the probabilities changed on the way through a bundle.",
    )


def check_batch_independence(strategy: Strategy, encoder: Encoder) -> None:
    """A text gets the same answer alone and in company."""
    predictor = strategy.fit(example_problem(encoder))
    texts = _PROBES + example_problem(encoder).texts
    together = _answers(predictor, _batch(encoder, texts)).probabilities
    for row, text in enumerate(texts):
        alone = _answers(predictor, _batch(encoder, (text,))).probabilities[0]
        difference = float(np.abs(alone - together[row]).max())
        _require(
            difference <= CLOSE,
            f"{strategy.name}: {text[:40]!r} gets probabilities that differ by {difference:.1e} "
            "alone and in a batch.",
        )


def check_threads(strategy: Strategy, encoder: Encoder) -> None:
    """One predictor answers from many threads as it does from one."""
    predictor = strategy.fit(example_problem(encoder))
    batch = _batch(encoder, _PROBES)
    expected = _answers(predictor, batch).probabilities
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(_answers, [predictor] * 16, [batch] * 16))
    for answer in found:
        same = np.array_equal(answer.probabilities, expected)
        _require(same, f"{strategy.name}: threads that share a predictor disturb each other.")


def check_refuses_bad_vectors(strategy: Strategy, encoder: Encoder) -> None:
    """A predictor that reads vectors refuses none, a wrong width and NaN with ``ValueError``."""
    predictor = strategy.fit(example_problem(encoder))
    if predictor.uses != "vectors":
        return
    width = encoder.dimensions
    bad: dict[str, NDArray[np.float32] | None] = {
        "no vectors": None,
        "vectors of another width": np.zeros((1, width + 1), np.float32),
        "vectors that hold NaN": np.full((1, width), np.nan, np.float32),
    }
    for what, vectors in bad.items():
        try:
            _answers(predictor, Batch(("text",), vectors))
        except ValueError:
            continue
        raise AssertionError(f"{strategy.name}: it must refuse {what} with ValueError.")


def check_fold_hook(strategy: Strategy, encoder: Encoder) -> None:
    """Where ``fit_folds`` is offered, it gives what fitting without each fold gives."""
    hook = getattr(strategy, "fit_folds", None)
    if hook is None:
        return
    problem = example_problem(encoder)
    folds = np.arange(len(problem.texts), dtype=np.int64) % 3
    fitted: list[Predictor] = hook(problem, folds)
    _require(len(fitted) == 3, f"{strategy.name}: fit_folds must give one predictor per fold.")
    batch = _batch(encoder, problem.texts)
    for fold, predictor in enumerate(fitted):
        plain = strategy.fit(problem.take(np.flatnonzero(folds != fold)))
        difference = np.abs(
            _answers(predictor, batch).probabilities - _answers(plain, batch).probabilities
        ).max()
        _require(
            difference <= CLOSE,
            f"{strategy.name}: fold {fold} of fit_folds differs from a refit by {difference:.1e}.",
        )


CHECKS: tuple[Callable[[Strategy, Encoder], None], ...] = (
    check_is_plain_data,
    check_supports,
    check_leaves_problem_alone,
    check_answers,
    check_reports_progress,
    check_same_seed_same_result,
    check_round_trip,
    check_batch_independence,
    check_threads,
    check_refuses_bad_vectors,
    check_fold_hook,
)
"""All checks, in the order in which ``check_strategy`` runs them."""


def _require(condition: object, message: str) -> None:
    """Like ``assert``, but python's ``-O`` does not drop it."""
    if not condition:
        raise AssertionError(message)


def _check_answers(strategy: Strategy, predictor: Predictor, encoder: Encoder) -> None:
    labels = example_problem(encoder).labels
    _require(predictor.labels == labels, f"{strategy.name}: it changed the order of the labels.")
    for texts in ((), _PROBES):
        answer = _answers(predictor, _batch(encoder, texts))
        shape = answer.probabilities.shape
        _require(
            shape == (len(texts), len(labels)),
            f"{strategy.name}: {len(texts)} texts and {len(labels)} labels gave shape {shape}.",
        )
        _require(
            answer.probabilities.dtype == np.float32,
            f"{strategy.name}: probabilities must be float32, not {answer.probabilities.dtype}.",
        )
        proper = np.isfinite(answer.probabilities).all() and (answer.probabilities >= 0).all()
        sums = answer.probabilities.sum(axis=1)
        _require(
            proper and np.allclose(sums, 1, atol=1e-4),
            f"{strategy.name}: probabilities must be finite, not negative, and sum to 1.",
        )


def _batch(encoder: Encoder, texts: tuple[str, ...]) -> Batch:
    vectors = encoder.encode(texts) if texts else np.zeros((0, encoder.dimensions), np.float32)
    return Batch(texts, vectors)


def _files(strategy: Strategy, predictor: Predictor) -> dict[str, bytes]:
    return bundle_files(predictor, _manifest(strategy, predictor))


def _manifest(strategy: Strategy, predictor: Predictor) -> Manifest:
    return Manifest(
        kind=predictor.kind,
        task="example",
        task_version=Digest("0" * 64),
        labels=predictor.labels,
        strategy=strategy.name,
    )
