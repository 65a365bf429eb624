"""What could be a rung, with honest answers of it: which rows fit, and which certify."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from milepost.entities.cascade import PERSON
from milepost.metrics.risk.cascading import Ladder
from milepost.metrics.risk.costs import Costs
from milepost.metrics.scoring.calibration import fit_temperature
from milepost.metrics.scoring.deciding import decided, is_right
from milepost.predictors.base import Predictor, softmax
from milepost.predictors.reading import batch_for
from milepost.strategy import Contender, DeclinedError, Problem

CERTIFIED_BY = 0.4
"""Share of the folds whose rows certify; the rungs are fitted on the others."""

_FLOOR = "majority"

Array = NDArray[np.float64]
Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """The two parts of the rows.

    Attributes:
        fitting: Rows that the rungs are fitted on and chosen by.
        certifying: Rows that certify: one per message of the other part.
        fold_of: ``(n,)`` in which fold each row lies.
    """

    fitting: Rows
    certifying: Rows
    fold_of: Rows


@dataclass(frozen=True, slots=True, eq=False)
class Rung:
    """What could be a rung, with its honest answers.

    Attributes:
        contender: What it is.
        temperature: Of its predictor on the first part; ``None`` for what is taken as it is.
        answers: ``(n, k) float32`` for all rows, of which those of the second part are missing
            until it is fitted.
    """

    contender: Contender
    temperature: float | None
    answers: NDArray[np.float32]


def parts_of(problem: Problem, fold_of: Rows) -> Parts:
    """Part the rows by folds.

    Raises:
        DeclinedError: If there are too few folds.
    """
    count = int(fold_of.max()) + 1
    cut = min(max(round(count * (1.0 - CERTIFIED_BY)), 1), count - 1)
    if cut < 2:
        raise DeclinedError(
            "A cascade needs three groups of examples at least: two that its rungs are chosen by, "
            "and one that certifies them."
        )
    evidence = np.arange(len(fold_of)) if problem.evidence is None else problem.evidence
    return Parts(
        fitting=np.flatnonzero(fold_of < cut),
        certifying=evidence[fold_of[evidence] >= cut],
        fold_of=fold_of,
    )


def sides(
    problem: Problem, parts: Parts, others: Sequence[Contender]
) -> tuple[Contender | None, list[Contender]]:
    """The last rung, ``None`` for people, and what is cheaper than it.

    Raises:
        DeclinedError: If there is no last rung, or nothing before it.
    """
    useful = [each for each in others if each.strategy != _FLOOR]
    if problem.cascade.last == PERSON:
        last, lower = None, useful
    else:
        asking = [each for each in useful if each.predictor.upstreams]
        if not asking:
            raise DeclinedError(
                "There is no language model to climb to. Register one with `milepost upstreams "
                "add`, or let people answer what is left: `cascade: {last: person}`."
            )
        y = problem.y[parts.fitting]

        def worth(each: Contender) -> tuple[float, float]:
            right = is_right(decided(each.out_of_fold[parts.fitting]), y)
            return float(right.mean()), -each.micro_usd_per_1k

        last = max(asking, key=worth)
        lower = [each for each in useful if each.micro_usd_per_1k < last.micro_usd_per_1k]
    lower = [each for each in lower if each.refit is not None or each.predictor.upstreams]
    if not lower:
        raise DeclinedError("Nothing is cheaper than the last rung, so that nothing would climb.")
    return last, sorted(lower, key=lambda each: (each.micro_usd_per_1k, each.p50_ms))


def candidate(problem: Problem, parts: Parts, contender: Contender) -> Rung:
    """Its answers to the first part, out of fold within that part."""
    if contender.refit is None:
        return Rung(contender, None, contender.out_of_fold)
    n = len(problem.texts)
    logits = np.zeros((n, len(problem.labels)))
    rows = parts.fitting
    for fold in np.unique(parts.fold_of[rows]).tolist():
        inside = rows[parts.fold_of[rows] == fold]
        outside = rows[parts.fold_of[rows] != fold]
        logits[inside] = _logits(problem, contender.refit(outside), inside)
    temperature = fit_temperature(logits[rows], problem.y[rows])
    return Rung(contender, temperature, softmax(logits / temperature))


def fitted(problem: Problem, parts: Parts, rung: Rung) -> Rung:
    """The rung fitted on the whole first part, with its answers to the second."""
    contender, temperature = rung.contender, rung.temperature
    if contender.refit is None or temperature is None:
        return rung
    predictor = contender.refit(parts.fitting).calibrated(temperature)
    rest = np.setdiff1d(np.arange(len(problem.texts)), parts.fitting)
    answers = rung.answers.copy()
    answers[rest] = softmax(_logits(problem, predictor, rest) / temperature)
    return Rung(replace(contender, predictor=predictor), temperature, answers)


def _logits(problem: Problem, predictor: Predictor, rows: Rows) -> Array:
    texts = tuple(problem.texts[row] for row in rows.tolist())
    return predictor.logits(batch_for(predictor, texts, problem.encoder))


def ladder_of(problem: Problem, rows: Rows, rungs: Sequence[Rung]) -> Ladder:
    """What rungs say of some rows; with what is lost where that is bet on."""
    answers = [rung.answers[rows] for rung in rungs]
    y, said = problem.y[rows], [decided(each) for each in answers]
    sure = [
        np.where(label < 0, -1.0, each.max(axis=1).astype(np.float64))
        for each, label in zip(answers, said, strict=True)
    ]
    right = [is_right(label, y) for label in said]
    loss = None
    if problem.cascade.at_most_cost is not None and problem.costs is not None:
        costs = Costs(problem.costs)
        loss = np.stack([costs.scaled(costs.of(y, label)) for label in said])
    elif problem.cascade.shown_by == "betting":
        loss = 1.0 - np.stack(right).astype(np.float64)
    return Ladder(np.stack(sure), np.stack(right), loss)
