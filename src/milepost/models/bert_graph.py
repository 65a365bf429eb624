"""Builds the ONNX graph of a BERT encoder straight from its safetensors, without torch.

Source: Devlin et al. 2019, in the post-norm form with learned absolute positions. Uses the fused
operators of ONNX Runtime (domain ``com.microsoft``), all of which are exact in fp32.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from milepost.entities.errors import EncoderError
from milepost.models.folder import EncoderFolder
from milepost.models.pooling import IDS, MASK, OPSET, STATES, VECTORS, pooling_nodes

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto, TensorProto

Weights = Mapping[str, NDArray[np.generic]]

_FUSED = "com.microsoft"
_IR_VERSION = 9


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


def build(folder: EncoderFolder) -> "ModelProto":
    """The graph: ``input_ids``, ``attention_mask`` (b, s) int64 → ``vectors``, ``token_states``.

    Raises:
        EncoderError: If a tensor is missing, not finite, or of another shape than configured.
    """
    from onnx import TensorProto, helper
    from safetensors.numpy import load_file

    weights = _without_prefix(load_file(folder.path / "model.safetensors"))
    graph = _Graph(weights, str(folder.path))
    width = _number(folder, "hidden_size")
    epsilon = float(str(folder.config.get("layer_norm_eps", 1e-12)))
    graph.embed(width, epsilon)
    layers = _number(folder, "num_hidden_layers")
    for layer in range(layers):
        graph.layer(
            layer,
            _Shape(
                width, _number(folder, "intermediate_size"), _number(folder, "num_attention_heads")
            ),
            epsilon,
            result=STATES if layer == layers - 1 else f"x{layer + 1}",
        )
    nodes, constants = pooling_nodes(folder.pooling)
    integers = (TensorProto.INT64, ["batch", "tokens"])
    proto = helper.make_graph(
        graph.nodes + nodes,
        "encoder",
        [helper.make_tensor_value_info(name, *integers) for name in (IDS, MASK)],
        [
            helper.make_tensor_value_info(VECTORS, TensorProto.FLOAT, ["batch", width]),
            helper.make_tensor_value_info(STATES, TensorProto.FLOAT, ["batch", "tokens", width]),
        ],
        graph.constants + constants,
    )
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(_FUSED, 1)]
    return helper.make_model(proto, opset_imports=opsets, ir_version=_IR_VERSION)


class _Shape:
    """Width of states, width of the feed-forward layer, number of attention heads."""

    def __init__(self, width: int, inner: int, heads: int) -> None:
        self.width = width
        self.inner = inner
        self.heads = heads


class _Graph:
    """Collects nodes and constants. ``x0``, ``x1``, … are the states between the layers."""

    def __init__(self, weights: Weights, where: str) -> None:
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []
        self._weights = weights
        self._where = where

    def embed(self, width: int, epsilon: float) -> None:
        """Word, position and type embeddings, summed and normalised, into ``x0``.

        The type is always 0, so that its row is added to the positions once and for all.
        """
        words = self._tensor("embeddings.word_embeddings.weight", (None, width))
        places = self._tensor("embeddings.position_embeddings.weight", (None, width))
        types = self._tensor("embeddings.token_type_embeddings.weight", (None, width))
        self._node("Gather", [self._constant("words", words), IDS], "embed.words")
        self._node("Shape", [IDS], "embed.tokens", start=1, end=2)
        zero = self._constant("zero", np.zeros(1, np.int64))
        self._node(
            "Slice",
            [self._constant("positions", places + types[0]), zero, "embed.tokens", zero],
            "embed.positions",
        )
        self._node("Add", ["embed.words", "embed.positions"], "embed.sum")
        scale, shift = self._norm("embeddings.LayerNorm", width)
        self._node("LayerNormalization", ["embed.sum", scale, shift], "x0", epsilon=epsilon)
        self._node("Cast", [MASK], "mask", to=6)

    def layer(self, index: int, shape: _Shape, epsilon: float, result: str) -> None:
        """One transformer layer from ``x{index}`` to ``result``."""
        x, at = f"x{index}", f"encoder.layer.{index}"
        parts = ("query", "key", "value")
        for part in parts:
            self._linear(
                x, f"{at}.attention.self.{part}", (shape.width, shape.width), f"{at}.{part}"
            )
        biases = [self._tensor(f"{at}.attention.self.{p}.bias", (shape.width,)) for p in parts]
        bias = self._constant(f"{at}.qkv.bias", np.concatenate(biases))
        self._fused(
            "MultiHeadAttention",
            [f"{at}.query", f"{at}.key", f"{at}.value", bias, "mask"],
            f"{at}.mixed",
            num_heads=shape.heads,
        )
        dense = f"{at}.attention.output"
        self._linear(f"{at}.mixed", f"{dense}.dense", (shape.width, shape.width), f"{at}.projected")
        self._add_norm(f"{at}.projected", x, dense, shape.width, f"{at}.middle", epsilon)
        self._linear(
            f"{at}.middle", f"{at}.intermediate.dense", (shape.inner, shape.width), f"{at}.inner"
        )
        inner = self._tensor(f"{at}.intermediate.dense.bias", (shape.inner,))
        self._fused(
            "BiasGelu",
            [f"{at}.inner", self._constant(f"{at}.inner.bias", inner)],
            f"{at}.active",
        )
        self._linear(
            f"{at}.active", f"{at}.output.dense", (shape.width, shape.inner), f"{at}.outer"
        )
        self._add_norm(f"{at}.outer", f"{at}.middle", f"{at}.output", shape.width, result, epsilon)

    def _linear(self, source: str, name: str, shape: tuple[int, int], result: str) -> None:
        """``source @ weightᵀ``; the bias is added by the fused operator that follows."""
        weight = self._tensor(f"{name}.weight", shape)
        self._node("MatMul", [source, self._constant(f"{name}.weight", weight.T)], result)

    def _add_norm(
        self, source: str, skip: str, name: str, width: int, result: str, epsilon: float
    ) -> None:
        bias = self._constant(f"{name}.dense.bias", self._tensor(f"{name}.dense.bias", (width,)))
        scale, shift = self._norm(f"{name}.LayerNorm", width)
        self._fused(
            "SkipLayerNormalization", [source, skip, scale, shift, bias], result, epsilon=epsilon
        )

    def _norm(self, name: str, width: int) -> tuple[str, str]:
        scale = self._constant(f"{name}.weight", self._tensor(f"{name}.weight", (width,)))
        return scale, self._constant(f"{name}.bias", self._tensor(f"{name}.bias", (width,)))

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

    def _constant(self, name: str, array: NDArray[np.generic]) -> str:
        from onnx import numpy_helper

        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def _node(self, kind: str, inputs: list[str], result: str, **attributes: Any) -> None:
        from onnx import helper

        self.nodes.append(helper.make_node(kind, inputs, [result], **attributes))

    def _fused(self, kind: str, inputs: list[str], result: str, **attributes: Any) -> None:
        self._node(kind, inputs, result, domain=_FUSED, **attributes)


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
