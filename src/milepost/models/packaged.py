"""A folder from which an encoder runs: ``model.onnx``, ``tokenizer.json``, ``manifest.json``.

Knows files and their digests; knows neither where an encoder came from nor how it runs.
"""

import os
import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path

import msgspec

from milepost._base.digest import sha256_bytes
from milepost._base.untrusted import read_plain, strict_json
from milepost.entities.errors import CorruptError, StorageError
from milepost.models.external_data import refuse_external_data
from milepost.models.graphs.layout import Layout

MODEL, TOKENIZER, MANIFEST = "model.onnx", "tokenizer.json", "manifest.json"
_FORMAT = 1
_MAX_MANIFEST = 1 << 20
_MAX_FILE = 8 << 30


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a packaged encoder is.

    Attributes:
        name: Name for people.
        digest: Digest of the source: weights, configuration, tokenizer, pooling, token limit.
        variant: Numeric variant, such as ``fp32``.
        exporter: Which exporter wrote the graph, with its version.
        dimensions: Length of a vector, ≥ 1.
        max_tokens: Longest input in tokens, special tokens included, ≥ 1.
        pad_id: Token id that fills shorter rows of a batch.
        layout: How tokens are handed to the graph.
        adapts: Linear layers that take adapters as further inputs, as ``0.query``.
        calibration: Digest of the texts that fixed the scales of integers; ``None`` in fp32.
        files: SHA-256 of each file by name.
        format: Version of this record.
    """

    name: str
    digest: str
    variant: str
    exporter: str
    dimensions: int
    max_tokens: int
    pad_id: int
    layout: Layout = "padded"
    adapts: tuple[str, ...] = ()
    calibration: str | None = None
    files: dict[str, str]
    format: int = _FORMAT


@dataclass(frozen=True, slots=True, eq=False)
class Package:
    """A verified package in memory.

    Attributes:
        directory: Where it was read.
        manifest: What it is.
        model: Bytes of the ONNX model.
        tokenizer: The tokenizer as JSON text.
    """

    directory: Path
    manifest: Manifest
    model: bytes
    tokenizer: str


def write_package(directory: Path, manifest: Manifest, model: bytes, tokenizer: bytes) -> None:
    """Writes a package so that it is there whole or not at all.

    Builds it in a folder beside and renames that, the manifest written last. When somebody else
    has put a package there meanwhile, theirs stays.

    Args:
        directory: Must not exist, or be an empty folder.
        manifest: Its ``files`` are filled in here.
        model: Bytes of the ONNX model.
        tokenizer: Bytes of ``tokenizer.json``.

    Raises:
        StorageError: If the folder cannot be written, or holds something else.
    """
    draft = directory.parent / f".{directory.name}.{uuid.uuid4().hex}.tmp"
    contents = {MODEL: model, TOKENIZER: tokenizer}
    complete = msgspec.structs.replace(
        manifest, files={name: sha256_bytes(data) for name, data in contents.items()}
    )
    try:
        draft.mkdir(parents=True)
        for name, data in contents.items():
            _write(draft / name, data)
        _write(draft / MANIFEST, msgspec.json.format(msgspec.json.encode(complete)))
        _publish(draft, directory)
    except OSError as error:
        raise StorageError(
            f"the encoder cannot be written: {error}.",
            where=str(directory),
            advice="Give a folder that is empty or new, on a disk with space, and writable.",
        ) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def read_package(directory: Path) -> Package:
    """Reads a package and verifies every byte.

    Raises:
        CorruptError: If a file is missing or not what the manifest says.
        EncoderError: If the ONNX model refers to other files.
    """
    try:
        content = strict_json(read_plain(directory / MANIFEST, _MAX_MANIFEST))
        manifest = msgspec.convert(content, Manifest)
    except (OSError, ValueError) as error:
        raise CorruptError(
            f"the manifest of the encoder cannot be read: {error}.",
            where=str(directory / MANIFEST),
            advice="Export or copy the encoder again.",
        ) from error
    _check_numbers(directory, manifest)
    model, tokenizer = (_verified(directory, manifest, name) for name in (MODEL, TOKENIZER))
    refuse_external_data(model, str(directory / MODEL))
    try:
        return Package(directory, manifest, model, tokenizer.decode())
    except UnicodeDecodeError as error:
        raise CorruptError(
            "the tokenizer is not UTF-8 text.", where=str(directory / TOKENIZER)
        ) from error


def remove_package(directory: Path) -> None:
    """Removes a package; out of the way first, so that nobody reads half of it."""
    aside = directory.parent / f".{directory.name}.{uuid.uuid4().hex}.tmp"
    try:
        directory.rename(aside)
    except FileNotFoundError:
        return  # somebody else removed it
    except OSError as error:
        raise StorageError(
            f"the damaged encoder cannot be removed: {error}.", where=str(directory)
        ) from error
    shutil.rmtree(aside, ignore_errors=True)


def _publish(draft: Path, directory: Path) -> None:
    try:
        draft.rename(directory)
    except OSError:
        if not (directory / MANIFEST).is_file():
            raise
        return  # somebody else was first; the reader verifies what they wrote
    if hasattr(os, "O_DIRECTORY"):
        handle = os.open(directory.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _write(file: Path, data: bytes) -> None:
    with file.open("wb") as opened:
        opened.write(data)
        opened.flush()
        os.fsync(opened.fileno())


def _check_numbers(directory: Path, manifest: Manifest) -> None:
    wrong = manifest.format != _FORMAT or set(manifest.files) != {MODEL, TOKENIZER}
    if wrong or manifest.dimensions < 1 or manifest.max_tokens < 1 or manifest.pad_id < 0:
        raise CorruptError(
            "the manifest of the encoder is not one that this version reads.",
            where=str(directory / MANIFEST),
            advice="Export the encoder again, or update milepost.",
        )


def _verified(directory: Path, manifest: Manifest, name: str) -> bytes:
    file = directory / name
    try:
        data = read_plain(file, _MAX_FILE)
    except OSError as error:
        raise CorruptError(
            f"a file of the encoder cannot be read: {error}.", where=str(file)
        ) from error
    if sha256_bytes(data) != manifest.files[name]:
        raise CorruptError(
            "the bytes of the encoder are not what its manifest says.",
            where=str(file),
            advice="Export or copy the encoder again.",
        )
    return data
