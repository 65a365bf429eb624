"""One encoder with and without adapters, timed in a process of its own; prints JSON."""

import json
import os
import statistics
import time
from typing import Any

import numpy as np

from bench.common import request
from bench.int8_peers import BATCHES

ADAPTERS, RANK, WIDTH, INNER, LAYERS = 16, 8, 384, 1536, 6


def adapters(digest: str, parts: list[str]) -> list[Any]:
    from milepost.models.adapters import Adapter

    rng = np.random.default_rng(0)
    made: list[Any] = []
    for _ in range(ADAPTERS):
        down = {
            f"{layer}.{part}": rng.normal(
                0, 0.02, (INNER if part == "outer" else WIDTH, RANK)
            ).astype(np.float32)
            for layer in range(LAYERS)
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


def main() -> None:
    from milepost.models.catalog import EncoderOptions, open_trunk
    from milepost.workflows.opening import cache_folder

    asked = request()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-1:])
    found: dict[str, dict[int, dict[str, float]]] = {}
    for variant in ("fp32", "int8"):
        options = EncoderOptions(variant=variant, adapts=tuple(asked["parts"]))
        trunk = open_trunk("embedded", cache_folder(), options)
        made = adapters(trunk.digest, asked["parts"])
        rng = np.random.default_rng(1)
        found[variant] = {}
        for tokens, batch in BATCHES.items():
            rows = rng.integers(1000, 28000, (batch, tokens)).tolist()
            mixed = [made[i] for i in rng.integers(0, ADAPTERS, batch)]
            ways = {"plain": None, "mixed": mixed, "one": [made[0]] * batch}
            for way in ways.values():
                trunk.forward(rows, adapters=way)
            times: dict[str, list[float]] = {name: [] for name in ways}
            for _ in range(int(asked["repeats"])):
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
            found[variant][tokens] = {
                "kept": pairs["mixed"],
                "one_set": pairs["one"],
                "plain_texts_per_s": rate,
            }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
