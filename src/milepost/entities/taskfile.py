"""Task files: YAML 1.2 text to a task and back, with every problem found at once.

Knows nothing of paths on disk: the caller reads and writes the text. The JSON Schema is derived
from the records of ``milepost.entities.task`` and published as ``task.schema.json`` beside them.
"""

import inspect
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import msgspec
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from milepost.entities.errors import FieldError, Problem, TaskFileError, UnknownNameError, nearest
from milepost.entities.kinds import check_metric
from milepost.entities.measures import KINDS, PATTERN, measure_kind
from milepost.entities.task import Task

if TYPE_CHECKING:
    from jsonschema import ValidationError

Path = tuple[str | int, ...]
MAX_NODES = 200_000
"""Most nodes a task file may have once its aliases are followed; 5,000 labels need 10,000."""


def task_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of a task file."""
    schema = msgspec.json.decode(msgspec.json.encode(msgspec.json.schema(Task)))
    for definition in schema["$defs"].values():
        definition["description"] = inspect.cleandoc(definition.get("description", ""))
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "milepost task file",
        **schema,
    }


def parse_task(text: str, file: str) -> Task:
    """The task that a task file describes.

    Args:
        text: YAML 1.2. Keys of ``labels`` are names whatever they look like: ``no``, ``1``.
        file: Name of the file, for messages.

    Raises:
        TaskFileError: With every problem, each with file, line, field, what is allowed and the
            nearest valid name.
    """
    data, lines = _read_yaml(text, file)
    problems = list(_bound_out_of_range(data, file, lines))
    refused = None
    try:
        task = msgspec.convert(data, Task)
    except msgspec.ValidationError as error:
        # The record stops at the first problem; the schema, which says the same, finds them all.
        problems += _all_problems(data, file, lines)
        refused = error
    else:
        problems += _asked_of_another_kind(data, task, file, lines)
        if not problems:
            return task
    if problems:
        raise TaskFileError(sorted(set(problems), key=lambda p: (p.line or 0, p.field, p.what)))
    raise TaskFileError([_refused(str(refused), file, lines)]) from refused


def _all_problems(data: Any, file: str, lines: Mapping[Path, int]) -> list[Problem]:
    from jsonschema import Draft202012Validator

    return [
        problem
        for error in Draft202012Validator(task_schema()).iter_errors(data)
        for problem in _explain(error, file, lines)
    ]


def _refused(message: str, file: str, lines: Mapping[Path, int]) -> Problem:
    """What a record says of itself, ``field: what - at `$.path```, at its place in the file."""
    said, _, place = message.partition(" - at `$")
    outer: Path = tuple(
        int(index) if index else name for name, index in re.findall(r"\.([\w-]+)|\[(\d+)\]", place)
    )
    field, separator, what = said.partition(": ")
    path = (*outer, *field.split(".")) if separator else outer
    return Problem(
        file=file,
        line=_nearest_line(lines, path),
        field=_dotted(path),
        what=f"{what or said}.",
    )


def _bound_out_of_range(data: Any, file: str, lines: Mapping[Path, int]) -> list[Problem]:
    """A floor that its metric can never reach: no schema can say it, as the metric decides."""
    objective: Any = data.get("objective")
    if not isinstance(objective, dict):
        return []
    fields = cast("dict[str, Any]", objective)
    metric, floor = fields.get("metric", "accuracy"), fields.get("at_least")
    if not isinstance(metric, str) or not isinstance(floor, int | float):
        return []
    try:
        kind = measure_kind(metric)
    except UnknownNameError:
        kind = KINDS[nearest(metric, tuple(KINDS)) or "accuracy"]
    if kind.low <= floor <= kind.high:
        return []
    limit = f"at most {kind.high:g}" if floor > kind.high else f"at least {kind.low:g}"
    path = ("objective", "at_least")
    return [
        Problem(
            file=file,
            line=lines.get(path),
            field=_dotted(path),
            what=f"{floor!r} is out of range.",
            advice=f"It must be {limit}.",
        )
    ]


def _asked_of_another_kind(
    data: Any, task: Task, file: str, lines: Mapping[Path, int]
) -> list[Problem]:
    """The metric that stands there, where it does not fit the kind.

    The record sees this of any but ``accuracy``, which it takes for none.
    """
    objective: Any = data.get("objective")
    said: Any = objective.get("metric") if isinstance(objective, dict) else None
    if said is None:
        return []
    try:
        check_metric(task.kind, said)
    except FieldError as error:
        path = ("objective", "metric")
        return [
            Problem(file=file, line=lines.get(path), field=_dotted(path), what=f"{error.what}.")
        ]
    return []


def line_of(text: str, path: Path) -> int:
    """1-based line of a field in the text of a task file, or of what is nearest around it.

    Raises:
        TaskFileError: If the text is not YAML.
    """
    return _nearest_line(_read_yaml(text, "")[1], path)


def _nearest_line(lines: Mapping[Path, int], path: Path) -> int:
    return next((lines[path[:n]] for n in range(len(path), -1, -1) if path[:n] in lines), 1)


def dump_task(task: Task) -> str:
    """YAML text of a task, without fields that have their default; ``parse_task`` inverts it."""
    data = _without_defaults(task)
    yaml = YAML()
    yaml.default_flow_style = False
    yaml.width = 4096
    yaml.indent(mapping=2, sequence=4, offset=2)
    out = io.StringIO()
    yaml.dump(data, out)
    return out.getvalue()


def add_to_list(text: str, section: str, field: str, value: str) -> str:
    """Task file text with ``value`` added to ``section.field``; comments and order stay.

    A missing field is made, a single value becomes a list, and a value that is there already is
    not added again.
    """
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 4096
    yaml.indent(mapping=2, sequence=4, offset=2)
    data = cast("dict[str, Any]", yaml.load(text))
    inner = cast("dict[str, Any]", data.setdefault(section, {}))
    before: Any = inner.get(field)
    present = [] if before is None else [before] if isinstance(before, str) else list(before)
    if value not in present:
        inner[field] = [*present, value] if present else value
    out = io.StringIO()
    yaml.dump(data, out)
    return out.getvalue()


def _without_defaults(record: msgspec.Struct) -> dict[str, Any]:
    plain: dict[str, Any] = {}
    for field in msgspec.structs.fields(type(record)):
        value: Any = getattr(record, field.name)
        default: Any = (
            field.default_factory()
            if field.default_factory is not msgspec.NODEFAULT
            else field.default
        )
        if field.required or value != default:
            plain[field.name] = _plain(value)
    return plain


def _plain(value: object) -> Any:
    if isinstance(value, msgspec.Struct):
        return _without_defaults(value)
    if isinstance(value, Mapping):
        items = cast("Mapping[str, object]", value).items()
        return {key: _plain(inner) for key, inner in items}
    if isinstance(value, tuple):
        return [_plain(inner) for inner in cast("tuple[object, ...]", value)]
    return value


def _read_yaml(text: str, file: str) -> tuple[Any, dict[Path, int]]:
    """Plain data and the 1-based line of every path in it."""
    try:
        node = cast("Node | None", YAML(pure=True).compose(text))
    except YAMLError as error:
        mark = error.problem_mark if isinstance(error, MarkedYAMLError) else None
        line = None if mark is None else cast("int", mark.line) + 1
        problem = str(getattr(error, "problem", None) or error).splitlines()[0]
        raise TaskFileError(
            [Problem(file=file, line=line, field="", what=f"this is not valid YAML: {problem}.")]
        ) from error
    if not isinstance(node, MappingNode):
        what = "a task file is a mapping of fields such as name, labels and data."
        raise TaskFileError([Problem(file=file, line=1, field="", what=what)])
    reader = _Reader(file)
    data = reader.convert(node, ())
    if reader.problems:
        raise TaskFileError(reader.problems)
    return data, reader.lines


class _Reader:
    """Walks YAML nodes: keeps lines, keys as written, and finds duplicate keys."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.lines: dict[Path, int] = {}
        self.problems: list[Problem] = []
        self.nodes = 0

    def convert(self, node: Node, path: Path) -> Any:
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise TaskFileError([self._problem(node, path, "the file is too large.")])
        self.lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, MappingNode):
            return self._mapping(node, path)
        if isinstance(node, SequenceNode):
            items = cast("list[Node]", node.value)
            return [self.convert(item, (*path, i)) for i, item in enumerate(items)]
        return _scalar(cast("ScalarNode", node))

    def _mapping(self, node: MappingNode, path: Path) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in cast("list[tuple[Node, Node]]", node.value):
            if not isinstance(key_node, ScalarNode):
                self.problems.append(self._problem(key_node, path, "a key must be a plain name."))
                continue
            key = cast("str", key_node.value)
            here = (*path, key)
            if key in result:
                what = f"{key!r} stands here a second time (first in line {self.lines[here]})."
                self.problems.append(self._problem(key_node, here, what))
                continue
            self.lines[here] = key_node.start_mark.line + 1
            value = self.convert(value_node, here)
            # "label:" with nothing behind it is a label without a description.
            result[key] = "" if value is None and path == ("labels",) else value
        return result

    def _problem(self, node: Node, path: Path, what: str) -> Problem:
        line = cast("int", node.start_mark.line) + 1
        return Problem(file=self.file, line=line, field=_dotted(path), what=what)


def _scalar(node: ScalarNode) -> str | int | float | bool | None:
    text = cast("str", node.value)
    kind = str(node.tag).rsplit(":", 1)[-1]
    try:
        if kind == "int":
            return int(text.replace("_", ""), 0)
        if kind == "float":
            return float(text.replace("_", ""))
    except ValueError:
        return text
    if kind == "bool":
        return text.lower() == "true"
    return None if kind == "null" else text


def _explain(error: "ValidationError", file: str, lines: Mapping[Path, int]) -> Iterator[Problem]:
    path: Path = tuple(error.absolute_path)
    if error.validator == "anyOf" and error.context:
        best = max(error.context, key=lambda e: (len(e.absolute_path), e.validator != "type"))
        if len(best.absolute_path) > len(path) or best.validator != "type":
            yield from _explain(best, file, lines)
            return

    def problem(where: Path, what: str, advice: str = "") -> Problem:
        line = _nearest_line(lines, where)
        return Problem(file=file, line=line, field=_dotted(where), what=what, advice=advice)

    value: Any = error.instance
    if error.validator == "additionalProperties":
        allowed = list(cast("dict[str, Any]", error.schema).get("properties", {}))
        for name in cast("dict[str, Any]", value):
            if name not in allowed:
                yield problem((*path, name), "there is no such field.", _offer(name, allowed))
    elif error.validator == "required":
        missing = [n for n in cast("list[str]", error.validator_value) if n not in value]
        yield problem(path, f"the field {missing[0]!r} is missing.")
    else:
        yield problem(path, *_value_problem(error))


def _value_problem(error: "ValidationError") -> tuple[str, str]:
    value: Any = error.instance
    limit: Any = error.validator_value
    shown = repr(value) if len(repr(value)) < 80 else f"{repr(value)[:77]}…"
    match error.validator:
        case "enum":
            return f"{shown} is not allowed.", _offer(str(value), [str(v) for v in limit])
        case "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum":
            words = {
                "minimum": "at least",
                "maximum": "at most",
                "exclusiveMinimum": "more than",
                "exclusiveMaximum": "less than",
            }
            return (
                f"{shown} is out of range.",
                f"It must be {words[str(error.validator)]} {limit:g}.",
            )
        case "pattern" if limit == PATTERN:
            return f"there is no metric {shown}.", _offer(str(value), list(KINDS))
        case "pattern":
            advice = "Use lower-case letters, digits, '-' and '_', starting with a letter."
            return f"{shown} is not a valid name.", advice
        case "minLength":
            return "it is empty.", "Give it a value or leave the field out."
        case _:
            return f"{shown} is not what belongs here.", f"It must be {_wanted(error)}."


_TYPES = {
    "string": "text",
    "object": "a mapping",
    "array": "a list",
    "number": "a number",
    "integer": "a whole number",
    "null": "left out",
}


def _wanted(error: "ValidationError") -> str:
    value: Any = error.validator_value
    options = (
        cast("list[dict[str, Any]]", value) if error.validator == "anyOf" else [{"type": value}]
    )
    return " or ".join(_TYPES.get(str(o.get("type", "object")), "a mapping") for o in options)


def _offer(name: str, allowed: Sequence[str]) -> str:
    near = nearest(name, allowed)
    guess = f"Did you mean {near!r}? " if near else ""
    return f"{guess}Allowed: {', '.join(allowed)}."


def _dotted(path: Path) -> str:
    return ".".join(str(part) for part in path)
