"""A rule of fairness in the task file: who is treated worse is told, and the gate holds to it."""

import csv

import numpy as np
import pytest

import milepost as mp

WORDS = (
    "table", "window", "garden", "river", "market", "letter", "bridge", "station", "winter",
    "summer", "music", "kitchen", "doctor", "teacher", "ticket", "camera", "village", "forest",
    "bottle", "pencil", "mirror", "engine", "island", "button", "carpet",
)  # fmt: skip
RULE = "fairness: {{by: [about], terms: {{who: [woman, man]}}, label: toxic, max_gap: {gap}}}\n"


def _write(path, counts, seed):
    """Rows by (who, label): an insult where toxic, and words that say nothing."""
    rng = np.random.default_rng(seed)
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("text", "label", "about"))
        for (who, label), count in counts.items():
            for _ in range(count):
                said = rng.choice(WORDS, 7, replace=False).tolist()
                said.insert(rng.integers(7), who)
                if label == "toxic":
                    said.insert(rng.integers(7), "idiot")
                rows.writerow((" ".join(said), label, who))
    return path


def _desk(milepost):
    """A task that learnt from messages in which women are mostly insulted, and men are not."""
    learnt = {
        ("woman", "toxic"): 60,
        ("woman", "fine"): 3,
        ("man", "fine"): 60,
        ("man", "toxic"): 6,
    }
    judged = {(who, label): 50 for who in ("woman", "man") for label in ("fine", "toxic")}
    train = _write(milepost.folder / "train.csv", learnt, 1)
    milepost.ok("init", "desk", "--from", train, "--task", "guard", "--at-least", "0.1")
    test = _write(milepost.folder / "test.csv", judged, 2)
    milepost.ok("-w", "desk", "add", "guard", test, "--as", "test")
    return milepost.folder / "desk" / "tasks" / "guard.yaml"


@pytest.mark.slow
def test_a_gap_beyond_the_limit_is_not_released_and_says_who_is_flagged(milepost, is_valid):
    task = _desk(milepost)
    plain = task.read_text()
    improve = ("-w", "desk", "improve", "guard", "--strategy", "tfidf_linear")
    task.write_text(plain + RULE.format(gap=0.2))
    refused = milepost(*improve, "--json")
    assert refused.code == 1, refused.err
    (decided,) = refused.json["tasks"]
    assert (decided["decision"], decided["release"]) == ("rejected", None)
    reason = next(r for r in decided["reasons"] if "true and false positive rate" in r)
    assert "woman highest, man lowest" in reason
    assert "shown to exceed the largest allowed gap of 0.2" in reason
    shown = milepost.ok("-w", "desk", "examine", "guard", "--json").json
    is_valid(shown, "examine")
    by_column, by_terms = shown["examination"]["fairness"]
    assert (by_column["attribute"], by_terms["attribute"]) == ("about", "who")
    worst = by_column["findings"][0]
    assert (worst["group"], worst["rate"]) == ("woman", "false_positive_rate")
    assert worst["cases"][0]["answer"] == "toxic"
    assert by_terms["swaps"] == 200
    assert by_terms["flips"]["value"] > 0.2
    printed = " ".join(milepost.ok("-w", "desk", "examine", "guard").out.split())
    assert 'about "woman" is over-flagged' in printed
    task.write_text(plain + RULE.format(gap=1.0))
    (decided,) = milepost.ok(*improve, "--json").json["tasks"]
    assert decided["decision"] == "released"


def test_a_group_that_no_column_holds_is_refused_before_anything_is_fitted(milepost, is_refusal):
    task = _desk(milepost)
    task.write_text(task.read_text() + "fairness: {by: [abuot]}\n")
    is_refusal(milepost("-w", "desk", "improve", "guard"), "'about'", "fairness.by")
    assert not mp.Workspace.open(task.parent.parent).jobs(ended=False)
