"""A predictor as files: arrays in safetensors, the rest in JSON, a manifest written last.

Nothing here is ever pickled or executed. Every byte is held against the manifest's digest and
every array is checked before use. The layout::

    arrays.safetensors   the predictor's arrays
    parameters.json      temperature and parameters that are not arrays
    manifest.json        what it is, where it came from, SHA-256 and size of the other two

``bundle_files`` and ``predictor_from_files`` do the same on bytes, for stores that keep content
by its digest.
"""

import math
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from milepost._base.digest import canonical_json, sha256_bytes
from milepost._base.untrusted import read_plain, strict_json
from milepost.entities.errors import CorruptError, StorageError
from milepost.entities.ids import Digest
from milepost.entities.kinds import Link
from milepost.entities.release import BundleFile, Manifest
from milepost.predictors.base import Predictor
from milepost.predictors.kinds import KINDS
from milepost.predictors.parts import ADVICE

ARRAYS = "arrays.safetensors"
PARAMETERS = "parameters.json"
MANIFEST = "manifest.json"
FORMAT = 1

MAX_MANIFEST = 64 * 2**20
"""Largest manifest read, in bytes; its own size stands nowhere else."""

MAX_FILE = 8 * 2**30
"""Largest other file read, in bytes."""

_Record = TypeVar("_Record", bound=msgspec.Struct)


class _Parameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Content of ``parameters.json``.

    The link is left out of what is linked by a softmax, and thresholds where there are none.
    """

    temperature: float
    parameters: dict[str, object]
    link: Link | msgspec.UnsetType = msgspec.UNSET
    thresholds: tuple[float, ...] | msgspec.UnsetType = msgspec.UNSET


def bundle_files(predictor: Predictor, manifest: Manifest) -> dict[str, bytes]:
    """The files of a bundle as bytes by name, the manifest last.

    Args:
        predictor: What to keep.
        manifest: Its description; ``files`` is filled in here, whatever it holds.

    Raises:
        ValueError: If the manifest's kind or labels are not the predictor's, or the kind is not
            one that can be read again.
    """
    if manifest.kind != predictor.kind or manifest.labels != predictor.labels:
        raise ValueError("The manifest's kind and labels must be those of the predictor.")
    if KINDS.get(predictor.kind) is not type(predictor):
        raise ValueError(f"{type(predictor).__name__} is not the class of kind {predictor.kind!r}.")
    arrays = {name: np.ascontiguousarray(array) for name, array in predictor.arrays().items()}
    parameters = _Parameters(float(predictor.temperature), predictor.parameters())
    if predictor.link != "softmax":
        parameters = msgspec.structs.replace(parameters, link=predictor.link)
    if predictor.thresholds:
        parameters = msgspec.structs.replace(parameters, thresholds=predictor.thresholds)
    files = {ARRAYS: safetensors.numpy.save(arrays), PARAMETERS: canonical_json(parameters)}
    listed = tuple(
        BundleFile(name=name, sha256=Digest(sha256_bytes(data)), size=len(data))
        for name, data in files.items()
    )
    complete = msgspec.structs.replace(manifest, format=FORMAT, files=listed)
    return {**files, MANIFEST: canonical_json(complete)}


def read_manifest(data: bytes) -> Manifest:
    """A manifest from its bytes; the other files are not looked at.

    Raises:
        CorruptError: If it is not strict JSON, has unknown or missing fields, or lists other
            files than a bundle has.
        StorageError: If a newer version of milepost wrote it.
    """
    content = _strict_json(data, MANIFEST)
    if not isinstance(content, dict):
        raise _corrupt("it is not an object.", MANIFEST)
    version = content.get("format")
    if isinstance(version, int) and version > FORMAT:
        raise StorageError(
            f"the bundle has format {version}; this version reads up to {FORMAT}.",
            where=MANIFEST,
            advice="Upgrade milepost.",
        )
    unknown = sorted(set(content) - set(Manifest.__struct_fields__))
    if unknown:
        raise _corrupt(f"unknown fields {unknown}.", MANIFEST)
    manifest = _convert(content, Manifest, MANIFEST)
    if manifest.format != FORMAT:
        raise _corrupt(f"there is no format {manifest.format}.", MANIFEST)
    if sorted(file.name for file in manifest.files) != sorted((ARRAYS, PARAMETERS)):
        names = [file.name for file in manifest.files]
        raise _corrupt(f"it lists {names}; a bundle has {[ARRAYS, PARAMETERS]}.", MANIFEST)
    if manifest.kind not in KINDS:
        raise _corrupt(f"there is no kind {manifest.kind!r}; known: {sorted(KINDS)}.", MANIFEST)
    if not manifest.labels or len(set(manifest.labels)) != len(manifest.labels):
        raise _corrupt("labels are missing or named twice.", MANIFEST)
    return manifest


def predictor_from_files(files: Mapping[str, bytes]) -> tuple[Predictor, Manifest]:
    """A predictor from the bytes of its files; the inverse of ``bundle_files``.

    Args:
        files: Bytes by name: exactly the three files of a bundle.

    Raises:
        CorruptError: If a file is missing, unknown or not the listed bytes, or an array is not
            what the kind needs.
        StorageError: If a newer version of milepost wrote it.
    """
    if MANIFEST not in files:
        raise _corrupt("the bundle has no manifest: it was never completed.", MANIFEST)
    manifest = read_manifest(files[MANIFEST])
    listed = {file.name: file for file in manifest.files}
    unknown = sorted(set(files) - set(listed) - {MANIFEST})
    if unknown:
        raise _corrupt(f"the bundle holds unknown files {unknown}.", unknown[0])
    for name, file in listed.items():
        data = files.get(name)
        if data is None:
            raise _corrupt("the file is missing.", name)
        if len(data) != file.size or sha256_bytes(data) != file.sha256:
            raise _corrupt("the bytes are not those that the manifest lists.", name)
    content = _convert(_strict_json(files[PARAMETERS], PARAMETERS), _Parameters, PARAMETERS)
    if not (math.isfinite(content.temperature) and content.temperature > 0):
        raise _corrupt(f"temperature {content.temperature} is not above 0.", PARAMETERS)
    predictor = KINDS[manifest.kind].from_parts(
        manifest.labels, content.temperature, _load_arrays(files[ARRAYS]), content.parameters
    )
    if not isinstance(content.link, msgspec.UnsetType):
        predictor = replace(predictor, link=content.link)
    if not isinstance(content.thresholds, msgspec.UnsetType):
        given = content.thresholds
        if len(given) != len(manifest.labels) or not all(0.0 < each < 1.0 for each in given):
            raise _corrupt("the thresholds are not one per label in (0, 1).", PARAMETERS)
        predictor = replace(predictor, thresholds=given)
    return predictor, manifest


def write_bundle(directory: Path, predictor: Predictor, manifest: Manifest) -> Manifest:
    """Write a bundle to a new or empty folder; a crash leaves no manifest, so no bundle.

    Returns:
        The manifest with its list of files.

    Raises:
        StorageError: If the folder holds something already, or cannot be written.
        ValueError: See ``bundle_files``.
    """
    files = bundle_files(predictor, manifest)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if any(directory.iterdir()):
            raise StorageError(
                "the folder is not empty.", where=str(directory), advice="Name a new folder."
            )
        for name, data in files.items():
            _write_durably(directory / name, data)
        _sync_folder(directory)
    except OSError as error:
        raise StorageError(
            f"the bundle cannot be written: {error.strerror}.",
            where=str(directory),
            advice="Check that the folder can be written to and that the disk has room.",
        ) from error
    return read_manifest(files[MANIFEST])


def read_bundle(directory: Path, digest: Digest | None = None) -> tuple[Predictor, Manifest]:
    """Read and verify a bundle from a folder that holds nothing else.

    Args:
        directory: The folder.
        digest: SHA-256 that ``manifest.json`` must have; ``None`` trusts the manifest.

    Raises:
        CorruptError: As ``predictor_from_files``, or if something in the folder is a link or not
            a plain file.
        StorageError: If the folder cannot be read, or a newer version of milepost wrote it.
    """
    try:
        names = sorted(path.name for path in directory.iterdir())
        unknown = [name for name in names if name not in (ARRAYS, PARAMETERS, MANIFEST)]
        if unknown:
            raise _corrupt(f"the bundle holds unknown files {unknown}.", unknown[0])
        files = {}
        if MANIFEST in names:
            files[MANIFEST] = _plain(directory / MANIFEST, MAX_MANIFEST)
            sizes = {file.name: file.size for file in read_manifest(files[MANIFEST]).files}
            # A file of another size is refused before it is read.
            files |= {
                name: _plain(directory / name, sizes[name]) for name in names if name != MANIFEST
            }
    except OSError as error:
        raise StorageError(
            f"the bundle cannot be read: {error.strerror or error}.",
            where=str(directory),
            advice="Check the path and its permissions.",
        ) from error
    if digest is not None and sha256_bytes(files.get(MANIFEST, b"")) != digest:
        raise _corrupt(f"it does not have the digest {digest}.", MANIFEST)
    return predictor_from_files(files)


def _load_arrays(data: bytes) -> dict[str, NDArray[np.generic]]:
    try:
        return dict(safetensors.numpy.load(data))
    except (safetensors.SafetensorError, KeyError, TypeError, ValueError) as error:
        raise _corrupt(f"the arrays cannot be read ({error}).", ARRAYS) from error


def _strict_json(data: bytes, name: str) -> Any:
    try:
        return strict_json(data)
    except ValueError as error:
        raise _corrupt(f"it is not strict JSON ({error}).", name) from error


def _convert(content: object, type_: type[_Record], name: str) -> _Record:
    try:
        return msgspec.convert(content, type_)
    except msgspec.ValidationError as error:
        raise _corrupt(f"{error}.", name) from error


def _plain(path: Path, most: int) -> bytes:
    try:
        return read_plain(path, min(most, MAX_FILE))
    except OSError as error:
        raise _corrupt(f"{error.strerror or error}.", path.name) from error


def _write_durably(path: Path, data: bytes) -> None:
    partial = path.with_name(path.name + ".partial")
    with partial.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    partial.rename(path)


def _sync_folder(directory: Path) -> None:
    """Make the renames durable where the system lets a folder be synced."""
    if os.name != "posix":
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _corrupt(what: str, where: str) -> CorruptError:
    return CorruptError(what, where=where, advice=ADVICE)
