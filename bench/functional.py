"""Functional tests and identity slices of two moderation models, made and examined as a user would.

One model is trained on hateful tweets and certified on HateCheck (Röttger et al. 2021), one on
offensive tweets and certified on templates with identity terms (Dixon et al. 2018). Both are small
strategies on purpose: what is shown is the page, and what such models get wrong. Every number is
read from ``milepost examine --json`` and ``milepost behave --json``; nothing is counted here.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq

from bench.common import Options, data_folder, milepost, scratch

STRATEGIES = ("tfidf_linear", "head_closed_form")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A task and the set that it is tested on.

    Attributes:
        task: Name of the task.
        train: File to learn from.
        test: File to certify on.
        labels: The test file's labels in the words of the training file.
        label: The label that matters.
        group: Column of the groups of people.
        without: Values of that column that name nobody.
        by: Column that the functional test is reported by; ``None`` without one.
        rows: Rows to learn from and to certify on, at even distances.
    """

    task: str
    train: str
    test: str
    labels: Mapping[str, str]
    label: str
    group: str
    without: tuple[str, ...] = ()
    by: str | None = None
    rows: tuple[int, int]


CASES = (
    Case(
        task="hate",
        train="tweeteval_hate/train",
        test="hatecheck/test",
        labels={"hateful": "hate", "non-hateful": "not-hate"},
        label="hate",
        group="target_ident",
        without=("none", "-"),
        by="functionality",
        rows=(4000, 3728),
    ),
    Case(
        task="offensive",
        train="tweeteval_offensive/train",
        test="bias_madlibs/test",
        labels={"toxic": "offensive", "nontoxic": "not-offensive"},
        label="offensive",
        group="identity",
        rows=(4000, 10_000),
    ),
)


def run(options: Options) -> dict[str, object]:
    """Every case that was asked for."""
    found: dict[str, object] = {}
    for case in CASES:
        if options.only and case.task not in options.only:
            continue
        with scratch() as folder:
            found[case.task] = _case(case, folder, quick=options.quick)
    return found


def _case(case: Case, folder: Path, *, quick: bool) -> dict[str, object]:
    learned, certified = (400, 600) if quick else case.rows
    train, test, desk = folder / "train.csv", folder / "test.csv", folder / "desk"
    pc.write_csv(_even(case.train, learned).select(["text", "label"]), train)
    pc.write_csv(_tested(case, certified), test)
    milepost("init", desk, "--from", train, "--task", case.task)
    milepost("-w", desk, "add", case.task, test, "--as", "test")
    file = desk / "tasks" / f"{case.task}.yaml"
    rule = f"fairness: {{by: [{case.group}], label: {case.label}}}\n"
    file.write_text(file.read_text() + rule)
    chosen = [word for name in STRATEGIES for word in ("--strategy", name)]
    board = milepost("-w", desk, "improve", case.task, *chosen, "--json", codes=(0, 1))
    (decided,) = json.loads(board.out)["tasks"]
    best = next(each for each in decided["candidates"] if each["chosen"])
    candidate = ("--candidate", best["id"])
    examined = json.loads(milepost("-w", desk, "examine", case.task, *candidate, "--json").out)
    (score,) = examined["examination"]["fairness"]
    result: dict[str, object] = {
        "train": case.train,
        "test": case.test,
        "learned_from": learned,
        "chosen": best["strategy"],
        "accuracy": _estimate(examined["metrics"]["accuracy"]),
        "decision": decided["decision"],
        "searched": examined["examination"]["discovery"]["searched"],
        "weak_slices": [
            {key: each[key] for key in ("description", "kind", "n", "gap", "gap_low", "p_value")}
            | {"accuracy": _estimate(each["estimate"])}
            for each in examined["examination"]["discovery"]["found"]
        ],
        "groups": [_group(each) for each in score["groups"]],
        "gaps": score["gaps"],
        "findings": [_finding(each) for each in score["findings"]],
    }
    if case.by is not None:
        behaved = milepost(
            "-w", desk, "behave", case.task, *candidate, "--file", test, "--by", case.by,
            "--at-least", "0.8", "--json", codes=(0, 1),
        )  # fmt: skip
        (minimum,) = json.loads(behaved.out)["behaviour"]
        result["functional"] = {
            "passed": _estimate(minimum["passed"]),
            "parts": [_part(each) for each in minimum["parts"]],
        }
    for each in result["findings"]:
        print(f"{case.task}: {each['sentence']}", flush=True)
    return result


def _group(score: Mapping) -> dict[str, object]:
    missed = score["true_positive_rate"]
    return {
        "group": score["name"],
        "n": score["n"],
        "false_positive_rate": _estimate(score["false_positive_rate"]),
        "false_negative_rate": _estimate(missed, complement=True),
    }


def _finding(found: Mapping) -> dict[str, object]:
    kept = ("group", "rate", "gap", "gap_low", "p_value", "sentence")
    return {key: found[key] for key in kept}


def _part(part: Mapping) -> dict[str, object]:
    right = part["n"] - part["failed"]
    return {"name": part["name"], "right": right, "n": part["n"], **_estimate(part["passed"])}


def _estimate(found: Mapping | None, *, complement: bool = False) -> dict[str, object]:
    if found is None:
        return {}
    value, low, high = found["value"], found["low"], found["high"]
    if complement:
        value, low, high = 1.0 - value, 1.0 - high, 1.0 - low
    return {"value": value, "low": low, "high": high, "n": found["n"]}


def _even(name: str, rows: int) -> pa.Table:
    table = pq.read_table(data_folder() / f"{name}.parquet")
    rows = min(rows, table.num_rows)
    return table.take([i * table.num_rows // rows for i in range(rows)])


def _tested(case: Case, rows: int) -> pa.Table:
    """The test set in the words of the task, with the columns that say what each row is about."""
    table = _even(case.test, rows)
    groups = [None if v in case.without else v for v in table[case.group].to_pylist()]
    columns = {
        "text": table["text"],
        "label": pa.array([case.labels[label] for label in table["label"].to_pylist()]),
        case.group: pa.array(groups),
    }
    return pa.table(columns | ({} if case.by is None else {case.by: table[case.by]}))
