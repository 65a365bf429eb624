"""Wrong labels beside a holdout, and learning curves of every kind of measure and split."""

import csv

import pytest

QUICK = ("--strategy", "head_closed_form")
WRONG = 6


@pytest.fixture
def desk(milepost, tickets):
    """A workspace whose task has a holdout: 114 rows, some labelled wrong, a month apart."""
    rows = []
    for name in ("tickets.csv", "tickets_later.csv", "tickets_test.csv"):
        with (tickets / name).open(newline="") as file:
            rows += list(csv.DictReader(file))
    for at, row in enumerate(rows):
        row["day"] = f"2025-{1 + at % 12:02d}-{1 + at // 12:02d}"
        if at % (len(rows) // WRONG) == 7:
            row["label"] = {"delivery": "payment", "payment": "account", "account": "delivery"}[
                row["label"]
            ]
    with (milepost.folder / "all.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    milepost.ok("init", "desk", "--from", "all.csv", "--task", "route")
    workspace = milepost.folder / "desk"
    settings = workspace / "milepost.toml"
    settings.write_text(
        settings.read_text()
        .replace("# holdout_min = 400", "holdout_min = 20")
        .replace("# holdout_min_per_label = 30", "holdout_min_per_label = 5")
    )
    wrong = {row["text"] for at, row in enumerate(rows) if at % (len(rows) // WRONG) == 7}
    return workspace, len(rows), wrong


def _improved(milepost, workspace, *strategies):
    """The JSON of a contest, released or not."""
    done = milepost("-w", workspace, "improve", "route", *(strategies or QUICK), "--json")
    assert done.code in (0, 1), done.err
    return done.json


def _declare(workspace, text, data=""):
    task = workspace / "tasks" / "route.yaml"
    task.write_text(task.read_text().rstrip() + data + "\n" + text)


@pytest.mark.slow
def test_suspects_never_look_at_the_holdout(milepost, desk):
    workspace, rows, wrong = desk
    before = milepost.ok("-w", workspace, "suspects", "route", "--top", "10000", "--json").json
    (task,) = _improved(milepost, workspace)["tasks"]
    after = milepost.ok("-w", workspace, "suspects", "route", "--top", "10000", "--json").json
    assert task["regime"] == "holdout"
    held = task["candidates"][0]["n"]
    assert held >= 20
    assert before["rows"] == after["rows"] == rows - held
    assert before["suspects"] == after["suspects"]
    listed = [each["text"] for each in after["suspects"]]
    planted = wrong & set(listed)
    assert planted
    assert planted <= set(listed[: 3 * WRONG])


@pytest.mark.parametrize("metric", ["log_loss", pytest.param("auroc", marks=pytest.mark.slow)])
def test_the_curve_and_its_forecast_are_in_the_json(milepost, desk, metric, is_valid):
    workspace, rows, _ = desk
    _declare(workspace, f"objective: {{metric: {metric}}}\n")
    document = _improved(milepost, workspace)
    is_valid(document, "improve")
    (task,) = document["tasks"]
    curve, ahead = task["curve"], task["forecast"]
    sizes = [point["examples"] for point in curve]
    assert sizes == sorted(set(sizes))
    assert sizes[-1] == rows - task["candidates"][0]["n"]
    assert [point["examples"] for point in ahead] == [2 * sizes[-1], 5 * sizes[-1]]
    assert task["no_forecast"] is None
    for point in (*curve, *ahead):
        assert 0.0 <= point["low"] <= point["value"] <= point["high"]
    better = -1 if metric == "log_loss" else 1
    assert better * (ahead[1]["value"] - ahead[0]["value"]) >= 0


@pytest.mark.slow
def test_examples_in_time_have_a_curve_too(milepost, desk):
    workspace, rows, _ = desk
    _declare(workspace, "", data="\n  time: day")
    (task,) = _improved(milepost, workspace)["tasks"]
    sizes = [point["examples"] for point in task["curve"]]
    assert len(sizes) >= 3
    assert sizes == sorted(set(sizes))
    # forward chaining: nobody is answered from more than what came earlier
    assert rows * 0.4 < sizes[-1] < rows
    assert len(task["forecast"]) == 2


@pytest.mark.slow
def test_why_there_is_no_forecast_is_said(milepost, desk):
    workspace, *_ = desk
    (task,) = _improved(milepost, workspace, "--strategy", "tfidf_linear")["tasks"]
    assert task["curve"] == []
    assert "closed-form head" in task["no_forecast"]
    shown = milepost.ok("-w", workspace, "examine", "route").out
    assert "closed-form head" in " ".join(shown.split())
    (workspace / "mine.py").write_text(
        "def mine(actual, answers, probabilities):\n    return float((actual == answers).mean())\n"
    )
    _declare(workspace, "objective: {metric: 'own:mine.py:mine'}\n")
    (task,) = _improved(milepost, workspace)["tasks"]
    assert len(task["curve"]) >= 3
    assert task["forecast"] == []
    assert "best value" in task["no_forecast"]
