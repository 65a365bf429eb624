"""Exports an encoder to ONNX once, and finds the export again by digest.

Knows folders and packages; never runs the encoder.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from milepost._base.digest import digest_of
from milepost.entities.errors import CorruptError, EncoderError, StorageError, UnknownNameError
from milepost.models.adapters import Adapter, require_same
from milepost.models.folder import EncoderFolder
from milepost.models.graphs import bert, calibration, through_torch
from milepost.models.graphs.parts import Float, StaticInt8
from milepost.models.graphs.writer import Model
from milepost.models.packaged import (
    Manifest,
    Package,
    read_package,
    remove_package,
    write_package,
)

Notify = Callable[[str], None]
"""Told in one sentence what takes long or was repaired."""

Variant = Literal["fp32", "int8"]
BERT_EXPORTER = "bert-2"
INT8_EXPORTER = "bert-int8-1"
TORCH_EXPORTER = "torch-1"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which graph of an encoder.

    Attributes:
        variant: ``fp32``, the reference, or ``int8``.
        adapts: Linear layers that take adapters as further inputs, of ``bert.adaptable``.
    """

    variant: Variant = "fp32"
    adapts: tuple[str, ...] = ()


def exported(
    folder: EncoderFolder, cache_dir: Path, notify: Notify, wanted: Wanted | None = None
) -> Package:
    """The package of a folder: from the cache, or exported into it.

    Any number of processes may do this at once: each builds its own, the first to finish is
    kept, and all read that one. Imports neither onnx nor torch where the package is there.

    Args:
        folder: The encoder.
        cache_dir: Packages lie at ``cache_dir/<digest>/``.
        notify: Told before an export and about a damaged cache.
        wanted: ``None`` for fp32 without adapters.

    Raises:
        EncoderError: If the encoder cannot be exported, or not in this variant.
        StorageError: If the cache cannot be written.
    """
    graph = wanted or Wanted()
    place = place_of(folder, cache_dir, graph)
    if place.exists():
        try:
            return _cached(place, folder)
        except (CorruptError, EncoderError) as error:
            notify(f"The cached export of {folder.name} is damaged and is made again: {error}")
            remove_package(place)
    notify(f"Exporting {folder.name} to ONNX as {graph.variant}, once.")
    _export(folder, graph, place)
    return _cached(place, folder)


def place_of(folder: EncoderFolder, cache_dir: Path, wanted: Wanted) -> Path:
    """Where the package of a folder lies or will lie.

    Raises:
        EncoderError: If the encoder cannot be had in this variant.
    """
    exporter = _exporter(folder, wanted)
    return cache_dir / digest_of([folder.digest, wanted.variant, exporter, *wanted.adapts])


def _exporter(folder: EncoderFolder, wanted: Wanted) -> str:
    """Names what decides the bits of a graph, apart from the folder."""
    if not bert.supports(folder):
        if wanted != Wanted():
            raise EncoderError(
                f"an encoder of type {folder.model_type!r} runs in fp32 and without adapters only.",
                where=str(folder.path),
                advice="Serve it in fp32, or use an encoder of type bert.",
            )
        return TORCH_EXPORTER
    if unknown := sorted(set(wanted.adapts) - set(bert.adaptable(folder))):
        raise UnknownNameError("layer", unknown[0], bert.adaptable(folder), where="adapters")
    if wanted.variant == "fp32":
        return BERT_EXPORTER
    return f"{INT8_EXPORTER}+{calibration.calibration_digest()[:12]}"


def _cached(place: Path, folder: EncoderFolder) -> Package:
    package = read_package(place)
    if package.manifest.digest != folder.digest:
        raise CorruptError("the package is that of another encoder.", where=str(place))
    return package if package.manifest.name == folder.name else _renamed(package, folder.name)


def _renamed(package: Package, name: str) -> Package:
    """The same package under the name that the caller knows; equal folders share an export."""
    manifest = msgspec.structs.replace(package.manifest, name=name)
    return Package(package.directory, manifest, package.model, package.tokenizer)


def _graph(folder: EncoderFolder, wanted: Wanted) -> Model:
    if not bert.supports(folder):
        return through_torch.build(folder)
    int8 = wanted.variant == "int8"
    arithmetic = StaticInt8(calibration.find_ranges(folder)) if int8 else Float()
    return bert.build(folder, bert.Plan(arithmetic=arithmetic, adapts=wanted.adapts))


def _export(folder: EncoderFolder, wanted: Wanted, place: Path) -> None:
    _write(folder, wanted, place, _graph(folder, wanted), folder.digest)


def export_merged(folder: EncoderFolder, adapter: Adapter, place: Path) -> None:
    """Writes the package of an encoder with an adapter added to its weights, in fp32.

    Its vectors are those of the encoder with the adapter, within 1e-5.

    Args:
        folder: The encoder.
        adapter: Made for it.
        place: Must not exist, or be empty.

    Raises:
        EncoderError: If the adapter is of another encoder, or the encoder takes none.
        StorageError: If the folder cannot be written.
    """
    require_same(adapter, folder.digest)
    _exporter(folder, Wanted(adapts=tuple(adapter.down)))  # refuses what takes no adapters
    model = bert.build(folder, weights=bert.merged(folder, adapter))
    _write(folder, Wanted(), place, model, adapter.adapted_encoder)


def _write(folder: EncoderFolder, wanted: Wanted, place: Path, model: Model, digest: str) -> None:
    exporter = _exporter(folder, wanted)
    manifest = Manifest(
        name=folder.name,
        digest=digest,
        variant=wanted.variant,
        exporter=exporter,
        layout="padded" if exporter == TORCH_EXPORTER else "flat",
        adapts=wanted.adapts,
        calibration=calibration.calibration_digest() if wanted.variant == "int8" else None,
        dimensions=model.dimensions,
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
    write_package(place, manifest, model.data, tokenizer)


def _pad_id(folder: EncoderFolder) -> int:
    pad = folder.config.get("pad_token_id")
    return pad if isinstance(pad, int) and pad >= 0 else 0
