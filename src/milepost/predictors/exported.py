"""A release outside its workspace: a folder with a predictor and the encoder that it reads.

Needs numpy, onnxruntime and tokenizers; knows no ledger and no task file.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from milepost.entities.errors import CorruptError
from milepost.entities.prediction import Predictions
from milepost.entities.release import Manifest
from milepost.models.catalog import load_encoder
from milepost.models.encoder import Encoder
from milepost.predictors.base import Batch, Predictor
from milepost.predictors.bundle import read_bundle

PREDICTOR = "predictor"
ENCODER = "encoder"


@dataclass(frozen=True, slots=True, eq=False)
class Exported:
    """A predictor with its encoder, ready to answer.

    Attributes:
        predictor: Answers batches.
        manifest: What it is and where it came from.
        encoder: Turns text into vectors; ``None`` where the predictor reads text itself.
    """

    predictor: Predictor
    manifest: Manifest
    encoder: Encoder | None

    def predict(self, texts: Sequence[str]) -> Predictions:
        """Calibrated answers to ``n`` texts; no texts give an empty answer."""
        vectors = self.encoder.encode(texts) if self.encoder is not None else None
        return self.predictor.predict(Batch(tuple(texts), vectors))


def load_exported(directory: str | Path) -> Exported:
    """Load and verify what ``milepost export`` wrote.

    Raises:
        CorruptError: If a byte is not what the manifests say, or the encoder is not the one that
            the predictor was measured with.
    """
    directory = Path(directory)
    predictor, manifest = read_bundle(directory / PREDICTOR)
    if manifest.encoder is None:
        return Exported(predictor, manifest, None)
    encoder = load_encoder(directory / ENCODER)
    if encoder.digest != manifest.encoder:
        raise CorruptError(
            "this is not the encoder that the predictor was measured with.",
            where=str(directory / ENCODER),
            advice="Export the release again.",
        )
    return Exported(predictor, manifest, encoder)
