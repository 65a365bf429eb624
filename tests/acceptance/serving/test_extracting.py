"""Spans through the command line and a real server: from a file to answers and corrections."""

import csv
import json

import httpx
import pyarrow.parquet as pq
import pytest

from milepost.testing.tiny import write_tiny

PEOPLE = ("Ann Lee", "Bob", "Cleo Moe", "Dan", "Eva Roe", "Fay", "Gus Ott", "Hal")
PLACES = ("Rome", "New York", "Oslo", "Bern", "Lima")
ASKED = "Ian Poe flew to Kyiv on day 3."


def rows():
    for at in range(40):
        who, where = PEOPLE[at % 8], PLACES[at % 5]
        text = f"{who} flew to {where} on day {at}." if at % 4 else f"on day {at} it rained"
        begin = text.find(where)
        spans = [{"start": 0, "end": len(who), "label": "person"},
                 {"start": begin, "end": begin + len(where), "label": "place"}]  # fmt: skip
        yield text, spans if at % 4 else []


@pytest.fixture
def desk(milepost, steps):
    """A workspace whose encoder is tiny, with what two strategies came to released."""
    file = milepost.folder / "trips.jsonl"
    file.write_text("".join(json.dumps({"text": t, "spans": s}) + "\n" for t, s in rows()))
    write_tiny(milepost.folder / "tiny")
    milepost.ok("init", "desk", "--from", file, "--label", "spans", "--kind", "extract",
                "--task", "trips")  # fmt: skip
    settings = milepost.folder / "desk" / "milepost.toml"
    said = settings.read_text().splitlines()
    kept = [line for line in said if not line.startswith("encoder")]
    settings.write_text("\n".join([f'encoder = "{milepost.folder / "tiny"}"', *kept]) + "\n")
    board = milepost.ok("-w", "desk", "improve", "trips", "--json",
                        "--strategy", "gazetteer", "--strategy", "tagger").json  # fmt: skip
    (task,) = board["tasks"]
    assert task["decision"] == "released"
    return milepost.folder / "desk", task


def test_from_a_file_to_answers_and_corrections(desk, milepost, serve, is_valid, steps):
    folder, task = desk
    by_name = {each["strategy"]: each for each in task["candidates"]}
    assert by_name["tagger"]["chosen"]
    assert by_name["tagger"]["metric"] == "span_f1"
    assert by_name["tagger"]["value"] > 0.9

    answered = milepost.ok("-w", folder, "predict", "trips", ASKED, "it rained", "--json").json
    is_valid(answered, "predict")
    first, second = (each["spans"] for each in answered["predictions"])
    assert [(each["text"], each["label"]) for each in first] == [
        ("Ian Poe", "person"), ("Kyiv", "place"),
    ]  # fmt: skip
    assert all(0.3 <= each["probability"] <= 1 for each in first)
    assert second == []
    given = milepost.folder / "in.csv"
    with given.open("w", newline="") as file:
        csv.writer(file).writerows([("text",), (ASKED,), ("it rained",)])
    milepost.ok("-w", folder, "predict", "trips", "--input", given, "--output", "out.parquet")
    assert pq.read_table(milepost.folder / "out.parquet")["spans"].to_pylist() == [first, []]

    server = serve(folder, "--insecure")
    with httpx.Client(base_url=server.address) as client:
        answer = client.post("/v1/tasks/trips/predict", json={"inputs": [ASKED]}).json()
        (one,) = answer["predictions"]
        assert one["confidence"] == min(each["probability"] for each in one["spans"])
        dry = client.post("/v1/tasks/trips/predict", json={"inputs": ["it rained"]}).json()
        assert [(p["label"], p["confidence"]) for p in dry["predictions"]] == [("[]", None)]
        assert [(s["start"], s["end"], s["label"], s["text"]) for s in one["spans"]] == [
            (each["start"], each["end"], each["label"], each["text"]) for each in first
        ]
        said = {"trace_id": one["trace_id"], "spans": [{"start": 0, "end": 7, "label": "person"}]}

        kept = []

        def is_kept() -> bool:
            kept[:] = [client.post("/v1/feedback", json=said)]
            return kept[0].status_code == 201

        steps(is_kept, 10.0)
        assert kept[0].json()["label"] == '[[0,7,"person"]]'
        said["spans"][0]["end"] = 99
        refused = client.post("/v1/feedback", json=said)
        assert refused.status_code == 422
        assert "outside its text of 30" in refused.text


def test_rows_whose_spans_cannot_be_are_named(milepost):
    lines = [
        {"text": "Ann ran", "spans": cell}
        for cell in ([[0, 3, "a"]], [[0, 99, "a"]], [[0, 2, "a"], [1, 3, "a"]], ["B-a"])
    ]
    file = milepost.folder / "bad.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    refused = milepost("init", "desk", "--from", "bad.jsonl", "--label", "spans",
                       "--kind", "extract")  # fmt: skip
    assert refused.code == 2
    said = " ".join(refused.err.split())
    for at, why in ((2, "outside its text"), (3, "overlap"), (4, "1 tags for 2 tokens")):
        assert f"bad.jsonl:{at}" in said
        assert why in said
    assert not (milepost.folder / "desk").exists()
