"""The public package tritonclient, over HTTP and gRPC, against a running server."""

import json

import numpy as np
import pytest
import tritonclient.grpc as over_grpc
import tritonclient.http as over_http
from tritonclient.utils import InferenceServerException

TEXTS = ["the courier never brought my parcel", "Ich wurde zweimal belastet – warum?"]


class Client:
    """One of the two clients with the key in its headers."""

    def __init__(self, desk, kind: str, key: str) -> None:
        self.kind = kind
        self.of = over_http if kind == "http" else over_grpc
        address = desk.address.removeprefix("http://") if kind == "http" else desk.grpc
        self.raw = self.of.InferenceServerClient(address)
        # Metadata of gRPC has names in small letters.
        name = "Authorization" if kind == "http" else "authorization"
        self.headers = {name: f"Bearer {key}"}

    def text(self, texts=TEXTS, shape=None, datatype="BYTES"):
        values = np.array(texts, dtype=object).reshape(shape or [len(texts)])
        tensor = self.of.InferInput("text", list(values.shape), datatype)
        tensor.set_data_from_numpy(values)
        return tensor

    def infer(self, model="route", inputs=None, **more):
        inputs = inputs or [self.text()]
        # The client writes into the headers that it is given.
        return self.raw.infer(model, inputs, headers=dict(self.headers), **more)

    def refused(self, *arguments, **more) -> tuple[str, str]:
        with pytest.raises(InferenceServerException) as refused:
            self.infer(*arguments, **more)
        return refused.value.status(), refused.value.message()


@pytest.fixture(params=["http", "grpc"])
def client(desk, request):
    made = Client(desk, request.param, desk.key)
    yield made
    made.raw.close()


def test_health_needs_no_key(client):
    assert client.raw.is_server_live()
    assert client.raw.is_server_ready()
    named = client.raw.get_server_metadata()
    assert (named["name"] if client.kind == "http" else named.name) == "milepost"


def test_a_task_is_a_model_and_releases_are_versions(client):
    assert client.raw.is_model_ready("route", headers=client.headers)
    assert client.raw.is_model_ready("route", "2", headers=client.headers)
    found = client.raw.get_model_metadata("route", headers=client.headers)
    if client.kind == "http":
        assert "2" in found["versions"]
        assert found["inputs"] == [{"name": "text", "datatype": "BYTES", "shape": [-1]}]
        assert json.loads(found["properties"]["labels"]) == ["account", "delivery", "payment"]
    else:
        assert "2" in found.versions
        assert [(each.name, each.datatype) for each in found.inputs] == [("text", "BYTES")]


def test_answers_are_tensors(client):
    result = client.infer(request_id="r-7")
    labels = [each.decode() for each in result.as_numpy("label")]
    assert labels[0] == "delivery"
    shares = result.as_numpy("probabilities")
    assert shares.shape == (2, 3)
    assert shares.dtype == np.float32
    np.testing.assert_allclose(shares.sum(axis=1), 1.0, atol=1e-4)
    np.testing.assert_allclose(shares.max(axis=1), result.as_numpy("confidence"), atol=1e-5)
    assert result.as_numpy("abstained").tolist() == [False, False]
    assert all(each.startswith(b"t") for each in result.as_numpy("trace_id"))
    response = result.get_response()
    if client.kind == "http":
        assert (response["id"], response["model_version"]) == ("r-7", "2")
    else:
        assert (response.id, response.model_version) == ("r-7", "2")
    labels_told = result.get_output("probabilities")
    told = labels_told["parameters"]["labels"] if client.kind == "http" else (
        labels_told.parameters["labels"].string_param
    )  # fmt: skip
    assert json.loads(told) == ["account", "delivery", "payment"]


def test_both_protocols_and_all_forms_say_the_same(desk):
    http, grpc = Client(desk, "http", desk.key), Client(desk, "grpc", desk.key)
    plain = over_http.InferInput("text", [2], "BYTES")
    plain.set_data_from_numpy(np.array(TEXTS, dtype=object), binary_data=False)
    numbers = [over_http.InferRequestedOutput("probabilities", binary_data=False)]
    found = [
        http.infer().as_numpy("probabilities"),
        http.infer(inputs=[plain], outputs=numbers).as_numpy("probabilities"),
        http.infer(inputs=[http.text(shape=[2, 1])]).as_numpy("probabilities"),
        grpc.infer().as_numpy("probabilities"),
        grpc.infer(inputs=[_typed(grpc)]).as_numpy("probabilities"),
    ]
    for each in found[1:]:
        np.testing.assert_allclose(each, found[0], atol=1e-5)
    for each in (http, grpc):
        each.raw.close()


def _typed(client):
    """The input in the message's own field instead of in raw bytes."""
    tensor = client.text()
    message = tensor._get_tensor()
    message.contents.bytes_contents.extend(text.encode() for text in TEXTS)
    tensor._get_content = lambda: None
    return tensor


def test_only_the_outputs_asked_for_come(client):
    wanted = [client.of.InferRequestedOutput("label")]
    result = client.infer(outputs=wanted, model_version="1")
    assert result.as_numpy("label").shape == (2,)
    assert result.as_numpy("confidence") is None
    response = result.get_response()
    assert (response["model_version"] if client.kind == "http" else response.model_version) == "1"


def test_a_blocked_answer_has_no_label(client):
    result = client.infer(inputs=[client.text(["what a bunch of useless idiots you are"])])
    assert result.as_numpy("label").tolist() == [b""]


CODES = {"404": "StatusCode.NOT_FOUND", "400": "StatusCode.INVALID_ARGUMENT"}


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        ({"model": "rute"}, "404", "'route'"),
        ({"model_version": "99"}, "404", "99"),
        ({"model_version": "latest"}, "404", "latest"),
        ({"output": "labels"}, "400", "'label'"),
        ({"name": "txt"}, "400", "'text'"),
        ({"shape": [1, 2]}, "400", "[n]"),
    ],
)
def test_errors_are_the_protocols_own(client, arguments, status, words):
    more = dict(arguments)
    if "output" in more:
        more["outputs"] = [client.of.InferRequestedOutput(more.pop("output"))]
    if "name" in more or "shape" in more:
        tensor = client.of.InferInput(more.pop("name", "text"), more.pop("shape", [2]), "BYTES")
        tensor.set_data_from_numpy(np.array(TEXTS, dtype=object).reshape(tensor.shape()))
        more["inputs"] = [tensor]
    found, said = client.refused(**more)
    assert found == (status if client.kind == "http" else CODES[status])
    assert words in said
    assert isinstance(said, str)


def test_no_key_no_answer(desk):
    for kind, none, wrong in (
        ("http", "401", "403"),
        ("grpc", "StatusCode.UNAUTHENTICATED", "StatusCode.PERMISSION_DENIED"),
    ):
        client = Client(desk, kind, "mp_no")
        assert client.refused()[0] == none
        client.headers = {}
        assert client.refused()[0] == none
        client.raw.close()
        narrow = Client(desk, kind, desk.narrow)
        status, said = narrow.refused()
        assert status == wrong
        assert "tone" in said
        assert narrow.infer("tone").as_numpy("label").shape == (2,)
        narrow.raw.close()


def test_a_deadline_holds_over_grpc(desk):
    client = Client(desk, "grpc", desk.key)
    texts = [f"this is text number {i} of many" for i in range(400)]
    status, _ = client.refused(inputs=[client.text(texts)], client_timeout=0.001)
    assert status == "StatusCode.DEADLINE_EXCEEDED"
    client.raw.close()
