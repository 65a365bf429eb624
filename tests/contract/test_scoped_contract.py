"""A strategy with a detector passes every check that the strategy itself passes."""

import pytest

from milepost.contests.scoped import Scoped
from milepost.entities.expectations import ScopeRule
from milepost.strategies.registry import STRATEGIES, strategy_named
from milepost.strategy import kinds_of
from milepost.testing.encoders import HashedEncoder
from milepost.testing.strategies import CHECKS

ALONE = [
    name
    for name, kind in STRATEGIES.items()
    if not (hasattr(kind, "combine") or hasattr(kind, "seconds") or getattr(kind, "asks", False))
    and "classify" in kinds_of(kind)
]
"""Those that get a detector: what asks language models tells inputs out of scope by itself. Those
that train have suites of their own."""


@pytest.mark.parametrize(
    ("name", "label"),
    [*((name, "card_lost") for name in ALONE), ("head_closed_form", "never_seen")],
)
def test_scoped_strategy_conforms(name, label):
    # At 0.5 so few examples set a threshold, so that something is turned away.
    strategy = Scoped(strategy_named(name), ScopeRule(label=label, keep=0.5))
    for check in CHECKS:
        check(strategy, HashedEncoder())
