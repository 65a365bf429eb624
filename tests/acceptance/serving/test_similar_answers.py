"""A task whose language model need not be asked twice what means the same, as typed and served."""

import csv
import json

import httpx
import pytest

THINGS = {"fruit": "ripe apples and pears", "tool": "a hammer and a saw"}
PRICES = ("--price-in", "2.5", "--price-out", "10")


@pytest.fixture
def desk(milepost):
    path = milepost.folder / "things.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = [
            (f"{thing}, number {number} of them", label)
            for number in range(100)
            for label, thing in THINGS.items()
        ]
        csv.writer(file).writerows([("text", "label"), *rows])
    milepost.ok("init", "desk", "--from", path, "--task", "things")
    known = [
        json.dumps({"text": f"{thing}, number {number} of them", "label": label})
        for number in range(3000)
        for label, thing in THINGS.items()
    ]
    (milepost.folder / "desk" / "known.jsonl").write_text("\n".join(known))
    address = ("--wire", "fake", "--base-url", "fake:?accuracy=1&seconds=0&knows=known.jsonl")
    milepost.ok("-w", "desk", "upstreams", "add", "big", *address, *PRICES)
    only = ("--strategy", "prompted", "--budget-usd", "1")
    milepost.ok("-w", "desk", "improve", "things", *only)
    return milepost.folder / "desk"


def declare(desk, rule: str) -> None:
    file = desk / "tasks" / "things.yaml"
    kept = file.read_text().partition("language:")[0]
    file.write_text(kept + (f"language:\n  similar: {rule}\n" if rule else ""))


@pytest.mark.slow
def test_similar_questions_are_answered_as_certified_and_no_longer(milepost, desk, serve, steps):
    similar = ("-w", desk, "upstreams", "similar")
    assert "No task answers similar questions" in milepost.ok(*similar).out
    refused = milepost(*similar, "things")
    assert refused.code == 2
    assert "language: {similar: {at_most_wrong" in refused.err

    declare(desk, "{at_most_wrong: 0.2}")
    server = serve(desk, "--insecure")
    with httpx.Client(base_url=server.address, timeout=30.0) as client:

        def ask(number: int) -> dict:
            body = {"inputs": [f"ripe apples and pears, number {number} of them"]}
            answer = client.post("/v1/tasks/things/predict", json=body).json()
            return answer["predictions"][0]

        assert "cached" not in ask(1000), "nothing is certified yet"
        done = milepost.ok(*similar, "things", "--budget-usd", "1", "--json").json
        (bank,) = done["banks"]
        claimed = bank["certificate"]
        assert claimed["at_most_wrong"] == 0.2
        assert claimed["wrong"] <= 0.2 * claimed["hits"]
        assert "answers" in milepost.ok(*similar).out
        again = milepost.ok(*similar, "things", "--json").json
        assert again["micro_usd"] == 0, "all of it is known now"

        numbers = iter(range(2000, 3000))
        steps(lambda: ask(next(numbers)).get("cached") == "similar", 20.0)
        calm = ask(next(numbers))
        assert calm["label"] == "fruit"

        declare(desk, "{at_most_wrong: 0.1}")
        steps(lambda: "cached" not in ask(next(numbers)), 20.0)
        assert "promises more than was certified" in " ".join(milepost.ok(*similar).out.split())
        declare(desk, "")
        assert "cached" not in ask(next(numbers))
    assert server.stop() == 0

    traces = milepost.ok("-w", desk, "traces", "things", "--limit", "500", "--json").json["traces"]
    assert {each["similar"] for each in traces} == {True, False}
    spent = milepost.ok("-w", desk, "spend", "things", "--json").json
    assert sum(each["similar"] for each in spent["groups"]) == sum(
        each["similar"] for each in traces
    )
    assert "got the answer to a similar question" in milepost.ok("-w", desk, "spend", "things").out
    assert "similar.certified" in milepost.ok("-w", desk, "audit", "log", "--json").out
    milepost.ok("-w", desk, "audit", "verify")
