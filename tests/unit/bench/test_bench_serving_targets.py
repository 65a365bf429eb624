"""What the serving benchmark concludes from its runs."""

from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture
def targets(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[3]))
    import bench.serving_targets

    return bench.serving_targets


def run(rps: float, *, p99: float = 20.0, disturbed: bool = False) -> dict[str, object]:
    times = ("mean_ms", "p50_ms", "p90_ms", "p999_ms", "max_ms", "cpu_ms", "generator_cpu_ms")
    return {
        **dict.fromkeys(times, 1.0), "rps": rps, "p99_ms": p99, "foreign": 0.0, "errors": 0,
        "answers": 100, "disturbed": disturbed, "histogram": {"10": 1, "2.5": 2},
    }  # fmt: skip


def system(*runs: dict[str, object]) -> dict[str, object]:
    rounds = [
        {
            "closed_1": each,
            "closed_64": each,
            "started_s": 1.0,
            "memory": {"rss_mib": 2.0, "pss_mib": 1.0},
        }
        for each in runs
    ]
    return {"what": "", "tasks_in_one_process": 1, "runs": rounds}


def concluded(targets: ModuleType, **systems: dict[str, object]) -> dict[str, object]:
    return targets.concluded({"systems": systems, "pairs": {}, "sizes": {}})


def found(results: dict[str, object], words: str) -> dict[str, object]:
    return next(each for each in results["targets"] if words in each["what"])


def test_a_ratio_is_taken_within_rounds(targets: ModuleType) -> None:
    told = targets.ratio([(20.0, 10.0), (80.0, 10.0), (40.0, 10.0)])
    assert told["ratio"] == pytest.approx(4.0)
    # t with 2 degrees of freedom: 4.303 standard errors of log 2, log 8 and log 4.
    assert told["low"] == pytest.approx(4.0 / 2 ** (4.3027 / 3**0.5), rel=1e-3)
    assert targets.ratio([(20.0, 10.0)]) == {"n": 1, "ratio": pytest.approx(2.0)}


def test_disturbed_runs_are_left_out_where_others_are(targets: ModuleType) -> None:
    ours = system(run(100.0), run(1.0, disturbed=True), run(100.0))
    theirs = system(run(10.0), run(10.0), run(10.0))
    results = concluded(targets, milepost=ours, ray_default=theirs)
    assert results["systems"]["milepost"]["closed_64"]["rps"]["n"] == 2
    assert results["systems"]["milepost"]["closed_64"]["disturbed_runs"] == 1
    assert results["ratios"]["ray_default"]["closed_64"]["rps"]["ratio"] == pytest.approx(10.0)
    assert found(results, "Ray Serve")["n"] == 2


def test_a_missed_aim_is_told_with_what_it_lacks(targets: ModuleType) -> None:
    results = concluded(targets, milepost=system(run(100.0)), fastapi=system(run(5.0)))
    many, one = (found(results, f"{n} connection") for n in (64, 1))
    assert (many["reached"], many["short_by"]) == (False, pytest.approx(5.0))
    assert (one["reached"], one["short_by"]) == (True, None)
    assert found(results, "Infinity INT8, 64")["reached"] is None
    assert found(results, "from the cache")["value"] is None


def test_memory_of_a_hundred_processes_is_marked_as_computed(targets: ModuleType) -> None:
    results = concluded(targets, fastapi=system(run(5.0)))
    assert results["systems"]["fastapi"]["pss_mib_for_100_tasks_computed_not_measured"] == 100.0


def test_what_cannot_run_keeps_its_reason(targets: ModuleType) -> None:
    gone = {"what": "", "unavailable": "no wheel", "runs": []}
    results = concluded(targets, milepost=system(run(100.0)), ray_default=gone)
    assert results["systems"]["ray_default"]["unavailable"] == "no wheel"
    assert found(results, "Ray Serve")["reached"] is None


def test_histograms_are_added_up(targets: ModuleType) -> None:
    results = concluded(targets, milepost=system(run(1.0), run(1.0)))
    assert results["systems"]["milepost"]["closed_64"]["histogram"] == {"2.5": 4, "10": 2}
