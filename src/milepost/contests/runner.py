"""Runs strategies on a problem: out-of-fold logits, one temperature, a final fit, a row each.

Choosing happens on out-of-fold predictions only; the labels of a holdout are never seen here.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, is_dataclass, replace
from functools import partial
from typing import Any, Protocol, cast, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from milepost._base.digest import digest_of
from milepost.contests.asking import (
    Costs,
    Language,
    Noted,
    asked_logits,
    asked_predictions,
    joined,
)
from milepost.contests.held import OutOfTimeError
from milepost.contests.thresholds import with_thresholds
from milepost.contests.training import too_long
from milepost.data.splitting.folding import Folding
from milepost.entities.asked import Answering, Asked
from milepost.entities.errors import UpstreamError
from milepost.entities.kinds import Link, width_of
from milepost.entities.prediction import Predictions, linked
from milepost.metrics.scoring.links import fit_scale
from milepost.models.encoder import Encoder
from milepost.predictors.base import Predictor
from milepost.predictors.prompting.predictor import PromptedPredictor
from milepost.predictors.reading import batch_for
from milepost.strategy import (
    Combining,
    Contender,
    DeclinedError,
    Problem,
    Strategy,
    kinds_of,
    reads_images,
)

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
        held: Answers to the texts that were held out, of a predictor that asks language models, so
            that nobody asks them again; ``None`` of every other one.
        answering: What its answers took, as they were given; ``None`` of one that asks nobody.
        parameters: What was chosen while it was fitted, beside the strategy's own parameters.
    """

    predictor: Predictor
    out_of_fold: NDArray[np.float32]
    held: Predictions | None = None
    answering: Answering | None = None
    parameters: Mapping[str, object] = field(default_factory=dict[str, object])


@runtime_checkable
class Wrapping(Protocol):
    """Offered by what stands around a strategy."""

    @property
    def parameters(self) -> Mapping[str, object]:
        """Parameters of the strategy, as plain values."""
        ...


@runtime_checkable
class CrossFitting(Wrapping, Protocol):
    """Offered by what stands around a strategy and answers its own training examples honestly."""

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
        late: Whether the budget left no time or no money for it.
        seconds: Wall time of all its fits.
        cpu_seconds: Processor time of all its fits, encoding included where it was the first to
            ask for vectors.
        asked: What it asked language models, by upstream.
        notes: What its fits said that whoever reads the result should know, each once.
    """

    strategy: str
    parameters: Mapping[str, object] = field(default_factory=dict[str, object])
    fitted: Fitted | None = None
    error: str | None = None
    late: bool = False
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    asked: tuple[Asked, ...] = ()
    notes: tuple[str, ...] = ()


def predict(
    predictor: Predictor, texts: Sequence[str], encoder: Encoder, language: Language | None = None
) -> NDArray[np.float32]:
    """Calibrated probabilities ``(n, k) float32``, as measures read them.

    The encoder runs only if it is needed.

    Raises:
        UnaskedError: If the predictor asks a language model that is not there.
        UpstreamError: If one can be asked nothing more.
    """
    batch = batch_for(predictor, texts, encoder)
    if not predictor.upstreams:
        return predictor.predict(batch).judged
    return asked_predictions(predictor, batch, language or {})[0].judged


def run(
    problem: Problem,
    folding: Folding,
    strategies: Sequence[Strategy],
    on_event: Events = lambda what, share: None,
    around: Around = lambda strategy, enter: enter(),
    held: Sequence[str] = (),
) -> list[Entry]:
    """Every strategy on the same folds under one deadline; a failure is an entry, not an end.

    Args:
        problem: All training examples; its encoder should hold their vectors.
        folding: Which rows answer which out of fold.
        strategies: In the order to run, cheap ones first.
        on_event: Told which strategy runs.
        around: Wrapped around the entering of each strategy.
        held: Texts that are held out; predictors that ask language models answer them at once.

    Returns:
        An entry per strategy, in the given order.
    """
    entries: list[Entry] = []
    for at, strategy in enumerate(strategies):
        on_event(strategy.name, at / len(strategies))

        def fit(problem: Problem, strategy: Strategy = strategy) -> Fitted:
            return _fitted(problem, folding, strategy)

        enter = partial(_enter, problem, strategy, fit, held, folding.count + 1)
        entries.append(around(strategy, enter))
    on_event("done", 1.0)
    return entries


def combine(
    problem: Problem,
    folding: Folding,
    strategies: Sequence[Strategy],
    others: Sequence[Contender],
    around: Around = lambda strategy, enter: enter(),
    held: Sequence[str] = (),
) -> list[Entry]:
    """As ``run`` for strategies that are made of what others came to.

    Args:
        problem: All training examples.
        folding: Which rows answer which out of fold.
        strategies: Those that offer ``Combining``.
        others: What the others came to, with what their answers cost.
        around: Wrapped around the entering of each strategy.
        held: Texts that are held out.
    """
    entries: list[Entry] = []
    for strategy in strategies:

        def fit(problem: Problem, strategy: Strategy = strategy) -> Fitted:
            if not isinstance(strategy, Combining):
                raise TypeError(f"{strategy.name} is not made of others.")
            return Fitted(*strategy.combine(problem, folding.fold_of, others))

        enter = partial(_enter, problem, strategy, fit, held, folding.count + 1)
        entries.append(around(strategy, enter))
    return entries


def _enter(
    problem: Problem,
    strategy: Strategy,
    fit: Callable[[Problem], Fitted],
    held: Sequence[str],
    fits: int,
) -> Entry:
    started, cpu_started = time.monotonic(), time.process_time()
    parameters = _parameters(strategy)
    noted = {name: Noted(speaker) for name, speaker in problem.language.items()}
    notes: dict[str, None] = {}
    problem = replace(problem, language=noted, note=notes.setdefault)

    def failed(error: str, *, late: bool = False) -> Entry:
        return Entry(
            strategy=strategy.name,
            parameters=parameters,
            error=error,
            late=late,
            seconds=time.monotonic() - started,
            cpu_seconds=time.process_time() - cpu_started,
            asked=_asked(noted),
            notes=tuple(notes),
        )

    # The floor that everything is compared with runs even when the budget is spent.
    if problem.deadline.passed and strategy.name != "majority":
        return failed("The budget was used up before it could start.", late=True)
    try:
        if problem.kind not in kinds_of(strategy):
            return failed(f"It does not solve tasks of the kind {problem.kind}.")
        if problem.images and not reads_images(strategy):
            return failed("It reads words, and an input is an image.")
        reason = strategy.supports(problem)
        if reason is not None:
            return failed(reason)
        reason = too_long(problem, strategy, fits)
        if reason is not None:
            return failed(reason, late=True)
        fitted = fit(problem)
        decided = with_thresholds(fitted.predictor, fitted.out_of_fold, problem)
        fitted = _with_held(replace(fitted, predictor=decided), problem, held)
    except OutOfTimeError:
        return failed("The budget was used up while it ran.", late=True)
    except DeclinedError as error:
        return failed(str(error))
    except UpstreamError as error:
        return failed(f"It asked too much: {error}", late=error.outcome == "over_budget")
    except Exception as error:  # noqa: BLE001 — a strategy that crashes is a row in the table
        return failed(f"It failed: {type(error).__name__}: {error}")
    return Entry(
        strategy=strategy.name,
        parameters={**parameters, **fitted.parameters, **prompts_of(fitted.predictor)},
        fitted=fitted,
        seconds=time.monotonic() - started,
        cpu_seconds=time.process_time() - cpu_started,
        asked=_asked(noted),
        notes=tuple(notes),
    )


def prompts_of(predictor: Predictor) -> dict[str, object]:
    """Digests of the prompts that a predictor asks, as they stand beside its parameters."""
    if not isinstance(predictor, PromptedPredictor):
        return {}
    return {"prompts": [digest_of(template) for template in predictor.templates]}


def _asked(noted: Mapping[str, Noted]) -> tuple[Asked, ...]:
    return tuple(asked for each in noted.values() if (asked := each.asked()) is not None)


def _with_held(fitted: Fitted, problem: Problem, held: Sequence[str]) -> Fitted:
    """With the answers to what is held out, where a language model is asked for them."""
    predictor = fitted.predictor
    if not predictor.upstreams or not held:
        return fitted
    batch = batch_for(predictor, held, problem.encoder)
    found, costs = asked_predictions(predictor, batch, problem.language)
    return replace(fitted, held=found, answering=fitted.answering or costs.summary())


def _fitted(problem: Problem, folding: Folding, strategy: Strategy) -> Fitted:
    if isinstance(strategy, CrossFitting):
        return strategy.cross_fit(problem, folding)
    out_of_fold, temperature, costs = _cross_fit(problem, folding, strategy)
    predictor = strategy.fit(problem).calibrated(temperature)
    return Fitted(predictor, out_of_fold, answering=None if costs is None else costs.summary())


def refit(problem: Problem, strategy: Strategy, like: Predictor) -> Predictor:
    """The strategy on other examples at the cost of one fit.

    Temperature and thresholds are those of ``like``, so that both decide by the same rule.
    """
    if isinstance(strategy, CrossFitting):
        again = strategy.refit(problem, like)
    else:
        again = strategy.fit(problem).calibrated(like.temperature)
    return replace(again, thresholds=like.thresholds)


def _cross_fit(
    problem: Problem, folding: Folding, strategy: Strategy
) -> tuple[NDArray[np.float32], float, Costs | None]:
    """Out-of-fold calibrated probabilities, the temperature for the final fit, and what they took.

    Calibration is cross-fitted as the predictor is.
    """
    together: Sequence[Predictor] | None = None
    if isinstance(strategy, FoldFitting) and not folding.forward:
        together = strategy.fit_folds(problem, folding.fold_of)
    logits = np.zeros((len(problem.texts), width_of(problem.link, len(problem.labels))))
    costs: list[Costs] = []
    for fold in range(folding.count):
        if problem.deadline.passed and strategy.name != "majority":
            raise OutOfTimeError
        inside = folding.inside(fold)
        if together is not None:
            predictor = together[fold]
        else:
            predictor = strategy.fit(problem.take(folding.fitted_on(fold)))
        texts = tuple(problem.texts[i] for i in inside)
        batch = batch_for(predictor, texts, problem.encoder)
        if predictor.upstreams:
            logits[inside], took = asked_logits(predictor, batch, problem.language)
            costs.append(took)
        else:
            logits[inside] = predictor.logits(batch)
    if not np.isfinite(logits).all():
        raise ValueError("it answered with numbers that are not finite")
    probabilities, temperature = calibrated_folds(logits, problem.y, folding, problem.link)
    return probabilities, temperature, joined(costs) if costs else None


def calibrated_folds(
    logits: NDArray[np.float64], y: NDArray[Any], folding: Folding, link: Link = "softmax"
) -> tuple[NDArray[np.float32], float]:
    """Probabilities ``(n, k)`` of logits out of fold, and the temperature of the final fit.

    The temperature of a fold's rows is fitted on the rows that its predictor was fitted on.
    """
    probabilities = np.zeros(logits.shape, np.float32)
    for fold in range(folding.count):
        inside, outside = folding.inside(fold), folding.fitted_on(fold)
        temperature = fit_scale(link, logits[outside], y[outside])
        probabilities[inside] = linked(link, logits[inside], temperature)
    return probabilities, fit_scale(link, logits, y)


def _parameters(strategy: Strategy) -> Mapping[str, object]:
    if isinstance(strategy, Wrapping):
        return strategy.parameters
    if not is_dataclass(strategy):
        return {}
    return asdict(cast("Any", strategy))
