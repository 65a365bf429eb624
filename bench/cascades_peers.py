"""LOTUS's learned thresholds of filter cascades, as it ships them, in an environment of their own.

Prints for each pool what came of it: recall, precision, and calls of the large model.
"""

import json
import logging
import sys

import numpy as np

from bench.cascades_grid import DELTA, ITEMS, LABELLED, TARGET, pool


def main() -> None:
    """Answer the request in ``sys.argv``: rate, strength, repeats."""
    from lotus.sem_ops.cascade_utils import (
        calibrate_llm_logprobs,
        importance_sampling,
        learn_cascade_thresholds,
    )
    from lotus.types import CascadeArgs

    logging.disable(logging.INFO)
    asked = json.loads(sys.argv[1])
    found: list[tuple[float, float, int]] = []
    for repeat in range(asked["repeats"]):
        proxy, actual = pool(asked["rate"], asked["strength"], repeat)
        arguments = CascadeArgs(
            recall_target=TARGET,
            precision_target=TARGET,
            sampling_percentage=LABELLED,
            failure_probability=DELTA,
            cascade_IS_random_seed=repeat,
        )
        # As sem_filter does it: calibrate, draw, ask the oracle about the draw, learn.
        scores = calibrate_llm_logprobs(proxy.tolist(), arguments)
        drawn, corrections = importance_sampling(scores, arguments)
        (above, below), _ = learn_cascade_thresholds(
            proxy_scores=[scores[i] for i in drawn],
            oracle_outputs=[bool(actual[i]) for i in drawn],
            sample_correction_factors=corrections[drawn],
            cascade_args=arguments,
        )
        at = np.asarray(scores)
        asked_large = ~((at >= above) | (at <= below))
        accepted = np.where(asked_large, actual, at >= above)
        right = int((accepted & actual).sum())
        calls = asked_large.copy()
        calls[drawn] = True
        found.append(
            (
                right / max(int(actual.sum()), 1),
                right / max(int(accepted.sum()), 1),
                int(calls.sum()),
            )
        )
    assert all(0 <= calls <= ITEMS for _, _, calls in found)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
