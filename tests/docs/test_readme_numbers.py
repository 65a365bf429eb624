"""The README's measured numbers are those of bench/results, and none is made up."""

import json
from pathlib import Path
from typing import Any

import pytest


def test_block_is_current(root: Path, numbers: Any) -> None:
    readme = (root / "README.md").read_text()
    wanted = numbers.with_block(readme, numbers.render(root / "bench" / "results"))
    assert readme == wanted, "run python scripts/readme_numbers.py"


def test_no_results_no_numbers(tmp_path: Path, numbers: Any) -> None:
    assert numbers.render(tmp_path) == ""


@pytest.mark.parametrize(
    "result",
    [
        {},
        {"results": {}},
        {"results": []},
        {"results": {"splits": {"sst2-8": {"accuracy": 0.9}}}},
        {"results": {"times": {"improve_cold": {"wall_s": {}}}}},
        {"results": {"parts": {"eight": {"cr-8": {"ways": {"setfit": {"accuracy": 70.0}}}}}}},
        {"results": {"small-0": {}, "each": {"wall_s": 3.0}}},
        {"intervals": [], "selection": [{"other": 1}]},
    ],
)
def test_half_a_result_gives_no_row(tmp_path: Path, numbers: Any, result: Any) -> None:
    names = "quality improve_speed start data statistics many_tasks few_labels multitask migrate"
    for name in names.split():
        (tmp_path / f"{name}.json").write_text(json.dumps(result))
    assert "|" not in numbers.render(tmp_path)


def test_numbers_are_those_of_the_files(tmp_path: Path, numbers: Any) -> None:
    split = {
        "accuracy": 0.8612, "by_hand_minilm": 0.8512, "by_hand_tfidf": 0.7001, "ece": 0.0213,
        "draws": 10,
    }  # fmt: skip
    quality = {"results": {"splits": {"sst2-8": split}}, "disturbed": True}
    times = {"cpu_s": {"median": 0.0423}}
    start = {
        "results": {"times": {"import milepost": times}},
        "machine": {"cpu": "a processor", "cores": 2, "memory_gib": 8.0},
    }
    (tmp_path / "quality.json").write_text(json.dumps(quality))
    (tmp_path / "start.json").write_text(json.dumps(start))
    block = numbers.render(tmp_path)
    assert "mean of 10 draws | 86.1 | 85.1 | 70.0 | 0.021 |" in block
    assert "| 42 ms of CPU |" in block
    assert "a processor, 2 cores, 8 GiB" in block
    assert "shared while measuring: quality" in block


def test_what_training_gains_is_that_of_the_files(tmp_path: Path, numbers: Any) -> None:
    ways = {
        "tuned_encoder": {"accuracy": 76.16, "n": 3, "fit_s": 24.6},
        "logistic": {"accuracy": 67.65, "n": 3, "fit_s": 1.8},
        "setfit": {"accuracy": 70.23, "n": 2, "fit_s": 18.7},
    }
    few = {"results": {"parts": {"eight": {"cr-8": {"ways": ways}}}}}
    tested = {"mean_gain_after_gate": 2.0, "worst_after_gate": -0.4, "tasks": 27}
    other = {"mean_gain_after_gate": 1.0, "worst_after_gate": -0.2, "tasks": 27}
    joint = {"results": {"small-0": {"tested": tested}, "small-1": {"tested": other}}}
    (tmp_path / "few_labels.json").write_text(json.dumps(few))
    (tmp_path / "multitask.json").write_text(json.dumps(joint))
    block = numbers.render(tmp_path)
    assert "| cr-8 | 76.2 | – | 67.7 | 70.2 | 3, SetFit 2 | 25 s |" in block
    assert "| +1.5 points on average, worst -0.4: 27 tasks, 2 draws |" in block


def test_marks_must_be_there_once(numbers: Any) -> None:
    good = f"a\n{numbers.BEGIN}\nold\n{numbers.END}\nb\n"
    changed = numbers.with_block(good, "new")
    assert changed == f"a\n{numbers.BEGIN}\nnew\n{numbers.END}\nb\n"
    assert numbers.with_block(changed, "new") == changed
    for bad in ("", good.replace(numbers.END, ""), good + good):
        with pytest.raises(ValueError, match="needs"):
            numbers.with_block(bad, "new")
