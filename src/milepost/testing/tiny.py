"""A small BERT of random weights, for what needs an encoder's own weights; no torch, no network.

Written as a Hugging Face folder and opened like any other one, so that what is tuned on it goes
the whole way: weights, adapter, graph, vectors.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from milepost.models.adapters import Adapter
from milepost.models.catalog import EncoderOptions, open_encoder
from milepost.models.encoder import Encoder, Progress, WrappedEncoder
from milepost.models.folder import EncoderFolder, read_folder
from milepost.models.onnx_encoder import OnnxEncoder

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_WIDTH, _INNER, _LAYERS, _HEADS, _POSITIONS = 32, 64, 2, 4, 64


class TinyEncoder(WrappedEncoder):
    """A tiny encoder that also gives its weights, as ``Problem.weights`` does.

    Args:
        folder: Where ``write_tiny`` wrote; its exports are kept beside it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        opened = open_encoder(
            str(folder), folder.parent / f"{folder.name}-exports", EncoderOptions(threads=1)
        )
        super().__init__(opened)
        self._opened: OnnxEncoder = opened

    def encode(self, texts: Sequence[str], progress: Progress | None = None) -> NDArray[np.float32]:
        """Vectors ``(n, 32) float32``."""
        return self._opened.encode(texts, progress)

    def adapted(self, adapter: Adapter) -> Encoder:
        """See ``milepost.models.encoder.Adaptable``."""
        return self._opened.adapted(adapter)

    def words(self) -> Encoder:
        """See ``milepost.models.words.Wording``."""
        return self._opened.words()

    def weights(self) -> EncoderFolder:
        """The folder itself."""
        return read_folder(self._folder)


def write_tiny(folder: Path, *, seed: int = 0, model_type: str = "bert") -> Path:
    """Write a model of two layers of 32 values whose words are letters.

    Args:
        folder: Created with all above it.
        seed: Of the weights.
        model_type: What its configuration says it is; only ``bert`` can be run.

    Returns:
        ``folder``.
    """
    from safetensors.numpy import save_file

    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = [*_SPECIAL, *_LETTERS, *(f"##{letter}" for letter in _LETTERS)]
    rng = np.random.default_rng(seed)
    tensors: dict[str, NDArray[np.float32]] = {}

    def weight(name: str, *shape: int) -> None:
        tensors[name] = rng.normal(0, 0.3, shape).astype(np.float32)

    def linear(name: str, size_in: int, size_out: int) -> None:
        weight(f"{name}.weight", size_out, size_in)
        weight(f"{name}.bias", size_out)

    def norm(name: str) -> None:
        tensors[f"{name}.LayerNorm.weight"] = np.ones(_WIDTH, np.float32)
        tensors[f"{name}.LayerNorm.bias"] = np.zeros(_WIDTH, np.float32)

    weight("embeddings.word_embeddings.weight", len(vocabulary), _WIDTH)
    weight("embeddings.position_embeddings.weight", _POSITIONS, _WIDTH)
    weight("embeddings.token_type_embeddings.weight", 2, _WIDTH)
    norm("embeddings")
    for layer in range(_LAYERS):
        name = f"encoder.layer.{layer}"
        for part in ("query", "key", "value"):
            linear(f"{name}.attention.self.{part}", _WIDTH, _WIDTH)
        linear(f"{name}.attention.output.dense", _WIDTH, _WIDTH)
        norm(f"{name}.attention.output")
        linear(f"{name}.intermediate.dense", _WIDTH, _INNER)
        linear(f"{name}.output.dense", _INNER, _WIDTH)
        norm(f"{name}.output")
    save_file(tensors, folder / "model.safetensors")
    config = {
        "model_type": model_type, "architectures": ["BertModel"], "hidden_act": "gelu",
        "vocab_size": len(vocabulary), "hidden_size": _WIDTH, "intermediate_size": _INNER,
        "num_hidden_layers": _LAYERS, "num_attention_heads": _HEADS, "pad_token_id": 0,
        "max_position_embeddings": _POSITIONS, "layer_norm_eps": 1e-12,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    _write_tokenizer(folder / "tokenizer.json", vocabulary)
    return folder


def _write_tokenizer(file: Path, vocabulary: list[str]) -> None:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    ids = {word: at for at, word in enumerate(vocabulary)}
    tokenizer = Tokenizer(models.WordPiece(ids, unk_token=_SPECIAL[1]))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.save(str(file))
