"""Directives whose content is made from the code at build time, so that it cannot grow old.

``task-file-fields``, ``settings-fields``, ``strategies-table``, ``commands``, ``command-help NAME``
and ``json-contract NAME``. Each has a function that returns Markdown, which the tests read too.
"""

import dataclasses
import inspect
import json
import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, ClassVar

import msgspec
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from milepost._base.limits import Limits
from milepost._base.settings import Settings
from milepost.cli.app import assembled
from milepost.entities import task as task_records
from milepost.entities.configuration import Configuration
from milepost.entities.taskfile import task_schema
from milepost.reports.plain import schema
from milepost.strategies.registry import STRATEGIES

Schema = Mapping[str, Any]


def attributes(docstring: str) -> dict[str, str]:
    """The ``Attributes:`` of a Google docstring: one line of Markdown by name."""
    _, _, section = inspect.cleandoc(docstring).partition("Attributes:\n")
    section = re.split(r"\n(?=\S)", section)[0]
    found: dict[str, str] = {}
    for block in re.split(r"\n(?= {4}\w)", "\n" + section):
        name, _, text = block.strip().partition(": ")
        if text:
            found[name] = " ".join(text.split()).replace("``", "`")
    return found


def first_line(docstring: str | None) -> str:
    """The summary of a docstring as one line of Markdown."""
    summary = inspect.cleandoc(docstring or "").split("\n\n")[0]
    return " ".join(summary.split()).replace("``", "`")


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(c.replace("|", "\\|") for c in row) + " |" for row in rows]
    return "\n".join(lines)


# --- the task file -------------------------------------------------------------------------------


def task_file_fields() -> str:
    """Every field of a task file, from the JSON Schema."""
    definitions = task_schema()["$defs"]
    parts = []
    titles = {
        "Task": "Top level",
        "InputField": "`inputs.<name>` in its long form",
        "Objective": "`objective`",
        "DataFiles": "`data`",
        "ReleaseRule": "`release`",
        "Behaviour": "`behaviour`, each",
        "FairnessRule": "`fairness`",
        "AbstainRule": "`abstain`",
        "ScopeRule": "`out_of_scope`",
        "Guard": "`guards`, each in its long form",
        "RecordingRule": "`recording`",
        "LanguageRule": "`language`",
        "SimilarRule": "`language.similar`",
        "CascadeRule": "`cascade`",
    }
    for name, title in titles.items():
        definition = definitions[name]
        said = attributes(definition["description"])
        record: Any = getattr(task_records, name)
        factories = {
            field.name: f"`{json.dumps(field.default_factory())}`"
            for field in msgspec.structs.fields(record)
            if field.default_factory is not msgspec.NODEFAULT
        }
        required = set(definition.get("required", ()))
        rows = []
        for field, shape in definition["properties"].items():
            default = (
                "required"
                if field in required
                else _default(shape) or factories.get(field, "left out")
            )
            meaning = said[field].replace("`None`", "left out, it")
            rows.append((f"`{field}`", _shape(shape), default, meaning))
        parts.append(f"## {title}\n\n{table(('field', 'holds', 'default', 'meaning'), rows)}")
    missing = set(definitions) - set(titles)
    if missing:
        raise ValueError(f"The task file has parts that the reference does not show: {missing}.")
    return "\n\n".join(parts)


def _default(shape: Schema) -> str:
    if "default" not in shape:
        return ""
    value = shape["default"]
    if isinstance(value, dict) and value:
        return "the defaults below"
    return "–" if value in (None, "", [], {}) else f"`{json.dumps(value)}`"


def _shape(shape: Schema) -> str:
    if "$ref" in shape:
        return "a mapping, see below"
    if "enum" in shape:
        return ", ".join(f"`{value}`" for value in shape["enum"])
    if "anyOf" in shape or "oneOf" in shape:
        options = shape.get("anyOf") or shape["oneOf"]
        return " or ".join(_shape(each) for each in options if each.get("type") != "null")
    kind = shape.get("type")
    if kind == "array":
        return f"a list of {_shape(shape['items'])}"
    if kind == "object" and isinstance(shape.get("additionalProperties"), Mapping):
        return f"a mapping of names to {_shape(shape['additionalProperties'])}"
    words = {"string": "text", "number": "a number", "integer": "a whole number"}
    bounds = {
        "minimum": "≥ ", "exclusiveMinimum": "> ", "maximum": "≤ ", "exclusiveMaximum": "< ",
    }  # fmt: skip
    limits = [f"{sign}{shape[key]:g}" for key, sign in bounds.items() if key in shape]
    pattern = [f"matching `{shape['pattern']}`"] if "pattern" in shape else []
    return ", ".join([words.get(str(kind), str(kind)), *limits, *pattern])


# --- settings ------------------------------------------------------------------------------------


def settings_fields() -> str:
    """Every field of ``milepost.toml`` from the docstrings, with its default and range."""
    top = _fields(Configuration, skip={"settings", "limits"})
    inner = _fields(Settings, skip=set())
    limits = _fields(Limits, skip=set())
    return (
        f"## Top level\n\n{top}\n\n## `[settings]`\n\n{inner}\n\n"
        f"## `[limits]`\n\nOf a server.\n\n{limits}"
    )


def _fields(record: type[msgspec.Struct], skip: set[str]) -> str:
    said = attributes(record.__doc__ or "")
    shapes = msgspec.json.schema(record)["$defs"][record.__name__]["properties"]
    rows = []
    for field in msgspec.structs.fields(record):
        if field.name in skip:
            continue
        unset = field.default is None or field.default is msgspec.UNSET
        default = "not set" if unset else f"`{json.dumps(field.default)}`"
        meaning = said[field.name].replace("`None`", "not set, it")
        rows.append((f"`{field.name}`", _shape(shapes[field.name]), default, meaning))
    return table(("field", "holds", "default", "meaning"), rows)


# --- strategies ----------------------------------------------------------------------------------


def strategies_table() -> str:
    """The strategies that compete, with their parameters."""
    rows = []
    for name, kind in STRATEGIES.items():
        defaults = [f"`{f.name}` = {_value(f.default)}" for f in dataclasses.fields(kind)]
        rows.append((f"`{name}`", first_line(kind.__doc__), ", ".join(defaults) or "–"))
    return table(("strategy", "what it does", "parameters"), rows)


def _value(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


# --- the command line ----------------------------------------------------------------------------


def command_names() -> list[str]:
    """Names of all commands, in the order of the help; those of a group after it, in two words."""
    names: list[str] = []
    for name, command in _group().commands.items():
        inner = getattr(command, "commands", {})
        if not inner or command.invoke_without_command:
            names.append(name)
        names += [f"{name} {each}" for each in inner]
    return names


def command_help(name: str) -> str:
    """Usage, description, arguments and options of one command."""
    command = _group()
    for word in name.split():
        command = command.commands[word]
    parameters = list(command.params)
    arguments = [p for p in parameters if p.param_type_name == "argument"]
    options = [p for p in parameters if p.param_type_name != "argument"]
    usage = " ".join(["milepost", name, *(_metavar(p) for p in arguments), "[OPTIONS]"])
    rows = [(f"`{_metavar(p)}`", _marked(p.help), _shown(p.default)) for p in arguments]
    for option in options:
        value = "" if option.is_flag else f" {_metavar(option)}"
        needed = "required" if option.required else _shown(option.default)
        rows.append((f"`{', '.join(option.opts)}{value}`", _marked(option.help), needed))
    said = _marked(inspect.cleandoc(command.help or ""))
    return "\n\n".join([f"```text\n{usage}\n```", said, table(("", "meaning", "default"), rows)])


def _marked(text: str | None) -> str:
    """Help text with its options as code, so that no dash is changed."""
    return re.sub(r"(?<![\w`-])(--[a-z][a-z-]*)", r"`\1`", text or "")


def _metavar(parameter: Any) -> str:
    """As the help shows it; where the command names none, by what the option holds."""
    holds = {int: "N", float: "NUMBER"}.get(type(parameter.default), "TEXT")
    return str(parameter.metavar or holds)


def _shown(default: object) -> str:
    return "" if default is None or default is False or default == () else f"`{default}`"


def commands() -> str:
    """All commands, each under a heading of its own."""
    return "\n\n".join(f"## `{name}`\n\n{command_help(name)}" for name in command_names())


@cache
def _group() -> Any:
    import typer

    return typer.main.get_command(assembled())


# --- JSON contracts ------------------------------------------------------------------------------


def json_contract(name: str) -> str:
    """Every field of what a command prints with ``--json``, from its published schema."""
    whole = schema(name)  # type: ignore[arg-type]
    rows = list(_walk(whole, whole, "")) + _records(whole)
    return table(("field", "holds", "meaning"), rows)


def _records(whole: Schema) -> list[tuple[str, str, str]]:
    """Fields of the records that a contract names with a capital, each record once."""
    rows: list[tuple[str, str, str]] = []
    for name, shape in whole.get("$defs", {}).items():
        if name[0].isupper():
            rows += _walk(shape, whole, name)
    return rows


def _walk(shape: Schema, whole: Schema, path: str) -> Any:
    name = shape.get("$ref", "").rsplit("/", 1)[-1]
    if name:
        if name[0].isupper():
            return
        shape = {**whole["$defs"][name], **shape}
    for part in shape.get("allOf", ()):
        yield from _walk(part, whole, path)
    for name, inner in shape.get("properties", {}).items():
        yield from _entry(inner, whole, f"{path}.{name}".lstrip("."))
    extra = shape.get("additionalProperties")
    if isinstance(extra, Mapping):
        yield from _walk(extra, whole, f"{path}.<name>")


def _entry(shape: Schema, whole: Schema, path: str) -> Any:
    if shape.get("type") == "array":
        items = shape["items"]
        yield (f"`{path}[]`", _kinds(items), shape.get("description", ""))
        yield from _walk(items, whole, f"{path}[]")
        return
    yield (f"`{path}`", _kinds(shape), shape.get("description", ""))
    yield from _walk(shape, whole, path)


def _kinds(shape: Schema) -> str:
    if "enum" in shape:
        return ", ".join(f"`{value}`" for value in shape["enum"])
    for key in ("anyOf", "oneOf"):
        if key in shape:
            return " or ".join(dict.fromkeys(_kinds(each) for each in shape[key]))
    name = shape.get("$ref", "").rsplit("/", 1)[-1]
    if name[:1].isupper():
        return name
    kinds = shape.get("type", "object")
    return " or ".join(kinds) if isinstance(kinds, list) else str(kinds)


# --- directives ----------------------------------------------------------------------------------


class FromCode(SphinxDirective):
    """Parses Markdown that a function of this module makes."""

    makers: ClassVar[dict[str, Callable[..., str]]] = {
        "task-file-fields": task_file_fields,
        "settings-fields": settings_fields,
        "strategies-table": strategies_table,
        "commands": commands,
        "json-contract": json_contract,
    }
    optional_arguments = 1

    def run(self) -> list[nodes.Node]:
        """The parsed nodes."""
        text = self.makers[self.name](*self.arguments)
        content = StringList(text.splitlines(), source=f"made by {self.name}")
        container = nodes.section()
        container.document = self.state.document
        self.state.nested_parse(content, self.content_offset, container, match_titles=True)
        return container.children


def setup(app: Sphinx) -> dict[str, object]:
    """Register the directives."""
    for name in FromCode.makers:
        app.add_directive(name, FromCode)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
