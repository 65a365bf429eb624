"""A release outside its workspace: a folder with a predictor and the encoder that it reads.

Needs numpy, onnxruntime and tokenizers; knows no ledger and no task file.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from milepost._base.digest import sha256_bytes
from milepost._base.settings import Settings
from milepost._base.untrusted import read_plain
from milepost.entities.errors import CorruptError, StorageError
from milepost.entities.inputs import Composition
from milepost.entities.prediction import Predictions
from milepost.entities.release import Manifest
from milepost.models.catalog import load_encoder
from milepost.models.encoder import Encoder
from milepost.models.images.store import Holding
from milepost.models.images.trunk import ImageTrunk
from milepost.models.onnx_encoder import OnnxEncoder
from milepost.models.pairs import reads
from milepost.predictors.base import Batch, Predictor
from milepost.predictors.bundle import read_bundle
from milepost.predictors.given import Given, texts_given
from milepost.predictors.preparation import Preparation, preparation
from milepost.predictors.reading import adapters_of, encoder_for

PREDICTOR = "predictor"
ENCODER = "encoder"
SUMS = "SHA256SUMS"
"""Digests of both manifests, which hold those of every other file; ``sha256sum -c`` reads it."""

_MANIFEST = "manifest.json"
_MAX_MANIFEST = 64 * 2**20
_ADVICE = "Export the release again."


@dataclass(frozen=True, slots=True, eq=False)
class Exported:
    """A predictor with its encoder, ready to answer.

    Attributes:
        predictor: Answers batches.
        manifest: What it is and where it came from.
        encoder: Gives the vectors that the predictor reads, with its adapters; ``None`` where it
            reads text itself.
        prepare: Prepares each input as it was prepared when the predictor was fitted.
    """

    predictor: Predictor
    manifest: Manifest
    encoder: Encoder | None
    prepare: Preparation

    def predict(self, inputs: Sequence[Given]) -> Predictions:
        """Calibrated answers to ``n`` inputs; no inputs give an empty answer.

        Args:
            inputs: Texts; of a release that reads an image a path, a data URI or bytes each; of one
                that reads several inputs, such as the sides of a pair, a mapping from the name of
                each to its text. A query and a candidate are such a pair, too: nothing is searched.

        Raises:
            InputError: If one of them is not what the release reads.
        """
        how, holding = self.manifest.inputs, Holding(self.prepare.images)
        several = how if isinstance(how, Composition) else None
        texts = self.prepare(texts_given(inputs, several, holding))
        vectors = self.encoder.encode(texts) if self.encoder is not None else None
        return as_released(self.predictor.predict(Batch(tuple(texts), vectors)), self.manifest)


def as_released(predictions: Predictions, manifest: Manifest) -> Predictions:
    """The answers with the thresholds of the manifest: for withholding one, and for sets."""
    limit, sets = manifest.abstain_below, manifest.set_thresholds
    return replace(
        predictions,
        abstain_below=None if isinstance(limit, msgspec.UnsetType) else limit,
        set_thresholds={} if isinstance(sets, msgspec.UnsetType) else sets,
    )


def load_exported(directory: str | Path, root: str | Path | None = None) -> Exported:
    """Load and verify what ``milepost export`` wrote.

    Args:
        directory: The folder.
        root: Folder that holds the file of each own function that prepares inputs, as the
            workspace did; the export holds no code. Only a file of the recorded digest is executed.

    Raises:
        InputError: If inputs are prepared by an own function and its file is not there, or is
            another.
        CorruptError: If a byte is not what the manifests say, or the encoder is not the one that
            the predictor was measured with.
    """
    directory = Path(directory)
    _require_folder(directory)
    _check_sums(directory)
    predictor, manifest = read_bundle(directory / PREDICTOR)
    folder = None if root is None else Path(root)
    prepare = preparation(
        manifest.prepare, folder, Settings().max_text_chars, str(directory / PREDICTOR)
    )
    if manifest.encoder is None:
        return Exported(predictor, manifest, None, prepare)
    encoder = load_encoder(directory / ENCODER)
    if encoder.digest in _merged(predictor):
        return Exported(predictor, manifest, encoder, prepare)
    if encoder.digest != manifest.encoder:
        raise CorruptError(
            "this is not the encoder that the predictor was measured with.",
            where=str(directory / ENCODER),
            advice=_ADVICE,
        )
    if isinstance(encoder.trunk, ImageTrunk):
        encoder = OnnxEncoder(encoder.trunk.finding(prepare.images))
    read = reads(manifest.inputs, encoder)
    return Exported(predictor, manifest, encoder_for(predictor, read), prepare)


def _merged(predictor: Predictor) -> tuple[str, ...]:
    """Digest of the encoder that the predictor's only adapter was merged into."""
    spaces = predictor.spaces
    return tuple(each.adapted_encoder for each in adapters_of(spaces) if len(spaces) == 1)


def _require_folder(directory: Path) -> None:
    try:
        there = directory.is_dir()
    except (OSError, ValueError):
        there = False  # a name that no file system takes
    if not there:
        raise StorageError(
            "the bundle cannot be read: there is no such folder.",
            where=str(directory)[:500],
            advice="Name a folder that `milepost export` wrote.",
        )


def sums(directory: Path) -> bytes:
    """What ``SHA256SUMS`` must hold for the manifests that are in an exported folder.

    Raises:
        CorruptError: If a manifest or its folder is a link, or no plain file.
        StorageError: If there is no exported release.
    """
    lines = ""
    for part in (ENCODER, PREDICTOR):
        folder = directory / part
        if folder.is_symlink():
            raise CorruptError("it is a link.", where=str(folder), advice=_ADVICE)
        if part == ENCODER and not folder.exists():
            continue
        try:
            data = read_plain(folder / _MANIFEST, _MAX_MANIFEST)
        except FileNotFoundError as error:
            raise StorageError(
                f"the bundle cannot be read: {error.strerror}.",
                where=str(folder),
                advice="Name a folder that `milepost export` wrote.",
            ) from error
        except OSError as error:
            raise CorruptError(
                f"the manifest cannot be read: {error.strerror or error}.",
                where=str(folder),
                advice=_ADVICE,
            ) from error
        lines += f"{sha256_bytes(data)}  {part}/{_MANIFEST}\n"
    return lines.encode()


def _check_sums(directory: Path) -> None:
    expected = sums(directory)
    try:
        there = read_plain(directory / SUMS, len(expected))
    except OSError as error:
        raise CorruptError(
            f"{SUMS} cannot be read: {error.strerror or error}.",
            where=str(directory),
            advice=_ADVICE,
        ) from error
    if there != expected:
        raise CorruptError(
            f"a manifest is not the one that {SUMS} names.", where=str(directory), advice=_ADVICE
        )
