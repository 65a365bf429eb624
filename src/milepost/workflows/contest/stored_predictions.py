"""Predictions that a scorecard was measured on, kept so that later releases can be paired."""

import io

import msgspec
import numpy as np
from numpy.typing import NDArray

from milepost.entities.ids import Digest
from milepost.workflows.context import Context


def store_predictions(
    context: Context,
    ids: tuple[str, ...],
    labels: tuple[str, ...],
    probabilities: NDArray[np.float32],
) -> Digest:
    """Store ids and probabilities ``(n, k) float32`` as a Parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    flat = pa.array(np.ascontiguousarray(probabilities).ravel())
    table = pa.table(
        {
            "id": pa.array(ids, pa.string()),
            "probabilities": pa.FixedSizeListArray.from_arrays(flat, probabilities.shape[1]),
        }
    )
    out = io.BytesIO()
    pq.write_table(
        table.replace_schema_metadata({"labels": msgspec.json.encode(labels)}),
        out,
        compression="zstd",
    )
    return context.artifacts.put(out.getvalue())


def load_predictions(
    context: Context, digest: Digest
) -> tuple[tuple[str, ...], tuple[str, ...], NDArray[np.float32]]:
    """Ids, labels and probabilities ``(n, k) float32``: the inverse of ``store_predictions``."""
    import pyarrow.parquet as pq

    table = pq.read_table(io.BytesIO(context.artifacts.get(digest)))
    metadata = table.schema.metadata or {}
    labels = msgspec.json.decode(metadata[b"labels"], type=tuple[str, ...])
    width = table.schema.field("probabilities").type.list_size
    flat = table["probabilities"].combine_chunks().values.to_numpy()
    ids = tuple(str(value) for value in table["id"].to_pylist())
    return ids, labels, flat.reshape(len(ids), width).astype(np.float32)
