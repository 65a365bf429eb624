"""Real, public data sets through the command line; small samples where the whole takes long."""

import os
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import milepost as mp

pytestmark = [pytest.mark.data, pytest.mark.slow]

QUICK = ("--strategy", "tfidf_linear", "--strategy", "head_closed_form")


@pytest.fixture(scope="session")
def data():
    given = os.environ.get("MILEPOST_DATA")
    folder = Path(given) if given else Path(__file__).parents[3] / "shared/data"
    if not folder.is_dir():
        pytest.skip(f"the benchmark data are not at {folder}; name their folder in MILEPOST_DATA")
    return folder


def sample(source, target, rows):
    """Rows at even distances, so that all parts of the file are in it."""
    table = pq.read_table(source)
    pq.write_table(table.take([i * table.num_rows // rows for i in range(rows)]), target)
    return target


def value_of(document, metric):
    return document["metrics"][metric]["value"]


def test_banking77_from_five_examples_a_label(milepost, data, is_valid):
    shots = data / "banking77/official_train_5.parquet"
    out = milepost.ok("init", "desk", "--from", shots, "--task", "intent").out
    assert "385 labelled examples, 77 labels" in out
    board = milepost.ok("-w", "desk", "improve", "intent", "--json").json
    is_valid(board, "improve")
    (task,) = board["tasks"]
    assert (task["decision"], task["regime"]) == ("released", "cross_fitted")
    test = sample(data / "banking77/test.parquet", milepost.folder / "test.parquet", 770)
    released = milepost.ok("-w", "desk", "evaluate", "intent", "--data", test, "--json").json
    is_valid(released, "evaluate")
    assert value_of(released, "accuracy") >= 0.80
    words = next(c["id"] for c in task["candidates"] if c["strategy"] == "tfidf_linear")
    simple = milepost.ok("-w", "desk", "evaluate", "intent", "--data", test, "--candidate", words,
                         "--json").json  # fmt: skip
    assert value_of(released, "accuracy") > value_of(simple, "accuracy")


def test_tweeteval_hate_shows_its_leaks_and_conflicts(milepost, data):
    train = data / "tweeteval_hate/train.parquet"
    test = data / "tweeteval_hate/test.parquet"
    out = milepost.ok("init", "desk", "--from", train, "--task", "hate").out
    assert "conflicting labels" in out
    milepost.ok("-w", "desk", "add", "hate", test, "--as", "test")
    (checked,) = milepost.ok("-w", "desk", "check", "--json").json
    found = {finding["check"]: finding for finding in checked["quality"]["findings"]}
    assert found["conflicting_labels"]["count"] > 0
    leaks = [finding for check, finding in found.items() if "leak" in check]
    assert leaks
    assert sum(finding["count"] for finding in leaks) > 0


def test_amazon_counterfactual_shows_the_gap_between_languages(milepost, data, is_valid):
    train = sample(data / "amazon_counterfactual/train.parquet", milepost.folder / "train.parquet",
                   900)  # fmt: skip
    test = sample(
        data / "amazon_counterfactual/test.parquet", milepost.folder / "test.parquet", 900
    )
    slices = {"english": "lang = 'en'", "japanese": "lang = 'ja'"}
    objective = mp.Objective(metric="macro_f1", slices=slices)
    mp.Workspace.from_file("desk", train, task="wish", objective=objective)
    milepost("-w", "desk", "improve", *QUICK)
    chosen = mp.Workspace.open("desk").contest("wish").chosen
    document = milepost.ok("-w", "desk", "evaluate", "wish", "--data", test, "--candidate",
                           chosen.id, "--json").json  # fmt: skip
    is_valid(document, "evaluate")
    english, japanese = document["slices"]["english"], document["slices"]["japanese"]
    assert english["n"] > 100
    assert japanese["n"] > 100
    assert japanese["gap"] > 0
    assert english["value"] > japanese["value"] + 0.05


def test_sms_spam_is_told_apart(milepost, data):
    train = sample(data / "sms_spam/train.parquet", milepost.folder / "train.parquet", 700)
    milepost.ok("init", "desk", "--from", train, "--task", "spam", "--metric", "macro_f1",
                "--at-least", "0.85")  # fmt: skip
    milepost.ok("-w", "desk", "improve", *QUICK)
    document = milepost.ok("-w", "desk", "evaluate", "spam", "--data",
                           data / "sms_spam/test.parquet", "--json").json  # fmt: skip
    assert value_of(document, "accuracy") >= 0.96
    assert value_of(document, "macro_f1") >= 0.9
