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
from milepost.data.splitting.folding import Folding
from milepost.metrics.scoring.calibration import fit_temperature
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


@runtime_checkable
class CrossFitting(Protocol):
    """Offered by what stands around a strategy and answers its own training examples honestly."""

    @property
    def parameters(self) -> Mapping[str, object]:
        """Parameters of the strategy, as plain values."""
        ...

    def cross_fit(self, problem: Problem, folding: Folding) -> Fitted:
        """Predictor and out-of-fold answers, as the runner would make them."""
        ...

    def refit(self, problem: Problem, like: Predictor) -> Predictor:
        """What ``fit`` gives on other examples, with all that was chosen for ``like`` kept."""
        ...


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

    def lift_deadline(self) -> None:
        """Encode whatever is asked from now on: a budget is for candidates, not for judging."""
        self._deadline = Deadline()

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
    folding: Folding,
    strategies: Sequence[Strategy],
    on_event: Events = lambda what, share: None,
    around: Around = lambda strategy, enter: enter(),
) -> list[Entry]:
    """Every strategy on the same folds under one deadline; a failure is an entry, not an end.

    Args:
        problem: All training examples; its encoder should hold their vectors.
        folding: Which rows answer which out of fold.
        strategies: In the order to run, cheap ones first.
        on_event: Told which strategy runs.
        around: Wrapped around the entering of each strategy.

    Returns:
        An entry per strategy, in the given order.
    """
    entries: list[Entry] = []
    for at, strategy in enumerate(strategies):
        on_event(strategy.name, at / len(strategies))
        entries.append(around(strategy, partial(_enter, problem, folding, strategy)))
    on_event("done", 1.0)
    return entries


def _enter(problem: Problem, folding: Folding, strategy: Strategy) -> Entry:
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
        fitted = _fitted(problem, folding, strategy)
    except OutOfTimeError:
        return failed("The budget was used up while it ran.", late=True)
    except Exception as error:  # noqa: BLE001 — a strategy that crashes is a row in the table
        return failed(f"It failed: {type(error).__name__}: {error}")
    return Entry(
        strategy=strategy.name,
        parameters=parameters,
        fitted=fitted,
        seconds=time.monotonic() - started,
        cpu_seconds=time.process_time() - cpu_started,
    )


def _fitted(problem: Problem, folding: Folding, strategy: Strategy) -> Fitted:
    if isinstance(strategy, CrossFitting):
        return strategy.cross_fit(problem, folding)
    out_of_fold, temperature = _cross_fit(problem, folding, strategy)
    return Fitted(strategy.fit(problem).calibrated(temperature), out_of_fold)


def refit(problem: Problem, strategy: Strategy, like: Predictor) -> Predictor:
    """The strategy on other examples at the cost of one fit; temperature as that of ``like``."""
    if isinstance(strategy, CrossFitting):
        return strategy.refit(problem, like)
    return strategy.fit(problem).calibrated(like.temperature)


def _cross_fit(
    problem: Problem, folding: Folding, strategy: Strategy
) -> tuple[NDArray[np.float32], float]:
    """Out-of-fold calibrated probabilities and the temperature for the final fit.

    The temperature of a fold's rows is fitted on the out-of-fold logits of the rows that its
    predictor was fitted on, so that calibration is cross-fitted as the predictor is.
    """
    together: Sequence[Predictor] | None = None
    if isinstance(strategy, FoldFitting) and not folding.forward:
        together = strategy.fit_folds(problem, folding.fold_of)
    logits = np.zeros((len(problem.texts), len(problem.labels)))
    for fold in range(folding.count):
        if problem.deadline.passed and strategy.name != "majority":
            raise OutOfTimeError
        inside = folding.inside(fold)
        if together is not None:
            predictor = together[fold]
        else:
            predictor = strategy.fit(problem.take(folding.fitted_on(fold)))
        texts = tuple(problem.texts[i] for i in inside)
        logits[inside] = predictor.logits(batch_for(predictor, texts, problem.encoder))
    if not np.isfinite(logits).all():
        raise ValueError("it answered with numbers that are not finite")
    probabilities = np.zeros(logits.shape, np.float32)
    for fold in range(folding.count):
        inside, outside = folding.inside(fold), folding.fitted_on(fold)
        temperature = fit_temperature(logits[outside], problem.y[outside])
        probabilities[inside] = softmax(logits[inside] / temperature)
    return probabilities, fit_temperature(logits, problem.y)


def _parameters(strategy: Strategy) -> Mapping[str, object]:
    if isinstance(strategy, CrossFitting):
        return strategy.parameters
    if not is_dataclass(strategy):
        return {}
    return asdict(cast("Any", strategy))
