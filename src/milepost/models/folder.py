"""Reads a Hugging Face or sentence-transformers folder; runs nothing in it.

Knows which files say how text becomes a vector and what their digests are. Knows neither ONNX nor
the runtime.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import msgspec

from milepost._base.digest import digest_of, sha256_file
from milepost.entities.errors import EncoderError

POOLINGS = ("mean", "cls", "max")
"""Ways to turn the states of tokens into one vector that can be exported."""

_LEGACY_POOLINGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
_DEFAULT_MAX_TOKENS = 512
_WEIGHTS = "model.safetensors"
_UNBOUNDED = 1_000_000


@dataclass(frozen=True, slots=True)
class EncoderFolder:
    """What a folder promises about its encoder.

    Attributes:
        path: Folder of the transformer: weights, ``config.json`` and ``tokenizer.json``.
        name: Name for people.
        config: The content of ``config.json``.
        pooling: One of ``POOLINGS``.
        max_tokens: Longest input in tokens, special tokens included, ≥ 1.
        files: SHA-256 by name of the files that decide what a vector is.
    """

    path: Path
    name: str
    config: Mapping[str, object]
    pooling: str
    max_tokens: int
    files: Mapping[str, str]

    @property
    def model_type(self) -> str:
        """Architecture as ``config.json`` names it, such as ``bert``; empty when it does not."""
        return str(self.config.get("model_type", ""))

    @property
    def digest(self) -> str:
        """SHA-256 over weights, configuration, tokenizer, pooling, normalisation, token limit."""
        return digest_of(
            {
                "files": dict(self.files),
                "pooling": self.pooling,
                "normalised": True,
                "max_tokens": self.max_tokens,
            }
        )


def read_folder(
    path: Path, *, name: str | None = None, max_tokens: int | None = None
) -> EncoderFolder:
    """Reads a folder without loading its weights.

    Args:
        path: A folder with ``model.safetensors``, ``config.json`` and ``tokenizer.json``, and
            possibly the ``modules.json`` of sentence-transformers.
        name: Name for people; ``None`` takes the folder's name.
        max_tokens: Longest input in tokens, ≥ 1; never more than the model has positions.
            ``None`` takes the folder's own limit.

    Raises:
        EncoderError: If a file is missing or unreadable, the weights are not safetensors in one
            file, or the folder asks for a step that cannot be exported.
    """
    if not path.is_dir():
        raise EncoderError(
            "there is no such encoder folder.",
            where=str(path),
            advice="Give `embedded`, a local Hugging Face folder, or a hub id such as `org/name`.",
        )
    transformer, pooling = _modules(path)
    _require(transformer, "config.json", "tokenizer.json")
    _require_weights(transformer)
    config = _read_object(transformer / "config.json")
    limit = _token_limit(path, transformer, config, max_tokens)
    named = {
        "weights": transformer / _WEIGHTS,
        "config": transformer / "config.json",
        "tokenizer": transformer / "tokenizer.json",
    }
    return EncoderFolder(
        path=transformer,
        name=name or path.resolve().name,
        config=config,
        pooling=pooling,
        max_tokens=limit,
        files={key: sha256_file(file) for key, file in named.items()},
    )


def _modules(path: Path) -> tuple[Path, str]:
    """Folder of the transformer and the pooling; without ``modules.json`` the mean is taken."""
    file = path / "modules.json"
    if not file.exists():
        return path, "mean"
    transformer, pooling = path, "mean"
    for module in _read_list(file):
        kind = str(module.get("type", "")).rsplit(".", 1)[-1]
        folder = path / str(module.get("path", ""))
        if not folder.resolve().is_relative_to(path.resolve()):
            raise EncoderError(f"a module lies outside the folder: {folder}.", where=str(file))
        if kind == "Transformer":
            transformer = folder
        elif kind == "Pooling":
            pooling = _pooling(folder / "config.json")
        elif kind != "Normalize":
            raise EncoderError(
                f"this encoder needs a module of type {kind!r}, which cannot be exported yet.",
                where=str(file),
                advice="Use an encoder made of Transformer, Pooling and Normalize only.",
            )
    return transformer, pooling


def _pooling(file: Path) -> str:
    settings = _read_object(file)
    mode = settings.get("pooling_mode")
    modes: list[str]
    if isinstance(mode, str):
        modes = [mode]
    elif isinstance(mode, list):
        modes = [str(item) for item in cast("list[object]", mode)]
    else:
        modes = [known for key, known in _LEGACY_POOLINGS.items() if settings.get(key)]
    modes = modes or ["mean"]
    if len(modes) != 1 or modes[0] not in POOLINGS:
        raise EncoderError(
            f"pooling {' + '.join(modes)} cannot be exported.",
            where=str(file),
            advice=f"Use an encoder with one of these: {', '.join(POOLINGS)}.",
        )
    return modes[0]


def _token_limit(
    path: Path, transformer: Path, config: Mapping[str, object], asked: int | None
) -> int:
    """The smallest of: what was asked, the folder's limit, the positions of the model.

    RoBERTa's family numbers positions from ``pad_token_id + 1``, so that it has fewer usable
    positions than ``max_position_embeddings`` says.
    """
    if asked is not None and asked < 1:
        raise EncoderError(
            f"max_tokens is {asked}.", where="max_tokens", advice="It must be 1 or more."
        )
    limits: list[int] = []
    positions = config.get("max_position_embeddings")
    if isinstance(positions, int) and 0 < positions < _UNBOUNDED:
        kind = str(config.get("model_type", ""))
        pad = config.get("pad_token_id")
        shifted = "roberta" in kind or kind in {"camembert", "mpnet"}
        limits.append(positions - (int(pad) + 1 if shifted and isinstance(pad, int) else 0))
    own = _own_limit(path, transformer)
    if asked is not None:
        limits.append(asked)
    elif own is not None:
        limits.append(own)
    return max(1, min(limits, default=_DEFAULT_MAX_TOKENS))


def _own_limit(path: Path, transformer: Path) -> int | None:
    places = [
        (path / "sentence_bert_config.json", "max_seq_length"),
        (transformer / "sentence_bert_config.json", "max_seq_length"),
        (transformer / "tokenizer_config.json", "model_max_length"),
    ]
    for file, key in places:
        if file.exists():
            limit = _read_object(file).get(key)
            if isinstance(limit, int) and 0 < limit < _UNBOUNDED:
                return limit
    return None


def _require(folder: Path, *names: str) -> None:
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise EncoderError(
            f"the encoder folder has no {' and no '.join(missing)}.",
            where=str(folder),
            advice="Save the tokenizer as a fast tokenizer and the model with `save_pretrained`.",
        )


def _require_weights(folder: Path) -> None:
    if (folder / _WEIGHTS).is_file():
        return
    if (folder / f"{_WEIGHTS}.index.json").exists():
        raise EncoderError(
            "the weights are split over several files.",
            where=str(folder),
            advice="Save them in one file: `model.save_pretrained(DIR, max_shard_size='100GB')`.",
        )
    pickled = (
        "the weights are a pickle, which can run code when read."
        if any(folder.glob("*.bin"))
        else f"the encoder folder has no {_WEIGHTS}."
    )
    raise EncoderError(
        pickled,
        where=str(folder),
        advice="Save them with `model.save_pretrained(DIR, safe_serialization=True)`.",
    )


def _read_object(file: Path) -> dict[str, object]:
    return msgspec.json.decode(_read(file, dict[str, object]), type=dict[str, object])


def _read_list(file: Path) -> list[dict[str, object]]:
    return msgspec.json.decode(_read(file, list[dict[str, object]]), type=list[dict[str, object]])


def _read(file: Path, kind: object) -> bytes:
    """The bytes of a JSON file that holds a ``kind``."""
    try:
        data = file.read_bytes()
        msgspec.json.decode(data, type=kind)
    except OSError as error:
        raise EncoderError(f"the file cannot be read: {error}.", where=str(file)) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise EncoderError(
            f"the file is not the JSON that an encoder folder has: {error}.",
            where=str(file),
            advice="Fetch or save the encoder again.",
        ) from error
    return data
