"""Any strategy with a space as it enters a contest that was given time: its parameters are chosen.

For each fold they are chosen on the other folds alone, so that out-of-fold answers are as honest
as those of a strategy that chooses nothing. The strategy is not told.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, is_dataclass, replace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from milepost.contests.held import OutOfTimeError
from milepost.contests.runner import Fitted, calibrated_folds
from milepost.contests.searching.halving import Array, Expected, entrants, fits_of, race
from milepost.contests.searching.prior import (
    Configuration,
    configurations_of,
    expected,
    learned,
    regime_of,
)
from milepost.data.splitting.folding import FIRST, Folding, fold_groups
from milepost.entities.contest import SEARCHED
from milepost.entities.kinds import Kind
from milepost.metrics.scoring.calibration import fit_temperature
from milepost.metrics.scoring.classification import log_loss_rows
from milepost.predictors.base import Predictor, softmax
from milepost.predictors.reading import batch_for
from milepost.strategy import Problem, Searchable, Strategy, kinds_of, reads_images

SHARE = 0.1
"""Share of the time that is left which one strategy's search may take."""

MOST = 8
"""Most configurations that race."""

_FOLDS = 5

Rows = NDArray[np.int64]


def searched(strategy: Strategy, by_hand: Sequence[str] = ()) -> Strategy:
    """The strategy with its parameters chosen, or itself where it offers no space.

    Args:
        strategy: Any strategy.
        by_hand: Parameters that somebody set, which stay as they are.
    """
    if not isinstance(strategy, Searchable) or not set(strategy.space) - set(by_hand):
        return strategy
    # Its name is a property, that of the strategy; the protocol's is written for plain classes.
    return cast("Strategy", Searched(strategy, tuple(by_hand)))


def settled(strategy: Strategy, parameters: Mapping[str, object]) -> Strategy:
    """The strategy with what an entry of it says was chosen, so that nothing is searched again."""
    plain = strategy.inner if isinstance(strategy, Searched) else strategy
    told = _told(parameters)
    if not told:
        return strategy
    names = cast("Sequence[Configuration]", told["folds"])[0]
    return _at(plain, {name: parameters[name] for name in names})


def as_recorded(strategy: Strategy, parameters: Mapping[str, object]) -> Strategy:
    """The strategy as it entered, with what each fold took, so that it comes out the same again.

    Args:
        strategy: As its entry's parameters say, those that were chosen included.
        parameters: Of the entry.
    """
    told = _told(parameters)
    if not told:
        return strategy
    folds = tuple(dict(each) for each in cast("Sequence[Configuration]", told["folds"]))
    final = {name: parameters[name] for name in folds[0]}
    return cast("Strategy", Searched(strategy, taken=(*folds, final), told=told))


def _told(parameters: Mapping[str, object]) -> Mapping[str, object]:
    found = parameters.get(SEARCHED)
    return cast("Mapping[str, object]", found) if isinstance(found, Mapping) else {}


def _at(strategy: Strategy, configuration: Configuration) -> Strategy:
    return cast("Strategy", replace(cast("Any", strategy), **configuration))


def row_losses(logits: Array, y: Rows) -> Array:
    """Log loss of each row ``(n,)`` at the temperature that suits all of them best."""
    return log_loss_rows(y, softmax(logits / fit_temperature(logits, y)))


@dataclass(frozen=True)
class Searched:
    """A strategy whose parameters are chosen by what other tasks say and by racing.

    Attributes:
        inner: The strategy; its parameters are the default that others are held against.
        by_hand: Parameters that stay as they are.
        taken: Configuration of each fold, and that of the final fit last; empty searches them.
        told: What an earlier search told, where ``taken`` came of one.
    """

    inner: Strategy
    by_hand: tuple[str, ...] = ()
    taken: tuple[Configuration, ...] = ()
    told: Mapping[str, object] = field(default_factory=dict[str, object])

    @property
    def name(self) -> str:
        """That of the strategy."""
        return self.inner.name

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """Those of the strategy."""
        return kinds_of(self.inner)

    @property
    def images(self) -> bool:
        """Whether the strategy reads images."""
        return reads_images(self.inner)

    @property
    def parameters(self) -> Mapping[str, object]:
        """Those of the strategy, before anything is chosen."""
        return asdict(cast("Any", self.inner)) if is_dataclass(self.inner) else {}

    @property
    def _space(self) -> Mapping[str, Sequence[object]]:
        return self.inner.space if isinstance(self.inner, Searchable) else {}

    def configurations(self) -> list[Configuration]:
        """All that can be chosen, the strategy's own first; or those that were."""
        if self.taken:
            return [each for at, each in enumerate(self.taken) if each not in self.taken[:at]]
        return configurations_of(self._space, self.parameters, self.by_hand)

    def expected(self, problem: Problem, configurations: Sequence[Configuration]) -> Expected:
        """What other tasks say of configurations on one like this."""
        fixed = {n: self.parameters[n] for n in self._space if n in self.by_hand}
        return expected(learned(), self.name, configurations, fixed, regime_of(problem))

    def supports(self, problem: Problem) -> str | None:
        """As the strategy."""
        return self.inner.supports(problem)

    def fit(self, problem: Problem) -> Predictor:
        """Choose on folds of the problem, and fit; texts that are the same share a fold."""
        if len(set(problem.texts)) < FIRST:
            return self.inner.fit(problem)
        folding = fold_groups(problem.texts, problem.y, _FOLDS, problem.seed)
        search = _Search(self, replace(problem, progress=_silent), folding)
        return search.strategies[search.choose(None)].fit(problem)

    def refit(self, problem: Problem, like: Predictor) -> Predictor:
        """On other examples; ``settled`` is cheaper, as it keeps what was chosen."""
        return self.fit(problem).calibrated(like.temperature)

    def cross_fit(self, problem: Problem, folding: Folding) -> Fitted:
        """Choose and fit for each fold on the others, and once on everything.

        Raises:
            OutOfTimeError: If the deadline passes; the search itself keeps far from it.
        """
        search = _Search(self, replace(problem, progress=_silent), folding)
        known, folds = search.configurations, range(folding.count)
        chosen = [known.index(each) for each in self.taken] if self.taken else []
        chosen = chosen or [search.choose(fold) for fold in (*folds, None)]
        problem.progress(0.8)
        logits = np.zeros((len(problem.y), len(problem.labels)))
        for fold in folds:
            logits[folding.inside(fold)] = search.answers(chosen[fold], (fold,))[fold]
        if not np.isfinite(logits).all():
            raise ValueError("it answered with numbers that are not finite")
        probabilities, temperature = calibrated_folds(logits, problem.y, folding)
        final = known[chosen[-1]]
        predictor = search.strategies[chosen[-1]].fit(problem).calibrated(temperature)
        told = self.told or {
            "tried": search.entering,
            "of": len(known),
            "folds": [known[at] for at in chosen[:-1]],
        }
        return Fitted(predictor, probabilities, parameters={**final, SEARCHED: dict(told)})


class _Search:
    """The fits of one search; what two folds have in common is fitted once."""

    def __init__(self, searched: Searched, problem: Problem, folding: Folding) -> None:
        self.configurations = searched.configurations()
        self.strategies = [_at(searched.inner, each) for each in self.configurations]
        self._problem, self._folding = problem, folding
        self._expected = searched.expected(problem, self.configurations)
        self._known: dict[tuple[int, tuple[int, ...]], dict[int, Array]] = {}
        self._searches = folding.count + 1
        self._until = time.monotonic() + SHARE * problem.deadline.remaining
        self.entering = 1 if searched.taken else self._affordable()

    def choose(self, outer: int | None) -> int:
        """Index of the configuration for a fold, seeing nothing of it; ``None`` for everything."""
        sure = int(self._expected.mean.argmin())
        parts = self._parts(outer)
        if self.entering < FIRST or not parts or time.monotonic() > self._until:
            return sure
        problem = self._problem

        def losses(configuration: int, part: int) -> Array:
            out = parts[part]
            rows = self._folding.inside(out[0])
            return row_losses(self.answers(configuration, out)[out[0]], problem.y[rows])

        entering = entrants(self._expected, self.entering)
        return race(losses, self._expected, entering, len(parts)).chosen

    def answers(self, configuration: int, out: tuple[int, ...]) -> dict[int, Array]:
        """Logits of the rows of folds, from one fit without any of these; forward, of the first."""
        key = (configuration, tuple(sorted(out)))
        if key in self._known:
            return self._known[key]
        if self._problem.deadline.passed:
            raise OutOfTimeError
        problem, folding = self._problem, self._folding
        predictor = self.strategies[configuration].fit(problem.take(self._fitted_on(out)))
        found: dict[int, Array] = {}
        for fold in out:
            texts = tuple(problem.texts[i] for i in folding.inside(fold).tolist())
            found[fold] = predictor.logits(batch_for(predictor, texts, problem.encoder))
        self._known[key] = found
        return found

    def _fitted_on(self, out: tuple[int, ...]) -> Rows:
        rows = self._folding.fitted_on(out[0])
        for fold in out[1:]:
            rows = np.intersect1d(rows, self._folding.fitted_on(fold))
        return rows

    def _parts(self, outer: int | None) -> list[tuple[int, ...]]:
        """What each part of a search leaves out, the fold that it answers first.

        With times a part is an earlier fold, answered by what came before it. Neighbours come
        first, so that two folds share the fit that leaves both out.
        """
        count, forward = self._folding.count, self._folding.forward
        if outer is None:
            parts: list[tuple[int, ...]] = [(fold,) for fold in range(count)]
        elif forward:
            parts = [(fold,) for fold in range(outer)] if outer >= FIRST else []
        else:
            near = [s * step for step in range(1, count) for s in (1, -1)]
            others = list(dict.fromkeys((outer + step) % count for step in near))
            parts = [(fold, outer) for fold in others if fold != outer]
        return [part for part in parts if self._can(part)]

    def _can(self, part: tuple[int, ...]) -> bool:
        """Whether the strategy can be fitted without the part."""
        rows = self._fitted_on(part)
        return len(rows) > 0 and self.strategies[0].supports(self._problem.take(rows)) is None

    def _affordable(self) -> int:
        """How many configurations may race in the time there is: 1 for none."""
        parts = self._parts(None)
        most = min(MOST, len(self.configurations))
        if not parts:
            return 1
        started = time.monotonic()
        self.answers(0, parts[0])
        fit = time.monotonic() - started
        left = self._until - time.monotonic()
        while most > 1 and fit * self._searches * fits_of(most, len(parts)) > left:
            most -= 1
        return most


def _silent(share: float) -> None:
    """Tells nobody: one fit is many."""
    del share
