"""Every strategy passes every published conformance check."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

from milepost.predictors.constant import ConstantPredictor
from milepost.strategies.registry import STRATEGIES, strategy_named
from milepost.testing.encoders import HashedEncoder
from milepost.testing.strategies import CHECKS, check_strategy

ALONE = [
    name
    for name, kind in STRATEGIES.items()
    if not hasattr(kind, "combine") and not hasattr(kind, "seconds")
]
"""Those that are made of others come to nothing by themselves; those that train need an encoder's
own weights, and have suites of their own."""


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", ALONE)
def test_strategy_conforms(name, check):
    check(strategy_named(name), HashedEncoder())


@dataclass(frozen=True)
class Faulty:
    """A plug-in with one fault of choice."""

    name: ClassVar[str] = "faulty"
    fault: str = "none"

    def supports(self, problem):
        return "no" if self.fault == "reason" else None

    def fit(self, problem):
        labels = problem.labels
        if self.fault == "order":
            labels = labels[::-1]
        if self.fault == "changes":
            problem.y.setflags(write=True)
            problem.y[:1] += 1
        prior = np.zeros(len(labels))
        if self.fault == "nan":
            prior[0] = np.nan
        if self.fault == "random":
            prior = np.random.default_rng().normal(size=len(labels))
        if self.fault != "progress":
            problem.progress(1.0)
        return ConstantPredictor(labels=labels, log_prior=prior)


def test_a_plain_plugin_passes():
    check_strategy(Faulty(), HashedEncoder())


@pytest.mark.parametrize("fault", ["reason", "order", "changes", "nan", "random", "progress"])
def test_each_fault_is_found(fault):
    with pytest.raises(AssertionError, match="faulty: "):
        check_strategy(Faulty(fault), HashedEncoder())
