"""Tables of ``bench/results/serving.json``; no number is written by hand.

Adds the directives ``serving-systems``, ``serving-targets``, ``serving-paths``, ``serving-effects``
and ``serving-machine``. Before the benchmark has run each says so.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from from_bench import RESULTS, results_of
from from_code import FromCode, table
from sphinx.application import Sphinx

Result = Mapping[str, Any]

NAMES = {
    "milepost": "milepost, 100 tasks, INT8",
    "milepost_fp32": "milepost, 100 tasks, fp32",
    "infinity_int8": "Infinity, INT8 (vectors only)",
    "infinity_torch": "Infinity, torch (vectors only)",
    "ray_throughput": "Ray Serve, HAProxy and throughput mode",
    "ray_default": "Ray Serve, defaults",
    "fastapi": "FastAPI + sentence-transformers, one task",
    "mlflow": "MLflow model server, one task",
    "echo": "floor: raw ASGI, JSON in and out",
}
PATHS = {
    "recorded": "as it comes: every answer recorded",
    "unrecorded": "nothing recorded",
    "strict": "each record committed before the answer",
    "guarded": "five guards on every input",
    "student": "a student that looks words up, no encoder",
    "cached": "answers from the cache, recorded",
    "cached_unrecorded": "answers from the cache, nothing recorded",
    "cached_two_workers": "answers from the cache, recorded, two workers",
}
EFFECTS = {
    "recorded_rps_over_unrecorded": "recorded, over not recorded",
    "strict_rps_over_recorded": "strictly recorded, over recorded",
    "guarded_rps_over_recorded": "five guards, over none",
    "thousand_rps_over_one": "a thousand tasks, over one",
}
NOTHING = "Not measured yet: `python -m bench serving`."


def number(value: float) -> str:
    """Three significant digits, with commas from a thousand on."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def spread(found: Result | None) -> str:
    """A median with the smallest and largest of its rounds."""
    if found is None:
        return "–"
    return f"{number(found['median'])} ({number(found['min'])}–{number(found['max'])})"


def systems(folder: Path = RESULTS) -> str:
    """What each system does, as medians over the rounds."""
    found = results_of(folder, "serving").get("systems", {})
    rows = [_row(NAMES[name], found[name]) for name in NAMES if name in found]
    if not rows:
        return NOTHING
    head = (
        "System", "1 connection, requests/s", "64 connections, requests/s", "p50 / p99 ms",
        "CPU ms a request", "p99 ms at 500 / 1,000 / 1,500 requests/s", "memory, MiB",
    )  # fmt: skip
    return table(head, rows)


def _row(name: str, found: Result) -> tuple[str, ...]:
    if "closed_64" not in found:
        why = str(found.get("unavailable", "not run")).strip().splitlines()[-1][:120]
        return (name, f"could not run: {why}", *["–"] * 5)
    many = found["closed_64"]
    late = [found.get(f"open_{rate}") for rate in (500, 1000, 1500)]
    return (
        name,
        number(found["closed_1"]["rps"]["median"]),
        spread(many["rps"]),
        _both(many),
        f"{many['cpu_ms']['median']:.2f}",
        " / ".join("–" if run is None else number(run["p99_ms"]["median"]) for run in late),
        number(found["pss_mib"]["median"]),
    )


def _both(load: Result) -> str:
    """Median and 99th percentile of the latency, in one line of a cell."""
    return f"{number(load['p50_ms']['median'])} / {number(load['p99_ms']['median'])}".replace(
        " ", "\N{NO-BREAK SPACE}"
    )


def targets(folder: Path = RESULTS) -> str:
    """Every aim, what was measured, and whether it was reached."""
    rows = [_target(each) for each in results_of(folder, "serving").get("targets", [])]
    if not rows:
        return NOTHING
    return table(("What", "Aim", "Measured", "Reached"), rows)


def _target(found: Result) -> tuple[str, ...]:
    if found["value"] is None:
        return (found["what"], found["aim"], "not measured", "–")
    unit = found["unit"]
    value = f"{number(found['value'])} {unit}"
    if found["low"] is not None and found["n"] > 1:
        value += f" [{number(found['low'])}, {number(found['high'])}]"
    missed = "" if found["short_by"] is None else f"no: {number(found['short_by'])} {unit} off"
    return (found["what"], found["aim"], value, missed or "yes")


def paths(folder: Path = RESULTS) -> str:
    """What one server does on each of its paths, and the floor under all of them."""
    found = results_of(folder, "serving")
    rows = [(words, found.get("pairs", {}).get(name)) for name, words in PATHS.items()]
    rows.append((NAMES["echo"], found.get("systems", {}).get("echo", {}).get("closed_64")))
    shown = [
        (
            words,
            spread(each["rps"]),
            _both(each),
            f"{each['cpu_ms']['median']:.3f}",
        )
        for words, each in rows
        if each is not None
    ]
    if not shown:
        return NOTHING
    return table(("64 connections", "Requests/s", "p50 / p99 ms", "CPU ms a request"), shown)


def effects(folder: Path = RESULTS) -> str:
    """What one thing does to throughput: ratios of slices taken side by side."""
    found = results_of(folder, "serving").get("effects", {})
    rows = [
        (words, f"{found[key]['ratio']:.3f}", _interval(found[key]), str(found[key]["n"]))
        for key, words in EFFECTS.items()
        if key in found
    ]
    if not rows:
        return NOTHING
    return table(("Requests/s", "Ratio", "95 % interval", "Pairs"), rows)


def _interval(found: Result) -> str:
    return f"[{found['low']:.3f}, {found['high']:.3f}]" if "low" in found else "–"


def measured_on(folder: Path = RESULTS) -> str:
    """Machine, date, and how many runs were thrown away."""
    path = folder / "serving.json"
    if not path.exists():
        return NOTHING
    whole = json.loads(path.read_text())
    machine = whole["machine"]
    return (
        f"Measured on {whole['date'][:10]}: {machine['cpu']}, {machine['cores']} cores, "
        f"{machine['memory_gib']} GiB; Python {whole['versions']['python']}, onnxruntime "
        f"{whole['versions']['onnxruntime']}. {whole['results']['rounds']} rounds; "
        f"{whole['results']['rejected_runs']} runs were thrown away because other processes took "
        "more than 5 % of the machine."
    )


class FromServing(FromCode):
    """Parses the Markdown of these tables."""

    makers = {  # noqa: RUF012 — as in the class above
        "serving-systems": systems,
        "serving-targets": targets,
        "serving-paths": paths,
        "serving-effects": effects,
        "serving-machine": measured_on,
    }
    optional_arguments = 0


def setup(app: Sphinx) -> dict[str, object]:
    """Register the directives."""
    for name in FromServing.makers:
        app.add_directive(name, FromServing)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
