import pytest

from milepost.entities.errors import FieldError
from milepost.entities.prompts import CascadeRule
from milepost.entities.task import Objective, Task

COSTS = {"fraud": {"fine": 10.0}, "fine": {"fraud": 1.0}}


def test_what_is_promised_chooses_the_bound() -> None:
    assert CascadeRule().shown_by == "binomial"
    assert CascadeRule(bound="betting").shown_by == "betting"
    assert CascadeRule(at_most_cost=0.2).shown_by == "betting"


def test_promises_that_cannot_be_shown_are_refused() -> None:
    with pytest.raises(FieldError, match="shown by betting"):
        CascadeRule(at_most_cost=0.2, bound="binomial")
    with pytest.raises(FieldError, match="not both"):
        CascadeRule(at_most_cost=0.2, at_most_wrong=0.1)
    with pytest.raises(FieldError, match="names no costs"):
        Task(name="t", cascade=CascadeRule(at_most_cost=0.2))
    objective = Objective(metric="utility", costs=COSTS)
    with pytest.raises(FieldError, match="between the smallest and the largest cost, 0 and 10"):
        Task(name="t", objective=objective, cascade=CascadeRule(at_most_cost=10.0))
    task = Task(name="t", objective=objective, cascade=CascadeRule(at_most_cost=0.2, last="person"))
    assert task.leaves_to_people
