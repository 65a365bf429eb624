"""The tables of the page on serving speed take their numbers from bench/results."""

import json
from pathlib import Path
from types import ModuleType

import pytest

gap = "\N{NO-BREAK SPACE}"


@pytest.fixture
def from_serving(root: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(root / "docs" / "_ext"))
    import from_serving

    return from_serving


def summary(median: float) -> dict[str, float]:
    return {"n": 3, "median": median, "min": 0.9 * median, "max": 1.1 * median}


def written(folder: Path, **results: object) -> Path:
    machine = {"cpu": "some CPU", "cores": 2, "memory_gib": 4.0}
    whole = {
        "date": "2026-11-21T20:00:00+00:00",
        "machine": machine,
        "versions": {"python": "3.11.7", "onnxruntime": "1.31.1"},
        "results": {"rounds": 3, "rejected_runs": 2, **results},
    }
    (folder / "serving.json").write_text(json.dumps(whole))
    return folder


def test_no_results_no_numbers(tmp_path: Path, from_serving: ModuleType) -> None:
    for make in from_serving.FromServing.makers.values():
        assert make(tmp_path) == from_serving.NOTHING


def test_a_system_that_cannot_run_says_why(tmp_path: Path, from_serving: ModuleType) -> None:
    load = {name: summary(10.0) for name in ("rps", "p50_ms", "p99_ms", "cpu_ms")}
    measured = {"closed_1": load, "closed_64": load, "open_500": load, "pss_mib": summary(100.0)}
    failed = {"unavailable": "pip said:\nno wheel for this machine", "runs": []}
    shown = from_serving.systems(
        written(tmp_path, systems={"milepost": measured, "ray_default": failed})
    )
    assert f"| milepost, 100 tasks, INT8 | 10 | 10 (9–11) | 10{gap}/{gap}10 | 10.00 |" in shown
    assert "| 10 / – / – | 100 |" in shown
    assert "could not run: no wheel for this machine" in shown


def test_a_missed_aim_says_by_how_much(tmp_path: Path, from_serving: ModuleType) -> None:
    target = {
        "what": "requests/s over Infinity", "aim": "at least 2.2 x", "value": 2.0, "unit": "x",
        "reached": False, "short_by": 0.2, "n": 3, "low": 1.9, "high": 2.1,
    }  # fmt: skip
    other = {**target, "what": "p99", "value": None, "reached": None, "short_by": None}
    shown = from_serving.targets(written(tmp_path, targets=[target, other]))
    assert "| at least 2.2 x | 2 x [1.9, 2.1] | no: 0.2 x off |" in shown
    assert "| p99 | at least 2.2 x | not measured | – |" in shown


def test_an_effect_has_its_interval(tmp_path: Path, from_serving: ModuleType) -> None:
    effects = {"guarded_rps_over_recorded": {"n": 5, "ratio": 0.97, "low": 0.95, "high": 0.99}}
    shown = from_serving.effects(written(tmp_path, effects=effects))
    assert "| five guards, over none | 0.970 | [0.950, 0.990] | 5 |" in shown


def test_paths_stand_beside_the_floor(tmp_path: Path, from_serving: ModuleType) -> None:
    load = {name: summary(1000.0) for name in ("rps", "p50_ms", "p99_ms", "cpu_ms")}
    found = written(tmp_path, pairs={"cached": load}, systems={"echo": {"closed_64": load}})
    shown = from_serving.paths(found)
    both = f"1,000{gap}/{gap}1,000"
    assert f"| answers from the cache, recorded | 1,000 (900–1,100) | {both} | 1000.000 |" in shown
    assert shown.splitlines()[-1].startswith("| floor: raw ASGI")


def test_the_machine_is_told(tmp_path: Path, from_serving: ModuleType) -> None:
    shown = from_serving.measured_on(written(tmp_path))
    assert "some CPU, 2 cores" in shown
    assert "2 runs were thrown away" in shown
