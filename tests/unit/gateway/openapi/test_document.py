"""The document says what the table says, its examples keep it, and the page shows it all."""

import asyncio
import json
import re

import httpx
import pytest
from jsonschema import Draft202012Validator

from milepost.gateway import app
from milepost.gateway.application import Options
from milepost.gateway.openapi.document import openapi, operation_id
from milepost.gateway.openapi.examples import EXAMPLES
from milepost.gateway.table import ROUTES
from milepost.testing.answering import LengthService

DOCUMENT = json.loads(json.dumps(openapi(ROUTES)))


def operation(key: str) -> dict:
    method, path = key.split(" ")
    return DOCUMENT["paths"][path][method.lower()]


def validator(schema: dict) -> Draft202012Validator:
    return Draft202012Validator({**schema, "components": DOCUMENT["components"]})


def test_every_route_is_an_operation_of_its_own():
    found = {(m.upper(), path) for path, ops in DOCUMENT["paths"].items() for m in ops}
    assert found == {(route.method, route.path) for route in ROUTES}
    ids = [operation_id(route) for route in ROUTES]
    assert len(set(ids)) == len(ids)


def test_only_open_routes_need_no_key():
    for route in ROUTES:
        said = operation(f"{route.method} {route.path}")
        assert (said.get("security") == []) == (route.right == "open")


def test_every_reference_leads_somewhere():
    for ref in set(re.findall(r'"\$ref": "#/([^"]+)"', json.dumps(DOCUMENT))):
        found = DOCUMENT
        for name in ref.split("/"):
            found = found[name]
        assert found


@pytest.mark.parametrize("key", sorted(EXAMPLES))
def test_examples_keep_their_schemas(key):
    said, example = operation(key), EXAMPLES[key]
    assert example
    if "request" in example:
        schema = said["requestBody"]["content"]["application/json"]["schema"]
        validator(schema).validate(example["request"])
    if "response" in example:
        schema = said["responses"]["200"]["content"]["application/json"]["schema"]
        validator(schema).validate(example["response"])
    for media in set(example) - {"request", "response", "answer"}:
        assert said["requestBody"]["content"][media]["example"] == example[media]


def test_fields_are_explained_where_they_stand():
    properties = DOCUMENT["components"]["schemas"]["PredictRequest"]["properties"]
    assert all(field["description"] for field in properties.values())
    for name, schema in DOCUMENT["components"]["schemas"].items():
        assert "Attributes:" not in schema.get("description", ""), name


def get(path: str, root: str = "") -> httpx.Response:
    gateway = app(service=LengthService(), options=Options(insecure=True))

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(gateway, root_path=root)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.get(path)

    return asyncio.run(ask())


def test_the_server_gives_the_document_of_its_own_place():
    assert get("/openapi.json").json() == DOCUMENT
    mounted = get("/ai/openapi.json", root="/ai").json()
    assert mounted["servers"] == [{"url": "/ai"}]
    assert mounted["paths"] == DOCUMENT["paths"]


def test_the_page_shows_every_route_and_loads_nothing():
    answer = get("/docs")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    for route in ROUTES:
        assert f'<article id="{operation_id(route)}">' in answer.text
    assert not re.search(r'(src|href)="(https?:)?//', answer.text)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'sha256-" in policy
