"""What a template may hold: checked on its syntax tree, before anything of it runs.

Jinja's own sandbox stands behind this list, and is not relied on: a template that can neither call,
assign, multiply nor loop over anything but labels and examples has nothing to break out with, and
its work and output are bounded by its length.
"""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from milepost.entities.errors import InputError, UnknownNameError

if TYPE_CHECKING:
    from jinja2 import Environment, Template, nodes

MOST_CHARACTERS = 20_000
"""Longest template, in characters."""

MOST_LOOPS = 12
"""Most loops of one template; at most two stand in each other."""

MOST_DEPTH = 50
"""How deep a template's tree may go: expressions within expressions."""

LABEL_FIELDS = ("name", "description", "letter")
EXAMPLE_FIELDS = ("text", "label")
LOOP_FIELDS = ("index", "index0", "revindex", "revindex0", "first", "last", "length")

LISTS: Mapping[str, tuple[str, ...]] = {"labels": LABEL_FIELDS, "examples": EXAMPLE_FIELDS}
"""What a template may loop over, and the fields that each element has."""

FILTERS = ("trim", "upper", "lower", "capitalize", "title", "length", "reverse", "first", "last")
"""Filters of a template: each gives at most as much as it takes, but for a few letters whose other
case is longer."""

TESTS = ("defined", "undefined", "none", "odd", "even", "equalto", "eq", "ne", "in")

_STATEMENTS = frozenset({"Template", "Output", "TemplateData", "For", "If"})
_EXPRESSIONS = frozenset(
    {
        "Name", "Const", "Getattr", "Getitem", "Filter", "Test", "Compare", "Operand", "And", "Or",
        "Not", "CondExpr", "Concat", "Add", "Sub", "Tuple", "List",
    }
)  # fmt: skip

_WORDS = frozenset(
    {
        "and", "else", "elif", "endif", "endfor", "false", "for", "if", "import", "in", "is",
        "loop", "none", "not", "or", "recursive", "set", "true", "with", "instruction", "labels",
        "examples", "block", "call", "macro", "raw", "self", "super", "varargs", "kwargs", "caller",
    }
)  # fmt: skip


def variable_of(input_name: str) -> str:
    """How a template calls the task's input: its name, with ``-`` as ``_``.

    A name that means something else in a template, such as ``labels``, gets a ``_`` at its end.
    """
    name = input_name.replace("-", "_")
    return f"{name}_" if name in _WORDS else name


@lru_cache(maxsize=256)
def compiled(source: str, variable: str, where: str) -> "Template":
    """A template that was checked, ready to run.

    Args:
        source: Its text.
        variable: What it calls the task's input.
        where: What it is, for errors, such as ``prompt: user``.

    Raises:
        UnknownNameError: If it uses a variable, field, filter or test that there is not, with the
            nearest one that there is and the line.
        InputError: If it is too long, cannot be read, or holds what a prompt must not.
    """
    from jinja2 import TemplateSyntaxError

    if len(source) > MOST_CHARACTERS:
        raise InputError(
            f"the template has {len(source):,} characters; at most {MOST_CHARACTERS:,} are read.",
            where=where,
            advice="Shorten it; examples belong to the task, not into its prompt.",
        )
    environment = _environment()
    try:
        tree = environment.parse(source)
        _Checker(variable, where).check(tree)
        return environment.from_string(tree)
    except TemplateSyntaxError as error:
        raise _syntax_error(error.message or "it cannot be read", where, error.lineno) from error
    except (RecursionError, MemoryError, OverflowError, SyntaxError, ValueError) as error:
        raise InputError(
            f"the template cannot be read ({type(error).__name__}).",
            where=where,
            advice="Write it with less nesting.",
        ) from error


def names_of(source: str) -> set[str]:
    """Names that a template uses, and its fields with a dot before them, such as ``.letter``.

    Raises:
        jinja2.TemplateSyntaxError: If it cannot be read; check it first.
    """
    from jinja2 import nodes

    tree = _environment().parse(source)
    fields = {f".{each.attr}" for each in tree.find_all(nodes.Getattr)}
    return fields | {each.name for each in tree.find_all(nodes.Name)}


def _printable(value: object) -> object:
    """A text or a number as it is; anything else has no place in a message."""
    if isinstance(value, str | int | float):
        return value
    if type(value).__name__ == "StrictUndefined":
        str(value)  # raises, and says what is not there
    raise TypeError("a list, a label or an example is shown as a whole; show its fields")


def _syntax_error(message: str, where: str, line: int) -> InputError:
    """An unknown tag, filter or test by its nearest; anything else in Jinja's own words."""
    for kind, allowed in (
        ("tag", ("for", "if", "endfor", "endif", "else", "elif", "raw", "endraw")),
        ("filter", FILTERS),
        ("test", TESTS),
    ):
        found = re.search(rf"(?:unknown {kind}|No {kind} named) '([^']*)'", message)
        if found:
            return UnknownNameError(kind, found[1], allowed, where=f"{where}, line {line}")
    return InputError(
        f"the template cannot be read: {message.rstrip('.')}.",
        where=f"{where}, line {line}",
        advice="See the page on prompts for what a template may hold.",
    )


@lru_cache(maxsize=1)
def _environment() -> "Environment":
    """Without extensions, globals, loaders and most filters; it folds no constants."""
    import jinja2
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(
        undefined=jinja2.StrictUndefined,
        optimized=False,
        finalize=_printable,
        cache_size=0,
    )
    environment.globals.clear()
    for table, kept in ((environment.filters, FILTERS), (environment.tests, TESTS)):
        for name in [name for name in table if name not in kept]:
            del table[name]
    return environment


class _Checker:
    """Walks a template's tree and refuses all that is not on the lists.

    Args:
        variable: What the template calls the task's input.
        where: What the template is, for errors.
    """

    def __init__(self, variable: str, where: str) -> None:
        self._where = where
        self._known = {"instruction": (), variable: (), **LISTS}
        self._loops = 0

    def check(self, tree: "nodes.Template") -> None:
        """Raise at the first thing that a prompt must not hold."""
        self._visit(tree, {}, 0, 0)

    def _visit(
        self, node: "nodes.Node", bound: Mapping[str, Sequence[str]], loops: int, depth: int
    ) -> None:
        kind = type(node).__name__
        if kind not in _STATEMENTS and kind not in _EXPRESSIONS:
            raise self._refused(f"a prompt must not hold {_words(kind)}", node)
        if depth > MOST_DEPTH:
            raise self._refused("the template is nested too deeply", node)
        special = {
            "For": self._visit_loop,
            "Name": self._visit_name,
            "Getattr": self._visit_field,
            "Getitem": self._visit_item,
            "Filter": self._visit_filter,
            "Test": self._visit_filter,
        }.get(kind)
        if special is not None:
            special(node, bound, loops, depth)
            return
        self._visit_children(node, bound, loops, depth)

    def _visit_children(
        self, node: "nodes.Node", bound: Mapping[str, Sequence[str]], loops: int, depth: int
    ) -> None:
        for child in node.iter_child_nodes():
            self._visit(child, bound, loops, depth + 1)

    def _visit_loop(
        self, node: Any, bound: Mapping[str, Sequence[str]], loops: int, depth: int
    ) -> None:
        self._loops += 1
        source = node.iter
        while type(source).__name__ == "Filter" and source.name == "reverse" and source.node:
            source = source.node
        name = getattr(source, "name", None) if type(source).__name__ == "Name" else None
        if name is None or name not in LISTS or name in bound:
            raise self._refused("a prompt loops over labels or examples and nothing else", node)
        if loops >= 2 or self._loops > MOST_LOOPS:
            raise self._refused(
                f"a prompt has at most {MOST_LOOPS} loops, two of them in each other", node
            )
        target = getattr(node.target, "name", None)
        if node.recursive or target is None or target in self._known or target == "loop":
            raise self._refused("a loop names one new variable and is not recursive", node)
        inner = {**bound, target: LISTS[name], "loop": LOOP_FIELDS}
        if node.test is not None:
            self._visit(node.test, {**bound, target: LISTS[name]}, loops, depth + 1)
        for child in node.body:
            self._visit(child, inner, loops + 1, depth + 1)
        for child in node.else_:
            self._visit(child, bound, loops, depth + 1)

    def _visit_name(
        self, node: Any, bound: Mapping[str, Sequence[str]], loops: int, depth: int
    ) -> None:
        del loops, depth
        known = [*self._known, *bound]
        if node.name not in known:
            raise UnknownNameError("variable", node.name, known, where=self._place(node))

    def _visit_field(
        self, node: Any, bound: Mapping[str, Sequence[str]], loops: int, depth: int
    ) -> None:
        self._visit(node.node, bound, loops, depth + 1)
        fields = self._fields(node.node, bound)
        if node.attr not in fields:
            if not fields:
                raise self._refused(f"there is no field {node.attr!r} of a text", node)
            raise UnknownNameError("field", node.attr, fields, where=self._place(node))

    def _visit_item(
        self, node: Any, bound: Mapping[str, Sequence[str]], loops: int, depth: int
    ) -> None:
        """A label or an example by its position; nothing by a name."""
        number = getattr(node.arg, "value", None) if type(node.arg).__name__ == "Const" else None
        name = getattr(node.node, "name", None) if type(node.node).__name__ == "Name" else None
        if type(number) is not int or name not in LISTS:
            raise self._refused("brackets hold the position of a label or an example", node)
        self._visit(node.node, bound, loops, depth + 1)

    def _visit_filter(
        self, node: Any, bound: Mapping[str, Sequence[str]], loops: int, depth: int
    ) -> None:
        is_filter = type(node).__name__ == "Filter"
        allowed = FILTERS if is_filter else TESTS
        if node.name not in allowed:
            kind = "filter" if is_filter else "test"
            raise UnknownNameError(kind, node.name, allowed, where=self._place(node))
        if is_filter and (node.node is None or node.args or node.kwargs):
            raise self._refused(f"the filter {node.name!r} takes no argument here", node)
        if node.dyn_args is not None or node.dyn_kwargs is not None or node.kwargs:
            raise self._refused("a prompt hands on no lists of arguments", node)
        self._visit_children(node, bound, loops, depth)

    def _fields(self, node: Any, bound: Mapping[str, Sequence[str]]) -> Sequence[str]:
        """Fields of what an expression comes to; none for a text and for what is not known."""
        kind = type(node).__name__
        if kind == "Name":
            return bound.get(node.name, ())
        if kind == "Getitem" or (kind == "Filter" and node.name in ("first", "last")):
            name = getattr(node.node, "name", "")
            return LISTS.get(name, ())
        return ()

    def _place(self, node: "nodes.Node") -> str:
        return f"{self._where}, line {node.lineno}"

    def _refused(self, what: str, node: "nodes.Node") -> InputError:
        return InputError(
            f"{what}.",
            where=self._place(node),
            advice="A template may use its variables, if, for over labels and examples, and "
            f"the filters {', '.join(FILTERS)}.",
        )


_WORDS_OF = {
    "Call": "calls", "CallBlock": "calls", "Macro": "macros", "Import": "imports",
    "FromImport": "imports", "Include": "includes", "Extends": "extends", "Block": "blocks",
    "Assign": "assignments", "AssignBlock": "assignments", "FilterBlock": "filter blocks",
    "With": "with blocks", "Mul": "arithmetic but + and -", "Div": "arithmetic but + and -",
    "FloorDiv": "arithmetic but + and -", "Mod": "arithmetic but + and -",
    "Pow": "arithmetic but + and -", "Slice": "slices", "Dict": "mappings",
}  # fmt: skip


def _words(kind: str) -> str:
    return _WORDS_OF.get(kind, kind)
