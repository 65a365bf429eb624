"""Tasks with several inputs, asked by protocols that send texts."""

import pytest

from milepost.entities.inputs import Composition
from milepost.entities.serving import ServedTask
from milepost.gateway.errors import RefusedError
from milepost.gateway.gate import require_one_input


def test_one_text_is_not_taken_for_several_inputs():
    pair = ServedTask(
        name="same",
        labels=("match", "no_match"),
        production=1,
        inputs=Composition(names=("left", "right")),
    )
    with pytest.raises(RefusedError, match="left, right") as refused:
        require_one_input(pair)
    assert refused.value.status == 400
    assert "/v1/tasks/same/predict" in str(refused.value)


def test_a_task_with_one_input_is_asked_by_all():
    assert require_one_input(ServedTask(name="route", labels=("a", "b"), production=1)) is None
