"""An encoder of images that sees one colour, and a tower for the names of colours; no torch.

Written as a Hugging Face folder with its export beside it, so that all that reads images can be
tried within moments: a picture's vector is its mean colour, and that of a text the mean of the
colours that it names.
"""

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from milepost.models.images.folder import EXPORTER, read_image_folder
from milepost.models.images.towers import places_of
from milepost.models.packaged import Manifest, write_package

COLOURS = {"red": (230, 20, 20), "green": (20, 230, 20), "blue": (20, 20, 230)}
"""Colours by their names."""

_SIDE = 8
_WORDS = ("<pad>", "<unk>", *COLOURS)


def picture(name: str, seed: int = 0, form: str = "PNG") -> bytes:
    """The bytes of a picture of a colour with a pattern that the seed draws.

    Args:
        name: One of ``COLOURS``.
        seed: Pictures of other seeds look otherwise.
        form: Format as Pillow names it.
    """
    from PIL.Image import fromarray

    rng = np.random.default_rng(seed)
    pattern = np.kron(rng.uniform(0.3, 1.0, (9, 9, 1)), np.ones((4, 4, 1)))
    pixels = (pattern * np.array(COLOURS[name])).astype(np.uint8)
    out = io.BytesIO()
    fromarray(pixels).save(out, form)
    return out.getvalue()


def write_colours(folder: Path, cache: Path, *, words: bool = True) -> Path:
    """Write the encoder, and its export where milepost looks for one.

    Args:
        folder: Created with all above it.
        cache: Folder of exports.
        words: Whether it has the tower that reads texts.

    Returns:
        ``folder``.
    """
    from safetensors.numpy import save_file

    folder.mkdir(parents=True, exist_ok=True)
    colours = np.zeros((len(_WORDS), 3), np.float32)
    colours[2:] = np.array(list(COLOURS.values()), np.float32) / 255
    save_file({"colours": colours}, folder / "model.safetensors")
    towers = {"text_config": {"max_position_embeddings": 8}, "vision_config": {"patch_size": 8}}
    config = {"model_type": "colours", **(towers if words else {"patch_size": 8})}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    steps = {
        "do_resize": True, "size": {"height": _SIDE, "width": _SIDE}, "resample": 2,
        "do_rescale": True, "rescale_factor": 1 / 255, "do_normalize": False,
    }  # fmt: skip
    (folder / "preprocessor_config.json").write_text(json.dumps(steps), encoding="utf-8")
    _write_tokenizer(folder / "tokenizer.json")
    found = read_image_folder(folder)
    places = places_of(found, cache)

    def manifest(layout: str, tokens: int) -> Manifest:
        return Manifest(
            name=found.name,
            digest=found.digest,
            variant="fp32",
            exporter=EXPORTER,
            dimensions=3,
            max_tokens=tokens,
            pad_id=0,
            layout="pixels" if layout == "pixels" else "padded",
            files={},
        )

    import msgspec

    if not places["image"].exists():
        steps_read = msgspec.json.encode(found.steps)
        write_package(places["image"], manifest("pixels", found.patches), _image(), steps_read)
    if words and not places["text"].exists():
        tokenizer = (folder / "tokenizer.json").read_bytes()
        write_package(places["text"], manifest("padded", 8), _text(colours), tokenizer)
    return folder


def _image() -> bytes:
    """Graph from pixels ``(b, 3, 8, 8)`` to their mean colour."""
    from onnx import TensorProto, helper

    pixels = helper.make_tensor_value_info(
        "pixel_values", TensorProto.FLOAT, ["b", 3, _SIDE, _SIDE]
    )
    nodes = [helper.make_node("ReduceMean", ["pixel_values", "sides"], ["raw"], keepdims=0)]
    return _graph(nodes, [pixels], {"sides": np.array([2, 3], np.int64)})


def _text(colours: NDArray[np.float32]) -> bytes:
    """Graph from token ids ``(b, s)`` and their mask to the mean of the colours that they name."""
    from onnx import TensorProto, helper

    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["b", "s"])
        for name in ("input_ids", "attention_mask")
    ]
    nodes = [
        helper.make_node("Gather", ["colours", "input_ids"], ["each"]),
        helper.make_node("Cast", ["attention_mask"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["real", "last"], ["weights"]),
        helper.make_node("Mul", ["each", "weights"], ["weighted"]),
        helper.make_node("ReduceSum", ["weighted", "first"], ["raw"], keepdims=0),
    ]
    arrays = {"colours": colours, "last": np.array([2]), "first": np.array([1])}
    return _graph(nodes, inputs, arrays)


def _graph(nodes: list[Any], inputs: list[Any], arrays: Mapping[str, NDArray[Any]]) -> bytes:
    from onnx import TensorProto, helper, numpy_helper

    ends = [
        helper.make_node("ReduceL2", ["raw", "one"], ["length"], keepdims=1),
        helper.make_node("Max", ["length", "tiny"], ["safe"]),
        helper.make_node("Div", ["raw", "safe"], ["vectors"]),
    ]
    tiny = np.full((), 1e-12, np.float32)
    constants = {**arrays, "one": np.array([1]), "tiny": tiny}
    vectors = helper.make_tensor_value_info("vectors", TensorProto.FLOAT, ["b", 3])
    graph = helper.make_graph(
        [*nodes, *ends],
        "colours",
        inputs,
        [vectors],
        [numpy_helper.from_array(np.asarray(each), name) for name, each in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return model.SerializeToString()


def _write_tokenizer(file: Path) -> None:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    ids = {word: at for at, word in enumerate(_WORDS)}
    tokenizer = Tokenizer(models.WordLevel(ids, unk_token="<unk>"))  # noqa: S106 - no password
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(file))
