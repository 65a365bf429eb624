from importlib.metadata import EntryPoint

import pytest

from milepost.entities.errors import UnknownNameError
from milepost.strategies import registry
from milepost.strategies.majority import Majority
from milepost.workflows.contest.options import competing


class Loud(Majority):
    name = "loud"


def names(wanted):
    return [strategy.name for strategy in competing(wanted)]


def test_all_take_part_and_the_floor_is_first():
    assert names(None)[0] == "majority"
    assert set(registry.STRATEGIES) <= set(names(None))


def test_the_floor_takes_part_in_every_selection_and_none_twice():
    assert names(["head_logistic", "head_logistic"]) == ["majority", "head_logistic"]
    assert names(["majority"]) == ["majority"]


def test_an_unknown_strategy_offers_the_nearest():
    with pytest.raises(UnknownNameError, match="Did you mean 'head_logistic'"):
        names(["head_logistics"])


def test_plug_ins_take_part_after_the_built_in_ones(monkeypatch):
    entry = EntryPoint("loud", f"{__name__}:Loud", registry.ENTRY_POINTS)
    monkeypatch.setattr(EntryPoint, "load", lambda self: Loud)
    monkeypatch.setattr(registry, "entry_points", lambda group: [entry])
    assert names(None)[-1] == "loud"
    assert names(["loud"]) == ["majority", "loud"]
