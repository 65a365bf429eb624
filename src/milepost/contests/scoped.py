"""Any strategy made to know what is out of scope: what it fits gets a detector before it.

The strategy is not told. Scores are compared by out-of-fold AUROC, one is chosen, and the threshold
is the smallest that keeps the share of inputs in scope that the task asks for.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, is_dataclass, replace
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from milepost.contests.held import OutOfTimeError
from milepost.contests.runner import Fitted
from milepost.data.splitting.folding import Folding, fold_groups
from milepost.entities.expectations import ScopeRule
from milepost.entities.kinds import KINDS, Kind
from milepost.metrics.knowing.conformal import conformal_threshold
from milepost.metrics.knowing.scope import (
    COMBINED,
    SCORES,
    Geometry,
    auroc,
    choose_score,
    fit_slope,
    scope_scores,
)
from milepost.metrics.scoring.calibration import fit_temperature
from milepost.predictors.base import Predictor, softmax
from milepost.predictors.reading import batch_for, encoder_for
from milepost.predictors.scoped import NOTHING, ScopedPredictor
from milepost.strategies.problems import encode, label_examples
from milepost.strategy import Problem, Strategy, kinds_of, reads_images

FEWEST = 10
"""Fewest examples in scope that a detector is fitted on."""

FEWEST_OUT = 10
"""Fewest examples out of scope that scores are compared on; below, whole labels are left out of a
fit and stand for them."""

SURE = 0.95
"""Confidence that the threshold keeps the share of inputs in scope that the task asks for."""

_COMBINED = "combined"
_PARTS = 3
_FOLDS = 5

Array = NDArray[np.float64]
Rows = NDArray[np.int64]


def scoped(strategy: Strategy, rule: ScopeRule) -> Strategy:
    """The strategy with a detector before what it fits."""
    # Its name is a property, that of the strategy; the protocol's is written for plain classes.
    return cast("Strategy", Scoped(strategy, rule))


@dataclass(frozen=True, slots=True, eq=False)
class _Evidence:
    """Scores of ``n`` inputs from fits that saw none of them.

    Attributes:
        scores: ``(n, m)``, those of ``SCORES``.
        out: ``(n,)`` whether each is out of scope, or stands for what is.
        log_top: ``(n,)`` log-probability of the best label in scope.
    """

    scores: Array
    out: NDArray[np.bool_]
    log_top: Array

    def take(self, rows: Rows) -> "_Evidence":
        return _Evidence(self.scores[rows], self.out[rows], self.log_top[rows])


@dataclass(frozen=True, slots=True, eq=False)
class _Detector:
    """What is learned from evidence; see ``ScopedPredictor``."""

    weights: Array
    centre: Array
    scale: Array
    threshold: float
    slope: float
    score: str
    compared: Mapping[str, float]

    def margin(self, scores: Array) -> Array:
        return ((scores - self.centre) / self.scale) @ self.weights - self.threshold


class _Part(NamedTuple):
    """The rows of a fold and their vectors, as its predictor reads them, with what is in scope."""

    rows: Rows
    vectors: NDArray[np.float32]
    geometry: Geometry


@dataclass(frozen=True)
class Scoped:
    """A strategy with a detector before what it fits.

    Where there are examples out of scope the strategy learns them as one label among the others:
    its answers among the other labels are kept, and how far that label leads is one of the scores.
    Without, it learns the other labels alone.

    Attributes:
        inner: The strategy.
        rule: What the task asks for.
    """

    inner: Strategy
    rule: ScopeRule

    @property
    def name(self) -> str:
        """That of the strategy."""
        return self.inner.name

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """Those of the strategy whose answer is one label."""
        return tuple(kind for kind in kinds_of(self.inner) if KINDS[kind].link == "softmax")

    @property
    def images(self) -> bool:
        """Whether the strategy reads images."""
        return reads_images(self.inner)

    @property
    def parameters(self) -> dict[str, object]:
        """Those of the strategy."""
        return asdict(cast("Any", self.inner)) if is_dataclass(self.inner) else {}

    def supports(self, problem: Problem) -> str | None:
        """It needs enough examples in scope, and the strategy what it needs itself."""
        known = int((problem.y != self._column(problem)).sum())
        if known < FEWEST:
            return (
                f"Telling what is out of scope takes {FEWEST} examples in scope; there are {known}."
            )
        if len(problem.labels) < 3:
            return "There must be two labels besides the one for what is out of scope."
        return self.inner.supports(self._learned(problem))

    def fit(self, problem: Problem) -> Predictor:
        """Cross-fit for the detector, and fit; texts that are the same share a fold."""
        folding = fold_groups(problem.texts, problem.y, _FOLDS, problem.seed)
        fitted = self.cross_fit(replace(problem, progress=_silent), folding)
        problem.progress(1.0)
        return fitted.predictor

    def refit(self, problem: Problem, like: Predictor) -> Predictor:
        """The strategy and what is in scope on other examples; score and threshold are kept."""
        if not isinstance(like, ScopedPredictor):
            return self.fit(problem)
        inside = np.flatnonzero(problem.y != self._column(problem))
        inner = self.inner.fit(self._learned(problem)).calibrated(like.inner.temperature)
        return replace(like, inner=inner, geometry=self._geometry(_read(problem, inner), inside))

    def cross_fit(self, problem: Problem, folding: Folding) -> Fitted:
        """Predictor with detector, and answers out of fold; the detector's are so too."""
        at = self._column(problem)
        learned = self._learned(problem)
        logits, parts = self._out_of_fold(problem, learned, folding)
        own = at if learned.labels == problem.labels else None
        known = logits if own is None else np.delete(logits, own, axis=1)
        inside = problem.y != at
        among = np.where(inside, problem.y - (problem.y > at), -1)
        temperatures = _temperatures(known, among, folding)
        scores = np.zeros((len(problem.y), len(SCORES)))
        for part in parts:
            rows = part.rows
            cooler = logits[rows] / temperatures[rows]
            scores[rows] = scope_scores(cooler, part.vectors, part.geometry, own)
        temperature = fit_temperature(known, among)
        cooled = known / temperatures
        normal = cooled - np.logaddexp.reduce(cooled, axis=1, keepdims=True)
        evidence = _Evidence(scores, ~inside, normal.max(axis=1))
        standing_in = None if own is not None else self._left_out(problem, learned, temperature)

        margins = np.zeros(len(problem.y))
        for fold in range(folding.count):
            rows = folding.inside(fold)
            detector = self._detector(evidence.take(folding.fitted_on(fold)), standing_in)
            margins[rows] = detector.slope * detector.margin(scores[rows])
        full = np.insert(normal, at, normal.max(axis=1) + margins, axis=1)
        detector = self._detector(evidence, standing_in)
        inner = self.inner.fit(learned).calibrated(temperature)
        predictor = ScopedPredictor(
            labels=problem.labels,
            inner=inner,
            label=self.rule.label,
            threshold=detector.threshold,
            slope=detector.slope,
            weights=detector.weights,
            centre=detector.centre,
            scale=detector.scale,
            geometry=self._geometry(_read(problem, inner), np.flatnonzero(inside)),
            score_name=detector.score,
            compared=detector.compared,
        )
        probabilities = np.zeros(full.shape, np.float32)
        for fold in range(folding.count):
            rows, others = folding.inside(fold), folding.fitted_on(fold)
            probabilities[rows] = softmax(
                full[rows] / fit_temperature(full[others], problem.y[others])
            )
        return Fitted(predictor.calibrated(fit_temperature(full, problem.y)), probabilities)

    def _column(self, problem: Problem) -> int:
        return problem.labels.index(self.rule.label)

    def _learned(self, problem: Problem) -> Problem:
        """What the strategy learns: everything, or the rows and labels in scope."""
        at = self._column(problem)
        inside = np.flatnonzero(problem.y != at)
        if len(problem.y) - len(inside) >= FEWEST_OUT:
            return problem
        keep = [column for column in range(len(problem.labels)) if column != at]
        rows = problem.take(inside)
        return replace(
            rows,
            labels=tuple(problem.labels[column] for column in keep),
            descriptions=tuple(problem.descriptions[column] for column in keep),
            y=rows.y - (rows.y > at),
        )

    def _out_of_fold(
        self, problem: Problem, learned: Problem, folding: Folding
    ) -> tuple[Array, list[_Part]]:
        """Logits of the strategy out of fold, and each fold's rows with what was in scope."""
        whole = learned.labels == problem.labels
        together = None
        if whole and not folding.forward:
            together = getattr(self.inner, "fit_folds", None)
        fitted = None if together is None else together(problem, folding.fold_of)
        inside = np.flatnonzero(problem.y != self._column(problem))
        position = np.full(len(problem.y), -1)
        position[inside] = np.arange(len(inside))
        logits = np.zeros((len(problem.y), len(learned.labels)))
        parts: list[_Part] = []
        for fold in range(folding.count):
            if problem.deadline.passed:
                raise OutOfTimeError
            rows, known = folding.inside(fold), folding.fitted_on(fold)
            scoped = np.intersect1d(known, inside)
            if fitted is None:
                predictor = self.inner.fit(learned.take(known if whole else position[scoped]))
            else:
                predictor = fitted[fold]
            logits[rows] = _logits(problem, predictor, rows)
            read = _read(problem, predictor)
            vectors = encode(read.encoder, [problem.texts[i] for i in rows])
            parts.append(_Part(rows, vectors, self._geometry(read, scoped)))
        if not np.isfinite(logits).all():
            raise ValueError("it answered with numbers that are not finite")
        return logits, parts

    def _left_out(self, problem: Problem, learned: Problem, temperature: float) -> _Evidence:
        """Evidence from whole labels that stand for what is out of scope (Fei & Liu 2016).

        Each of a few fits learns neither some labels nor some rows of the others, and scores both.
        """
        rng = np.random.default_rng(problem.seed)
        part_of_label = rng.permutation(len(learned.labels)) % _PARTS
        part_of_row = rng.permutation(len(learned.y)) % _PARTS
        gone = part_of_label[learned.y]
        found: list[_Evidence] = []
        for part in range(_PARTS):
            labels = np.flatnonzero(part_of_label != part)
            fitted_on = np.flatnonzero((gone != part) & (part_of_row != part))
            scored = np.flatnonzero(part_of_row == part)
            out = gone[scored] == part
            if len(labels) < 2 or len(fitted_on) < 2 or out.all() or not out.any():
                continue
            fewer = replace(
                learned.take(fitted_on),
                labels=tuple(learned.labels[i] for i in labels),
                descriptions=tuple(learned.descriptions[i] for i in labels),
                y=np.searchsorted(labels, learned.y[fitted_on]),
            )
            if self.inner.supports(fewer) is not None:
                continue
            predictor = self.inner.fit(fewer)
            logits = _logits(learned, predictor, scored) / temperature
            read = _read(learned, predictor)
            vectors = encode(read.encoder, [learned.texts[i] for i in scored])
            scores = scope_scores(logits, vectors, self._geometry(read, fitted_on), None)
            scores = _standard(scores, *_spread(scores[~out]))
            log_top = logits.max(axis=1) - np.logaddexp.reduce(logits, axis=1)
            found.append(_Evidence(scores, out, log_top))
        if not found:
            nothing = np.zeros((0, len(SCORES)))
            return _Evidence(nothing, np.zeros(0, np.bool_), np.zeros(0))
        return _Evidence(
            np.concatenate([each.scores for each in found]),
            np.concatenate([each.out for each in found]),
            np.concatenate([each.log_top for each in found]),
        )

    def _geometry(self, problem: Problem, rows: Rows) -> Geometry:
        vectors = encode(problem.encoder, [problem.texts[i] for i in rows])
        known = label_examples(problem)
        names = known.vectors
        if self.rule.label in problem.labels:
            names = names[known.y != problem.labels.index(self.rule.label)]
        return Geometry.of(vectors, problem.y[rows], names)

    def _detector(self, evidence: _Evidence, standing_in: _Evidence | None) -> _Detector:
        """The score with the best AUROC, and the threshold that keeps what must be kept."""
        known = evidence.scores[~evidence.out]
        centre, scale = _spread(known)
        if standing_in is None:
            judged = replace(evidence, scores=_standard(evidence.scores, centre, scale))
        else:
            judged = standing_in
        weights = _weights(known)
        compared: dict[str, float] = {}
        score = _COMBINED
        if judged.out.any() and not judged.out.all():
            measured = {n: auroc(judged.scores @ w, judged.out) for n, w in weights.items()}
            compared = {name: each.value for name, each in measured.items()}
            score = choose_score(measured, _COMBINED)
        chosen = weights[score]
        own = _standard(known, centre, scale) @ chosen
        threshold = conformal_threshold(own, self.rule.keep, SURE)
        limit = min(threshold, NOTHING)
        slope = 1.0
        if np.isfinite(threshold) and judged.out.any():
            slope = fit_slope(judged.scores @ chosen - limit, judged.out, judged.log_top)
        return _Detector(chosen, centre, scale, limit, slope, score, compared)


def _temperatures(logits: Array, y: Rows, folding: Folding) -> Array:
    """Temperature of each row, ``(n, 1)``, fitted on the rows that its predictor learned from."""
    found = np.ones((len(y), 1))
    for fold in range(folding.count):
        others = folding.fitted_on(fold)
        found[folding.inside(fold)] = fit_temperature(logits[others], y[others])
    return found


def _silent(share: float) -> None:
    """Tells nobody: one fit is many."""
    del share


def _logits(problem: Problem, predictor: Predictor, rows: Rows) -> Array:
    texts = tuple(problem.texts[i] for i in rows)
    return predictor.logits(batch_for(predictor, texts, problem.encoder))


def _read(problem: Problem, predictor: Predictor) -> Problem:
    """The problem with the encoder as the predictor reads it, with its adapter."""
    own = encoder_for(predictor, problem.encoder)
    return problem if own is None else replace(problem, encoder=own)


def _spread(scores: Array) -> tuple[Array, Array]:
    spread = scores.std(axis=0)
    return scores.mean(axis=0), np.where(spread > 1e-9, spread, 1.0)


def _standard(scores: Array, centre: Array, scale: Array) -> Array:
    return (scores - centre) / scale


def _weights(known: Array) -> dict[str, Array]:
    """Each score alone, and the combination; a score that says nothing takes no part."""
    telling = known.std(axis=0) > 1e-9
    single = {name: np.eye(len(SCORES))[at] for at, name in enumerate(SCORES) if telling[at]}
    combined = np.array([float(n in COMBINED) for n in SCORES]) * telling
    if not combined.any():
        combined = np.ones(len(SCORES))
    return {_COMBINED: combined / combined.sum(), **single}
