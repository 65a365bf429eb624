"""The number that a leaking training file would have given, beside the one without the leaks."""

import json

import pytest

from milepost.workflows.contest.improve import improve
from milepost.workflows.contest.options import Options

ONLY = Options(strategies=("tfidf_linear",))
PLACES = ("Rome", "Oslo", "Bern", "Kiel", "Lyon", "Graz", "Cork", "Brno", "Gent", "Lodz")


@pytest.fixture
def tested(context, things, write):
    """Gives the task a test file with these rows."""

    def with_test(rows):
        write(rows, "test.csv")
        file = context.root / "tasks/things.yaml"
        file.write_text(file.read_text().replace("id: id", "id: id, test: data/test.csv"))
        return improve(context, things, ONLY).contest.chosen

    return with_test


def test_what_leaks_is_left_out_and_the_naive_number_stands_beside(tested, rows):
    other = {"fruit": "tool", "tool": "fruit"}
    # Copies of four training rows, labelled otherwise: trained on them the answers would be worse
    # on paper, and the corrected number is wrong on them all.
    copies = [(f"c{i}", text, other[label]) for i, (_, text, label) in enumerate(rows[:4])]
    new = [(f"n{i}", f"{text} once more", label) for i, (_, text, label) in enumerate(rows[4:])]
    card = tested([*copies, *new]).scorecard
    assert card.objective.value == pytest.approx(16 / 20)
    assert card.naive is not None
    assert card.naive.n == 20
    (note,) = [note for note in card.notes if "Trained on them too" in note]
    assert note.startswith("4 labelled training rows that the test file holds the like of were")
    assert f"would read {card.naive.value:.3f} instead of 0.800" in note


def test_without_leaks_there_is_no_naive_number(tested, rows):
    card = tested([(f"n{i}", f"{t} once more", c) for i, (_, t, c) in enumerate(rows)]).scorecard
    assert card.naive is None
    assert not any("Trained on them too" in note for note in card.notes)


def test_labels_are_decided_by_the_same_thresholds_with_the_leaks(context):
    """The few copies teach next to nothing; decided from one half on, everything would differ."""
    words = {"late": "parcel", "paid": "card", "lost": "key", "odd": "thing"}
    inputs = [f"the {thing} {verb} {place}" for place in PLACES
              for verb in ("came to", "went from") for thing in words.values()]  # fmt: skip
    said = [[name for name, word in words.items() if f" {word} " in text and at % 3 == 0]
            for at, text in enumerate(inputs)]  # fmt: skip
    rows = [json.dumps({"text": text, "label": names})
            for text, names in zip(inputs, said, strict=True)]  # fmt: skip
    (context.root / "data/sets.jsonl").write_text("\n".join(rows))
    others = [json.dumps({"text": f"{text} once more", "label": names})
              for text, names in zip(inputs[::5], said[::5], strict=True)]  # fmt: skip
    (context.root / "data/test.jsonl").write_text("\n".join([*rows[:4], *others]))
    (context.root / "tasks/sets.yaml").write_text(
        "name: sets\nkind: multilabel\ndata: {examples: data/sets.jsonl, test: data/test.jsonl}\n"
    )
    card = improve(context, "sets", ONLY).contest.chosen.scorecard
    assert card.naive.value == pytest.approx(card.objective.value, abs=0.1)
