"""Immutable snapshots of examples: a content digest, and Parquet bytes that give them back.

Knows nothing of where the bytes are kept.
"""

import hashlib
import io
import json
from collections.abc import Sequence
from typing import Any, cast

from milepost.entities.errors import CorruptError, DataError
from milepost.entities.example import Examples
from milepost.entities.ids import Digest

_FORMAT = b"1"
_META = "meta:"


def snapshot_digest(examples: Examples) -> Digest:
    """SHA-256 over the canonical rows: id, text, label and metadata, in the order of the rows.

    Where inputs were prepared, the input as it was stands at the end of its row.

    Independent of file format and library versions, of the order of the metadata columns, and of
    what was derived (``groups`` and the like) or tells only the origin (``sources``); a value of
    ``None`` in the metadata counts as absent. The order of the rows counts, because what is fitted
    on examples may depend on it: equal digests promise equal results.

    Raises:
        DataError: If a text holds a lone surrogate.
    """
    names = sorted(examples.metadata)
    columns = [examples.metadata[name] for name in names]
    digest = hashlib.sha256()
    for i in range(len(examples)):
        extra = {n: c[i] for n, c in zip(names, columns, strict=True) if c[i] is not None}
        row: list[object] = [examples.ids[i], examples.texts[i], examples.labels[i], extra]
        row += examples.originals[i : i + 1]
        try:
            line = json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode()
        except UnicodeEncodeError:
            raise _unstorable(examples.sources[i]) from None
        digest.update(line + b"\n")
    return Digest(digest.hexdigest())


def write_snapshot(examples: Examples) -> bytes:
    """Parquet bytes that :func:`read_snapshot` turns into equal examples.

    A metadata column whose values share one type is stored as that type, another as JSON text.

    Raises:
        DataError: If a text holds a lone surrogate, or a metadata value is not str, int, float,
            bool or ``None``.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        columns = {
            "id": _text(examples.ids),
            "text": _text(examples.texts),
            "label": _text(examples.labels),
            "group": _text(examples.groups),
            "source": _text(examples.sources),
        }
        marks: dict[str, bool] = {}
        if examples.duplicates != examples.groups:
            columns["duplicate"] = _text(examples.duplicates)
        if examples.owners:
            columns["owner"] = _text(examples.owners)
        if examples.times:
            columns["time"] = pa.array(examples.times, pa.float64())
        if examples.originals:
            columns["original"] = _text(examples.originals)
        for name, values in examples.metadata.items():
            columns[_META + name], marks[_META + name] = _metadata_column(name, values)
    except UnicodeEncodeError:
        raise _unstorable(None) from None
    fields = [
        pa.field(name, array.type, metadata={"json": "1"} if marks.get(name) else None)
        for name, array in columns.items()
    ]
    schema = pa.schema(fields, metadata={b"milepost.examples": _FORMAT})
    sink = io.BytesIO()
    table = pa.Table.from_arrays(list(columns.values()), schema=schema)
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue()


def read_snapshot(data: bytes) -> Examples:
    """The examples that :func:`write_snapshot` stored.

    Raises:
        CorruptError: If the bytes are not such a snapshot.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.ParquetFile(io.BytesIO(data)).read()
        marker = (table.schema.metadata or {}).get(b"milepost.examples")
        if marker != _FORMAT:
            raise CorruptError(
                "the snapshot has no marker of a known format.",
                advice="It was not written by this version of milepost.",
            )
        columns = [_values(table, name) for name in ("id", "text", "label", "group", "source")]
        derived = [
            _values(table, name) if name in table.column_names else ()
            for name in ("duplicate", "owner", "time", "original")
        ]
        metadata = {
            name.removeprefix(_META): _values(table, name)
            for name in table.column_names
            if name.startswith(_META)
        }
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        raise CorruptError(
            f"the snapshot cannot be read ({(str(error).splitlines() or ['no details'])[0]}).",
            advice="Restore it from a backup, or read the data files again.",
        ) from error
    ids, texts, labels, groups, sources = columns
    duplicates, owners, times, originals = derived
    return Examples(
        ids=cast("tuple[str, ...]", ids),
        texts=cast("tuple[str, ...]", texts),
        labels=cast("tuple[str | None, ...]", labels),
        groups=cast("tuple[str, ...]", groups),
        sources=cast("tuple[str, ...]", sources),
        metadata=metadata,
        duplicates=cast("tuple[str, ...]", duplicates),
        owners=cast("tuple[str | None, ...]", owners),
        times=cast("tuple[float, ...]", times),
        originals=cast("tuple[str, ...]", originals),
    )


def _text(values: Sequence[str | None]) -> Any:
    import pyarrow as pa

    return pa.array(values, pa.large_string())


def _metadata_column(name: str, values: Sequence[object]) -> tuple[Any, bool]:
    """The column as an Arrow array, and whether it holds JSON."""
    import pyarrow as pa

    kinds = {type(value) for value in values if value is not None}
    strange = kinds - {str, int, float, bool}
    if strange:
        raise DataError(
            f"the metadata column {name!r} holds {', '.join(sorted(k.__name__ for k in strange))}.",
            advice="Metadata must be text, numbers or true and false.",
        )
    if kinds <= {str}:
        return pa.array(values, pa.large_string()), False
    if kinds == {bool}:
        return pa.array(values, pa.bool_()), False
    if kinds == {float}:
        # from_pandas=False keeps a NaN a NaN.
        return pa.array(values, pa.float64(), from_pandas=False), False
    if kinds == {int} and all(v is None or -(2**63) <= cast("int", v) < 2**63 for v in values):
        return pa.array(values, pa.int64()), False
    as_json = [None if v is None else json.dumps(v, ensure_ascii=False) for v in values]
    return pa.array(as_json, pa.large_string()), True


def _values(table: Any, name: str) -> tuple[object, ...]:
    values = cast("list[str | None]", table.column(name).to_pylist())
    if (table.schema.field(name).metadata or {}).get(b"json"):
        return tuple(None if value is None else json.loads(value) for value in values)
    return tuple(values)


def _unstorable(where: str | None) -> DataError:
    return DataError(
        "a text holds a lone surrogate, which cannot be stored.",
        where=where,
        advice="Read it with read_examples, which replaces them.",
    )
