"""Slices: SQL predicates over inputs and metadata, run where they can do no harm.

A predicate is one boolean expression. It is parsed before it runs, and only expressions over the
columns of the row are let through: no subquery, no window, no parameter, no function whose value
changes from call to call. The database is in memory, cannot open a file or load an extension, and
its settings are locked; time, memory and the length of a predicate are bounded.
"""

import json
import re
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from milepost.entities.errors import InputError, nearest
from milepost.entities.example import Examples
from milepost.evaluation.slicing.language import language_of

if TYPE_CHECKING:
    import duckdb

LANGUAGE = "language"
"""Column with the language of a text, which is found where the data do not say it."""

MOST_CHARS = 10_000
"""Longest predicate, in characters."""

MOST_SECONDS = 20.0
"""Longest run of one predicate; it is interrupted then."""

_MEMORY = "1GB"
_SHOWN_CHARS = 200
_ROW = "__milepost_row__"
_ALLOWED = frozenset(
    {
        "BETWEEN",
        "CASE",
        "CAST",
        "COLLATE",
        "COLUMN_REF",
        "COMPARISON",
        "CONJUNCTION",
        "CONSTANT",
        "FUNCTION",
        "LAMBDA",
        "LAMBDA_REF",
        "OPERATOR",
        "TYPE",
    }
)
_LOCKS = (
    "SET autoinstall_known_extensions = false",
    "SET autoload_known_extensions = false",
    "SET threads = 1",
    f"SET memory_limit = '{_MEMORY}'",
    "SET lock_configuration = true",
)


def slice_masks(
    examples: Examples, input_name: str, slices: Mapping[str, str]
) -> dict[str, NDArray[np.bool_]]:
    """Which examples are in which slice.

    Args:
        examples: ``n`` examples; the input and every metadata column can be named.
        input_name: Name of the task's input, under which the text is found.
        slices: Predicate in DuckDB's SQL by name.

    Returns:
        ``(n,)`` bool by name. Where a predicate is NULL the row is not in the slice.

    Raises:
        InputError: If a predicate is not one boolean expression over the columns, or takes too
            long; it says what DuckDB says, which columns there are and which name is nearest.
    """
    if not slices:
        return {}
    table = _Table(_with_language(examples, slices.values()), input_name)
    try:
        return {
            name: table.mask(predicate, f"slice {name!r}") for name, predicate in slices.items()
        }
    finally:
        table.close()


def where_mask(examples: Examples, input_name: str, predicate: str) -> NDArray[np.bool_]:
    """Which examples fulfil one predicate; ``slice_masks`` says the rest.

    Raises:
        InputError: As ``slice_masks`` does.
    """
    table = _Table(_with_language(examples, [predicate]), input_name)
    try:
        return table.mask(predicate, "filter")
    finally:
        table.close()


def _with_language(examples: Examples, predicates: Iterable[str]) -> Examples:
    """With a column ``language`` where a predicate speaks of one and the data have none.

    It holds what ``language_of`` finds, such as ``German``; nothing where it finds none.
    """
    known = {name.lower() for name in examples.metadata}
    if LANGUAGE in known or not any(LANGUAGE in each.lower() for each in predicates):
        return examples
    found = tuple(language_of(text) for text in examples.texts)
    return replace(examples, metadata={**examples.metadata, LANGUAGE: found})


class _Table:
    """One locked in-memory table of examples."""

    def __init__(self, examples: Examples, input_name: str) -> None:
        import duckdb

        self._errors = duckdb.Error
        self._interrupted = duckdb.InterruptException
        content = _arrow(examples, input_name)
        self._n = len(examples)
        self._columns = [name for name in content.column_names if name != _ROW]
        self._connection = _locked(content)
        self._unfit = {
            str(name).lower(): str(kind)
            for name, kind in self._connection.execute(
                "SELECT DISTINCT function_name, function_type FROM duckdb_functions() WHERE "
                "function_type = 'aggregate' "
                "OR (function_type = 'scalar' AND stability = 'VOLATILE')"
            ).fetchall()
        }

    def close(self) -> None:
        self._connection.close()

    def mask(self, predicate: str, what: str) -> NDArray[np.bool_]:
        """Rows where the predicate is true."""
        self._check(predicate, what)
        timer = threading.Timer(MOST_SECONDS, self._connection.interrupt)
        timer.daemon = True
        timer.start()
        try:
            # The predicate was parsed above and is a single expression. The line breaks keep a
            # trailing comment from swallowing the rest.
            sql = f'SELECT "{_ROW}", (\n{predicate}\n) AS "in" FROM data'  # noqa: S608
            result = self._connection.execute(sql)
            kind = str((result.description or [])[1][1]).upper()
            columns = result.fetchnumpy()
        except self._interrupted:
            raise self._error(
                predicate, what, f"it ran longer than {MOST_SECONDS:g} seconds", ""
            ) from None
        except self._errors as error:
            raise self._error(predicate, what, str(error), self._near(str(error))) from None
        finally:
            timer.cancel()
        if not kind.startswith("BOOL"):
            raise self._error(
                predicate, what, f"it gives {kind}, not true or false", "Write a comparison."
            )
        rows = np.asarray(columns[_ROW])
        if len(rows) != self._n:
            raise self._error(predicate, what, "it gives more or fewer rows than it is given", "")
        values = columns["in"]
        true = np.asarray(np.ma.filled(values, fill_value=False), dtype=np.bool_)
        mask = np.zeros(self._n, np.bool_)
        mask[rows] = true
        return mask

    def _check(self, predicate: str, what: str) -> None:
        """Let only one expression over columns through.

        Raises:
            InputError: If it is anything else.
        """
        if len(predicate) > MOST_CHARS:
            raise self._error(predicate, what, f"it is longer than {MOST_CHARS} characters", "")
        if not predicate.strip() or "\x00" in predicate:
            raise self._error(predicate, what, "it is empty or holds a NUL character", "")
        try:
            found = self._connection.execute(
                "SELECT json_serialize_sql(?)",
                [f"SELECT (\n{predicate}\n) FROM data"],  # noqa: S608
            ).fetchone()
        except (self._errors, UnicodeError) as error:
            raise self._error(predicate, what, str(error), "") from None
        tree = cast("dict[str, Any]", json.loads(str(found[0] if found else "{}")))
        if tree.get("error", True):
            message = str(tree.get("error_message", "it cannot be parsed"))
            raise self._error(predicate, what, message, "")
        expression = _single_expression(tree)
        if expression is None:
            raise self._error(predicate, what, "it is more than one boolean expression", "")
        for node in _nodes(expression):
            kind = str(node["class"])
            if kind not in _ALLOWED:
                raise self._error(
                    predicate,
                    what,
                    f"a {kind.lower()} is not allowed in a slice",
                    "Use comparisons, functions and logic over the columns of the row.",
                )
            function = str(node.get("function_name", "")).lower()
            if function in self._unfit:
                why = "changes from call to call"
                if self._unfit[function] == "aggregate":
                    why = "looks at more than one row"
                raise self._error(predicate, what, f"{function}() {why}", "")

    def _near(self, message: str) -> str:
        missing = re.search(r'column "?([^"\s]+?)"? not found', message, re.IGNORECASE)
        near = nearest(missing.group(1), self._columns) if missing else None
        return f"Did you mean {near!r}?" if near else ""

    def _error(self, predicate: str, what: str, message: str, advice: str) -> InputError:
        # DuckDB's own list of columns holds one of ours; the advice lists those of the user.
        said = re.split(r"\bLINE \d+:|Candidate bindings:", message, maxsplit=1)[0]
        said = " ".join(said.split()).rstrip(".!")
        columns = ", ".join(self._columns)
        shown = predicate if len(predicate) <= _SHOWN_CHARS else predicate[:_SHOWN_CHARS] + "…"
        return InputError(
            f"the SQL {shown!r} cannot be used: {said}.",
            where=what,
            advice=f"{advice} Columns: {columns}.".strip(),
        )


def _locked(content: object) -> "duckdb.DuckDBPyConnection":
    """A connection that holds the content and can reach nothing else."""
    import duckdb

    connection = duckdb.connect(
        ":memory:", config={"enable_external_access": "false", "temp_directory": ""}
    )
    connection.register("incoming", content)
    connection.execute("CREATE TABLE data AS SELECT * FROM incoming")
    connection.unregister("incoming")
    for statement in _LOCKS:
        connection.execute(statement)
    return connection


def _single_expression(tree: Mapping[str, Any]) -> dict[str, Any] | None:
    """The one expression of ``SELECT (...) FROM data``; ``None`` when there is more to it."""
    statements = cast("list[dict[str, Any]]", tree.get("statements", []))
    if len(statements) != 1:
        return None
    node = cast("dict[str, Any]", statements[0]["node"])
    if node.get("type") != "SELECT_NODE" or node.get("modifiers"):
        return None
    extras = ("where_clause", "having", "qualify", "sample", "group_expressions", "group_sets")
    table = cast("dict[str, Any]", node.get("from_table") or {})
    if any(node.get(extra) for extra in extras) or table.get("type") != "BASE_TABLE":
        return None
    if cast("dict[str, Any]", node.get("cte_map") or {}).get("map"):
        return None
    chosen = cast("list[dict[str, Any]]", node.get("select_list", []))
    return chosen[0] if len(chosen) == 1 else None


def _nodes(tree: object) -> Iterator[dict[str, Any]]:
    """All expression nodes of a parsed expression, without recursion."""
    left: list[object] = [tree]
    while left:
        item = left.pop()
        if isinstance(item, dict):
            found = cast("dict[str, Any]", item)
            if "class" in found:
                yield found
            left.extend(found.values())
        elif isinstance(item, list):
            left.extend(cast("list[object]", item))


def _arrow(examples: Examples, input_name: str) -> Any:
    """The input and the metadata as columns; names that differ only in case keep the first."""
    import pyarrow as pa

    columns: dict[str, object] = {
        _ROW: pa.array(np.arange(len(examples))),
        input_name: _column(examples.texts),
    }
    taken = {name.lower() for name in columns}
    for name, values in examples.metadata.items():
        if name.lower() not in taken:
            taken.add(name.lower())
            columns[name] = _column(values)
    return pa.table(cast("Any", columns))


def _column(values: Sequence[object]) -> Any:
    """An Arrow column; text where the values are of several kinds."""
    import pyarrow as pa

    kinds = {type(value) for value in values if value is not None}
    if kinds <= {int, float} and len(kinds) == 2:
        kinds, values = {float}, [None if v is None else float(cast("float", v)) for v in values]
    if kinds in ({bool}, {float}) or (
        kinds == {int} and all(v is None or abs(cast("int", v)) < 2**63 for v in values)
    ):
        return pa.array(values)
    texts = [
        None if v is None else str(v).encode("utf-8", "replace").decode("utf-8") for v in values
    ]
    return pa.array(texts, type=pa.string())
