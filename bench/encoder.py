"""Encoder throughput and latency on texts of 12, 32 and 128 tokens, on one core and on all.

Beside it, in the same run and in processes of their own: sentence-transformers (torch, fp32) and
ONNX Runtime as one would call it directly (one session, as many threads as cores, batches of 64,
32 and 16 texts). All read the same texts, tokenise them themselves, and run the same weights.
milepost forms its own batches.

How to read it: `texts_per_s_<tokens>` (more is better) and `one_ms`, the median milliseconds of a
single text of 12 tokens. Ratios carry over to other machines, absolute numbers do not.
"""

import json
import os

from bench.common import Options, alternate, peer

ENGINES = ("milepost", "onnxruntime", "sentence_transformers")
COUNTS = {12: 1536, 32: 768, 128: 192}
BATCHES = {12: 64, 32: 32, 128: 16}


def run(options: Options) -> dict[str, object]:
    """Three alternating repeats on one core and on all; one short one when quick."""
    cores = sorted({1, os.cpu_count() or 1})
    repeats = 1 if options.quick else 3
    counts = {k: v // 6 for k, v in COUNTS.items()} if options.quick else COUNTS
    measured: dict[str, object] = {}
    for used in cores:
        parts = {
            engine: lambda engine=engine, used=used: _measure(engine, used, counts)
            for engine in ENGINES
        }
        found = alternate(repeats, parts)
        measured[f"cores_{used}"] = {**found, "ratios": _ratios(found)}
        for engine, numbers in found.items():
            rates = "   ".join(
                f"{t:>3} tokens {numbers[f'texts_per_s_{t}']['median']:7.0f}/s" for t in COUNTS
            )
            print(f"{used} core(s) {engine:<22}{rates}   one {numbers['one_ms']['median']:5.2f} ms")
    return {"batches_of_peers": BATCHES, "texts": counts, **measured}


def _measure(engine: str, cores: int, counts: dict[int, int]) -> dict[str, float]:
    asked = {"engine": engine, "cores": cores, "counts": counts, "batches": BATCHES}
    threads = {"OMP_NUM_THREADS": str(cores), "MKL_NUM_THREADS": str(cores)}
    done = peer("encoder_peers", asked, env=threads)
    return {**json.loads(done.out), "peak_mib": done.peak_mib}


def _ratios(found: dict[str, dict[str, dict[str, float | int]]]) -> dict[str, dict[str, float]]:
    """Throughput of milepost over that of each peer, and a peer's latency over milepost's."""
    mine = found["milepost"]
    ratios: dict[str, dict[str, float]] = {}
    for engine in ENGINES[1:]:
        each = found[engine]
        keys = [f"texts_per_s_{tokens}" for tokens in COUNTS]
        ratios[f"milepost_over_{engine}"] = {
            **{key: mine[key]["median"] / each[key]["median"] for key in keys},
            "one_ms": each["one_ms"]["median"] / mine["one_ms"]["median"],
        }
    return ratios
