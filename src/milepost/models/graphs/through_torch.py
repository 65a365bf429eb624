"""Exports an encoder of any architecture through torch; needs the ``train`` extra.

Uses the exporter of ``torch.export``. The older tracing exporter must not be used: it drops the
attention mask without a word, and padded batches come out wrong.
"""

from typing import TYPE_CHECKING, Any

from milepost.entities.errors import EncoderError
from milepost.models.folder import EncoderFolder
from milepost.models.graphs.layout import IDS, MASK
from milepost.models.graphs.pooling import OPSET, STATES, VECTORS, pooling_nodes
from milepost.models.graphs.writer import Model

if TYPE_CHECKING:
    from onnx import ModelProto


def build(folder: EncoderFolder) -> Model:
    """The graph: ``input_ids``, ``attention_mask`` (b, s) int64 → ``vectors``, ``token_states``.

    Raises:
        EncoderError: If torch, transformers or onnxscript are not installed, or the model cannot
            be exported or loaded without running code from its folder.
    """
    try:
        import onnxscript  # noqa: F401  # pyright: ignore[reportUnusedImport]
        import torch
        import transformers
    except ImportError as error:
        raise EncoderError(
            f"an encoder of type {folder.model_type!r} is exported through torch, and "
            f"{error.name} is not installed.",
            where=str(folder.path),
            advice="Run `pip install 'milepost[train]'` once, or use an encoder of type bert.",
        ) from error
    try:
        model = transformers.AutoModel.from_pretrained(
            folder.path,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            attn_implementation="eager",
            dtype=torch.float32,
        ).eval()
        proto = _with_pooling(_export(_states_only(model)), folder.pooling)
        return Model(proto.SerializeToString(), _width(proto))
    except (OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise EncoderError(
            f"an encoder of type {folder.model_type!r} cannot be exported: {first}",
            where=str(folder.path),
            advice="Use an encoder of type bert, or one that `torch.onnx.export` supports.",
        ) from error


def _states_only(model: Any) -> Any:
    """A module from ids and mask to the last hidden states, and nothing else."""
    import torch

    class States(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            return self.model(input_ids=input_ids, attention_mask=attention_mask)[0]

    return States().eval()


def _export(module: Any) -> "ModelProto":
    import warnings

    import torch

    # Two rows of different length, so that the mask is not a constant of the example.
    ids = torch.ones((2, 7), dtype=torch.int64)
    mask = torch.ones_like(ids)
    mask[1, 4:] = 0
    size = {0: torch.export.Dim("batch"), 1: torch.export.Dim("tokens")}
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module,
            (ids, mask),
            dynamo=True,
            input_names=[IDS, MASK],
            output_names=[STATES],
            dynamic_shapes=(size, size),
            opset_version=OPSET,
            verbose=False,
        )
    if program is None:
        raise RuntimeError("the exporter returned no program")
    return program.model_proto


def _with_pooling(proto: "ModelProto", pooling: str) -> "ModelProto":
    from onnx import TensorProto, helper, numpy_helper

    nodes, constants = pooling_nodes(pooling)
    for each in nodes:
        settings: dict[str, Any] = dict(each.attributes)
        proto.graph.node.append(helper.make_node(each.kind, each.inputs, each.results, **settings))
    proto.graph.initializer.extend(
        numpy_helper.from_array(each.array, each.name) for each in constants
    )
    proto.graph.output.insert(
        0, helper.make_tensor_value_info(VECTORS, TensorProto.FLOAT, ["batch", _width(proto)])
    )
    return proto


def _width(proto: "ModelProto") -> int:
    """Length of a token's state, and so of a vector."""
    return proto.graph.output[-1].type.tensor_type.shape.dim[2].dim_value
