"""A task that ranks, from a file of questions and answers to a served order of candidates."""

import csv

import httpx
import pytest

SUBJECTS = {
    "router": ("hold the button behind the cover for ten seconds", "it starts with a green light"),
    "invoice": (
        "open the page of payments and print it there",
        "it is sent by mail on Monday",
    ),
    "parcel": ("the carrier shows where it is under its number", "wait three working days for it"),
    "password": (
        "ask for a new one on the page where you sign in",
        "take twelve letters or more",
    ),
}
ASKED = ("how do I get the {} again", "what about the {}", "the {} does not come, help",
         "where do I find my {}", "tell me about a {}", "who can help with the {}")  # fmt: skip


@pytest.fixture(scope="module")
def rows():
    return [
        (question.format(subject), f"{subject}: {answer}")
        for subject, answers in SUBJECTS.items()
        for question in ASKED
        for answer in answers
    ]


@pytest.fixture
def desk(milepost, rows):
    with (milepost.folder / "faq.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("question", "answer"), *rows])
    made = milepost.ok("init", "desk", "--from", "faq.csv", "--kind", "rank", "--task", "faq",
                       "--pair", "question", "answer")  # fmt: skip
    assert "were drawn for them" in " ".join(made.out.split())
    milepost.ok("-w", "desk", "improve", "faq", "--strategy", "bm25", "--strategy", "head_rank")
    return milepost.folder / "desk"


def test_a_bare_query_gets_candidates_in_order(milepost, desk, serve, is_valid):
    shown = milepost.ok("-w", desk, "predict", "faq", "my router is broken").out
    assert shown.index("router:") < shown.index("Out of 8 candidates")
    found = milepost.ok(
        "-w", desk, "predict", "faq", "print the invoice", "my router", "--top", "3", "--json"
    ).json
    is_valid(found, "predict")
    assert [len(each["ranking"]) for each in found["predictions"]] == [3, 3]
    (desk / "data" / "more.csv").write_text("answer\nwarranty: two years for every lamp\n")
    said = milepost.ok("-w", desk, "add", "faq", desk / "data" / "more.csv", "--as", "candidates")
    assert said.out == "faq: 1 candidate.\n"
    server = serve(desk, "--insecure")

    def ask(**body):
        return httpx.post(f"{server.address}/v1/tasks/faq/predict", json=body, timeout=60).json()

    (answer,) = ask(inputs=["is there a warranty"], top_k=3)["predictions"]
    # What may answer is read again where it has changed: no further contest is needed.
    assert answer["label"].startswith("warranty")
    assert answer["ranking"][0]["trace_id"] == answer["trace_id"]
    pair = {"query": "my router is broken", "candidate": "router: hold the button"}
    judged = ask(inputs=[pair])["predictions"][0]
    assert 0 <= judged["score"] <= 1
    assert judged["confidence"] is None
    assert answer["confidence"] is None
    measured = milepost.ok("-w", desk, "evaluate", "faq", "--data", "faq.csv")
    said = " ".join(f"{measured.out} {measured.err}".split())
    assert "release 1 on 24 queries" in said
    assert "was trained on 48 of these 72 rows, so the numbers say nothing about new" in said
    for words, told in (
        (("predict", "faq", " "), "a query is empty"),
        (("predict", "faq", "x", "--top", "0"), "The least is 1"),
        (("learn", "faq", "x", "--label", "1"), ""),
    ):
        refused = milepost("-w", desk, *words)
        assert refused.code == 2, (words, refused.out)
        assert told in " ".join(refused.err.split()), refused.err


@pytest.mark.parametrize(
    ("cells", "said"),
    [(("1", "much", "1"), "is not a number"), (("1", "-1", "1"), "is not between 0 and 30"),
     (("0", "0", "0"), "0 queries have a relevant candidate")],
)  # fmt: skip
def test_relevance_that_is_none_is_named(milepost, cells, said):
    with (milepost.folder / "bad.csv").open("w", newline="") as file:
        csv.writer(file).writerows(
            [("query", "candidate", "relevance"),
             *((f"question {at % 2}", f"answer {at}", cell) for at, cell in enumerate(cells))]
        )  # fmt: skip
    refused = milepost("init", "desk", "--from", "bad.csv", "--kind", "rank",
                       "--label", "relevance")  # fmt: skip
    assert refused.code == 2
    assert said in " ".join(refused.err.split())
