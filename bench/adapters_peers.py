"""One encoder with and without adapters, timed in a process of its own; prints JSON."""

import json
import os
import statistics
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.common import request
from bench.int8_peers import BATCHES

if TYPE_CHECKING:
    from milepost.models.trunk import Trunk

ADAPTERS, RANK, WIDTH, INNER = 16, 8, 384, 1536
MANY = 512


def adapters(digest: str, parts: list[str], layers: list[int], count: int) -> list[Any]:
    from milepost.models.adapters import Adapter

    rng = np.random.default_rng(0)
    made: list[Any] = []
    for _ in range(count):
        down = {
            f"{layer}.{part}": rng.normal(
                0, 0.02, (INNER if part == "outer" else WIDTH, RANK)
            ).astype(np.float32)
            for layer in layers
            for part in parts
        }
        up = {
            name: rng.normal(0, 0.02, (RANK, INNER if name.endswith("inner") else WIDTH)).astype(
                np.float32
            )
            for name in down
        }
        made.append(Adapter(digest, down, up))
    return made


def passes(trunk: "Trunk", made: list[Any], repeats: int) -> dict[int, dict[str, float]]:
    """Ready-made batches through the trunk."""
    rng = np.random.default_rng(1)
    found: dict[int, dict[str, float]] = {}
    for tokens, batch in BATCHES.items():
        rows = rng.integers(1000, 28000, (batch, tokens)).tolist()
        mixed = [made[i] for i in rng.integers(0, ADAPTERS, batch)]
        ways = {"plain": None, "mixed": mixed, "one": [made[0]] * batch}
        for way in ways.values():
            trunk.forward(rows, adapters=way)
        times: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(repeats):
            for name, way in ways.items():
                started = time.thread_time()
                trunk.forward(rows, adapters=way)
                times[name].append(time.thread_time() - started)
        pairs = {
            name: statistics.median(
                plain / other for plain, other in zip(times["plain"], times[name], strict=True)
            )
            for name in ("mixed", "one")
        }
        rate = batch / statistics.median(times["plain"])
        found[tokens] = {
            "kept": pairs["mixed"],
            "one_set": pairs["one"],
            "plain_texts_per_s": rate,
        }
    return found


def served(trunk: "Trunk", made: list[Any], asked: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Single texts through the engine; shares of the throughput without adapters."""
    from dataclasses import replace

    from bench.engine import drive, fresh, linear
    from milepost.serving.engine.engine import Engine
    from milepost.serving.engine.work import Stack
    from milepost.testing.trunks import Headed

    key = trunk.digest, trunk.variant
    heads = [linear(seed, WIDTH) for seed in range(MANY)]

    def stacks(tasks: int, *, tuned: bool = True, guarded: bool = False) -> list[Stack]:
        made_of: list[Stack] = []
        guard = Headed(linear(MANY, WIDTH), key, "f" * 64)
        for at, head in enumerate(heads[:tasks]):
            own = replace(head, adapter=made[at]) if tuned else head
            asked_of = [Headed(own, key, f"{at:063x}{tuned:d}")]
            made_of.append(Stack([*asked_of, guard] if guarded else asked_of))
        return made_of

    engine = Engine({key: trunk}, cache=0)
    ways = {
        "plain": stacks(ADAPTERS, tuned=False),
        "adapters": stacks(ADAPTERS),
        "guarded": stacks(ADAPTERS, guarded=True),
        "many": stacks(MANY),
    }
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in ways}
    for way in ways.values():
        drive(engine, way, fresh(64))
    for _ in range(int(asked["repeats"])):
        for name, way in ways.items():
            runs[name].append(drive(engine, way, fresh(int(asked["texts"]))))
    engine.close(1.0)
    return {
        name: {
            "kept": _over(runs["plain"], runs[name], "cpu_us"),
            "kept_of_texts_per_s": _over(runs[name], runs["plain"], "texts_per_s"),
            **{what: statistics.median(run[what] for run in runs[name]) for what in runs[name][0]},
        }
        for name in ways
    }


def _over(first: list[dict[str, float]], second: list[dict[str, float]], what: str) -> float:
    return statistics.median(a[what] / b[what] for a, b in zip(first, second, strict=True))


def main() -> None:
    from milepost.models.catalog import EncoderOptions, open_trunk
    from milepost.workflows.opening import cache_folder

    asked = request()
    every = os.sched_getaffinity(0)
    found: dict[str, dict[str, Any]] = {}
    for variant in ("fp32", "int8"):
        trunk = open_trunk("embedded", cache_folder(), EncoderOptions(variant=variant))
        count = MANY if asked["served"] else ADAPTERS
        made = adapters(trunk.digest, asked["parts"], asked["layers"], count)
        os.sched_setaffinity(0, sorted(every)[-1:])
        found[variant] = {"passes": passes(trunk, made, int(asked["repeats"]))}
        os.sched_setaffinity(0, every)
        if asked["served"]:
            found[variant]["served"] = served(trunk, made, asked)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
