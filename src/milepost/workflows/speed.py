"""How fast each variant of the embedded encoder is on this machine, and which a server takes."""

import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from milepost.models.catalog import EMBEDDED, EncoderOptions, open_trunk
from milepost.models.export import Variant
from milepost.models.graphs.calibration import calibration_texts
from milepost.models.trunk import Trunk
from milepost.reports.records import Speed, VariantSpeed
from milepost.workflows.opening import cache_folder

BATCHES = {12: 64, 32: 32, 128: 16}
"""Texts in a batch by their tokens."""

SECONDS = 1.0
"""Time given to each measurement of each variant."""

WORTH = 1.1
"""How many times as fast as fp32 the integers must be for their small error to be worth it."""

VARIANTS: tuple[Variant, ...] = ("fp32", "int8")
_ROUNDS = 3
_SINGLE = 12
_INSTRUCTIONS = {
    "AMX": ("amx_int8",),
    "AVX512-VNNI": ("avx512_vnni",),
    "AVX-VNNI": ("avx_vnni",),
    "AVX512": ("avx512f",),
    "AVX2": ("avx2",),
    "dot product": ("asimddp",),
}
_FAST = {"AMX", "AVX512-VNNI", "AVX-VNNI", "dot product"}


def measure_speed(tell: Callable[[str, float], None], seconds: float = SECONDS) -> Speed:
    """Measures all variants in turn, so that what else runs here disturbs them alike.

    Args:
        tell: Told what is being done and the share of it all that is done.
        seconds: Time given to each measurement of each variant, > 0.

    Raises:
        EncoderError: If the embedded encoder is not installed or cannot be exported.
    """
    trunks: dict[str, Trunk] = {}
    for variant in VARIANTS:
        tell(f"opening {variant}", 0.0)
        options = EncoderOptions(variant=variant, apart=True)
        trunks[variant] = open_trunk(EMBEDDED, cache_folder(), options)
    batches = {tokens: _texts(trunks["fp32"], tokens, n) for tokens, n in BATCHES.items()}
    rates: dict[str, dict[int, float]] = {variant: {} for variant in trunks}
    for step, (tokens, rows) in enumerate(batches.items(), 1):
        tell(f"texts of {tokens} tokens", step / 6)
        for variant, times in _in_turn(trunks, rows, seconds).items():
            rates[variant][tokens] = len(rows) / statistics.median(times)
    tell("single texts", 4 / 6)
    singles = _in_turn(trunks, batches[_SINGLE][:1], seconds)
    tell("all cores at once", 5 / 6)
    cores = _cores()
    together = {v: _together(t, batches[_SINGLE], cores, seconds) for v, t in trunks.items()}
    vectors = {v: t.forward(batches[32]).vectors for v, t in trunks.items()}
    rows = [
        VariantSpeed(
            variant=variant,
            texts_per_second=rates[variant],
            all_cores=together[variant],
            one_ms=1000 * statistics.median(singles[variant]),
            similarity=float((vectors[variant] * vectors["fp32"]).sum(1).mean()),
            neighbours=_neighbours(trunk, batches[_SINGLE]),
        )
        for variant, trunk in trunks.items()
    ]
    instructions = _instructions()
    choice, reason = choose(rows, instructions)
    return Speed(
        encoder=trunks["fp32"].name,
        processor=_processor(),
        cores=cores,
        instructions=instructions,
        variants=tuple(rows),
        choice=choice,
        reason=reason,
    )


def choose(rows: Sequence[VariantSpeed], instructions: str) -> tuple[str, str]:
    """The variant that is worth serving on, and why in words."""
    by_name = {row.variant: row for row in rows}
    slow, fast = by_name["fp32"], by_name["int8"]
    gains = [rate / slow.texts_per_second[t] for t, rate in fast.texts_per_second.items()]
    gain, least, most = statistics.median(gains), min(gains), max(gains)
    texts = sorted(fast.texts_per_second)
    spread = (
        f"{least:.1f} to {most:.1f} times as fast as fp32 here, by length of the text "
        f"({texts[0]} to {texts[-1]} tokens)"
        if round(least, 1) < round(most, 1)
        else f"{gain:.1f} times as fast as fp32 here"
    )
    of_processor = (
        f"This processor multiplies small integers in one instruction ({instructions})."
        if instructions in _FAST
        else f"This processor has no instruction that multiplies and adds small integers "
        f"({instructions or 'unknown'}); with one, such as AVX512-VNNI, int8 gains about twice "
        "as much."
    )
    if gain < WORTH:
        return "fp32", (
            f"int8 is {spread}, which is not worth its rounding. "
            f'{of_processor} Set serve_variant = "fp32" in milepost.toml.'
        )
    return "int8", (
        f"int8 is {spread}. {of_processor} A server takes it for "
        "each release that gives the same answers on both variants to at least 98.5 % of its "
        "task's own texts, and fp32 for the others; scorecards are measured on fp32."
    )


def _texts(trunk: Trunk, tokens: int, count: int) -> list[list[int]]:
    """Rows of exactly ``tokens`` ids, pieces of running text between the special tokens."""
    rows = trunk.tokenise(calibration_texts())
    first, last = rows[0][0], rows[0][-1]
    stream = [token for row in rows for token in row[1:-1]]
    size = tokens - 2
    starts = np.linspace(0, len(stream) - size, count).astype(int)
    return [[first, *stream[start : start + size], last] for start in starts]


def _in_turn(
    trunks: dict[str, Trunk], rows: list[list[int]], seconds: float
) -> dict[str, list[float]]:
    """Seconds of each pass of each variant; the first passes are not counted."""
    for trunk in trunks.values():
        trunk.forward(rows)
    times: dict[str, list[float]] = {variant: [] for variant in trunks}
    for _ in range(_ROUNDS):
        for variant, trunk in trunks.items():
            until = time.perf_counter() + seconds / _ROUNDS
            while True:
                started = time.perf_counter()
                trunk.forward(rows)
                ended = time.perf_counter()
                times[variant].append(ended - started)
                if ended >= until:
                    break
    return times


def _together(trunk: Trunk, rows: list[list[int]], callers: int, seconds: float) -> float:
    """Texts per second of one caller per core."""
    started = time.perf_counter()
    until = started + seconds

    def call(_: int) -> int:
        done = 0
        while time.perf_counter() < until:
            trunk.forward(rows)
            done += len(rows)
        return done

    with ThreadPoolExecutor(callers) as pool:
        done = sum(pool.map(call, range(callers)))
    return done / (time.perf_counter() - started)


def _neighbours(trunk: Trunk, rows: list[list[int]]) -> float:
    """Largest change of a value of a vector when texts of another length stand beside it."""
    beside = _texts(trunk, 128, 2)
    mixed = trunk.forward([*rows[:8], *beside]).vectors[:8]
    alone = np.concatenate([trunk.forward([row]).vectors for row in rows[:8]])
    return float(np.abs(mixed - alone).max())


def _instructions() -> str:
    """The best instructions for integers that are named; empty where it cannot be told."""
    try:
        words = set(Path("/proc/cpuinfo").read_text().split())
    except OSError:
        return ""
    return next(
        (name for name, flags in _INSTRUCTIONS.items() if words.issuperset(flags)), "none known"
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def _cores() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1
