"""An encoder that lies in a bundle: its graph is built from plain arrays when the first text comes.

Knows neither how it was trained nor what its vectors are for.
"""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from milepost.entities.errors import EncoderError
from milepost.models.folder import EncoderFolder
from milepost.models.graphs import bert
from milepost.models.graphs.parts import Float, Range, StaticInt8
from milepost.models.onnx_encoder import OnnxEncoder
from milepost.models.packaged import Manifest, Package
from milepost.models.trunk import Trunk
from milepost.predictors.carried.tensors import SCALES, Stored, floats, kept

_KEYS = (
    "model_type", "hidden_act", "hidden_size", "intermediate_size", "num_attention_heads",
    "num_hidden_layers", "layer_norm_eps", "position_embedding_type", "pad_token_id",
)  # fmt: skip


@dataclass(frozen=True, eq=False, kw_only=True)
class OwnEncoder:
    """A BERT encoder that lies in a bundle. Immutable and thread safe.

    Attributes:
        config: What of ``config.json`` decides the graph; see ``milepost.models.graphs.bert``.
        tokenizer: A tokenizer as JSON of the ``tokenizers`` library.
        pooling: One of ``milepost.models.folder.POOLINGS``.
        max_tokens: Longest input in tokens, special tokens included, ≥ 1.
        tensors: By the names of a Hugging Face checkpoint: ``float32``, ``float16``, or ``int8``
            with the scale of each row ``(rows,) float32`` under the name with ``.scales`` behind.
        ranges: Of every input of a linear layer; with them the products are those of integers.
            ``None`` for single precision.
    """

    config: Mapping[str, object]
    tokenizer: str
    pooling: str
    max_tokens: int
    tensors: Mapping[str, NDArray[np.generic]]
    ranges: Mapping[str, Range] | None = None
    _made: list[OnnxEncoder] = field(default_factory=list[OnnxEncoder], init=False, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    @classmethod
    def of_folder(
        cls,
        folder: EncoderFolder,
        tensors: Mapping[str, NDArray[np.generic]] | None = None,
        *,
        stored: Stored = "fp16",
        tokenizer: str | None = None,
    ) -> "OwnEncoder":
        """The encoder of a folder.

        Args:
            folder: Of type bert.
            tensors: Other weights under the same names; ``None`` reads those of the folder.
            stored: How to keep them.
            tokenizer: Its JSON; ``None`` reads that of the folder.

        Raises:
            EncoderError: If the folder is of another architecture, or a tensor is missing.
        """
        if not bert.supports(folder):
            raise EncoderError(
                f"an encoder of type {folder.model_type!r} cannot be kept in a bundle.",
                where=str(folder.path),
                advice="Use an encoder of type bert.",
            )
        if tensors is None:
            from safetensors.numpy import load_file

            tensors = load_file(folder.path / "model.safetensors")
        if tokenizer is None:
            tokenizer = (folder.path / "tokenizer.json").read_text(encoding="utf-8")
        config = {key: folder.config[key] for key in _KEYS if key in folder.config}
        return cls(
            config=config,
            tokenizer=tokenizer,
            pooling=folder.pooling,
            max_tokens=folder.max_tokens,
            tensors=kept(tensors, config, folder.max_tokens, stored),
        )

    @property
    def dimensions(self) -> int:
        """Length ``d`` of a vector."""
        return self._ready().dimensions

    def vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors ``(n, d) float32`` of unit length; a text's is the same whatever is beside it.

        Raises:
            EncoderError: If the tensors are not what the configuration says.
        """
        return self._ready().encode(texts)

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids per text, at least one and at most ``max_tokens``."""
        return self._ready().trunk.tokenise(texts)

    def folder(self) -> EncoderFolder:
        """As the graph's builder reads it; there are no files behind it."""
        return EncoderFolder(
            path=Path("arrays.safetensors"),
            name="own",
            config=self.config,
            pooling=self.pooling,
            max_tokens=self.max_tokens,
            files={},
        )

    def floats(self) -> dict[str, NDArray[np.float32]]:
        """Its tensors in single precision, integers scaled back."""
        return {
            name: floats(array, self.tensors.get(f"{name}{SCALES}"))
            for name, array in self.tensors.items()
            if not name.endswith(SCALES)
        }

    def _ready(self) -> OnnxEncoder:
        with self._lock:
            if not self._made:
                self._made.append(self._built())
            return self._made[0]

    def _built(self) -> OnnxEncoder:
        arithmetic = Float() if self.ranges is None else StaticInt8(self.ranges)
        model = bert.build(self.folder(), bert.Plan(arithmetic=arithmetic), self.floats())
        pad = self.config.get("pad_token_id")
        manifest = Manifest(
            name="own",
            digest="own",
            variant="fp32" if self.ranges is None else "int8",
            exporter="own",
            layout="flat",
            dimensions=model.dimensions,
            max_tokens=self.max_tokens,
            pad_id=pad if isinstance(pad, int) and pad >= 0 else 0,
            files={},
        )
        package = Package(self.folder().path, manifest, model.data, self.tokenizer)
        # One thread: a server calls from as many as it has, a bulk run shares the work out itself.
        return OnnxEncoder(Trunk(package), threads=1)
