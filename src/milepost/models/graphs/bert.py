"""Builds the ONNX graph of a BERT encoder straight from its safetensors, without torch.

Source: Devlin et al. 2019, in the post-norm form with learned absolute positions. All layers but
attention run on the flat list of a batch's tokens, so that padding is not computed. Addition and
normalisation are two operators on purpose: ONNX Runtime's fused one is slower on CPUs.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from milepost.entities.errors import EncoderError
from milepost.models.adapters import Adapter
from milepost.models.folder import EncoderFolder
from milepost.models.graphs.layout import (
    GRID,
    IDS,
    LENGTHS,
    MASK,
    PLACES,
    POSITIONS,
    TILE,
    TILE_ADAPTER,
    TILES,
    UNTILED,
)
from milepost.models.graphs.parts import FUSED, Arithmetic, Float, Linear, Parts
from milepost.models.graphs.pooling import OPSET, STATES, VECTORS, pooling_nodes
from milepost.models.graphs.writer import FLOAT, INT32, INT64, Graph, Model, Value, written

Weights = Mapping[str, NDArray[np.generic]]

FLAT_STATES = "flat_states"
ADAPTABLE = ("query", "key", "value", "output", "inner", "outer")
"""Linear layers of a transformer layer as adapters name them."""

_NAMES = {
    "query": "attention.self.query",
    "key": "attention.self.key",
    "value": "attention.self.value",
    "output": "attention.output.dense",
    "inner": "intermediate.dense",
    "outer": "output.dense",
}
_IR_VERSION = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What kind of graph to build.

    Attributes:
        arithmetic: Number format of the linear layers.
        adapts: Linear layers that take low-rank adapters as further inputs, of ``adaptable``.
        watched: Whether the inputs of the linear layers are outputs of the graph too, for
            calibration.
    """

    arithmetic: Arithmetic = field(default_factory=Float)
    adapts: tuple[str, ...] = ()
    watched: bool = False


def supports(folder: EncoderFolder) -> bool:
    """Whether the graph here is exactly what this folder's configuration describes."""
    config = folder.config
    return (
        folder.model_type == "bert"
        and config.get("hidden_act") == "gelu"
        and config.get("position_embedding_type", "absolute") == "absolute"
        and not config.get("is_decoder")
        and not config.get("add_cross_attention")
    )


def adaptable(folder: EncoderFolder) -> tuple[str, ...]:
    """Names of the linear layers that adapters may change: ``0.query``, ``0.key``, ….

    Raises:
        EncoderError: If the configuration does not say how many layers there are.
    """
    layers = _number(folder, "num_hidden_layers")
    return tuple(f"{layer}.{part}" for layer in range(layers) for part in ADAPTABLE)


def merged(folder: EncoderFolder, change: Adapter) -> Weights:
    """The tensors of a folder with an adapter added to those that it changes.

    Raises:
        EncoderError: If it changes a layer that is not there, or of another shape.
    """
    from safetensors.numpy import load_file

    weights = dict(_without_prefix(load_file(folder.path / "model.safetensors")))
    for layer, down in change.down.items():
        index, _, part = layer.partition(".")
        name = f"encoder.layer.{index}.{_NAMES.get(part, part)}.weight"
        added = (down @ change.up[layer]).T
        if name not in weights or weights[name].shape != added.shape:
            raise EncoderError(
                f"the adapter changes {layer} by {added.shape}, which the encoder does not have.",
                where=str(folder.path),
            )
        weights[name] = weights[name].astype(np.float32) + added
    return weights


def build(folder: EncoderFolder, plan: Plan | None = None, weights: Weights | None = None) -> Model:
    """The flat graph, with the inputs of ``layout.flat`` → ``vectors``, ``flat_states``.

    ``vectors`` is ``(b, d)`` and ``flat_states`` ``(t, d)``. With adapters the inputs of
    ``layout.tiled`` are there too, and for each adapted layer the stacks
    ``adapter.<layer>.<part>.down (a, d_in, r)`` and ``.up (a, r, d_out)``.

    Args:
        folder: What the encoder is.
        plan: ``None`` for single precision without adapters.
        weights: Its tensors by name; ``None`` reads them from the folder.

    Raises:
        EncoderError: If a tensor is missing, not finite, or of another shape than configured, or
            the encoder is larger than one ONNX file can be.
    """
    from safetensors.numpy import load_file

    if weights is None:
        weights = load_file(folder.path / "model.safetensors")
    graph = _Graph(folder, weights, plan or Plan())
    graph.embed()
    layers = _number(folder, "num_hidden_layers")
    for layer in range(layers):
        graph.layer(layer, FLAT_STATES if layer == layers - 1 else f"x{layer + 1}")
    graph.parts.node("Gather", [FLAT_STATES, GRID], STATES, axis=0)
    nodes, constants = pooling_nodes(folder.pooling)
    width = graph.width
    values = {VECTORS: ["batch", width], FLAT_STATES: ["tokens", width]}
    whole = Graph(
        graph.parts.nodes + nodes,
        [*graph.parts.constants.values(), *constants],
        _inputs() + graph.inputs,
        [Value(name, FLOAT, shape) for name, shape in (values | graph.watched).items()],
    )
    try:
        return Model(written(whole, {"": OPSET, FUSED: 1}, _IR_VERSION), width)
    except ValueError as error:
        raise EncoderError(
            "the encoder is larger than one ONNX file can be (2 GB).", where=str(folder.path)
        ) from error


def _inputs() -> list[Value]:
    grid, tokens = ["batch", "longest"], ["tokens"]
    shapes = {IDS: tokens, POSITIONS: tokens, PLACES: tokens, GRID: grid, MASK: grid}
    found = [Value(name, INT64, shape) for name, shape in shapes.items()]
    return [*found, Value(LENGTHS, INT32, ["batch"])]


class _Graph:
    """A graph that grows layer by layer. ``x0``, ``x1``, … are the states between them."""

    def __init__(self, folder: EncoderFolder, weights: Weights, plan: Plan) -> None:
        self.parts = Parts()
        self.inputs: list[Value] = []
        self.watched: dict[str, list[str | int]] = {}
        self.width = _number(folder, "hidden_size")
        self._inner = _number(folder, "intermediate_size")
        self._heads = _number(folder, "num_attention_heads")
        self._epsilon = float(str(folder.config.get("layer_norm_eps", 1e-12)))
        self._weights = _without_prefix(weights)
        self._where = str(folder.path)
        self._plan = plan
        if plan.adapts:
            self._tile_inputs()

    def embed(self) -> None:
        """Word, position and type embeddings, summed and normalised, into ``x0``.

        The type is always 0, so that its row is added to the positions once and for all.
        """
        parts, width = self.parts, self.width
        words = self._tensor("embeddings.word_embeddings.weight", (None, width))
        places = self._tensor("embeddings.position_embeddings.weight", (None, width))
        types = self._tensor("embeddings.token_type_embeddings.weight", (None, width))
        parts.node("Gather", [parts.constant("words", words), IDS], "embed.words")
        table = parts.constant("positions.table", places + types[0])
        parts.node("Gather", [table, POSITIONS], "embed.positions")
        self._add_norm("embed.words", "embed.positions", "embeddings", "x0")

    def layer(self, index: int, result: str) -> None:
        """One transformer layer from ``x{index}`` to ``result``."""
        parts, x, at = self.parts, f"x{index}", f"{index}"
        asked = self._linears(index, x, ("query", "key", "value"))
        cells = [parts.node("Gather", [name, GRID], f"{name}.grid", axis=0) for name in asked]
        parts.fused(
            "MultiHeadAttention", [*cells, "", LENGTHS], f"{at}.mixed.grid", num_heads=self._heads
        )
        rows = parts.constant("rows", np.array([-1, self.width], np.int64))
        parts.node("Reshape", [f"{at}.mixed.grid", rows], f"{at}.mixed.rows")
        parts.node("Gather", [f"{at}.mixed.rows", PLACES], f"{at}.mixed", axis=0)
        (output,) = self._linears(index, f"{at}.mixed", ("output",))
        name = f"encoder.layer.{index}"
        self._add_norm(output, x, f"{name}.attention.output", f"{at}.middle")
        (inner,) = self._linears(index, f"{at}.middle", ("inner",))
        parts.fused("Gelu", [inner], f"{at}.active")
        (outer,) = self._linears(index, f"{at}.active", ("outer",))
        self._add_norm(outer, f"{at}.middle", f"{name}.output", result)

    def _linears(self, index: int, source: str, names: tuple[str, ...]) -> list[str]:
        layers = [self._linear(index, part) for part in names]
        if self._plan.watched:
            self.watched[source] = ["tokens", len(layers[0].weight)]
        results = self._plan.arithmetic.linears(self.parts, source, layers)
        return [
            self._adapted(layer, source, result) if layer.name in self._plan.adapts else result
            for layer, result in zip(layers, results, strict=True)
        ]

    def _linear(self, index: int, part: str) -> Linear:
        size_in = self._inner if part == "outer" else self.width
        size_out = self._inner if part == "inner" else self.width
        name = f"encoder.layer.{index}.{_NAMES[part]}"
        weight = self._tensor(f"{name}.weight", (size_out, size_in)).T
        return Linear(f"{index}.{part}", weight, self._tensor(f"{name}.bias", (size_out,)))

    def _adapted(self, layer: Linear, source: str, result: str) -> str:
        """``result`` plus the low-rank product of each token's adapter (Hu et al. 2022, LoRA)."""
        parts, name = self.parts, f"adapter.{layer.name}"
        size_in, size_out = layer.weight.shape
        shapes = {"down": ["adapters", size_in, "rank"], "up": ["adapters", "rank", size_out]}
        for side, shape in shapes.items():
            stack = f"{name}.{side}"
            self.inputs.append(Value(stack, FLOAT, shape))
            parts.node("Gather", [stack, TILE_ADAPTER], f"{stack}.tiles", axis=0)
        tiles = f"{source}.tiles"
        if all(tiles not in node.results for node in parts.nodes):
            parts.node("Gather", [source, TILES], tiles, axis=0)
        parts.node("MatMul", [tiles, f"{name}.down.tiles"], f"{name}.low")
        parts.node("MatMul", [f"{name}.low", f"{name}.up.tiles"], f"{name}.change.tiles")
        rows = parts.constant(f"rows.{size_out}", np.array([-1, size_out], np.int64))
        parts.node("Reshape", [f"{name}.change.tiles", rows], f"{name}.change.rows")
        parts.node("Gather", [f"{name}.change.rows", UNTILED], f"{name}.change", axis=0)
        return parts.node("Add", [result, f"{name}.change"], f"{name}.result")

    def _tile_inputs(self) -> None:
        shapes = {TILES: ["tiles", TILE], TILE_ADAPTER: ["tiles"], UNTILED: ["tokens"]}
        self.inputs += [Value(name, INT64, shape) for name, shape in shapes.items()]

    def _add_norm(self, source: str, skip: str, name: str, result: str) -> None:
        width = self.width
        scale = self._tensor(f"{name}.LayerNorm.weight", (width,))
        shift = self._tensor(f"{name}.LayerNorm.bias", (width,))
        self.parts.node("Add", [source, skip], f"{result}.sum")
        self.parts.node(
            "LayerNormalization",
            [
                f"{result}.sum",
                self.parts.constant(f"{result}.norm.scale", scale),
                self.parts.constant(f"{result}.norm.shift", shift),
            ],
            result,
            epsilon=self._epsilon,
        )

    def _tensor(self, name: str, shape: tuple[int | None, ...]) -> NDArray[np.float32]:
        found = self._weights.get(name)
        if found is None:
            raise EncoderError(f"the weights have no tensor {name}.", where=self._where)
        if len(found.shape) != len(shape) or any(
            want not in {None, have} for want, have in zip(shape, found.shape, strict=True)
        ):
            raise EncoderError(
                f"the tensor {name} has shape {found.shape}, the configuration asks for {shape}.",
                where=self._where,
            )
        array = found.astype(np.float32)
        if not np.isfinite(array).all():
            raise EncoderError(
                f"the tensor {name} holds a value that is not finite.", where=self._where
            )
        return array


def _without_prefix(weights: Weights) -> Weights:
    """Tensor names without the ``bert.`` that task-specific checkpoints put in front."""
    if "embeddings.word_embeddings.weight" in weights:
        return weights
    return {name.removeprefix("bert."): tensor for name, tensor in weights.items()}


def _number(folder: EncoderFolder, key: str) -> int:
    value = folder.config.get(key)
    if not isinstance(value, int) or value < 1:
        raise EncoderError(
            f"{key} is {value!r}, not a positive whole number.",
            where=str(folder.path / "config.json"),
        )
    return value
