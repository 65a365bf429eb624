"""Prompts compete with everything else, as typed: the cost is shown first, and kept to."""

import csv

import pytest

from milepost.entities.money import MICRO

THINGS = {"fruit": "ripe apples and pears of", "tool": "a hammer and saw from"}
NAMES = "alpha bravo charlie delta echo foxtrot golf hotel india juliet"
ONLY = ("--strategy", "tfidf_linear", "--strategy", "prompted")


@pytest.fixture
def desk(milepost):
    path = milepost.folder / "things.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = [
            (f"{thing} {name}", label) for name in NAMES.split() for label, thing in THINGS.items()
        ]
        csv.writer(file).writerows([("text", "label"), *rows])
    milepost.ok("init", "desk", "--from", path, "--task", "things")
    address = ("--wire", "fake", "--base-url", "fake:?accuracy=1&seconds=0")
    prices = ("--price-in", "2.5", "--price-out", "10")
    milepost.ok("-w", "desk", "upstreams", "add", "big", *address, *prices)
    return "desk"


def test_prompts_compete_within_a_budget(milepost, desk, is_valid):
    refused = milepost("-w", desk, "improve", "things", *ONLY)
    assert refused.code == 2
    assert "'prompted' asks a language model, and nothing may be spent" in refused.err
    assert "--budget-usd 0.50" in refused.err
    assert milepost.ok("-w", desk, "looks", "things", "--json").json["taken"] == []

    dear = milepost("-w", desk, "improve", "things", *ONLY, "--budget-usd", "0.0001")
    assert "too dear" in dear.err
    assert "prompted" in dear.out

    done = milepost("-w", desk, "improve", "things", *ONLY, "--budget-usd", "0.05", "--json")
    assert "prompted: about $0.0" in done.err
    is_valid(done.json, "improve")
    (contest,) = done.json["tasks"]
    rows = {each["strategy"]: each for each in contest["candidates"]}
    (asked,) = rows["prompted"]["asked"]
    assert asked["upstream"] == "big"
    assert 0 < contest["spent_usd"] <= contest["budget_usd"] == 0.05
    assert rows["prompted"]["cost_per_1k_usd"] > rows["tfidf_linear"]["cost_per_1k_usd"]

    told = milepost.ok("-w", desk, "candidates", "things").out
    assert "Language models cost $" in told
    assert "per million tokens" in told
    spent = milepost.ok("-w", desk, "spend", "--json").json
    assert round(contest["spent_usd"] * MICRO) > 0
    assert "big" in str(spent)
