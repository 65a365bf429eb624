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
from functools import wraps
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from milepost.entities.ids import Digest
from milepost.entities.inputs import MARK
from milepost.entities.kinds import (
    KINDS,
    Kind,
    columns_of,
    truths,
    width_of,
    written_grade,
    written_score,
    written_set,
)
from milepost.entities.prediction import Predictions
from milepost.entities.release import Manifest
from milepost.entities.spans import OF_ANSWER, begins, unpacked, written_spans
from milepost.models.encoder import Encoder
from milepost.models.language.inside.fake import Fake, fake_upstream
from milepost.models.words import WORDS, ragged, words_of
from milepost.predictors.base import Batch, Predictor
from milepost.predictors.bundle import bundle_files, read_bundle, write_bundle
from milepost.predictors.reading import encoder_for
from milepost.strategy import Problem, Strategy, kinds_of
from milepost.testing.speakers import Told, answers

CLOSE = 2e-4
"""Largest difference of a probability that rounding of single-precision logits may make."""

QUERIES = 3
"""Queries of the example problem of the kind ``rank``."""

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


def example_problem(encoder: Encoder, *, seed: int = 0, kind: Kind = "classify") -> Problem:
    """A small problem: four labels, the last one without an example, one with a description.

    Spans are the last word of each text, but for one that has none. Of any number of labels every
    second text has the next label too, and one has none; a score is the number of the label, and a
    bit more for longer texts; pairs are a text and itself; a candidate is relevant to the query of
    its label. An encoder that gives its weights, as ``milepost.testing.tiny.TinyEncoder``, gives
    them to the problem, too.
    """
    names = (*_SUBJECTS, "never_seen")
    rows = [
        (text + ending, label)
        for label, texts in enumerate(_SUBJECTS.values())
        for text in texts
        for ending in ("", " please", "?")
    ]
    if kind == "extract":
        rows = [*rows, ("nothing to see", -1)]
    columns = columns_of(kind, names)
    written = [_written(kind, row, text, label) for row, (text, label) in enumerate(rows)]
    return Problem(
        labels=columns,
        descriptions=("", "The customer waits for money", "", "")[: len(columns)],
        instruction="What is the message about?",
        kind=kind,
        texts=tuple(_text(kind, row, rows) for row in range(len(rows))),
        y=truths(kind, written, columns),
        encoder=encoder,
        seed=seed,
        language={"fake": _fake()},
        weights=getattr(encoder, "weights", None),
    )


def _text(kind: Kind, row: int, rows: list[tuple[str, int]]) -> str:
    text = rows[row][0]
    if kind == "rank":
        asked = next(text for text, label in rows if label == row % QUERIES)
        return f"{asked} {MARK} {text}"
    return text if kind != "match" else f"{text} {MARK} {text}"


def _written(kind: Kind, row: int, text: str, label: int) -> str:
    names = (*_SUBJECTS, "never_seen")
    if kind == "score":
        return written_score(label + len(text) // 10 / 10.0)
    if kind == "extract":
        *_, last = words_of(text)
        return written_spans([(*last, names[label])] if label >= 0 else [])
    if kind == "rank":
        return written_grade(float(row % QUERIES == label), f"query {row % QUERIES}")
    if kind == "multilabel":
        return written_set([] if row == 0 else names[label : label + 1 + row % 2])
    return names[label]


def _of_each_kind(
    check: Callable[[Strategy, Encoder, Kind], None],
) -> Callable[[Strategy, Encoder], None]:
    """The check on the example problem of each kind that the strategy solves."""

    @wraps(check)
    def whole(strategy: Strategy, encoder: Encoder) -> None:
        for kind in kinds_of(strategy):
            check(strategy, encoder, kind)

    return whole


def _fake() -> Told:
    """A language model that is wrong, wordy and at a loss now and then."""
    return Told(Fake(fake_upstream("fake", "fake:?accuracy=0.9&wordy=0.1&unsure=0.05")))


def _answers(predictor: Predictor, batch: Batch) -> Predictions:
    """What a predictor answers; those that ask language models ask the fake one."""
    return answers(predictor, batch, _fake())


def check_strategy(strategy: Strategy, encoder: Encoder) -> None:
    """Run every check of this module.

    Args:
        strategy: What is checked; it must support ``example_problem`` of each of its kinds.
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


@_of_each_kind
def check_supports(strategy: Strategy, encoder: Encoder, kind: Kind) -> None:
    """It supports the example problem, and says in a sentence why it cannot solve another one."""
    problem = example_problem(encoder, kind=kind)
    reason = strategy.supports(problem)
    _require(reason is None, f"{strategy.name}: it must support the example problem, but: {reason}")
    for rows in ([], [0, 1]):
        fewer = problem.take(np.array(rows, np.int64))
        reason = strategy.supports(fewer)
        if reason is None:
            _check_answers(strategy, strategy.fit(fewer), encoder, kind)
        else:
            _require(reason.endswith("."), f"{strategy.name}: {reason!r} is not a sentence.")


@_of_each_kind
def check_leaves_problem_alone(strategy: Strategy, encoder: Encoder, kind: Kind) -> None:
    """Fitting and predicting change neither the problem nor the batch."""
    problem = example_problem(encoder, kind=kind)
    y = problem.y.copy()
    problem.y.setflags(write=False)
    predictor = strategy.fit(problem)
    batch = _batch(predictor, encoder, _PROBES)
    vectors = None if batch.vectors is None else [each.copy() for each in batch.vectors]
    _answers(predictor, batch)
    _require(np.array_equal(problem.y, y), f"{strategy.name}: it changed the labels.")
    given = [] if batch.vectors is None else list(batch.vectors)
    same = vectors is None or all(map(np.array_equal, vectors, given))
    _require(same, f"{strategy.name}: it changed the batch's vectors.")


@_of_each_kind
def check_answers(strategy: Strategy, encoder: Encoder, kind: Kind) -> None:
    """Labels keep their order; probabilities are finite and sum to 1, whatever the text."""
    _check_answers(strategy, strategy.fit(example_problem(encoder, kind=kind)), encoder, kind)


@_of_each_kind
def check_reports_progress(strategy: Strategy, encoder: Encoder, kind: Kind) -> None:
    """Progress never falls, stays within [0, 1] and ends at 1."""
    seen: list[float] = []
    strategy.fit(dataclasses.replace(example_problem(encoder, kind=kind), progress=seen.append))
    _require(
        seen and seen[-1] == 1.0, f"{strategy.name}: progress must end at 1, not at {seen[-1:]}."
    )
    _require(seen == sorted(seen) and seen[0] >= 0, f"{strategy.name}: progress falls: {seen}.")


@_of_each_kind
def check_same_seed_same_result(strategy: Strategy, encoder: Encoder, kind: Kind) -> None:
    """Two fits with the same seed give the same files, byte by byte."""
    first, second = (
        _files(strategy, strategy.fit(example_problem(encoder, seed=7, kind=kind)))
        for _ in range(2)
    )
    _require(first == second, f"{strategy.name}: the same seed gave two different predictors.")


@_of_each_kind
def check_round_trip(strategy: Strategy, encoder: Encoder, kind: Kind) -> None:
    """Saved and loaded, a predictor gives the same probabilities, byte by byte."""
    predictor = strategy.fit(example_problem(encoder, kind=kind)).calibrated(0.7)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bundle"
        write_bundle(path, predictor, _manifest(strategy, predictor))
        loaded, manifest = read_bundle(path)
    batch = _batch(predictor, encoder, _PROBES)
    before, after = _answers(predictor, batch), _answers(loaded, batch)
    _require(
        manifest.labels == loaded.labels == predictor.labels,
        f"{strategy.name}: the labels changed on the way through a bundle.",
    )
    _require(
        before.probabilities.tobytes() == after.probabilities.tobytes(),
        f"{strategy.name}: the probabilities changed on the way through a bundle.",
    )


@_of_each_kind
def check_batch_independence(strategy: Strategy, encoder: Encoder, kind: Kind) -> None:
    """A text gets the same answer alone and in company."""
    predictor = strategy.fit(example_problem(encoder, kind=kind))
    texts = _PROBES + example_problem(encoder, kind=kind).texts
    together = _answers(predictor, _batch(predictor, encoder, texts)).probabilities
    for row, text in enumerate(texts):
        alone = _answers(predictor, _batch(predictor, encoder, (text,))).probabilities[0]
        difference = float(np.abs(alone - together[row]).max())
        _require(
            difference <= CLOSE,
            f"{strategy.name}: {text[:40]!r} gets probabilities that differ by {difference:.1e} "
            "alone and in a batch.",
        )


@_of_each_kind
def check_threads(strategy: Strategy, encoder: Encoder, kind: Kind) -> None:
    """One predictor answers from many threads as it does from one."""
    predictor = strategy.fit(example_problem(encoder, kind=kind))
    batch = _batch(predictor, encoder, _PROBES)
    expected = _answers(predictor, batch).probabilities
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(_answers, [predictor] * 16, [batch] * 16))
    for answer in found:
        same = np.array_equal(answer.probabilities, expected)
        _require(same, f"{strategy.name}: threads that share a predictor disturb each other.")


@_of_each_kind
def check_refuses_bad_vectors(strategy: Strategy, encoder: Encoder, kind: Kind) -> None:
    """A predictor that reads vectors refuses none, a wrong width and NaN with ``ValueError``."""
    predictor = strategy.fit(example_problem(encoder, kind=kind))
    if predictor.uses != "vectors":
        return
    width = encoder.dimensions
    bad: dict[str, NDArray[np.float32] | None] = {
        "no vectors": None,
        "vectors of another width": np.zeros((1, width + 1), np.float32),
        "vectors that hold NaN": np.full((1, width), np.nan, np.float32),
    }
    if WORDS in predictor.spaces:
        bad["states that hold NaN"] = ragged([np.full((1, width), np.nan, np.float32)])
        bad["states of other words"] = ragged([np.zeros((2, width), np.float32)])
    for what, vectors in bad.items():
        try:
            _answers(predictor, Batch(("text",), vectors))
        except ValueError:
            continue
        raise AssertionError(f"{strategy.name}: it must refuse {what} with ValueError.")


@_of_each_kind
def check_fold_hook(strategy: Strategy, encoder: Encoder, kind: Kind) -> None:
    """Where ``fit_folds`` is offered, it gives what fitting without each fold gives."""
    hook = getattr(strategy, "fit_folds", None)
    if hook is None:
        return
    problem = example_problem(encoder, kind=kind)
    folds = np.arange(len(problem.texts), dtype=np.int64) % 3
    fitted: list[Predictor] = hook(problem, folds)
    _require(len(fitted) == 3, f"{strategy.name}: fit_folds must give one predictor per fold.")
    for fold, predictor in enumerate(fitted):
        plain = strategy.fit(problem.take(np.flatnonzero(folds != fold)))
        found, expected = (
            _answers(each, _batch(each, encoder, problem.texts)) for each in (predictor, plain)
        )
        difference = np.abs(found.probabilities - expected.probabilities).max()
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


def _check_answers(strategy: Strategy, predictor: Predictor, encoder: Encoder, kind: Kind) -> None:
    labels = example_problem(encoder, kind=kind).labels
    _require(predictor.labels == labels, f"{strategy.name}: it changed the order of the labels.")
    for texts in ((), _PROBES):
        answer = _answers(predictor, _batch(predictor, encoder, texts))
        shape = answer.probabilities.shape
        _require(
            shape == (len(texts), width_of(KINDS[kind].link, len(labels))),
            f"{strategy.name}: {len(texts)} texts and {len(labels)} labels gave shape {shape}.",
        )
        _require(
            answer.probabilities.dtype == np.float32,
            f"{strategy.name}: probabilities must be float32, not {answer.probabilities.dtype}.",
        )
        link, given = KINDS[kind].link, answer.probabilities
        _require(np.isfinite(given).all(), f"{strategy.name}: it gave what is not finite.")
        if link == "spans":
            _check_spans(strategy, given, texts, len(labels))
            given = given[:, OF_ANSWER - 1 :: OF_ANSWER][begins(given, OF_ANSWER)]
        _require(
            link == "identity" or ((given >= 0).all() and (given <= 1).all()),
            f"{strategy.name}: probabilities must lie between 0 and 1.",
        )
        _require(
            link != "softmax" or np.allclose(given.sum(axis=1), 1, atol=1e-4),
            f"{strategy.name}: probabilities must sum to 1.",
        )
        _require(predictor.link == link, f"{strategy.name}: its answers are none of {kind}.")


def _check_spans(
    strategy: Strategy, given: NDArray[np.float32], texts: tuple[str, ...], k: int
) -> None:
    """Spans lie within their texts, one after the other, and have labels of the problem."""
    for text, spans in zip(texts, unpacked(given, OF_ANSWER), strict=True):
        at = 0
        for begin, end, label, _ in spans:
            fits = at <= begin < end <= len(text) and 0 <= label < k
            _require(fits, f"{strategy.name}: a span from {begin} to {end} cannot be one.")
            at = end


def _batch(predictor: Predictor, encoder: Encoder, texts: tuple[str, ...]) -> Batch:
    own = encoder_for(predictor, encoder) or encoder
    if not texts and WORDS not in predictor.spaces:
        return Batch(texts, np.zeros((0, own.dimensions), np.float32))
    vectors = own.encode(texts)
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
