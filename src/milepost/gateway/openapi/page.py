"""The routes that describe the others: ``/openapi.json`` and the page ``/docs``.

The page is one file: no script, font or picture from anywhere else.
"""

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from milepost.gateway.call import Call, Reply
from milepost.gateway.openapi.document import TAGS, openapi
from milepost.gateway.routes import Route

_CACHED = (b"cache-control", b"public, max-age=60")


def routes(described: Sequence[Route]) -> tuple[Route, ...]:
    """The rows that describe a table, themselves included.

    Args:
        described: All other rows.
    """
    own: tuple[Route, ...] = ()

    # The root is where an app is mounted, so that there are few.
    @cache
    def written(root: str) -> bytes:
        return _document((*described, *own), root)

    @cache
    def shown(root: str) -> tuple[bytes, bytes]:
        return _page((*described, *own), root)

    async def document(call: Call) -> Reply:
        return Reply(body=written(_root(call)), headers=(_CACHED,))

    async def page(call: Call) -> Reply:
        body, policy = shown(_root(call))
        headers = (_CACHED, (b"content-security-policy", policy))
        return Reply(body=body, content_type=b"text/html; charset=utf-8", headers=headers)

    own = (
        Route(
            method="GET",
            path="/openapi.json",
            handler=document,
            right="open",
            summary="Get this interface as an OpenAPI 3.1 document.",
            tag="health",
        ),
        Route(
            method="GET",
            path="/docs",
            handler=page,
            right="open",
            summary="Read this interface as a page, and try it.",
            tag="health",
            content_type="text/html; charset=utf-8",
        ),
    )
    return own


def _root(call: Call) -> str:
    root: str = call.scope.get("root_path") or ""
    return root


def _document(table: tuple[Route, ...], root: str) -> bytes:
    return json.dumps(openapi(table, root or "/"), ensure_ascii=False).encode()


def _page(table: tuple[Route, ...], root: str) -> tuple[bytes, bytes]:
    """The page, and the policy by which a browser runs no script but its own."""
    import jinja2

    folder = files("milepost.gateway.openapi") / "templates"
    environment = jinja2.Environment(
        autoescape=True,
        loader=jinja2.FunctionLoader(lambda name: (folder / name).read_text()),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["code"] = _code
    style = (folder / "docs.css").read_text()
    script = (folder / "docs.js").read_text()
    document = openapi(table, root or "/")
    body = environment.get_template("docs.html.j2").render(
        document=document, groups=_groups(document), root=root, style=style, script=script
    )
    hashes = f"'sha256-{_sha256(script)}'"
    policy = (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; connect-src 'self'; "
        f"script-src {hashes}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return body.encode(), policy.encode()


def _sha256(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _code(text: str) -> Any:
    """Text with its `code` marked up; everything else is escaped."""
    import markupsafe

    escaped = str(markupsafe.escape(text))
    return markupsafe.Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", escaped))  # noqa: S704


def _groups(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The operations by their tags, in the order in which the page shows them."""
    by_tag: dict[str, list[dict[str, Any]]] = {name: [] for name in TAGS}
    for path, methods in document["paths"].items():
        for method, said in methods.items():
            shown = _operation(document, method.upper(), path, said)
            by_tag.setdefault(said["tags"][0], []).append(shown)
    titles = {"native": "Tasks", "bulk": "Many inputs", "openai": "OpenAI", "health": "Server"}
    titles["inference"] = "Open Inference"
    return [
        {"name": name, "title": titles.get(name, name), "said": TAGS.get(name, ""), "all": found}
        for name, found in by_tag.items()
        if found
    ]


def _operation(
    document: Mapping[str, Any], method: str, path: str, said: Mapping[str, Any]
) -> dict[str, Any]:
    body = said.get("requestBody", {}).get("content", {})
    media = next(iter(body), None)
    example = None if media is None else body[media].get("example")
    good = next((each for status, each in said["responses"].items() if status < "300"), {})
    answers = good.get("content", {})
    answer = next(iter(answers.values()), {}).get("example")
    statuses = [
        {"status": status, "said": _resolved(document, each)["description"]}
        for status, each in said["responses"].items()
    ]
    return {
        "id": said["operationId"],
        "method": method,
        "path": path,
        "summary": said["summary"],
        "open": said.get("security") == [],
        "parameters": [{"required": False, "description": "", **p} for p in said["parameters"]],
        "fields": _fields(document, body.get("application/json", {}).get("schema")),
        "media": media,
        "medias": list(body),
        "request": _shown(example),
        "answer": _shown(answer),
        "answers": list(answers),
        "statuses": statuses,
        "curl": _curl(method, path, media, _shown(example), open_to_all=said.get("security") == []),
    }


def _resolved(document: Mapping[str, Any], part: Mapping[str, Any]) -> Mapping[str, Any]:
    if "$ref" not in part:
        return part
    found: Any = document
    for name in part["$ref"].removeprefix("#/").split("/"):
        found = found[name]
    return found


def _fields(document: Mapping[str, Any], schema: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """The fields of a JSON body: name, type in words, whether it must be there, what it says."""
    if schema is None:
        return []
    whole = _resolved(document, schema)
    return [
        {
            "name": name,
            "type": _type(field),
            "required": name in whole.get("required", ()),
            "said": field.get("description", ""),
        }
        for name, field in whole.get("properties", {}).items()
    ]


def _type(schema: Mapping[str, Any]) -> str:
    """A schema in a word or two."""
    if "anyOf" in schema:
        kinds = [_type(each) for each in schema["anyOf"] if each.get("type") != "null"]
        return " or ".join(dict.fromkeys(kinds))
    if "enum" in schema:
        return " or ".join(json.dumps(each) for each in schema["enum"])
    if "$ref" in schema:
        return schema["$ref"].rpartition("/")[2]
    if schema.get("type") == "array":
        return f"list of {_type(schema['items'])}" if "items" in schema else "list"
    return str(schema.get("type", "any"))


def _shown(example: Any) -> str | None:
    if example is None or isinstance(example, str):
        return example
    return json.dumps(example, indent=2, ensure_ascii=False)


def _curl(method: str, path: str, media: str | None, body: str | None, *, open_to_all: bool) -> str:
    """The call as a command; values in the path are those of the examples."""
    for name, value in {"task": "route", "owner": "milepost", "version": "2"}.items():
        path = path.replace(f"{{{name}}}", value)
    model = "all-MiniLM-L6-v2" if path == "/v1/models/{model}" else "route"
    lines = [f"curl -s $MILEPOST{path.replace('{model}', model)}"]
    if not open_to_all:
        lines.append('-H "Authorization: Bearer $MILEPOST_KEY"')
    if media == "application/json" and body is not None:
        lines.append(f"-d '{json.dumps(json.loads(body), ensure_ascii=False)}'")
    elif media is not None:
        file = {"text/csv": "inbox.csv"}.get(media, "inbox.jsonl")
        send = "-X POST -T ." if path.endswith("/stream") else f"--data-binary @{file}"
        lines += [f"-H 'Content-Type: {media}'", send + (f" < {file}" if send[1] == "X" else "")]
    elif method != "GET":
        lines.append(f"-X {method}")
    return " \\\n  ".join(lines)
