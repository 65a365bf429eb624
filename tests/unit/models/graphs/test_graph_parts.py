"""Integers that every processor multiplies alike, scales, smoothing, and the layout of inputs."""

import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from milepost.models.graphs.layout import GRID, IDS, LENGTHS, MASK, PLACES, TILE, flat, tiled
from milepost.models.graphs.parts import (
    FUSED,
    Linear,
    Parts,
    Range,
    StaticInt8,
    quantised,
    smoothing,
)
from milepost.models.graphs.writer import FLOAT, UINT8, Graph, Value, written

ROWS = st.lists(st.lists(st.integers(1, 99), min_size=1, max_size=30), min_size=1, max_size=9)
WEIGHTS = arrays(
    np.float32,
    st.tuples(st.integers(1, 33), st.integers(1, 8)),
    elements=st.floats(-4, 4, width=32),
)


@given(WEIGHTS)
def test_no_two_neighbours_can_saturate_sixteen_bits(weight):
    integers, scales = quantised(weight)
    padded = np.pad(integers.astype(np.int64), ((0, len(integers) % 2), (0, 0)))
    pairs = padded.reshape(-1, 2, weight.shape[1])
    assert 255 * np.maximum(pairs, 0).sum(1).max() <= 2**15 - 1
    assert 255 * np.maximum(-pairs, 0).sum(1).max() <= 2**15
    assert np.abs(integers * scales - weight).max() <= scales.max() / 2 + 1e-6


@pytest.mark.parametrize("seed", range(3))
def test_the_runtime_multiplies_the_integers_exactly(seed):
    """Activations at both ends of their range, where saturation would show first."""
    rng = np.random.default_rng(seed)
    weight = rng.normal(size=(64, 16)).astype(np.float32)
    x = rng.choice(np.array([-1, 0, 1], np.float32), size=(40, 64))
    bias = rng.normal(size=16).astype(np.float32)
    seen = Range(-np.ones(64, np.float32), np.ones(64, np.float32))
    parts = Parts()
    (result,) = StaticInt8({"x": seen}).linears(parts, "x", [Linear("l", weight, bias)])
    graph = Graph(
        parts.nodes,
        list(parts.constants.values()),
        [Value("x", FLOAT, ["t", 64])],
        [Value(result, FLOAT, ["t", 16]), Value("x.int8", UINT8, None)],
    )
    session = onnxruntime.InferenceSession(written(graph, {"": 18, FUSED: 1}, 9))
    found, integers = session.run(None, {"x": x})
    factor = smoothing(seen, np.abs(weight).max(1))
    whole, scales = quantised(weight * factor[:, None])
    scale, zero = (float(parts.constants[f"x.{name}"].array) for name in ("scale", "zero"))
    products = (integers.astype(np.int64) - int(zero)) @ whole.astype(np.int64)
    assert np.abs(found - (products * scale * scales + bias)).max() <= 1e-4
    assert np.abs(found - (x @ weight + bias)).max() <= 0.2


def test_smoothing_changes_no_product_and_has_mean_one():
    rng = np.random.default_rng(0)
    high = rng.exponential(size=32).astype(np.float32) ** 3
    weights = rng.exponential(size=32).astype(np.float32)
    factor = smoothing(Range(-high, high), weights)
    assert np.exp(np.log(factor).mean()) == pytest.approx(1, abs=1e-4)
    assert np.corrcoef(np.log(factor), np.log(high))[0, 1] > 0.9


@given(ROWS)
def test_a_flat_batch_holds_every_token_once(rows):
    feeds = flat(rows)
    assert feeds[IDS].tolist() == [token for row in rows for token in row]
    assert feeds[LENGTHS].tolist() == [len(row) for row in rows]
    cells = feeds[IDS][feeds[GRID]]
    for i, row in enumerate(rows):
        assert cells[i, : len(row)].tolist() == row
        assert feeds[MASK][i].tolist() == [1] * len(row) + [0] * (cells.shape[1] - len(row))
    assert np.array_equal(feeds[GRID].ravel()[feeds[PLACES]], np.arange(len(feeds[IDS])))


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(1, 70), st.integers(0, 5)), min_size=1, max_size=12))
def test_tiles_hold_tokens_of_one_adapter_each(rows):
    lengths, slots = [length for length, _ in rows], [slot for _, slot in rows]
    feeds = tiled(lengths, slots)
    owners = np.repeat(slots, lengths)
    tiles, of_tile, untiled = feeds["tiles"], feeds["tile_adapter"], feeds["untiled"]
    assert tiles.shape == (len(of_tile), TILE)
    assert np.array_equal(tiles.ravel()[untiled], np.arange(len(owners)))
    assert np.array_equal(of_tile[untiled // TILE], owners)
    assert len(of_tile) <= sum(-(-length // TILE) for length in lengths)
