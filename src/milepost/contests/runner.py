"""Runs strategies on a problem: out-of-fold logits, one temperature, a final fit, a row each.

Choosing happens on out-of-fold predictions only; a holdout is never seen here.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, is_dataclass
from functools import partial
from typing import Any, Protocol, cast, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from milepost._base.clock import Deadline
from milepost.data.split import folds
from milepost.metrics.calibration import fit_temperature
from milepost.models.encoder import Encoder, Progress, WrappedEncoder
from milepost.predictors.base import Batch, Predictor, softmax
from milepost.strategy import Problem, Strategy

ENCODED_AT_ONCE = 256
"""Texts encoded between two looks at the deadline; some seconds' work at most."""

Events = Callable[[str, float], None]
"""Called with (what is being done, share of it done in [0, 1])."""

Around = Callable[[Strategy, Callable[[], "Entry"]], "Entry"]
"""Wrapped around the entering of a strategy: called with it and with what enters it. It may give an
entry that was kept from before instead, or keep the new one."""


@runtime_checkable
class FoldFitting(Protocol):
    """Offered by strategies that fit all folds at once, exactly and cheaper than one by one."""

    def fit_folds(self, problem: Problem, folds: NDArray[np.int64]) -> Sequence[Predictor]:
        """Predictor ``f`` is fitted without the examples whose fold is ``f``."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """A predictor with honest answers to its own training examples.

    Attributes:
        predictor: Fitted on all training examples and calibrated.
        out_of_fold: ``(n, k) float32`` calibrated probabilities, each row from a predictor that saw
            nothing of the row's near-duplicate group, at a temperature fitted on other rows.
    """

    predictor: Predictor
    out_of_fold: NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Entry:
    """What one strategy came to.

    Attributes:
        strategy: Its name.
        parameters: Its parameters as plain values.
        fitted: What it learned; ``None`` after a failure.
        error: Why there is nothing, as a sentence; ``None`` after a success.
        late: Whether the budget left no time for it.
        seconds: Wall time of all its fits.
        cpu_seconds: Processor time of all its fits, encoding included where it was the first to
            ask for vectors.
    """

    strategy: str
    parameters: Mapping[str, object] = field(default_factory=dict[str, object])
    fitted: Fitted | None = None
    error: str | None = None
    late: bool = False
    seconds: float = 0.0
    cpu_seconds: float = 0.0


class OutOfTimeError(Exception):
    """The deadline passed in the middle of something that can be left."""


class HeldVectors(WrappedEncoder):
    """An encoder that holds the vectors of a contest's texts once somebody asks. Thread safe.

    Nothing is encoded before the first call, so that a contest of strategies that read text costs
    no encoder work.

    Args:
        inner: Encodes the texts, and what is not held.
        texts: Texts of the contest; equal ones are encoded once.
        progress: Told while the texts are encoded.
        deadline: When to stop encoding; what was encoded stays in the inner encoder's cache.
    """

    def __init__(
        self,
        inner: Encoder,
        texts: Sequence[str],
        progress: Progress | None = None,
        deadline: Deadline | None = None,
    ) -> None:
        super().__init__(inner)
        self._texts = list(dict.fromkeys(texts))
        self._rows = {text: row for row, text in enumerate(self._texts)}
        self._progress = progress
        self._deadline = deadline or Deadline()
        self._lock = threading.Lock()
        self._vectors: NDArray[np.float32] | None = None

    def encode(self, texts: Sequence[str], progress: Progress | None = None) -> NDArray[np.float32]:
        """Vectors ``(n, d) float32``; only texts that are not held reach the inner encoder.

        Raises:
            OutOfTimeError: If the deadline passes while the contest's texts are encoded.
        """
        if not texts:
            return np.zeros((0, self.dimensions), np.float32)
        vectors = self._held()
        known = np.asarray([self._rows.get(text, -1) for text in texts], np.int64)
        missing = np.flatnonzero(known < 0)
        if len(missing) == len(texts):
            return self.inner.encode(texts, progress)
        out = vectors[known]
        if len(missing):
            out[missing] = self.inner.encode([texts[i] for i in missing.tolist()], progress)
        return out

    def _held(self) -> NDArray[np.float32]:
        with self._lock:
            if self._vectors is None:
                self._vectors = self._encode_all()
            return self._vectors

    def _encode_all(self) -> NDArray[np.float32]:
        total = len(self._texts)
        if self._deadline.at is None:
            return self.inner.encode(self._texts, self._progress)
        parts: list[NDArray[np.float32]] = []
        for start in range(0, total, ENCODED_AT_ONCE):
            if self._deadline.passed:
                raise OutOfTimeError
            parts.append(self.inner.encode(self._texts[start : start + ENCODED_AT_ONCE]))
            if self._progress is not None:
                self._progress(min(total, start + ENCODED_AT_ONCE), total)
        return np.concatenate(parts)


def predict(predictor: Predictor, texts: Sequence[str], encoder: Encoder) -> NDArray[np.float32]:
    """Calibrated probabilities ``(n, k) float32``; the encoder runs only if it is needed."""
    return predictor.predict(batch_for(predictor, texts, encoder)).probabilities


def batch_for(predictor: Predictor, texts: Sequence[str], encoder: Encoder) -> Batch:
    """The batch that a predictor reads, with vectors only where it reads them."""
    vectors = encoder.encode(texts) if predictor.uses == "vectors" else None
    return Batch(tuple(texts), vectors)


def run(
    problem: Problem,
    groups: Sequence[str],
    strategies: Sequence[Strategy],
    fold_count: int,
    on_event: Events = lambda what, share: None,
    around: Around = lambda strategy, enter: enter(),
) -> list[Entry]:
    """Every strategy on the same folds under one deadline; a failure is an entry, not an end.

    Args:
        problem: All training examples; its encoder should hold their vectors.
        groups: Near-duplicate group of each example; a group never straddles folds.
        strategies: In the order to run, cheap ones first.
        fold_count: Folds of cross-fitting.
        on_event: Told which strategy runs.
        around: Wrapped around the entering of each strategy.

    Returns:
        An entry per strategy, in the given order.
    """
    fold_of = folds(groups, problem.y, fold_count, problem.seed)
    entries: list[Entry] = []
    for at, strategy in enumerate(strategies):
        on_event(strategy.name, at / len(strategies))
        entries.append(around(strategy, partial(_enter, problem, fold_of, strategy)))
    on_event("done", 1.0)
    return entries


def _enter(problem: Problem, fold_of: NDArray[np.int64], strategy: Strategy) -> Entry:
    started, cpu_started = time.monotonic(), time.process_time()
    parameters = _parameters(strategy)

    def failed(error: str, *, late: bool = False) -> Entry:
        return Entry(
            strategy=strategy.name,
            parameters=parameters,
            error=error,
            late=late,
            seconds=time.monotonic() - started,
            cpu_seconds=time.process_time() - cpu_started,
        )

    # The floor that everything is compared with runs even when the budget is spent.
    if problem.deadline.passed and strategy.name != "majority":
        return failed("The budget was used up before it could start.", late=True)
    try:
        reason = strategy.supports(problem)
        if reason is not None:
            return failed(reason)
        out_of_fold, temperature = _cross_fit(problem, fold_of, strategy)
        predictor = strategy.fit(problem).calibrated(temperature)
    except OutOfTimeError:
        return failed("The budget was used up while it ran.", late=True)
    except Exception as error:  # noqa: BLE001 — a strategy that crashes is a row in the table
        return failed(f"It failed: {type(error).__name__}: {error}")
    return Entry(
        strategy=strategy.name,
        parameters=parameters,
        fitted=Fitted(predictor, out_of_fold),
        seconds=time.monotonic() - started,
        cpu_seconds=time.process_time() - cpu_started,
    )


def _cross_fit(
    problem: Problem, fold_of: NDArray[np.int64], strategy: Strategy
) -> tuple[NDArray[np.float32], float]:
    """Out-of-fold calibrated probabilities and the temperature for the final fit.

    The temperature of a fold's rows is fitted on the other folds' out-of-fold logits, so that
    calibration is cross-fitted as the predictor is.
    """
    count = int(fold_of.max()) + 1
    together: Sequence[Predictor] | None = None
    if isinstance(strategy, FoldFitting):
        together = strategy.fit_folds(problem, fold_of)
    logits = np.zeros((len(problem.texts), len(problem.labels)))
    for fold in range(count):
        if problem.deadline.passed and strategy.name != "majority":
            raise OutOfTimeError
        inside = np.flatnonzero(fold_of == fold)
        if together is not None:
            predictor = together[fold]
        else:
            predictor = strategy.fit(problem.take(np.flatnonzero(fold_of != fold)))
        texts = tuple(problem.texts[i] for i in inside)
        logits[inside] = predictor.logits(batch_for(predictor, texts, problem.encoder))
    if not np.isfinite(logits).all():
        raise ValueError("it answered with numbers that are not finite")
    probabilities = np.zeros(logits.shape, np.float32)
    for fold in range(count):
        inside, outside = fold_of == fold, fold_of != fold
        temperature = fit_temperature(logits[outside], problem.y[outside])
        probabilities[inside] = softmax(logits[inside] / temperature)
    return probabilities, fit_temperature(logits, problem.y)


def _parameters(strategy: Strategy) -> dict[str, object]:
    if not is_dataclass(strategy):
        return {}
    return asdict(cast("Any", strategy))


def learning_curve(
    problem: Problem,
    groups: Sequence[str],
    strategy: Strategy,
    fold_count: int,
    shares: Sequence[float] = (0.25, 0.5, 0.75),
) -> list[tuple[int, NDArray[np.int64]]]:
    """Out-of-fold answers when only a share of each fold's training examples is used.

    Returns:
        Per share (mean training examples, predicted label ids ``(n,) int64``). Shares that leave
        fewer than two examples per label on average are left out; so is everything after the
        deadline.
    """
    fold_of = folds(groups, problem.y, fold_count, problem.seed)
    order = np.random.default_rng(problem.seed).permutation(len(fold_of))
    points: list[tuple[int, NDArray[np.int64]]] = []
    for share in shares:
        if problem.deadline.passed or share * len(fold_of) < 2 * len(problem.labels):
            continue
        answers = np.zeros(len(fold_of), np.int64)
        used: list[int] = []
        for fold in range(int(fold_of.max()) + 1):
            rows = _stratified_share(order[fold_of[order] != fold], problem.y, share)
            predictor = strategy.fit(problem.take(rows))
            inside = np.flatnonzero(fold_of == fold)
            texts = [problem.texts[i] for i in inside]
            answers[inside] = predict(predictor, texts, problem.encoder).argmax(axis=1)
            used.append(len(rows))
        examples = round(float(np.mean(used)))
        if not points or examples > points[-1][0]:
            points.append((examples, answers))
    return points


def _stratified_share(
    rows: NDArray[np.int64], y: NDArray[np.int64], share: float
) -> NDArray[np.int64]:
    """The first ``share`` of each label's rows, at least one, in a stable order."""
    by_label = rows[np.argsort(y[rows], kind="stable")]
    _, starts, counts = np.unique(y[by_label], return_index=True, return_counts=True)
    rank = np.arange(len(by_label)) - np.repeat(starts, counts)
    keep = rank < np.maximum(1, np.round(np.repeat(counts, counts) * share))
    return np.sort(by_label[keep])
