"""What a release adds to a predictor's answers: withheld ones, and sets of labels."""

import numpy as np
import pytest

from milepost._base.digest import canonical_json
from milepost.entities.errors import InputError
from milepost.entities.prediction import Predictions
from milepost.entities.release import Manifest
from milepost.metrics.knowing.conformal import prediction_sets
from milepost.predictors.bundle import MANIFEST, bundle_files, predictor_from_files
from milepost.predictors.constant import ConstantPredictor
from milepost.predictors.exported import as_released

LABELS = ("a", "b", "c")
P = np.array([[0.5, 0.3, 0.2], [0.96, 0.03, 0.01], [0.1, 0.1, 0.8]], np.float32)


def manifest(**changes):
    values = {"kind": "constant", "task": "t", "task_version": "0" * 64, "strategy": "majority"}
    return Manifest(**values, labels=LABELS, **changes)


def test_unsure_answers_are_withheld_and_sets_are_not():
    found = as_released(
        Predictions(LABELS, P),
        manifest(abstain_below=0.6, set_thresholds={"0.9": 0.72, "0.8": 0.0}),
    )
    assert found.answers == (None, "a", "c")
    assert found.abstained.tolist() == [True, False, False]
    assert found.sets(0.9) == (("a", "b"), ("a",), ("c",))
    assert found.sets(0.8) == (("a",), ("a",), ("c",))


def test_sets_are_those_that_were_examined():
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(3), 200).astype(np.float32)
    found = Predictions(LABELS, p, set_thresholds={"0.9": 0.75}).sets(0.9)
    expected = prediction_sets(p, 0.75)
    assert [set(each) for each in found] == [
        {LABELS[i] for i in np.flatnonzero(row)} for row in expected
    ]


@pytest.mark.parametrize(
    ("thresholds", "advice"), [({"0.8": 0.1, "0.9": 0.2}, "for 0.8, 0.9"), ({}, "label more")]
)
def test_sets_that_nobody_examined_are_refused(thresholds, advice):
    with pytest.raises(InputError) as caught:
        Predictions(LABELS, P, set_thresholds=thresholds).sets(0.99)
    assert advice in str(caught.value.advice)


def test_thresholds_come_back_from_a_bundle_to_the_bit():
    predictor = ConstantPredictor(labels=LABELS, log_prior=np.log([0.2, 0.3, 0.5]))
    limits = {"0.9": 0.1 + 0.2, "0.95": 1.0 / 3.0}
    files = bundle_files(predictor, manifest(abstain_below=2.0 / 3.0, set_thresholds=limits))
    _, back = predictor_from_files(files)
    assert back.set_thresholds == limits
    assert back.abstain_below == 2.0 / 3.0
    assert canonical_json(back) == files[MANIFEST]


def test_a_release_without_thresholds_has_the_manifest_it_always_had():
    assert b"set_thresholds" not in canonical_json(manifest())
    assert as_released(Predictions(LABELS, P), manifest()).answers == ("a", "a", "c")
