"""A task that ranks, from a file of questions and answers to a served order of candidates."""

import csv
import io
import json

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


def test_bare_queries_are_answered_however_they_are_sent(desk, serve):
    server = serve(desk, "--insecure")
    with httpx.Client(base_url=f"{server.address}/v1/tasks/faq", timeout=60) as client:
        bare, other = "my router is broken", "print the invoice"
        pair = {"query": bare, "candidate": "router: hold the button"}
        mixed = client.post("/predict", json={"inputs": [pair, {"query": bare}, bare, other]})
        found = mixed.json()["predictions"]
        assert "ranking" not in found[0]
        assert 0 <= found[0]["score"] <= 1
        assert found[1]["label"].startswith("router")
        assert [each["label"] for each in found[1:3]] == [found[1]["label"]] * 2
        wrong = client.post("/predict", json={"inputs": [bare, {"candidate": "b"}]}).json()["error"]
        assert wrong["param"] == "inputs[1].query"
        assert wrong["hint"] == "Send query, candidate, or 'query' alone."
        crowd = client.post("/predict", json={"inputs": [bare] * 900})
        assert crowd.status_code == 413
        assert "900 queries have 7,200 candidates" in crowd.json()["error"]["message"]

        lines = [json.dumps(each) for each in (pair, {"query": bare, "id": 1}, other)]
        sent = client.post("/predict/stream", params={"top_k": 2}, content="\n".join(lines))
        streamed = [json.loads(line) for line in sent.content.splitlines()]
        assert [len(line.get("ranking", ())) for line in streamed] == [0, 2, 2]
        assert [line["label"] for line in streamed[1:]] == [found[1]["label"], found[3]["label"]]

        rows = [("question", "n"), *((f"{bare} {at}", at) for at in range(40))]
        for name in ("query", "question"):
            out = io.StringIO()
            csv.writer(out).writerows([(name, "n"), *rows[1:]])
            named = {} if name == "query" else {"column": name}
            sent = client.post("/batch", params={"top_k": 1, **named}, content=out.getvalue(),
                               headers={"Content-Type": "text/csv"})  # fmt: skip
            told = list(csv.DictReader(sent.text.splitlines()))
            assert len(told) == 40
            assert {row["label"].split(":")[0] for row in told} == {"router"}
            (first,) = json.loads(told[0]["ranking"])
            assert first["text"] == told[0]["label"]
        sent = client.post("/batch", content=out.getvalue(), headers={"Content-Type": "text/csv"})
        assert "'query'" in sent.json()["error"]["message"]


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
