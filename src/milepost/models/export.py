"""Exports an encoder to ONNX once, and finds the export again by digest.

Knows folders and packages; never runs the encoder.
"""

from collections.abc import Callable
from pathlib import Path

import msgspec

from milepost._base.digest import digest_of
from milepost.entities.errors import CorruptError, EncoderError, StorageError
from milepost.models import bert_graph, torch_graph
from milepost.models.folder import EncoderFolder
from milepost.models.packaged import (
    Manifest,
    Package,
    read_package,
    remove_package,
    write_package,
)
from milepost.models.pooling import VECTORS

Notify = Callable[[str], None]
"""Told in one sentence what takes long or was repaired."""

VARIANT = "fp32"
BERT_EXPORTER = "bert-1"
TORCH_EXPORTER = "torch-1"


def exported(folder: EncoderFolder, cache_dir: Path, notify: Notify) -> Package:
    """The package of a folder: from the cache, or exported into it.

    Any number of processes may do this at once: each builds its own, the first to finish is
    kept, and all read that one.

    Args:
        folder: The encoder.
        cache_dir: Packages lie at ``cache_dir/<digest>/``.
        notify: Told before an export and about a damaged cache.

    Raises:
        EncoderError: If the encoder cannot be exported.
        StorageError: If the cache cannot be written.
    """
    exporter = BERT_EXPORTER if bert_graph.supports(folder) else TORCH_EXPORTER
    place = cache_dir / digest_of([folder.digest, VARIANT, exporter])
    if place.exists():
        try:
            return _cached(place, folder)
        except (CorruptError, EncoderError) as error:
            notify(f"The cached export of {folder.name} is damaged and is made again: {error}")
            remove_package(place)
    notify(f"Exporting {folder.name} to ONNX, once.")
    _export(folder, exporter, place)
    return _cached(place, folder)


def _cached(place: Path, folder: EncoderFolder) -> Package:
    package = read_package(place)
    if package.manifest.digest != folder.digest:
        raise CorruptError("the package is that of another encoder.", where=str(place))
    return package if package.manifest.name == folder.name else _renamed(package, folder.name)


def _renamed(package: Package, name: str) -> Package:
    """The same package under the name that the caller knows; equal folders share an export."""
    manifest = msgspec.structs.replace(package.manifest, name=name)
    return Package(package.directory, manifest, package.model, package.tokenizer)


def _export(folder: EncoderFolder, exporter: str, place: Path) -> None:
    build = bert_graph.build if exporter == BERT_EXPORTER else torch_graph.build
    proto = build(folder)
    widths = {
        output.name: output.type.tensor_type.shape.dim[-1].dim_value
        for output in proto.graph.output
    }
    try:
        model = proto.SerializeToString()
    except ValueError as error:
        raise EncoderError(
            "the encoder is larger than one ONNX file can be (2 GB).", where=str(folder.path)
        ) from error
    manifest = Manifest(
        name=folder.name,
        digest=folder.digest,
        variant=VARIANT,
        exporter=exporter,
        dimensions=widths[VECTORS],
        max_tokens=folder.max_tokens,
        pad_id=_pad_id(folder),
        files={},
    )
    try:
        tokenizer = (folder.path / "tokenizer.json").read_bytes()
    except OSError as error:
        raise StorageError(
            f"the tokenizer cannot be read: {error}.", where=str(folder.path)
        ) from error
    write_package(place, manifest, model, tokenizer)


def _pad_id(folder: EncoderFolder) -> int:
    pad = folder.config.get("pad_token_id")
    return pad if isinstance(pad, int) and pad >= 0 else 0
