"""Trains a shallower encoder to give the vectors and the probabilities of a deeper one.

Layers are left out evenly (Sanh et al. 2019, DistilBERT), word vectors stay as they are, and only
those of tokens that are still there are kept.
"""

import math
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from milepost.models.folder import EncoderFolder, read_folder
from milepost.strategies.tuning.records import Tuning
from milepost.strategies.tuning.threads import training_threads
from milepost.strategies.tuning.trunk import TorchTrunk
from milepost.strategies.watching import Watch
from milepost.strategy import DeclinedError

Tensors = Mapping[str, NDArray[np.generic]]

_LOCK = threading.Lock()
_WORDS = "embeddings.word_embeddings.weight"


@dataclass(frozen=True, slots=True)
class Imitating:
    """How a shallower encoder is trained.

    Attributes:
        layers: Layers that it has, ≥ 1.
        epochs: Times that each text is seen, ≥ 1; more often where that is fewer steps than
            ``least``.
        least: See ``epochs``.
        batch: Texts of a step, ≥ 2.
        rate: Largest step size of AdamW, > 0.
        head_rate: That of the head is so many times as large.
        likeness: Weight of the cosine distance to the encoder's vectors beside the log loss, ≥ 0.
        max_tokens: Longest text while training, in tokens.
    """

    layers: int = 3
    epochs: int = 3
    least: int = 120
    batch: int = 32
    rate: float = 5e-4
    head_rate: float = 20.0
    likeness: float = 5.0
    max_tokens: int = 96

    def passes(self, texts: int) -> int:
        """How often each of so many texts is seen."""
        return max(self.epochs, math.ceil(self.least / math.ceil(max(1, texts) / self.batch)))


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """What is to be imitated of ``n`` texts: ``targets (n, k)``, ``vectors (n, d)`` float32."""

    texts: tuple[str, ...]
    targets: NDArray[np.float32]
    vectors: NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Imitation:
    """What was learned: the encoder's tensors; ``weights (k, d)``, ``bias (k,)`` of the head."""

    tensors: Tensors
    weights: NDArray[np.float32]
    bias: NDArray[np.float32]


def shallower(
    folder: EncoderFolder, layers: int, tokenizer: str, rows: NDArray[np.int64], directory: Path
) -> EncoderFolder:
    """A folder with fewer layers and fewer words, from which training begins.

    Args:
        folder: The deeper encoder.
        layers: How many are kept: the first, the last and evenly between.
        tokenizer: JSON of the tokenizer with fewer tokens.
        rows: Rows of the word table that its tokens have.
        directory: An empty folder to write to.
    """
    from safetensors.numpy import load_file, save_file

    depth = int(str(folder.config["num_hidden_layers"]))
    own = np.unique(np.linspace(0, depth - 1, min(layers, depth)).round().astype(int)).tolist()
    new = {f"encoder.layer.{old}.": f"encoder.layer.{at}." for at, old in enumerate(own)}
    tensors: dict[str, NDArray[np.generic]] = {}
    for full, tensor in load_file(folder.path / "model.safetensors").items():
        name = full.removeprefix("bert.")
        if name.startswith("encoder.layer."):
            prefix = ".".join(name.split(".")[:3]) + "."
            if prefix in new:
                tensors[name.replace(prefix, new[prefix], 1)] = tensor
        elif name.startswith("embeddings.") and tensor.dtype.kind == "f":
            tensors[name] = tensor[rows] if name == _WORDS else tensor
    config = {
        **folder.config,
        "num_hidden_layers": len(own),
        "vocab_size": len(rows),
        "pad_token_id": 0,
    }
    save_file(
        {n: np.ascontiguousarray(t) for n, t in tensors.items()}, directory / "model.safetensors"
    )
    (directory / "config.json").write_bytes(msgspec.json.encode(config))
    (directory / "tokenizer.json").write_text(tokenizer, encoding="utf-8")
    found = read_folder(directory, name=folder.name, max_tokens=folder.max_tokens)
    return EncoderFolder(
        path=found.path,
        name=found.name,
        config=found.config,
        pooling=folder.pooling,
        max_tokens=found.max_tokens,
        files=found.files,
    )


def imitate(
    folder: EncoderFolder, example: Example, how: Imitating, *, seed: int, watch: Watch
) -> Imitation:
    """Train a shallow encoder and its head.

    Args:
        folder: What training begins with.
        example: What is imitated.
        how: How.
        seed: The same seed gives the same on the same machine.
        watch: When the deadline has passed, what was learned until then is given.

    Raises:
        DeclinedError: If the loss is not finite.
    """
    import torch

    with _LOCK, torch.random.fork_rng(devices=[]), training_threads():
        torch.manual_seed(seed)
        tuning = Tuning(layers=how.layers, max_tokens=how.max_tokens, whole=True)
        trunk = TorchTrunk(folder, tuning, seed)
        trunk.read(example.texts)
        return _Run(trunk, example, how, seed).through(watch)


class _Run:
    def __init__(self, trunk: TorchTrunk, example: Example, how: Imitating, seed: int) -> None:
        import torch

        self._trunk, self._how, self._rng = trunk, how, np.random.default_rng(seed)
        self._targets = torch.from_numpy(example.targets)
        self._vectors = torch.from_numpy(example.vectors)
        self._head: Any = torch.nn.Linear(example.vectors.shape[1], example.targets.shape[1])
        torch.nn.init.zeros_(self._head.weight)

    def through(self, watch: Watch) -> Imitation:
        import torch

        how, n = self._how, len(self._targets)
        epochs = how.passes(n)
        steps, done = epochs * -(-n // how.batch), 0
        groups = [
            {"params": self._trunk.parameters, "lr": how.rate},
            {"params": list(self._head.parameters()), "lr": how.rate * how.head_rate},
        ]
        optimiser = torch.optim.AdamW(groups, weight_decay=0.01)

        def pace(step: int) -> float:
            return min((step + 1) / max(1.0, 0.1 * steps), (steps - step) / steps)

        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, pace)
        for _ in range(epochs):
            order = self._rng.permutation(n)
            for start in range(0, n, how.batch):
                if watch.deadline.passed:
                    watch.late(done, steps)
                    return self._found()
                optimiser.zero_grad()
                loss = self._loss(order[start : start + how.batch])
                if not np.isfinite(loss.item()):
                    raise DeclinedError("Its loss was not finite; a smaller `rate` may help.")
                loss.backward()
                optimiser.step()
                schedule.step()
                done += 1
                watch.progress(done / steps)
        return self._found()

    def _loss(self, rows: NDArray[np.int64]) -> Any:
        import torch

        vectors = self._trunk.vectors(rows)
        likeness = (1.0 - (vectors * self._vectors[rows]).sum(dim=1)).mean()
        scores = torch.log_softmax(self._head(vectors), dim=1)
        surprise = -(self._targets[rows] * scores).sum(dim=1).mean()
        return surprise + self._how.likeness * likeness

    def _found(self) -> Imitation:
        state = self._trunk.state()
        if not isinstance(state, Mapping):
            raise TypeError("whole layers were trained, and an adapter came")
        weights, bias = (each.detach().numpy().copy() for each in self._head.parameters())
        return Imitation(state, weights, bias)
