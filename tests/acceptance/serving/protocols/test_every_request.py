"""Whatever is sent to any route: no failure of the server, and an answer as the document says."""

import functools
import http.client
import json
from urllib.parse import urlencode, urlsplit

import pytest
import schemathesis
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    ignored_auth,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from milepost.gateway.openapi.document import openapi
from milepost.gateway.openapi.examples import EXAMPLES
from milepost.gateway.table import ROUTES

DOCUMENT = json.loads(json.dumps(openapi(ROUTES)))
CHECKS = [
    not_a_server_error, status_code_conformance, content_type_conformance,
    response_headers_conformance, response_schema_conformance, unsupported_method, ignored_auth,
]  # fmt: skip
NAMES = {
    "task": ["route", "tone", "rute"], "model": ["route", "all-MiniLM-L6-v2", "x"],
    "owner": ["milepost", "x"], "version": ["1", "2", "99", "x"],
}  # fmt: skip


@schemathesis.serializer("application/x-ndjson")
def _lines(context, value):
    return "\n".join(map(json.dumps, value if isinstance(value, list) else [value])).encode()


@schemathesis.serializer("text/csv", "application/octet-stream", "application/vnd.apache.parquet")
def _bytes(context, value):
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")


schema = schemathesis.openapi.from_dict(DOCUMENT)
few = settings(
    max_examples=6, derandomize=True, database=None,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
many = settings(few, max_examples=60)


def _call(case, desk) -> None:
    # A deadline of less than the answer takes is answered 504, as it should be.
    for name in list(case.headers or {}):
        if name.lower() == "x-request-timeout":
            del case.headers[name]
    for name, value in (case.path_parameters or {}).items():
        # Most names drawn are names of nothing: every second one is made a name of something.
        known = NAMES[name]
        if len(str(value)) % 2:
            case.path_parameters[name] = known[len(str(value)) % len(known)]
    case.call_and_validate(
        base_url=desk.address, headers={"Authorization": f"Bearer {desk.key}"}, checks=CHECKS
    )


@schema.parametrize()
@few
def test_every_route_keeps_the_document(case, desk):
    _call(case, desk)


@pytest.mark.exhaustive
@schema.parametrize()
@many
def test_every_route_keeps_the_document_at_length(case, desk):
    _call(case, desk)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
POSTS = [route for route in ROUTES if route.method == "POST"]
DEEP = "[" * 3000 + "]" * 3000


def _example(route) -> object:
    return EXAMPLES.get(f"POST {route.path}", {}).get("request", {"inputs": ["hello"]})


@st.composite
def _mutated(draw, value):
    """A good request in which something is another thing."""
    if isinstance(value, dict) and value and draw(st.integers(0, 3)):
        name = draw(st.sampled_from(sorted(value)))
        match draw(st.integers(0, 3)):
            case 0:
                return {key: each for key, each in value.items() if key != name}
            case 1:
                return {**value, draw(st.text(max_size=8)): draw(JSON)}
            case _:
                return {**value, name: draw(_mutated(value[name]))}
    if isinstance(value, list) and value and draw(st.integers(0, 3)):
        at = draw(st.integers(0, len(value) - 1))
        changed = draw(_mutated(value[at]))
        return draw(st.sampled_from([[*value[:at], changed, *value[at + 1 :]], value * 40, []]))
    return draw(JSON)


@st.composite
def _requests(draw):
    route = draw(st.sampled_from(POSTS))
    path = route.path
    for name, known in NAMES.items():
        path = path.replace(f"{{{name}}}", draw(st.sampled_from(known)))
    value = draw(_mutated(_example(route)) | JSON)
    text = json.dumps(value, ensure_ascii=draw(st.booleans()))
    body = draw(
        st.just(text.encode("utf-8", "surrogatepass"))
        | st.just(text.encode("utf-8", "surrogatepass") * 2)
        | st.just(text.replace("{", '{"model": 1, "model": 2, ', 1).encode("utf-8", "replace"))
        | st.just(text.replace("[", DEEP, 1).encode("utf-8", "replace"))
        | st.binary(max_size=60)
    )
    headers = draw(
        st.fixed_dictionaries(
            {},
            optional={
                "Content-Type": st.sampled_from([*route.body_types, "application/json", "x", ""]),
                "Accept": st.sampled_from(["text/csv", "application/json", "*/*", "x/y"]),
                "Inference-Header-Content-Length": st.sampled_from(["0", "5", "-1", "x", "99999"]),
                "X-Request-Timeout": st.sampled_from(["30", "-1", "nan", "1e999", "x"]),
                "X-Milepost-Release": st.sampled_from(["1", "2", "99", "0", "x"]),
                "X-Milepost-Subject": st.sampled_from(["u", "\xff" * 20, "u" * 600]),
                "X-Request-ID": st.sampled_from(["r", "r r", "r" * 500]),
                "traceparent": st.sampled_from(["x", "00-" + "a" * 32 + "-" + "b" * 16 + "-01"]),
            },
        )
    )
    query = draw(
        st.dictionaries(st.sampled_from(["top_k", "column", "x"]), st.text(max_size=5), max_size=2)
    )
    return route, f"{path}?{urlencode(query, errors='replace')}" if query else path, body, headers


@functools.cache
def _validator(ref: str) -> Draft202012Validator:
    return Draft202012Validator({"$ref": ref, "components": DOCUMENT["components"]})


class Caller:
    """One connection that is opened again when the server closed it."""

    def __init__(self, desk) -> None:
        self._parts, self._key = urlsplit(desk.address), desk.key
        self._connection = None

    def __call__(self, path: str, body: bytes, headers: dict[str, str]):
        if self._connection is None:
            host, port = self._parts.hostname, self._parts.port
            self._connection = http.client.HTTPConnection(host, port, timeout=30)
        sent = {"Authorization": f"Bearer {self._key}", **headers}
        self._connection.request("POST", path, body, sent)
        answer = self._connection.getresponse()
        content = answer.read()
        if answer.will_close:
            self.close()
        return answer, content

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


@pytest.fixture(scope="session")
def call(desk):
    made = Caller(desk)
    yield made
    made.close()


def _hold_against_the_document(route, answer, content: bytes) -> None:
    assert answer.status < 500, (answer.status, content)
    said = DOCUMENT["paths"][route.path]["post"]["responses"][str(answer.status)]
    if "$ref" in said:
        said = DOCUMENT["components"]["responses"][said["$ref"].rpartition("/")[2]]
    media = answer.headers["Content-Type"].partition(";")[0]
    assert media in said["content"], (route.path, answer.status, media, content[:200])
    if media == "application/json":
        _validator(said["content"][media]["schema"]["$ref"]).validate(json.loads(content))
    elif media == "application/x-ndjson" and route.path.endswith("/stream"):
        for line in map(json.loads, content.splitlines()):
            kind = "ErrorLine" if "error" in line else "AnswerLine"
            _validator(f"#/components/schemas/{kind}").validate(line)


@given(_requests())
@settings(few, max_examples=300)
def test_any_body_is_answered_as_the_document_says(call, made):
    route, path, body, headers = made
    _hold_against_the_document(route, *call(path, body, headers))


@pytest.mark.exhaustive
@pytest.mark.timeout(900)
@given(_requests())
@settings(few, max_examples=10_000)
@seed(0)
def test_ten_thousand_bodies_are_answered_as_the_document_says(call, made):
    route, path, body, headers = made
    _hold_against_the_document(route, *call(path, body, headers))
