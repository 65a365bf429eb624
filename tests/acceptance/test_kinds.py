"""Tasks of every kind through the command line, from a file to answers."""

import csv
import json

import pytest

from milepost.predictors.exported import load_exported

WORDS = {
    "refund": ("money back", "refund me", "pay me back"),
    "late": ("too late", "not here yet", "still waiting"),
    "broken": ("it is broken", "does not work", "cracked screen"),
}
THINGS = ("phone", "lamp", "chair", "radio", "book", "kettle", "clock", "table")


def write(folder, name, header, rows):
    with (folder / name).open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
    return name


@pytest.fixture
def improved(milepost):
    """Makes a task from a file and improves it; gives what was decided."""

    def make(*arguments, strategies=()):
        milepost.ok("init", "desk", "--task", "t", *arguments)
        chosen = [part for name in strategies for part in ("--strategy", name)]
        board = milepost.ok("-w", "desk", "improve", "t", "--json", *chosen).json
        (task,) = board["tasks"]
        assert task["decision"] == "released"
        return task

    return make


def test_any_number_of_labels(milepost, improved, is_valid):
    rows = []
    for thing in THINGS:
        for at in range(3):
            said = {name: each[at] for name, each in WORDS.items()}
            rows += [(f"the {thing}: {text}", name) for name, text in said.items()]
            rows.append((f"{said['refund']}, the {thing} is {said['late']}", '["late","refund"]'))
            rows.append((f"I like the {thing} very much, version {at}", "[]"))
    file = write(milepost.folder, "topics.csv", ("text", "topics"), rows)
    improved("--from", file, "--label", "topics", "--kind", "multilabel",
             strategies=("tfidf_linear", "head_ridge"))  # fmt: skip
    answered = milepost.ok(
        "-w", "desk", "predict", "t", "money back, the sofa is too late", "--json"
    ).json
    is_valid(answered, "predict")
    assert answered["predictions"][0]["labels"] == ["late", "refund"]
    out = milepost.ok("-w", "desk", "predict", "t", "--input", file).out
    found = list(csv.DictReader(out.splitlines()))
    assert {tuple(json.loads(row["labels"])) for row in found} >= {("late", "refund"), ()}
    measured = milepost.ok("-w", "desk", "evaluate", "t", "--data", file, "--json").json
    is_valid(measured, "evaluate")
    assert set(measured["metrics"]) == {"exact_match", "log_loss", "macro_f1", "micro_f1"}


def test_a_score(milepost, improved, is_valid):
    tone = {"awful": 1, "poor": 2, "fair": 3, "good": 4, "great": 5}
    rows = [(f"the {thing} is {word}", stars + at / 10)
            for at, thing in enumerate(THINGS) for word, stars in tone.items()]  # fmt: skip
    file = write(milepost.folder, "stars.csv", ("text", "stars"), rows)
    improved("--from", file, "--label", "stars", "--kind", "score", "--metric", "spearman",
             strategies=("tfidf_linear",))  # fmt: skip
    answered = milepost.ok(
        "-w", "desk", "predict", "t", "the sofa is awful", "the sofa is great", "--json"
    ).json
    is_valid(answered, "predict")
    worst, best = (each["score"] for each in answered["predictions"])
    assert worst < best
    assert "confidence" not in answered["predictions"][0]


def test_pairs(milepost, improved, is_valid):
    rows = [(f"{thing} number {at}", f"{thing.upper()} no. {at}", "match")
            for thing in THINGS for at in range(4)]  # fmt: skip
    rows += [(f"{thing} number {at}", f"{THINGS[at]} no. {at + 5}", "no_match")
             for thing in THINGS[4:] for at in range(4)]  # fmt: skip
    rows += [(f"{thing} number {at}", f"{thing} number {at + 7}", "no_match")
             for thing in THINGS for at in range(4)]  # fmt: skip
    file = write(milepost.folder, "pairs.csv", ("offer", "other", "label"), rows)
    improved("--from", file, "--pair", "offer", "other", strategies=("head_logistic",))
    answered = milepost.ok("-w", "desk", "predict", "t", "sofa number 3", "SOFA no. 3",
                           "sofa number 3", "sofa number 9", "--json").json  # fmt: skip
    is_valid(answered, "predict")
    assert [each["label"] for each in answered["predictions"]] == ["match", "no_match"]
    refused = milepost("-w", "desk", "predict", "t", "only one side")
    assert refused.code == 2
    assert "left, right" in refused.err
    measured = milepost.ok("-w", "desk", "evaluate", "t", "--data", file, "--json").json
    assert measured["metrics"]["accuracy"]["value"] > 0.9


@pytest.mark.parametrize(
    ("kind", "cell", "said"),
    [("score", "a lot", "not a number"), ("multilabel", '["a"', "no JSON array")],
)
def test_a_cell_that_is_no_truth_is_named(milepost, kind, cell, said):
    rows = [("one", "1"), ("two", cell), ("three", "2")]
    file = write(milepost.folder, "bad.csv", ("text", "label"), rows)
    refused = milepost("init", "desk", "--from", file, "--kind", kind)
    assert refused.code == 2
    assert f"{file}:3" in refused.err.replace("\n", "")
    assert said in " ".join(refused.err.split())


def test_an_unknown_kind_is_refused_with_the_nearest(milepost):
    file = write(milepost.folder, "x.csv", ("text", "label"), [("one", "1")])
    refused = milepost("init", "desk", "--from", file, "--kind", "multi-label")
    assert refused.code == 2
    assert "multilabel" in refused.err


def test_a_scale(milepost, improved, is_valid):
    tone = {"awful": 1, "poor": 2, "fair": 3, "good": 4, "great": 5}
    rows = [(f"the {thing} is {word}, version {at}", stars)
            for at, thing in enumerate(THINGS) for word, stars in tone.items()]  # fmt: skip
    file = write(milepost.folder, "stars.csv", ("text", "stars"), rows)
    improved("--from", file, "--label", "stars", "--kind", "score", "--metric", "qwk",
             strategies=("head_ordinal",))  # fmt: skip
    found = milepost.ok("-w", "desk", "check", "t").out
    assert "1 label" not in found
    asked = ("the sofa is awful", "the sofa is great")
    answered = milepost.ok("-w", "desk", "predict", "t", *asked, "--json").json
    is_valid(answered, "predict")
    worst, best = (each["score"] for each in answered["predictions"])
    assert 1 <= worst < best <= 5
    milepost.ok("-w", "desk", "export", "t", "out")
    exported = load_exported(milepost.folder / "out").predict(asked)
    assert list(exported.answers) == pytest.approx([worst, best], abs=1e-5)
    measured = milepost.ok("-w", "desk", "evaluate", "t", "--data", file, "--json").json
    assert measured["metrics"]["qwk"]["value"] > 0.7


@pytest.mark.parametrize("kind", ["score", "multilabel"])
def test_a_measure_that_does_not_fit_the_kind_is_refused(milepost, kind):
    file = write(milepost.folder, "x.csv", ("text", "label"), [("one", "1"), ("two", "2")])
    refused = milepost("init", "desk", "--from", file, "--kind", kind, "--metric", "accuracy")
    assert refused.code == 2
    assert f"accuracy does not fit the kind {kind}" in " ".join(refused.err.split())
    assert not (milepost.folder / "desk").exists()


def test_one_label_is_one_label(milepost):
    rows = [(f"text {at} of many", "[]" if at % 2 else '["late"]') for at in range(20)]
    file = write(milepost.folder, "x.csv", ("text", "label"), rows)
    made = milepost.ok("init", "desk", "--from", file, "--kind", "multilabel", "--task", "t").out
    assert "20 labelled examples, 1 label." in " ".join(made.split())
    more = write(milepost.folder, "y.csv", ("text", "label"), [("a late one", '["late"]')])
    added = milepost.ok("-w", "desk", "add", "t", milepost.folder / more).out
    assert "t: 21 labelled examples with role 'examples', 1 label." in " ".join(added.split())


def test_tests_of_behaviour_are_refused_where_no_label_is_answered(milepost):
    rows = [(f"text {at} of many", at / 2) for at in range(20)]
    file = write(milepost.folder, "x.csv", ("text", "label"), rows)
    milepost.ok("init", "desk", "--from", file, "--kind", "score", "--task", "t")
    refused = milepost("-w", "desk", "behave", "t")
    assert refused.code == 2
    said = " ".join(refused.err.split())
    assert "tests of behaviour are not for tasks of the kind score" in said
    assert "Declare some" not in said


SPOTS = ("Rome", "Paris", "Oslo", "Lima", "Cairo", "Delhi", "Quito", "Tunis")
WHO = ("Ann Lee", "Bob Ray", "Cy Kent", "Dee Fox", "Eli Moss", "Flo Hart")


def _spans(person, place):
    text = f"{person} flew to {place} by night."
    at = text.index(place)
    return text, [
        {"start": 0, "end": len(person), "label": "person"},
        {"start": at, "end": at + len(place), "label": "place"},
    ]


@pytest.fixture
def of_kind(milepost):
    """Makes a task of a kind on a small file, tries two strategies; gives the file's columns."""

    def topics():
        rows = [(f"the {thing} of house {at}: {text}", name)
                for at, thing in enumerate(THINGS) for name, texts in WORDS.items()
                for text in texts]  # fmt: skip
        rows += [(f"{WORDS['refund'][0]}, the {thing} is {WORDS['late'][0]}", '["late","refund"]')
                 for thing in THINGS]  # fmt: skip
        return ("text", "topics"), rows, ("--label", "topics", "--kind", "multilabel")

    def stars():
        tone = {"awful": 1, "poor": 2, "fair": 3, "good": 4, "great": 5}
        rows = [(f"the {thing} of house {at} is {word}", value + at / 10)
                for at, thing in enumerate(THINGS) for word, value in tone.items()]  # fmt: skip
        return ("text", "stars"), rows, ("--label", "stars", "--kind", "score")

    def trips():
        rows = [(text, json.dumps(spans)) for person in WHO for place in SPOTS
                for text, spans in [_spans(person, place)]]  # fmt: skip
        return ("text", "spans"), rows, ("--label", "spans", "--kind", "extract")

    def faq():
        rows = [(f"my {thing} number {at} is broken, what now", f"{thing} {at}: press its button")
                for thing in THINGS for at in range(4)]  # fmt: skip
        return ("question", "answer"), rows, ("--kind", "rank", "--pair", "question", "answer")

    made = {"multilabel": topics, "score": stars, "extract": trips, "rank": faq}

    def make(kind, first, second):
        header, rows, arguments = made[kind]()
        file = write(milepost.folder, "rows.csv", header, rows)
        milepost.ok("init", "desk", "--task", "t", "--from", file, *arguments)
        done = milepost("-w", "desk", "improve", "t", "--strategy", first, "--strategy", second)
        assert done.code in (0, 1), done.err  # Whatever the gate says of it.
        return header

    return make


@pytest.mark.parametrize(
    ("kind", "first", "second", "says", "row"),
    [
        ("multilabel", "majority", "tfidf_linear", "each answer with its F1",
         ("the sofa is too late", "late")),
        ("score", "majority", "tfidf_linear", "with how far off each is",
         ("a sofa that is awful", "1")),
        ("extract", "majority", "tagger_words", "each answer with its F1",
         ("Gus Park flew to Rome by day.", '[[0, 8, "person"], [17, 21, "place"]]')),
        ("rank", "majority", "bm25", "each order with its nDCG at 10",
         ("a sofa that creaks", "sofa: oil it")),
    ],
)  # fmt: skip
def test_two_of_any_kind_are_compared(milepost, of_kind, is_valid, kind, first, second, says, row):
    header = of_kind(kind, first, second)
    done = milepost.ok("-w", "desk", "compare", "t", first, second, "--output", "page.html")
    said = " ".join(done.out.split())
    assert "is better by" in said
    assert says in said
    assert all(len(line) <= 80 for line in done.out.splitlines())
    page = (milepost.folder / "page.html").read_text()
    assert "<script" not in page
    assert "Gain by" in page
    found = milepost.ok("-w", "desk", "compare", "t", first, second, "--json").json
    is_valid(found, "compare")
    assert found["kind"] == kind
    assert found["told"] == "better"
    assert found["counts"]["wins"] > found["counts"]["losses"] == len(found["losses"])
    assert found["wins"][0]["first_confidence"] is None
    assert len(found["gains"]) == 101
    assert bool(found["labels"]) == (kind in ("multilabel", "extract"))
    turned = milepost.ok("-w", "desk", "compare", "t", second, first, "--json").json
    assert turned["told"] == "worse"
    assert turned["comparison"]["difference"] == pytest.approx(-found["comparison"]["difference"])
    file = write(milepost.folder, "new.csv", header, [row])
    asked = milepost.ok("-w", "desk", "compare", "t", first, second, "--on", file, "--json").json
    assert asked["counts"]["n"] == 1
    assert asked["first"]["fresh"] == asked["second"]["fresh"] == (31 if kind == "rank" else 1)
    changed = asked["wins"] + asked["losses"] + asked["differently_wrong"]
    assert {each["text"] for each in changed} <= {row[0]}


def test_what_answered_another_kind_is_not_compared(milepost, of_kind, is_refusal):
    of_kind("multilabel", "majority", "tfidf_linear")
    task = milepost.folder / "desk/tasks/t.yaml"
    task.write_text(task.read_text().replace("kind: multilabel", "kind: classify"))
    refused = milepost("-w", "desk", "compare", "t", "majority", "tfidf_linear")
    is_refusal(refused, "any number of labels")
