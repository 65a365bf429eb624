"""What a user can type: every command, in every form that is promised."""

import csv
import json
import re
import shutil
from dataclasses import replace
from importlib.resources import files

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import milepost as mp

TASKS = ("churn", "complaint", "language", "route", "sentiment", "spam", "urgency")
QUALITY = ("strategy", "metric", "value", "low", "high", "n", "chosen", "error", "selection")


def rows_of(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def quality_columns(document):
    return [
        {
            "task": task["task"],
            "decision": task["decision"],
            "reasons": task["reasons"],
            "candidates": [{name: row[name] for name in QUALITY} for row in task["candidates"]],
        }
        for task in document["tasks"]
    ]


@pytest.mark.installed
def test_init_makes_a_workspace_with_example_tasks(milepost):
    done = milepost.ok("init", "demo")
    assert "7 example tasks" in done.out
    assert "milepost -w demo improve" in done.out
    assert sorted(p.stem for p in (milepost.folder / "demo/tasks").glob("*.yaml")) == list(TASKS)
    listed = milepost.ok("-w", "demo", "tasks", "--json").json
    assert [row["task"] for row in listed] == list(TASKS)
    checked = milepost.ok("check", "-w", "demo")
    assert checked.out.count("✔") == len(TASKS)


def test_init_from_a_file_names_its_columns_task_and_floor(milepost):
    (milepost.folder / "tickets.csv").write_text(
        "body,queue,lang\n"
        + "".join(f"message {i} about {q},{q},en\n" for i in range(6) for q in ("cards", "loans"))
    )
    done = milepost.ok("init", "desk", "--from", "tickets.csv", "--text", "body", "--label",
                       "queue", "--task", "route", "--at-least", "0.9")  # fmt: skip
    assert "12 labelled examples, 2 labels" in done.out
    assert "milepost -w desk improve route" in done.out
    task = mp.Workspace.open(milepost.folder / "desk").task("route")
    assert task.objective.at_least == 0.9
    assert list(task.labels) == ["cards", "loans"]
    assert task.input_column == "body"
    assert task.data.label == "queue"


def test_init_without_a_floor_writes_none(milepost, fresh):
    assert "at_least" not in (fresh / "tasks/route.yaml").read_text()
    assert mp.Workspace.open(fresh).task("route").objective.at_least is None


def test_improve_releases_and_ends_with_the_verdict(milepost, fresh):
    done = milepost.ok("-w", fresh, "improve", "route", "--strategy", "head_closed_form",
                       "--budget", "2m", "--seed", "3")  # fmt: skip
    assert "★ " in done.out
    assert "released as release 1" in done.out
    assert "seed 3" in done.out
    assert all(len(line) <= 80 for line in done.out.splitlines())
    listed = milepost.ok("-w", fresh, "tasks").out
    assert "released" in listed


def test_improve_all_tasks_or_several(milepost, fresh, tickets):
    milepost.ok("-w", fresh, "add", "second", tickets / "tickets.csv")
    every = milepost.ok("-w", fresh, "improve", "--strategy", "head_closed_form", "--json").json
    assert [task["task"] for task in every["tasks"]] == ["route", "second"]
    named = milepost("-w", fresh, "improve", "second", "route", "--strategy", "head_closed_form",
                     "--json").json  # fmt: skip
    assert [task["task"] for task in named["tasks"]] == ["second", "route"]
    assert {task["decision"] for task in named["tasks"]} == {"kept"}


def test_a_verdict_against_ends_with_one(milepost, tickets):
    milepost.ok("init", "desk", "--from", tickets / "tickets.csv", "--at-least", "0.99")
    done = milepost("-w", "desk", "improve", "--strategy", "tfidf_linear")
    assert done.code == 1
    assert "rejected" in done.out
    assert "misses the floor of 0.99" in " ".join(done.out.split())
    assert done.err == ""
    again = milepost("-w", "desk", "predict", "task", "hello")
    assert again.code == 2


def test_the_same_seed_gives_the_same_table(milepost, fresh, is_valid):
    shutil.copytree(fresh, milepost.folder / "twin")
    documents = [
        milepost.ok("-w", folder, "improve", "--seed", "5", "--json").json
        for folder in (fresh, "twin")
    ]
    for document in documents:
        is_valid(document, "improve")
    assert quality_columns(documents[0]) == quality_columns(documents[1])
    names = {row["strategy"] for row in documents[0]["tasks"][0]["candidates"]}
    assert names == {"majority", "tfidf_linear", "zero_shot", "neighbours", "head_closed_form",
                     "head_logistic"}  # fmt: skip
    assert sum(row["chosen"] for row in documents[0]["tasks"][0]["candidates"]) == 1


def test_a_budget_that_is_used_up_leaves_rows_with_the_reason(milepost, fresh, is_valid):
    done = milepost("-w", fresh, "improve", "--budget", "0.001", "--json")
    assert done.code == 1
    is_valid(done.json, "improve")
    rows = {row["strategy"]: row for row in done.json["tasks"][0]["candidates"]}
    assert rows["majority"]["error"] is None
    assert rows["head_logistic"]["value"] is None
    assert "budget" in rows["head_logistic"]["error"]


def test_add_brings_more_labels(milepost, fresh, tickets):
    done = milepost.ok("-w", fresh, "add", "route", tickets / "tickets_later.csv")
    assert "90 labelled examples" in done.out
    assert "data/route-2.csv" in (fresh / "tasks/route.yaml").read_text()


def test_add_makes_another_task(milepost, fresh, tickets):
    done = milepost.ok("-w", fresh, "add", "channel", tickets / "tickets.csv", "--label", "channel")
    assert "improve channel" in done.out
    assert set(mp.Workspace.open(fresh).task("channel").labels) == {"app", "chat", "email"}


def test_add_as_test_certifies_on_that_file(milepost, fresh, tickets, is_valid):
    milepost.ok("-w", fresh, "add", "route", tickets / "tickets_test.csv", "--as", "test")
    document = milepost.ok("-w", fresh, "improve", "--strategy", "head_closed_form", "--json").json
    is_valid(document, "improve")
    assert document["tasks"][0]["regime"] == "test_file"
    assert {row["n"] for row in document["tasks"][0]["candidates"]} == {24}


def test_predict_texts(milepost, improved, is_valid):
    done = milepost.ok("-w", improved, "predict", "route", "my parcel never arrived")
    assert "delivery" in done.out
    document = milepost.ok("predict", "route", "my parcel never arrived", "I was charged twice",
                           "-w", improved, "--json").json  # fmt: skip
    is_valid(document, "predict")
    assert document["release"] == 2
    assert [each["label"] for each in document["predictions"]] == ["delivery", "payment"]


def test_predict_keeps_the_columns_of_a_csv(milepost, improved, tickets):
    source = tickets / "tickets_test.csv"
    done = milepost.ok("-w", improved, "predict", "route", "--input", source, "--output", "out.csv")
    assert "24 rows" in done.out
    before, after = rows_of(source), rows_of(milepost.folder / "out.csv")
    assert list(after[0]) == ["id", "text", "input_label", "channel", "words",
                              "label", "confidence", "release"]  # fmt: skip
    for old, new in zip(before, after, strict=True):
        assert new["input_label"] == old["label"]
        assert {k: new[k] for k in ("id", "text", "channel", "words")} == {
            k: old[k] for k in ("id", "text", "channel", "words")
        }
        assert new["release"] == "2"
        assert 1 / 3 <= float(new["confidence"]) <= 1
    right = sum(row["label"] == row["input_label"] for row in after)
    assert right >= 22


def test_predict_keeps_the_columns_of_a_jsonl(milepost, improved):
    given = [
        {"text": "where is my box", "ticket": 7, "vip": True, "note": None,
         "tokens": ["where", "is"], "said": '["text"]'},
        {"text": "refund please", "ticket": 8, "vip": False, "note": "a\nb",
         "tokens": [{"at": 1}, 2, None], "said": "x"},
    ]  # fmt: skip
    (milepost.folder / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in given))
    milepost.ok("-w", improved, "predict", "route", "--input", "in.jsonl", "--output", "out.jsonl")
    lines = (milepost.folder / "out.jsonl").read_text().splitlines()
    answered = [json.loads(line) for line in lines]
    assert [{k: row[k] for k in given[0]} for row in answered] == given
    assert [row["label"] for row in answered] == ["delivery", "payment"]
    assert all(row["release"] == 2 and 0 < row["confidence"] <= 1 for row in answered)


def test_predict_keeps_the_columns_of_a_parquet(milepost, improved):
    table = pa.table({"text": ["where is my box", "refund please"], "score": [1.5, None],
                      "ticket": [7, 8]})  # fmt: skip
    pq.write_table(table, milepost.folder / "in.parquet")
    milepost.ok("-w", improved, "predict", "route", "--input", "in.parquet", "--output",
                "out.parquet")  # fmt: skip
    written = pq.read_table(milepost.folder / "out.parquet")
    assert written.column_names == ["text", "score", "ticket", "label", "confidence", "release"]
    assert written.select(["text", "score", "ticket"]).equals(table)
    assert written["label"].to_pylist() == ["delivery", "payment"]


def test_predict_filters_rows_and_prints_csv(milepost, improved, tickets):
    done = milepost.ok("-w", improved, "predict", "route", "--input", tickets / "tickets_test.csv",
                       "--where", "channel = 'chat' AND words > 4")  # fmt: skip
    rows = list(csv.DictReader(done.out.splitlines()))
    assert rows
    assert all(row["channel"] == "chat" and int(row["words"]) > 4 for row in rows)


def test_evaluate_a_release_on_a_file(milepost, improved, tickets, is_valid):
    data = tickets / "tickets_test.csv"
    first, second = (
        milepost.ok("-w", improved, "evaluate", "route", "--data", data, "--json", *more).json
        for more in (["--release", "1"], [])
    )
    for document, release in ((first, 1), (second, 2)):
        is_valid(document, "evaluate")
        assert (document["task"], document["release"], document["n"]) == ("route", release, 24)
    assert second["metrics"]["accuracy"]["value"] > first["metrics"]["accuracy"]["value"]
    shown = milepost.ok("-w", improved, "evaluate", "route", "--data", data).out
    assert "route  release 2 on 24 examples" in shown
    assert all(len(line) <= 80 for line in shown.splitlines())


def test_evaluate_says_which_rows_were_trained_on(milepost, improved, tickets):
    on = ("-w", improved, "evaluate", "route", "--data")
    done = milepost.ok(*on, tickets / "tickets.csv", "--json")
    assert any(note.startswith("54 of 54 rows") for note in done.json["notes"])
    assert (done.json["seen"], done.json["on_unseen"]) == (54, None)
    assert done.err.startswith("warning: release 2 was trained on 54 of these 54 rows")
    new = (tickets / "tickets_test.csv").read_text().splitlines()[1:]
    (milepost.folder / "both.csv").write_text(
        "\n".join([(tickets / "tickets.csv").read_text().rstrip("\n"), *new]) + "\n"
    )
    done = milepost.ok(*on, "both.csv", "--json")
    assert (done.json["seen"], done.json["on_unseen"]["n"]) == (54, 24)
    apart = milepost.ok(*on, tickets / "tickets_test.csv", "--json")
    assert done.json["on_unseen"]["value"] == apart.json["metrics"]["accuracy"]["value"]
    assert (apart.json["seen"], apart.err) == (0, "")
    shown = milepost.ok(*on, "both.csv")
    assert "numbers flatter it. On the other 24 examples, accuracy is" in shown.err
    assert "! " in shown.out


def test_evaluate_counts_unknown_labels_as_wrong(milepost, improved):
    (milepost.folder / "odd.csv").write_text("text,label\nwhere is my box,delivery\nhi,greeting\n")
    document = milepost.ok("-w", improved, "evaluate", "route", "--data", "odd.csv", "--json").json
    assert document["unknown_labels"] == 1
    assert document["metrics"]["accuracy"]["value"] == 0.5


def test_a_candidate_can_be_tried_without_a_release(milepost, improved, tickets, is_valid):
    contest = milepost.ok("-w", improved, "candidates", "route", "--json").json
    is_valid(contest, "improve")
    other = next(c for c in contest["tasks"][0]["candidates"] if c["strategy"] == "zero_shot")
    assert other["id"] in milepost.ok("-w", improved, "candidates", "route").out
    document = milepost.ok("-w", improved, "predict", "route", "where is my box", "--candidate",
                           other["id"], "--json").json  # fmt: skip
    is_valid(document, "predict")
    assert document["release"] is None
    assert document["candidate"] == other["id"]
    evaluated = milepost.ok("-w", improved, "evaluate", "route", "--data",
                            tickets / "tickets_test.csv", "--candidate", other["id"],
                            "--json").json  # fmt: skip
    is_valid(evaluated, "evaluate")
    assert evaluated["candidate"] == other["id"]


@pytest.mark.installed
def test_promote_and_rollback_decide_what_answers(milepost, improved):
    def answering():
        document = milepost.ok("-w", improved, "predict", "route", "where is it", "--json").json
        return document["release"]

    assert answering() == 2
    listed = milepost.ok("-w", improved, "releases", "route", "--json").json
    assert [row["number"] for row in listed["releases"]] == [2, 1]
    assert listed["production"]["release"] == 2
    assert [row["strategy"] for row in listed["releases"]][1] == "tfidf_linear"
    assert "is now release 1" in milepost.ok("-w", improved, "rollback", "route").out
    assert answering() == 1
    moved = milepost.ok("-w", improved, "promote", "route", "2", "--reason", "it was better")
    assert "is now release 2" in moved.out
    assert answering() == 2
    document = milepost.ok("-w", improved, "predict", "route", "x", "--release", "1", "--json").json
    assert document["release"] == 1
    shown = milepost.ok("-w", improved, "releases", "route").out
    assert "production" in shown
    assert "rollback" in shown


def test_check_shows_every_problem_with_its_line(milepost, fresh):
    (fresh / "tasks/broken.yaml").write_text(
        "name: broken\nkind: classfy\nlabels:\n  a: one\n  b: two\nobjectiv:\n  metric: f1\n"
    )
    (fresh / "tasks/slices.yaml").write_text(
        "name: slices\nobjective:\n  slices:\n    short: length(txt) < 5\n"
        "data: {examples: data/route.csv}\n"
    )
    done = milepost("-w", fresh, "check")
    assert done.code == 2
    assert done.err == ""
    assert "tasks/broken.yaml:2: kind:" in done.out
    assert "'classify'" in done.out
    assert "tasks/broken.yaml:6: objectiv:" in done.out
    assert "'objective'" in done.out
    assert "tasks/slices.yaml:4: objective.slices.short" in done.out
    assert re.search(r"✔ route  [1-9][0-9]* labelled examples\n", done.out)
    assert "✘ broken\n" in done.out  # what was not read has no count
    alone = milepost.ok("-w", fresh, "check", "route", "--json").json
    assert alone[0]["problems"] == []


def test_report_is_one_page_without_anything_from_outside(milepost, improved):
    done = milepost.ok("-w", improved, "report", "route", "--output", "pages/report.html")
    assert "Wrote pages/report.html." in done.out
    page = (milepost.folder / "pages/report.html").read_text()
    assert page.lstrip().lower().startswith("<!doctype html>")
    assert "route" in page
    assert 'src="http' not in page
    assert 'href="http' not in page
    milepost.ok("-w", improved, "report")
    assert (milepost.folder / "report.html").is_file()


def test_report_writes_charts_as_pictures(milepost, improved):
    milepost.ok("-w", improved, "report", "--output", "r.html", "--charts", "charts")
    pictures = sorted((milepost.folder / "charts/route").glob("*.png"))
    assert pictures
    assert all(p.read_bytes().startswith(b"\x89PNG\r\n") for p in pictures)


def test_doctor_and_version_need_no_workspace(milepost):
    rows = {row["name"]: row for row in milepost.ok("doctor", "--json").json}
    assert rows["embedded encoder"]["status"] == "ok"
    assert rows["onnxruntime"]["status"] == "ok"
    shown = milepost.ok("doctor").out
    assert "embedded encoder" in shown
    assert milepost.ok("--version").out.startswith("milepost ")


def test_the_workspace_is_found_by_option_variable_or_folder(milepost, fresh, environment):
    inside = replace(milepost, folder=fresh / "data")
    assert "route" in inside.ok("tasks").out
    named = replace(milepost, environment={**environment, "MILEPOST_WORKSPACE": str(fresh)})
    assert "route" in named.ok("tasks").out
    assert "route" in milepost.ok("tasks", "-w", fresh).out


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_help_names_every_command(milepost, arguments):
    shown = milepost.ok(*arguments).out
    for name in ("init", "add", "check", "tasks", "improve", "predict", "evaluate", "candidates",
                 "releases", "promote", "rollback", "report", "export", "doctor"):  # fmt: skip
        assert f" {name} " in shown


def test_the_published_schemas_are_packaged():
    names = {p.name for p in (files("milepost.reports") / "schemas").iterdir()}
    assert {"improve.json", "evaluate.json", "predict.json"} <= names
