"""The Python interface, as the documentation's snippet uses it."""

import json
import os
import subprocess
import sys

import pandas as pd
import polars as pl
import pyarrow.csv
import pytest

import milepost as mp

QUICK = ("head_closed_form",)


def frame_of(kind, file):
    match kind:
        case "pandas":
            return pd.read_csv(file)
        case "polars":
            return pl.read_csv(file)
        case "arrow":
            return pyarrow.csv.read_csv(file)
        case _:
            return pl.read_csv(file).to_dicts()


KINDS = ("pandas", "polars", "arrow", "rows")


def test_a_task_from_a_dataframe(milepost, tickets):
    ws = mp.Workspace.create("support")
    made = ws.add(
        mp.Task(
            name="route", kind="classify", labels={"delivery": "", "payment": "", "account": ""}
        ),
        examples=pd.read_csv(tickets / "tickets.csv"),
    )
    assert made.data.example_files == ("data/route.parquet",)
    done = ws.improve("route", strategies=QUICK)
    assert done.contest.decision.verdict == "released"
    answers = ws.predict("route", ["my parcel never arrived", "I was charged twice"])
    assert list(answers.answers) == ["delivery", "payment"]
    assert answers.labels == ("delivery", "payment", "account")
    assert answers.probabilities.shape == (2, 3)
    assert answers.probabilities.sum(axis=1) == pytest.approx([1, 1], abs=1e-5)
    values = [
        ws.evaluate("route", frame_of(kind, tickets / "tickets_test.csv")).scorecard.objective.value
        for kind in KINDS
    ]
    assert values[0] > 0.8
    assert len(set(values)) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_every_dataframe_is_kept_as_the_same_examples(milepost, tickets, kind):
    ws = mp.Workspace.create("support")
    made = ws.add(mp.Task(name="route"), examples=frame_of(kind, tickets / "tickets.csv"))
    assert made.data.example_files == ("data/route.parquet",)
    kept = pl.read_parquet("support/data/route.parquet")
    assert kept.to_dicts() == pl.read_csv(tickets / "tickets.csv").to_dicts()
    assert list(made.labels) == ["account", "delivery", "payment"]
    assert ws.task("route") == made


def test_the_board_prints_shows_and_keeps_the_json_contract(milepost, tickets, is_valid):
    ws = mp.Workspace.create("support")
    ws.add(mp.Task(name="route"), examples=pd.read_csv(tickets / "tickets.csv"))
    seen = []
    done = ws.improve("route", strategies=QUICK, seed=1, budget=60,
                      on_event=lambda *told: seen.append(told))  # fmt: skip
    assert "head_closed_form" in str(done.leaderboard)
    assert "released" in str(done)
    assert "<table" in done.leaderboard._repr_html_()
    document = json.loads(json.dumps(done.to_dict()))
    is_valid(document, "improve")
    assert document["tasks"][0]["seed"] == 1
    assert {task for task, _, _ in seen} == {"route"}
    assert all(0 <= share <= 1 for _, _, share in seen)


def test_labels_are_taken_from_the_data_when_none_are_declared(milepost, tickets):
    ws = mp.Workspace.create("support")
    made = ws.add(mp.Task(name="route"), examples=pl.read_csv(tickets / "tickets.csv"),
                  test=pl.read_csv(tickets / "tickets_test.csv"))  # fmt: skip
    assert list(made.labels) == ["account", "delivery", "payment"]
    assert ws.task("route") == made
    assert made.data.test_files


def test_python_and_the_command_line_answer_alike(milepost, improved, tickets):
    ws = mp.Workspace.open(improved)
    texts = pd.read_csv(tickets / "tickets_test.csv")["text"].tolist()
    there = milepost.ok("-w", improved, "predict", "route", *texts, "--json").json
    here = ws.predict("route", texts)
    assert [each["label"] for each in there["predictions"]] == list(here.answers)
    assert [each["confidence"] for each in there["predictions"]] == pytest.approx(
        here.confidence.tolist(), abs=1e-5
    )
    answered = ws.predict_file("route", pd.DataFrame({"text": texts}), release=1)
    assert answered.release == 1
    assert list(answered.table()) == ["text", "label", "confidence", "release"]


def test_promote_rollback_and_export(milepost, improved):
    ws = mp.Workspace.open(improved)
    assert ws.channel("route").release == 2
    assert ws.rollback("route").release == 1
    assert ws.answer("route", ["x"]).release == 1
    assert ws.promote("route", 2, reason="better").release == 2
    assert [release.number for release in ws.releases("route")] == [2, 1]
    assert ws.export("route", "out", release=1) == 1
    exported = mp.load_exported(milepost.folder / "out")
    assert exported.encoder is None
    assert list(exported.predict(["x"]).answers) == list(
        ws.predict("route", ["x"], release=1).answers
    )


def test_overview_contest_check_and_report(milepost, improved):
    ws = mp.Workspace.open(improved)
    (row,) = ws.overview()
    assert (row.task, row.production, row.verdict) == ("route", 2, "released")
    assert ws.contest("route").release == 2
    (checked,) = ws.check()
    assert checked.problems == ()
    assert ws.report(None, "page.html").read_text()


IMPORT = """
import os, sys, time, socket
def refuse(*given): raise AssertionError("the network was used")
socket.socket.connect = refuse
start = time.process_time()
import milepost
seconds = time.process_time() - start
import json
print(json.dumps({"seconds": seconds, "modules": sorted(sys.modules)}))
"""
HEAVY = {"numpy", "scipy", "sklearn", "torch", "transformers", "pandas", "polars", "pyarrow",
         "duckdb", "sqlalchemy", "alembic", "altair", "onnx", "onnxruntime", "tokenizers", "rich",
         "typer", "vl_convert"}  # fmt: skip


def test_importing_milepost_is_cheap_and_quiet(environment):
    # The best of several: other processes may take the processor, none can give it back.
    runs = [
        json.loads(subprocess.run([sys.executable, "-c", IMPORT], env=environment, text=True,
                                  capture_output=True, check=True).stdout)
        for _ in range(5)
    ]  # fmt: skip
    assert min(run["seconds"] for run in runs) < 0.3
    assert not HEAVY & set(runs[0]["modules"])


EXPORTED = """
import json, sys
from pathlib import Path
from milepost import load_exported
answers = load_exported(Path(sys.argv[1])).predict(json.loads(sys.argv[2]))
print(json.dumps({"labels": list(answers.answers), "confidence": answers.confidence.tolist(),
                  "modules": sorted(sys.modules)}))
"""
NOT_NEEDED = {"sklearn", "scipy", "torch", "transformers", "pandas", "polars", "pyarrow", "duckdb",
              "sqlalchemy", "alembic", "onnx", "altair", "rich", "typer", "jsonschema",
              "ruamel.yaml", "huggingface_hub"}  # fmt: skip


@pytest.mark.parametrize("release", [1, 2])
def test_an_export_answers_without_its_workspace_or_heavy_packages(
    milepost, improved, environment, release
):
    texts = ["my parcel never arrived", "I was charged twice", "?", "🎉 שלום"]
    expected = mp.Workspace.open(improved).predict("route", texts, release=release)
    done = milepost.ok("-w", improved, "export", "route", "there", "--release", release)
    assert f"release {release} of route" in done.out
    improved.rename(milepost.folder / "gone")
    moved = (milepost.folder / "there").rename(milepost.folder / "elsewhere")
    empty = {**environment, "MILEPOST_CACHE": os.devnull}
    ran = subprocess.run([sys.executable, "-c", EXPORTED, moved, json.dumps(texts)], env=empty,
                         cwd="/", text=True, capture_output=True)  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)
    assert found["labels"] == list(expected.answers)
    assert found["confidence"] == pytest.approx(expected.confidence.tolist(), abs=1e-5)
    assert not NOT_NEEDED & set(found["modules"])


def test_a_changed_export_is_refused(milepost, improved):
    milepost.ok("-w", improved, "export", "route", "there")
    arrays = milepost.folder / "there/predictor/arrays.safetensors"
    data = bytearray(arrays.read_bytes())
    data[-1] ^= 1
    arrays.write_bytes(data)
    with pytest.raises(mp.MilepostError, match=r"arrays\.safetensors"):
        mp.load_exported(milepost.folder / "there")
