"""How many steps a tuning takes, and how long that will be."""

import time
from collections.abc import Mapping, Sequence

import numpy as np

from milepost.strategies.tuning.records import Tuning

FEWEST_STEPS, MOST_STEPS = 60, 1500
TIMES = 5.0
"""How often each example is drawn, as a first or as a partner, where neither bound holds."""

_EFFICIENCY = 0.5
"""Share of the speed of one large matrix product that the steps reach, attention included."""
_CHARACTERS = 4.5
_OVERHEAD = 8.0


def steps_for(rows: int, batch: int) -> int:
    """Steps of tuning for so many examples, label names included."""
    return int(np.clip(round(TIMES * rows / batch * 2), FEWEST_STEPS, MOST_STEPS))


def seconds_of(tuning: Tuning, texts: Sequence[str], config: Mapping[str, object]) -> float:
    """Wall seconds of a fit, from its floating-point work and the machine's speed now.

    A step passes the tuned layers forwards and, for the gradient of the states, backwards: twice
    the 24 d² operations a token and layer of a transformer whose inner width is 4 d. Weights that
    are tuned themselves cost the same once more. Before and after, all texts pass all layers.

    Args:
        tuning: How.
        texts: The examples; their lengths count.
        config: Of the encoder; ``hidden_size`` and ``num_hidden_layers``.
    """
    width = int(str(config.get("hidden_size", 384)))
    depth = int(str(config.get("num_hidden_layers", 6)))
    lengths = [min(tuning.max_tokens, 2 + len(text) / _CHARACTERS) for text in texts]
    tokens = float(np.mean(lengths)) if lengths else 2.0
    passes = 3.0 if tuning.whole else 2.0
    rows = min(tuning.batch, len(texts)) * tuning.steps
    layers = passes * min(tuning.layers, depth) * rows + 2.0 * depth * len(texts)
    return _OVERHEAD + 24.0 * width**2 * tokens * layers / (_EFFICIENCY * _speed())


def _speed() -> float:
    """Floating-point operations a second of a matrix product of 25 MFLOP, best of a few."""
    left, right = np.ones((512, 384), np.float32), np.ones((384, 1536), np.float32)
    best = np.inf
    for _ in range(5):
        started = time.perf_counter()
        np.matmul(left, right)
        best = min(best, time.perf_counter() - started)
    return 2.0 * left.size * right.shape[1] / best
