"""What is installed, what is missing, and what it enables."""

import platform
import shutil
import sqlite3
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from milepost.entities.errors import EncoderError
from milepost.models.embedded import EMBEDDED_NAME, read_embedded
from milepost.reports.records import DoctorRow
from milepost.workflows.opening import cache_folder
from milepost.workflows.versions import code_version

REQUIRED = {
    "numpy": "arrays",
    "onnxruntime": "runs encoders",
    "tokenizers": "reads text",
    "onnx": "exports encoders of the BERT family",
    "scikit-learn": "fits the word-based baseline",
    "duckdb": "slices in SQL",
    "pyarrow": "Parquet files and snapshots",
    "sqlalchemy": "the ledger",
    "altair": "charts",
    "vl-convert-python": "charts as pictures",
}
OPTIONAL = {
    "torch": "exporting encoders that are not of the BERT family (extra: train)",
    "transformers": "the same (extra: train)",
    "psycopg": "a ledger on PostgreSQL (extra: pg)",
    "pandas": "dataframes in and out",
    "polars": "dataframes in and out",
}


def examine() -> list[DoctorRow]:
    """A row for everything that milepost needs or can use."""
    rows = [
        DoctorRow(name="milepost", status="ok", found=code_version()),
        DoctorRow(name="Python", status="ok", found=platform.python_version()),
        DoctorRow(
            name="SQLite",
            status="ok",
            found=sqlite3.sqlite_version,
            enables="the default ledger, with a rollback journal below 3.51.3",
        ),
        _encoder(),
    ]
    rows += [_package(name, why, needed=True) for name, why in REQUIRED.items()]
    rows += [_package(name, why, needed=False) for name, why in OPTIONAL.items()]
    return [*rows, _cache()]


def _package(name: str, enables: str, *, needed: bool) -> DoctorRow:
    try:
        return DoctorRow(name=name, status="ok", found=version(name), enables=enables)
    except PackageNotFoundError:
        status = "warning" if needed else "missing"
        return DoctorRow(name=name, status=status, enables=enables)


def _encoder() -> DoctorRow:
    try:
        read_embedded()
    except EncoderError as error:
        return DoctorRow(name="embedded encoder", status="warning", enables=str(error))
    return DoctorRow(
        name="embedded encoder",
        status="ok",
        found=EMBEDDED_NAME,
        enables="vectors without a network; its bytes are the pinned ones",
    )


def _cache() -> DoctorRow:
    folder = cache_folder()
    place = next((f for f in (folder, *folder.parents) if f.exists()), Path("/"))
    free = shutil.disk_usage(place).free / 2**30
    return DoctorRow(
        name="cache folder",
        status="ok" if free > 1 else "warning",
        found=str(folder),
        enables=f"exported encoders; {free:,.1f} GiB are free",
    )
