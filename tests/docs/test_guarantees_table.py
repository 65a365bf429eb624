"""The table of guarantees takes its numbers from bench/results, and none is made up."""

import json
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture
def from_bench(root: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(root / "docs" / "_ext"))
    import from_bench

    return from_bench


def test_no_results_no_numbers(tmp_path: Path, from_bench: ModuleType) -> None:
    for claim in from_bench.CLAIMS:
        wanted = f"not measured yet (`{claim.bench}`)" if claim.bench else "tests of the code"
        assert from_bench.evidence(claim, tmp_path) == wanted


@pytest.mark.parametrize("result", [{}, {"results": {}}, {"results": {"worst": {}}}, {"sets": {}}])
def test_results_that_lack_what_a_row_needs_give_no_number(
    tmp_path: Path, from_bench: ModuleType, result: dict[str, object]
) -> None:
    for claim in from_bench.CLAIMS:
        if claim.bench:
            (tmp_path / f"{claim.bench}.json").write_text(json.dumps(result))
            assert "not measured yet" in from_bench.evidence(claim, tmp_path)


def test_numbers_are_those_of_the_result(tmp_path: Path, from_bench: ModuleType) -> None:
    rows = [
        {"what": "independent candidates", "spending": 0.041, "naive": 0.8},
        {"what": "hill-climbing on the shown score", "spending": 0.3, "naive": 0.99},
    ]
    (tmp_path / "peeking.json").write_text(json.dumps({"results": {"looks": 50, "peeking": rows}}))
    claim = next(each for each in from_bench.CLAIMS if each.bench == "peeking")
    shown = from_bench.evidence(claim, tmp_path)
    assert "a false release in at most 4.1 % of the runs, up to 80.0 %" in shown
    assert "up to 30.0 % for somebody who climbs" in shown


def test_every_benchmark_is_one(root: Path, from_bench: ModuleType) -> None:
    registered = (root / "bench" / "__main__.py").read_text()
    named = {claim.bench for claim in from_bench.CLAIMS if claim.bench}
    assert not [name for name in named if f'"{name}": ' not in registered]


def test_every_page_is_there(root: Path, from_bench: ModuleType) -> None:
    folder = root / "docs" / "explanation"
    pages = {claim.page for claim in from_bench.CLAIMS}
    assert not [page for page in pages if not (folder / f"{page}.md").exists()]
