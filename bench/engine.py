"""The serving engine on both cores: ceiling of the encoder, tasks, guards, shadow, cache, static.

All parts run in one process, in turn, round after round, on the same texts of about 12 tokens.
`ceiling` sends ready-made batches of 16 tokenised texts through the trunk from as many threads as
there are cores: nothing that serves can be faster. The others send single texts from 64 coroutines
through the engine, tokenised there, to tasks of ten labels each; none is in the cache but where
the name says so.

How to read it: `texts_per_s` (more is better), `cpu_us`, the processor's microseconds per text,
and `batch`, texts per pass. `ratios` are medians of the ratios within a round: they carry over to
other machines, absolute numbers do not. `memory` is what a further task adds to a process.
"""

import asyncio
import os
import statistics
import time
import tracemalloc
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count, pairwise
from pathlib import Path

import numpy as np

from bench.common import Options, scratch, summaries
from milepost.entities.errors import EncoderError
from milepost.models.catalog import EncoderOptions, open_trunk
from milepost.models.embedded import embedded_path
from milepost.models.trunk import Trunk
from milepost.predictors.linear import LinearPredictor
from milepost.predictors.static import StaticPredictor
from milepost.serving.engine.engine import Engine
from milepost.serving.engine.work import Stack, Work
from milepost.testing.trunks import Headed
from milepost.workflows.opening import cache_folder

AT_ONCE = 64
LABELS = 10
TASKS = (1, 10, 100, 1000)
SENTENCE = (
    "my card was stolen where is the money that i sent last week please help me with a refund "
    "of this order it never came and nobody answers phone can you change address"
)
WORDS = SENTENCE.split()

_numbers = count()


def run(options: Options) -> dict[str, object]:
    """Both variants of the encoder; five rounds, or one short one when quick."""
    rounds, texts = (1, 320) if options.quick else (5, 4096)
    found: dict[str, object] = {"rounds": rounds, "texts": texts, "at_once": AT_ONCE}
    with scratch() as folder:
        cache = cache_folder() if not options.quick else folder
        for variant in ("int8", "fp32"):
            try:
                trunk = open_trunk("embedded", cache, EncoderOptions(variant=variant))
            except EncoderError as error:
                print(f"{variant}: {error}")
                continue
            found[variant] = _measure(trunk, texts if variant == "int8" else texts // 2, rounds)
    found["memory"] = _memory()
    return found


def _measure(trunk: Trunk, texts: int, rounds: int) -> dict[str, object]:
    heads = [_head(i, trunk) for i in range(max(TASKS) + 6)]
    guards = heads[-6:-1]
    plans = {f"tasks_{n}": [Stack([head]) for head in heads[:n]] for n in TASKS}
    plans["guards_5"] = [Stack([head, *guards]) for head in heads[:1000]]
    plans["shadow"] = [Stack(pair, own=2) for pair in pairwise(heads[:1001])]
    static = [Stack([_static(trunk)])]
    engine = Engine({(trunk.digest, trunk.variant): trunk})
    uncached = Engine({(trunk.digest, trunk.variant): trunk}, cache=0)
    parts: dict[str, Callable[[], dict[str, float]]] = {"ceiling": lambda: _ceiling(trunk, texts)}
    for name, stacks in plans.items():
        parts[name] = lambda stacks=stacks: drive(engine, stacks, fresh(texts))
    parts["cache_off"] = lambda: drive(uncached, plans["tasks_1000"], fresh(texts))
    parts["cache_hits"] = lambda: drive(engine, plans["tasks_1"], ["the same text"] * 4 * texts)
    parts["static"] = lambda: drive(engine, static, fresh(2 * texts))
    one = [*plans["tasks_1"]]
    parts["one_at_a_time"] = lambda: drive(engine, one, fresh(texts // 8), at_once=1)
    for part in parts.values():
        part()  # warms the graph, the caches of the processor and the allocator
    runs = {name: [] for name in parts}
    for _ in range(rounds):
        for name, part in parts.items():
            runs[name].append(part())
    engine.close(1.0)
    uncached.close(1.0)
    for name, each in runs.items():
        print(
            f"{trunk.variant:<5}{name:<15}{_median(each, 'texts_per_s'):9.0f} texts/s"
            f"{_median(each, 'cpu_us'):9.1f} us CPU{_median(each, 'batch'):7.1f} a batch"
        )
    return {
        "parts": {name: summaries(each) for name, each in runs.items()},
        "ratios": _ratios(runs),
    }


def _ratios(runs: dict[str, list[dict[str, float]]]) -> dict[str, float]:
    """Medians over the rounds of what was measured side by side."""

    def of(name: str, other: str, key: str = "texts_per_s") -> float:
        pairs = zip(runs[name], runs[other], strict=True)
        return statistics.median(each[key] / beside[key] for each, beside in pairs)

    ratios = {
        "engine_over_ceiling": of("tasks_1", "ceiling"),
        "tasks_1000_over_1": of("tasks_1000", "tasks_1"),
        "guards_5_over_none": of("guards_5", "tasks_1000"),
        "shadow_over_none": of("shadow", "tasks_1000"),
        "cpu_engine_over_ceiling": of("tasks_1", "ceiling", "cpu_us"),
        "cpu_guards_5_over_none": of("guards_5", "tasks_1000", "cpu_us"),
    }
    for name, ratio in ratios.items():
        print(f"     {name:<26}{ratio:6.3f}")
    return ratios


def _ceiling(trunk: Trunk, texts: int) -> dict[str, float]:
    """Passes alone, of batches that were tokenised before."""
    tokens = trunk.tokenise(fresh(texts))
    batches = [tokens[at : at + 16] for at in range(0, texts, 16)]
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        begun, cpu = time.perf_counter(), time.process_time()
        for _ in pool.map(trunk.forward, batches):
            pass
        wall, cpu = time.perf_counter() - begun, time.process_time() - cpu
    return {"texts_per_s": texts / wall, "cpu_us": cpu / texts * 1e6, "batch": 16.0}


def drive(
    engine: Engine, stacks: Sequence[Stack], texts: Sequence[str], at_once: int = AT_ONCE
) -> dict[str, float]:
    """Single texts from so many coroutines, each waiting for its answer before the next."""

    async def ask() -> None:
        rest = iter(enumerate(texts))

        async def one() -> None:
            for i, text in rest:
                (outcome,) = await engine.run([Work(text, stacks[i % len(stacks)])])
                if outcome.error is not None or outcome.failures is not None:
                    raise RuntimeError(f"{text!r} got no answer")

        await asyncio.gather(*(one() for _ in range(at_once)))

    before = engine.counters.batches
    begun, cpu = time.perf_counter(), time.process_time()
    asyncio.run(ask())
    wall, cpu = time.perf_counter() - begun, time.process_time() - cpu
    batches = engine.counters.batches - before
    return {
        "texts_per_s": len(texts) / wall,
        "cpu_us": cpu / len(texts) * 1e6,
        "batch": len(texts) / batches if batches else 0.0,
    }


def fresh(n: int) -> list[str]:
    """Texts of ten words, about twelve tokens, none of which was there before."""
    made: list[str] = []
    for i in (next(_numbers) for _ in range(n)):
        picks = [WORDS[(i // len(WORDS) ** place) % len(WORDS)] for place in range(4)]
        rest = [WORDS[(7 * i + place) % len(WORDS)] for place in range(6)]
        made.append(" ".join([*picks, *rest]))
    return made


def _head(seed: int, trunk: Trunk) -> Headed:
    return Headed(linear(seed, trunk.dimensions), (trunk.digest, trunk.variant), f"{seed:064x}")


def linear(seed: int, dimensions: int) -> LinearPredictor:
    generator = np.random.default_rng(seed)
    return LinearPredictor(
        labels=_LABELS,
        weights=generator.standard_normal((LABELS, dimensions), np.float32),
        bias=generator.standard_normal(LABELS, np.float32),
        temperature=0.8,
    )


_LABELS = tuple(f"label {i}" for i in range(LABELS))


def _static(trunk: Trunk) -> Headed:
    """A static student with the encoder's vocabulary; how good it is, is not asked here."""
    folder = embedded_path() or Path()
    tokenizer = (folder / "tokenizer.json").read_text()
    generator = np.random.default_rng(0)
    table = generator.standard_normal((30_522, 256), np.float32).astype(np.float16)
    return Headed(
        StaticPredictor(
            labels=_LABELS,
            tokenizer=tokenizer,
            table=table,
            weights=generator.standard_normal((LABELS, 256), np.float32),
            bias=np.zeros(LABELS, np.float32),
        ),
        None,
        "f" * 64,
    )


def _memory(tasks: int = 1000) -> dict[str, float]:
    """Kilobytes that a further task of ten labels takes, with its plan of five shared guards."""
    key = ("0" * 64, "fp32")
    guards = [Headed(linear(i, 384), key, f"{i:064x}") for i in range(5)]
    kept: list[Stack] = []
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for i in range(tasks):
        kept.append(Stack([Headed(linear(i, 384), key, f"{i + 9:064x}"), *guards]))
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    found = {"kb_per_task": grown / len(kept) / 1000, "weights_kb": (384 + 1) * LABELS * 4 / 1000}
    print(f"memory: {found['kb_per_task']:.1f} kB a task, {found['weights_kb']:.1f} of it weights")
    return found


def _median(runs: Sequence[dict[str, float]], key: str) -> float:
    return statistics.median(each[key] for each in runs)
