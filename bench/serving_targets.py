"""From runs to medians, ratios with intervals, and whether each aim was reached."""

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bench.common import summary

SHOWN = (
    "rps", "mean_ms", "p50_ms", "p90_ms", "p99_ms", "p999_ms", "max_ms", "cpu_ms",
    "generator_cpu_ms", "foreign",
)  # fmt: skip
LOADS = ("closed_1", "closed_64", "open_500", "open_1000", "open_1500")
PEERS = (
    "fastapi", "infinity_int8", "infinity_torch", "ray_default", "ray_throughput", "mlflow",
)  # fmt: skip

Results = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Target:
    """One aim and what was found.

    Attributes:
        what: What is measured, in words.
        aim: The aim, in words.
        value: What was found; ``None`` where it could not be measured.
        unit: Of the value.
        reached: Whether the aim was reached; ``None`` where nothing was measured.
        short_by: How far off, in the value's unit; ``None`` where reached or not measured.
        n: Undisturbed runs behind it.
        low: Lower end of the 95 % interval, where there is one.
        high: Upper end of it.
    """

    what: str
    aim: str
    value: float | None
    unit: str
    reached: bool | None
    short_by: float | None
    n: int
    low: float | None = None
    high: float | None = None


def concluded(results: Results) -> Results:
    """The results with medians in the place of runs, ratios and targets."""
    systems = {name: _system(each) for name, each in results["systems"].items()}
    kept = {**results, "systems": systems}
    pairs = {name: _load(runs) for name, runs in results["pairs"].items()}
    effects = _effects(results["pairs"], results["sizes"])
    sizes = {
        name: {**each, "runs": None, "closed_64": _load(each["runs"])}
        for name, each in results["sizes"].items()
    }
    for each in sizes.values():
        del each["runs"]
    ratios = _ratios(results["systems"])
    told = _targets(kept | {"pairs": pairs, "sizes": sizes}, ratios, effects)
    return {
        **kept,
        "pairs": pairs,
        "sizes": sizes,
        "ratios": ratios,
        "effects": effects,
        "targets": [asdict(target) for target in told],
    }


def good(runs: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Runs that others did not disturb; all of them where each was, and then marked so."""
    return [run for run in runs if not run["disturbed"]] or list(runs)


def ratio(pairs: Sequence[tuple[float, float]]) -> dict[str, float]:
    """Geometric mean of ``a / b`` over rounds, with the 95 % t interval of the logarithms."""
    logs = [math.log(a / b) for a, b in pairs]
    n, mean = len(logs), statistics.fmean(logs)
    found = {"n": n, "ratio": math.exp(mean)}
    if n > 1:
        half = _t95(n - 1) * statistics.stdev(logs) / math.sqrt(n)
        found |= {"low": math.exp(mean - half), "high": math.exp(mean + half)}
    return found


def _t95(freedom: int) -> float:
    from scipy.stats import t

    return float(t.ppf(0.975, freedom))


def _load(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Medians and spread of one load over the rounds."""
    used = good(runs)
    counts: dict[str, int] = {}
    for run in used:
        for end, n in run["histogram"].items():
            counts[end] = counts.get(end, 0) + n
    return {
        **{key: summary([run[key] for run in used]) for key in SHOWN if key in used[0]},
        "errors": sum(run["errors"] for run in used),
        "answers": sum(run["answers"] for run in used),
        "disturbed_runs": sum(run["disturbed"] for run in runs),
        "histogram": dict(sorted(counts.items(), key=lambda item: float(item[0]))),
    }


def _system(found: Results) -> Results:
    kept = {key: value for key, value in found.items() if key != "runs"}
    runs = found["runs"]
    if not runs:
        return kept
    if "closed_64" not in runs[0]:
        return kept | {"texts_per_s": {b: summary([r[b] for r in runs]) for b in runs[0]}}
    for load in LOADS:
        made = [run[load] for run in runs if load in run]
        if made:
            kept[load] = _load(made)
    for key in ("rss_mib", "pss_mib"):
        kept[key] = summary([run["memory"][key] for run in runs])
    kept["started_s"] = summary([run["started_s"] for run in runs])
    if kept.get("tasks_in_one_process") == 1:
        median = kept["pss_mib"]["median"]
        kept["pss_mib_for_100_tasks_computed_not_measured"] = 100 * median
    return kept


def _ratios(systems: Mapping[str, Results]) -> dict[str, Any]:
    """Throughput of milepost over each peer, and its p99 over the peer's, round by round."""
    if "milepost" not in systems:
        return {}
    ours = systems["milepost"]["runs"]
    found: dict[str, Any] = {}
    for name in (*PEERS, "milepost_fp32"):
        theirs = systems.get(name, {}).get("runs", [])
        rows: dict[str, Any] = {}
        for load in LOADS:
            both = [
                (a[load], b[load])
                for a, b in zip(ours, theirs, strict=False)
                if load in a and load in b
            ]
            clean = [(a, b) for a, b in both if not (a["disturbed"] or b["disturbed"])] or both
            clean = [(a, b) for a, b in clean if a["answers"] and b["answers"]]
            if clean:
                keys = ("p50_ms", "p99_ms", "cpu_ms")
                keys = (*keys, "rps") if load[:6] == "closed" else keys
                rows[load] = {k: ratio([(a[k], b[k]) for a, b in clean]) for k in keys}
        if rows:
            found[name] = rows
    return found


def _effects(pairs: Mapping[str, Any], sizes: Mapping[str, Any]) -> dict[str, Any]:
    """What one thing does to another: ratios of slices that were taken side by side."""

    def against(a: Sequence[Any], b: Sequence[Any], key: str) -> dict[str, float]:
        both = list(zip(a, b, strict=True))
        clean = [(x, y) for x, y in both if not (x["disturbed"] or y["disturbed"])] or both
        return ratio([(x[key], y[key]) for x, y in clean])

    found: dict[str, Any] = {}
    for name, base in (("recorded", "unrecorded"), ("strict", "recorded"), ("guarded", "recorded")):
        if name in pairs:
            found[f"{name}_rps_over_{base}"] = against(pairs[name], pairs[base], "rps")
    if "recorded_open_500" in pairs:
        on, off = pairs["recorded_open_500"], pairs["unrecorded_open_500"]
        more = [a["p99_ms"] - b["p99_ms"] for a, b in zip(on, off, strict=True)]
        found["recorded_p99_ms_more_than_unrecorded"] = summary(more)
    if sizes:
        runs = {name: each["runs"] for name, each in sizes.items()}
        found["thousand_rps_over_one"] = against(runs["thousand"], runs["one"], "rps")
        grown = {name: each["memory"]["pss_mib"] for name, each in sizes.items()}
        found["thousand_pss_mib_more_than_one"] = grown["thousand"] - grown["one"]
    return found


def _targets(results: Results, ratios: Results, effects: Results) -> list[Target]:
    """All aims, in the order of the page."""
    systems, pairs, sizes = results["systems"], results["pairs"], results["sizes"]

    def of(*path: str, within: Mapping[str, Any] = results) -> Any:
        value: Any = within
        for key in path:
            value = value.get(key) if isinstance(value, Mapping) else None
        return value

    def over(peer: str, load: str, key: str = "rps") -> Any:
        return of(peer, load, key, within=ratios)

    ceiling = of("ceiling", "texts_per_s", within=systems)
    highest = max((each["median"] for each in ceiling.values()), default=None) if ceiling else None
    throughput = of("milepost", "closed_64", "rps", within=systems)
    share = None
    if highest and throughput:
        share = {
            "n": throughput["n"],
            "median": 100 * throughput["median"] / highest,
        }
    late = of("recorded_p99_ms_more_than_unrecorded", within=effects)
    grown = effects.get("thousand_pss_mib_more_than_one")
    return [
        _least("requests/s over FastAPI + sentence-transformers, 64 connections", 25, "x",
               over("fastapi", "closed_64")),
        _least("requests/s over FastAPI + sentence-transformers, 1 connection", 6, "x",
               over("fastapi", "closed_1")),
        _least("requests/s over Infinity INT8, 64 connections", 2.2, "x",
               over("infinity_int8", "closed_64")),
        _most("p99 over that of Infinity INT8, 64 connections", 0.25, "x",
              over("infinity_int8", "closed_64", "p99_ms")),
        _least("requests/s over Ray Serve's defaults, 64 connections", 6, "x",
               over("ray_default", "closed_64")),
        _most("CPU per request, recorded, 64 connections", 0.75, "ms",
              of("milepost", "closed_64", "cpu_ms", within=systems)),
        _least("share of the encoder's own throughput, 64 connections", 65, "%", share),
        _most("p99 at 1,500 requests/s, open loop", 15, "ms",
              of("milepost", "open_1500", "p99_ms", within=systems)),
        _least("requests/s from the cache, recorded, one worker, 64 connections", 20_000, "/s",
               of("cached", "rps", within=pairs)),
        _least("requests/s from the cache, recorded, two workers, 64 connections", 20_000, "/s",
               of("cached_two_workers", "rps", within=pairs)),
        _most("memory of a hundred tasks (PSS)", 250, "MiB",
              _alone(of("hundred", "memory", "pss_mib", within=sizes))),
        _most("memory of a thousand tasks more than of one (PSS)", 20, "MiB", _alone(grown)),
        _least("requests/s with a thousand tasks over one task", 0.90, "x",
               effects.get("thousand_rps_over_one")),
        _least("requests/s with five guards over none", 0.95, "x",
               effects.get("guarded_rps_over_recorded")),
        _least("requests/s recorded over not recorded", 0.95, "x",
               effects.get("recorded_rps_over_unrecorded")),
        _most("p99 recorded more than not recorded, 500 requests/s", 1.0, "ms", late),
    ]  # fmt: skip


def _alone(value: float | None) -> dict[str, float] | None:
    return None if value is None else {"n": 1, "median": value}


def _least(what: str, aim: float, unit: str, found: Mapping[str, float] | None) -> Target:
    return _target(what, f"at least {aim:g} {unit}", unit, found, lambda value: aim - value)


def _most(what: str, aim: float, unit: str, found: Mapping[str, float] | None) -> Target:
    return _target(what, f"at most {aim:g} {unit}", unit, found, lambda value: value - aim)


def _target(
    what: str,
    aim: str,
    unit: str,
    found: Mapping[str, float] | None,
    short: Callable[[float], float],
) -> Target:
    if found is None:
        return Target(what, aim, None, unit, None, None, 0)
    value = found["ratio"] if "ratio" in found else found["median"]
    low, high = found.get("low", found.get("min")), found.get("high", found.get("max"))
    lacking = short(value)
    return Target(
        what, aim, value, unit, lacking <= 0, max(lacking, 0.0) or None, int(found["n"]), low, high
    )
