"""The OpenAPI 3.1 document of a table of routes.

Schemas come from the structs that are read and written, with their docstrings; nothing is said
twice.
"""

import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from milepost.gateway.bulk.sinks import AnswerLine, ErrorLine
from milepost.gateway.errors import ErrorBody
from milepost.gateway.inference.wire import InferenceError
from milepost.gateway.openai.wire import Chunk
from milepost.gateway.openapi.examples import EXAMPLES
from milepost.gateway.routes import Route

JSON = "application/json"
_REF = "#/components/schemas/{name}"
_ELSEWHERE = {"accept", "content-type", "authorization"}
"""Headers that the specification says in another place than among the parameters."""

TAGS = {
    "native": "Ask tasks, see what can be asked, say what was wrong.",
    "bulk": "Streams of lines, and files: answered in order while they are still coming in.",
    "openai": "Tasks, the encoder and language models as models of the OpenAI API, for its "
    "clients unchanged.",
    "inference": "Tasks as models of the Open Inference Protocol, version 2; the same over gRPC.",
    "health": "Whether the server lives and should get traffic; metrics; this document.",
}

_ERRORS = {
    400: "The request cannot be read: not JSON, a wrong field or header.",
    401: "There is no key, or it is not known, expired or revoked.",
    402: "A budget does not allow to ask a language model; what is left is told.",
    403: "The key has no right to this.",
    404: "There is no such task, release or model; the nearest is named.",
    406: "No type that the Accept header takes can be written.",
    408: "The body did not arrive in time.",
    409: "It was changed by somebody else, or nothing is in production.",
    413: "There is too much of it; the limit is named.",
    415: "The body is of a type or encoding that is not read.",
    422: "The input cannot be used.",
    429: "The key has reached its own limit. See Retry-After.",
    500: "The server failed; the id of the request is named.",
    502: "A language model that is needed did not answer.",
    503: "The server has more to do than it can, or is not ready. See Retry-After.",
    504: "The deadline passed before there was an answer.",
}


def openapi(routes: Sequence[Route], server: str = "/") -> dict[str, Any]:
    """The document.

    Args:
        routes: The table.
        server: Address below which the paths lie.
    """
    schemas = _schemas(routes)
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "milepost",
            "version": _version(),
            "summary": "Every task of a workspace, from one shared encoder pass.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": server}],
        "tags": [{"name": name, "description": said} for name, said in TAGS.items()],
        "security": [{"key": []}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": _errors(),
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A key of `milepost keys create`, as `Authorization: Bearer …`.",
                }
            },
        },
    }


def _version() -> str:
    from importlib.metadata import version

    return version("milepost")


def _schemas(routes: Sequence[Route]) -> dict[str, Any]:
    kinds: list[type] = [ErrorBody, InferenceError, AnswerLine, ErrorLine, Chunk]
    kinds += [kind for route in routes for kind in (route.body, route.answer) if kind is not None]
    _, components = msgspec.json.schema_components(kinds, ref_template=_REF)
    return {name: _said(dict(schema)) for name, schema in components.items()}


def _said(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema whose docstring is told where it belongs: each attribute beside its property."""
    text = inspect.cleandoc(schema.get("description", ""))
    whole, _, attributes = text.partition("Attributes:")
    schema["description"] = _markdown(whole.strip())
    for name, said in _attributes(attributes):
        known = schema.get("properties", {}).get(name)
        if known is not None:
            schema["properties"][name] = {**known, "description": said}
    return schema


def _attributes(text: str) -> Iterator[tuple[str, str]]:
    found = re.split(r"^    (\w+): ", text, flags=re.MULTILINE)[1:]
    for name, said in zip(found[::2], found[1::2], strict=True):
        yield name, _markdown(" ".join(said.split()))


def _markdown(text: str) -> str:
    return text.replace("``", "`")


def _operation(route: Route) -> dict[str, Any]:
    said: dict[str, Any] = {
        "operationId": operation_id(route),
        "summary": route.summary,
        "tags": [route.tag],
        "parameters": list(_parameters(route)),
        "responses": dict(_responses(route)),
    }
    if route.body is not None or route.body_types:
        said["requestBody"] = {"required": True, "content": _body(route)}
    if route.right == "open":
        said["security"] = []
    return said


def operation_id(route: Route) -> str:
    """A name of the route that programs can use: method and path in words."""
    words = re.findall(r"[A-Za-z0-9]+", route.path)
    return "_".join((route.method.lower(), *words))


def _parameters(route: Route) -> Iterator[dict[str, Any]]:
    for name in re.findall(r"{(\w+)}", route.path):
        text = {"type": "string", "minLength": 1}
        yield {"name": name, "in": "path", "required": True, "schema": text}
    for place, listed in (("query", route.query), ("header", route.headers)):
        for name, said in listed.items():
            if name.lower() not in _ELSEWHERE:
                schema = _KINDS.get(name, {"type": "string"})
                yield {"name": name, "in": place, "description": said, "schema": schema}


_KINDS: dict[str, dict[str, Any]] = {
    "X-Request-Timeout": {"type": "number", "exclusiveMinimum": 0},
    "X-Milepost-Release": {"type": "integer", "minimum": 1},
    "Inference-Header-Content-Length": {"type": "integer", "minimum": 0},
    "top_k": {"type": "integer", "minimum": 1, "maximum": 999_999},
}


def _body(route: Route) -> dict[str, Any]:
    content: dict[str, Any] = {}
    if route.body is not None:
        content[JSON] = _with_example(route, "request", {"schema": _ref(route.body)})
    for media in route.body_types:
        content[media] = _with_example(route, media, {})
    return content


def _with_example(route: Route, key: str, content: Mapping[str, Any]) -> dict[str, Any]:
    example = EXAMPLES.get(f"{route.method} {route.path}", {}).get(key)
    return dict(content) if example is None else {**content, "example": example}


def _responses(route: Route) -> Iterator[tuple[str, dict[str, Any]]]:
    for status, said in route.statuses.items():
        content = _answer(route)
        yield str(status), {"description": said, "headers": _HEADERS, "content": content}
    family = "Inference" if route.tag == "inference" else "Error"
    for status in _statuses(route):
        if status not in route.statuses:
            yield str(status), {"$ref": f"#/components/responses/{family}{status}"}


_HEADERS: dict[str, Any] = {
    "X-Request-ID": {"description": "Id of the request.", "schema": {"type": "string"}}
}
_RETRY_AFTER: dict[str, Any] = {
    "description": "Seconds after which to try again.",
    "schema": {"type": "integer", "minimum": 1},
}


def _errors() -> dict[str, Any]:
    """All answers that are errors, in the shape of most routes and in that of the protocol."""
    found: dict[str, Any] = {}
    for family, kind in (("Error", ErrorBody), ("Inference", InferenceError)):
        content = {JSON: {"schema": _ref(kind)}}
        for status, said in _ERRORS.items():
            again = {"Retry-After": _RETRY_AFTER} if status in (402, 429, 503) else {}
            headers = {**_HEADERS, **again}
            answer = {"description": said, "headers": headers, "content": content}
            found[f"{family}{status}"] = answer
    return found


def _answer(route: Route) -> dict[str, Any]:
    if route.answer is not None:
        content = {JSON: _with_example(route, "response", {"schema": _ref(route.answer)})}
    else:
        content = {route.content_type: _with_example(route, "answer", {})}
    for media in route.answer_types:
        content.setdefault(media, _with_example(route, f"answer {media}", {}))
    return content


def _statuses(route: Route) -> list[int]:
    """The errors that a route may answer."""
    found = {500}
    if "{" in route.path:
        found |= {404}
    if route.right != "open":
        found |= {400, 401, 403, 429, 503}
    if route.body is not None or route.body_types:
        found |= {400, 402, 404, 408, 409, 413, 415, 422, 502, 503, 504}
    if route.answer_types and route.body is None:
        found |= {406}
    return sorted(found)


def _ref(kind: type) -> dict[str, str]:
    return {"$ref": _REF.format(name=kind.__name__)}
