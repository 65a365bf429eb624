"""Effects of tasks on each other: planted ones are found, and none where there is none."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.metrics import affinity
from milepost.metrics.affinity import TaskVectors, effects_between, helpful_groups

WIDTH = 8


def task(seed, axis, n=600, flip=1.0):
    """Two labels apart along one axis, on which a louder one leaks.

    The space has to learn to take it off, which every task of that axis needs alike.
    """
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    x = rng.normal(0, 0.4, (n, WIDTH))
    x[:, axis - 1] *= 2.5
    x[:, axis] = (2 * y - 1) * flip * 0.5 + x[:, axis - 1]
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    labels = rng.normal(0, 1, (2, WIDTH))
    labels /= np.linalg.norm(labels, axis=1, keepdims=True)
    return TaskVectors(
        x.astype(np.float32), y.astype(np.int64), labels.astype(np.float32), np.arange(n) % 2 == 1
    )


@pytest.fixture(scope="module")
def found():
    # 0 and 1 tell the same axis apart, 1 with its labels the other way round; 2 another one.
    return effects_between([task(0, 3), task(1, 3, flip=-1.0), task(2, 7)])


def test_tasks_that_need_the_same_axis_help_each_other_whatever_their_labels(found):
    assert found.gain[0, 1] > 0
    assert found.gain[1, 0] > 0
    assert found.shown.tolist() == [[False, True, False], [True, False, False], [False] * 3]


def test_a_task_of_another_axis_does_not(found):
    assert found.gain[2, 0] < found.gain[1, 0] / 4
    assert found.gain[0, 2] < found.gain[0, 1] / 4


def test_the_groups_are_what_was_planted(found):
    assert [0, 1] in helpful_groups(found.gain)


def test_the_diagonal_is_no_test(found):
    assert np.diag(found.p_value).tolist() == [1.0, 1.0, 1.0]


def test_labels_by_chance_are_shown_to_help_nobody():
    rng = np.random.default_rng(3)
    tasks = []
    for seed in range(8):
        each = task(seed, 1 + seed % (WIDTH - 1))
        y = rng.permutation(each.y)
        tasks.append(TaskVectors(each.vectors, y, each.labels, each.half))
    found = effects_between(tasks)
    assert not found.shown.any()


def test_the_slope_is_the_direction_of_the_loss():
    read = affinity._Readout(task(5, 2, n=40))
    own = read.slope(half=False)
    other = np.random.default_rng(0).normal(size=(WIDTH, WIDTH))
    # The slope has unit length; along itself the loss rises by its own length.
    length = rise(read, own)
    assert length > 0
    assert rise(read, other) / length == pytest.approx(float((own * other).sum()), rel=1e-4)


def rise(read, direction, step=1e-6):
    """Derivative of the first half's loss along a direction of the shared matrix."""
    rows = np.flatnonzero(~read._half)

    def loss(move):
        moved = read._x[rows] + move * (read._x[rows] @ direction)
        return read._losses(read._similarity(moved, rows) / read._temperature, rows).mean()

    return (loss(step) - loss(-step)) / (2 * step)


@given(st.integers(1, 7), st.integers(0, 10_000))
def test_every_task_is_in_one_group(tasks, seed):
    gain = np.random.default_rng(seed).normal(0, 1, (tasks, tasks))
    groups = helpful_groups(gain)
    assert sorted(at for group in groups for at in group) == list(range(tasks))


@given(st.integers(0, 10_000))
def test_who_only_harms_stays_alone(seed):
    gain = -np.abs(np.random.default_rng(seed).normal(0, 1, (4, 4))) - 1e-3
    assert helpful_groups(gain) == [[0], [1], [2], [3]]
