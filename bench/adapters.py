"""Adapters of many tasks in one batch: throughput with 16 mixed ones against none.

Random adapters of rank 8; every row of a batch draws one of 16, so that most neighbours differ.
With and without adapters run in turn in one process on one core, in both variants, at 12, 32 and
128 tokens in batches of 64, 32 and 16. `kept` is the median over the pairs of the processor time
without adapters over that with them: the share of the throughput that is kept. `one_set` is the
same where all rows share one adapter.

`served` is the same through the serving engine: single texts of about 12 tokens from 64 coroutines
to 16 tasks, each with an adapter of its own, against the same tasks without; nothing comes from the
cache. `guarded` adds to each adapted task a guard on the plain encoder, which makes two rows of a
text. `many` asks 512 tasks, more adapters than a trunk keeps in its stacks.
"""

import json
from typing import Any

from bench.common import Options, peer

SETS = {
    "query+value of the upper three": (["query", "value"], [3, 4, 5]),
    "query+value": (["query", "value"], [0, 1, 2, 3, 4, 5]),
    "all linear layers": (
        ["query", "key", "value", "output", "inner", "outer"],
        [0, 1, 2, 3, 4, 5],
    ),
}


def run(options: Options) -> dict[str, object]:
    """What `tuned_encoder` makes, queries and values everywhere, and all linear layers."""
    found: dict[str, Any] = {}
    for name, (parts, layers) in SETS.items():
        asked = {
            "parts": parts,
            "layers": layers,
            "repeats": 2 if options.quick else 9,
            "texts": 320 if options.quick else 2048,
            "served": name != "all linear layers",
        }
        done = peer("adapters_peers", asked, env={"OMP_NUM_THREADS": "1"})
        found[name] = json.loads(done.out)
        for variant, rates in found[name].items():
            row = "   ".join(
                f"{tokens} tokens {each['kept']:.1%}" for tokens, each in rates["passes"].items()
            )
            print(f"{name:<32}{variant:<6}{row}", flush=True)
            for what, share in rates.get("served", {}).items():
                print(f"{'':<32}{variant:<6}served, {what}: {share['kept']:.1%}", flush=True)
    return found
