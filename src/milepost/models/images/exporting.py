"""Exports the towers of an encoder of images to ONNX through torch; needs the ``train`` extra.

Each tower becomes a package like that of any encoder. What stands in the place of the tokenizer of
an image tower are the steps from an image to its numbers.
"""

import warnings
from typing import TYPE_CHECKING, Any

import msgspec

from milepost.entities.errors import EncoderError
from milepost.models.graphs.layout import IDS, MASK
from milepost.models.graphs.pooling import OPSET, VECTORS
from milepost.models.images.folder import EXPORTER, ImageFolder
from milepost.models.packaged import Manifest

if TYPE_CHECKING:
    from onnx import ModelProto

PIXELS = "pixel_values"
_FIRST_TOKEN = frozenset({"beit", "data2vec-vision", "deit", "dinov2", "dinov2_with_registers",
                          "dinov3_vit", "vit", "vit_hybrid", "vit_msn"})  # fmt: skip
"""Architectures whose first token stands for the image."""


def image_tower(folder: ImageFolder) -> tuple[Manifest, bytes, bytes]:
    """The tower that reads images: its manifest, its graph, and the steps as JSON.

    Its vectors are what the model itself offers for an image: of two towers the projected one; else
    the first token where the architecture has one, the pooled output, or the mean of the tokens.

    Raises:
        EncoderError: If torch, transformers or onnxscript are not installed, or it cannot be
            exported or loaded without running code from its folder.
    """
    import_torch(folder)
    import torch

    height, width = folder.steps.out
    example = torch.zeros((2, 3, height, width), dtype=torch.float32)
    proto = _made(folder, _images_only(_model(folder), folder), (example,), [PIXELS])
    manifest = _manifest(folder, proto, layout="pixels", max_tokens=folder.patches, pad_id=0)
    return manifest, proto.SerializeToString(), msgspec.json.encode(folder.steps)


def text_tower(folder: ImageFolder) -> tuple[Manifest, bytes, bytes]:
    """The tower that reads texts: its manifest, its graph, and its tokenizer.

    Raises:
        EncoderError: As :func:`image_tower`.
    """
    import_torch(folder)
    import torch

    text: Any = folder.config["text_config"]
    pad = text.get("pad_token_id")
    pad = pad if isinstance(pad, int) and pad >= 0 else 0
    ids = torch.ones((2, min(5, folder.max_tokens)), dtype=torch.int64)
    mask = torch.ones_like(ids)
    mask[1, 3:] = 0
    module = _texts_only(_model(folder), folder, pad)
    proto = _made(folder, module, (ids, mask), [IDS, MASK])
    tokenizer = (folder.path / "tokenizer.json").read_bytes()
    manifest = _manifest(folder, proto, layout="padded", max_tokens=folder.max_tokens, pad_id=pad)
    return manifest, proto.SerializeToString(), tokenizer


def import_torch(folder: ImageFolder) -> None:
    """Makes sure that what an export needs is there.

    Raises:
        EncoderError: If it is not.
    """
    try:
        import onnxscript  # noqa: F401  # pyright: ignore[reportUnusedImport]
        import torch  # noqa: F401  # pyright: ignore[reportUnusedImport]
        import transformers  # noqa: F401  # pyright: ignore[reportUnusedImport]
    except ImportError as error:
        raise EncoderError(
            f"an encoder of type {folder.model_type!r} is exported through torch, and "
            f"{error.name} is not installed.",
            where=str(folder.path),
            advice="Run `pip install 'milepost[train]'` once; what was exported runs without it.",
        ) from error


def _manifest(
    folder: ImageFolder, proto: "ModelProto", *, layout: Any, max_tokens: int, pad_id: int
) -> Manifest:
    return Manifest(
        name=folder.name,
        digest=folder.digest,
        variant="fp32",
        exporter=EXPORTER,
        dimensions=proto.graph.output[0].type.tensor_type.shape.dim[1].dim_value,
        max_tokens=max_tokens,
        pad_id=pad_id,
        layout=layout,
        files={},
    )


def _model(folder: ImageFolder) -> Any:
    import torch
    import transformers

    try:
        return transformers.AutoModel.from_pretrained(
            folder.path,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            attn_implementation="eager",
            dtype=torch.float32,
        ).eval()
    except (OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
        raise _refused(folder, error) from error


def _images_only(model: Any, folder: ImageFolder) -> Any:
    """A module from pixels to vectors of unit length, and nothing else."""
    import torch

    class ImageVectors(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, pixel_values: Any) -> Any:
            if folder.towers:
                return _unit(_tensor(self.model.get_image_features(pixel_values=pixel_values)))
            found = self.model(pixel_values=pixel_values)
            if folder.model_type in _FIRST_TOKEN:
                return _unit(found.last_hidden_state[:, 0])
            pooled = getattr(found, "pooler_output", None)
            if pooled is None:
                states = found.last_hidden_state
                pooled = states.flatten(2).mean(2) if states.ndim > 3 else states.mean(1)
            return _unit(pooled.flatten(1))

    return ImageVectors().eval()


def _texts_only(model: Any, folder: ImageFolder, pad: int) -> Any:
    """A module from token ids and mask to vectors of unit length, and nothing else."""
    import torch

    # SigLIP was trained on texts filled up to its longest, without a mask, and reads the last one.
    filled = folder.model_type.startswith("siglip")

    class TextVectors(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            if filled:
                ids = torch.where(attention_mask > 0, input_ids, pad)
                rest = folder.max_tokens - ids.shape[1]
                ids = torch.nn.functional.pad(ids, (0, rest), value=pad)
                return _unit(_tensor(self.model.get_text_features(input_ids=ids)))
            found = self.model.get_text_features(input_ids=input_ids, attention_mask=attention_mask)
            return _unit(_tensor(found))

    return TextVectors().eval()


def _tensor(found: Any) -> Any:
    """The vectors, whether a model gives them bare or among other outputs."""
    return getattr(found, "pooler_output", found)


def _unit(vectors: Any) -> Any:
    return vectors / vectors.norm(dim=-1, keepdim=True).clamp_min(1e-12)


def _made(
    folder: ImageFolder, module: Any, example: tuple[Any, ...], names: list[str]
) -> "ModelProto":
    import torch

    sizes: Any = {0: torch.export.Dim("batch")}
    if names[0] == IDS:
        sizes[1] = torch.export.Dim("tokens", max=folder.max_tokens)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                module,
                example,
                dynamo=True,
                input_names=names,
                output_names=[VECTORS],
                dynamic_shapes=tuple(sizes for _ in names),
                opset_version=OPSET,
                verbose=False,
            )
    except Exception as error:  # torch.export raises errors of many kinds
        raise _refused(folder, error) from error
    if program is None:
        raise _refused(folder, RuntimeError("the exporter returned no program"))
    return program.model_proto


def _refused(folder: ImageFolder, error: Exception) -> EncoderError:
    first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return EncoderError(
        f"an encoder of type {folder.model_type!r} cannot be exported: {first}",
        where=str(folder.path),
        advice="Use an encoder of images that `torch.onnx.export` supports, such as a ViT or CLIP.",
    )
