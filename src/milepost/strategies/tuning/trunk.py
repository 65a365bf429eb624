"""An encoder in torch with low-rank adapters in its upper layers.

Texts are laid out flat, without padding, as in the graph that serves them (models/graphs/bert.py):
only attention sees a grid. What lies below the tuned layers is computed once per text.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from milepost.entities.errors import EncoderError
from milepost.models.adapters import Adapter
from milepost.models.folder import EncoderFolder
from milepost.strategies.tuning.records import State, Tuning

MOST_CACHED = 400_000
"""Tokens whose states below the tuned layers are kept: 0.6 GB at 384 values a token."""

_PATHS = {
    "query": "attention.self.query",
    "key": "attention.self.key",
    "value": "attention.self.value",
    "output": "attention.output.dense",
    "inner": "intermediate.dense",
    "outer": "output.dense",
}
_CHUNK = 64


class Grid:
    """Where the tokens of a batch of texts lie, flat and in a grid.

    Args:
        lengths: Tokens of each text, ≥ 1.
    """

    def __init__(self, lengths: Sequence[int]) -> None:
        import torch

        sizes = torch.tensor(list(lengths))
        longest = int(sizes.max())
        self.rows, self.longest = len(lengths), longest
        self.begins = torch.cumsum(sizes, 0) - sizes
        inside = torch.arange(longest)[None, :] < sizes[:, None]
        self.positions = torch.arange(longest)[None, :].expand_as(inside)[inside]
        self.owner = torch.arange(self.rows)[:, None].expand_as(inside)[inside]
        self.cells = (
            (self.begins[:, None] + torch.arange(longest)[None, :]).masked_fill(~inside, 0).view(-1)
        )
        self.places = torch.arange(inside.numel()).view_as(inside)[inside]
        self.mask = inside[:, None, None, :]
        self.sizes = sizes


class TorchTrunk:
    """The encoder of a folder, ready to be tuned; holds the states below for the texts it is given.

    Args:
        folder: Weights, configuration and tokenizer; of the BERT form.
        tuning: Which layers are tuned, and how wide.
        seed: Of the adapters' first values.
    """

    def __init__(self, folder: EncoderFolder, tuning: Tuning, seed: int) -> None:
        from tokenizers import Tokenizer

        self._folder, self._tuning = folder, tuning
        model: Any = _loaded(folder)
        model.requires_grad_(requires_grad=False)
        self._below = max(0, len(model.encoder.layer) - tuning.layers)
        self._untuned: dict[str, Any] = {}
        self._model = self._opened(model, seed)
        self._model.eval()
        self._heads = int(model.config.num_attention_heads)
        self._tokenizer = Tokenizer.from_file(str(folder.path / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(min(tuning.max_tokens, folder.max_tokens))
        self._tokens: list[list[int]] = []
        self._states: list[Any] | None = None

    @property
    def parameters(self) -> list[Any]:
        """The tensors that are tuned."""
        return [each for each in self._model.parameters() if each.requires_grad]

    def read(self, texts: Sequence[str]) -> None:
        """Tokenise the texts that ``vectors`` will be asked for by row, and run what lies below."""
        encodings = self._tokenizer.encode_batch_fast(list(texts))
        self._tokens = [each.ids or [0] for each in encodings]
        self._states = None
        if sum(map(len, self._tokens)) > MOST_CACHED:
            return
        states: list[Any] = [None] * len(texts)
        order = np.argsort([len(each) for each in self._tokens], kind="stable")
        for begin in range(0, len(order), _CHUNK):
            rows = order[begin : begin + _CHUNK]
            grid = Grid([len(self._tokens[row]) for row in rows])
            found = self._lower(rows, grid).split(grid.sizes.tolist())
            for row, state in zip(rows, found, strict=True):
                states[row] = state.clone()
        self._states = states

    def vectors(self, rows: NDArray[np.int64]) -> Any:
        """Vectors ``(b, d)`` of unit length of texts that were read, with gradients.

        Where gradients are taken, some tokens are left out above the layers that are not tuned;
        the first of a text never is.
        """
        import torch

        grid = Grid([len(self._tokens[row]) for row in rows])
        if self._states is None:
            states = self._lower(rows, grid)
        else:
            states = torch.cat([self._states[row] for row in rows])
        if self._tuning.cutoff and torch.is_grad_enabled():
            kept = torch.rand(len(states)) >= self._tuning.cutoff
            kept[grid.begins] = True
            sizes = torch.zeros_like(grid.sizes).index_add(0, grid.owner, kept.long())
            states, grid = states[kept], Grid(sizes.tolist())
        for layer in self._model.encoder.layer[self._below :]:
            states = self._layer(layer, states, grid)
        return torch.nn.functional.normalize(self._pooled(states, grid), dim=1)

    def adapter(self) -> Adapter:
        """The adapter as it is now."""
        down: dict[str, NDArray[np.float32]] = {}
        up: dict[str, NDArray[np.float32]] = {}
        for layer in range(self._below, len(self._model.encoder.layer)):
            for part in self._tuning.parts:
                module = self._model.get_submodule(f"encoder.layer.{layer}.{_PATHS[part]}")
                first = module.lora_A["default"].weight.detach().numpy()
                second = module.lora_B["default"].weight.detach().numpy()
                scale = np.float32(self._tuning.strength * module.scaling["default"])
                down[f"{layer}.{part}"] = np.array(first.T, order="C")
                up[f"{layer}.{part}"] = np.ascontiguousarray(second.T * scale)
        return Adapter(self._folder.digest, down, up)

    def state(self) -> State:
        """What was tuned, as it is now."""
        if not self._tuning.whole:
            return self.adapter()
        own, share = self._untuned, self._tuning.strength
        return {
            name: (each if name not in own else own[name].lerp(each, share)).numpy().copy()
            for name, each in self._model.state_dict().items()
        }

    def _opened(self, model: Any, seed: int) -> Any:
        """The model with gradients where it is tuned."""
        import torch
        from peft import LoraConfig, inject_adapter_in_model

        tuning, layers = self._tuning, range(self._below, len(model.encoder.layer))
        if tuning.whole:
            for layer in layers:
                model.encoder.layer[layer].requires_grad_(requires_grad=True)
            own = {name for name, each in model.named_parameters() if each.requires_grad}
            tensors = model.state_dict()
            self._untuned = {name: tensors[name].clone() for name in own}
            return model
        config: Any = LoraConfig(
            r=tuning.rank,
            lora_alpha=tuning.alpha,  # type: ignore[arg-type]
            lora_dropout=0.0,
            target_modules=[
                f"encoder.layer.{layer}.{_PATHS[part]}" for layer in layers for part in tuning.parts
            ],
        )
        torch.manual_seed(seed)
        return inject_adapter_in_model(config, model)

    def _lower(self, rows: Sequence[int] | NDArray[np.int64], grid: Grid) -> Any:
        """States ``(tokens, d)`` below the tuned layers."""
        import torch

        with torch.no_grad():
            ids = torch.tensor([token for row in rows for token in self._tokens[row]])
            embeddings = self._model.embeddings
            states = embeddings.word_embeddings(ids) + embeddings.position_embeddings(
                grid.positions
            )
            states = states + embeddings.token_type_embeddings.weight[0]
            states = embeddings.LayerNorm(states)
            for layer in self._model.encoder.layer[: self._below]:
                states = self._layer(layer, states, grid)
        return states

    def _layer(self, layer: Any, states: Any, grid: Grid) -> Any:
        """One post-norm transformer layer (Devlin et al. 2019) on flat states ``(tokens, d)``."""
        import torch

        own, width = layer.attention.self, states.shape[1]
        asked = [
            part(states)
            .index_select(0, grid.cells)
            .view(grid.rows, grid.longest, self._heads, -1)
            .transpose(1, 2)
            for part in (own.query, own.key, own.value)
        ]
        mixed = torch.nn.functional.scaled_dot_product_attention(*asked, attn_mask=grid.mask)
        flat = mixed.transpose(1, 2).reshape(-1, width).index_select(0, grid.places)
        after = layer.attention.output
        middle = after.LayerNorm(after.dense(flat) + states)
        inner = torch.nn.functional.gelu(layer.intermediate.dense(middle))
        return layer.output.LayerNorm(layer.output.dense(inner) + middle)

    def _pooled(self, states: Any, grid: Grid) -> Any:
        import torch

        if self._folder.pooling == "cls":
            return states[grid.begins]
        if self._folder.pooling == "max":
            cells = states[grid.cells].view(grid.rows, grid.longest, -1)
            cells = cells.masked_fill(~grid.mask[:, 0, 0, :, None], -torch.inf)
            return cells.max(dim=1).values
        sums = torch.zeros(grid.rows, states.shape[1]).index_add(0, grid.owner, states)
        return sums / grid.sizes[:, None]


def _loaded(folder: EncoderFolder) -> Any:
    """The model of a folder, in single precision.

    Raises:
        EncoderError: If the weights lack a tensor.
    """
    import torch
    from safetensors.torch import load_file
    from transformers import AutoConfig, AutoModel

    config: Any = AutoConfig.from_pretrained(folder.path, local_files_only=True)
    model: Any = AutoModel.from_config(config, add_pooling_layer=False, dtype=torch.float32)
    tensors = load_file(folder.path / "model.safetensors")
    tensors = {name.removeprefix("bert."): tensor.float() for name, tensor in tensors.items()}
    missing = model.load_state_dict(tensors, strict=False).missing_keys
    if missing:
        raise EncoderError(f"the weights have no tensor {missing[0]}.", where=str(folder.path))
    return model
