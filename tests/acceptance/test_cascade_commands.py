"""A cascade as typed: people as its last rung, its promise on page and card, and `recheck`."""

import asyncio
import csv
import random

import pytest

from milepost.entities.serving import Ask
from milepost.workflows.opening import open_context
from milepost.workflows.serving.opening import ServeOptions, open_service

THINGS = {"fruit": ("apples", "pears", "plums"), "tool": ("hammer", "saw", "pliers")}
ONLY = ("--strategy", "tfidf_linear", "--strategy", "cascade")
RULE = """
cascade:
  at_most_wrong: 0.05
  last: person
  audit_share: 1.0
"""


def rows(count, seed):
    """Texts with a word that tells the label, and every eighth one without."""
    rng = random.Random(seed)  # noqa: S311 — texts of a test
    for i in range(count):
        label = rng.choice(list(THINGS))
        told = f"{rng.choice(('buy', 'sell', 'lend'))} {rng.choice(THINGS[label])} no {seed}{i}"
        yield (f"thing number {seed}{i} of the cellar" if i % 8 == 7 else told), label


def save(path, content):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "label"), *content])
    return path


def served(folder, texts):
    """Answers of the workspace as a server gives and records them."""

    async def answer():
        context = open_context(folder)
        service = open_service(context, ServeOptions(threads=1))
        try:
            return (await service.answer(Ask(task="things", texts=tuple(texts)))).predictions
        finally:
            await service.close(30)
            context.ledger.close()

    return asyncio.run(answer())


@pytest.fixture
def desk(milepost):
    path = save(milepost.folder / "things.csv", rows(300, 1))
    milepost.ok("init", "desk", "--from", path, "--task", "things")
    task = milepost.folder / "desk/tasks/things.yaml"
    task.write_text(task.read_text() + RULE)
    done = milepost.ok("-w", "desk", "improve", "things", *ONLY)
    assert "leaves to people what no rung is sure of" in done.out
    return milepost.folder / "desk"


def filled(path, labels, most):
    """The file of ``--ask`` with some labels filled in."""
    with path.open(newline="", encoding="utf-8") as file:
        found = list(csv.DictReader(file))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["trace", "text", "label"])
        writer.writeheader()
        writer.writerows(
            {**row, "label": labels[row["text"]] if i < most else ""} for i, row in enumerate(found)
        )
    return path


@pytest.mark.slow
def test_people_get_what_is_left_and_the_promise_is_checked_again(
    milepost, desk, is_refusal, is_valid
):
    told = milepost.ok("-w", desk, "predict", "things", "buy apples", "of the cellar").out
    assert "1 of 2 texts to a person" in told
    found = milepost.ok("-w", desk, "predict", "things", "buy apples", "of the cellar", "--json")
    is_valid(found.json, "predict")
    first, second = found.json["predictions"]
    assert (first["rung"], first["label"], first["abstained"]) == ("tfidf_linear", "fruit", False)
    assert (second["rung"], second["label"], second["abstained"]) == ("person", None, True)
    milepost.ok("-w", desk, "predict", "things", "--input", "things.csv", "--output", "said.csv")
    with (milepost.folder / "said.csv").open(encoding="utf-8") as file:
        assert {row["rung"] for row in csv.DictReader(file)} == {"tfidf_linear", "person"}

    asked = dict(rows(260, 2))
    answers = served(desk, list(asked))
    withheld = [each for each in answers if each.rung == "person"]
    assert 15 < len(withheld) < 100
    assert all(each.abstained and each.label is None for each in withheld)

    before = milepost.ok("-w", desk, "recheck", "things", "--ask", "ask.csv", "--json").json
    assert before["asked"] == len(answers) - len(withheld)
    assert (before["outcome"], before["checked"], before["needed"]) == ("too_few", 0, 59)
    path = milepost.folder / "ask.csv"
    recheck = ("-w", desk, "recheck", "things", "--labels", filled(path, asked, 90))
    held = milepost.ok(*recheck, "--ask", "rest.csv", "--json").json
    assert (held["outcome"], held["checked"], held["wrong"]) == ("kept", 90, 0)
    assert milepost.ok(*recheck, "--json").json == held
    said = " ".join(milepost.ok("-w", desk, "recheck", "things").out.split())
    assert "no more than promised" in said

    turned = {text: "tool" if label == "fruit" else "fruit" for text, label in asked.items()}
    rest = filled(milepost.folder / "rest.csv", turned, 40)
    broken = milepost("-w", desk, "recheck", "things", "--labels", rest, "--json")
    assert (broken.code, broken.json["outcome"], broken.json["wrong"]) == (1, "broken", 40)
    assert broken.json["evidence"] >= 20
    is_refusal(milepost("-w", desk, "recheck", "things", "--labels", "things.csv"), "trace")
    rest.write_text(rest.read_text().replace(",fruit", ",fruits"))
    is_refusal(milepost("-w", desk, "recheck", "things", "--labels", rest), "line 2", "'fruits'")

    milepost.ok("-w", desk, "card", "things", "--output", "card.md")
    card = (milepost.folder / "card.md").read_text()
    assert "## What is promised" in card
    assert "≤ 5 % wrong" in card
    milepost.ok("-w", desk, "report", "--output", "report.html")
    page = (milepost.folder / "report.html").read_text()
    assert "What the cascade promises" in page
    assert "left to a person" in page
