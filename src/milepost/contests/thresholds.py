"""Thresholds of labels that any number may be answered of, chosen and judged out of fold.

As the temperature is: those of a fold's rows are chosen on the rows that its predictor was fitted
on, and those of the predictor on all.
"""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from milepost.data.splitting.folding import Folding
from milepost.entities.prediction import ANSWERS, LabelSets, Predictions
from milepost.metrics.scoring.thresholds import WEIGHTS, chosen_thresholds
from milepost.predictors.base import Predictor
from milepost.strategy import Problem


def with_thresholds(
    predictor: Predictor, out_of_fold: NDArray[np.float32], problem: Problem
) -> Predictor:
    """The predictor with thresholds, where the measure of the task is one that asks for them.

    Args:
        predictor: Fitted on all training examples.
        out_of_fold: ``(n, k)``, calibrated.
        problem: Gives truths and the measure.
    """
    if problem.link != "sigmoid" or problem.metric not in WEIGHTS:
        return predictor
    found = chosen_thresholds(out_of_fold, problem.y, problem.metric)
    return replace(predictor, thresholds=tuple(float(each) for each in found))


def answers_out_of_fold(
    predictor: Predictor,
    out_of_fold: NDArray[np.float32],
    problem: tuple[NDArray[Any], str],
    folding: Folding,
    rows: NDArray[np.int64],
) -> Predictions:
    """What is answered to the training examples, each by a predictor and thresholds without it.

    Args:
        predictor: Fitted on all training examples.
        out_of_fold: ``(n, k)``, calibrated.
        problem: Truths of the examples, and the measure of the task.
        folding: Which rows answered which.
        rows: ``(m,)`` the examples whose answers are wanted.
    """
    y, metric = problem
    found = ANSWERS[predictor.link](predictor.labels, out_of_fold[rows])
    if not isinstance(found, LabelSets) or not predictor.thresholds:
        return found
    limits = np.zeros(out_of_fold.shape, np.float32)
    for fold in range(folding.count):
        outside = folding.fitted_on(fold)
        limits[folding.inside(fold)] = chosen_thresholds(out_of_fold[outside], y[outside], metric)
    return replace(found, thresholds=limits[rows])
