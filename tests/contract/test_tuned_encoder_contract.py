"""The tuned encoder passes every published conformance check, alone and before a detector."""

import pytest

from milepost.contests.scoped import Scoped
from milepost.entities.expectations import ScopeRule
from milepost.strategies.tuned_encoder import TunedEncoder
from milepost.testing.strategies import CHECKS
from milepost.testing.tiny import TinyEncoder, write_tiny

QUICK = TunedEncoder(steps=4, batch=8)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return TinyEncoder(write_tiny(tmp_path_factory.mktemp("tiny") / "bert"))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_tuned_encoder_conforms(check, tiny):
    check(QUICK, tiny)


@pytest.mark.exhaustive
def test_tuned_encoder_with_a_detector_conforms(tiny):
    for check in CHECKS:
        check(Scoped(QUICK, ScopeRule(label="card_lost", keep=0.5)), tiny)


@pytest.mark.slow
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_an_encoder_tuned_whole_conforms(check, tiny):
    check(TunedEncoder(steps=4, batch=8, whole=True), tiny)
