"""Files of answers, written part by part, whole or not at all."""

import io
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Literal, Protocol

import msgspec

from milepost.data.clean import Kind, Nested
from milepost.data.streaming.stream import as_kind, kind_of_values
from milepost.entities.errors import InputError
from milepost.workflows.answering.answered import Answered, write_csv
from milepost.workflows.tasks.files import whole_file

Form = Literal["csv", "jsonl", "parquet"]


class Writer(Protocol):
    """Takes the parts of a table in order; all have the same columns."""

    def write(self, answered: Answered) -> None:
        """Append the rows of a part."""
        ...

    def close(self) -> None:
        """Finish what was begun."""
        ...


def output_format(path: Path) -> Form:
    """What a file of answers is written as, by its suffix.

    Raises:
        InputError: If it has none that is known.
    """
    match path.suffix.lower():
        case ".csv":
            return "csv"
        case ".jsonl" | ".ndjson":
            return "jsonl"
        case ".parquet" | ".pq":
            return "parquet"
        case suffix:
            raise InputError(
                f"cannot write {suffix or 'a file without a suffix'}.",
                where=str(path),
                advice="Name a file that ends in .csv, .jsonl or .parquet.",
            )


@contextmanager
def written(output: Path | BinaryIO, kinds: Mapping[str, Kind] | None = None) -> Generator[Writer]:
    """Write a file that is there once the block has ended well, and not before.

    Args:
        output: Where; its suffix says as what. An open file gets CSV at once.
        kinds: What the columns of the input are throughout, as they are written; ``None`` where
            all comes in one part.

    Raises:
        InputError: If the suffix is none of the known ones.
        WorkspaceError: If the place cannot be written.
    """
    if not isinstance(output, Path):
        writer = _CsvWriter(output, {})
        yield writer
        writer.close()
        return
    make = _WRITERS[output_format(output)]
    with whole_file(output) as file:
        writer = make(file, kinds or {})
        yield writer
        writer.close()


class _CsvWriter:
    def __init__(self, file: BinaryIO, kinds: Mapping[str, Kind]) -> None:
        self._text = io.TextIOWrapper(file, "utf-8", "surrogatepass", newline="")
        self._begun = False

    def write(self, answered: Answered) -> None:
        write_csv(self._text, answered.table(), header=not self._begun)
        self._begun = True

    def close(self) -> None:
        self._text.flush()
        self._text.detach()


class _JsonLinesWriter:
    def __init__(self, file: BinaryIO, kinds: Mapping[str, Kind]) -> None:
        self._file = file

    def write(self, answered: Answered) -> None:
        table = answered.table()
        rows = zip(*table.values(), strict=True)
        lines = [
            msgspec.json.encode(dict(zip(table, map(_unfolded, row), strict=True))) for row in rows
        ]
        self._file.write(b"".join(line + b"\n" for line in lines))

    def close(self) -> None:
        """Every line is whole already."""


def _unfolded(value: object) -> object:
    """A cell as JSON has it: what was nested in the input is nested again."""
    if isinstance(value, Nested):
        return msgspec.Raw(value.encode(errors="replace"))
    return value


class _ParquetWriter:
    def __init__(self, file: BinaryIO, kinds: Mapping[str, Kind]) -> None:
        self._file = file
        self._kinds = kinds
        self._writer: Any = None

    def write(self, answered: Answered) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        names = answered.names()
        columns: dict[str, Any] = {}
        for name, values in answered.table().items():
            given = names.get(name)
            if given is None:
                columns[name] = pa.array(msgspec.to_builtins(list(values)), type=_ADDED[name]())
                continue
            kind = self._kinds.get(given) or kind_of_values(values)
            column = as_kind(values, kind, typed=True)
            columns[name] = pa.array(column, type=_types()[kind])
        content = pa.table(columns)
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._file, content.schema)
        self._writer.write_table(content)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


def _types() -> dict[Kind, Any]:
    import pyarrow as pa

    return {
        "none": pa.null(),
        "int": pa.int64(),
        "float": pa.float64(),
        "bool": pa.bool_(),
        "text": pa.string(),
    }


def _texts() -> Any:
    import pyarrow as pa

    return pa.list_(pa.string())


def _spans() -> Any:
    import pyarrow as pa

    fields = {"start": pa.int64(), "end": pa.int64(), "label": pa.string()}
    return pa.list_(pa.struct({**fields, "probability": pa.float64(), "text": pa.string()}))


_ADDED: Mapping[str, Callable[[], Any]] = {
    "label": lambda: _types()["text"],
    "labels": _texts,
    "score": lambda: _types()["float"],
    "confidence": lambda: _types()["float"],
    "release": lambda: _types()["int"],
    "abstained": lambda: _types()["bool"],
    "set": _texts,
    "spans": _spans,
}
"""Arrow type of each column that is added."""

_WRITERS: Mapping[Form, Callable[[BinaryIO, Mapping[str, Kind]], Writer]] = {
    "csv": _CsvWriter,
    "jsonl": _JsonLinesWriter,
    "parquet": _ParquetWriter,
}
