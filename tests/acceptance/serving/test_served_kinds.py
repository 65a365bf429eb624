"""Sets of labels and scores of pairs through a running server: streams, files, lessons."""

import csv
import io
import json
import socket
import time

import httpx
import numpy as np
import pyarrow.parquet as pq
import pytest
import tritonclient.grpc as over_grpc
import tritonclient.http as over_http
from tritonclient.utils import InferenceServerException

from milepost.entities.kinds import written_set

WORDS = {
    "refund": ("money back", "refund me", "pay me back"),
    "late": ("too late", "not here yet", "still waiting"),
    "broken": ("it is broken", "does not work", "cracked screen"),
}
THINGS = ("phone", "lamp", "chair", "radio", "book", "kettle", "clock", "table")


@pytest.fixture(scope="module")
def rows():
    """Texts with their topics, and pairs with how alike they are."""
    topics = [
        {"text": f"the {thing}: {said[at]}", "label": [name]}
        for thing in THINGS
        for at in range(3)
        for name, said in WORDS.items()
    ]
    topics += [{"text": f"{said['refund'][1]}, the {thing} is {said['late'][0]}",
                "label": ["late", "refund"]} for thing in THINGS for said in (WORDS,)]  # fmt: skip
    pairs = [{"left": f"{thing} number {at}", "right": f"{other} no. {at}",
              "label": 5.0 if thing == other else 1.0}
             for at, thing in enumerate(THINGS) for other in THINGS]  # fmt: skip
    return {"topics": topics, "alike": pairs}


@pytest.fixture
def client(milepost, serve, rows):
    """A server of both tasks, and what asks it."""
    for name, some in rows.items():
        lines = "".join(json.dumps(row) + "\n" for row in some)
        (milepost.folder / f"{name}.jsonl").write_text(lines)
    milepost.ok("init", "desk", "--from", "topics.jsonl", "--task", "topics",
                "--kind", "multilabel", "--at-least", 0.3)  # fmt: skip
    folder = milepost.folder / "desk"
    (folder / "tasks/alike.yaml").write_text(
        "name: alike\nkind: score\nobjective: {metric: mae, at_most: 4}\n"
        "inputs: {left: string, right: string}\ncompose: pair\n"
        "data: {examples: ../alike.jsonl}\n"
    )
    board = milepost.ok("-w", folder, "improve", "--strategy", "head_ridge", "--json").json
    assert [task["decision"] for task in board["tasks"]] == ["released", "released"]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = serve(folder, "--insecure", "--grpc-port", str(port))
    with httpx.Client(base_url=server.address, timeout=60) as made:
        made.headers["x-grpc"] = f"127.0.0.1:{port}"
        yield made


def test_every_output_carries_the_answer_of_the_kind(milepost, client):
    text = "refund me, the sofa is too late"
    asked = client.post("/v1/tasks/topics/predict", json={"inputs": [text]}).json()
    (told,) = asked["predictions"]
    assert told["label"] == written_set(told["labels"])
    assert "provisional" not in asked

    body = "".join(
        json.dumps(line) + "\n"
        for line in (
            {"left": "sofa number 1", "right": "sofa no. 1", "id": "x"},
            {"left": "sofa number 1"},
            "one text",
        )
    )
    streamed = client.post("/v1/tasks/alike/predict/stream", content=body)
    found = [json.loads(line) for line in streamed.content.splitlines()]
    pair = {"left": "sofa number 1", "right": "sofa no. 1"}
    one = client.post("/v1/tasks/alike/predict", json={"inputs": [pair]})
    assert found[0]["score"] == one.json()["predictions"][0]["score"]
    assert found[0]["id"] == "x"
    # A score states no confidence, wherever it is told.
    assert (found[0]["confidence"], one.json()["predictions"][0]["confidence"]) == (None, None)
    assert [each["error"]["code"] for each in found[1:]] == ["wrong_row", "wrong_line"]

    table = "right,id,left\nsofa no. 1,7,sofa number 1\n"
    answer = client.post("/v1/tasks/alike/batch", content=table,
                         headers={"Content-Type": "text/csv"})  # fmt: skip
    (row,) = csv.DictReader(io.StringIO(answer.text))
    assert float(row["score"]) == found[0]["score"]
    assert (row["id"], row["confidence"]) == ("7", "")
    lacking = client.post("/v1/tasks/alike/batch", content="left\nsofa\n",
                          headers={"Content-Type": "text/csv"})  # fmt: skip
    assert lacking.status_code == 422
    assert "right" in lacking.text

    lines = json.dumps({"text": text}) + "\n"
    answer = client.post(
        "/v1/tasks/topics/batch",
        content=lines,
        headers={
            "Content-Type": "application/x-ndjson",
            "Accept": "application/vnd.apache.parquet",
        },
    )
    assert pq.read_table(io.BytesIO(answer.content))["labels"].to_pylist() == [told["labels"]]

    said = {"trace_id": told["trace_id"], "label": '["late", "broken"]'}
    receipt = client.post("/v1/feedback", json=said)
    assert receipt.status_code == 201
    assert receipt.json()["label"] == '["broken","late"]'
    again = client.post("/v1/feedback", json={**said, "label": ["broken", "late"]})
    assert again.json()["id"] == receipt.json()["id"]
    scored = {"trace_id": one.json()["predictions"][0]["trace_id"], "label": 3.5}
    assert client.post("/v1/feedback", json=scored).json()["label"] == "3.5"

    came = milepost.ok("-w", "desk", "learn", "topics", text, '["broken"]', "--json").json
    assert came["at_once"]
    until = time.monotonic() + 30
    while "provisional" not in asked and time.monotonic() < until:
        time.sleep(0.2)
        asked = client.post("/v1/tasks/topics/predict", json={"inputs": [text]}).json()
    assert asked["provisional"] is True


def test_the_inference_protocol_has_the_inputs_and_outputs_of_the_kind(client):
    told = client.get("/v2/models/alike").json()
    assert [each["name"] for each in told["inputs"]] == ["left", "right"]
    wanted = [each["name"] for each in told["outputs"]]
    assert wanted == ["label", "score", "abstained", "trace_id"]
    sides = {"left": ["sofa number 1", "lamp number 2"], "right": ["sofa no. 1", "desk no. 2"]}
    pairs = [dict(zip(sides, pair, strict=True)) for pair in zip(*sides.values(), strict=True)]
    native = client.post("/v1/tasks/alike/predict", json={"inputs": pairs}).json()
    scores = [each["score"] for each in native["predictions"]]

    for of, address in ((over_http, client.base_url.netloc.decode()),
                        (over_grpc, client.headers["x-grpc"])):  # fmt: skip
        asked = of.InferenceServerClient(address)
        for binary in (True, False) if of is over_http else (True,):
            tensors = [of.InferInput(name, [2], "BYTES") for name in reversed(sides)]
            for tensor in tensors:
                form = {} if of is over_grpc else {"binary_data": binary}
                tensor.set_data_from_numpy(np.array(sides[tensor.name()], object), **form)
            found = asked.infer("alike", tensors)
            np.testing.assert_allclose(found.as_numpy("score"), scores, atol=1e-5)
        with pytest.raises(InferenceServerException, match="'left', 'right'"):
            asked.infer("alike", tensors[:1])
        asked.close()
