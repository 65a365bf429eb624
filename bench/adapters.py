"""Adapters of many tasks in one batch: throughput with 16 mixed ones against none.

Random adapters of rank 8; every row of a batch draws one of 16, so that most neighbours differ.
With and without adapters run in turn in one process on one core, in both variants, at 12, 32 and
128 tokens in batches of 64, 32 and 16. `kept` is the median over the pairs of the processor time
without adapters over that with them: the share of the throughput that is kept. `one_set` is the
same where all rows share one adapter.
"""

import json
from typing import Any

from bench.common import Options, peer


def run(options: Options) -> dict[str, object]:
    """Queries and values, the default, and all linear layers."""
    found: dict[str, Any] = {}
    for parts in (["query", "value"], ["query", "key", "value", "output", "inner", "outer"]):
        asked = {"parts": parts, "repeats": 2 if options.quick else 9}
        done = peer("adapters_peers", asked, env={"OMP_NUM_THREADS": "1"})
        name = "query+value" if len(parts) == 2 else "all linear layers"
        found[name] = json.loads(done.out)
        for variant, rates in found[name].items():
            row = "   ".join(
                f"{tokens} tokens {each['kept']:.1%}" for tokens, each in rates.items()
            )
            print(f"{name:<20}{variant:<6}{row}", flush=True)
    return found
