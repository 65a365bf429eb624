"""Reads a Hugging Face folder whose model reads images; runs nothing in it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import msgspec

from milepost._base.digest import digest_of, sha256_file
from milepost.entities.errors import EncoderError
from milepost.models.images.steps import Steps, read_steps

EXPORTER = "images-1"
"""Names what decides the bits of an exported tower, apart from the folder."""

_STEPS = ("preprocessor_config.json", "processor_config.json")
_WEIGHTS, _TOKENIZER = "model.safetensors", "tokenizer.json"
_TEXT_TOKENS = 77
"""Tokens of a text where the folder does not say; as of CLIP."""


@dataclass(frozen=True, slots=True)
class ImageFolder:
    """What a folder promises about an encoder of images.

    Attributes:
        path: The folder.
        name: Name for people.
        config: The content of ``config.json``.
        steps: From an image to what the model reads.
        files: SHA-256 by name of the files that decide what a vector is.
    """

    path: Path
    name: str
    config: Mapping[str, object]
    steps: Steps
    files: Mapping[str, str]

    @property
    def model_type(self) -> str:
        """Architecture as ``config.json`` names it, such as ``vit``."""
        return str(self.config.get("model_type", ""))

    @property
    def towers(self) -> bool:
        """Whether a second tower turns texts into vectors of the same space."""
        return "text_config" in self.config and "vision_config" in self.config

    @property
    def digest(self) -> str:
        """SHA-256 over weights, configuration, tokenizer and the steps."""
        return digest_of(
            {"files": dict(self.files), "steps": msgspec.to_builtins(self.steps), "reads": "images"}
        )

    @property
    def max_tokens(self) -> int:
        """Longest text in tokens; of a folder that reads images alone 1."""
        text = self.config.get("text_config")
        if not isinstance(text, dict):
            return 1
        most = cast("dict[str, object]", text).get("max_position_embeddings", _TEXT_TOKENS)
        return most if isinstance(most, int) and most > 0 else _TEXT_TOKENS

    @property
    def patches(self) -> int:
        """Parts that an image is read in: what an image costs, in tokens."""
        vision = self.config.get("vision_config")
        config = cast("dict[str, object]", vision if isinstance(vision, dict) else self.config)
        patch = config.get("patch_size")
        side = patch if isinstance(patch, int) and patch > 0 else 32
        height, width = self.steps.out
        return 1 + max(1, height // side) * max(1, width // side)


def reads_images(path: Path) -> bool:
    """Whether a folder holds an encoder of images."""
    return (path / "config.json").is_file() and any((path / name).is_file() for name in _STEPS)


def read_image_folder(path: Path, name: str | None = None) -> ImageFolder:
    """Reads a folder without loading its weights.

    Args:
        path: A folder with ``model.safetensors``, ``config.json`` and ``preprocessor_config.json``,
            and ``tokenizer.json`` where it reads texts too.
        name: Name for people; ``None`` takes the folder's name.

    Raises:
        EncoderError: If a file is missing or unreadable, or images are prepared in a way that is
            not known.
    """
    if not (path / _WEIGHTS).is_file():
        raise EncoderError(
            f"the encoder folder has no {_WEIGHTS}.",
            where=str(path),
            advice="Save it with `model.save_pretrained(DIR, safe_serialization=True)`.",
        )
    config = _object(path / "config.json")
    place = next(path / name for name in _STEPS if (path / name).is_file())
    steps = read_steps(_object(place), str(place))
    named = {"weights": path / _WEIGHTS, "config": path / "config.json"}
    if "text_config" in config:
        if not (path / _TOKENIZER).is_file():
            raise EncoderError(
                f"the encoder folder has no {_TOKENIZER}.",
                where=str(path),
                advice="Save the tokenizer as a fast tokenizer.",
            )
        named["tokenizer"] = path / _TOKENIZER
    return ImageFolder(
        path=path,
        name=name or path.resolve().name,
        config=config,
        steps=steps,
        files={key: sha256_file(file) for key, file in named.items()},
    )


def _object(file: Path) -> dict[str, object]:
    try:
        return msgspec.json.decode(file.read_bytes(), type=dict[str, object])
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise EncoderError(
            f"the file is not the JSON that an encoder folder has: {error}.",
            where=str(file),
            advice="Fetch or save the encoder again.",
        ) from error
