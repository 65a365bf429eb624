"""Thresholds are chosen on rows that they do not judge, and kept in the bundle."""

import json
from dataclasses import replace
from hashlib import sha256

import numpy as np
import pytest

from milepost.contests.runner import run
from milepost.contests.thresholds import answers_out_of_fold
from milepost.data.splitting.folding import fold_groups
from milepost.entities.errors import CorruptError
from milepost.entities.kinds import strata
from milepost.entities.release import Manifest
from milepost.metrics.scoring.label_sets import micro_f1
from milepost.metrics.scoring.measures import Sample
from milepost.predictors.bundle import MANIFEST, PARAMETERS, bundle_files, predictor_from_files
from milepost.strategies.head_ridge import HeadRidge
from milepost.strategies.majority import Majority
from milepost.testing.encoders import HashedEncoder
from milepost.testing.strategies import example_problem


def contest(metric):
    problem = example_problem(HashedEncoder(), kind="multilabel")
    problem = replace(problem, metric=metric)
    groups = [str(row) for row in range(len(problem.texts))]
    folding = fold_groups(groups, strata("multilabel", problem.y), 3, 0)
    entries = run(problem, folding, [Majority(), HeadRidge()])
    return problem, folding, entries[1].fitted


def test_a_row_is_answered_by_thresholds_of_the_other_folds():
    problem, folding, fitted = contest("micro_f1")
    assert len(fitted.predictor.thresholds) == len(problem.labels)
    rows = np.arange(len(problem.texts))

    def answers(y):
        return answers_out_of_fold(
            fitted.predictor, fitted.out_of_fold, (y, "micro_f1"), folding, rows
        )

    before = answers(problem.y)
    inside = folding.inside(0)
    turned = problem.y.copy()
    turned[inside, :-1] = 1 - turned[inside, :-1]
    after = answers(turned)
    assert np.array_equal(before.thresholds[inside], after.thresholds[inside])
    assert not np.array_equal(before.thresholds, after.thresholds)
    plain = micro_f1().value(Sample(problem.y, before.probabilities))
    assert micro_f1().value(Sample(problem.y, before.judged)) >= plain


def test_other_measures_answer_from_one_half():
    problem, folding, fitted = contest("exact_match")
    assert fitted.predictor.thresholds == ()
    rows = np.arange(len(problem.texts))
    found = answers_out_of_fold(
        fitted.predictor, fitted.out_of_fold, (problem.y, "exact_match"), folding, rows
    )
    assert found.judged is found.probabilities


def test_a_bundle_keeps_them_and_refuses_others():
    _, _, fitted = contest("macro_f1")
    predictor = fitted.predictor
    manifest = Manifest(kind=predictor.kind, task="t", task_version="v", labels=predictor.labels,
                        strategy="head_ridge")  # fmt: skip
    files = bundle_files(predictor, manifest)
    read, _ = predictor_from_files(files)
    assert read.thresholds == predictor.thresholds
    said = json.loads(files[PARAMETERS])
    said["thresholds"][0] = 1.5
    wrong = json.dumps(said).encode()
    listed = json.loads(files[MANIFEST])
    for file in listed["files"]:
        if file["name"] == PARAMETERS:
            file |= {"sha256": sha256(wrong).hexdigest(), "size": len(wrong)}
    damaged = {**files, PARAMETERS: wrong, MANIFEST: json.dumps(listed).encode()}
    with pytest.raises(CorruptError, match="thresholds"):
        predictor_from_files(damaged)
