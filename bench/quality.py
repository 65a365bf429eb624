"""Quality of what `milepost improve` chooses, on public data sets with few and with many labels.

For each data set a workspace is made from the training file with the installed command line,
improved, and every candidate is measured on the test file, which the contest never sees. Beside
it, in the same run, two peers by hand: all-MiniLM-L6-v2 with logistic regression, and TF-IDF with
logistic regression.

How to read it: `regret` is the test accuracy of the best candidate in hindsight minus that of the
chosen one; `certified` is the interval that `improve` printed before the test file was opened, and
`covered` says whether the test accuracy lies in it. One interval in twenty may miss by chance, and
more where the test file is not drawn like the training file. `floor` and `most_ece` are targets.
`ece_if_perfect` is the ECE that a perfectly calibrated classifier would show on as many rows: an
ECE near it says nothing against the calibration. Intervals are 95 % percentile bootstrap over the
test rows. Seconds depend on the machine's load. With `--only NAME ...` the other splits keep the
numbers of the last run; every split has its own date.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from bench.common import RESULTS, Load, Options, data_folder, milepost, peer, scratch
from bench.measures import measure
from bench.sets import SPLITS, Split

Row = dict[str, Any]
PARTS = RESULTS / "quality.parts"
"""What a run that was broken off had measured."""


def run(options: Options) -> dict[str, object]:
    """Measure the splits; every split's rows are printed as they come."""
    data = data_folder()
    wanted = [s for s in SPLITS if not options.only or s.name in options.only]
    if options.quick and not options.only:
        wanted = [s for s in SPLITS if s.name in {"hwu64-5", "cr-8"}]
    print(HEADER)
    done = _kept() if options.only and not options.quick else {}
    for split in wanted:
        seeds = min(split.seeds, 2) if options.quick else split.seeds
        load = Load()
        with scratch() as folder:
            row = _summary(split, _measured(split, seeds, data, folder))
        date = datetime.now(UTC).isoformat(timespec="seconds")
        done[split.name] = {**row, "date": date, "other_cpu_share": load.share}
        print(_line(split.name, row), flush=True)
        if not options.quick:
            PARTS.parent.mkdir(parents=True, exist_ok=True)
            PARTS.write_text(json.dumps(done))
    PARTS.unlink(missing_ok=True)
    return {"splits": done, **_overall(done)}


def _kept() -> dict[str, Any]:
    """Splits of the last run and of one that was broken off: only what is asked for is done."""
    kept: dict[str, Any] = {}
    if (RESULTS / "quality.json").exists():
        kept.update(json.loads((RESULTS / "quality.json").read_text())["results"]["splits"])
    if PARTS.exists():
        kept.update(json.loads(PARTS.read_text()))
    return {s.name: kept[s.name] for s in SPLITS if s.name in kept}


def _measured(split: Split, seeds: int, data: Path, folder: Path) -> list[Row]:
    trains = [_train_file(split, seed, data, folder) for seed in range(seeds)]
    test = _test_file(split, data, folder)
    rows = [_task(split, at, train, test, folder) for at, train in enumerate(trains)]
    asked = {
        "what": "quality",
        "train": [str(train) for train in trains],
        "test": str(test),
    }
    by_hand = json.loads(peer("by_hand", asked).out)
    return [{**row, "peers": peers} for row, peers in zip(rows, by_hand, strict=True)]


def _train_file(split: Split, seed: int, data: Path, folder: Path) -> Path:
    """The training file itself, or one with a draw of as many distinct texts of each label."""
    whole = split.train_file(data)
    if split.per_label is None:
        return whole
    import pyarrow.parquet as pq

    table = pq.read_table(whole)
    labels = np.array(table["label"].to_pylist())
    texts = table["text"].to_pylist()
    rng = np.random.default_rng(seed)
    rows: list[int] = []
    for label in np.unique(labels).tolist():
        seen: set[str] = set()
        for row in rng.permutation(np.flatnonzero(labels == label)).tolist():
            if len(seen) < split.per_label and texts[row] not in seen:
                seen.add(texts[row])
                rows.append(row)
    path = folder / f"train-{seed}.parquet"
    pq.write_table(table.take(sorted(rows)), path)
    return path


def _test_file(split: Split, data: Path, folder: Path) -> Path:
    """The test file itself, or one without the rows of the label to skip."""
    whole = split.test_file(data)
    if split.skip_label is None:
        return whole
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    table = pq.read_table(whole)
    path = folder / "test.parquet"
    pq.write_table(table.filter(pc.field("label") != split.skip_label), path)
    return path


def _task(split: Split, at: int, train: Path, test: Path, folder: Path) -> Row:
    """One task, from its training file to every candidate's numbers on the test file."""
    workspace, name = folder / "workspace", f"task{at}"
    if at == 0:
        milepost("init", workspace, "--from", train, "--task", name)
    else:
        milepost("-w", workspace, "add", name, train, "--text", "text", "--label", "label")
    if split.slices:
        _declare_slices(workspace / "tasks" / f"{name}.yaml", split.slices)
    row: Row = {}
    if split.own_test:
        milepost("-w", workspace, "add", name, test, "--as", "test")
        row["findings"] = _findings(workspace, name)
    improved = milepost("-w", workspace, "improve", name, "--json", codes=(0, 1))
    contest = json.loads(improved.out)["tasks"][0]
    fitted = [each for each in contest["candidates"] if each["error"] is None]
    candidates = {each["strategy"]: _candidate(workspace, name, each, test) for each in fitted}
    failed = {c["strategy"]: c["error"] for c in contest["candidates"] if c["error"] is not None}
    chosen = next(each for each in contest["candidates"] if each["chosen"])
    return {
        **row,
        "decision": contest["decision"],
        "regime": contest["regime"],
        "chosen": chosen["strategy"],
        "certified": {key: chosen[key] for key in ("value", "low", "high", "n")},
        "improve": {"contest_s": contest["seconds"], **improved.times},
        "candidates": candidates,
        "failed": failed,
    }


def _declare_slices(path: Path, slices: Mapping[str, str]) -> None:
    from ruamel.yaml import YAML

    yaml = YAML()
    task = yaml.load(path)
    task.setdefault("objective", {})["slices"] = dict(slices)
    yaml.dump(task, path)


def _findings(workspace: Path, name: str) -> dict[str, int]:
    """How many rows each finding of ``check`` is about.

    Raises:
        AssertionError: If neither leaks nor conflicting labels were found.
    """
    checked = json.loads(milepost("-w", workspace, "check", name, "--json").out)[0]
    found: dict[str, int] = {}
    for side in ("quality", "test_quality"):
        for finding in checked[side]["findings"]:
            found[f"{side}.{finding['check']}"] = finding["count"]
    assert any("leak" in key for key in found), f"no leak was found: {found}"
    assert any("conflict" in key for key in found), f"no conflicting label was found: {found}"
    return found


def _candidate(workspace: Path, name: str, candidate: Row, test: Path) -> Row:
    """A candidate on the test file, from its answers; the chosen one also as `evaluate` says."""
    which = ["--candidate", candidate["id"]]
    numbers = measure(*_answers(workspace, name, test, which))
    row: Row = {**numbers, "out_of_fold": candidate["selection"], "p50_ms": candidate["p50_ms"]}
    if not candidate["chosen"]:
        return row
    evaluated = milepost("-w", workspace, "evaluate", name, "--data", test, *which, "--json")
    said = json.loads(evaluated.out)
    accuracy = said["metrics"]["accuracy"]
    assert abs(accuracy["value"] - numbers["accuracy"]["value"]) < 1e-9, (accuracy, numbers)
    kept = {key: said[key] for key in ("n", "slices", "unknown_labels")}
    kept["notes"] = [note.replace(f"{test.parent}/", "") for note in said["notes"]]
    metrics = {key: said["metrics"][key] for key in ("accuracy", "macro_f1")}
    return {**row, "evaluate": {**metrics, **kept}}


def _answers(workspace: Path, name: str, test: Path, which: list[str]) -> tuple[Any, Any, Any]:
    """True labels, answers and confidences of a candidate on the test file."""
    import pyarrow.parquet as pq

    out = workspace.parent / "answers.parquet"
    milepost("-w", workspace, "predict", name, "--input", test, "--output", out, *which)
    table = pq.read_table(out, columns=["input_label", "label", "confidence"])
    truth, answers = (np.array(table[c].to_pylist(), str) for c in ("input_label", "label"))
    return truth, answers, np.array(table["confidence"].to_pylist(), np.float64)


def _summary(split: Split, rows: list[Row]) -> Row:
    """The rows of a split with what they come to, averaged over draws."""
    for row in rows:
        accuracies = {name: c["accuracy"]["value"] for name, c in row["candidates"].items()}
        mine = accuracies[row["chosen"]]
        row["best"] = max(accuracies, key=accuracies.__getitem__)
        row["regret"] = accuracies[row["best"]] - mine
        row["covered"] = row["certified"]["low"] <= mine <= row["certified"]["high"]

    def mean(values: list[float]) -> float:
        return float(np.mean(values))

    def of(name: str, metric: str) -> float:
        return mean([r["candidates"][name or r["chosen"]][metric]["value"] for r in rows])

    peers = ("by_hand_minilm", "by_hand_tfidf")
    accuracy, ece = of("", "accuracy"), of("", "ece")
    return {
        "accuracy": accuracy,
        "macro_f1": of("", "macro_f1"),
        "ece": ece,
        "ece_if_perfect": mean([r["candidates"][r["chosen"]]["ece"]["if_perfect"] for r in rows]),
        "tfidf_linear": of("tfidf_linear", "accuracy"),
        "majority": of("majority", "accuracy"),
        **{p: mean([r["peers"][p]["accuracy"]["value"] for r in rows]) for p in peers},
        **{f"{p}_ece": mean([r["peers"][p]["ece"]["value"] for r in rows]) for p in peers},
        "regret": mean([r["regret"] for r in rows]),
        "covered": sum(r["covered"] for r in rows),
        "draws": len(rows),
        "floor": split.floor,
        "reaches_floor": None if split.floor is None else accuracy >= split.floor,
        "most_ece": split.most_ece,
        "within_ece": None if split.most_ece is None else ece <= split.most_ece,
        "rows": rows,
    }


def _overall(done: Mapping[str, Any]) -> Row:
    return {
        "mean_regret": float(np.mean([s["regret"] for s in done.values()])),
        "covered": sum(s["covered"] for s in done.values()),
        "contests": sum(s["draws"] for s in done.values()),
        "below_target": [
            name
            for name, s in done.items()
            if s["reaches_floor"] is False or s["within_ece"] is False
        ],
    }


HEADER = (
    f"{'set':<22}{'chosen':<17}{'acc':>6}{'floor':>6}{'F1':>6}{'ECE':>6}{'perf':>6}{'tfidf':>6}{'hand':>6}"
    f"{'h-tf':>6}{'h-ECE':>6}{'regret':>7} {'best':<17}{'certified':<15}{'cov':>5}{'s':>6}"
)


def _line(name: str, split: Any) -> str:
    def share(value: float | None) -> str:
        return f"{'–':>6}" if value is None else f"{100 * value:>6.1f}"

    def most(key: str) -> str:
        names = [row[key] for row in split["rows"]]
        top = max(set(names), key=names.count)
        return top if len(set(names)) == 1 else f"{top[:11]} {names.count(top)}/{len(names)}"

    first = split["rows"][0]["certified"]
    certified = f"{100 * first['low']:.1f}–{100 * first['high']:.1f}"
    seconds = np.mean([row["improve"]["wall_s"] for row in split["rows"]])
    return (
        f"{name:<22}{most('chosen'):<17}{share(split['accuracy'])}{share(split['floor'])}"
        f"{share(split['macro_f1'])}{split['ece']:>6.3f}{split['ece_if_perfect']:>6.3f}{share(split['tfidf_linear'])}"
        f"{share(split['by_hand_minilm'])}{share(split['by_hand_tfidf'])}"
        f"{split['by_hand_minilm_ece']:>6.3f}{100 * split['regret']:>7.2f} {most('best'):<17}"
        f"{certified:<15}{split['covered']:>3}/{split['draws']}{seconds:>6.0f}"
    )
