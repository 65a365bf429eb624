"""Finds the ranges of activations on texts of our own, for INT8 with fixed scales.

The texts ship with the package and come from no data set, so that no encoder is calibrated on what
it is later judged on. The same encoder gets the same scales on every machine: ranges are rounded
outwards to sixteenths of an octave, far above what processors differ by.
"""

from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from milepost._base.digest import sha256_bytes
from milepost.models.folder import EncoderFolder
from milepost.models.graphs import bert
from milepost.models.graphs.layout import flat
from milepost.models.graphs.parts import Range
from milepost.models.graphs.pooling import VECTORS
from milepost.models.graphs.writer import Model

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_STEPS = 16
_BATCH = 16


@cache
def calibration_texts() -> tuple[str, ...]:
    """Messages, questions, reviews, news, contracts, code and other kinds, mostly English."""
    return tuple(_content().decode().splitlines())


def calibration_digest() -> str:
    """SHA-256 of the texts."""
    return sha256_bytes(_content())


def find_ranges(folder: EncoderFolder) -> dict[str, Range]:
    """Range of every channel of every input of a linear layer, over the calibration texts.

    Raises:
        EncoderError: If the encoder's weights are not what its configuration says.
    """
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder.path / "tokenizer.json"))
    return ranges_over(bert.build(folder, bert.Plan(watched=True)), _tokens(tokenizer, folder))


def ranges_over(model: Model, tokens: Sequence[Sequence[int]]) -> dict[str, Range]:
    """Range of every channel of every watched input of a linear layer.

    Args:
        model: A watched graph.
        tokens: Ids per text, at least one each; like lengths together go fastest.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.data, options, providers=["CPUExecutionProvider"])
    names = [o.name for o in session.get_outputs() if o.name not in {VECTORS, bert.FLAT_STATES}]
    lows = {name: np.zeros(1, np.float32) for name in names}
    highs = dict(lows)
    for start in range(0, len(tokens), _BATCH):
        found = session.run(names, flat(tokens[start : start + _BATCH]))
        for name, values in zip(names, cast("list[NDArray[np.float32]]", found), strict=True):
            lows[name] = np.minimum(lows[name], values.min(0))
            highs[name] = np.maximum(highs[name], values.max(0))
    return {name: Range(_outwards(lows[name]), _outwards(highs[name])) for name in names}


def _tokens(tokenizer: "Tokenizer", folder: EncoderFolder) -> list[list[int]]:
    tokenizer.no_padding()
    tokenizer.enable_truncation(folder.max_tokens)
    rows = [row.ids for row in tokenizer.encode_batch_fast(list(calibration_texts()))]
    return sorted((row for row in rows if row), key=len)


def _outwards(values: NDArray[np.float32]) -> NDArray[np.float32]:
    sizes = np.maximum(np.abs(values), np.float32(2.0**-20))
    octaves = np.ceil(np.log2(sizes.astype(np.float64)) * _STEPS) / _STEPS
    return np.where(values == 0, 0, np.sign(values) * 2.0**octaves).astype(np.float32)


def _content() -> bytes:
    return files("milepost.models.graphs").joinpath("calibration.txt").read_bytes()
